//! The adapter against a worker process that misbehaves on command.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use engine_api::{
    Device, Engine, EngineFactory, ExitReason, LoadOptions, MeasureError, ReplicaSpec, StartError,
    StopOutcome, TaskSink,
};
use engine_llamacpp::{LlamacppFactory, MAX_TASKS};
use generation::{EndReport, EngineError, Finish, GenerateRequest, Input, Message, OutputChunk, Role};
use orchestrator_core::{PoolId, ReplicaId, SessionId, TaskId, TokenCount};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tokio::sync::{mpsc, watch};

const LIMIT: Duration = Duration::from_secs(20);

fn factory(behaviour: &str) -> LlamacppFactory {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_engine-llamacpp-test-worker"));
    LlamacppFactory::new(program, vec![OsString::from(behaviour)])
}

fn spec(model: &Path, device: Device) -> ReplicaSpec {
    ReplicaSpec {
        replica: ReplicaId { pool: PoolId::new("p").expect("a name"), index: 0 },
        model: model.to_owned(),
        ctx: None,
        kv_cells: None,
        slots: 4,
        threads: None,
        device,
        gpu_layers: None,
        options: LoadOptions::default(),
    }
}

async fn try_start(behaviour: &str) -> Result<Arc<dyn Engine>, StartError> {
    let factory = factory(behaviour);
    let start = factory.start(spec(Path::new("m.gguf"), Device::Cpu), Arc::new(|_| {}));
    within(start).await
}

async fn start(behaviour: &str) -> Arc<dyn Engine> {
    try_start(behaviour).await.expect("starts")
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, future).await.expect("in time")
}

fn pid(engine: &Arc<dyn Engine>) -> Pid {
    Pid::from_raw(engine.facts().version.parse().expect("a number")).expect("not 0")
}

/// Neither running nor a zombie.
fn is_reaped(pid: Pid) -> bool {
    test_kill_process(pid) == Err(rustix::io::Errno::SRCH)
}

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

fn job(prompt: &str) -> GenerateRequest {
    GenerateRequest {
        seed: 1,
        ..GenerateRequest::new(TaskId(uuid::Uuid::new_v4()), Input::Prompt(prompt.to_owned()))
    }
}

fn submit(engine: &Arc<dyn Engine>, job: GenerateRequest) -> mpsc::Receiver<SinkCall> {
    let (tx, rx) = mpsc::channel(64);
    engine.submit(Arc::new(job), Box::new(RecordingSink(tx)));
    rx
}

/// The text, and the end unless the engine was lost.
async fn hear_out(mut stream: mpsc::Receiver<SinkCall>) -> (String, Option<Finish>) {
    let (mut text, mut end) = (String::new(), None);
    while let Some(heard) = within(stream.recv()).await {
        match heard {
            SinkCall::Token(piece) => text += &piece.text,
            SinkCall::End(report) => assert!(end.replace(report.finish).is_none(), "two ends"),
        }
    }
    (text, end)
}

async fn first_token(stream: &mut mpsc::Receiver<SinkCall>) -> String {
    match within(stream.recv()).await {
        Some(SinkCall::Token(piece)) => piece.text,
        _ => panic!("no token"),
    }
}

#[tokio::test]
async fn a_job_streams_its_tokens_and_its_end_and_leaves_its_session() {
    let engine = start("serve").await;
    let session = SessionId(uuid::Uuid::new_v4());
    let turn = GenerateRequest { session: Some(session), ..job("one two three") };
    let (text, end) = hear_out(submit(&engine, turn)).await;
    assert_eq!((text.as_str(), end), ("one two three", Some(Finish::Stop)));
    assert_eq!(engine.session_kv(session).map(|kv| (kv.tokens, kv.bytes)), Some((TokenCount(3), 24)));
    engine.evict_session(session);
    hear_out(submit(&engine, job("after the eviction"))).await;
    assert_eq!(engine.session_kv(session), None);
}

#[tokio::test]
async fn many_jobs_at_a_time_each_get_their_own_tokens() {
    let engine = start("serve").await;
    let streams: Vec<_> = (0..500).map(|i| (i, submit(&engine, job(&format!("job {i}"))))).collect();
    for (i, stream) in streams {
        assert_eq!(hear_out(stream).await, (format!("job {i}"), Some(Finish::Stop)));
    }
}

