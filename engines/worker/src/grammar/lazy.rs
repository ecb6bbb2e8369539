//! A grammar that holds an answer only from where the model begins to call a tool: what it says and thinks before is
//! free.
//!
//! ```text
//!            start of thoughts            a call begins
//! thinking ◄─────────────────► answering ──────────────► held by the grammar
//!            end of thoughts
//! ```

use fancy_regex::Regex;
use memchr::memmem;

use super::Grammar;

/// Text that is kept where nothing has begun: longer than any mark.
const KEPT_BYTES: usize = 4096;

/// How a model begins calls and thoughts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Calls {
    /// Texts that a call begins with.
    pub words: Vec<String>,
    /// Patterns of such texts. Where one has a group, the call begins with that.
    pub patterns: Vec<String>,
    /// What thoughts begin with; empty where there are none.
    pub thinking_start: String,
    /// What they end with, any of these.
    pub thinking_ends: Vec<String>,
    /// Whether the prompt ends in thoughts.
    pub is_thinking: bool,
}

/// A grammar that waits for a call.
#[derive(Debug)]
pub struct LazyGrammar {
    grammar: Grammar,
    calls: Calls,
    patterns: Vec<Regex>,
    /// The answer, as far back as it matters.
    text: Vec<u8>,
}

/// What a token led to.
#[derive(Debug)]
pub enum Waited {
    /// No call has begun.
    Still(LazyGrammar),
    /// One has; the grammar has read its beginning.
    Begun(Grammar),
    /// One has that is not in the grammar: nothing holds the answer.
    Lost,
}

impl LazyGrammar {
    /// Of `grammar`, from where one of `calls` begins. Patterns that cannot be read are left out.
    #[must_use]
    pub fn new(grammar: Grammar, calls: Calls) -> Self {
        let patterns = calls.patterns.iter().filter_map(|pattern| Regex::new(pattern).ok()).collect();
        Self { grammar, calls, patterns, text: Vec::new() }
    }

    /// Goes on with the text of a token.
    #[must_use]
    pub fn read(mut self, bytes: &[u8]) -> Waited {
        self.text.extend_from_slice(bytes);
        if self.calls.is_thinking {
            let Some(end) = self.thoughts_end() else {
                self.forget();
                return Waited::Still(self);
            };
            self.text = self.text.split_off(end);
            self.calls.is_thinking = false;
        }
        if let Some(at) = self.call_begins() {
            let Self { mut grammar, text, .. } = self;
            return if grammar.read(&text[at..]) { Waited::Begun(grammar) } else { Waited::Lost };
        }
        let start = self.calls.thinking_start.as_bytes();
        if !start.is_empty()
            && let Some(at) = memmem::find(&self.text, start)
        {
            self.text = self.text.split_off(at + start.len());
            self.calls.is_thinking = true;
        }
        if self.patterns.is_empty() {
            self.forget();
        }
        Waited::Still(self)
    }

    /// The place behind the end of thoughts.
    fn thoughts_end(&self) -> Option<usize> {
        let ends = self.calls.thinking_ends.iter().filter(|end| !end.is_empty());
        ends.filter_map(|end| Some(memmem::find(&self.text, end.as_bytes())? + end.len())).min()
    }

    fn call_begins(&self) -> Option<usize> {
        let words = self.calls.words.iter().filter(|word| !word.is_empty());
        let word = words.filter_map(|word| memmem::find(&self.text, word.as_bytes())).min();
        if self.patterns.is_empty() {
            return word;
        }
        let whole = self.text.utf8_chunks().next().map_or("", |chunk| chunk.valid());
        let patterns = self.patterns.iter().filter_map(|pattern| {
            let found = pattern.captures(whole).ok()??;
            let group = (1..found.len()).find_map(|group| found.get(group));
            group.filter(|group| !group.as_str().is_empty()).or(found.get(0)).map(|found| found.start())
        });
        patterns.chain(word).min()
    }

    /// Keeps what a mark may begin in.
    fn forget(&mut self) {
        if self.text.len() > 2 * KEPT_BYTES {
            self.text = self.text.split_off(self.text.len() - KEPT_BYTES);
        }
    }
}
