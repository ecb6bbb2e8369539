//! What an engine has to show before it may serve: a short decode that ends well, whose times are its first
//! measured speeds, and a cancel that is obeyed. Readiness is earned here, not assumed from a loaded file.

use std::sync::Arc;
use std::time::Duration;

use adapter_api::{
    Determinism, EndReport, Engine, EngineError, Finish, Input, Job, Piece, Sampling, TaskSink, Workload,
};
use orchestrator_core::{Millis, Priority, TaskId, TokenCount};
use tokio::sync::oneshot;
use tokio::time::Instant;
use uuid::Uuid;

/// Read by the engine under test: long enough that reading it says something of the speed, plain enough
/// that any model goes on with it.
const PROMPT: &str = "The old lighthouse stood at the end of the long stone pier, and every evening the keeper \
    climbed its narrow stairs to light the lamp. Ships far out at sea saw it turn, and sailors who had never \
    met the keeper knew that somebody was awake. One night in winter, when the wind came from the north, the \
    keeper looked out and saw";

/// How the test is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelfTestPolicy {
    /// Tokens to decode.
    pub tokens: TokenCount,
    /// The most time for reading the prompt and decoding them.
    pub limit: Duration,
    /// The most time from a cancel to its end.
    pub cancel_limit: Duration,
}

impl Default for SelfTestPolicy {
    fn default() -> Self {
        Self { tokens: TokenCount(16), limit: Duration::from_secs(60), cancel_limit: Duration::from_secs(5) }
    }
}

/// What the test measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SelfTest {
    /// Prompt tokens read a second.
    pub prefill_tps: f64,
    /// Tokens decoded a second by one sequence alone; nothing where the model does not decode, or ended
    /// its answer with its first piece.
    pub decode_tps: Option<f64>,
    /// From the job's arrival to its first token, or result.
    pub first_token_ms: Millis,
}

/// Why an engine did not pass.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelfTestError {
    /// The test decode took too long.
    #[error("no answer within {} ms", .0.as_millis())]
    TimedOut(Duration),
    /// The engine could not do it.
    #[error("{0}")]
    Failed(EngineError),
    /// It ended before it said anything.
    #[error("the answer is empty")]
    Empty,
    /// A job that nobody canceled ended so.
    #[error("the engine canceled a job by itself")]
    CanceledByItself,
    /// A cancel was not obeyed in time.
    #[error("a cancel was not obeyed within {} ms", .0.as_millis())]
    CancelIgnored(Duration),
}

/// Tests an engine. Dropping the future leaves at most one canceled job behind.
///
/// # Errors
/// What the engine failed at.
pub async fn run(engine: &Arc<dyn Engine>, policy: &SelfTestPolicy) -> Result<SelfTest, SelfTestError> {
    let workload = tested_workload(engine);
    let measured = decode(engine, policy, workload).await?;
    if workload == Workload::Completion {
        cancel(engine, policy).await?;
    }
    Ok(measured)
}

fn tested_workload(engine: &Arc<dyn Engine>) -> Workload {
    let offered = &engine.facts().workloads;
    if offered.contains(&Workload::Completion) {
        Workload::Completion
    } else {
        offered.first().copied().unwrap_or_default()
    }
}

async fn decode(
    engine: &Arc<dyn Engine>,
    policy: &SelfTestPolicy,
    workload: Workload,
) -> Result<SelfTest, SelfTestError> {
    let begun = now();
    let probe = Probe::submit(engine, job(workload, Some(policy.tokens)));
    let ended = tokio::time::timeout(policy.limit, probe.ended).await;
    let End { at, report } = match ended {
        Ok(ended) => ended.map_err(|_| SelfTestError::Failed(EngineError::Lost))?,
        Err(_) => {
            engine.cancel(probe.task);
            return Err(SelfTestError::TimedOut(policy.limit));
        }
    };
    match report.finish {
        Finish::Failed(error) => return Err(SelfTestError::Failed(error)),
        Finish::Canceled => return Err(SelfTestError::CanceledByItself),
        Finish::Stop | Finish::Length => {}
    }
    let mut first = probe.first;
    let first = first.try_recv().map_err(|_| SelfTestError::Empty)?;
    let read = report.tokens_in.0.saturating_sub(report.tokens_cached.0);
    let more = report.tokens_out.0.saturating_sub(first.tokens);
    Ok(SelfTest {
        prefill_tps: per_second(read.max(1), first.at - begun),
        decode_tps: (more > 0).then(|| per_second(more, at - first.at)),
        first_token_ms: Millis::from_duration(first.at - begun),
    })
}

