//! The running daemon against its own contract (`contracts/openapi`), read at run time: every documented
//! status and header is provoked, every body has the documented form, and nothing else is ever answered.
#![expect(clippy::unwrap_used, reason = "an unwrap in a test is an assertion")]

#[path = "support/audit.rs"]
mod audit;
#[expect(dead_code, reason = "the other tests read another contract")]
#[path = "support/contract.rs"]
mod contract;
#[path = "support/faults.rs"]
mod faults;
#[path = "provider_verify/metrics.rs"]
mod metrics;
#[path = "support/models.rs"]
mod models;
#[path = "provider_verify/pact.rs"]
mod pact;
#[expect(dead_code, reason = "other tests ask at its second address")]
#[path = "support/test_daemon.rs"]
mod test_daemon;
#[path = "support/wire.rs"]
mod wire;

use std::collections::BTreeSet;
use std::time::Duration;

use audit::{Audit, SOME_ID, open_stream, prompt, task};
use engine_api::ExitReason;
use engine_mock::Phase;
use orchestrator_core::FullPolicy;
use pool_manager::ReplicaEventKind;
use serde_json::{Value, json};
use test_daemon::{BrokenDaemon, LANE_BOUND, MockOptions, STREAMS, TestDaemon};
use wire::Ask;

/// ORCH-TASK-1, ORCH-TASK-2, ORCH-TASK-4, ORCH-TASK-13, ORCH-ERR-1, ORCH-ERR-3, ORCH-ERR-6, ORCH-STREAM-1,
/// ORCH-CANCEL-3, ORCH-QUEUE-1, ORCH-MODEL-5, ORCH-MODEL-6, ORCH-MODEL-7, ORCH-MODEL-8, ORCH-SEC-2,
/// ORCH-SEC-5, ORCH-SEC-6, ORCH-DOC-2, HOME-API-1, HOME-API-2, HOME-API-3, HOME-API-4, HOME-API-5,
/// HOME-API-6, HOME-MODEL-1, ORCH-DEV-11
#[tokio::test]
async fn the_daemon_answers_as_its_contract_says_and_in_no_other_way() {
    let audit = Audit::new();
    answers_of_a_pool_that_is_not_ready(&audit).await;
    let mut daemon = TestDaemon::new().await;
    answers_of_a_pool_that_serves(&audit, &daemon).await;
    faults::requests_at_fault(&audit, daemon.address).await;
    faults::odd_requests(&audit, daemon.address).await;
    examples_of_the_contract(&audit, &daemon).await;
    models::at_fault(&audit, &daemon).await;
    models::reloads(&audit, &mut daemon).await;
    models::states(&audit, &mut daemon).await;
    the_list_of_tasks(&audit).await;
    a_full_house(&audit).await;
    a_house_that_drops_the_oldest(&audit).await;
    an_engine_that_hangs(&audit).await;
    a_stopping_house(&audit).await;
    defects(&audit).await;
    all_that_is_documented_was_provoked(&audit);
}

async fn answers_of_a_pool_that_is_not_ready(audit: &Audit) {
    let daemon = TestDaemon::empty();
    let health = audit.expect(503, daemon.address, Ask::get("/health")).await;
    assert_eq!(health.json()["status"], "starting");
    let refused = audit.expect(503, daemon.address, Ask::task(&prompt())).await;
    assert_eq!(refused.json()["code"], "POOL_UNREADY");
    assert_eq!(refused.json()["engine"], "llamacpp");
    assert!(refused.header("retry-after").is_some() && refused.header("x-backoff-ms").is_some());
    daemon.fail_fetch().await;
    let refused = loop {
        let refused = audit.expect(503, daemon.address, Ask::task(&prompt())).await;
        if refused.json()["code"] == "POOL_UNAVAILABLE" {
            break refused;
        }
    };
    assert!(refused.json()["message"].as_str().unwrap().contains("no network"));
    let health = audit.expect(503, daemon.address, Ask::get("/health")).await;
    assert_eq!(health.json()["status"], "unavailable");
}

