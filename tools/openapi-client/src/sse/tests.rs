use std::pin::Pin;

use api_types::{ErrorCode, FinishReason};
use futures_util::stream;

use super::*;

/// A stream as the daemon sends it, with everything in it that may be cut apart: characters of two to four
/// bytes, an escaped line end, comments, and an error in the end.
const RECORDED: &str = concat!(
    "event: started\ndata: {\"queue_position\":3,\"predicted_start_ms\":1200}\n\n",
    ": ping\n\n",
    "event: token\nid: 0\ndata: {\"t\":\"Größe\",\"i\":0}\n\n",
    ":\n\n",
    "event: token\nid: 1\ndata: {\"t\":\" 日本\\n\",\"i\":1}\n\n",
    "event: token\nid: 2\ndata: {\"t\":\"🦙: data: x\",\"i\":2}\n\n",
    "event: end\ndata: {\"tokens_out\":7,\"decode_ms\":80,\"tokens_in\":5,\"queue_ms\":1190,\"finish_reason\":\"error\",",
    "\"error\":{\"code\":\"WORKER_RESET\",\"message\":\"gone\",\"engine\":\"llamacpp\",\"retriable\":true,\"retry_after_ms\":null}}\n\n",
);

fn token(i: u64, t: &str) -> Event {
    Event::Token(TokenEvent { t: t.to_owned(), i, output: None })
}

/// What [`RECORDED`] says.
fn assert_recorded(events: &[Event]) {
    let [Event::Started(started), tokens @ .., Event::End(end)] = events else {
        panic!("neither begin nor end: {events:?}");
    };
    assert_eq!((started.queue_position, started.predicted_start_ms), (3, 1200));
    assert_eq!(tokens, [token(0, "Größe"), token(1, " 日本\n"), token(2, "🦙: data: x")]);
    assert_eq!((end.tokens_out, end.finish_reason), (7, FinishReason::Error));
    let error = end.error.as_ref().expect("an end with `error` has one");
    assert_eq!((error.code, error.retry_after_ms), (ErrorCode::WorkerReset, None));
}

fn read(pieces: &[&[u8]]) -> Vec<Event> {
    let mut parser = Parser::default();
    let mut events = Vec::new();
    for piece in pieces {
        parser.push(piece);
        events.extend(std::iter::from_fn(|| parser.pop()).map(|event| event.expect("the event reads")));
    }
    events
}

fn read_one(text: &str) -> Result<Event, StreamError> {
    let mut parser = Parser::default();
    parser.push(text.as_bytes());
    parser.pop().expect("there is an event")
}

/// The recorded stream with each of the line ends the format knows.
fn with_every_line_end() -> [Vec<u8>; 3] {
    ["\n", "\r\n", "\r"].map(|end| RECORDED.replace('\n', end).into_bytes())
}

#[test]
fn a_stream_reads_the_same_cut_in_two_at_every_byte() {
    for bytes in with_every_line_end() {
        for cut in 0..=bytes.len() {
            let (first, second) = bytes.split_at(cut);
            assert_recorded(&read(&[first, second]));
        }
    }
}

#[test]
fn a_stream_reads_the_same_cut_into_pieces_of_any_size() {
    for bytes in with_every_line_end() {
        for size in 1..64 {
            assert_recorded(&read(&bytes.chunks(size).collect::<Vec<_>>()));
        }
    }
}

#[test]
fn an_event_is_there_as_soon_as_its_empty_line_is() {
    for end in ["\n", "\r\n", "\r"] {
        let mut parser = Parser::default();
        parser.push(format!("event: token{end}data: {{\"t\":\"a\",\"i\":0}}{end}").as_bytes());
        assert!(parser.pop().is_none(), "no event ends without its empty line");
        // A CR ends the line, whether an LF follows or not: a reader that waited for it would lag.
        parser.push(&end.as_bytes()[..1]);
        assert_eq!(parser.pop().map(|event| event.expect("it reads")), Some(token(0, "a")));
        parser.push(&end.as_bytes()[1..]);
        assert!(parser.pop().is_none());
    }
}

