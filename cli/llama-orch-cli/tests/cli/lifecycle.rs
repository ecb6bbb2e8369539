//! `reload`, `retire`, `activate`, `explain`: which models are served.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::daemon::{Daemon, Exchange, Request, refused};
use crate::program::{at, finish, read_until, run, signal};

fn pool(id: &str, state: &str, more: Value) -> Value {
    let lane = json!({ "depth": 0, "bound": 8 });
    let model_state = if state == "retired" { "Retired" } else { "Active" };
    let mut pool = json!({
        "id": id, "model_ref": format!("file:/m/{id}.gguf"), "engine": "llamacpp", "state": state,
        "model_state": model_state, "queue": { "interactive": lane, "batch": lane }, "replicas": []
    });
    for (key, value) in more.as_object().into_iter().flatten() {
        pool[key] = value.clone();
    }
    pool
}

fn health(pools: &[Value], ledger: &Value) -> Exchange {
    let body = json!({ "status": "ok", "version": "0.1.0", "pools": pools, "devices": [], "ledger": ledger });
    Exchange::json("200 OK", "", &body.to_string())
}

fn plain(pool: Value) -> Exchange {
    health(&[pool], &json!([]))
}

fn replica(state: &str, slots_busy: u32) -> Value {
    json!([{ "id": "a/0", "state": state, "device": "gpu0", "slots_busy": slots_busy }])
}

fn answer(status: &str, body: &Value) -> Exchange {
    Exchange::json(status, "", &body.to_string())
}

fn state_of(model: &str, state: &str) -> Exchange {
    answer("200 OK", &json!({ "model_id": model, "state": state }))
}

fn not_found() -> Exchange {
    refused("404 Not Found", "INVALID_PARAMS", "there is no such pool", None)
}

/// ORCH-CLI-5
#[test]
fn a_reload_says_what_is_served_now() {
    let reloaded = json!({ "status": "reloaded", "model_ref": "hf:o/r/f.gguf" });
    let sum = "B".repeat(64);
    for (json, out) in
        [(None, "a serves hf:o/r/f.gguf\n".to_owned()), (Some("--json"), format!("{reloaded}\n"))]
    {
        let daemon = Daemon::with(vec![answer("200 OK", &reloaded)]);
        let mut arguments = vec!["reload", "a", "hf:o/r/f.gguf", "--sha256", &sum];
        arguments.extend(json);
        let done = run(at(&daemon.url(), &arguments));
        assert_eq!((done.code, done.err.as_str()), (Some(0), ""));
        assert_eq!(done.out.parse::<Value>().ok(), out.parse::<Value>().ok(), "{done:?}");
        if json.is_none() {
            assert_eq!(done.out, out);
        }
        let requests = daemon.requests();
        assert_eq!(requests[0].line(), "POST /v1/pools/a/reload");
        assert_eq!(requests[0].json(), json!({ "new_model_ref": "hf:o/r/f.gguf", "sha256": "b".repeat(64) }));
    }
}

#[test]
fn a_file_is_named_so_that_the_daemon_finds_it_from_its_own_folder() {
    let daemon = Daemon::with(vec![answer("200 OK", &json!({ "status": "reloaded", "model_ref": "x" }))]);
    let done = run(at(&daemon.url(), &["reload", "a", "./m.gguf"]));
    assert_eq!(done.code, Some(0), "{done:?}");
    let named = daemon.requests()[0].json()["new_model_ref"].as_str().unwrap().to_owned();
    assert!(named.starts_with("file:/") && named.ends_with("m.gguf"), "{named}");
}