async fn answers_of_a_pool_that_serves(audit: &Audit, daemon: &TestDaemon) {
    let at = daemon.address;
    let session = "0b7c1a52-3d44-4f0e-8b1a-5a6c7d8e9f01";
    let stopped = audit.submit(daemon, json!({"prompt": "one two three", "session_id": session})).await;
    let stream = audit.expect(200, at, Ask::get(&task("stream", &stopped))).await;
    let events = contract::events(stream.text()).unwrap();
    assert_eq!(events.len(), 5, "three words are three tokens");
    assert_eq!(events[4].data["finish_reason"], "stop");
    let again = audit.expect(200, at, Ask::get(&task("stream", &stopped))).await;
    assert_eq!(contract::events(again.text()).unwrap().len(), 5, "a finished answer is read again in full");
    let rest = Ask::get(&task("stream", &stopped)).header("Last-Event-ID", "1");
    let rest = contract::events(audit.expect(200, at, rest).await.text()).unwrap();
    assert_eq!(rest.iter().filter_map(|event| event.id).collect::<Vec<_>>(), [2]);
    for past in ["2", "4294967295", "18446744073709551615"] {
        let past = Ask::get(&task("stream", &stopped)).header("Last-Event-ID", past);
        let past = contract::events(audit.expect(200, at, past).await.text()).unwrap();
        assert_eq!(past.len(), 2, "nothing but `started` and `end` after the last token");
    }
    let cut = audit.submit(daemon, json!({"prompt": "one two three", "max_tokens": 1})).await;
    let stream = audit.expect(200, at, Ask::get(&task("stream", &cut))).await;
    assert!(stream.text().contains("\"length\""));

    let view = audit.expect(200, at, Ask::get(&format!("/v1/sessions/{session}"))).await.json();
    assert_eq!(view["turns"], 1);
    audit.expect(204, at, Ask::new("DELETE", &format!("/v1/sessions/{session}"))).await;
    audit.expect(404, at, Ask::get(&format!("/v1/sessions/{session}"))).await;
    audit.expect(404, at, Ask::new("DELETE", &format!("/v1/sessions/{session}"))).await;

    daemon.control.hold(Phase::Decode);
    let canceled = audit.submit(daemon, prompt()).await;
    let reader = audit.expect(200, at, Ask::get(&task("stream", &canceled)));
    let cancel = async {
        daemon.control.until(|counts| counts.running == 1).await;
        audit.expect(204, at, Ask::post(&task("cancel", &canceled))).await;
    };
    let (stream, ()) = tokio::join!(reader, cancel);
    assert!(stream.text().contains("\"canceled\""));
    audit.expect(204, at, Ask::post(&task("cancel", &canceled))).await;
    audit.expect(204, at, Ask::post(&task("cancel", &stopped))).await;
    let shown = audit.expect(200, at, Ask::get(&format!("/v1/tasks/{stopped}"))).await.json();
    assert_eq!(shown["task"]["finish_reason"], "stop");
    assert_eq!(shown["input"]["parts"], json!([{"text": "one two three"}]));
    assert_eq!(shown["answer"], "one two three");
    daemon.control.release(Phase::Decode);

    let id = "11111111-2222-3333-4444-555555555555";
    let body = json!({"task_id": id, "prompt": "one", "max_tokens": 3});
    assert_eq!(audit.submit(daemon, body.clone()).await, id);
    assert_eq!(audit.submit(daemon, json!({"max_tokens": 3, "prompt": "one", "task_id": id})).await, id);
    let other = json!({"task_id": id, "prompt": "two", "max_tokens": 3});
    let refused = audit.expect(400, at, Ask::task(&other)).await;
    assert!(refused.json()["message"].as_str().unwrap().contains("`task_id`"));

    audit.expect(200, at, Ask::get("/health")).await;
    let anyone = audit.expect(200, at, Ask::get("/health").without("Authorization")).await;
    assert_eq!(anyone.json(), json!({"status": "ok"}));
    let wrong = Ask::get("/health").without("Authorization").header("x-api-key", "wrong");
    assert_eq!(audit.expect(200, at, wrong).await.json(), json!({"status": "ok"}));
    figures_and_models(audit, daemon).await;
    let metrics = audit.expect(200, at, Ask::get("/metrics")).await;
    assert!(metrics.text().contains("queue_depth{") && metrics.text().ends_with("# EOF\n"));
}