#[tokio::test]
async fn a_canceled_job_still_gets_its_end() {
    let engine = start("serve").await;
    let held = job("hold");
    let task = held.task;
    let mut stream = submit(&engine, held);
    assert_eq!(first_token(&mut stream).await, "held");
    engine.cancel(task);
    engine.cancel(TaskId(uuid::Uuid::new_v4()));
    assert_eq!(hear_out(stream).await, (String::new(), Some(Finish::Canceled)));
}

#[tokio::test]
async fn measures_are_answered_each_with_its_own_answer() {
    let engine = start("serve").await;
    let ask = |text: &str| engine.measure(Arc::new(job(text)));
    let (mut never, one, three) = (ask("never"), ask("a"), ask("a b c"));
    let answers = async { tokio::join!(within(one), within(three)) };
    let (one, three) = tokio::select! {
        biased;
        answer = &mut never => panic!("{answer:?} to the wrong question"),
        answers = answers => answers,
    };
    assert_eq!((one.unwrap().tokens, three.unwrap().tokens), (TokenCount(1), TokenCount(3)));
    let chat = Input::Messages(vec![Message::new(Role::User, "hi")]);
    let refused = within(engine.measure(Arc::new(GenerateRequest { input: chat.into(), ..job("") }))).await;
    assert_eq!(refused, Err(MeasureError::Invalid("`messages` is not for me".to_owned())));
}

#[tokio::test]
async fn a_worker_killed_from_outside_loses_its_jobs_and_answers_gone() {
    let engine = start("serve").await;
    let mut stream = submit(&engine, job("hold"));
    assert_eq!(first_token(&mut stream).await, "held");
    let question = engine.measure(Arc::new(job("never")));
    let asked = tokio::join!(within(question), async {
        kill_process(pid(&engine), Signal::KILL).unwrap();
        within(engine.gone()).await
    });
    assert_eq!(asked, (Err(MeasureError::Gone), ExitReason::Signal(9)));
    assert_eq!(hear_out(stream).await, (String::new(), None));
    assert_eq!(within(engine.gone()).await, ExitReason::Signal(9));
    assert!(is_reaped(pid(&engine)));
    assert_eq!(hear_out(submit(&engine, job("late"))).await, (String::new(), None));
    let late = engine.measure(Arc::new(job("late")));
    assert_eq!(within(late).await, Err(MeasureError::Gone));
    assert_eq!(within(engine.stop(LIMIT)).await, StopOutcome::AlreadyGone);
}

/// ORCH-SHAPE-1
#[tokio::test]
async fn the_end_of_a_worker_is_told_with_its_reason_and_after_its_last_words() {
    let cases = [
        ("die", "last", ExitReason::Code(3)),
        ("abort", "", ExitReason::Signal(6)),
        (
            "close and stay",
            "last",
            ExitReason::Channel("the worker closed it and went on running".to_owned()),
        ),
        (
            "hang",
            "",
            ExitReason::Hung("a thread that reads its jobs was busy with one for too long".to_owned()),
        ),
        ("garbage", "", ExitReason::Channel("a frame does not hold a message".to_owned())),
        ("ready again", "", ExitReason::Channel("the worker spoke of loading after it was ready".to_owned())),
    ];
    for (prompt, words, reason) in cases {
        let engine = start("serve").await;
        let heard = hear_out(submit(&engine, job(prompt))).await;
        assert_eq!(heard, (words.to_owned(), None), "{prompt}");
        assert_eq!(within(engine.gone()).await, reason, "{prompt}");
        assert!(is_reaped(pid(&engine)), "{prompt}");
    }
}

#[tokio::test]
async fn whoever_loses_a_sink_can_see_that_the_engine_is_gone() {
    struct Loss(Arc<dyn Engine>, Arc<Mutex<Option<bool>>>);
    impl TaskSink for Loss {
        fn output(&mut self, _chunk: OutputChunk) {}
        fn end(self: Box<Self>, _: EndReport) {}
    }
    impl Drop for Loss {
        fn drop(&mut self) {
            let mut gone = self.0.gone();
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            *self.1.lock().unwrap() = Some(gone.as_mut().poll(&mut context).is_ready());
        }
    }
    let engine = start("serve").await;
    let seen = Arc::new(Mutex::new(None));
    engine.submit(Arc::new(job("hold")), Box::new(Loss(Arc::clone(&engine), Arc::clone(&seen))));
    let mut marker = submit(&engine, job("hold"));
    first_token(&mut marker).await;
    kill_process(pid(&engine), Signal::KILL).unwrap();
    hear_out(marker).await;
    let predicate = async {
        while seen.lock().unwrap().is_none() {
            tokio::task::yield_now().await;
        }
    };
    within(predicate).await;
    assert_eq!(*seen.lock().unwrap(), Some(true));
}

