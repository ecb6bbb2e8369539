//! `top` and `bench`.

use crate::TASK;
use crate::daemon::{Daemon, Exchange, accepted, refused, started, tokens};
use crate::program::{at, finish, read_until, run, signal};
use crate::terminal::Terminal;

const HEALTH: &str = r#"{"status":"ok","version":"0.1.0","build":"AVX2","pools":[{"id":"chat","model_ref":"starter","engine":"llamacpp","state":"ready","model_state":"Active","queue":{"interactive":{"depth":0,"bound":256},"batch":{"depth":0,"bound":1024}},"replicas":[]}],"devices":[]}"#;
const TASKS: &str = r#"{"counts":{"running":1,"waiting":0,"ended":0},"tasks":[{"task_id":"6f1d2c3e-8a4b-4c5d-9e6f-0a1b2c3d4e5f","pool":"chat","priority":"interactive","workload":"completion","state":"running","tokens_in":5,"tokens_out":7,"age_ms":100,"promised_start_ms":0,"placements":1}]}"#;

fn health() -> Exchange {
    Exchange::json("200 OK", "", HEALTH)
}

fn look() -> [Exchange; 2] {
    [health(), Exchange::json("200 OK", "", TASKS)]
}

/// ORCH-CLI-16
#[test]
fn top_without_a_terminal_says_what_to_use_instead() {
    let done = run(at("http://127.0.0.1:1", &["top"]));
    assert_eq!((done.code, done.out.as_str()), (Some(2), ""));
    assert!(done.err.contains("llama-orch status") && done.err.contains("top --json"), "{done:?}");
}

#[test]
fn top_json_is_one_look_at_everything() {
    let daemon = Daemon::with(look().into());
    let done = run(at(&daemon.url(), &["top", "--json"]));
    assert_eq!(done.code, Some(0), "{done:?}");
    let page = &done.lines()[0];
    assert_eq!((&page["health"]["status"], &page["tasks"]["counts"]["running"]), (&"ok".into(), &1.into()));
    assert_eq!(daemon.requests()[1].path, "/v1/tasks?limit=200");
}

/// What leaves the other screen.
const GIVEN_BACK: &str = "\x1b[?1049l";

/// ORCH-CLI-16
#[test]
fn top_draws_on_a_terminal_cancels_after_a_question_and_gives_the_terminal_back() {
    let script = look().into_iter().chain([Exchange::no_content()]).chain(look());
    let daemon = Daemon::with(script.collect());
    let mut terminal = Terminal::new();
    let child = terminal.start(at(&daemon.url(), &["top", "--every", "3600"]));
    terminal.until("6f1d2c3e");
    terminal.typed(b"cyq");
    terminal.until(GIVEN_BACK);
    assert_eq!(finish(child).code, Some(0));
    // The two of a look go out together, in any order.
    let asked: Vec<String> = daemon.requests().iter().map(crate::daemon::Request::line).collect();
    assert_eq!(asked[2], format!("POST /v1/tasks/{TASK}/cancel"));
}

/// ORCH-CLI-16
#[test]
fn top_gives_the_terminal_back_when_a_signal_ends_it() {
    let daemon = Daemon::with(look().into());
    let mut terminal = Terminal::new();
    let child = terminal.start(at(&daemon.url(), &["top", "--every", "3600"]));
    terminal.until("6f1d2c3e");
    signal(child.id(), rustix::process::Signal::TERM);
    terminal.until(GIVEN_BACK);
    assert_eq!(finish(child).code, Some(143));
    drop(daemon.requests());
}

/// ORCH-CLI-15
#[test]
fn bench_that_is_interrupted_cancels_what_is_open_and_prints_the_figures_so_far() {
    let held = Exchange::stream(&(started(0, 0) + &tokens(0, &["a", "b"]))).open();
    let canceled = Exchange::no_content().releasing("");
    let daemon = Daemon::with(vec![health(), accepted(TASK), held, canceled]);
    let mut child = at(&daemon.url(), &["bench", "--streams", "1", "--json", "-v"]).spawn().unwrap();
    let mut err = child.stderr.take().unwrap();
    read_until(&mut err, "1 task sent, 1 open, 2 tokens");
    signal(child.id(), rustix::process::Signal::INT);
    let done = finish(child);
    assert_eq!(done.code, Some(130), "{done:?}");
    let figures = &done.lines()[0];
    assert_eq!((&figures["interrupted"], &figures["plan"]["streams"]), (&true.into(), &1.into()));
    let traffic = &figures["traffic"];
    assert_eq!((&traffic["sent"], &traffic["cut"], &traffic["answered"]), (&1.into(), &1.into(), &0.into()));
    assert_eq!(traffic["interactive"]["between_tokens"]["count"], 1);
    let requests = daemon.requests();
    let id = requests[1].json()["task_id"].as_str().unwrap().to_owned();
    assert_eq!(requests[3].line(), format!("POST /v1/tasks/{id}/cancel"));
}

/// ORCH-CLI-15
#[test]
fn bench_refuses_what_the_daemon_refuses() {
    let bad = refused("400 Bad Request", "INVALID_PARAMS", "it does not fit", None);
    let daemon = Daemon::with(vec![health(), bad]);
    let done = run(at(&daemon.url(), &["bench", "--streams", "1"]));
    assert_eq!((done.code, done.out.as_str()), (Some(5), ""), "{done:?}");
    assert!(done.err.contains("it does not fit"), "{done:?}");
    drop(daemon.requests());
}
