//! A `llama-server` that is started here, well and badly behaved.

use std::sync::Arc;
use std::time::Duration;

use engine_api::{Engine, EngineFactory, ExitReason, StartError, StopOutcome};
use engine_http::testing::{Recording, job, listen, spec, within};
use engine_http::{Address, Attach, HttpEngineConfig, Timeouts, Visible};
use engine_llama_server::LlamaServerFactory;
use generation::{EngineError, Finish, Input};
use orchestrator_core::TokenCount;
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

const PROGRAM: &str = env!("CARGO_BIN_EXE_engine-llama-server-test-server");

fn config(argv: &[&str]) -> HttpEngineConfig {
    let argv = argv.iter().map(|&word| word.to_owned()).collect();
    HttpEngineConfig::new(Attach::Command { argv, env: Vec::new(), address: None })
}

async fn start(config: HttpEngineConfig) -> Result<Arc<dyn Engine>, StartError> {
    let factory = LlamaServerFactory::new(config);
    within(factory.start(spec(), Arc::new(|_| {}))).await
}

fn pid(engine: &Arc<dyn Engine>) -> Pid {
    Pid::from_raw(engine.facts().version.parse().expect("a number")).expect("not 0")
}

/// Neither running nor a zombie.
fn is_reaped(pid: Pid) -> bool {
    test_kill_process(pid) == Err(Errno::SRCH)
}

/// ORCH-ENG-2
#[tokio::test]
async fn a_managed_server_is_waited_for_serves_and_ends_when_asked() {
    let engine = start(config(&[PROGRAM, "serve", "{port}"])).await.expect("starts");
    assert_eq!((engine.facts().slots, engine.facts().ctx), (2, TokenCount(512)));
    let (sink, heard) = listen();
    engine.submit(Arc::new(job(Input::Prompt("three words here".into()))), sink);
    let recording = Recording::of(heard).await;
    assert_eq!((recording.text().as_str(), recording.pieces.len()), ("three words here", 3));
    assert_eq!(recording.end.expect("an end").finish, Finish::Stop);
    let pid = pid(&engine);
    assert!(!is_reaped(pid));
    assert_eq!(within(engine.stop(Duration::from_secs(30))).await, StopOutcome::Ended);
    assert_eq!(within(engine.gone()).await, ExitReason::Stopped);
    assert!(is_reaped(pid));
    assert_eq!(within(engine.stop(Duration::from_secs(30))).await, StopOutcome::AlreadyGone);
}

#[tokio::test]
async fn one_that_ignores_the_signal_is_killed_after_the_grace() {
    let script = format!("trap '' TERM; exec {PROGRAM} serve {{port}}");
    let engine = start(config(&["/bin/sh", "-c", &script])).await.expect("starts");
    let pid = pid(&engine);
    assert_eq!(within(engine.stop(Duration::from_millis(50))).await, StopOutcome::Killed);
    assert_eq!(within(engine.gone()).await, ExitReason::Stopped);
    assert!(is_reaped(pid));
}

#[tokio::test]
async fn one_that_dies_with_a_task_in_it_loses_the_task() {
    let engine = start(config(&[PROGRAM, "serve", "{port}"])).await.expect("starts");
    let (sink, heard) = listen();
    engine.submit(Arc::new(job(Input::Prompt("die here".into()))), sink);
    let recording = Recording::of(heard).await;
    let end = recording.end.as_ref().map(|end| end.finish.clone());
    assert_eq!((recording.text().as_str(), end), ("die ", Some(Finish::Failed(EngineError::Lost))));
    assert_eq!(within(engine.gone()).await, ExitReason::Code(9));
}

#[tokio::test]
async fn dropping_the_engine_ends_its_process() {
    let engine = start(config(&[PROGRAM, "serve", "{port}"])).await.expect("starts");
    let (pid, gone) = (pid(&engine), engine.gone());
    drop(engine);
    within(gone).await;
    assert!(is_reaped(pid));
}

/// ORCH-ENG-3
#[tokio::test]
async fn one_that_exits_at_once_is_told_with_its_last_lines() {
    let error = start(config(&[PROGRAM, "exit", "{port}"])).await.err().expect("does not start").to_string();
    let wanted = format!(
        "`{PROGRAM}` ended by itself with exit code 3 while it started\nits last lines:\n\
         error: failed to load model 'm.gguf'"
    );
    assert_eq!(error, wanted);
}