/// ORCH-WORKER-2
#[tokio::test]
async fn work_done_is_what_the_worker_reports_and_never_less_than_before() {
    let engine = start("serve").await;
    let read = job("read");
    let task = read.task;
    assert_eq!(engine.work_done(task), None);
    let mut stream = submit(&engine, read);
    assert_eq!(first_token(&mut stream).await, "read");
    assert_eq!(engine.work_done(task), Some(512), "an interrupted call takes nothing back");
    engine.cancel(task);
    hear_out(stream).await;
    assert_eq!(engine.work_done(task), None);
}

/// ORCH-WORKER-6
#[tokio::test]
async fn a_measure_that_nobody_waits_for_is_taken_back() {
    let engine = start("serve").await;
    let mut never = engine.measure(Arc::new(job("never")));
    tokio::select! {
        biased;
        answer = &mut never => panic!("{answer:?}"),
        one = engine.measure(Arc::new(job("a"))) => assert!(one.is_ok()),
    }
    drop(never);
    let ask = || within(engine.measure(Arc::new(job("how many were forgotten?"))));
    assert_eq!(ask().await.map(|measured| measured.tokens), Ok(TokenCount(1)));
}

/// A worker that is stopped, and one whose channel lives while its decode thread does not.
/// ORCH-WORKER-3
#[tokio::test]
async fn a_worker_that_hangs_is_found_and_ended_while_idle_and_while_busy() {
    let idle = start("serve").await;
    kill_process(pid(&idle), Signal::STOP).unwrap();
    let busy = start("serve").await;
    let mut stream = submit(&busy, job("hold"));
    assert_eq!(first_token(&mut stream).await, "held");
    kill_process(pid(&busy), Signal::STOP).unwrap();
    let (deaf, silent) = (start("ignore-pings").await, start("silent").await);
    let ends = tokio::join!(
        within(idle.gone()),
        within(busy.gone()),
        within(deaf.gone()),
        within(silent.gone()),
        within(hear_out(stream))
    );
    for end in [ends.0, ends.1, ends.2] {
        assert!(matches!(&end, ExitReason::Hung(what) if what.contains("no answer to a ping")), "{end:?}");
    }
    let silence = "the decode thread was silent for 9000 ms, over its limit of 5000 ms";
    assert_eq!(ends.3, ExitReason::Hung(silence.to_owned()));
    assert_eq!(ends.4, (String::new(), None));
    assert!([idle, busy, deaf, silent].iter().all(|engine| is_reaped(pid(engine))));
}

#[tokio::test]
async fn stop_ends_jobs_in_order_and_the_worker_with_them() {
    let engine = start("serve").await;
    let mut stream = submit(&engine, job("hold"));
    first_token(&mut stream).await;
    assert_eq!(within(engine.stop(LIMIT)).await, StopOutcome::Ended);
    assert_eq!(hear_out(stream).await, (String::new(), Some(Finish::Canceled)));
    assert_eq!(within(engine.gone()).await, ExitReason::Stopped);
    assert!(is_reaped(pid(&engine)));
}

#[tokio::test]
async fn a_worker_that_hangs_at_stop_is_killed_after_the_grace() {
    let engine = start("deaf").await;
    let stream = submit(&engine, job("hold"));
    assert_eq!(within(engine.stop(Duration::from_millis(100))).await, StopOutcome::Killed);
    assert_eq!(hear_out(stream).await, (String::new(), None));
    assert_eq!(within(engine.gone()).await, ExitReason::Stopped);
    assert!(is_reaped(pid(&engine)));
}

/// ORCH-SHAPE-2
#[tokio::test]
async fn a_dropped_engine_takes_its_worker_with_it() {
    let engine = start("deaf").await;
    let (pid, gone) = (pid(&engine), engine.gone());
    assert!(!is_reaped(pid));
    drop(engine);
    assert_eq!(within(gone).await, ExitReason::Signal(9));
    assert!(is_reaped(pid));
}

#[tokio::test]
async fn submit_never_blocks_and_what_is_over_the_bound_ends_as_lost() {
    let engine = start("deaf").await;
    let mut streams: Vec<_> = (0..MAX_TASKS).map(|_| submit(&engine, job("hold"))).collect();
    let over = hear_out(submit(&engine, job("hold"))).await;
    assert_eq!(over, (String::new(), Some(Finish::Failed(EngineError::Lost))));
    assert!(
        streams.iter_mut().all(|stream| stream.try_recv().is_err()),
        "told before the worker said a word"
    );
    let huge = job(&"x".repeat(worker_protocol::MAX_FRAME_BYTES));
    let Some(Finish::Failed(EngineError::Invalid(message))) = hear_out(submit(&engine, huge)).await.1 else {
        panic!("taken")
    };
    assert!(message.contains("67108864 bytes"), "{message}");
}

