//! The pretend engine: one task of the runtime for each job, a semaphore for the slots.
//!
//! The policy of those tasks: canceled by `cancel`, by `stop` and by the engine's death, all of which
//! they watch; they exit when their job has its `end` or is lost. No one waits for them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use engine_api::admission::check_offer;
use engine_api::{
    Engine, EngineFacts, ExitReason, MeasureError, Measured, ModelFacts, ReplicaSpec, SessionKv, StopOutcome,
    TaskSink, TextAnswer, TextQuery,
};
use futures_core::future::BoxFuture;
use generation::{
    EndReport, EngineError, ExtraFields, Finish, GenerateRequest, InlineReasoningParser, Input, KvHint,
    OutputChunk, PendingOutput, TokenCandidate, TokenLogprob, Workload,
};
use orchestrator_core::{Millis, SessionId, TaskId, TokenCount};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

use crate::config::{Answer, Measuring, MockConfig};
use crate::control::{Phase, Shared};
use crate::words;

/// Sessions whose words are remembered; the oldest gives way.
const MAX_SESSIONS: usize = 1024;

/// What a job is asked to do from outside.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    GoOn,
    Cancel,
}

/// What the engine and its jobs have in common.
pub(crate) struct Inner {
    config: MockConfig,
    facts: EngineFacts,
    shared: Arc<Shared>,
    slots: Semaphore,
    gone: watch::Sender<Option<ExitReason>>,
    /// Why it takes no new jobs; nothing while it does.
    suspended: watch::Sender<Option<String>>,
    memory: Mutex<Memory>,
}

#[derive(Default)]
struct Memory {
    jobs: HashMap<TaskId, watch::Sender<Order>>,
    sessions: Vec<(SessionId, Vec<i32>)>,
    decoded: u64,
}

/// A pretend engine.
pub(crate) struct MockEngine {
    inner: Arc<Inner>,
    runtime: Handle,
}

impl MockEngine {
    pub(crate) fn new(spec: &ReplicaSpec, config: &MockConfig, shared: &Arc<Shared>) -> Self {
        let inner = Arc::new(Inner {
            facts: facts(spec, config),
            config: config.clone(),
            shared: Arc::clone(shared),
            slots: Semaphore::new(usize::from(config.slots)),
            gone: watch::Sender::new(None),
            suspended: watch::Sender::new(None),
            memory: Mutex::default(),
        });
        shared.started(&inner);
        Self { inner, runtime: Handle::current() }
    }
}

impl Drop for MockEngine {
    fn drop(&mut self) {
        self.inner.die(ExitReason::Signal(9));
    }
}

impl Engine for MockEngine {
    fn facts(&self) -> &EngineFacts {
        &self.inner.facts
    }

    fn submit(&self, job: Arc<GenerateRequest>, sink: Box<dyn TaskSink>) {
        let inner = Arc::clone(&self.inner);
        inner.shared.submitted(job.task);
        if let Some(reason) = inner.suspended.borrow().clone() {
            return Run::new(&job, sink).close(
                &inner,
                &job,
                Some(Finish::Failed(EngineError::Unavailable(reason))),
            );
        }
        let (order, orders) = watch::channel(Order::GoOn);
        inner.memory().jobs.insert(job.task, order);
        self.runtime.spawn(async move {
            let mut run = Run::new(&job, sink);
            let _until_told = orders.clone();
            let mut gone = inner.gone.subscribe();
            let finish = tokio::select! {
                biased;
                _ = gone.wait_for(Option::is_some) => None,
                finish = run.until_end(&inner, &job, orders) => Some(finish),
            };
            inner.memory().jobs.remove(&job.task);
            run.close(&inner, &job, finish);
        });
    }

    fn cancel(&self, task: TaskId) {
        self.inner.shared.count(|counts| counts.cancels += 1);
        if self.inner.config.ignores_cancel {
            return;
        }
        if let Some(order) = self.inner.memory().jobs.get(&task) {
            order.send_replace(Order::Cancel);
        }
    }

