//! Reads an answer as it is written: what the model thinks, what it says and what it calls. The text is parsed from its
//! start each time, since llama.cpp's parsers keep no state; text that can begin nothing else goes on without that.
//! What does not have the form that it should have comes out as it is.

use generation::{CallEvent, Piece, THOUGHTS_BEGIN, THOUGHTS_END, TokenLogprob, call_text};
use serde::Deserialize;
use tool_calls::{ToolEvent, ToolParser};

use super::{AnswerForm, from_json};
use crate::ffi::chat::Parser;
use crate::log::{self, Level};

/// What a text led to.
#[derive(Debug, Default, PartialEq)]
pub struct Read {
    /// What can be told of it.
    pub pieces: Vec<Piece>,
    /// Whether the answer is complete: it holds the one call that it may hold.
    pub is_complete: bool,
}

/// The reader of one answer.
#[derive(Debug)]
pub struct AnswerReader {
    parser: Parser,
    /// The answer so far, as the model wrote it.
    written: String,
    /// Bytes with which something else than content may begin, where that can be told.
    marks: Option<[bool; 256]>,
    /// Where the answer stands.
    state: State,
    /// Bytes that were told without being parsed.
    unparsed: usize,
    /// Bytes of `written` that were read when it last had its form.
    read: usize,
    /// Reads calls out of the content.
    own: Option<ToolParser>,
    /// What is still to be put before the answer.
    opening: Option<&'static str>,
    single: bool,
    calls: u32,
    /// The call that has not ended.
    open_call: Option<u32>,
    /// Whether thoughts were told, and not their end.
    thinking: bool,
    /// Tokens that nothing was told of, and what was noted of them.
    tokens: Vec<i32>,
    logprobs: Vec<TokenLogprob>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The last text came out as content, all of it.
    Content,
    /// The last text came out as thoughts, all of it.
    Thought,
    /// Something else, or something that is not decided yet.
    Other,
    /// It does not have its form, and is told as it is.
    Broken,
}

/// What is new in an answer.
#[derive(Debug, Deserialize)]
struct News {
    reasoning: String,
    content: String,
    calls: Vec<CallNews>,
}

#[derive(Debug, Deserialize)]
struct CallNews {
    begins: bool,
    id: String,
    name: String,
    arguments: String,
}

impl AnswerReader {
    /// Of an answer in `form`.
    ///
    /// # Errors
    /// What llama.cpp says is wrong with its own parser.
    pub fn new(form: &AnswerForm) -> Result<Self, String> {
        Ok(Self {
            parser: Parser::open(form.format, &form.generation_prompt, &form.parser)?,
            written: String::new(),
            marks: form.marks(),
            state: State::Other,
            unparsed: 0,
            read: 0,
            own: form.own.as_ref().map(|(format, tools)| ToolParser::new(*format, tools)),
            opening: form.opening,
            single: form.single,
            calls: 0,
            open_call: None,
            thinking: false,
            tokens: Vec::new(),
            logprobs: Vec::new(),
        })
    }

    /// Reads the next piece of text.
    pub fn push(&mut self, piece: Piece) -> Read {
        let Piece { text, tokens, logprobs, .. } = piece;
        self.tokens.extend(tokens);
        self.logprobs.extend(logprobs);
        self.written.push_str(&text);
        if self.goes_on(&text) {
            self.unparsed += text.len();
            let news =
                if self.state == State::Thought { News::of_thought(text) } else { News::of_text(text) };
            return self.tell(news);
        }
        match self.parse(true) {
            Ok(news) => {
                let News { reasoning, content, calls } = &news;
                self.state = match (reasoning.as_str(), content.as_str(), calls.is_empty()) {
                    ("", content, true) if content == text => State::Content,
                    (reasoning, "", true) if reasoning == text => State::Thought,
                    _ => State::Other,
                };
                self.tell(news)
            }
            Err(why) => self.give_up(&why),
        }
    }

    /// The answer has ended; `is_whole` where the model ended it.
    pub fn finish(&mut self, is_whole: bool) -> Read {
        let news = match self.state {
            State::Broken => Ok(News::of_text(String::new())),
            State::Content | State::Thought | State::Other if is_whole => {
                self.parse(false).or_else(|_| self.parse(true))
            }
            State::Content | State::Thought | State::Other => self.parse(true),
        };
        let mut read = match news {
            Ok(news) => self.tell(news),
            Err(why) => self.give_up(&why),
        };
        let rest = self.own.as_mut().map(ToolParser::finish).unwrap_or_default();
        self.add_events(rest, &mut read);
        self.end_call(&mut read.pieces);
        if !self.tokens.is_empty()
            && let Some(last) = read.pieces.last_mut()
        {
            last.tokens.append(&mut self.tokens);
        }
        read
    }

    /// Whether `text` can only be what came before it.
    fn goes_on(&self, text: &str) -> bool {
        let begins_nothing = |marks: [bool; 256]| text.bytes().all(|byte| !marks[usize::from(byte)]);
        match self.state {
            State::Content | State::Thought => self.marks.is_some_and(begins_nothing),
            State::Broken => true,
            State::Other => false,
        }
    }

