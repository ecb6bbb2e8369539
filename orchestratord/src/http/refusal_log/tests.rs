use super::*;
use crate::backpressure::Refusal;

fn refused(message: &str) -> Refused {
    Refused::from(Refusal::Invalid(message.to_owned()))
}

/// ORCH-ERR-10
#[test]
fn what_somebody_asked_is_in_no_reason() {
    for (message, said) in [
        ("`temperature` is 9: use 0 to 5", "`temperature` is 9: use 0 to 5"),
        (
            "`max_token` is not a field: did you mean `max_tokens`?",
            "`max_token` is not a field: did you mean `max_tokens`?",
        ),
        (
            "`messages` is string \"my \"secret\" diary\": use an array",
            "`messages` is string \"…\": use an array",
        ),
        ("`messages` is string \"my secret diary, cut", "`messages` is string \"…\""),
        ("`prompt` is integer `1234`: use a string", "`prompt` is integer `…`: use a string"),
        ("`role` is `my secret diary`: use `user`", "`role` is `…`: use `user`"),
        ("`a`\n\x1b[31m", "`a`[31m"),
    ] {
        assert_eq!(reason(&refused(message)), said);
    }
    let long = reason(&refused(&"x".repeat(5000)));
    assert_eq!(long.chars().count(), REASON_CHARS_MAX);
    let of_engine = Refused { engine: Some(engine_api::EngineKind::Vllm), ..refused("it is about my diary") };
    assert!(!reason(&of_engine).contains("diary"));
}

/// ORCH-ERR-10
#[test]
fn the_field_at_fault_is_named() {
    assert_eq!(field(&refused("`sampling.top_p` is 2: use 0 to 1")).as_deref(), Some("sampling.top_p"));
    assert_eq!(field(&refused("the body is empty: send a JSON object")), None);
}

/// ORCH-ERR-10
#[test]
fn a_flood_has_some_lines_and_one_count_and_hides_no_other_status() {
    let log = RefusalLog::new(Clock::start());
    let at = |ms| Timestamp::default().after(Duration::from_millis(ms));
    let (busy, wrong) = (place_of(429), place_of(400));
    let lines = |from: u64| (from..from + 1000).filter(|ms| log.take(busy, at(*ms)) == Line::Written).count();
    assert_eq!(lines(0), LINES_MAX as usize);
    assert_eq!(log.take(wrong, at(1000)), Line::Written);
    // Until the count was logged no other window begins: nothing goes uncounted.
    assert_eq!(lines(61_000), 0);
    log.report(busy);
    assert_eq!(lines(62_000), LINES_MAX as usize);
}

/// ORCH-ERR-10
#[test]
fn the_count_is_due_at_the_end_of_the_window() {
    let log = RefusalLog::new(Clock::start());
    let at = |s| Timestamp::default().after(Duration::from_secs(s));
    let place = place_of(418);
    for _ in 0..LINES_MAX {
        assert_eq!(log.take(place, at(100)), Line::Written);
    }
    assert_eq!(log.take(place, at(110)), Line::FirstLeftOut(WINDOW - Duration::from_secs(10)));
    assert_eq!(log.take(place, at(111)), Line::LeftOut);
}
