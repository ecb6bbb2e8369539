//! Parses an output while it is written: reasoning, content, tool calls. llama.cpp's parsers keep no state, so the text
//! is parsed from its start each time; text that can begin nothing else goes on without that. What does not have its
//! format is sent as it is.
//!
//! Rules: ORCH-ENG-15, ORCH-ENG-26

use generation::{
    InlineReasoningParser, OutputChunk, OutputEvent, PendingOutput, ToolCallDelta, ToolCallStart,
};
use serde::Deserialize;
use tool_calls::{ToolEvent, ToolParser};

use super::{AllowedCalls, OutputFormat, RawText, from_json};
use crate::ffi::chat::Parser;
use crate::log::{self, Level};
use crate::text::tokens_within;

/// What a text led to.
#[derive(Debug, Default, PartialEq)]
pub struct Parsed {
    /// The output as far as it is decided; nothing while none of it is.
    pub chunk: Option<OutputChunk>,
    /// Whether the output is complete: it holds the one call that it may hold.
    pub is_complete: bool,
}

/// The parser of one output.
#[derive(Debug)]
pub struct OutputParser {
    parser: Parser,
    /// The output so far, as the model wrote it.
    written: String,
    /// Bytes with which something else than content may begin, where that is known.
    marks: Option<[bool; 256]>,
    state: State,
    /// Bytes that were sent without being parsed.
    unparsed: usize,
    /// Bytes of `written` that were read when it last had its format.
    read: usize,
    /// Parses calls out of the content.
    own: Option<ToolParser>,
    /// Parses reasoning out of the content, where llama.cpp knows none of this model.
    inline: Option<InlineReasoningParser>,
    single: bool,
    raw_text: RawText,
    calls: u32,
    /// Whether anything came of the raw text.
    has_output: bool,
    /// Raw text of which it is not decided what it is.
    pending: PendingOutput,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The last text came out as content, all of it.
    Content,
    /// The last text came out as reasoning, all of it.
    Reasoning,
    /// Something else, or something that is not decided yet.
    Other,
    /// The output does not have its format, and is sent as it is.
    Broken,
}

/// What llama.cpp finds new in an output.
#[derive(Debug, Default, Deserialize)]
struct New {
    reasoning: String,
    content: String,
    calls: Vec<NewCall>,
}

#[derive(Debug, Deserialize)]
struct NewCall {
    begins: bool,
    id: String,
    name: String,
    arguments: String,
}

/// Events of one step, and whether the output is complete with them.
#[derive(Default)]
struct Events {
    all: Vec<OutputEvent>,
    is_complete: bool,
}

impl OutputParser {
    /// Of an output in `format`.
    ///
    /// # Errors
    /// What llama.cpp says is wrong with its own parser.
    pub fn new(format: &OutputFormat) -> Result<Self, String> {
        let mut parser = Parser::open(format.number, &format.generation_prompt, &format.parser)?;
        // What the answer continues is part of the prompt, and parsed with it: it is not new.
        if format.continues {
            parser.read("", true)?;
        }
        Ok(Self {
            parser,
            written: String::new(),
            marks: format.marks(),
            state: State::Other,
            unparsed: 0,
            read: 0,
            own: format.own.as_ref().map(|(format, tools)| ToolParser::new(*format, tools)),
            inline: format.inline_reasoning.map(InlineReasoningParser::new),
            single: format.calls == AllowedCalls::One,
            raw_text: format.raw_text,
            calls: 0,
            has_output: false,
            pending: PendingOutput::default(),
        })
    }

    /// Parses the next text.
    pub fn push(&mut self, raw: OutputChunk) -> Parsed {
        let text = raw.text.clone();
        self.pending.push(raw);
        self.written.push_str(&text);
        let new = if self.goes_on(&text) {
            self.unparsed += text.len();
            if self.state == State::Reasoning { New::reasoning(text) } else { New::content(text) }
        } else {
            match self.parse(true) {
                Ok(new) => {
                    self.state = match (new.reasoning.as_str(), new.content.as_str(), new.calls.is_empty()) {
                        ("", content, true) if content == text => State::Content,
                        (reasoning, "", true) if reasoning == text => State::Reasoning,
                        _ => State::Other,
                    };
                    new
                }
                Err(why) => self.give_up(&why),
            }
        };
        let Events { all, is_complete } = self.events(new);
        self.note(&all);
        let chunk = self.pending.take(all).map(|chunk| self.sent(chunk)).filter(|chunk| !chunk.is_empty());
        Parsed { chunk, is_complete }
    }

    /// The output has ended; `is_whole` where the model ended it.
    pub fn finish(&mut self, is_whole: bool) -> Option<OutputChunk> {
        let new = match self.state {
            State::Broken => Ok(New::default()),
            State::Content | State::Reasoning | State::Other if is_whole => {
                self.parse(false).or_else(|_| self.parse(true))
            }
            State::Content | State::Reasoning | State::Other => self.parse(true),
        };
        let new = new.unwrap_or_else(|why| self.give_up(&why));
        let mut events = self.events(new);
        let content = self.inline.take().and_then(|mut inline| inline.finish());
        events.all.extend(content);
        let rest = self.own.as_mut().map(|own| own.finish(is_whole)).unwrap_or_default();
        self.add_parsed_calls(rest, &mut events);
        self.note(&events.all);
        if is_whole && !self.has_output && !self.written.trim().is_empty() {
            // All of it is markup of what was not asked for: an empty answer would tell nobody.
            events.all.push(OutputEvent::Text(self.written.clone()));
        }
        let last = self.pending.finish(events.all).map(|chunk| self.sent(chunk));
        last.filter(|chunk| !chunk.is_empty())
    }

