use std::sync::Arc;

use api_types::{EndEvent, ErrorCode, StartedEvent, TokenEvent};
use http_body_util::BodyExt;
use orchestrator_core::{Millis, TokenCount};

use super::*;
use crate::backpressure::Failure;
use crate::clock::Clock;
use crate::http::streams::Streams;
use crate::task_log::{FinishReason, TaskEnd, TaskLog};

const KEEPALIVE: Duration = Duration::from_secs(10);

impl Relay {
    async fn next(&mut self) -> Option<Bytes> {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }
}

async fn relay(log: &Arc<TaskLog>, from: u32) -> Relay {
    let position =
        QueuePosition { queue_position: 3, predicted_start: Millis(420), predicted_start_p90: Millis(600) };
    let permit = Streams::new(Clock::start()).try_open(1).unwrap();
    Relay::new(
        Subscription { position, engine: EngineKind::Llamacpp, reader: log.read_from(from) },
        KEEPALIVE,
        permit,
    )
}

fn end(finish: FinishReason, failure: Option<Failure>) -> impl FnOnce(TokenCount) -> TaskEnd {
    move |tokens_out| TaskEnd {
        tokens_out,
        tokens_in: TokenCount(7),
        tokens_cached: TokenCount(0),
        decode_ms: Millis(21),
        queue_ms: Millis(398),
        finish,
        stop_text: None,
        failure,
        tokens_reasoning: None,
        extra: None,
    }
}

fn text(piece: &Bytes) -> &str {
    std::str::from_utf8(piece).unwrap()
}

/// ORCH-STREAM-1
#[tokio::test]
async fn a_stream_is_started_tokens_and_one_end_in_the_documented_form() {
    let log = TaskLog::new();
    log.append_text("Par", 1);
    log.append_text("is.", 2);
    log.close(end(FinishReason::Stop, None));
    let body = relay(&log, 0).await.into_body().collect().await.unwrap().to_bytes();
    let expected = "event: started\ndata: {\"queue_position\":3,\"predicted_start_ms\":420}\n\n\
                    event: token\nid: 0\ndata: {\"t\":\"Par\",\"i\":0}\n\n\
                    event: token\nid: 1\ndata: {\"t\":\"is.\",\"i\":1}\n\n\
                    event: end\ndata: {\"tokens_out\":3,\"decode_ms\":21,\"tokens_in\":7,\"queue_ms\":398,\
                    \"finish_reason\":\"stop\"}\n\n";
    assert_eq!(text(&body), expected);
}

/// ORCH-SHAPE-6
#[tokio::test]
async fn a_long_answer_comes_in_pieces() {
    let log = TaskLog::new();
    let tokens = 20_000;
    for _ in 0..tokens {
        log.append_text("word", 1);
    }
    log.close(end(FinishReason::Stop, None));
    let mut relay = relay(&log, 0).await;
    let (mut pieces, mut whole) = (0, String::new());
    while let Some(piece) = relay.next().await {
        assert!(piece.len() < 4 * PIECE_BYTES, "{}", piece.len());
        pieces += 1;
        whole.push_str(text(&piece));
    }
    assert!(pieces > 5 && whole.ends_with("\"finish_reason\":\"stop\"}\n\n"));
    assert_eq!(whole.matches("event: token\n").count(), tokens);
}

#[tokio::test]
async fn started_comes_at_once_and_all_that_is_ready_is_one_piece() {
    let log = TaskLog::new();
    let mut relay = relay(&log, 0).await;
    let first = relay.next().await.unwrap();
    assert!(text(&first).starts_with("event: started\n") && !text(&first).contains("event: token"));
    for word in ["a", "b", "c"] {
        log.append_text(word, 1);
    }
    log.close(end(FinishReason::Length, None));
    let rest = relay.next().await.unwrap();
    assert_eq!(text(&rest).matches("event: token\n").count(), 3);
    assert_eq!(text(&rest).matches("event: end\n").count(), 1);
    assert_eq!(relay.next().await, None);
    assert_eq!(relay.next().await, None);
}

/// ORCH-STREAM-5
#[tokio::test]
async fn a_reader_that_comes_back_gets_started_and_then_the_next_token() {
    let log = TaskLog::new();
    for word in ["a", "b", "c"] {
        log.append_text(word, 1);
    }
    let first = relay(&log, 2).await.next().await.unwrap();
    assert!(text(&first).starts_with("event: started\n"));
    assert!(text(&first).ends_with("event: token\nid: 2\ndata: {\"t\":\"c\",\"i\":2}\n\n"));
    assert_eq!(text(&first).matches("event: token\n").count(), 1);
}

