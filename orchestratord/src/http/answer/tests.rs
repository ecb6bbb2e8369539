use orchestrator_core::{PoolId, Priority};

use super::*;

fn full(wait: u64) -> Refusal {
    Refusal::QueueFull {
        pool: PoolId::new("p").unwrap(),
        priority: Priority::Batch,
        bound: 2,
        retry_after: Millis(wait),
    }
}

/// ORCH-ERR-3
#[test]
fn a_full_queue_answers_429_with_the_computed_wait_in_both_headers() {
    for (wait, seconds, backoff) in
        [(2350, "3", "2350"), (0, "1", "1"), (90_000, "60", "90000"), (1000, "1", "1000")]
    {
        let response = Refused::from(full(wait)).into_response();
        assert_eq!(response.status(), 429);
        assert_eq!(response.headers()["retry-after"], seconds);
        assert_eq!(response.headers()["x-backoff-ms"], backoff);
        assert_eq!(response.headers()["content-type"], "application/json");
    }
}

#[test]
fn a_refusal_for_good_says_no_time() {
    let response = Refused::from(Refusal::Invalid("x".into())).into_response();
    assert_eq!(response.status(), 400);
    assert!(!response.headers().contains_key("retry-after"));
    assert!(!response.headers().contains_key("x-backoff-ms"));
}

#[test]
fn an_answer_to_a_wrong_token_names_the_scheme() {
    let response = Refused::from(Refusal::Unauthorized("x")).into_response();
    assert_eq!(response.headers()["www-authenticate"], "Bearer");
}

#[test]
fn what_a_caller_sent_is_shown_in_one_short_line() {
    assert_eq!(shown(b"plain"), "plain");
    assert_eq!(shown(b"a\x1b[31m\nb"), "a\u{fffd}[31m\u{fffd}b");
    let long = shown("é".repeat(1000).as_bytes());
    assert!(long.ends_with("é…") && long.len() < 110, "{long}");
}