    fn measure(&self, job: Arc<GenerateRequest>) -> BoxFuture<'static, Result<Measured, MeasureError>> {
        let inner = Arc::clone(&self.inner);
        inner.shared.count(|counts| counts.measures += 1);
        Box::pin(async move {
            if inner.config.measuring == Measuring::Dies {
                inner.die(inner.config.dies_with.clone());
            }
            let mut gone = inner.gone.subscribe();
            tokio::select! {
                biased;
                _ = gone.wait_for(Option::is_some) => return Err(MeasureError::Gone),
                () = inner.shared.gate(Phase::Measure) => {}
            }
            match &inner.config.refuses {
                Some(what) => Err(MeasureError::Invalid(what.clone())),
                None => Ok(words::measure(&job.input)),
            }
        })
    }

    /// Words are its tokens, numbered by their places.
    fn text(&self, query: TextQuery) -> BoxFuture<'static, Result<TextAnswer, MeasureError>> {
        let answer = match query {
            TextQuery::Tokenize { text, .. } => TextAnswer::Tokens(words::pieces(&text)),
            TextQuery::Detokenize(tokens) => {
                TextAnswer::Text(tokens.iter().map(|token| format!("w{token} ")).collect())
            }
            TextQuery::ApplyTemplate(job) => TextAnswer::Text(words::words_of(&job.input).join(" ")),
        };
        Box::pin(std::future::ready(Ok(answer)))
    }

    fn session_kv(&self, session: SessionId) -> Option<SessionKv> {
        let memory = self.inner.memory();
        let (_, held) = memory.sessions.iter().find(|(id, _)| *id == session)?;
        let tokens = words::count(held.len());
        let bytes = u64::from(tokens.0) * self.inner.config.kv_bytes_per_token;
        Some(SessionKv { tokens, tokens_at_end: tokens, bytes })
    }

    fn evict_session(&self, session: SessionId) {
        self.inner.memory().sessions.retain(|(id, _)| *id != session);
    }

    fn suspended(&self) -> BoxFuture<'static, String> {
        let mut suspended = self.inner.suspended.subscribe();
        Box::pin(async move {
            let reason = suspended.wait_for(Option::is_some).await.ok().and_then(|reason| reason.clone());
            match reason {
                Some(reason) => reason,
                None => std::future::pending().await,
            }
        })
    }

    fn resumed(&self) -> BoxFuture<'static, ()> {
        let mut suspended = self.inner.suspended.subscribe();
        Box::pin(async move {
            if suspended.wait_for(Option::is_none).await.is_err() {
                std::future::pending().await
            }
        })
    }

    fn gone(&self) -> BoxFuture<'static, ExitReason> {
        let mut gone = self.inner.gone.subscribe();
        Box::pin(async move {
            match gone.wait_for(Option::is_some).await {
                Ok(reason) => reason.clone().expect("waited for it"),
                Err(_) => ExitReason::Signal(9),
            }
        })
    }

    fn stop(&self, grace: Duration) -> BoxFuture<'static, StopOutcome> {
        let inner = Arc::clone(&self.inner);
        Box::pin(async move {
            let mut gone = inner.gone.subscribe();
            if gone.borrow_and_update().is_some() {
                return StopOutcome::AlreadyGone;
            }
            let obeyed = tokio::time::timeout(grace, inner.shared.gate(Phase::Stop)).await.is_ok();
            if obeyed {
                inner.cancel_all().await;
            }
            inner.die(ExitReason::Stopped);
            if obeyed { StopOutcome::Ended } else { StopOutcome::Killed }
        })
    }
}

impl Inner {
    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_suspended(&self, reason: Option<String>) {
        self.suspended.send_replace(reason);
    }

    /// Gone from now on, with the first reason given.
    pub(crate) fn die(&self, reason: ExitReason) {
        let first = self.gone.send_if_modified(|gone| {
            let first = gone.is_none();
            gone.get_or_insert(reason);
            first
        });
        if first {
            self.shared.count(|counts| counts.gone += 1);
        }
    }

    /// Cancels what runs and lets it say its end.
    async fn cancel_all(&self) {
        let running: Vec<_> = self.memory().jobs.values().cloned().collect();
        for order in running {
            order.send_replace(Order::Cancel);
            order.closed().await;
        }
    }

    /// Whether the engine is still alive after one more token.
    fn decoded_one(&self) -> bool {
        self.shared.count(|counts| counts.tokens += 1);
        let mut memory = self.memory();
        memory.decoded += 1;
        self.config.dies_after_tokens.is_none_or(|limit| memory.decoded < limit)
    }

    /// How many of the first `tokens` are in the cache of `session`: the last one is always computed.
    fn cached(&self, session: SessionId, tokens: &[i32]) -> usize {
        let memory = self.memory();
        let held = memory.sessions.iter().find(|(id, _)| *id == session).map(|(_, held)| held);
        let same = held.map_or(0, |held| held.iter().zip(tokens).take_while(|(a, b)| a == b).count());
        same.min(tokens.len().saturating_sub(1))
    }