/// ORCH-FIG-1, ORCH-LOG-1, ORCH-TASK-17, ORCH-MODEL-14
async fn figures_and_models(audit: &Audit, daemon: &TestDaemon) {
    let at = daemon.address;
    let ask =
        Ask::task(&json!({"prompt": " one \n two", "max_tokens": 2})).header("User-Agent", "a-client/1.2");
    let id = audit.expect(202, at, ask).await.json()["task_id"].as_str().unwrap().to_owned();
    audit.expect(200, at, Ask::get(&task("stream", &id))).await;
    let shown = audit.expect(200, at, Ask::get(&format!("/v1/tasks/{id}"))).await.json()["task"].clone();
    assert_eq!((&shown["preview"], &shown["client"]), (&json!("one two"), &json!("a-client/1.2")), "{shown}");
    assert!(shown["model"].is_string(), "{shown}");
    let figures = audit.expect(200, at, Ask::get("/v1/figures")).await.json();
    let pools =
        figures["minutes"].as_array().unwrap().iter().flat_map(|minute| minute["pools"].as_array().unwrap());
    let (started, written) = pools.fold((0, 0), |(started, written), pool| {
        (started + pool["started"].as_u64().unwrap(), written + pool["tokens_out"].as_u64().unwrap())
    });
    assert!(started >= 1 && written >= 2, "{figures}");

    let log = audit.expect(200, at, Ask::get("/v1/log?from=0&lines=1")).await.json();
    assert_eq!(log, json!({"first": 0, "lines": ["2026-01-01T00:00:00Z  INFO listening"]}));

    models_that_may_fit(audit, at).await;

    let nowhere = "https://127.0.0.1:1/a.gguf";
    let begun = audit
        .expect(202, at, Ask::post("/v1/store/fetches").json(&json!({"model_ref": nowhere})))
        .await
        .json();
    let listed = audit.expect(200, at, Ask::get("/v1/store")).await.json();
    assert_eq!(listed["fetches"][0]["id"], begun["id"], "{listed}");
    let fetch = format!("/v1/store/fetches/{}", begun["id"]);
    audit.expect(204, at, Ask::new("DELETE", &fetch)).await;
    audit.send(at, Ask::new("DELETE", &fetch)).await;
    audit.expect(404, at, Ask::new("DELETE", &fetch)).await;
    for wrong in ["file:/a.gguf", "nonsense", ""] {
        let refused =
            audit.expect(400, at, Ask::post("/v1/store/fetches").json(&json!({"model_ref": wrong}))).await;
        assert!(refused.json()["message"].as_str().unwrap().contains("`model_ref`"), "{wrong}");
    }
    let sum = json!({"model_ref": nowhere, "sha256": "abc"});
    audit.expect(400, at, Ask::post("/v1/store/fetches").json(&sum)).await;
}

