use generation::{CallEvent, Candidate, OwnAnswer, Piece, TokenLogprob};

use super::*;

fn ended(tokens_out: TokenCount) -> TaskEnd {
    TaskEnd {
        tokens_out,
        tokens_in: TokenCount(3),
        tokens_cached: TokenCount(0),
        decode_ms: Millis(5),
        queue_ms: Millis(0),
        finish: FinishReason::Stop,
        failure: None,
        own: None,
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

/// A piece of these tokens, whose probability is told.
fn weighed(tokens: &[&[u8]]) -> Piece {
    let token = |bytes: &&[u8]| {
        let chosen = Candidate { token: -1, bytes: bytes.to_vec(), logprob: -0.5 };
        TokenLogprob { top: vec![chosen.clone(); 3], chosen }
    };
    Piece {
        text: String::from_utf8(tokens.concat()).unwrap(),
        tokens: vec![-1; tokens.len()],
        logprobs: tokens.iter().map(token).collect(),
        ..Piece::default()
    }
}

#[test]
fn each_event_keeps_what_it_has_beside_its_own_text() {
    let log = TaskLog::new();
    let llama = "🦙".as_bytes();
    let (split, whole) = (weighed(&[&llama[..2], &llama[2..]]), weighed(&[b"c"]));
    let start = CallEvent::Start { index: 0, id: "c1".to_owned(), name: "f".to_owned() };
    let called = Piece { text: "f(".to_owned(), calls: vec![start], ..Piece::default() };
    log.append("a", 1);
    log.append_piece(0, &split);
    log.append("b", 1);
    log.append_piece(0, &whole);
    log.append_piece(0, &called);
    log.close(ended);
    assert_eq!(log.text(), "a🦙bcf(");
    let told = log.read_from(0).beside(0..6);
    assert_eq!(told[1], Beside { logprobs: split.logprobs, ..Beside::default() });
    assert_eq!(told[3], Beside { logprobs: whole.logprobs, ..Beside::default() });
    assert_eq!(told[4], Beside { calls: called.calls, ..Beside::default() });
    let nothing = Beside::default();
    assert_eq!([&told[0], &told[2], &told[5]], [&nothing; 3], "there is no event 5");
    assert!(!log.append_piece(0, &weighed(&[b"late"])));
}

#[test]
fn a_log_counts_what_it_keeps_of_it_and_one_without_pays_nothing() {
    let (without, with) = (TaskLog::new(), TaskLog::new());
    let plain = Piece { text: "text".to_owned(), tokens: vec![1], ..Piece::default() };
    for _ in 0..100 {
        without.append_piece(0, &plain);
        with.append_piece(0, &weighed(&[b"text"]));
    }
    without.close(ended);
    with.close(ended);
    assert!(without.read_from(0).beside(0..100).is_empty());
    assert_eq!(without.bytes(), 100 * (4 + 4) + size_of::<TaskLog>());
    let more = with.bytes() - without.bytes();
    assert!((100 * 40..100 * 80).contains(&more), "{more} bytes for 100 tokens with 3 alternatives");
}

#[test]
fn a_reader_that_is_gone_is_not_woken_and_leaves_its_seat_to_the_next() {
    let log = TaskLog::new();
    let (mut first, waits) = (log.read_from(0), Waker::noop());
    assert!(first.poll_next(&mut Context::from_waker(waits)).is_pending());
    assert!(matches!(log.lock().seats[..], [Seat::Waits(_)]));
    drop(first);
    assert!(matches!(log.lock().seats[..], [Seat::Free]));
    let second = log.read_from(0);
    let third = log.read_from(0);
    assert_eq!((second.seat, third.seat), (0, 1));
    log.append("a", 1);
    assert!(matches!(log.lock().seats[..], [Seat::Busy, Seat::Busy]));
}

#[test]
fn an_engines_own_fields_are_kept_once_for_all_tokens_that_have_the_same() {
    let own = |said: &str| {
        let chunk = [("said".to_owned(), said.into())].into_iter().collect();
        Some(Arc::new(OwnAnswer { chunk, ..OwnAnswer::default() }))
    };
    let piece = |own| Piece { text: "x".to_owned(), tokens: vec![1], own, ..Piece::default() };
    let (log, twice) = (TaskLog::new(), TaskLog::new());
    for own in [None, own("a"), own("a"), own("b"), None, None, own("b")] {
        log.append_piece(0, &piece(own));
    }
    let told: Vec<_> = log.read_from(0).beside(0..8).into_iter().map(|beside| beside.own).collect();
    assert_eq!(
        told,
        [None, own("a"), own("a"), own("b"), None, None, own("b"), own("b")],
        "there is no event 7"
    );
    for _ in 0..2 {
        twice.append_piece(0, &piece(own("a")));
    }
    log.close(ended);
    twice.close(ended);
    let one = TaskLog::new();
    one.append_piece(0, &piece(own("a")));
    one.close(ended);
    assert_eq!(twice.bytes() - one.bytes(), "x".len() + size_of::<u32>());
    assert!(one.bytes() > size_of::<TaskLog>() + size_of::<OwnAnswer>());
}