    fn note(&mut self, events: &[OutputEvent]) {
        self.has_output |= !events.is_empty();
    }

    fn sent(&self, chunk: OutputChunk) -> OutputChunk {
        let mut chunk = of_the_answer(chunk);
        if self.raw_text == RawText::AnswerOnly
            && let Some(events) = chunk.events.take()
        {
            let text_of = |event: &OutputEvent| match event {
                OutputEvent::Text(text) => Some(text.clone()),
                _ => None,
            };
            let texts: Vec<_> = events.iter().filter_map(text_of).collect();
            chunk.events = (texts.len() < events.len()).then_some(events);
            chunk.text = texts.concat();
        }
        chunk
    }

    /// Whether `text` can only be what came before it.
    fn goes_on(&self, text: &str) -> bool {
        let begins_nothing = |marks: [bool; 256]| text.bytes().all(|byte| !marks[usize::from(byte)]);
        match self.state {
            State::Content | State::Reasoning => self.marks.is_some_and(begins_nothing),
            State::Broken => true,
            State::Other => false,
        }
    }

    fn parse(&mut self, is_partial: bool) -> Result<New, String> {
        let mut new: New = from_json(&self.parser.read(&self.written, is_partial)?)?;
        // What was sent already is not new.
        let again = if self.state == State::Reasoning { &mut new.reasoning } else { &mut new.content };
        let sent = std::mem::take(&mut self.unparsed).min(again.len());
        again.replace_range(..again.ceil_char_boundary(sent), "");
        self.read = self.written.len();
        Ok(new)
    }

    /// What is left of an output without its format.
    fn give_up(&mut self, why: &str) -> New {
        log::line(Level::Debug, "an answer is not in the format of its model", &[("reason", why)]);
        self.state = State::Broken;
        let sent = self.read + std::mem::take(&mut self.unparsed);
        New::content(self.written[sent..].to_owned())
    }

    fn events(&mut self, new: New) -> Events {
        let New { reasoning, content, calls } = new;
        let mut events = Events::default();
        if !reasoning.is_empty() {
            events.all.push(OutputEvent::Reasoning(reasoning));
        }
        let content = self.without_reasoning(content, &mut events);
        match &mut self.own {
            Some(parser) => {
                let parsed = parser.push(&content);
                self.add_parsed_calls(parsed, &mut events);
            }
            None if !content.is_empty() => events.all.push(OutputEvent::Text(content)),
            None => {}
        }
        for call in calls {
            if call.begins && self.single && self.calls > 0 {
                events.is_complete = true;
                break;
            }
            self.add_call(call, &mut events);
        }
        events
    }

    /// `content` without the reasoning that llama.cpp left in it, which goes to `events`.
    fn without_reasoning(&mut self, content: String, events: &mut Events) -> String {
        let Some(inline) = &mut self.inline else { return content };
        let mut rest = String::new();
        for event in inline.push(&content) {
            match event {
                OutputEvent::Text(text) => rest.push_str(&text),
                other => events.all.push(other),
            }
        }
        if inline.is_done() {
            self.inline = None;
        }
        rest
    }

    fn add_call(&mut self, call: NewCall, events: &mut Events) {
        let NewCall { begins, id, name, arguments } = call;
        self.calls += u32::from(begins);
        let Some(index) = self.calls.checked_sub(1) else { return };
        let start = begins.then_some(ToolCallStart { id, name });
        let delta = OutputEvent::ToolCall(ToolCallDelta { index, start, arguments });
        if !delta.is_empty() {
            events.all.push(delta);
        }
    }

    /// Adds what the content turned out to be.
    fn add_parsed_calls(&mut self, parsed: Vec<ToolEvent>, events: &mut Events) {
        for event in parsed {
            match event {
                ToolEvent::Content(text) => events.all.push(OutputEvent::Text(text)),
                ToolEvent::Start { name } => {
                    let call = NewCall { begins: true, id: String::new(), name, arguments: String::new() };
                    self.add_call(call, events);
                }
                ToolEvent::Arguments(arguments) => {
                    let call = NewCall { begins: false, id: String::new(), name: String::new(), arguments };
                    self.add_call(call, events);
                }
                ToolEvent::End => {
                    if self.single {
                        events.is_complete = true;
                        return;
                    }
                }
            }
        }
    }
}

/// `chunk` with the probabilities of the answer's tokens alone: others belong to markup, reasoning or calls.
fn of_the_answer(mut chunk: OutputChunk) -> OutputChunk {
    if let Some(events) = &chunk.events {
        let texts = events.iter().map(|event| match event {
            OutputEvent::Text(text) => text.len(),
            _ => 0,
        });
        let others = chunk.logprobs.len() - tokens_within(&chunk.logprobs, texts.sum());
        chunk.logprobs = chunk.logprobs.split_off(others);
    }
    chunk
}

impl New {
    fn reasoning(reasoning: String) -> Self {
        Self { reasoning, ..Self::default() }
    }

    fn content(content: String) -> Self {
        Self { content, ..Self::default() }
    }
}
