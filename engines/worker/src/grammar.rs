//! A form the answer must have: GBNF, or a JSON schema that becomes it. A token is chosen first and
//! checked then; only when it is rejected is the whole vocabulary masked, so that a grammar costs next to nothing
//! where the model keeps to it by itself. Every step is bounded in work and memory, also where a grammar is
//! ambiguous: see `constrained_decoding`.
//!
//! Rules: ORCH-WORKER-5, ORCH-ENG-10

pub mod lazy;

use std::collections::HashMap;

use generation::{EngineError, Tools};
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::token::LlamaToken;

use crate::vocabulary::{Marks, Vocabulary};
use constrained_decoding::gbnf;
use constrained_decoding::matcher::{Matcher, Place, Stuck};
use constrained_decoding::program::Program;
use constrained_decoding::schema::{Notation, Unsupported, to_gbnf};
use lazy::Calls;

/// The longest grammar or schema: parsers work by recursion, and their cost grows with its size.
const MAX_BYTES: usize = 128 * 1024;

/// The longest grammar made of a schema or of tools.
const MAX_CONVERTED_BYTES: usize = 8 * 1024 * 1024;

/// The field that a schema of the whole answer comes in.
const SCHEMA_FIELD: &str = "sampling.json_schema";

/// Masks of the whole vocabulary kept, by place in the grammar: text inside of a string is at one place for long.
const MAX_MASKS: usize = 64;

/// A grammar at some place of an answer.
#[derive(Debug)]
pub struct Grammar {
    matcher: Matcher,
    /// The tokens allowed at a place, one bit each.
    masks: HashMap<Place, Vec<u64>>,
    marks: Marks,
    field: &'static str,
}

/// A grammar (GBNF) of an answer, with a rule `root`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerGrammar {
    /// Its text.
    pub text: String,
    /// From where on it holds.
    pub begins: Begins,
}

/// From where on a grammar holds an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begins {
    /// From its start, of which the prompt holds so much already.
    AtOnce(String),
    /// From where the model begins to call.
    AtCall(Calls),
}

/// Why an answer cannot go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GrammarError {
    /// The grammar is at fault: the text names the field.
    Invalid(String),
    /// Something that cannot be.
    Broken(&'static str),
}

impl From<GrammarError> for EngineError {
    fn from(error: GrammarError) -> Self {
        match error {
            GrammarError::Invalid(what) => Self::Invalid(what),
            GrammarError::Broken(what) => Self::Decode(what.to_owned()),
        }
    }
}

impl Grammar {
    /// Compiles a grammar that a task brings.
    ///
    /// # Errors
    /// The field and what is wrong with it.
    pub fn compile(model: &LlamaModel, text: &str) -> Result<Self, String> {
        const FIELD: &str = "sampling.grammar";
        check_text(FIELD, text)?;
        Self::of(model, text, FIELD, Marks::default())
    }

    /// Compiles a JSON schema that a task brings.
    ///
    /// # Errors
    /// The field and what is wrong with it.
    pub fn of_schema(model: &LlamaModel, text: &str) -> Result<Self, String> {
        let schema = AnswerSchema::convert(text)?;
        Self::of(model, &schema.gbnf, SCHEMA_FIELD, Marks::default())
    }

    /// Compiles the grammar of an answer to a chat, in which `marks` stand as text, and goes on to where the prompt
    /// leaves off.
    ///
    /// # Errors
    /// The field that is at fault and what is wrong with it.
    pub fn of_answer(
        model: &LlamaModel,
        grammar: &AnswerGrammar,
        field: &'static str,
        marks: Marks,
    ) -> Result<Self, String> {
        let mut compiled = Self::of(model, &grammar.text, field, marks)?;
        match &grammar.begins {
            Begins::AtOnce(begun) if !compiled.read(begun.as_bytes()) => {
                Err(format!("`{field}`: llama.cpp's grammar does not begin as the prompt ends"))
            }
            Begins::AtOnce(_) | Begins::AtCall(_) => Ok(compiled),
        }
    }