/// ORCH-ENG-3
#[tokio::test]
async fn one_that_never_listens_is_given_up_and_ended() {
    let timeouts = Timeouts { start: Duration::from_millis(300), ..Timeouts::default() };
    let config = HttpEngineConfig { timeouts, ..config(&[PROGRAM, "deaf", "{port}"]) };
    let error = start(config).await.err().expect("does not start").to_string();
    assert!(error.ends_with("was not ready within 0.3 s"), "{error}");
}

/// ORCH-ENG-3
#[tokio::test]
async fn one_that_speaks_something_else_is_told_so() {
    let error =
        start(config(&[PROGRAM, "garbage", "{port}"])).await.err().expect("does not start").to_string();
    assert!(error.contains("is not HTTP/1.1 as an engine speaks it"), "{error}");
}

#[tokio::test]
async fn a_command_that_cannot_work_is_refused_before_it_is_started() {
    for (argv, wanted) in [
        (&[][..], "`command` is empty"),
        (&[PROGRAM, "serve"][..], "nobody knows where `command` listens: put `{port}` into its arguments"),
    ] {
        let error = start(config(argv)).await.err().expect("does not start");
        let StartError::Model(text) = error else { panic!("{error:?}") };
        assert!(text.starts_with(wanted), "{text}");
    }
    let error = start(config(&["/no/such/llama-server", "{port}"])).await.err().expect("does not start");
    assert!(error.to_string().starts_with("`/no/such/llama-server` cannot be found"), "{error}");
}

#[tokio::test]
async fn a_start_that_nobody_waits_for_any_more_ends_what_it_started() {
    let folder = tempfile::tempdir().expect("a folder");
    let told = folder.path().join("pid");
    let script = format!("echo $$ > {}; exec {PROGRAM} deaf {{port}}", told.display());
    let written = async {
        loop {
            if let Some(line) = std::fs::read_to_string(&told).ok().filter(|text| text.ends_with('\n')) {
                return Pid::from_raw(line.trim().parse().expect("a number")).expect("not 0");
            }
            tokio::task::yield_now().await;
        }
    };
    let pid = tokio::select! {
        _ = start(config(&["/bin/sh", "-c", &script])) => panic!("it never listens"),
        pid = within(written) => pid,
    };
    within(async {
        while !is_reaped(pid) {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// ORCH-ENG-35
#[tokio::test]
async fn an_engine_sees_what_the_daemon_sees_unless_its_pool_names_devices() {
    let folder = tempfile::tempdir().expect("a folder");
    let told = folder.path().join("told");
    let script =
        format!("echo $CUDA_VISIBLE_DEVICES > {}; exec {PROGRAM} serve $ENGINE_PORT", told.display());
    for (visible, seen) in [(Visible::All, ""), (Visible::OfReplica, "-1")] {
        let mut config = HttpEngineConfig { visible, ..config(&["/bin/sh", "-c", &script]) };
        let Attach::Command { env, .. } = &mut config.attach else { panic!() };
        env.push(("ENGINE_PORT".to_owned(), "{port}".to_owned()));
        start(config).await.expect("starts");
        assert_eq!(std::fs::read_to_string(&told).expect("told").trim(), seen);
    }
}

/// ORCH-ENG-36
#[tokio::test]
async fn an_engine_at_a_fixed_port_is_found_there_and_no_other_program_is_taken_for_it() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let port = free.expect("a free port").port();
    let at = |port: u16| {
        let mut config = config(&[PROGRAM, "serve", &port.to_string()]);
        let Attach::Command { address, .. } = &mut config.attach else { panic!() };
        *address = Some(Address::parse(&format!("http://127.0.0.1:{port}")).expect("an address"));
        config
    };
    let engine = start(at(port)).await.expect("starts");
    assert_eq!(engine.facts().slots, 2);
    let error = start(at(port)).await.err().expect("somebody listens there").to_string();
    assert_eq!(
        error,
        format!("another program listens at port {port} already: end it, or change `server.port`")
    );
}

#[tokio::test]
async fn the_port_stands_in_variables_too() {
    let script = format!("exec {PROGRAM} serve $ENGINE_PORT");
    let mut config = config(&["/bin/sh", "-c", &script]);
    let Attach::Command { env, .. } = &mut config.attach else { panic!() };
    env.push(("ENGINE_PORT".to_owned(), "{port}".to_owned()));
    let engine = start(config).await.expect("starts");
    assert_eq!(engine.facts().slots, 2);
}
