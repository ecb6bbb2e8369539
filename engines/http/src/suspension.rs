//! A time in which an engine takes no new work. It begins when a task fails before its first token, or a health probe
//! fails, and ends when the engine shows that it is well. Tasks that run go on meanwhile.
//!
//! ```text
//!           task failed before its first token, stream broke or fell silent, health probe failed
//!   open ──────────────────────────────────────────────────────────────────────────────────────► suspended
//!     ▲                                                                                              │
//!     └── health answers, and one token was generated where a task had failed ◄── probed, 100 ms ────┤
//!                                                                                  to some seconds   │
//!   gone ◄── the bound of failed probes, and nothing well for the time between two regular probes ◄──┘
//! ```
//!
//! Rules: ORCH-ENG-21, ORCH-ENG-22

use std::sync::Arc;
use std::time::Duration;

use engine_api::TaskSink;
use generation::{EndReport, GenerateRequest, Input, OutputChunk, Workload};
use orchestrator_core::{TaskId, TokenCount};

use crate::backend::HttpBackend;
use crate::config::Timeouts;
use crate::delivery::Delivery;
use crate::engine::answer;
use crate::fault::Fault;
use crate::inner::Inner;
use crate::progress::EventsRead;

/// The first probe of a suspended engine comes after this part of the time between two regular ones: 100 ms of 5 s.
const FIRST_PART: u32 = 50;

/// The last ones come after this part of it.
const LAST_PART: u32 = 2;

/// Why an engine takes no new work.
#[derive(Clone, Debug)]
pub(crate) struct Suspension {
    /// For the log.
    pub(crate) reason: String,
    pub(crate) proof: Proof,
}

/// What shows that an engine is well again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Proof {
    /// Its health path.
    Health,
    /// And an answer of one token: engines whose computing has died go on to answer for their health.
    Generation,
}

/// What a try at one token showed.
pub(crate) enum Tried {
    /// It was generated, or others were meanwhile.
    Works,
    /// The engine has no place for it now, and says so.
    Busy(Fault),
    Fails(Fault),
}

/// The time before the next probe of a suspended engine that was probed `tries` times.
pub(crate) fn delay(timeouts: &Timeouts, tries: u32) -> Duration {
    let first = timeouts.probe_every / FIRST_PART;
    first.saturating_mul(1 << tries.min(16)).min(timeouts.probe_every / LAST_PART)
}

/// Has the engine generate one token, in the words that every job is asked in.
pub(crate) async fn try_one_token<D: HttpBackend>(inner: &Inner<D>) -> Tried {
    let timeouts = inner.client.timeouts();
    let limit = timeouts.probe.min(timeouts.silence);
    let before = inner.read_of_all();
    let mut delivery = Delivery::new(Box::new(Nobody), EventsRead::default());
    let tried =
        tokio::time::timeout(limit, answer(inner, Arc::new(smallest_job(inner.workload)), &mut delivery))
            .await;
    match tried {
        Ok((Ok(_), incoming)) => {
            if let Some(incoming) = incoming {
                inner.client.keep(incoming).await;
            }
            Tried::Works
        }
        Ok((Err(fault @ Fault::Unready(_)), _)) => Tried::Busy(fault),
        Ok((Err(fault), _)) => Tried::Fails(fault),
        // It waits in the engine behind others that are served.
        Err(_) if inner.read_of_all() != before => Tried::Works,
        Err(_) => {
            let (server, limit) = (inner.client.server(), limit.as_secs_f32());
            Tried::Fails(Fault::Transport(format!("{server} generated nothing within {limit} s")))
        }
    }
}

fn smallest_job(workload: Workload) -> GenerateRequest {
    let word = || "a".to_owned();
    let input = match workload {
        Workload::Completion => Input::Prompt(word()),
        Workload::Embedding => Input::Inputs(vec![word()]),
        Workload::Rerank => Input::Inputs(vec![word(), word()]),
    };
    GenerateRequest {
        workload,

        max_tokens: (workload == Workload::Completion).then_some(TokenCount(1)),
        ..GenerateRequest::new(TaskId(uuid::Uuid::nil()), input)
    }
}

struct Nobody;

impl TaskSink for Nobody {
    fn output(&mut self, _chunk: OutputChunk) {}

    fn end(self: Box<Self>, _report: EndReport) {}
}

#[cfg(test)]
mod tests;
