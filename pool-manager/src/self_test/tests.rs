use std::path::PathBuf;
use std::pin::Pin;

use engine_api::{
    Device, EngineFactory, EngineFacts, ExitReason, LoadOptions, MeasureError, Measured, ReplicaSpec,
    SessionKv, StopOutcome,
};
use engine_mock::{MockConfig, MockControl, MockFactory, Phase};
use orchestrator_core::{PoolId, ReplicaId, SessionId};

use super::*;

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

async fn engine(config: MockConfig) -> (Arc<dyn Engine>, MockControl) {
    engine_of(1, config).await
}

async fn engine_of(slots: u16, mut config: MockConfig) -> (Arc<dyn Engine>, MockControl) {
    config.slots = slots;
    let spec = ReplicaSpec {
        replica: ReplicaId { pool: PoolId::new("p").unwrap(), index: 0 },
        model: PathBuf::from("m.gguf"),
        ctx: None,
        kv_cells: None,
        slots,
        threads: None,
        device: Device::Cpu,
        gpu_layers: None,
        options: LoadOptions::default(),
    };
    let (factory, control) = MockFactory::new(config);
    (factory.start(spec, Arc::new(|_| {})).await.expect("starts"), control)
}

#[tokio::test(start_paused = true)]
async fn the_speeds_are_the_engines_own() {
    let (engine, control) = engine(MockConfig::default()).await;
    let measured = run(&engine, &SelfTestPolicy::default()).await.expect("passes");
    let decode_tps = measured.decode_tps.expect("it decodes");
    // The first token takes a decode step too, and tokio's clock counts whole milliseconds.
    assert!((700.0..=1000.0).contains(&measured.prefill_tps), "{measured:?}");
    assert!((85.0..=101.0).contains(&decode_tps), "{measured:?}");
    assert!((Millis(60)..Millis(120)).contains(&measured.first_token_ms), "{measured:?}");
    let counts = control.until(|counts| counts.ended == 2).await;
    assert_eq!((counts.submitted, counts.cancels), (2, 1));
}

/// ORCH-PLACE-4
#[tokio::test(start_paused = true)]
async fn some_streams_are_tested_together_where_there_are_slots_for_them() {
    for (slots, streams) in [(2, 2), (16, 4)] {
        let (engine, control) = engine_of(slots, MockConfig::default()).await;
        let measured = run(&engine, &SelfTestPolicy::default()).await.expect("passes");
        let batched = measured.batched.expect("there are slots");
        assert_eq!(batched.streams, streams);
        assert!((85.0..=101.0).contains(&batched.decode_tps), "{measured:?}");
        let counts = control.until(|counts| counts.running == 0).await;
        assert_eq!(counts.submitted, 2 + u64::from(streams));
    }
}

#[tokio::test(start_paused = true)]
async fn a_very_slow_engine_is_not_kept_from_its_tasks_by_a_test_of_batching() {
    let (engine, _) = engine_of(4, MockConfig { decode_tps: 1.0, ..MockConfig::default() }).await;
    assert_eq!(run(&engine, &SelfTestPolicy::default()).await.expect("passes").batched, None);
}