    /// Goes on with text that is there already. Whether it is in the grammar.
    fn read(&mut self, text: &[u8]) -> bool {
        let mut place = self.matcher.place();
        for byte in text {
            self.matcher.begin_token();
            match self.matcher.byte(place, *byte) {
                Ok(behind) => place = behind,
                Err(_) => return false,
            }
        }
        if self.matcher.set_place(place) {
            self.masks.clear();
        }
        true
    }

    fn of(model: &LlamaModel, grammar: &str, field: &'static str, marks: Marks) -> Result<Self, String> {
        let broken = |why: String| format!("`{field}` is no grammar that can be followed: {why}");
        if grammar.len() > MAX_CONVERTED_BYTES {
            return Err(broken(format!("it has {} bytes when it is written out", grammar.len())));
        }
        let token_named = |name: &str| match model.vocab().tokenize(name.as_bytes(), false, true)[..] {
            [LlamaToken(id)] => Some(id),
            _ => None,
        };
        let program = gbnf::parse(grammar, &token_named).and_then(|tree| Program::compile(&tree));
        let matcher = Matcher::new(program.map_err(broken)?).map_err(|_| broken(too_ambiguous()))?;
        Ok(Self { matcher, masks: HashMap::new(), marks, field })
    }

    /// Whether `token` may come next.
    ///
    /// # Errors
    /// When it costs too much to find out.
    pub fn allows(&mut self, token: i32, vocabulary: &Vocabulary) -> Result<bool, GrammarError> {
        self.matcher.begin_token();
        Ok(self.behind(token, vocabulary)?.is_some())
    }

    /// Bans all that may not come next.
    ///
    /// # Errors
    /// When it costs too much to find out.
    pub fn mask(&mut self, logits: &mut [f32], vocabulary: &Vocabulary) -> Result<(), GrammarError> {
        let place = self.matcher.place();
        if !self.masks.contains_key(&place) {
            if self.masks.len() >= MAX_MASKS {
                self.masks.clear();
            }
            self.matcher.begin_token();
            let mask = self.allowed(place, vocabulary).map_err(|stuck| self.error(stuck))?;
            self.masks.insert(place, mask);
        }
        let mask = &self.masks[&place];
        for (at, logit) in logits.iter_mut().enumerate() {
            if mask.get(at / 64).is_none_or(|bits| bits >> (at % 64) & 1 == 0) {
                *logit = f32::NEG_INFINITY;
            }
        }
        Ok(())
    }

    /// Goes on with `token`, which it allowed.
    ///
    /// # Errors
    /// When the grammar cannot go on with it.
    pub fn accept(&mut self, token: i32, vocabulary: &Vocabulary) -> Result<(), GrammarError> {
        self.matcher.begin_token();
        let place = self.behind(token, vocabulary)?;
        let place = place.ok_or(GrammarError::Broken("the grammar rejects a token that it allowed"))?;
        if self.matcher.set_place(place) {
            self.masks.clear();
        }
        Ok(())
    }

    /// The place behind `token`, where it is allowed.
    fn behind(&mut self, token: i32, vocabulary: &Vocabulary) -> Result<Option<Place>, GrammarError> {
        let here = self.matcher.place();
        if vocabulary.ends_answer(token) {
            return Ok(self.matcher.may_end(here).then_some(here));
        }
        if Self::is_silent(&self.marks, token, vocabulary) {
            return Ok(None);
        }
        match self.walk(here, token, vocabulary) {
            Ok(place) => Ok(Some(place)),
            Err(Stuck::NotAllowed) => Ok(None),
            Err(stuck) => Err(self.error(stuck)),
        }
    }

    fn walk(&mut self, here: Place, token: i32, vocabulary: &Vocabulary) -> Result<Place, Stuck> {
        if self.matcher.names_token(here, token) {
            return self.matcher.token(here, token);
        }
        let text = vocabulary.name(token);
        if text.is_empty() {
            return Err(Stuck::NotAllowed);
        }
        let place = text.iter().try_fold(here, |place, byte| self.matcher.byte(place, *byte))?;
        if self.matcher.can_complete(place) { Ok(place) } else { Err(Stuck::NotAllowed) }
    }

