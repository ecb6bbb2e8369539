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