    fn remember(&self, session: SessionId, tokens: Vec<i32>) {
        let mut memory = self.memory();
        memory.sessions.retain(|(id, _)| *id != session);
        if memory.sessions.len() == MAX_SESSIONS {
            memory.sessions.remove(0);
        }
        memory.sessions.push((session, tokens));
    }
}

/// One job on its way.
struct Run {
    sink: Option<Box<dyn TaskSink>>,
    prompt: Vec<String>,
    tokens: Vec<i32>,
    cached: usize,
    arrived: Instant,
    first: Option<Instant>,
    /// Fields of its own behind the last chunk.
    extra: Option<Arc<ExtraFields>>,
    /// Parses reasoning out of a chat's text, as long as there may be some.
    inline: Option<InlineReasoningParser>,
    pending: PendingOutput,
    running: bool,
}

impl Run {
    fn new(job: &GenerateRequest, sink: Box<dyn TaskSink>) -> Self {
        let prompt = words::words_of(&job.input);
        let tokens: Vec<i32> = prompt.iter().map(|word| words::token_of(word)).collect();
        Self {
            sink: Some(sink),
            prompt,
            tokens,
            cached: 0,
            arrived: now(),
            first: None,
            extra: None,
            inline: matches!(*job.input, Input::Messages(_)).then(InlineReasoningParser::default),
            pending: PendingOutput::default(),
            running: false,
        }
    }

    /// Every phase of the job, up to its end or its cancel.
    async fn until_end(
        &mut self,
        inner: &Inner,
        job: &GenerateRequest,
        mut orders: watch::Receiver<Order>,
    ) -> Finish {
        if let Some(error) = refusal(inner, job, self.tokens.len()) {
            return Finish::Failed(EngineError::Invalid(error));
        }
        tokio::select! {
            biased;
            _ = orders.wait_for(|order| *order == Order::Cancel) => Finish::Canceled,
            finish = self.phases(inner, job) => finish,
        }
    }

    async fn phases(&mut self, inner: &Inner, job: &GenerateRequest) -> Finish {
        let _slot = inner.slots.acquire().await.expect("never closed");
        self.running = true;
        self.cached = session_cache(job).map_or(0, |session| inner.cached(session, &self.tokens));
        inner.shared.count(|counts| counts.running += 1);
        inner.shared.gate(Phase::Prefill).await;
        pass_time(MockConfig::span(self.tokens.len() - self.cached, inner.config.prefill_tps)).await;
        match job.workload {
            Workload::Completion => self.decode(inner, job).await,
            Workload::Embedding | Workload::Rerank => {
                self.first = Some(now());
                for result in words::results(job) {
                    self.send(OutputChunk::result(result));
                }
                Finish::Stop
            }
        }
    }

    async fn decode(&mut self, inner: &Inner, job: &GenerateRequest) -> Finish {
        let ctx = job.ctx.map_or(inner.config.ctx, |ctx| ctx.min(inner.config.ctx)).0 as usize;
        let room = ctx.saturating_sub(self.prompt.len());
        let most = job.max_tokens.map_or(room, |most| room.min(most.0 as usize));
        if let Answer::Chunks(chunks) = &inner.config.answer {
            return self.play(inner, chunks).await;
        }
        for (index, word) in words::answer_words(&inner.config.answer, &self.prompt).enumerate() {
            if index >= most {
                return Finish::Length;
            }
            if index < job.written.len() {
                self.tokens.push(words::token_of(&word));
                continue;
            }
            inner.shared.gate(Phase::Decode).await;
            pass_time(MockConfig::span(1, inner.config.decode_tps)).await;
            self.first.get_or_insert_with(now);
            let token = words::token_of(&word);
            self.tokens.push(token);
            let text = if index == 0 { word } else { format!(" {word}") };
            let logprobs = job.logprobs.map(|most| certain(token, &text, most)).into_iter().collect();
            self.send_text(OutputChunk { logprobs, ..OutputChunk::text(text, vec![token]) });
            if !inner.decoded_one() {
                inner.die(inner.config.dies_with.clone());
                std::future::pending::<()>().await;
            }
        }
        Finish::Stop
    }

    /// Sends what it was given to send.
    async fn play(&mut self, inner: &Inner, chunks: &[OutputChunk]) -> Finish {
        for chunk in chunks {
            inner.shared.gate(Phase::Decode).await;
            pass_time(MockConfig::span(1, inner.config.decode_tps)).await;
            self.first.get_or_insert_with(now);
            self.tokens.extend(&chunk.tokens);
            if chunk.is_empty() {
                self.extra.clone_from(&chunk.extra);
            } else if chunk.events.is_none() {
                self.send_text(chunk.clone());
            } else {
                self.send(chunk.clone());
            }
            inner.decoded_one();
        }
        Finish::Stop
    }

