//! Reads calls out of an answer as it comes.
//!
//! ```text
//!             opening mark            name, `{`                    `}`
//! Text ────────────────────► Opened ────────────► Arguments ────────────────► Closing ─► Text
//!   ▲                          │ no call
//!   └── as content ────────────┘
//! ```
//!
//! A call has begun when its name and the `{` of its arguments are there; what only looked like one comes out
//! as content, letter by letter. From then on the arguments are passed on as the model writes them, and
//! whether they are what the tool takes is for its caller to judge. White space around calls and the marks
//! that frame them are not content.
//!
//! Rules: ORCH-ENG-11

use std::collections::HashMap;

use generation::Tool;
use serde_json::Value;

use crate::ToolFormat;
use crate::json::{Fed, Span};
use crate::xml;

mod heads;

use heads::{Head, Tail};

/// What a piece of an answer turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToolEvent {
    /// Text of the answer.
    Content(String),
    /// A call begins. Calls come one after the other and have no ids here.
    Start {
        /// The tool.
        name: String,
    },
    /// More of the call's arguments, as the model wrote them.
    Arguments(String),
    /// Nothing more belongs to the call.
    End,
}

/// The parser of one answer.
#[derive(Debug)]
pub struct ToolParser {
    format: ToolFormat,
    /// The tools, each with the schema of its arguments.
    tools: HashMap<String, Value>,
    state: State,
    /// Text that is not decided upon.
    buffer: String,
    /// Where the search for a closing mark goes on in it.
    searched: usize,
    /// White space that is content if content comes after it.
    space: String,
    /// Calls so far.
    calls: u32,
    /// Whether a call was the last thing said.
    after_call: bool,
    ended: bool,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Text,
    /// Behind something that opens a call, and comes out as content if it does not.
    Opened(&'static str),
    Arguments(Span),
    Closing,
}

/// Whether there is more to do with what is there.
enum Progress {
    On,
    Waits,
}

impl ToolParser {
    /// A parser of an answer in `format`, in which `tools` may be called.
    #[must_use]
    pub fn new(format: ToolFormat, tools: &[Tool]) -> Self {
        Self {
            format,
            tools: tools.iter().map(|tool| (tool.name.clone(), schema_of(tool))).collect(),
            state: State::Text,
            buffer: String::new(),
            searched: 0,
            space: String::new(),
            calls: 0,
            after_call: false,
            ended: false,
        }
    }

    /// How many calls have begun.
    #[must_use]
    pub fn calls(&self) -> u32 {
        self.calls
    }

    /// Reads the next piece.
    pub fn push(&mut self, text: &str) -> Vec<ToolEvent> {
        self.buffer.push_str(text);
        self.run()
    }

    /// The answer has ended, by its model where `is_whole`: decides upon what was left open. The beginning of a call that
    /// was cut before its arguments is no content.
    pub fn finish(&mut self, is_whole: bool) -> Vec<ToolEvent> {
        if !is_whole {
            self.drop_beginning();
        }
        self.ended = true;
        let mut events = self.run();
        if let State::Arguments(_) = self.state {
            self.end(&mut events);
        }
        if !self.after_call && !self.space.is_empty() {
            events.push(ToolEvent::Content(std::mem::take(&mut self.space)));
        }
        events
    }

    fn drop_beginning(&mut self) {
        let is_beginning = match self.state {
            State::Text => self.calls > 0,
            State::Opened(mark) => {
                let head =
                    heads::head((self.format, mark), &self.buffer, &mut self.searched, false, &self.tools);
                matches!(head, Head::More)
            }
            State::Arguments(_) | State::Closing => false,
        };
        if is_beginning {
            self.buffer.clear();
            self.state = State::Text;
        }
    }

    fn run(&mut self) -> Vec<ToolEvent> {
        let mut events = Vec::new();
        loop {
            let went = match self.state {
                State::Text => self.text(&mut events),
                State::Opened(mark) => self.opened(mark, &mut events),
                State::Arguments(span) => self.arguments(span, &mut events),
                State::Closing => self.closing(),
            };
            if let Progress::Waits = went {
                return events;
            }
        }
    }