/// ORCH-CLI-5
#[test]
fn a_reload_that_was_taken_back_has_an_exit_code_of_its_own() {
    let back = |status: &str, code: &str| {
        answer("409 Conflict", &json!({ "status": status, "code": code, "message": "so it is" }))
    };
    let cases = [
        (
            "rollback",
            "MODEL_INVALID",
            8,
            "error: `a` was not reloaded, it serves what it served before: so it is [MODEL_INVALID]\n",
        ),
        ("rollback", "DOES_NOT_FIT", 8, "hint: `llama-orch explain a` shows what is free where"),
        ("rollback", "ENGINE_FAILED", 8, "hint: the daemon's log says more\n"),
        ("refused", "RELOAD_IN_PROGRESS", 5, "error: so it is [RELOAD_IN_PROGRESS]\n"),
        ("refused", "MODEL_RETIRED", 5, "hint: `llama-orch activate a` puts it back into service\n"),
    ];
    for (status, code, exit, said) in cases {
        let daemon = Daemon::with(vec![back(status, code), back(status, code)]);
        let done = run(at(&daemon.url(), &["reload", "a", "starter"]));
        assert_eq!((done.code, done.out.as_str()), (Some(exit), ""), "{done:?}");
        assert!(done.err.contains(said), "{done:?}");
        let done = run(at(&daemon.url(), &["reload", "a", "starter", "--json"]));
        assert_eq!(done.code, Some(exit));
        assert_eq!(done.lines(), [json!({ "status": status, "code": code, "message": "so it is" })]);
        drop(daemon.requests());
    }
}

#[test]
fn a_pool_that_is_not_there_is_refused() {
    let daemon = Daemon::with(vec![not_found()]);
    let done = run(at(&daemon.url(), &["reload", "b", "starter"]));
    assert_eq!((done.code, done.err.as_str()), (Some(5), "error: there is no such pool [INVALID_PARAMS]\n"));
    drop(daemon.requests());
}

/// A reload that is answered when it has been looked at twice: at the second look the first one has been said.
fn slow_reload(fetched: u64) -> Vec<Exchange> {
    let fetch = json!({ "done_bytes": fetched, "total_bytes": 4096 });
    let reload = json!({ "stage": "fetching", "fetch": fetch });
    let way = || plain(pool("a", "ready", json!({ "reloading_to": "hf:o/r/f.gguf", "reload": reload })));
    let body = r#"{"status":"reloaded","model_ref":"hf:o/r/f.gguf"}"#;
    let length = body.len();
    let done = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    vec![Exchange::nothing().open(), way(), way().releasing(&done)]
}

/// ORCH-MODEL-10
#[test]
fn a_reload_that_takes_long_says_how_far_it_is() {
    let daemon = Daemon::with(slow_reload(1024));
    let done = run(at(&daemon.url(), &["reload", "-v", "a", "hf:o/r/f.gguf"]));
    assert_eq!((done.code, done.out.as_str()), (Some(0), "a serves hf:o/r/f.gguf\n"), "{done:?}");
    let way = "a: reloading to hf:o/r/f.gguf: fetching it, 1.0 KiB of 4.0 KiB (25 %)\n";
    assert!(done.err.contains(way), "{done:?}");
    drop(daemon.requests());
}

#[test]
fn ctrl_c_leaves_the_reload_to_the_daemon() {
    let daemon = Daemon::with(vec![Exchange::nothing().open()]);
    let mut child = at(&daemon.url(), &["reload", "-v", "a", "starter"]).spawn().unwrap();
    let mut err = child.stderr.take().unwrap();
    read_until(&mut err, "leaves it to the daemon)\n");
    signal(child.id(), Signal::INT);
    let said = std::io::read_to_string(err).unwrap();
    assert!(said.contains("the daemon goes on with the reload"), "{said}");
    assert_eq!(finish(child).code, Some(130));
    // The signal may have come before the request went out.
    drop(daemon);
}

#[test]
fn retire_and_activate_set_the_state_of_every_model_named() {
    let daemon = Daemon::with(vec![state_of("a", "Retired"), state_of("b", "Retired")]);
    let done = run(at(&daemon.url(), &["retire", "a", "b"]));
    assert_eq!((done.code, done.err.as_str()), (Some(0), ""));
    assert_eq!(done.out.lines().count(), 2);
    assert!(done.out.starts_with("a is retired: its memory is given back"), "{done:?}");
    let requests = daemon.requests();
    let sent: Vec<_> = requests.iter().map(|request| (request.line(), request.json())).collect();
    let retire = |id: &str| (format!("POST /v1/models/{id}/state"), json!({ "state": "Retired" }));
    assert_eq!(sent, [retire("a"), retire("b")]);

    let daemon = Daemon::with(vec![state_of("a", "Active")]);
    let done = run(at(&daemon.url(), &["activate", "a", "--json"]));
    assert_eq!(done.lines(), [json!({ "model_id": "a", "state": "Active" })]);
    assert_eq!(daemon.requests()[0].json(), json!({ "state": "Active" }));
}

