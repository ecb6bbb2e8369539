//! What an engine has to show before it may serve: a short decode that ends well, some at a time where it has
//! slots for them, whose times are its first measured speeds, and a cancel that is obeyed. Readiness is earned
//! here, not assumed from a loaded file.
//!
//! Rules: ORCH-PLACE-4, ORCH-REPL-1

use std::sync::Arc;
use std::time::Duration;

use engine_api::{Engine, TaskSink};
use generation::{EndReport, EngineError, Finish, GenerateRequest, Input, OutputChunk, Workload};
use orchestrator_core::{BatchedThroughput, Millis, TaskId, TokenCount};
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;
use uuid::Uuid;

/// Read by the engine under test: long enough that reading it says something of the speed, plain enough
/// that any model goes on with it.
const PROMPT: &str = "The old lighthouse stood at the end of the long stone pier, and every evening the keeper \
    climbed its narrow stairs to light the lamp. Ships far out at sea saw it turn, and sailors who had never \
    met the keeper knew that somebody was awake. One night in winter, when the wind came from the north, the \
    keeper looked out and saw";

/// A step of the engine cannot be shorter than one token, and a cancel is obeyed between two steps: the
/// least number of the engine's own slowest tokens that a cancel is given.
const CANCEL_TOKENS: u32 = 4;

/// Streams that are tested at a time: enough to measure what batching costs each.
const BATCHED_STREAMS: u16 = 4;

/// Streams are not tested together on an engine so slow that they would take longer than this.
const BATCHED_LIMIT: Duration = Duration::from_secs(10);

/// How the test is made. Silence is what is bounded, not the whole: a large model on a slow processor may
/// take its time as long as it goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelfTestPolicy {
    /// Tokens to decode.
    pub tokens: TokenCount,
    /// The most time for reading the prompt, up to the first token or the result.
    pub first_token_limit: Duration,
    /// The most time between two tokens, and between the last one and the end.
    pub between_tokens_limit: Duration,
    /// The most time from a cancel to its end; on an engine whose tokens take long, some of them.
    pub cancel_limit: Duration,
}

impl Default for SelfTestPolicy {
    fn default() -> Self {
        Self {
            tokens: TokenCount(16),
            first_token_limit: Duration::from_secs(600),
            between_tokens_limit: Duration::from_secs(120),
            cancel_limit: Duration::from_secs(5),
        }
    }
}

impl SelfTestPolicy {
    /// The limit of a cancel on an engine whose slowest token took this long.
    fn cancel_limit_at(&self, slowest_token: Duration) -> Duration {
        self.cancel_limit.max(slowest_token.saturating_mul(CANCEL_TOKENS))
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
    /// The speed of some sequences together; nothing where the engine has one slot, is very slow, or
    /// `decode_tps` is not known.
    pub batched: Option<BatchedThroughput>,
    /// From the job's arrival to its first token, or result.
    pub first_token_ms: Millis,
    /// How long the whole test took.
    pub took: Duration,
}

/// Why an engine did not pass.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelfTestError {
    /// The first token did not come.
    #[error("no answer within {} ms", .0.as_millis())]
    TimedOut(Duration),
    /// The answer began and did not go on.
    #[error("the answer stopped: nothing more came for {} ms", .0.as_millis())]
    Stalled(Duration),
    /// The engine could not do it.
    #[error("{0}")]
    Failed(EngineError),
    /// It ended before it said anything.
    #[error("the answer is empty")]
    Empty,
    /// A job ended as canceled without a cancel.
    #[error("the engine canceled a job by itself")]
    CanceledByItself,
    /// A cancel was not obeyed in time.
    #[error("a cancel was not obeyed within {} ms", .0.as_millis())]
    CancelIgnored(Duration),
}

