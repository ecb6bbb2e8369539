//! What one task says, read for thoughts where it is a chat and for calls of tools where it may call some.

use std::sync::Arc;

use engine_api::EngineKind;
use generation::{OwnAnswer, ThoughtReader, TokenLogprob, reasoning};

use super::refusal::failed;
use super::running::{More, Said, Stretch, Told};
use crate::handle::Subscription;
use crate::task_log::{Beside, Chunk, LogReader, TaskEnd};

/// One task's log.
pub(super) struct Heard {
    reader: LogReader,
    engine: EngineKind,
    /// Reads thoughts, as long as there may be more of them.
    thoughts: Option<ThoughtReader>,
    reading: Reading,
    waiting: Waiting,
}

/// What stands beside text that waits to be told.
#[derive(Default)]
struct Waiting {
    /// How probable its tokens were; nothing where nobody asks.
    logprobs: Option<Vec<TokenLogprob>>,
    /// Whether the engine's own fields are told.
    tells_own: bool,
    own: Option<Arc<OwnAnswer>>,
}

impl Waiting {
    fn add(&mut self, logprobs: Vec<TokenLogprob>, own: Option<Arc<OwnAnswer>>) {
        if let Some(waiting) = &mut self.logprobs {
            waiting.extend(logprobs);
        }
        if self.tells_own {
            self.own = OwnAnswer::joined(self.own.take(), own);
        }
    }

    /// What goes with `stretch`, which is told now. How probable the tokens of thoughts and calls were is not told: an
    /// answer says it of its text.
    fn go_with(&mut self, stretch: Stretch) -> Told {
        let logprobs = self.logprobs.as_mut().map(std::mem::take);
        let logprobs = logprobs.filter(|_| matches!(stretch, Stretch::Text(_)));
        Told { stretch, more: More { logprobs, own: self.own.take() } }
    }
}

enum Reading {
    /// For text.
    Text,
    /// For calls as well, which its engine tells beside the text.
    Calls,
    /// It has ended, and this is left to say.
    Ended(Option<TaskEnd>),
}

impl Heard {
    /// Of a task that may call tools where `may_call`.
    pub(super) fn new(subscription: Subscription, may_call: bool) -> Self {
        let reading = if may_call { Reading::Calls } else { Reading::Text };
        let Subscription { engine, reader, .. } = subscription;
        Self { reader, engine, thoughts: None, reading, waiting: Waiting::default() }
    }

    /// Says how probable tokens were as well.
    pub(super) fn weigh(&mut self) {
        self.waiting.logprobs = Some(Vec::new());
    }

    /// Says what the engine says in fields of its own as well.
    pub(super) fn tell_own(&mut self) {
        self.waiting.tells_own = true;
    }

    /// Tells thoughts from the answer.
    pub(super) fn tell_thoughts(&mut self) {
        self.thoughts = Some(ThoughtReader::default());
    }

    /// What is said next. Nothing after the end.
    pub(super) async fn next(&mut self) -> Option<Said> {
        loop {
            if let Reading::Ended(end) = &mut self.reading {
                return end.take().map(|end| self.ended(end));
            }
            let mut chunk = self.reader.next().await?;
            let is_read = matches!(self.reading, Reading::Calls);
            let besides = self.besides(&chunk);
            if let Chunk::Tokens { texts, .. } = &mut chunk
                && !is_read
                && besides.is_empty()
                && self.waiting.logprobs.is_none()
                && self.thoughts.is_none()
            {
                return Some(Said::Texts(std::mem::take(texts)));
            }
            let events = self.told(chunk, besides);
            if !events.is_empty() {
                return Some(Said::Told(events));
            }
        }
    }

    /// What each event of a chunk has beside its text; none at all where nothing of it is told.
    fn besides(&self, chunk: &Chunk) -> Vec<Beside> {
        let is_told = self.waiting.tells_own
            || self.waiting.logprobs.is_some()
            || matches!(self.reading, Reading::Calls);
        match chunk {
            Chunk::Tokens { first, texts } if is_told => {
                let after = first.saturating_add(u32::try_from(texts.len()).unwrap_or(u32::MAX));
                self.reader.beside(*first..after)
            }
            _ => Vec::new(),
        }
    }

    /// What a chunk says, with what its events have beside their texts.
    fn told(&mut self, chunk: Chunk, besides: Vec<Beside>) -> Vec<Told> {
        let mut said = Vec::new();
        match chunk {
            Chunk::Tokens { texts, .. } => {
                let mut besides = besides.into_iter();
                for text in texts {
                    let Beside { logprobs, calls, own } = besides.next().unwrap_or_default();
                    self.waiting.add(logprobs, own);
                    // Whoever offers no tools is told no calls.
                    let is_call = !calls.is_empty() && matches!(self.reading, Reading::Calls);
                    let stretches = if is_call {
                        calls.into_iter().map(Stretch::Call).collect()
                    } else {
                        self.read(text)
                    };
                    said.extend(stretches.into_iter().map(|stretch| self.waiting.go_with(stretch)));
                }
            }
            Chunk::End(mut end) => {
                let stretches = self.rest();
                said.extend(stretches.into_iter().map(|stretch| self.waiting.go_with(stretch)));
                end.own = OwnAnswer::joined(self.waiting.own.take(), end.own);
                self.reading = Reading::Ended(Some(end));
            }
        }
        said
    }

    /// What a text turns out to be, as far as that is known.
    fn read(&mut self, text: String) -> Vec<Stretch> {
        let stretches = match &mut self.thoughts {
            Some(thoughts) => thoughts.push(text).into_iter().map(Stretch::from).collect(),
            None => vec![Stretch::Text(text)],
        };
        if self.thoughts.as_ref().is_some_and(ThoughtReader::is_over) {
            self.thoughts = None;
        }
        stretches
    }

    /// What was held back of an answer that has ended.
    fn rest(&mut self) -> Option<Stretch> {
        self.thoughts.take().and_then(|mut thoughts| thoughts.finish()).map(Stretch::from)
    }

    fn ended(&self, end: TaskEnd) -> Said {
        match &end.failure {
            Some(failure) => Said::Failed(failed(failure, self.engine)),
            None => Said::End(end),
        }
    }
}

impl From<reasoning::Said> for Stretch {
    fn from(said: reasoning::Said) -> Self {
        match said {
            reasoning::Said::Thought(text) => Self::Thought(text),
            reasoning::Said::Text(text) => Self::Text(text),
        }
    }
}