#[test]
fn a_model_may_be_named_by_what_its_pool_serves() {
    let pools = [pool("a", "ready", json!({})), pool("b", "ready", json!({}))];
    let daemon = Daemon::with(vec![not_found(), health(&pools, &json!([])), state_of("b", "Retired")]);
    let done = run(at(&daemon.url(), &["retire", "file:/m/b.gguf"]));
    assert_eq!(done.code, Some(0), "{done:?}");
    let lines: Vec<String> = daemon.requests().iter().map(Request::line).collect();
    assert_eq!(lines[0], "POST /v1/models/file:%2Fm%2Fb.gguf/state");
    assert_eq!(lines[2], "POST /v1/models/b/state");

    let daemon = Daemon::with(vec![not_found(), health(&pools, &json!([]))]);
    let done = run(at(&daemon.url(), &["retire", "c"]));
    assert_eq!(done.code, Some(5));
    assert!(done.err.contains("hint: there are: `a` (file:/m/a.gguf), `b`"), "{done:?}");
    drop(daemon.requests());
}

/// ORCH-CLI-5
#[test]
fn retire_waits_until_the_memory_is_given_back() {
    let held = json!([{ "device": "gpu0", "replica": "a/0" }]);
    let daemon = Daemon::with(vec![
        state_of("a", "Retired"),
        plain(pool("a", "retired", json!({ "replicas": replica("retiring", 2) }))),
        health(&[pool("a", "retired", json!({}))], &held),
        plain(pool("a", "retired", json!({}))),
    ]);
    let done = run(at(&daemon.url(), &["retire", "a", "--wait"]));
    assert_eq!((done.code, done.out.as_str(), done.err.as_str()), (Some(0), "a is retired\n", ""));
    drop(daemon.requests());
}

/// ORCH-CLI-5
#[test]
fn activate_waits_until_it_is_loaded_or_cannot_be() {
    let way = |last: Exchange| {
        vec![
            state_of("a", "Active"),
            plain(pool("a", "starting", json!({ "replicas": replica("starting", 0) }))),
            last,
        ]
    };
    for state in ["ready", "unloaded"] {
        let daemon = Daemon::with(way(plain(pool("a", state, json!({})))));
        assert_eq!(run(at(&daemon.url(), &["activate", "a", "--wait=30"])).code, Some(0));
        drop(daemon.requests());
    }
    let daemon =
        Daemon::with(way(plain(pool("a", "unavailable", json!({ "reason": "needs 9 GiB, 5 free" })))));
    let done = run(at(&daemon.url(), &["activate", "a", "--wait"]));
    assert_eq!(
        (done.code, done.err.as_str()),
        (Some(1), "error: `a` cannot be loaded: needs 9 GiB, 5 free\n")
    );
    drop(daemon.requests());
}

#[test]
fn a_wait_that_was_in_vain_says_what_is_missing() {
    let daemon = Daemon::with(vec![
        state_of("a", "Retired"),
        plain(pool("a", "retired", json!({ "replicas": replica("retiring", 1) }))),
    ]);
    let done = run(at(&daemon.url(), &["retire", "a", "--wait=0"]));
    assert_eq!(done.code, Some(6));
    assert!(done.err.contains("not done within `--wait`: `a` still has 1 task running"), "{done:?}");
    drop(daemon.requests());
}