#[test]
fn data_in_several_lines_a_byte_order_mark_and_fields_of_no_meaning_are_read_as_the_format_says() {
    let text = "\u{feff}event:token\nretry: 5\nfoo\nid\ndata:{\"t\":\"a\",\ndata: \"i\":4}\n\n";
    assert_eq!(read_one(text).expect("it reads"), token(4, "a"));
}

#[test]
fn a_name_without_data_is_no_event_and_does_not_stay_for_the_next() {
    let text = "event: end\n\nevent: token\ndata: {\"t\":\"a\",\"i\":0}\n\n";
    assert_eq!(read(&[text.as_bytes()]), [token(0, "a")]);
}

#[test]
fn an_event_of_another_name_is_an_error_that_says_the_name() {
    let error = read_one("event: progress\ndata: {}\n\n").expect_err("there are three events");
    assert!(matches!(&error, StreamError::Unknown(name) if name == "progress"), "{error:?}");
    assert!(!error.is_connection());
}

#[test]
fn data_that_does_not_belong_to_its_name_is_an_error_that_says_which() {
    for data in ["{\"t\":\"a\"}", "{\"t\":1,\"i\":0}", "nonsense", "\u{0}"] {
        let error = read_one(&format!("event: token\ndata: {data}\n\n")).expect_err("it is no token");
        assert!(matches!(error, StreamError::Data { event: "token", .. }), "{error:?}");
    }
    let mut parser = Parser::default();
    parser.push(b"event: token\ndata: {\"t\":\"\xff\",\"i\":0}\n\n");
    let error = parser.pop().expect("there is an event").expect_err("it is not UTF-8");
    assert!(matches!(error, StreamError::Data { event: "token", .. }), "{error:?}");
}

#[test]
fn an_endless_line_and_an_endless_event_are_refused_and_not_held() {
    let half = MAX_EVENT_BYTES / 2;
    let line = vec![b'x'; half];
    for between in [&b""[..], b"\ndata:"] {
        let mut parser = Parser::default();
        parser.push(b"data:");
        for _ in 0..2 {
            assert!(parser.pop().is_none());
            parser.push(&line);
            parser.push(between);
        }
        parser.push(b"yyyyyyyyyyyy");
        assert!(matches!(parser.pop(), Some(Err(StreamError::TooLarge))));
        assert!(parser.line.len() + parser.data.len() < half);
    }
}

fn events_of(pieces: &[&[u8]], last_event_id: Option<u64>) -> Events {
    let pieces: Vec<_> = pieces.iter().map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    Events::new(Pin::from(Box::new(stream::iter(pieces))), last_event_id)
}

#[tokio::test]
async fn events_end_after_end_whatever_comes_after_it() {
    let mut events =
        events_of(&[RECORDED.as_bytes(), b"event: token\ndata: {\"t\":\"late\",\"i\":9}\n\n"], None);
    let mut read = Vec::new();
    while let Some(event) = events.next().await {
        read.push(event.expect("the event reads"));
    }
    assert_recorded(&read);
    assert_eq!(events.last_event_id(), Some(2));
    assert!(events.next().await.is_none());
}

#[tokio::test]
async fn a_stream_that_stops_before_its_end_says_so_once_and_knows_where_to_go_on() {
    let (cut, _) = RECORDED.split_once("event: end").expect("the stream has an end");
    let mut events = events_of(&[cut.as_bytes()], None);
    let mut last = None;
    while let Some(event) = events.next().await {
        last = Some(event);
    }
    let error = last.expect("there was something").expect_err("it was cut");
    assert!(matches!(error, StreamError::Cut) && error.is_connection(), "{error:?}");
    assert_eq!(events.last_event_id(), Some(2));

    let mut resumed = events_of(&[b": nothing yet\n\n"], Some(41));
    assert!(matches!(resumed.next().await, Some(Err(StreamError::Cut))));
    assert_eq!(resumed.last_event_id(), Some(41), "what the caller had stays known");
}
