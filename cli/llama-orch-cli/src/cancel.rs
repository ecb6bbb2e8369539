//! `cancel`: each task that is named, whatever became of the one before it.
//!
//! Rules: ORCH-CLI-8

use serde::Serialize;
use uuid::Uuid;

use crate::args::CancelArgs;
use crate::context::{Context, Stop};
use crate::exit::Exit;
use crate::failure::Failure;

/// One line of `--json`.
#[derive(Serialize)]
struct Line<'a> {
    task_id: Uuid,
    canceled: bool,
    #[serde(flatten)]
    failure: Option<Said<'a>>,
}

/// Why a task was not canceled.
#[derive(Serialize)]
struct Said<'a> {
    message: &'a str,
    code: Option<&'a str>,
    hint: Option<&'a str>,
    exit: u8,
}

/// Cancels the tasks.
///
/// # Errors
/// A signal came, or nobody reads.
pub async fn cancel(cx: &mut Context, args: &CancelArgs) -> Result<Exit, Stop> {
    let mut worst = Exit::Done;
    for &task in &args.tasks {
        let canceled = tokio::select! {
            biased;
            exit = cx.interrupts.next() => return Err(Stop::Signal(exit)),
            canceled = cx.api.cancel(task) => canceled,
        };
        let failure = canceled.err().map(|error| cx.api.failure(error));
        if args.json {
            cx.ui.print(&line(task, failure.as_ref()))?;
        }
        match failure {
            None => cx.ui.note(&format!("canceled {task}, or it had ended")),
            Some(failure) => {
                cx.ui.failure(&failure);
                worst = failure.exit;
            }
        }
    }
    Ok(worst)
}

fn line(task_id: Uuid, failure: Option<&Failure>) -> String {
    let said = failure.map(|failure| Said {
        message: &failure.message,
        code: failure.code.as_deref(),
        hint: failure.hint.as_deref(),
        exit: failure.exit.code(),
    });
    let line = Line { task_id, canceled: failure.is_none(), failure: said };
    serde_json::to_string(&line).expect("strings and numbers make JSON")
}