    /// Sends text of a chat without the reasoning in it, as real engines do.
    fn send_text(&mut self, raw: OutputChunk) {
        let Some(inline) = &mut self.inline else { return self.send(raw) };
        let events = inline.push(&raw.text);
        self.pending.push(raw);
        if inline.is_done() {
            self.inline = None;
        }
        if let Some(chunk) = self.pending.take(events) {
            self.send(chunk);
        }
    }

    fn send(&mut self, chunk: OutputChunk) {
        self.sink.as_mut().expect("kept until the end").output(chunk);
    }

    /// Says the end, or drops the sink where there is none.
    fn close(mut self, inner: &Inner, job: &GenerateRequest, finish: Option<Finish>) {
        if self.running {
            inner.shared.count(|counts| counts.running -= 1);
        }
        let Some(finish) = finish else {
            self.sink = None;
            inner.shared.count(|counts| counts.lost += 1);
            return;
        };
        let held = self.inline.take().and_then(|mut inline| inline.finish());
        if let Some(chunk) = self.pending.finish(held.into_iter().collect()) {
            self.send(chunk);
        }
        let now = now();
        let first = self.first.unwrap_or(now);
        let report = EndReport {
            stop_text: None,
            finish,
            tokens_in: words::count(self.prompt.len()),
            tokens_cached: words::count(self.cached),
            tokens_out: words::count(self.tokens.len() - self.prompt.len()),
            tokens_reasoning: None,
            prefill_ms: Millis::from_duration(first - self.arrived),
            decode_ms: Millis::from_duration(now - first),
            extra: self.extra.take(),
        };
        if let Some(session) = session_cache(job) {
            inner.remember(session, std::mem::take(&mut self.tokens));
        }
        if let Some(sink) = self.sink.take() {
            sink.end(report);
        }
        inner.shared.count(|counts| counts.ended += 1);
    }
}

/// The session whose cache a job uses and leaves behind.
fn session_cache(job: &GenerateRequest) -> Option<SessionId> {
    job.session.filter(|_| job.kv == KvHint::Reuse)
}

/// What is wrong with a job for this engine, if anything is.
fn refusal(inner: &Inner, job: &GenerateRequest, tokens: usize) -> Option<String> {
    let facts = &inner.facts;
    if let Err(why) = check_offer(job, facts) {
        return Some(why);
    }
    if tokens == 0 {
        return Some("the prompt is empty; it needs at least one word".to_owned());
    }
    let ctx = job.ctx.unwrap_or(facts.ctx).min(facts.ctx);
    (tokens >= ctx.0 as usize)
        .then(|| format!("the prompt of {tokens} tokens leaves no room for an answer in a context of {ctx}"))
}

/// The only token there could have been.
fn certain(token: i32, text: &str, most: u8) -> TokenLogprob {
    let chosen = TokenCandidate { token, bytes: text.as_bytes().to_vec(), logprob: 0.0 };
    let top = std::iter::repeat_n(chosen.clone(), usize::from(most.min(1))).collect();
    TokenLogprob { chosen, top }
}

fn facts(spec: &ReplicaSpec, config: &MockConfig) -> EngineFacts {
    let name =
        spec.model.file_stem().map_or_else(|| "mock".to_owned(), |stem| stem.to_string_lossy().into_owned());
    EngineFacts {
        kind: config.kind,
        version: "mock-1".to_owned(),
        build: "mock".to_owned(),
        slots: config.slots,
        ctx: config.ctx,
        kv_cells: None,
        kv_bytes_per_token: config.kv_bytes_per_token,
        kv_ram_bytes: 0,
        workloads: config.workloads.clone(),
        strict: config.strict,
        abilities: config.abilities,
        model: ModelFacts {
            name,
            architecture: "words".to_owned(),
            parameters: 1,
            size_bytes: 1,
            ctx_train: TokenCount(config.ctx.0),
            chat_template: true,
            embedding_size: 2,
            identity: 0,
        },
        load_ms: Millis::from_duration(config.load),
        memory: None,
    }
}

/// Waits, or only lets the others have their turn where there is nothing to wait.
async fn pass_time(span: Duration) {
    if span.is_zero() {
        tokio::task::yield_now().await;
    } else {
        tokio::time::sleep(span).await;
    }
}

#[expect(clippy::disallowed_methods, reason = "the pretend engine measures its own jobs, as a real one does")]
fn now() -> Instant {
    Instant::now()
}
