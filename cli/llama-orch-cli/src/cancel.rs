//! `cancel`: each task that is named, whatever became of the one before it.
//!
//! Rules: ORCH-CLI-8, ORCH-CLI-21

use api_types::{FinishReason, TaskState, TaskSummary};
use serde::Serialize;
use uuid::Uuid;

use crate::api::{Api, ApiError};
use crate::args::CancelArgs;
use crate::context::{Context, Stop};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::text;

/// What a task was doing when it was canceled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Was {
    Waiting,
    Running,
    Ended,
}

/// What became of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Outcome {
    canceled: bool,
    /// Absent where the daemon has forgotten the task.
    #[serde(skip_serializing_if = "Option::is_none")]
    was: Option<Was>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tokens_out: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    finish_reason: Option<FinishReason>,
}

/// One line of `--json`.
#[derive(Serialize)]
struct Line<T> {
    task_id: Uuid,
    #[serde(flatten)]
    told: T,
}

/// Why a task was not canceled.
#[derive(Serialize)]
struct Failed<'a> {
    canceled: bool,
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
        let outcome = tokio::select! {
            biased;
            exit = cx.interrupts.next() => return Err(Stop::Signal(exit)),
            outcome = cancel_one(&cx.api, task) => outcome,
        };
        match outcome.map_err(|error| cx.api.failure(error)) {
            Ok(outcome) if args.json => cx.ui.print(&line(task, &outcome))?,
            Ok(outcome) => cx.ui.print(&format!("{task}: {}", describe(&outcome)))?,
            Err(failure) => {
                if args.json {
                    cx.ui.print(&line(task, failed(&failure)))?;
                    cx.ui.failure_in_words(&failure);
                } else {
                    cx.ui.failure(&failure);
                }
                worst = failure.exit;
            }
        }
    }
    Ok(worst)
}

/// Cancels a task, and looks at it before and after: the cancel itself says only that nothing follows.
async fn cancel_one(api: &Api, task: Uuid) -> Result<Outcome, ApiError> {
    let before = api.task(task).await?;
    api.cancel(task).await?;
    // A task that is not kept after its end is forgotten by now.
    let after = api.task(task).await.ok();
    Ok(outcome(&before, after.as_ref()))
}

fn outcome(before: &TaskSummary, after: Option<&TaskSummary>) -> Outcome {
    let ended = |task: &TaskSummary| Outcome {
        canceled: false,
        was: Some(Was::Ended),
        tokens_out: Some(task.tokens_out),
        finish_reason: task.finish_reason,
    };
    match after {
        _ if before.state == TaskState::Ended => ended(before),
        Some(after) if after.finish_reason.is_some_and(|reason| reason != FinishReason::Canceled) => {
            ended(after)
        }
        Some(after) => Outcome {
            canceled: true,
            was: Some(if after.started_ms.is_some() { Was::Running } else { Was::Waiting }),
            tokens_out: Some(after.tokens_out),
            finish_reason: after.finish_reason,
        },
        None => Outcome { canceled: true, was: None, tokens_out: None, finish_reason: None },
    }
}

fn describe(outcome: &Outcome) -> String {
    let tokens = text::count(outcome.tokens_out.unwrap_or(0).into(), "token");
    match (outcome.was, outcome.tokens_out) {
        (None, _) => "canceled".to_owned(),
        (Some(Was::Waiting), _) => "canceled while it waited in the queue".to_owned(),
        (Some(Was::Running), Some(0)) => "canceled while the model read its prompt".to_owned(),
        (Some(Was::Running), _) => format!("canceled while it ran, after {tokens}"),
        (Some(Was::Ended), _) => {
            let why = outcome.finish_reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
            format!("had ended already, after {tokens}{why}")
        }
    }
}

const fn failed(failure: &Failure) -> Failed<'_> {
    Failed {
        canceled: false,
        message: failure.message.as_str(),
        code: match &failure.code {
            Some(code) => Some(code.as_str()),
            None => None,
        },
        hint: match &failure.hint {
            Some(hint) => Some(hint.as_str()),
            None => None,
        },
        exit: failure.exit.code(),
    }
}

fn line(task_id: Uuid, told: impl Serialize) -> String {
    serde_json::to_string(&Line { task_id, told }).expect("strings and numbers make JSON")
}
