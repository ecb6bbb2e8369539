//! Stop strings at engines that leave them in the text: what may be the beginning of one waits until it is
//! known, and what is one ends the answer without it.

use std::borrow::Cow;

use crate::backend::{Answer, Ending, Event, Last};
use crate::fault::Fault;

/// An answer whose stop strings are no part of it.
#[derive(Debug)]
pub struct Stopped<A> {
    answer: A,
    stops: Vec<String>,
    /// Text that may be the beginning of a stop string.
    held: String,
}

impl<A> Stopped<A> {
    /// `answer`, ended before the first of `stops`.
    #[must_use]
    pub fn new(answer: A, stops: &[String]) -> Self {
        let stops = stops.iter().filter(|stop| !stop.is_empty()).cloned().collect();
        Self { answer, stops, held: String::new() }
    }

    /// The text that may be told now, and the stop string that was met behind it.
    fn pass(&mut self, text: &str) -> (String, Option<String>) {
        let mut all = std::mem::take(&mut self.held);
        all.push_str(text);
        let found = |stop: &String| Some((all.find(stop.as_str())?, stop.clone()));
        if let Some((at, met)) = self.stops.iter().filter_map(found).min_by_key(|(at, _)| *at) {
            all.truncate(at);
            return (all, Some(met));
        }
        let starts = all.char_indices().map(|(at, _)| at);
        let held = starts.filter(|at| self.stops.iter().any(|stop| stop.starts_with(&all[*at..]))).min();
        self.held = held.map(|at| all.split_off(at)).unwrap_or_default();
        (all, None)
    }
}

impl<A: Answer> Answer for Stopped<A> {
    /// What waits has to be looked at with every event.
    const REPEATS: bool = false;

    fn read<'a>(&mut self, event: &'a [u8]) -> Result<Event<'a>, Fault> {
        let event = self.answer.read(event)?;
        if self.stops.is_empty() {
            return Ok(event);
        }
        let (mut text, met) = self.pass(&event.text);
        let last = match event.last {
            Some(last) if met.is_some() => Some(Last { ending: Ending::Stop, stop_text: met, ..last }),
            None if met.is_some() => {
                Some(Last { ending: Ending::Stop, stop_text: met, is_cut: true, ..Last::default() })
            }
            Some(last) => {
                text.push_str(&std::mem::take(&mut self.held));
                Some(last)
            }
            None => None,
        };
        Ok(Event { text: Cow::Owned(text), last, ..event })
    }

    fn at_end(&mut self) -> Option<Last> {
        self.answer.at_end()
    }

    fn rest(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}

#[cfg(test)]
mod tests;
