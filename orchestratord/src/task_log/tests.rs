use generation::{ExtraFields, OutputChunk, OutputEvent, TokenCandidate, TokenLogprob};

use super::*;

fn ended(tokens_out: TokenCount) -> TaskEnd {
    TaskEnd {
        tokens_out,
        tokens_in: TokenCount(3),
        tokens_cached: TokenCount(0),
        decode_ms: Millis(5),
        queue_ms: Millis(0),
        finish: FinishReason::Stop,
        stop_text: None,
        failure: None,
        tokens_reasoning: Some(TokenCount(0)),
        extra: None,
    }
}

/// ORCH-STREAM-5, ORCH-STREAM-8
#[tokio::test]
async fn every_reader_sees_every_event_from_where_it_came_in() {
    let log = TaskLog::new();
    assert!(log.append_text("a", 1));
    let mut early = log.read_from(0);
    assert_eq!(early.next().await, Some(Chunk::Tokens { first: 0, texts: vec!["a".into()] }));
    assert!(log.append_text("é", 2));
    assert!(log.append_text("c", 1));
    let mut late = log.read_from(1);
    let rest = Chunk::Tokens { first: 1, texts: vec!["é".into(), "c".into()] };
    assert_eq!(early.next().await, Some(rest.clone()));
    assert_eq!(late.next().await, Some(rest));
    assert!(log.close(ended));
    assert_eq!(late.next().await, Some(Chunk::End(ended(TokenCount(4)))));
    assert_eq!(late.next().await, None);
}

