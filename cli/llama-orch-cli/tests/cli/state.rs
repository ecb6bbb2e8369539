//! `status`, `health` and `cancel`.

use std::net::TcpListener;

use serde_json::json;

use crate::TASK;
use crate::daemon::{Daemon, Exchange, refused, told};
use crate::program::{at, run};

const FULL: &str = r#"{"status":"starting","version":"0.1.0","build":"portable: AVX2","pools":[{"id":"starter","model_ref":"starter","engine":"llamacpp","state":"starting","model_state":"Active","queue":{"interactive":{"depth":1,"bound":256},"batch":{"depth":0,"bound":1024}},"replicas":[{"id":"starter/0","state":"starting","reason":"loading: 42 %","device":"cpu","slots_busy":0}]}],"devices":[]}"#;

fn ok() -> Exchange {
    Exchange::json("200 OK", "", r#"{"status":"ok"}"#)
}

fn starting() -> Exchange {
    Exchange::json("503 Service Unavailable", "", FULL)
}

/// ORCH-CLI-10
#[test]
fn status_shows_a_daemon_that_is_not_ready_yet() {
    let tasks = r#"{"counts":{"running":0,"waiting":1,"ended":0},"tasks":[]}"#;
    let daemon = Daemon::with(vec![starting(), Exchange::json("200 OK", "", tasks)]);
    let url = daemon.url();
    let done = run(at(&url, &["status"]));
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.out.starts_with(&format!("orchestratord 0.1.0 at {url}: starting\n")), "{done:?}");
    assert!(done.out.contains("loading: 42 %") && done.out.contains("interactive 1 of 256"), "{done:?}");
    assert!(!done.out.contains('\x1b'), "a pipe gets no colours: {done:?}");
    assert_eq!(daemon.requests()[1].line(), "GET /v1/tasks?limit=20", "which wait, since one does");
}

/// ORCH-CLI-8
#[test]
fn status_json_is_the_daemons_answer_on_one_line() {
    let daemon = Daemon::with(vec![starting()]);
    let done = run(at(&daemon.url(), &["status", "--json"]));
    let given: serde_json::Value = serde_json::from_str(FULL).unwrap();
    assert_eq!(done.lines(), [given]);
    drop(daemon.requests());
}

#[test]
fn status_without_the_token_says_so_instead_of_showing_nothing() {
    let daemon = Daemon::with(vec![ok()]);
    let done = run(at(&daemon.url(), &["status"]));
    assert_eq!((done.code, done.out.as_str()), (Some(4), ""), "{done:?}");
    drop(daemon.requests());
}

#[test]
fn health_is_an_exit_code() {
    let daemon = Daemon::with(vec![ok(), starting()]);
    let done = run(at(&daemon.url(), &["health"]));
    let said = |status| format!("{status} at {}\n", daemon.url());
    assert_eq!((done.code, done.out, done.err.as_str()), (Some(0), said("ok"), ""));
    let done = run(at(&daemon.url(), &["health"]));
    assert_eq!((done.code, &done.out), (Some(6), &said("starting")));
    assert!(done.err.contains("starter/0 starting: loading: 42 %"), "{done:?}");
    assert!(done.err.contains("llama-orch health --wait"), "{done:?}");
    drop(daemon.requests());
}

#[test]
fn health_waits_until_the_daemon_is_ready() {
    let daemon = Daemon::with(vec![starting(), starting(), ok()]);
    let done = run(at(&daemon.url(), &["health", "--wait", "-v"]));
    assert_eq!(
        (done.code, done.out.as_str()),
        (Some(0), format!("ok at {}\n", daemon.url()).as_str()),
        "{done:?}"
    );
    assert_eq!(done.err, "starting, starter/0 starting: loading: 42 %\n", "a log says a state once");
    drop(daemon.requests());
}

#[test]
fn health_that_waited_in_vain_says_what_is_missing() {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", gone.local_addr().unwrap());
    drop(gone);
    let done = run(at(&url, &["health", "--wait", "1"]));
    assert_eq!((done.code, done.out.as_str()), (Some(3), ""), "{done:?}");
}

#[test]
fn a_name_that_the_daemon_does_not_know_itself_by_is_explained() {
    let daemon =
        Daemon::with(vec![refused("403 Forbidden", "INVALID_PARAMS", "not a `Host` of this daemon", None)]);
    let done = run(at(&daemon.url(), &["health"]));
    assert_eq!(done.code, Some(5), "{done:?}");
    assert!(done.err.contains("allowed_hosts"), "{done:?}");
    drop(daemon.requests());
}

/// ORCH-CLI-21
#[test]
fn cancel_says_what_the_task_was_at() {
    let ended = json!({ "finish_reason": "stop", "tokens_out": 7, "started_ms": 1 });
    let queued = json!({ "finish_reason": "canceled" });
    let reads = json!({ "finish_reason": "canceled", "started_ms": 1 });
    let runs = json!({ "finish_reason": "canceled", "started_ms": 1, "tokens_out": 3 });
    for (before, after, says) in [
        (
            told(TASK, "ended", &ended),
            told(TASK, "ended", &ended),
            "had ended already, after 7 tokens (stop)",
        ),
        (
            told(TASK, "waiting", &json!({})),
            told(TASK, "ended", &queued),
            "canceled while it waited in the queue",
        ),
        (
            told(TASK, "running", &json!({})),
            told(TASK, "ended", &reads),
            "canceled while the model read its prompt",
        ),
        (
            told(TASK, "running", &json!({})),
            told(TASK, "ended", &runs),
            "canceled while it ran, after 3 tokens",
        ),
        (
            told(TASK, "running", &json!({})),
            told(TASK, "ended", &ended),
            "had ended already, after 7 tokens (stop)",
        ),
    ] {
        let daemon = Daemon::with(vec![before, Exchange::no_content(), after]);
        let done = run(at(&daemon.url(), &["cancel", TASK]));
        assert_eq!(
            (done.code, done.out.as_str()),
            (Some(0), format!("{TASK}: {says}\n").as_str()),
            "{done:?}"
        );
        assert_eq!(daemon.requests()[1].line(), format!("POST /v1/tasks/{TASK}/cancel"));
    }
}

#[test]
fn every_task_is_canceled_whatever_became_of_the_one_before() {
    let other = "0b7c1a52-3d44-4f0e-8b1a-5a6c7d8e9f01";
    let unknown = || refused("404 Not Found", "INVALID_PARAMS", "no task with this id", None);
    let script = || vec![unknown(), told(other, "running", &json!({})), Exchange::no_content(), unknown()];
    let daemon = Daemon::with(script());
    let done = run(at(&daemon.url(), &["cancel", TASK, other]));
    assert_eq!((done.code, done.out), (Some(5), format!("{other}: canceled\n")));
    assert_eq!(done.err, "error: no task with this id [INVALID_PARAMS]\n");
    drop(daemon.requests());

    let daemon = Daemon::with(script());
    let done = run(at(&daemon.url(), &["cancel", "--json", TASK, other]));
    let lines = [
        json!({ "task_id": TASK, "canceled": false, "message": "no task with this id", "code": "INVALID_PARAMS",
            "hint": null, "exit": 5 }),
        json!({ "task_id": other, "canceled": true }),
    ];
    assert_eq!((done.code, done.lines(), done.err.as_str()), (Some(5), lines.into(), ""));
    drop(daemon.requests());
}
