use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use engine_api::{
    Device, Engine, EngineFactory, ExitReason, LoadOptions, ReplicaSpec, StartError, StopOutcome, TaskSink,
};
use generation::{Determinism, EndReport, Finish, GenerateRequest, Input, KvHint, OutputChunk, Workload};
use orchestrator_core::{Millis, PoolId, ReplicaId, SessionId, TaskId, TokenCount};
use tokio::sync::mpsc;

use super::*;

enum SinkCall {
    Token(OutputChunk),
    End(EndReport),
}

struct RecordingSink(mpsc::Sender<SinkCall>);

impl TaskSink for RecordingSink {
    fn output(&mut self, chunk: OutputChunk) {
        self.0.try_send(SinkCall::Token(chunk)).expect("room");
    }
    fn end(self: Box<Self>, report: EndReport) {
        self.0.try_send(SinkCall::End(report)).expect("room");
    }
}

fn spec() -> ReplicaSpec {
    ReplicaSpec {
        replica: ReplicaId { pool: PoolId::new("p").unwrap(), index: 0 },
        model: PathBuf::from("/models/tiny.gguf"),
        ctx: None,
        kv_cells: None,
        slots: 1,
        threads: None,
        device: Device::Cpu,
        gpu_layers: None,
        options: LoadOptions::default(),
    }
}

fn job(prompt: &str, most: u32) -> GenerateRequest {
    GenerateRequest {
        max_tokens: Some(TokenCount(most)),
        seed: 1,
        ..GenerateRequest::new(TaskId(uuid::Uuid::new_v4()), Input::Prompt(prompt.to_owned()))
    }
}

async fn start(config: MockConfig) -> (Arc<dyn Engine>, MockControl) {
    let (factory, control) = MockFactory::new(config);
    let engine = factory.start(spec(), Arc::new(|_| {})).await.expect("starts");
    (engine, control)
}

fn submit(engine: &Arc<dyn Engine>, job: GenerateRequest) -> mpsc::Receiver<SinkCall> {
    let (tx, rx) = mpsc::channel(1000);
    engine.submit(Arc::new(job), Box::new(RecordingSink(tx)));
    rx
}

/// The text, and the end where there was one.
async fn hear_out(mut rx: mpsc::Receiver<SinkCall>) -> (String, Option<EndReport>) {
    let (mut text, mut end) = (String::new(), None);
    while let Some(heard) = rx.recv().await {
        match heard {
            SinkCall::Token(piece) => text += &piece.text,
            SinkCall::End(report) => assert!(end.replace(report).is_none(), "two ends"),
        }
    }
    (text, end)
}

#[tokio::test(start_paused = true)]
async fn an_answer_takes_the_time_its_speeds_say() {
    let (engine, _) = start(MockConfig { answer: Answer::Echo, ..MockConfig::default() }).await;
    let (text, end) = hear_out(submit(&engine, job("one two three four", 3))).await;
    assert_eq!(text, "one two three");
    let end = end.expect("an end");
    assert_eq!((end.finish, end.tokens_in, end.tokens_out), (Finish::Length, TokenCount(4), TokenCount(3)));
    assert!(end.prefill_ms >= Millis(14) && end.prefill_ms <= Millis(20), "{:?}", end.prefill_ms);
    assert!(end.decode_ms >= Millis(20) && end.decode_ms <= Millis(25), "{:?}", end.decode_ms);
}

#[tokio::test(start_paused = true)]
async fn slots_bound_what_runs_and_a_held_phase_keeps_it_there() {
    let (engine, control) = start(MockConfig { slots: 2, ..MockConfig::instant() }).await;
    control.hold(Phase::Decode);
    let streams: Vec<_> = (0..5).map(|_| submit(&engine, job("a b", 4))).collect();
    let counts = control.until(|counts| counts.running == 2).await;
    assert_eq!((counts.submitted, counts.tokens), (5, 0));
    control.pass(Phase::Decode, 3);
    assert_eq!(control.until(|counts| counts.tokens == 3).await.ended, 0);
    control.release(Phase::Decode);
    for stream in streams {
        assert_eq!(hear_out(stream).await.0, "w0 w1 w2 w3");
    }
    assert_eq!(control.until(|counts| counts.ended == 5).await.running, 0);
}

