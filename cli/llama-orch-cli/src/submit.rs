//! Gets a task into the queue: waits where the daemon says that there will be room, within a bound, and
//! sends the same task again. It has one `task_id` all the while, so that it never becomes two tasks.
//!
//! Rules: ORCH-CLI-3

use std::time::{Duration, Instant};

use api_types::{ErrorCode, TaskAccepted, TaskRequest};

use crate::api::ApiError;
use crate::clock;
use crate::context::{Context, Stop};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::text;

/// The shortest wait before a task is sent again, so that an answer of "0 ms" makes no storm.
const MIN_WAIT: Duration = Duration::from_millis(50);
/// How often a task is sent again whose answer was lost with the connection.
const MAX_LOSSES: u32 = 3;
/// How often the countdown changes.
const COUNTDOWN_STEP: Duration = Duration::from_secs(1);

/// A task that is in the queue.
pub struct Submitted {
    pub accepted: TaskAccepted,
    /// When the request was sent that was accepted.
    pub sent: Instant,
}

/// Submits `request`, which has its `task_id`, and waits for room at most `patience`. When nothing comes of
/// it although the daemon may have the task, because the answer to a send was lost, it is canceled there.
///
/// # Errors
/// The daemon refuses it for good, the wait is over, or a signal came.
pub async fn submit(cx: &mut Context, request: &TaskRequest, patience: Duration) -> Result<Submitted, Stop> {
    let mut losses = 0;
    let outcome = until_accepted(cx, request, patience, &mut losses).await;
    if let (Err(_), 1.., Some(id)) = (&outcome, losses, request.task_id) {
        cx.api.cancel_quietly(id).await;
    }
    outcome
}

/// Counts in `losses` the sends that the daemon may have heard and whose answer did not come.
async fn until_accepted(
    cx: &mut Context,
    request: &TaskRequest,
    patience: Duration,
    losses: &mut u32,
) -> Result<Submitted, Stop> {
    let start = clock::now();
    loop {
        let sent = clock::now();
        let answer = tokio::select! {
            biased;
            exit = cx.interrupts.next() => {
                *losses += 1;
                return Err(Stop::Signal(exit));
            }
            answer = cx.api.submit(request) => answer,
        };
        let error = match answer {
            Ok(accepted) => {
                cx.ui.clear_live();
                return Ok(Submitted { accepted, sent });
            }
            Err(error) => error,
        };
        if let ApiError::Broken(_) = error {
            *losses += 1;
        }
        let wait = match (&error, error.room_in()) {
            (_, Some(wait)) => wait.max(MIN_WAIT),
            (ApiError::Broken(_), None) if *losses <= MAX_LOSSES => MIN_WAIT * 4_u32.pow(*losses),
            (_, None) => return Err(cx.api.failure(error).into()),
        };
        let left = clock::left(start, patience);
        if wait > left {
            return Err(gave_up(cx.api.failure(error), wait, patience).into());
        }
        count_down(cx, reason(&error), wait).await?;
    }
}

/// What a person reads while the wait lasts.
fn reason(error: &ApiError) -> &str {
    match error {
        ApiError::Refused { envelope, .. } => match envelope.code {
            ErrorCode::AdmissionReject => "queue full",
            ErrorCode::PoolUnready => "the model is loading",
            ErrorCode::PoolUnavailable => "the pool cannot serve now",
            _ => "not now",
        },
        ApiError::Broken(_) => "the connection broke",
        _ => "not now",
    }
}

fn gave_up(failure: Failure, wait: Duration, patience: Duration) -> Failure {
    if failure.exit != Exit::Busy {
        return failure;
    }
    let wait = text::countdown(wait);
    let hint = if patience.is_zero() {
        format!("there should be room in {wait}; without `--no-wait` it is waited for")
    } else {
        format!(
            "there should be room in {wait}, and that is longer than what is left of `--max-wait` {}",
            patience.as_secs()
        )
    };
    failure.hint(hint)
}

/// Waits, visibly.
async fn count_down(cx: &mut Context, reason: &str, wait: Duration) -> Result<(), Stop> {
    let start = clock::now();
    loop {
        let left = clock::left(start, wait);
        if left.is_zero() {
            return Ok(());
        }
        cx.ui.live(&format!("{reason}: trying again in {} (Ctrl-C gives up)", text::countdown(left)));
        // A live line changes on the second; a log has one line a wait.
        let part = Duration::from_nanos(u64::from(left.subsec_nanos()));
        let step = match (cx.ui.live_is_cheap(), part.is_zero()) {
            (false, _) => left,
            (true, true) => COUNTDOWN_STEP,
            (true, false) => part,
        };
        tokio::select! {
            biased;
            exit = cx.interrupts.next() => return Err(Stop::Signal(exit)),
            () = tokio::time::sleep(step) => {}
        }
    }
}