/// Tests an engine. Dropping the future leaves behind the short jobs that were submitted, four at most.
///
/// # Errors
/// What the engine failed at.
pub async fn run(engine: &Arc<dyn Engine>, policy: &SelfTestPolicy) -> Result<SelfTest, SelfTestError> {
    let (begun, workload) = (now(), tested_workload(engine));
    let (mut measured, slowest_token) = decode(engine, policy, workload).await?;
    if workload == Workload::Completion {
        if let Some(alone_tps) = measured.decode_tps {
            measured.batched = together(engine, policy, alone_tps).await?;
        }
        cancel(engine, policy, policy.cancel_limit_at(slowest_token)).await?;
    }
    measured.took = now() - begun;
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

/// Gives the time of the slowest token, too.
async fn decode(
    engine: &Arc<dyn Engine>,
    policy: &SelfTestPolicy,
    workload: Workload,
) -> Result<(SelfTest, Duration), SelfTestError> {
    let begun = now();
    let mut probe = Probe::submit(engine, job(workload, Some(policy.tokens)));
    let End { at, report } = probe.good_end(engine, policy).await?;
    let heard = *probe.heard.borrow();
    let first = heard.first.ok_or(SelfTestError::Empty)?;
    let read = report.tokens_in.0.saturating_sub(report.tokens_cached.0);
    let more = tokens_after(&first, &report);
    let measured = SelfTest {
        prefill_tps: per_second(read.max(1), first.at - begun),
        decode_tps: (more > 0).then(|| per_second(more, at - first.at)),
        batched: None,
        first_token_ms: Millis::from_duration(first.at - begun),
        took: at - begun,
    };
    // Of an answer of one piece only this is known: the token took no longer than the prompt and itself.
    Ok((measured, heard.longest_pause.unwrap_or(first.at - begun)))
}

/// Decodes some streams at a time, the same as alone: what one of them is to the others can be told then.
async fn together(
    engine: &Arc<dyn Engine>,
    policy: &SelfTestPolicy,
    alone_tps: f64,
) -> Result<Option<BatchedThroughput>, SelfTestError> {
    let streams = engine.facts().slots.min(BATCHED_STREAMS);
    let at_worst_s = f64::from(streams) * f64::from(policy.tokens.0) / alone_tps;
    if streams < 2 || at_worst_s > BATCHED_LIMIT.as_secs_f64() {
        return Ok(None);
    }
    let submit = || Probe::submit(engine, job(Workload::Completion, Some(policy.tokens)));
    let mut probes: Vec<Probe> = (0..streams).map(|_| submit()).collect();
    let mut outcome = Ok(Some(0.0));
    for probe in &mut probes {
        // One that failed leaves none of the others behind.
        let Ok(sum_ms) = outcome else {
            engine.cancel(probe.task);
            continue;
        };
        outcome = probe.token_ms(engine, policy).await.map(|token_ms| Some(sum_ms? + token_ms?));
    }
    let throughput =
        |sum_ms: f64| BatchedThroughput { streams, decode_tps: 1000.0 * f64::from(streams) / sum_ms };
    Ok(outcome?.map(throughput))
}

/// Tokens that came after the first piece.
fn tokens_after(first: &First, report: &EndReport) -> u32 {
    report.tokens_out.0.saturating_sub(first.tokens)
}

async fn cancel(
    engine: &Arc<dyn Engine>,
    policy: &SelfTestPolicy,
    limit: Duration,
) -> Result<(), SelfTestError> {
    let mut probe = Probe::submit(engine, job(Workload::Completion, None));
    // A first token that never comes, because the answer ended or the engine is slow, is no reason not to
    // cancel: the end is what is tested.
    let first = probe.heard.wait_for(|heard| heard.first.is_some());
    let _ = tokio::time::timeout(policy.first_token_limit, first).await;
    engine.cancel(probe.task);
    let ended = tokio::time::timeout(limit, probe.ended)
        .await
        .map_err(|_| SelfTestError::CancelIgnored(limit))?
        .map_err(|_| SelfTestError::Failed(EngineError::Lost))?;
    match ended.report.finish {
        Finish::Failed(error) => Err(SelfTestError::Failed(error)),
        Finish::Canceled | Finish::Stop | Finish::Length => Ok(()),
    }
}

fn job(workload: Workload, max_tokens: Option<TokenCount>) -> GenerateRequest {
    let input = match workload {
        Workload::Completion => Input::Prompt(PROMPT.to_owned()),
        Workload::Embedding => Input::Inputs(vec![PROMPT.to_owned()]),
        Workload::Rerank => Input::Inputs(vec!["What did the keeper see?".to_owned(), PROMPT.to_owned()]),
    };
    GenerateRequest { workload, max_tokens, ..GenerateRequest::new(TaskId(Uuid::new_v4()), input) }
}

/// The first piece of an answer.
#[derive(Clone, Copy)]
struct First {
    at: Instant,
    tokens: u32,
}

/// The progress of an answer.
#[derive(Clone, Copy, Default)]
struct SinkCall {
    first: Option<First>,
    last_at: Option<Instant>,
    /// The longest time between two pieces.
    longest_pause: Option<Duration>,
}

impl SinkCall {
    fn piece(&mut self, at: Instant, tokens: u32) {
        self.first.get_or_insert(First { at, tokens });
        if let Some(before) = self.last_at.replace(at) {
            self.longest_pause = self.longest_pause.max(Some(at - before));
        }
    }
}

/// The end of an answer.
struct End {
    at: Instant,
    report: EndReport,
}

/// A submitted test job, as heard.
struct Probe {
    task: TaskId,
    heard: watch::Receiver<SinkCall>,
    ended: oneshot::Receiver<End>,
}

impl Probe {
    fn submit(engine: &Arc<dyn Engine>, job: GenerateRequest) -> Self {
        let (heard_tx, heard) = watch::channel(SinkCall::default());
        let (ended_tx, ended) = oneshot::channel();
        let task = job.task;
        engine.submit(Arc::new(job), Box::new(ProbeSink { heard: heard_tx, ended: ended_tx }));
        Self { task, heard, ended }
    }

    /// Waits for the end of an answer that was not canceled, within the limits of the policy.
    async fn good_end(
        &mut self,
        engine: &Arc<dyn Engine>,
        policy: &SelfTestPolicy,
    ) -> Result<End, SelfTestError> {
        let end = self.end_of_answer(policy).await.inspect_err(|_| engine.cancel(self.task))?;
        match end.report.finish {
            Finish::Failed(error) => Err(SelfTestError::Failed(error)),
            Finish::Canceled => Err(SelfTestError::CanceledByItself),
            Finish::Stop | Finish::Length => Ok(end),
        }
    }

    /// Milliseconds of a token of the answer; nothing when it was of one piece.
    async fn token_ms(
        &mut self,
        engine: &Arc<dyn Engine>,
        policy: &SelfTestPolicy,
    ) -> Result<Option<f64>, SelfTestError> {
        let End { at, report } = self.good_end(engine, policy).await?;
        let first = self.heard.borrow().first;
        Ok(first.and_then(|first| {
            let more = tokens_after(&first, &report);
            (more > 0).then(|| 1000.0 / per_second(more, at - first.at))
        }))
    }

    /// Waits for the end, for as long as no silence is too long.
    async fn end_of_answer(&mut self, policy: &SelfTestPolicy) -> Result<End, SelfTestError> {
        loop {
            let begun = self.heard.borrow_and_update().first.is_some();
            let limit = if begun { policy.between_tokens_limit } else { policy.first_token_limit };
            let ended = tokio::select! {
                biased;
                ended = &mut self.ended => ended,
                Ok(()) = self.heard.changed() => continue,
                () = tokio::time::sleep(limit) => {
                    let error = if begun { SelfTestError::Stalled } else { SelfTestError::TimedOut };
                    return Err(error(limit));
                }
            };
            return ended.map_err(|_| SelfTestError::Failed(EngineError::Lost));
        }
    }
}

struct ProbeSink {
    heard: watch::Sender<SinkCall>,
    ended: oneshot::Sender<End>,
}

impl TaskSink for ProbeSink {
    fn output(&mut self, chunk: OutputChunk) {
        let tokens = u32::try_from(chunk.tokens.len()).unwrap_or(u32::MAX);
        self.heard.send_modify(|heard| heard.piece(now(), tokens));
    }

    fn end(self: Box<Self>, report: EndReport) {
        // A receiver that is gone has given up the test.
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