#[tokio::test(start_paused = true)]
async fn a_canceled_job_ends_in_every_phase_and_tells_no_token_after() {
    for phase in [Phase::Prefill, Phase::Decode] {
        let (engine, control) = start(MockConfig { slots: 1, ..MockConfig::instant() }).await;
        control.hold(phase);
        let (running, waiting) = (job("a", 9), job("b", 9));
        let ids = [waiting.task, running.task];
        let streams = [submit(&engine, running), submit(&engine, waiting)];
        control.until(|counts| counts.running == 1).await;
        for id in ids {
            engine.cancel(id);
        }
        for stream in streams {
            let (text, end) = hear_out(stream).await;
            assert_eq!((text.as_str(), end.expect("an end").finish), ("", Finish::Canceled));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_crash_drops_the_sinks_and_is_told_to_everyone_who_asks() {
    let config = MockConfig { dies_after_tokens: Some(3), ..MockConfig::instant() };
    let (engine, control) = start(config).await;
    let (text, end) = hear_out(submit(&engine, job("a", 100))).await;
    assert_eq!((text.as_str(), end), ("w0 w1 w2", None));
    for _ in 0..2 {
        assert_eq!(engine.gone().await, ExitReason::Signal(11));
    }
    assert_eq!(hear_out(submit(&engine, job("a", 1))).await, (String::new(), None));
    assert_eq!(engine.stop(Duration::from_secs(1)).await, StopOutcome::AlreadyGone);
    assert_eq!(control.counts().lost, 2);
}

#[tokio::test(start_paused = true)]
async fn stop_cancels_what_runs_and_kills_what_hangs() {
    let (engine, control) = start(MockConfig::instant()).await;
    control.hold(Phase::Decode);
    let stream = submit(&engine, job("a", 100));
    control.until(|counts| counts.running == 1).await;
    assert_eq!(engine.stop(Duration::from_secs(1)).await, StopOutcome::Ended);
    assert_eq!(hear_out(stream).await.1.expect("an end").finish, Finish::Canceled);
    assert_eq!(engine.gone().await, ExitReason::Stopped);

    let (engine, control) = start(MockConfig::instant()).await;
    control.hold(Phase::Decode);
    control.hold(Phase::Stop);
    let stream = submit(&engine, job("a", 100));
    assert_eq!(engine.stop(Duration::from_secs(1)).await, StopOutcome::Killed);
    assert_eq!(hear_out(stream).await.1, None);
}

#[tokio::test(start_paused = true)]
async fn a_session_keeps_its_words_until_it_is_evicted() {
    let (engine, _) = start(MockConfig::instant().answering("yes no")).await;
    let session = SessionId(uuid::Uuid::new_v4());
    let turn = |text: &str| GenerateRequest { session: Some(session), ..job(text, 10) };
    let (_, end) = hear_out(submit(&engine, turn("a b c"))).await;
    assert_eq!(end.expect("an end").tokens_cached, TokenCount(0));
    let kv = engine.session_kv(session).expect("held");
    assert_eq!((kv.tokens, kv.bytes), (TokenCount(5), 5 * 1024));
    let (_, end) = hear_out(submit(&engine, turn("a b c yes no d"))).await;
    assert_eq!(end.expect("an end").tokens_cached, TokenCount(5));
    let (_, end) = hear_out(submit(&engine, GenerateRequest { kv: KvHint::None, ..turn("a b c yes") })).await;
    assert_eq!(end.expect("an end").tokens_cached, TokenCount(0), "a task without the cache finds nothing");
    assert_eq!(engine.session_kv(session).expect("held").tokens, TokenCount(8), "and leaves nothing");
    engine.evict_session(session);
    assert_eq!(engine.session_kv(session), None);
}

#[tokio::test(start_paused = true)]
async fn what_it_cannot_do_it_refuses_by_name() {
    let config = MockConfig { strict: false, ctx: TokenCount(3), ..MockConfig::instant() };
    let (engine, _) = start(config).await;
    let refused = [
        (GenerateRequest { determinism: Determinism::Strict, ..job("a", 1) }, "`determinism` is `strict`"),
        (GenerateRequest { workload: Workload::Embedding, ..job("a", 1) }, "`workload` is `embedding`"),
        (job("a b c", 1), "3 tokens"),
    ];
    for (job, words) in refused {
        let Finish::Failed(error) = hear_out(submit(&engine, job)).await.1.expect("an end").finish else {
            panic!("taken")
        };
        assert!(error.to_string().contains(words), "{error}");
    }
    let (_, end) = hear_out(submit(&engine, job("a", 100))).await;
    let end = end.expect("an end");
    assert_eq!((end.finish, end.tokens_out), (Finish::Length, TokenCount(2)));
}

#[tokio::test(start_paused = true)]
async fn starts_fail_as_often_as_told_and_then_succeed() {
    let (factory, control) = MockFactory::new(MockConfig::default());
    let error = StartError::Engine("no".to_owned());
    control.fail_starts(2, &error);
    for _ in 0..2 {
        assert_eq!(factory.start(spec(), Arc::new(|_| {})).await.err(), Some(error.clone()));
    }
    let engine = factory.start(spec(), Arc::new(|_| {})).await.expect("starts");
    assert_eq!(engine.facts().model.name, "tiny");
    let two =
        GenerateRequest { input: Input::Inputs(vec!["a b".to_owned(), "c".to_owned()]).into(), ..job("", 1) };
    let measured = engine.measure(Arc::new(two)).await;
    assert_eq!(measured.map(|m| (m.tokens.0, m.longest.0)), Ok((3, 2)));
    control.crash(&ExitReason::Code(7));
    assert_eq!(engine.gone().await, ExitReason::Code(7));
    assert_eq!(control.counts().starts, 3);
}
