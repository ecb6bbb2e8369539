use super::*;

fn end(tokens_out: u32, decode_ms: u64) -> EndEvent {
    EndEvent {
        tokens_out,
        decode_ms,
        tokens_in: 5,
        queue_ms: 398,
        finish_reason: FinishReason::Stop,
        error: None,
    }
}

#[test]
fn the_first_token_is_not_among_those_made_since_the_first_token() {
    assert_eq!(tokens_per_s(&end(11, 100)), Some(100.0));
    assert_eq!(tokens_per_s(&end(1, 100)), None);
    assert_eq!(tokens_per_s(&end(0, 0)), None);
    assert_eq!(tokens_per_s(&end(2, 0)), None);
}

#[test]
fn the_summary_says_what_was_measured_and_leaves_out_what_was_not() {
    let measured = Figures { first_token: Some(Duration::from_millis(412)), tokens_per_s: Some(100.0) };
    assert_eq!(
        measured.summary(&end(11, 100)),
        "11 tokens · first token after 412 ms · 100.0 tokens/s · queued 398 ms · 5 prompt tokens · stop"
    );
    let nothing = Figures { first_token: None, tokens_per_s: None };
    assert_eq!(nothing.summary(&end(0, 0)), "0 tokens · queued 398 ms · 5 prompt tokens · stop");
}
