//! What was rendered lately: a conversation is measured first and decoded soon after, and so is each of several answers
//! to it. llama.cpp works out the format of the answer anew each time, which takes milliseconds.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Requests that are kept.
const MOST: usize = 64;

/// Bytes of all of them together.
const MAX_BYTES: usize = 16 * 1024 * 1024;

/// How long one counts: templates may show the time.
const FRESH: Duration = Duration::from_secs(60);

/// The last requests with their results.
#[derive(Debug, Default)]
pub struct Recent(Mutex<Entries>);

#[derive(Debug, Default)]
struct Entries {
    entries: VecDeque<Entry>,
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    request: String,
    result: String,
    at: Instant,
}

impl Entry {
    fn bytes(&self) -> usize {
        self.request.len() + self.result.len()
    }
}

impl Recent {
    /// The result of `request`, made by `render` where it is not there. Only what succeeds is kept.
    ///
    /// # Errors
    /// Those of `render`.
    pub fn result(
        &self,
        request: String,
        now: Instant,
        render: impl FnOnce(&str) -> Result<String, String>,
    ) -> Result<String, String> {
        if let Some(result) = self.lock(|recent| recent.find(&request, now)) {
            return Ok(result);
        }
        let result = render(&request)?;
        self.lock(|recent| recent.add(Entry { request, result: result.clone(), at: now }));
        Ok(result)
    }

    fn lock<T>(&self, then: impl FnOnce(&mut Entries) -> T) -> T {
        then(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Entries {
    fn find(&self, request: &str, now: Instant) -> Option<String> {
        let is_it = |entry: &&Entry| now.duration_since(entry.at) < FRESH && entry.request == *request;
        self.entries.iter().rev().find(is_it).map(|entry| entry.result.clone())
    }

    fn add(&mut self, entry: Entry) {
        self.bytes += entry.bytes();
        self.entries.push_back(entry);
        while self.entries.len() > MOST || self.bytes > MAX_BYTES {
            let Some(oldest) = self.entries.pop_front() else { return };
            self.bytes -= oldest.bytes();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn a_request_is_rendered_once_while_it_is_fresh_and_there_is_room() {
        let (recent, start) = (Recent::default(), clock::now());
        let mut rendered = 0;
        let mut ask = |request: &str, seconds: u64| {
            let now = start + Duration::from_secs(seconds);
            let result = recent.result(request.to_owned(), now, |request| {
                rendered += 1;
                if request == "bad" { Err("no".to_owned()) } else { Ok(format!("<{request}>")) }
            });
            (result.unwrap_or_else(|why| why), rendered)
        };
        assert_eq!(ask("a", 0), ("<a>".to_owned(), 1));
        assert_eq!(ask("a", 59), ("<a>".to_owned(), 1));
        assert_eq!(ask("a", 60), ("<a>".to_owned(), 2), "it is not fresh");
        assert_eq!((ask("bad", 60), ask("bad", 60).1), (("no".to_owned(), 3), 4), "errors are not kept");
        let large = "x".repeat(MAX_BYTES);
        assert_eq!(ask(&large, 60).1, 5);
        assert_eq!(ask("a", 60).1, 6, "it made room, as the large one does at once");
        for other in 0..MOST {
            ask(&other.to_string(), 60);
        }
        assert_eq!(ask("a", 60).1, 7 + MOST, "it was the oldest");
    }
}