/// ORCH-STREAM-8
#[tokio::test]
async fn a_waiting_reader_wakes_for_tokens_and_for_the_end() {
    let log = TaskLog::new();
    let mut reader = log.read_from(0);
    let (chunk, ()) = tokio::join!(reader.next(), async {
        tokio::task::yield_now().await;
        log.append_text("x", 1);
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
    assert!(!log.append_text("late", 1));
    assert!(!log.close(|_| unreachable!("the first close counts")));
    assert_eq!(log.tokens(), TokenCount(0));
}

#[test]
fn a_reader_that_asks_past_the_end_gets_the_end() {
    let log = TaskLog::new();
    log.append_text("a", 1);
    log.close(ended);
    let mut reader = log.read_from(99);
    assert!(matches!(reader.try_next(), Some(Chunk::End(_))));
    assert_eq!(reader.try_next(), None);
}

/// A piece of these tokens, whose probability is told.
fn weighed(tokens: &[&[u8]]) -> OutputChunk {
    let token = |bytes: &&[u8]| {
        let chosen = TokenCandidate { token: -1, bytes: bytes.to_vec(), logprob: -0.5 };
        TokenLogprob { top: vec![chosen.clone(); 3], chosen }
    };
    OutputChunk {
        text: String::from_utf8(tokens.concat()).unwrap(),
        tokens: vec![-1; tokens.len()],
        logprobs: tokens.iter().map(token).collect(),
        ..OutputChunk::default()
    }
}

/// ORCH-OAI-13
#[test]
fn each_event_keeps_what_it_has_beside_its_own_text() {
    let log = TaskLog::new();
    let llama = "🦙".as_bytes();
    let (split, whole) = (weighed(&[&llama[..2], &llama[2..]]), weighed(&[b"c"]));
    let events = Some(vec![OutputEvent::Reasoning("c".to_owned())]);
    let reasoned = OutputChunk { events, ..OutputChunk::text("<c>", vec![1, 2]) };
    log.append_text("a", 1);
    log.append(0, &split);
    log.append_text("b", 1);
    log.append(0, &whole);
    log.append(0, &reasoned);
    log.close(ended);
    assert_eq!(log.end().and_then(|end| end.tokens_reasoning), Some(TokenCount(0)), "the engine counted");
    assert_eq!(log.text(), "a🦙bc<c>");
    let told = log.read_from(0).metadata(0..6);
    assert_eq!(told[1], EventMetadata { logprobs: split.logprobs, ..EventMetadata::default() });
    assert_eq!(told[3], EventMetadata { logprobs: whole.logprobs, ..EventMetadata::default() });
    assert_eq!(
        told[4],
        EventMetadata { parsed: Parsed::Events(reasoned.events.unwrap()), ..EventMetadata::default() }
    );
    let nothing = EventMetadata::default();
    assert_eq!([&told[0], &told[2], &told[5]], [&nothing; 3], "there is no event 5");
    assert!(!log.append(0, &weighed(&[b"late"])));
}

/// ORCH-OAI-13
#[test]
fn a_log_counts_what_it_keeps_of_it_and_one_without_pays_nothing() {
    let (without, with) = (TaskLog::new(), TaskLog::new());
    let plain = OutputChunk { text: "text".to_owned(), tokens: vec![1], ..OutputChunk::default() };
    for _ in 0..100 {
        without.append(0, &plain);
        with.append(0, &weighed(&[b"text"]));
    }
    without.close(ended);
    with.close(ended);
    assert!(without.read_from(0).metadata(0..100).is_empty());
    assert_eq!(without.bytes(), 100 * (4 + 4) + size_of::<TaskLog>());
    let more = with.bytes() - without.bytes();
    assert!((100 * 40..100 * 80).contains(&more), "{more} bytes for 100 tokens with 3 alternatives");
}

#[test]
fn a_reader_that_is_gone_is_not_woken_and_leaves_its_slot_to_the_next() {
    let log = TaskLog::new();
    let (mut first, waits) = (log.read_from(0), Waker::noop());
    assert!(first.poll_next(&mut Context::from_waker(waits)).is_pending());
    assert!(matches!(log.lock().slots[..], [ReaderSlot::Waits(_)]));
    drop(first);
    assert!(matches!(log.lock().slots[..], [ReaderSlot::Free]));
    let second = log.read_from(0);
    let third = log.read_from(0);
    assert_eq!((second.slot, third.slot), (0, 1));
    log.append_text("a", 1);
    assert!(matches!(log.lock().slots[..], [ReaderSlot::Busy, ReaderSlot::Busy]));
}

/// ORCH-OAI-16
#[test]
fn an_engines_own_fields_are_kept_once_for_all_tokens_that_have_the_same() {
    let extra = |said: &str| {
        let chunk = [("said".to_owned(), said.into())].into_iter().collect();
        Some(Arc::new(ExtraFields { chunk, ..ExtraFields::default() }))
    };
    let piece = |extra| OutputChunk { extra, ..OutputChunk::text("x", vec![1]) };
    let (log, twice) = (TaskLog::new(), TaskLog::new());
    for extra in [None, extra("a"), extra("a"), extra("b"), None, None, extra("b")] {
        log.append(0, &piece(extra));
    }
    let told: Vec<_> = log.read_from(0).metadata(0..8).into_iter().map(|metadata| metadata.extra).collect();
    assert_eq!(
        told,
        [None, extra("a"), extra("a"), extra("b"), None, None, extra("b"), extra("b")],
        "there is no event 7"
    );
    for _ in 0..2 {
        twice.append(0, &piece(extra("a")));
    }
    log.close(ended);
    twice.close(ended);
    let one = TaskLog::new();
    one.append(0, &piece(extra("a")));
    one.close(ended);
    assert_eq!(twice.bytes() - one.bytes(), "x".len() + size_of::<u32>());
    assert!(one.bytes() > size_of::<TaskLog>() + size_of::<ExtraFields>());
}

#[test]
fn tokens_of_reasoning_are_counted_where_the_engine_does_not() {
    let log = TaskLog::new();
    let reasoning = Some(vec![OutputEvent::Reasoning("a".to_owned())]);
    log.append(0, &OutputChunk { events: reasoning, ..OutputChunk::text("<a>", vec![1, 2]) });
    log.append_text("b", 1);
    log.close(|tokens| TaskEnd { tokens_reasoning: None, ..ended(tokens) });
    let end = log.end().expect("closed");
    assert_eq!((end.tokens_out, end.tokens_reasoning), (TokenCount(3), Some(TokenCount(2))));
}

#[test]
fn vectors_and_scores_are_json_for_readers_of_text_and_numbers_for_others() {
    let log = TaskLog::new();
    let vector = OutputEvent::Embedding(vec![0.5, -1.0]);
    log.append(0, &OutputChunk::result(vector.clone()));
    log.append(0, &OutputChunk::result(OutputEvent::Score(2.5)));
    assert_eq!(log.text(), "[0.5,-1.0]2.5");
    let texts = |texts: [&str; 2]| Chunk::Tokens { first: 0, texts: texts.map(str::to_owned).to_vec() };
    assert_eq!(log.read_from(0).try_next(), Some(texts(["[0.5,-1.0]", "2.5"])));
    let mut typed = log.read_from(0).typed();
    assert_eq!(typed.try_next(), Some(texts(["", ""])));
    assert_eq!(typed.metadata(0..1)[0].parsed, Parsed::Events(vec![vector]));
}