#[tokio::test]
async fn any_text_is_one_line_of_json_that_reads_back() {
    let odd = ["\n\n", "data: x\r\n\r\nevent: end", "\"\\\u{0}\u{1b}", "🦙é", "\u{2028}", ""];
    let log = TaskLog::new();
    for word in odd {
        log.append_text(word, 1);
    }
    let piece = relay(&log, 0).await.next().await.unwrap();
    let events: Vec<&str> = text(&piece).split_terminator("\n\n").collect();
    assert_eq!(events.len(), 1 + odd.len());
    serde_json::from_str::<StartedEvent>(events[0].strip_prefix("event: started\ndata: ").unwrap()).unwrap();
    for (i, (event, word)) in events[1..].iter().zip(odd).enumerate() {
        let data = event.strip_prefix(&format!("event: token\nid: {i}\ndata: ")).unwrap();
        assert!(!data.contains(['\n', '\r']));
        let token: TokenEvent = serde_json::from_str(data).unwrap();
        assert_eq!(token, TokenEvent { t: word.to_owned(), i: i as u64, output: None });
    }
}

/// ORCH-STREAM-4
#[tokio::test]
async fn a_task_that_failed_ends_with_the_error_in_its_end() {
    let log = TaskLog::new();
    log.close(end(FinishReason::Error, Some(Failure::WorkerReset { retry_after: Millis(700) })));
    let piece = relay(&log, 0).await.next().await.unwrap();
    let (_, data) = text(&piece).split_once("event: end\ndata: ").unwrap();
    let event: EndEvent = serde_json::from_str(data.trim_end()).unwrap();
    assert_eq!(event.finish_reason, api_types::FinishReason::Error);
    let error = event.error.unwrap();
    assert_eq!((error.code, error.retriable), (ErrorCode::WorkerReset, true));
    assert_eq!(error.engine, Some(api_types::Engine::Llamacpp));
}

/// ORCH-STREAM-7
#[tokio::test(start_paused = true)]
async fn silence_is_broken_by_a_comment_before_it_is_too_long() {
    let log = TaskLog::new();
    let clock = Clock::start();
    let mut relay = relay(&log, 0).await;
    relay.next().await.unwrap();
    for _ in 0..3 {
        let before = clock.now();
        let piece = relay.next().await.unwrap();
        assert_eq!(&piece[..], b": ping\n\n");
        let silence = clock.now().since(before);
        assert!(silence <= KEEPALIVE && silence >= KEEPALIVE / 2, "{silence:?}");
    }
    log.append_text("a", 1);
    assert!(text(&relay.next().await.unwrap()).starts_with("event: token\n"));
    let before = clock.now();
    assert_eq!(&relay.next().await.unwrap()[..], b": ping\n\n");
    assert!(
        clock.now().since(before) <= KEEPALIVE,
        "a token counts as a sign of life for less than the time allowed"
    );
}

/// ORCH-SEC-6
#[tokio::test]
async fn a_stream_gives_its_place_back_when_it_is_dropped() {
    let log = TaskLog::new();
    let streams = Streams::new(Clock::start());
    let permit = streams.try_open(1).unwrap();
    let position =
        QueuePosition { queue_position: 0, predicted_start: Millis(0), predicted_start_p90: Millis(0) };
    let body = Relay::new(
        Subscription { position, engine: EngineKind::Llamacpp, reader: log.read_from(0) },
        KEEPALIVE,
        permit,
    )
    .into_body();
    assert!(streams.try_open(1).is_err());
    drop(body);
    assert!(streams.try_open(1).is_ok());
}

/// ORCH-STREAM-10
#[tokio::test(start_paused = true)]
async fn how_much_of_the_prompt_is_read_comes_in_comments_until_there_is_output() {
    let log = TaskLog::new();
    let mut relay = relay(&log, 0).await;
    relay.next().await.unwrap();
    let reads = |read| log.reads_prompt(PromptProgress { read: TokenCount(read), of: TokenCount(7491) });
    for read in [0, 2048] {
        reads(read);
        assert_eq!(text(&relay.next().await.unwrap()), format!(": prompt {read}/7491\n\n"));
    }
    reads(2048);
    // What was told is not told again: the next comment is that of the silence.
    assert_eq!(relay.next().await.unwrap(), PING);
    assert!(log.begin(1, false).is_some());
    log.append_text("Par", 1);
    reads(7491);
    assert_eq!(log.reading(), None);
    assert!(text(&relay.next().await.unwrap()).starts_with("event: token\n"));
}