    /// The tokens allowed at `here`. Tokens are visited in the order of their texts: what one has in common with
    /// the one before it is not walked again.
    fn allowed(&mut self, here: Place, vocabulary: &Vocabulary) -> Result<Vec<u64>, Stuck> {
        let mut mask = vec![0u64; vocabulary.len().div_ceil(64)];
        let mut allow = |token: i32| {
            let at = usize::try_from(token).expect("numbers of tokens");
            mask[at / 64] |= 1 << (at % 64);
        };
        // Behind each byte of the token at hand, and how many of its bytes lead nowhere.
        let mut places = vec![here];
        let mut dead_from = usize::MAX;
        for entry in vocabulary.sorted() {
            if entry.shared > dead_from {
                continue;
            }
            let text = vocabulary.name(entry.token);
            places.truncate(entry.shared + 1);
            dead_from = usize::MAX;
            for (at, byte) in text.iter().enumerate().skip(places.len() - 1) {
                match self.matcher.byte(places[at], *byte) {
                    Ok(place) => places.push(place),
                    Err(Stuck::NotAllowed) => {
                        dead_from = at;
                        break;
                    }
                    Err(stuck) => return Err(stuck),
                }
            }
            let fits = dead_from == usize::MAX && self.matcher.can_complete(places[text.len()]);
            if fits && !Self::is_silent(&self.marks, entry.token, vocabulary) {
                allow(entry.token);
            }
        }
        if self.matcher.names_tokens(here) {
            vocabulary.tokens().filter(|token| self.matcher.names_token(here, *token)).for_each(&mut allow);
        }
        if self.matcher.may_end(here) {
            vocabulary.tokens().filter(|token| vocabulary.ends_answer(*token)).for_each(&mut allow);
        }
        Ok(mask)
    }

    /// Whether `token` steers the model and can be no part of the answer.
    fn is_silent(marks: &Marks, token: i32, vocabulary: &Vocabulary) -> bool {
        vocabulary.is_control(token) && !marks.contains(token)
    }

    fn error(&self, stuck: Stuck) -> GrammarError {
        match stuck {
            Stuck::NotAllowed => GrammarError::Broken("the grammar leaves no token of this model"),
            Stuck::TooCostly => GrammarError::Invalid(format!("`{}`: {}", self.field, too_ambiguous())),
        }
    }
}

fn too_ambiguous() -> String {
    "it is too ambiguous: a text has too many readings to follow them all; give each text one reading"
        .to_owned()
}

/// The JSON schema of an answer.
#[derive(Debug)]
pub struct AnswerSchema<'a> {
    /// The schema, as the task has it.
    pub text: &'a str,
    /// Its grammar.
    pub gbnf: String,
}

impl<'a> AnswerSchema<'a> {
    /// Makes the grammar of a schema.
    ///
    /// # Errors
    /// The field, the place in it, and what is wrong or cannot be kept there.
    pub fn convert(text: &'a str) -> Result<Self, String> {
        check_text(SCHEMA_FIELD, text)?;
        let refused = |why: String| format!("`{SCHEMA_FIELD}` {why}");
        // serde_json bounds the depth.
        let schema: serde_json::Value =
            serde_json::from_str(text).map_err(|error| refused(format!("is not JSON: {error}")))?;
        if !schema.is_object() && !schema.is_boolean() {
            return Err(refused("is JSON, but not a schema: it should be an object".to_owned()));
        }
        let gbnf = to_gbnf(&schema, Notation::Json, Unsupported::Reject);
        Ok(Self { text, gbnf: gbnf.map_err(|fault| refused(fault.to_string()))? })
    }
}

/// Finds schemas of tools that are too long together to hold an answer.
///
/// # Errors
/// How long they are, and how long they may be.
pub fn check_size(tools: &Tools) -> Result<(), String> {
    let schemas = tools.offered.iter().map(|tool| tool.parameters.as_ref().map_or(0, String::len));
    let bytes: usize = schemas.sum();
    if bytes > MAX_BYTES {
        return Err(format!(
            "the schemas of `tools` have {bytes} bytes; at most {MAX_BYTES} can hold an answer"
        ));
    }
    Ok(())
}

fn check_text(field: &str, text: &str) -> Result<(), String> {
    if text.len() > MAX_BYTES {
        return Err(format!("`{field}` has {} bytes; at most {MAX_BYTES} are taken", text.len()));
    }
    if text.contains('\0') {
        return Err(format!("`{field}` holds a NUL character"));
    }
    Ok(())
}