    fn parse(&mut self, is_partial: bool) -> Result<News, String> {
        let mut news: News = from_json(&self.parser.read(&self.written, is_partial)?)?;
        // What was told already is not news.
        let again = if self.state == State::Thought { &mut news.reasoning } else { &mut news.content };
        let told = std::mem::take(&mut self.unparsed).min(again.len());
        again.replace_range(..again.ceil_char_boundary(told), "");
        self.read = self.written.len();
        Ok(news)
    }

    /// What is left of an answer without its form.
    fn give_up(&mut self, why: &str) -> Read {
        log::line(Level::Debug, "an answer is not in the format of its model", &[("reason", why)]);
        self.state = State::Broken;
        let rest = self.written[self.read..].to_owned();
        self.tell(News::of_text(rest))
    }

    fn tell(&mut self, news: News) -> Read {
        let News { reasoning, content, calls } = news;
        let mut read = Read::default();
        if !content.is_empty() {
            read.pieces.extend(self.opening.take().map(mark));
        }
        if !reasoning.is_empty() {
            if !std::mem::replace(&mut self.thinking, true) {
                read.pieces.push(mark(THOUGHTS_BEGIN));
            }
            self.add(reasoning, Vec::new(), &mut read.pieces);
        }
        if self.thinking && !(content.is_empty() && calls.is_empty()) {
            self.thinking = false;
            read.pieces.push(mark(THOUGHTS_END));
        }
        match &mut self.own {
            Some(parser) => {
                let events = parser.push(&content);
                self.add_events(events, &mut read);
            }
            None => self.add(content, Vec::new(), &mut read.pieces),
        }
        for call in calls {
            if call.begins && self.single && self.calls > 0 {
                read.is_complete = true;
                break;
            }
            self.add_call(call, &mut read.pieces);
        }
        read
    }

    fn add_call(&mut self, call: CallNews, pieces: &mut Vec<Piece>) {
        let CallNews { begins, id, name, arguments } = call;
        if begins {
            self.end_call(pieces);
            let (index, text) = (self.calls, call_text::beginning(&name));
            self.add(text, vec![CallEvent::Start { index, id, name }], pieces);
            self.calls += 1;
            self.open_call = Some(index);
        }
        if let Some(index) = self.open_call
            && !arguments.is_empty()
        {
            self.add(arguments.clone(), vec![CallEvent::Arguments { index, text: arguments }], pieces);
        }
    }

    fn end_call(&mut self, pieces: &mut Vec<Piece>) {
        if let Some(index) = self.open_call.take() {
            self.add(call_text::END.to_owned(), vec![CallEvent::End { index }], pieces);
        }
    }

    /// What the content turned out to be.
    fn add_events(&mut self, events: Vec<ToolEvent>, read: &mut Read) {
        for event in events {
            match event {
                ToolEvent::Content(text) => self.add(text, Vec::new(), &mut read.pieces),
                ToolEvent::Call(CallEvent::Start { id, name, .. }) => {
                    let call = CallNews { begins: true, id, name, arguments: String::new() };
                    self.add_call(call, &mut read.pieces);
                }
                ToolEvent::Call(CallEvent::Arguments { text, .. }) => {
                    let call =
                        CallNews { begins: false, id: String::new(), name: String::new(), arguments: text };
                    self.add_call(call, &mut read.pieces);
                }
                ToolEvent::Call(CallEvent::End { .. }) => {
                    self.end_call(&mut read.pieces);
                    if self.single {
                        read.is_complete = true;
                        return;
                    }
                }
            }
        }
    }

    /// Adds a piece. The tokens since the last one go with it.
    fn add(&mut self, text: String, calls: Vec<CallEvent>, pieces: &mut Vec<Piece>) {
        if text.is_empty() {
            return;
        }
        let tokens = std::mem::take(&mut self.tokens);
        let mut logprobs = std::mem::take(&mut self.logprobs);
        let logprobs = logprobs.split_off(logprobs.len() - lying_within(&logprobs, text.len()));
        pieces.push(Piece { text, tokens, logprobs, calls, own: None });
    }
}

/// A mark that the model did not write itself.
fn mark(text: &str) -> Piece {
    Piece { text: text.to_owned(), ..Piece::default() }
}

/// How many of the last tokens lie in the last `bytes`: the others are marks of the format.
fn lying_within(logprobs: &[TokenLogprob], mut bytes: usize) -> usize {
    let lies_within = |noted: &&TokenLogprob| {
        let len = noted.chosen.bytes.len();
        let within = len <= bytes;
        bytes = bytes.saturating_sub(len);
        within
    };
    logprobs.iter().rev().take_while(lies_within).count()
}

impl News {
    fn of_thought(reasoning: String) -> Self {
        Self { reasoning, content: String::new(), calls: Vec::new() }
    }

    fn of_text(content: String) -> Self {
        Self { reasoning: String::new(), content, calls: Vec::new() }
    }
}