async fn models_that_may_fit(audit: &Audit, at: std::net::SocketAddr) {
    let ask = |model: &str| Ask::post("/v1/store/fit").json(&json!({ "model_ref": model }));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("m.gguf");
    std::fs::write(&file, "a model").unwrap();
    let named = format!("file:{}", file.display());
    let fit = audit.expect(200, at, ask(&named)).await.json();
    assert_eq!((&fit["model_ref"], &fit["never"]), (&json!(named), &json!(false)));
    assert_eq!((&fit["placement"][0]["device"], &fit["placement"][0]["fits"]), (&json!("cpu"), &json!(true)));
    for (wrong, why) in [("file:/a.gguf", "fetch it first"), ("nonsense", "not a model"), ("", "`model_ref`")]
    {
        let message = audit.expect(400, at, ask(wrong)).await.json()["message"].clone();
        assert!(message.as_str().unwrap().contains(why), "{message}");
    }
    let of_pool = Ask::post("/v1/store/fit").json(&json!({ "model_ref": named, "pool": "nobody" }));
    let message = audit.expect(400, at, of_pool).await.json()["message"].clone();
    assert_eq!(message, "`pool` is `nobody`, and there is no such pool");
}

/// What the contract shows as a request is one.
async fn examples_of_the_contract(audit: &Audit, daemon: &TestDaemon) {
    let text = include_str!("../../contracts/openapi/data.yaml");
    let document: Value = serde_saphyr::from_str(text).unwrap();
    let examples =
        &document["paths"]["/v1/tasks"]["post"]["requestBody"]["content"]["application/json"]["examples"];
    let examples = examples.as_object().unwrap();
    assert!(examples.len() >= 3);
    for (name, example) in examples {
        let answer = audit.send(daemon.address, Ask::task(&example["value"])).await;
        assert_eq!(answer.status, 202, "the example `{name}` is refused: {answer:?}");
        let id = answer.json()["task_id"].as_str().unwrap().to_owned();
        audit.expect(200, daemon.address, Ask::get(&task("stream", &id))).await;
    }
}

/// The list shows what runs, what waits in the order of its start, and what has ended.
async fn the_list_of_tasks(audit: &Audit) {
    let daemon = TestDaemon::new().await;
    let at = daemon.address;
    let ended = audit.submit(&daemon, json!({"prompt": "one"})).await;
    audit.expect(200, at, Ask::get(&task("stream", &ended))).await;
    daemon.control.hold(Phase::Decode);
    let running = audit.submit(&daemon, json!({"prompt": "one two", "max_tokens": 7})).await;
    daemon.control.until(|counts| counts.running == 1).await;
    let batch = audit.submit(&daemon, json!({"prompt": "one two", "priority": "batch"})).await;
    let next = audit.submit(&daemon, prompt()).await;
    let list = audit.expect(200, at, Ask::get("/v1/tasks")).await.json();
    assert_eq!(list["counts"], json!({"running": 1, "waiting": 2, "ended": 1}));
    let named: Vec<_> = list["tasks"].as_array().unwrap().iter().map(|task| &task["task_id"]).collect();
    assert_eq!(named, [&running, &next, &batch, &ended]);
    assert_eq!(list["tasks"][0]["state"], "running");
    assert_eq!(list["tasks"][0]["max_tokens"], 7);
    assert_eq!(list["tasks"][2]["queue_position"], 1);
    assert_eq!(list["tasks"][3]["finish_reason"], "stop");
    let one = audit.expect(200, at, Ask::get("/v1/tasks?limit=1")).await.json();
    assert_eq!(one["tasks"].as_array().unwrap().len(), 3, "one of each kind");
    assert_eq!(one["counts"], list["counts"]);
    let waiting = audit.expect(200, at, Ask::get(&format!("/v1/tasks/{next}"))).await.json();
    assert_eq!(waiting["task"]["state"], "waiting");
    assert_eq!(waiting["answer"], "");
    daemon.control.release(Phase::Decode);
}