#[test]
fn explain_shows_the_reckoning() {
    let placement = json!([
        { "device": "gpu0", "fits": false, "needs_bytes": 9, "free_bytes": 5, "why": "needs 11.8 GiB, 10.2 free" }
    ]);
    let whole = pool("a", "unavailable", json!({ "placement": placement, "reason": "it fits nowhere" }));
    let daemon = Daemon::with(vec![plain(whole.clone()), plain(whole.clone())]);
    let done = run(at(&daemon.url(), &["explain", "file:/m/a.gguf"]));
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.out.contains("it cannot serve: it fits nowhere\n"), "{done:?}");
    assert!(done.out.contains("gpu0: does not fit\n    needs 11.8 GiB, 10.2 free\n"), "{done:?}");
    let done = run(at(&daemon.url(), &["explain", "a", "--json"]));
    assert_eq!(done.lines(), [json!({ "pool": whole, "ledger": [], "devices": [] })]);
    drop(daemon.requests());
}

/// ORCH-CLI-7
#[test]
fn explain_says_of_a_file_that_no_pool_serves_whether_it_would_fit() {
    let place = |fits: bool, why: &str| json!({ "device": "gpu0", "fits": fits, "why": why });
    let fit = |fits, never| {
        let fit = json!({ "model_ref": "file:/m/a.gguf", "placement": [place(fits, "needs 5 GiB")], "never": never });
        answer("200 OK", &fit)
    };
    for (fits, never, said) in [
        (true, false, "it would go to gpu0: `llama-orch reload POOL file:/m/a.gguf` serves it"),
        (false, false, "it does not fit beside what is loaded now"),
        (false, true, "it fits no device of this machine"),
    ] {
        let daemon = Daemon::with(vec![health(&[], &json!([])), fit(fits, never)]);
        let done = run(at(&daemon.url(), &["explain", "/m/a.gguf"]));
        assert_eq!(done.code, Some(0), "{done:?}");
        assert!(done.out.contains(said) && done.out.contains("needs 5 GiB"), "{done:?}");
        let asked = &daemon.requests()[1];
        assert_eq!(
            (asked.line().as_str(), asked.json()),
            ("POST /v1/store/fit", json!({ "model_ref": "file:/m/a.gguf" }))
        );
    }
    let daemon = Daemon::with(vec![health(&[], &json!([]))]);
    let done = run(at(&daemon.url(), &["explain", "nobody"]));
    assert_eq!(done.code, Some(5), "{done:?}");
    drop(daemon.requests());
}

/// ORCH-CLI-20
#[test]
fn launch_checks_the_context_that_a_pool_would_have_which_is_not_loaded() {
    for (ctx, code) in [(json!(8192), 1), (json!(65_536), 0), (json!(null), 0)] {
        let mut place = json!({ "device": "cpu", "fits": true, "why": "needs 5 GiB" });
        if !ctx.is_null() {
            place["ctx"] = ctx.clone();
        }
        let fit = json!({ "model_ref": "file:/m/a.gguf", "placement": [place], "never": false });
        let daemon = Daemon::with(vec![plain(pool("a", "unloaded", json!({}))), answer("200 OK", &fit)]);
        // What it prints has the token in it.
        let done = at(&daemon.url(), &["launch", "claude", "--print"]).output().unwrap();
        let told = String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.success(), code == 0, "{ctx}: {told}");
        assert_eq!(told.contains("the pool `a` has 8192"), code == 1, "{told}");
        let asked = &daemon.requests()[1];
        assert_eq!(
            (asked.line().as_str(), asked.json()),
            ("POST /v1/store/fit", json!({ "model_ref": "file:/m/a.gguf", "pool": "a" }))
        );
    }
    // A pool of a server's own cannot be estimated, and the agent is started.
    let refusal = json!({
        "code": "INVALID_PARAMS", "message": "only that server knows", "engine": null, "retriable": false, "retry_after_ms": null,
    });
    let daemon =
        Daemon::with(vec![plain(pool("a", "unloaded", json!({}))), answer("400 Bad Request", &refusal)]);
    assert!(at(&daemon.url(), &["launch", "claude", "--print"]).status().unwrap().success());
    drop(daemon.requests());
}
