//! `models pin`, `models unpin` and `models unload`: how long models stay loaded.
//!
//! Rules: ORCH-MODEL-15, ORCH-MODEL-16, ORCH-CLI-6

use api_types::{ModelState, ModelStateRequest, ModelStatus};

use crate::args::StayArgs;
use crate::context::{Context, Stop};
use crate::exit::Exit;
use crate::pools;

/// What is asked of the models.
#[derive(Clone, Copy, Debug)]
pub enum Stay {
    /// Load them, and keep them loaded.
    Pin,
    /// Remove the pin.
    Unpin,
    /// Unload them once they are idle.
    Unload,
}

impl Stay {
    fn request(self) -> ModelStateRequest {
        let (pinned, keep_alive) = match self {
            Self::Pin => (Some(true), None),
            Self::Unpin => (Some(false), None),
            Self::Unload => (Some(false), Some(0.into())),
        };
        ModelStateRequest { state: ModelState::Active, pinned, keep_alive }
    }

    fn done(self, pool: &str) -> String {
        match self {
            Self::Pin => format!("{pool} is pinned: it is loaded and stays loaded"),
            Self::Unpin => format!("{pool} is not pinned any more"),
            Self::Unload => {
                format!("{pool} is unloaded as soon as it is idle; the next request for it loads it again")
            }
        }
    }
}

/// Changes how long each model that is named stays loaded.
///
/// # Errors
/// The daemon refuses or cannot be asked; a signal.
pub async fn change(cx: &mut Context, args: &StayArgs, stay: Stay) -> Result<Exit, Stop> {
    let health = pools::ask(cx).await?;
    for name in &args.models {
        let pool = pools::find(&health, name)?.id.clone();
        let status = send(cx, &pool, stay).await?;
        if args.json {
            cx.ui.print(&serde_json::to_string(&status).expect("it came as JSON"))?;
        } else {
            cx.ui.print(&stay.done(&status.model_id))?;
        }
    }
    Ok(Exit::Done)
}

async fn send(cx: &mut Context, pool: &str, stay: Stay) -> Result<ModelStatus, Stop> {
    let status = tokio::select! {
        biased;
        exit = cx.interrupts.next() => return Err(Stop::Signal(exit)),
        status = cx.api.change_state(pool, stay.request()) => status,
    };
    Ok(status.map_err(|error| cx.api.failure(error))?)
}
