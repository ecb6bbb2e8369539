//! `cancel`: each task that is named, whatever became of the one before it.

use crate::args::CancelArgs;
use crate::context::{Context, Stop};
use crate::exit::Exit;

/// Cancels the tasks.
///
/// # Errors
/// A signal came.
pub async fn cancel(cx: &mut Context, args: &CancelArgs) -> Result<Exit, Stop> {
    let mut worst = Exit::Done;
    for &task in &args.tasks {
        let canceled = tokio::select! {
            biased;
            exit = cx.interrupts.next() => return Err(Stop::Signal(exit)),
            canceled = cx.api.cancel(task) => canceled,
        };
        match canceled {
            Ok(()) => cx.ui.note(&format!("canceled {task}, or it had ended")),
            Err(error) => {
                let failure = cx.api.failure(error);
                cx.ui.failure(&failure);
                worst = failure.exit;
            }
        }
    }
    Ok(worst)
}