#[tokio::test(start_paused = true)]
async fn an_embedding_model_is_tested_with_an_embedding() {
    let config = MockConfig { workloads: vec![Workload::Embedding], ..MockConfig::default() };
    let (engine, _) = engine(config).await;
    let measured = run(&engine, &SelfTestPolicy::default()).await.expect("passes");
    assert_eq!(measured.decode_tps, None);
    assert!(measured.prefill_tps > 900.0, "{measured:?}");
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_does_not_answer_fails_and_leaves_no_job_behind() {
    let (engine, control) = engine(MockConfig::instant()).await;
    control.hold(Phase::Decode);
    let policy = SelfTestPolicy::default();
    assert_eq!(run(&engine, &policy).await, Err(SelfTestError::TimedOut(policy.first_token_limit)));
    assert_eq!(control.until(|counts| counts.ended == 1).await.running, 0);
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_falls_silent_in_the_middle_fails_and_leaves_no_job_behind() {
    let (engine, control) = engine(MockConfig::instant()).await;
    control.hold(Phase::Decode);
    control.pass(Phase::Decode, 3);
    let policy = SelfTestPolicy::default();
    let begun = now();
    assert_eq!(run(&engine, &policy).await, Err(SelfTestError::Stalled(policy.between_tokens_limit)));
    assert!(now() - begun < policy.first_token_limit);
    assert_eq!(control.until(|counts| counts.ended == 1).await.running, 0);
}

#[tokio::test(start_paused = true)]
async fn a_slow_engine_passes_as_long_as_it_goes_on() {
    // Minutes for the prompt and half a minute a token: far beyond any limit of the whole.
    let slow = MockConfig { prefill_tps: 0.25, decode_tps: 1.0 / 30.0, ..MockConfig::default() };
    let (engine, _) = engine(slow).await;
    let begun = now();
    let measured = run(&engine, &SelfTestPolicy::default()).await.expect("passes");
    assert!(now() - begun > Duration::from_secs(600));
    assert!(measured.decode_tps.is_some_and(|tps| tps < 0.04), "{measured:?}");
}

/// An engine that hears of a cancel only after a step that takes this long.
struct InItsStep {
    inner: Arc<dyn Engine>,
    step: Duration,
}

impl Engine for InItsStep {
    fn facts(&self) -> &EngineFacts {
        self.inner.facts()
    }
    fn submit(&self, job: Arc<GenerateRequest>, sink: Box<dyn TaskSink>) {
        self.inner.submit(job, sink);
    }
    fn cancel(&self, task: TaskId) {
        let (inner, step) = (Arc::clone(&self.inner), self.step);
        crate::tasks::spawn(async move {
            tokio::time::sleep(step).await;
            inner.cancel(task);
        });
    }
    fn measure(&self, job: Arc<GenerateRequest>) -> BoxFuture<Result<Measured, MeasureError>> {
        self.inner.measure(job)
    }
    fn session_kv(&self, session: SessionId) -> Option<SessionKv> {
        self.inner.session_kv(session)
    }
    fn evict_session(&self, session: SessionId) {
        self.inner.evict_session(session);
    }
    fn gone(&self) -> BoxFuture<ExitReason> {
        self.inner.gone()
    }
    fn stop(&self, grace: Duration) -> BoxFuture<StopOutcome> {
        self.inner.stop(grace)
    }
}

#[tokio::test(start_paused = true)]
async fn a_cancel_is_given_the_time_of_some_of_the_engines_own_tokens() {
    let tested = |step| async move {
        let (inner, _) = engine(MockConfig { decode_tps: 0.2, ..MockConfig::default() }).await;
        let engine: Arc<dyn Engine> = Arc::new(InItsStep { inner, step: Duration::from_secs(step) });
        run(&engine, &SelfTestPolicy::default()).await
    };
    // Five seconds a token: a cancel within some of them is obeyed in time, one after a minute is not.
    tested(10).await.expect("passes");
    let Err(SelfTestError::CancelIgnored(limit)) = tested(60).await else { panic!("it passes") };
    assert!((20..=21).contains(&limit.as_secs()), "{limit:?}");
}

/// ORCH-REPL-1
#[tokio::test(start_paused = true)]
async fn each_fault_is_told_by_its_name() {
    let policy = SelfTestPolicy::default();
    let deaf = MockConfig { ignores_cancel: true, ..MockConfig::default() };
    let dying = MockConfig { dies_after_tokens: Some(5), ..MockConfig::instant() };
    let small = MockConfig { ctx: TokenCount(8), ..MockConfig::instant() };
    let cases = [
        (MockConfig::instant().answering(""), "the answer is empty"),
        (deaf, "a cancel was not obeyed within 5000 ms"),
        (dying, "the engine went away"),
        (small, "leaves no room for an answer in a context of 8"),
    ];
    for (config, words) in cases {
        let (engine, _) = engine(config).await;
        let error = run(&engine, &policy).await.expect_err(words).to_string();
        assert!(error.contains(words), "{error}");
    }
    let (engine, control) = engine(MockConfig::instant()).await;
    control.crash(&ExitReason::Signal(9));
    assert_eq!(run(&engine, &policy).await, Err(SelfTestError::Failed(EngineError::Lost)));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_ends_by_itself_before_the_cancel_is_no_fault() {
    let (engine, _) = engine(MockConfig::instant().answering("a b c")).await;
    let measured = run(&engine, &SelfTestPolicy::default()).await.expect("passes");
    assert!(measured.decode_tps.is_some());
}