    fn text(&mut self, events: &mut Vec<ToolEvent>) -> Progress {
        let marks = heads::openings(self.format);
        let first = marks.iter().filter_map(|mark| Some((self.buffer.find(mark)?, *mark))).min();
        if let Some((at, mark)) = first {
            let before = self.take(at + mark.len());
            self.content(&before[..at], events);
            self.state = State::Opened(mark);
            return Progress::On;
        }
        let kept = marks.iter().map(|mark| tail_that_starts(&self.buffer, mark)).max().unwrap_or(0);
        let kept = if self.ended { 0 } else { kept };
        let ready = self.take(self.buffer.len() - kept);
        self.content(&ready, events);
        Progress::Waits
    }

    fn opened(&mut self, mark: &'static str, events: &mut Vec<ToolEvent>) -> Progress {
        // What is no mark of calls begins one only of a tool that there is.
        let bare = mark == xml::FUNCTION;
        match heads::head((self.format, mark), &self.buffer, &mut self.searched, self.ended, &self.tools) {
            Head::More if !self.ended => return Progress::Waits,
            Head::Begins { name, consumed } if !bare || self.tools.contains_key(&name) => {
                self.take(consumed);
                self.start(name, events);
                self.state = State::Arguments(Span::default());
            }
            Head::Whole { name, arguments, consumed } if !bare || self.tools.contains_key(&name) => {
                self.take(consumed);
                self.start(name, events);
                events.push(ToolEvent::Arguments(arguments));
                self.end(events);
            }
            _ => {
                self.content(mark, events);
                self.searched = 0;
                self.state = State::Text;
            }
        }
        Progress::On
    }

    fn arguments(&mut self, mut span: Span, events: &mut Vec<ToolEvent>) -> Progress {
        let fed = span.feed(&self.buffer);
        let len = match fed {
            Fed::Open => self.buffer.len(),
            Fed::Whole(len) | Fed::Broken(len) => len,
        };
        if len > 0 {
            let text = self.take(len);
            events.push(ToolEvent::Arguments(text));
        }
        if fed == Fed::Open {
            self.state = State::Arguments(span);
            return Progress::Waits;
        }
        self.end(events);
        Progress::On
    }

    fn closing(&mut self) -> Progress {
        match heads::tail(self.format, &self.buffer, self.ended) {
            Tail::More => return Progress::Waits,
            Tail::Closed(len) => {
                self.take(len);
                self.state = State::Text;
            }
        }
        Progress::On
    }

    fn start(&mut self, name: String, events: &mut Vec<ToolEvent>) {
        self.calls += 1;
        self.space.clear();
        events.push(ToolEvent::Start { name });
    }

    fn end(&mut self, events: &mut Vec<ToolEvent>) {
        events.push(ToolEvent::End);
        self.after_call = true;
        self.searched = 0;
        self.state = State::Closing;
    }

    fn content(&mut self, text: &str, events: &mut Vec<ToolEvent>) {
        let text = if self.after_call { text.trim_start() } else { text };
        if text.is_empty() {
            return;
        }
        self.after_call = false;
        let words = text.trim_end();
        if !words.is_empty() {
            let mut said = std::mem::take(&mut self.space);
            said.push_str(words);
            events.push(ToolEvent::Content(said));
        }
        self.space.push_str(&text[words.len()..]);
    }

    /// Takes the first `len` bytes out of the buffer.
    fn take(&mut self, len: usize) -> String {
        let rest = self.buffer.split_off(len);
        std::mem::replace(&mut self.buffer, rest)
    }
}

/// The schema of a tool's arguments; nothing where it is not JSON.
fn schema_of(tool: &Tool) -> Value {
    tool.parameters.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

/// Bytes at the end of `text` with which `mark` may begin.
fn tail_that_starts(text: &str, mark: &str) -> usize {
    (1..mark.len().min(text.len() + 1)).rev().find(|len| text.ends_with(&mark[..*len])).unwrap_or(0)
}

#[cfg(test)]
mod tests;