async fn cancel(engine: &Arc<dyn Engine>, policy: &SelfTestPolicy) -> Result<(), SelfTestError> {
    let probe = Probe::submit(engine, job(Workload::Completion, None));
    // A first token that never comes, because the answer ended or the engine is slow, is no reason not to
    // cancel: the end is what is tested.
    let _ = tokio::time::timeout(policy.limit, probe.first).await;
    engine.cancel(probe.task);
    let ended = tokio::time::timeout(policy.cancel_limit, probe.ended)
        .await
        .map_err(|_| SelfTestError::CancelIgnored(policy.cancel_limit))?
        .map_err(|_| SelfTestError::Failed(EngineError::Lost))?;
    match ended.report.finish {
        Finish::Failed(error) => Err(SelfTestError::Failed(error)),
        Finish::Canceled | Finish::Stop | Finish::Length => Ok(()),
    }
}

fn job(workload: Workload, max_tokens: Option<TokenCount>) -> Job {
    let input = match workload {
        Workload::Completion => Input::Prompt(PROMPT.to_owned()),
        Workload::Embedding => Input::Inputs(vec![PROMPT.to_owned()]),
        Workload::Rerank => Input::Inputs(vec!["What did the keeper see?".to_owned(), PROMPT.to_owned()]),
    };
    Job {
        task: TaskId(Uuid::new_v4()),
        session: None,
        priority: Priority::Interactive,
        workload,
        input,
        ctx: None,
        max_tokens,
        sampling: greedy(),
        seed: 0,
        determinism: Determinism::BestEffort,
    }
}

fn greedy() -> Sampling {
    Sampling {
        temperature: 0.0,
        top_p: 1.0,
        top_k: 0,
        min_p: 0.0,
        repeat_penalty: 1.0,
        repeat_last_n: 0,
        stop: Vec::new(),
        logit_bias: Vec::new(),
        constraint: None,
    }
}

/// The first piece of an answer.
struct First {
    at: Instant,
    tokens: u32,
}

/// The end of an answer.
struct End {
    at: Instant,
    report: EndReport,
}

/// A submitted test job, as heard.
struct Probe {
    task: TaskId,
    first: oneshot::Receiver<First>,
    ended: oneshot::Receiver<End>,
}

impl Probe {
    fn submit(engine: &Arc<dyn Engine>, job: Job) -> Self {
        let (first_tx, first) = oneshot::channel();
        let (ended_tx, ended) = oneshot::channel();
        let task = job.task;
        engine.submit(job, Box::new(ProbeSink { first: Some(first_tx), ended: ended_tx }));
        Self { task, first, ended }
    }
}

struct ProbeSink {
    first: Option<oneshot::Sender<First>>,
    ended: oneshot::Sender<End>,
}

impl TaskSink for ProbeSink {
    fn tokens(&mut self, piece: Piece) {
        if let Some(first) = self.first.take() {
            let tokens = u32::try_from(piece.tokens.len()).unwrap_or(u32::MAX);
            // A receiver that is gone has given up the test.
            let _ = first.send(First { at: now(), tokens });
        }
    }

    fn end(self: Box<Self>, report: EndReport) {
        let _ = self.ended.send(End { at: now(), report });
    }
}

fn per_second(tokens: u32, span: Duration) -> f64 {
    f64::from(tokens) / span.max(Duration::from_micros(1)).as_secs_f64()
}

#[expect(clippy::disallowed_methods, reason = "the test measures an engine, which only a clock can")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests;
