//! A daemon that has no room: waiting, trying again, giving up.

use serde_json::json;

use crate::TASK;
use crate::daemon::{Daemon, Exchange, accepted, accepted_at, end, refused, started, tokens, told};
use crate::program::{at, run};

fn full(retry_after_ms: u64) -> Exchange {
    let message = "the `batch` lane of pool `starter` is full with 1024 tasks";
    refused("429 Too Many Requests", "ADMISSION_REJECT", message, Some(retry_after_ms))
}

fn hello() -> Exchange {
    Exchange::stream(&(started(0, 0) + &tokens(0, &["Hello"]) + &end(1, "stop")))
}

/// ORCH-CLI-3
#[test]
fn a_full_queue_is_waited_for_and_the_same_task_is_sent_again() {
    let daemon = Daemon::with(vec![full(60), full(60), accepted(TASK), hello()]);
    let done = run(at(&daemon.url(), &["run", "-v", "--batch", "Hi"]));
    assert_eq!((done.code, done.out.as_str()), (Some(0), "Hello\n"), "{done:?}");
    let waits = done.err.matches("queue full: trying again in 1 s (Ctrl-C gives up)\n").count();
    assert_eq!(waits, 2, "{done:?}");
    let requests = daemon.requests();
    assert_eq!(requests[0].body, requests[1].body);
    assert_eq!(requests[0].body, requests[2].body);
}

#[test]
fn a_model_that_loads_is_waited_for() {
    let loading =
        refused("503 Service Unavailable", "POOL_UNREADY", "pool `starter` is loading its model", Some(60));
    let daemon = Daemon::with(vec![loading, accepted(TASK), hello()]);
    let done = run(at(&daemon.url(), &["run", "-v", "Hi"]));
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.err.contains("the model is loading: trying again in 1 s"), "{done:?}");
    drop(daemon.requests());
}

#[test]
fn no_wait_gives_up_at_once() {
    let daemon = Daemon::with(vec![full(60)]);
    let done = run(at(&daemon.url(), &["run", "--no-wait", "Hi"]));
    assert_eq!(done.code, Some(6));
    assert!(done.err.contains("is full with 1024 tasks [ADMISSION_REJECT]"), "{done:?}");
    assert!(done.err.contains("--no-wait"), "{done:?}");
    drop(daemon.requests());
}

/// ORCH-CLI-3
#[test]
fn a_wait_that_is_longer_than_the_bound_is_not_begun() {
    let daemon = Daemon::with(vec![full(5_000)]);
    let done = run(at(&daemon.url(), &["run", "--max-wait", "2", "Hi"]));
    assert_eq!(done.code, Some(6));
    assert!(done.err.contains("room in 5 s") && done.err.contains("`--max-wait` 2"), "{done:?}");
    drop(daemon.requests());
}

#[test]
fn a_task_whose_answer_was_lost_is_not_left_behind_when_the_wait_is_given_up() {
    let no_room = vec![Exchange::nothing(), full(60_000), Exchange::no_content()];
    let mut no_answer: Vec<Exchange> = (0..4).map(|_| Exchange::nothing()).collect();
    no_answer.push(Exchange::no_content());
    for (script, code) in [(no_room, 6), (no_answer, 3)] {
        let daemon = Daemon::with(script);
        let done = run(at(&daemon.url(), &["run", "--max-wait", "30", "Hi"]));
        assert_eq!(done.code, Some(code), "{done:?}");
        let requests = daemon.requests();
        let sent = requests[0].json();
        let id = sent["task_id"].as_str().unwrap();
        assert_eq!(requests.last().unwrap().line(), format!("POST /v1/tasks/{id}/cancel"));
    }
}

#[test]
fn a_pool_that_tells_no_time_is_not_waited_for() {
    let daemon =
        Daemon::with(vec![refused("503 Service Unavailable", "POOL_UNAVAILABLE", "no replica", None)]);
    let done = run(at(&daemon.url(), &["run", "Hi"]));
    assert_eq!(done.code, Some(6));
    assert!(done.err.contains("[POOL_UNAVAILABLE]") && done.err.contains("llama-orch status"), "{done:?}");
    drop(daemon.requests());
}

#[test]
fn the_place_in_the_queue_is_kept_fresh_while_the_task_waits() {
    let rest = tokens(0, &["Hello"]) + &end(1, "stop");
    let daemon = Daemon::with(vec![
        accepted_at(TASK, 3, 12_000),
        Exchange::stream(&started(3, 12_000)).open(),
        told(TASK, "waiting", &json!({ "queue_position": 1, "predicted_start_ms": 4_000 })).releasing(&rest),
    ]);
    let done = run(at(&daemon.url(), &["run", "-v", "Hi"]));
    assert_eq!((done.code, done.out.as_str()), (Some(0), "Hello\n"), "{done:?}");
    assert!(done.err.contains("in the queue: 3 tasks before it, starts in about 12 s"), "{done:?}");
    assert_eq!(daemon.requests()[2].line(), format!("GET /v1/tasks/{TASK}"));
}

/// ORCH-CLI-23
#[test]
fn how_much_of_a_long_prompt_is_read_is_said_while_it_is_read() {
    let rest = tokens(0, &["Hello"]) + &end(1, "stop");
    let daemon = Daemon::with(vec![
        accepted(TASK),
        Exchange::stream(&started(0, 0)).open(),
        told(TASK, "running", &json!({ "tokens_in": 7491, "tokens_read": 2048 })),
        told(TASK, "running", &json!({ "tokens_in": 7491, "tokens_read": 6144 })).releasing(&rest),
    ]);
    let done = run(at(&daemon.url(), &["run", "-v", "Hi"]));
    assert_eq!((done.code, done.out.as_str()), (Some(0), "Hello\n"), "{done:?}");
    assert!(done.err.contains("the model reads the prompt: 2048 of 7491 tokens"), "{done:?}");
    drop(daemon.requests());
}