#[tokio::test]
async fn a_start_that_fails_says_why_with_the_workers_last_lines() {
    let cases: [(&str, &[&str]); 4] = [
        ("exit-while-loading", &["exit code 3", "a plain line before the end", "loading"]),
        ("abort-while-loading", &["signal 6", "a plain line before the end"]),
        ("garbage-while-loading", &["does not speak protocol", "restart the daemon"]),
        ("step-while-loading", &["what it was not asked for"]),
    ];
    for (behaviour, words) in cases {
        let Err(StartError::Engine(message)) = try_start(behaviour).await else {
            panic!("{behaviour} started")
        };
        for word in words {
            assert!(message.contains(word), "{behaviour}: {message}");
        }
    }
    let refused = try_start("refuse-model").await.err();
    assert_eq!(refused, Some(StartError::Model("`model` is not a GGUF file".to_owned())));
    let nowhere = LlamacppFactory::new(PathBuf::from("/nowhere/worker"), Vec::new());
    let error = nowhere.start(spec(Path::new("m"), Device::Cpu), Arc::new(|_| {})).await.err();
    let message = error.expect("no such program").to_string();
    assert!(message.starts_with("cannot start `/nowhere/worker`: No such file"), "{message}");
}

#[tokio::test]
async fn an_estimate_comes_from_a_worker_that_is_gone_afterwards() {
    let ask = |behaviour| async move {
        within(factory(behaviour).estimate(spec(Path::new("m.gguf"), Device::Cpu))).await
    };
    let estimate = ask("serve").await.expect("told").expect("this engine can tell");
    assert_eq!((estimate.weights_bytes, estimate.host_bytes, estimate.ctx), (1, 4, TokenCount(64)));
    let refused = ask("refuse-model").await.err();
    assert_eq!(refused, Some(StartError::Model("`model` is not a GGUF file".to_owned())));
    for (behaviour, said) in
        [("exit-while-loading", "exit code 3"), ("step-while-loading", "what it was not asked for")]
    {
        let Err(StartError::Engine(message)) = ask(behaviour).await else { panic!("{behaviour} answered") };
        assert!(message.contains(said), "{behaviour}: {message}");
    }
}

#[tokio::test]
async fn a_start_that_is_given_up_ends_the_worker() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("pid");
    let (sender, mut progress) = watch::channel(0.0_f32);
    let factory = factory("hang-while-loading");
    let mut start = factory
        .start(spec(&model, Device::Cpu), Arc::new(move |part| sender.send_modify(|seen| *seen = part)));
    let hung = tokio::select! {
        hung = progress.wait_for(|part| *part >= 0.75) => hung.is_ok(),
        _ = &mut start => false,
        () = tokio::time::sleep(LIMIT) => false,
    };
    assert!(hung, "it never came to hang");
    let pid = Pid::from_raw(std::fs::read_to_string(&model).unwrap().parse().unwrap()).unwrap();
    assert!(!is_reaped(pid));
    drop(start);
    let predicate = async {
        while !is_reaped(pid) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    within(predicate).await;
}

/// ORCH-DEV-2
#[tokio::test]
async fn a_worker_sees_its_own_device_and_no_other() {
    let gpu = Device::Gpu { uuid: "GPU-abc".to_owned(), index: 1 };
    let cases = [
        (Device::Cpu, ["CUDA_VISIBLE_DEVICES=-1", "ROCR_VISIBLE_DEVICES=-1", "GGML_VK_VISIBLE_DEVICES="]),
        (
            gpu,
            ["CUDA_VISIBLE_DEVICES=GPU-abc", "ROCR_VISIBLE_DEVICES=GPU-abc", "CUDA_DEVICE_ORDER=PCI_BUS_ID"],
        ),
    ];
    for (device, vars) in cases {
        let factory = factory("serve");
        let start = factory.start(spec(Path::new("m.gguf"), device), Arc::new(|_| {}));
        let engine = within(start).await.expect("starts");
        let seen: Vec<_> = engine.facts().build.split(' ').collect();
        for var in vars {
            assert!(seen.contains(&var), "{var} is not among {seen:?}");
        }
    }
}
