//! A form the answer must have: GBNF, or a JSON schema turned into it, checked by llama.cpp's grammar
//! sampler. A token is chosen first and checked then; only when it is rejected is the whole vocabulary
//! masked, so that a grammar costs next to nothing where the model keeps to it by itself.

use adapter_api::{Constraint, ToolFormat, Tools};
use llama_cpp_2::json_schema_to_grammar;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::sampling::LlamaSampler;
use llama_cpp_2::token::LlamaToken;
use llama_cpp_2::token::data::LlamaTokenData;
use llama_cpp_2::token::data_array::LlamaTokenDataArray;

use crate::vocabulary::Vocabulary;

/// The longest grammar or schema: its parser works by recursion, and its cost grows with its size.
const MAX_BYTES: usize = 128 * 1024;

/// The deepest nesting of brackets in a grammar.
const MAX_DEPTH: usize = 128;

/// A grammar at some place of an answer.
#[derive(Debug)]
pub struct Grammar {
    sampler: LlamaSampler,
    row: Vec<LlamaTokenData>,
    marks: Marks,
}

/// Whether special tokens that frame calls of tools may be part of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marks {
    /// They are taken out of it.
    Hidden,
    /// They stand in it as text.
    Shown,
}

impl Grammar {
    /// Compiles the constraint.
    ///
    /// # Errors
    /// The field and what is wrong with it.
    pub fn compile(model: &LlamaModel, constraint: &Constraint) -> Result<Self, String> {
        let (field, text) = match constraint {
            Constraint::Grammar(text) => ("sampling.grammar", text),
            Constraint::JsonSchema(text) => ("sampling.json_schema", text),
        };
        if text.len() > MAX_BYTES {
            return Err(format!("`{field}` has {} bytes; at most {MAX_BYTES} are taken", text.len()));
        }
        if text.contains('\0') {
            return Err(format!("`{field}` holds a NUL character"));
        }
        let grammar = match constraint {
            Constraint::Grammar(text) => check_gbnf(text).map(|()| text.clone())?,
            Constraint::JsonSchema(text) => {
                schema_to_gbnf(text).map_err(|why| format!("`sampling.json_schema` {why}"))?
            }
        };
        Self::of(model, &grammar, field, Marks::Hidden)
    }

    /// Compiles what holds an answer to calls of tools, where they are forced, and to the constraint beside
    /// them.
    ///
    /// # Errors
    /// The field and what is wrong with it.
    pub fn for_tools(
        model: &LlamaModel,
        format: ToolFormat,
        tools: &Tools,
        constraint: Option<&Constraint>,
    ) -> Result<Option<Self>, String> {
        let otherwise = match constraint {
            Some(Constraint::Grammar(_)) => {
                return Err("`sampling.grammar` holds the whole answer and leaves no room for calls of `tools`: send \
                            either"
                    .to_owned());
            }
            None if !tools.are_forced() => return Ok(None),
            // Calls are the whole answer.
            _ if tools.are_forced() => None,
            Some(Constraint::JsonSchema(text)) => {
                Some(schema_to_gbnf(text).map_err(|why| format!("`sampling.json_schema` {why}"))?)
            }
            None => None,
        };
        let schemas = tools.offered.iter().map(|tool| tool.parameters.as_ref().map_or(0, String::len));
        let bytes: usize = schemas.sum();
        if bytes > MAX_BYTES {
            return Err(format!(
                "the schemas of `tools` have {bytes} bytes; at most {MAX_BYTES} can hold an answer"
            ));
        }
        let grammar = tool_calls::force(format, tools, otherwise.as_deref(), schema_to_gbnf)?;
        Self::of(model, &grammar, "tools", Marks::Shown).map(Some)
    }

    fn of(model: &LlamaModel, grammar: &str, field: &str, marks: Marks) -> Result<Self, String> {
        let sampler = LlamaSampler::grammar(model, grammar, tool_calls::ROOT).map_err(|_| {
            let reason =
                crate::ffi::take_errors().pop().map_or_else(String::new, |reason| format!(": {reason}"));
            format!("`{field}` is no grammar that llama.cpp can follow{reason}")
        })?;
        Ok(Self { sampler, row: Vec::new(), marks })
    }

    /// Whether `token` steers the model and can be no part of the answer.
    fn is_silent(marks: Marks, token: i32, vocabulary: &Vocabulary) -> bool {
        vocabulary.is_control(token) && !(marks == Marks::Shown && vocabulary.is_mark(token))
    }

    /// Whether `token` may come next.
    pub fn allows(&mut self, token: i32, vocabulary: &Vocabulary) -> bool {
        if Self::is_silent(self.marks, token, vocabulary) {
            return false;
        }
        let mut one = LlamaTokenDataArray::new(vec![LlamaTokenData::new(LlamaToken(token), 0.0, 0.0)], false);
        self.sampler.apply(&mut one);
        one.data.first().is_some_and(|data| data.logit() > f32::NEG_INFINITY)
    }

    /// Bans all that may not come next.
    pub fn mask(&mut self, logits: &mut [f32], vocabulary: &Vocabulary) {
        let mut row = std::mem::take(&mut self.row);
        row.clear();
        row.extend(
            (0..).zip(logits.iter()).map(|(id, logit)| LlamaTokenData::new(LlamaToken(id), *logit, 0.0)),
        );
        let mut all = LlamaTokenDataArray::new(row, false);
        self.sampler.apply(&mut all);
        for data in &all.data {
            let LlamaToken(id) = data.id();
            if let Some(logit) = usize::try_from(id).ok().and_then(|id| logits.get_mut(id)) {
                *logit = if Self::is_silent(self.marks, id, vocabulary) {
                    f32::NEG_INFINITY
                } else {
                    data.logit()
                };
            }
        }
        self.row = all.data;
    }

    /// Goes on with `token`, which it allowed.
    ///
    /// # Errors
    /// When the grammar cannot go on with it.
    pub fn accept(&mut self, token: i32) -> Result<(), String> {
        self.sampler.try_accept(LlamaToken(token)).map_err(|_| "the grammar rejects its own token".to_owned())
    }
}

fn check_gbnf(text: &str) -> Result<(), String> {
    let has_root = text.lines().any(|line| {
        line.trim_start().strip_prefix("root").is_some_and(|rest| rest.trim_start().starts_with("::="))
    });
    if !has_root {
        return Err("`sampling.grammar` has no rule named `root` (`root ::= …`)".into());
    }
    let deepest = text.bytes().scan(0usize, |depth, byte| {
        match byte {
            b'(' => *depth += 1,
            b')' => *depth = depth.saturating_sub(1),
            _ => {}
        }
        Some(*depth)
    });
    if deepest.max().unwrap_or(0) > MAX_DEPTH {
        return Err(format!("`sampling.grammar` nests brackets deeper than {MAX_DEPTH}"));
    }
    Ok(())
}

/// The schema as a grammar, or what is wrong with it.
fn schema_to_gbnf(text: &str) -> Result<String, String> {
    // serde_json bounds the depth, which llama.cpp's parser does not.
    let schema: serde_json::Value =
        serde_json::from_str(text).map_err(|error| format!("is not JSON: {error}"))?;
    if !schema.is_object() && !schema.is_boolean() {
        return Err("is JSON, but not a schema: it should be an object".into());
    }
    json_schema_to_grammar(text).map_err(|_| {
        "uses what cannot be turned into a grammar (an unknown `type`, an unresolved `$ref`, \
         or a `pattern` that is not anchored with `^` and `$`)"
            .to_owned()
    })
}
