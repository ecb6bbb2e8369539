//! Reading a task's stream to its end, and what every stream has to keep.

use openapi_client::types::{EndEvent, StartedEvent, TokenEvent};
use openapi_client::{Event, Events};

/// All that a task said.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Where it stood when the reader came.
    pub started: StartedEvent,
    /// What each `token` event carried.
    pub tokens: Vec<String>,
    /// The last word.
    pub end: EndEvent,
}

impl Answer {
    /// The whole text.
    #[must_use]
    pub fn text(&self) -> String {
        self.tokens.concat()
    }
}

/// Reads a stream to its end: `started` first, tokens without a gap from `last` on, one `end`, nothing after it.
///
/// # Panics
/// When the stream is not so.
pub async fn read(events: Events, last: Option<u64>) -> Answer {
    read_telling(events, last, |_| {}).await
}

/// As [`read`], telling of each token as it comes.
///
/// # Panics
/// As [`read`].
pub async fn read_telling(
    mut events: Events,
    last: Option<u64>,
    mut tell: impl FnMut(&TokenEvent),
) -> Answer {
    let started = match next(&mut events).await {
        Event::Started(started) => started,
        other => panic!("a stream begins with `started`, not with {other:?}"),
    };
    let mut tokens = Vec::new();
    loop {
        match next(&mut events).await {
            Event::Started(_) => panic!("`started` came twice"),
            Event::Token(token) => {
                let expected = last.map_or(0, |last| last + 1) + tokens.len() as u64;
                assert_eq!(token.i, expected, "indices have no gap");
                tell(&token);
                tokens.push(token.t);
            }
            Event::End(end) => {
                assert!(events.next().await.is_none(), "something came after the end");
                return Answer { started, tokens, end };
            }
        }
    }
}

/// Reads on until so many tokens have come.
///
/// # Panics
/// When the stream ends before, or is no stream of a task.
pub async fn read_tokens(events: &mut Events, wanted: usize) {
    let mut seen = 0;
    while seen < wanted {
        match next(events).await {
            Event::Started(_) => {}
            Event::Token(_) => seen += 1,
            Event::End(end) => panic!("it ended after {seen} of {wanted} tokens: {end:?}"),
        }
    }
}

/// Reads a stream that is open on to its end.
///
/// # Panics
/// When an index is left out or repeated, or something comes after the end.
pub async fn read_to_end(events: &mut Events) -> EndEvent {
    loop {
        let expected = events.last_event_id().map_or(0, |last| last + 1);
        match next(events).await {
            Event::Started(_) => {}
            Event::Token(token) => assert_eq!(token.i, expected, "indices have no gap"),
            Event::End(end) => {
                assert!(events.next().await.is_none(), "something came after the end");
                return end;
            }
        }
    }
}

async fn next(events: &mut Events) -> Event {
    let event = tokio::time::timeout(crate::LIMIT, events.next()).await.expect("a stream goes on in time");
    event.expect("a stream has an end").unwrap()
}