async fn a_full_house(audit: &Audit) {
    let daemon = TestDaemon::new().await;
    let at = daemon.address;
    daemon.control.hold(Phase::Decode);
    let running = audit.submit(&daemon, prompt()).await;
    daemon.control.until(|counts| counts.running == 1).await;
    for lane in ["interactive", "batch"] {
        let body = json!({"prompt": "one two", "priority": lane});
        for _ in 0..LANE_BOUND {
            audit.submit(&daemon, body.clone()).await;
        }
        let refused = audit.expect(429, at, Ask::task(&body)).await;
        assert_eq!(refused.json()["code"], "ADMISSION_REJECT");
        assert_eq!(refused.json()["engine"], "llamacpp");
        let wait = refused.json()["retry_after_ms"].as_u64().unwrap();
        let seconds: u64 = refused.header("retry-after").unwrap().parse().unwrap();
        assert_eq!(seconds, wait.div_ceil(1000).clamp(1, 60), "both say the same time");
    }
    let mut readers = Vec::new();
    for _ in 0..STREAMS {
        readers.push(open_stream(at, &running).await);
    }
    let refused = audit.expect(503, at, Ask::get(&task("stream", &running))).await;
    assert!(refused.json()["message"].as_str().unwrap().contains("limits.streams"));
    drop(readers.pop());
    // The daemon learns that a reader is gone when it next writes to it.
    while audit.send(at, Ask::new("HEAD", &task("stream", &running))).await.status == 503 {
        tokio::task::yield_now().await;
    }

    // The engine dies with a task that has said something.
    daemon.control.pass(Phase::Decode, 1);
    daemon.control.until(|counts| counts.tokens == 1).await;
    daemon.control.crash(&ExitReason::Signal(9));
    daemon.tell(ReplicaEventKind::Gone { reason: ExitReason::Signal(9) }).await;
    drop(readers);
    let lost = loop {
        let answer = wire::send(at, &Ask::get(&task("stream", &running))).await;
        if answer.status == 200 {
            break answer;
        }
    };
    assert!(lost.text().contains("WORKER_RESET"), "{}", lost.text());
    let lost = audit.expect(200, at, Ask::get(&task("stream", &running))).await;
    assert!(lost.text().contains("\"error\""));
}

async fn a_house_that_drops_the_oldest(audit: &Audit) {
    let daemon = TestDaemon::with(MockOptions { when_full: FullPolicy::DropLru, ..MockOptions::default() });
    daemon.bring_up().await;
    daemon.control.hold(Phase::Decode);
    audit.submit(&daemon, prompt()).await;
    daemon.control.until(|counts| counts.running == 1).await;
    let batch = json!({"prompt": "one two", "priority": "batch"});
    let oldest = audit.submit(&daemon, batch.clone()).await;
    for _ in 0..LANE_BOUND {
        audit.submit(&daemon, batch.clone()).await;
    }
    let stream = audit.expect(200, daemon.address, Ask::get(&task("stream", &oldest))).await;
    assert!(stream.text().contains("QUEUE_FULL_DROP_LRU"), "{}", stream.text());
}

async fn an_engine_that_hangs(audit: &Audit) {
    let daemon =
        TestDaemon::with(MockOptions { hang_floor: Duration::from_millis(10), ..MockOptions::default() });
    daemon.bring_up().await;
    daemon.control.hold(Phase::Decode);
    let hangs = audit.submit(&daemon, prompt()).await;
    daemon.control.until(|counts| counts.running == 1).await;
    daemon.control.pass(Phase::Decode, 1);
    let stream = audit.expect(200, daemon.address, Ask::get(&task("stream", &hangs))).await;
    assert!(stream.text().contains("DECODE_TIMEOUT"), "{}", stream.text());
    daemon.control.until(|counts| counts.gone == 1).await;
}

