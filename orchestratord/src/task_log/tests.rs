use super::*;

fn ended(tokens_out: TokenCount) -> TaskEnd {
    TaskEnd {
        tokens_out,
        tokens_in: TokenCount(3),
        decode_ms: Millis(5),
        queue_ms: Millis(0),
        finish: FinishReason::Stop,
        failure: None,
    }
}

#[tokio::test]
async fn every_reader_sees_every_event_from_where_it_came_in() {
    let log = TaskLog::new();
    assert!(log.append("a", 1));
    let mut early = log.read_from(0);
    assert_eq!(early.next().await, Some(Chunk::Tokens { first: 0, texts: vec!["a".into()] }));
    assert!(log.append("é", 2));
    assert!(log.append("c", 1));
    let mut late = log.read_from(1);
    let rest = Chunk::Tokens { first: 1, texts: vec!["é".into(), "c".into()] };
    assert_eq!(early.next().await, Some(rest.clone()));
    assert_eq!(late.next().await, Some(rest));
    assert!(log.close(ended));
    assert_eq!(late.next().await, Some(Chunk::End(ended(TokenCount(4)))));
    assert_eq!(late.next().await, None);
}

#[tokio::test]
async fn a_waiting_reader_wakes_for_tokens_and_for_the_end() {
    let log = TaskLog::new();
    let mut reader = log.read_from(0);
    let (chunk, ()) = tokio::join!(reader.next(), async {
        tokio::task::yield_now().await;
        log.append("x", 1);
    });
    assert_eq!(chunk, Some(Chunk::Tokens { first: 0, texts: vec!["x".into()] }));
    let (chunk, ()) = tokio::join!(reader.next(), async {
        tokio::task::yield_now().await;
        log.close(ended);
    });
    assert_eq!(chunk, Some(Chunk::End(ended(TokenCount(1)))));
}

#[test]
fn a_closed_log_takes_nothing_more() {
    let log = TaskLog::new();
    assert!(log.close(ended));
    assert!(!log.append("late", 1));
    assert!(!log.close(|_| unreachable!("the first close counts")));
    assert_eq!(log.tokens(), TokenCount(0));
}

#[test]
fn a_reader_that_asks_past_the_end_gets_the_end() {
    let log = TaskLog::new();
    log.append("a", 1);
    log.close(ended);
    let mut reader = log.read_from(99);
    assert!(matches!(reader.try_next(), Some(Chunk::End(_))));
    assert_eq!(reader.try_next(), None);
}

/// One token with these bytes.
fn token(bytes: &[u8]) -> TokenLogprob {
    let chosen = adapter_api::Candidate { token: -1, bytes: bytes.to_vec(), logprob: -0.5 };
    TokenLogprob { top: vec![chosen.clone(); 3], chosen }
}

#[test]
fn each_event_keeps_how_probable_its_own_tokens_were() {
    let log = TaskLog::new();
    let llama = "🦙".as_bytes();
    log.append("a", 1);
    log.append_with("🦙", 2, &[token(&llama[..2]), token(&llama[2..])]);
    log.append("b", 1);
    log.append_with("c", 1, &[token(b"c")]);
    log.close(ended);
    let reader = log.read_from(0);
    let told = reader.logprobs(0..4);
    assert_eq!(told[1], [token(&llama[..2]), token(&llama[2..])]);
    assert_eq!(told[3], [token(b"c")]);
    assert!(told[0].is_empty() && told[2].is_empty());
    assert_eq!(reader.logprobs(3..5), [vec![token(b"c")], Vec::new()], "there is no event 4");
    assert!(!log.append_with("late", 1, &[token(b"late")]));
}

#[test]
fn a_log_counts_what_it_keeps_of_them_and_one_without_pays_nothing() {
    let (without, with) = (TaskLog::new(), TaskLog::new());
    for _ in 0..100 {
        without.append("text", 1);
        with.append_with("text", 1, &[token(b"text")]);
    }
    assert!(without.read_from(0).logprobs(0..100).is_empty());
    let more = with.bytes() - without.bytes();
    assert!((100 * 40..100 * 120).contains(&more), "{more} bytes for 100 tokens with 3 alternatives");
}
