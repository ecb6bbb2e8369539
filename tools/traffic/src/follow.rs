//! One task, from its request to its end, as its caller sees it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use openapi_client::types::{Priority, TaskAccepted, TaskRequest};
use openapi_client::{Client, Event, Failure};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::Gauge;

/// How long the daemon may take to cancel a task.
const CANCEL_LIMIT: Duration = Duration::from_secs(2);

/// What every task is followed with.
#[derive(Clone)]
pub(crate) struct Means {
    pub(crate) client: Client,
    pub(crate) gauge: Arc<Gauge>,
    pub(crate) stop: CancellationToken,
}

/// What one task saw.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) priority: Priority,
    pub(crate) ttft: Option<Duration>,
    pub(crate) gaps: Vec<Duration>,
    pub(crate) tokens: u64,
    pub(crate) predicted_ms: f64,
    pub(crate) waited_ms: f64,
    pub(crate) ending: Ending,
    /// Whether the second try was admitted, where the first was refused.
    pub(crate) retry: Option<bool>,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// All of its answer came.
    Answered,
    /// An error, or a stream that could not be read.
    Failed,
    /// There was no room, twice.
    Refused,
    /// The run was ended first.
    Cut,
}

/// Follows it. One that is refused comes back once, when it was told to; one that is open when the run is ended is
/// canceled.
pub(crate) async fn follow(means: Means, task: TaskRequest) -> Result<Seen, Failure> {
    let id = task.task_id.unwrap_or_else(Uuid::new_v4);
    let task = TaskRequest { task_id: Some(id), ..task };
    let mut seen = Seen {
        priority: task.priority.unwrap_or(Priority::Interactive),
        ttft: None,
        gaps: Vec::new(),
        tokens: 0,
        predicted_ms: 0.0,
        waited_ms: 0.0,
        ending: Ending::Cut,
        retry: None,
    };
    let ended = tokio::select! {
        biased;
        () = means.stop.cancelled() => None,
        ended = see(&means, &task, id, &mut seen) => Some(ended),
    };
    match ended {
        Some(ended) => seen.ending = ended?,
        None => {
            // Nobody is left to tell when the daemon does not hear it.
            let _ = tokio::time::timeout(CANCEL_LIMIT, means.client.cancel_task(&id)).await;
        }
    }
    Ok(seen)
}

async fn see(means: &Means, task: &TaskRequest, id: Uuid, seen: &mut Seen) -> Result<Ending, Failure> {
    let sent = Instant::now();
    let accepted = match submit(&means.client, task).await? {
        Ok(accepted) => accepted,
        Err(wait) => {
            tokio::time::sleep(wait).await;
            let again = submit(&means.client, task).await?;
            seen.retry = Some(again.is_ok());
            let Ok(accepted) = again else { return Ok(Ending::Refused) };
            accepted
        }
    };
    seen.predicted_ms = accepted.predicted_start_ms as f64;
    let Ok(mut events) = means.client.events(id, None).await else { return Ok(Ending::Failed) };
    let mut last = None;
    let mut ending = Ending::Failed;
    while let Some(Ok(event)) = events.next().await {
        let now = Instant::now();
        match event {
            Event::Started(_) => {}
            Event::Token(_) => {
                seen.tokens += 1;
                means.gauge.tokens.fetch_add(1, Ordering::Relaxed);
                match last.replace(now) {
                    Some(last) => seen.gaps.push(now - last),
                    // The time of one that came back holds its wait outside, too.
                    None => seen.ttft = seen.retry.is_none().then(|| now - sent),
                }
            }
            Event::End(end) => {
                seen.waited_ms = end.queue_ms as f64;
                ending = if end.error.is_none() { Ending::Answered } else { Ending::Failed };
            }
        }
    }
    Ok(ending)
}

/// The place of the task, or when to come back.
async fn submit(client: &Client, task: &TaskRequest) -> Result<Result<TaskAccepted, Duration>, Failure> {
    match client.create_task(task).await.map_err(Failure::from) {
        Ok(accepted) => Ok(Ok(accepted.into_inner())),
        Err(Failure::Refused(refusal)) if refusal.retry_after.is_some() => {
            Ok(Err(refusal.retry_after.unwrap_or_default()))
        }
        Err(failure) => Err(failure),
    }
}