async fn a_stopping_house(audit: &Audit) {
    let mut daemon = TestDaemon::new().await;
    let at = daemon.address;
    daemon.control.hold(Phase::Decode);
    let running = audit.submit(&daemon, prompt()).await;
    daemon.control.until(|counts| counts.running == 1).await;
    daemon.begin_stop().await;
    let health = audit.expect(503, at, Ask::get("/health")).await;
    assert_eq!(health.json()["status"], "stopping");
    let refused = audit.expect(503, at, Ask::task(&prompt())).await;
    assert_eq!(refused.json()["code"], "POOL_UNAVAILABLE");
    daemon.control.release(Phase::Decode);
    let stream = audit.expect(200, at, Ask::get(&task("stream", &running))).await;
    assert!(stream.text().contains("\"stop\""), "what runs may finish");
    daemon.lose_driver().await;
    audit.expect(503, at, Ask::task(&prompt())).await;
    audit.expect(503, at, Ask::get(&task("stream", SOME_ID))).await;
    audit.expect(503, at, Ask::get("/v1/tasks")).await;
    audit.expect(503, at, Ask::get(&format!("/v1/tasks/{SOME_ID}"))).await;
    audit.expect(503, at, Ask::post(&task("cancel", SOME_ID))).await;
    audit.expect(503, at, Ask::get(&format!("/v1/sessions/{SOME_ID}"))).await;
    audit.expect(503, at, Ask::new("DELETE", &format!("/v1/sessions/{SOME_ID}"))).await;
    audit.expect(503, at, Ask::get("/metrics")).await;
    audit.expect(503, at, Ask::get("/v1/figures")).await;
    audit.expect(503, at, Ask::get("/v1/store")).await;
    audit.expect(503, at, Ask::get("/health")).await;
    models::without_a_driver(audit, 503, at).await;
}

async fn defects(audit: &Audit) {
    let daemon = BrokenDaemon::new();
    let at = daemon.address;
    for ask in [
        Ask::task(&prompt()),
        Ask::get(&format!("/v1/tasks/{SOME_ID}")),
        Ask::get(&task("stream", SOME_ID)),
        Ask::post(&task("cancel", SOME_ID)),
        Ask::get(&format!("/v1/sessions/{SOME_ID}")),
        Ask::new("DELETE", &format!("/v1/sessions/{SOME_ID}")),
    ] {
        let answer = audit.expect(500, at, ask).await;
        assert_eq!(answer.json()["code"], "INTERNAL");
    }
    models::without_a_driver(audit, 500, at).await;
}

fn all_that_is_documented_was_provoked(audit: &Audit) {
    let seen = audit.seen();
    let missing: Vec<_> = audit.contract.documented().difference(&seen.answers).cloned().collect();
    assert!(missing.is_empty(), "documented and never answered: {missing:#?}");
    for (status, header) in [
        (429, "retry-after"),
        (429, "x-backoff-ms"),
        (503, "retry-after"),
        (503, "x-backoff-ms"),
        (401, "www-authenticate"),
        (200, "cache-control"),
        (200, "x-accel-buffering"),
    ] {
        assert!(seen.headers.contains(&(status, header.to_owned())), "{header} of {status} was never sent");
    }
    let set = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(seen.finish_reasons, set(&["stop", "length", "canceled", "error"]));
    let of_changes = ["reloaded", "rollback", "refused"];
    assert_eq!(seen.statuses, &set(&["ok", "starting", "unavailable", "stopping"]) | &set(&of_changes));
    let codes = set(&[
        "ADMISSION_REJECT",
        "DECODE_TIMEOUT",
        "INTERNAL",
        "INVALID_PARAMS",
        "POOL_UNAVAILABLE",
        "POOL_UNREADY",
        "QUEUE_FULL_DROP_LRU",
        "REPLICA_EXHAUSTED",
        "WORKER_RESET",
    ]);
    let of_changes = [
        "DOES_NOT_FIT",
        "ENGINE_FAILED",
        "MODEL_INVALID",
        "MODEL_RETIRED",
        "MODEL_UNAVAILABLE",
        "RELOAD_IN_PROGRESS",
        "SELF_TEST_FAILED",
        "STOPPING",
    ];
    assert_eq!(seen.codes, &codes | &set(&of_changes));
}
