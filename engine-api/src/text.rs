//! Questions that the vocabulary or the chat template of a model answers, without a token being generated.

use std::sync::Arc;

use generation::GenerateRequest;
use serde::{Deserialize, Serialize};

use crate::Measured;

/// What an engine is asked about text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum TextQuery {
    /// The tokens of a text.
    Tokenize {
        /// The text.
        text: String,
        /// Whether the tokens that the model wants around a prompt are added.
        add_special: bool,
        /// Whether texts of special tokens are taken as these tokens.
        parse_special: bool,
    },
    /// The text of tokens.
    Detokenize(Vec<i32>),
    /// The prompt that the chat template makes of a conversation.
    ApplyTemplate(#[serde(with = "generation::shared")] Arc<GenerateRequest>),
}

impl TextQuery {
    /// About how many bytes it takes when it is encoded.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Self::Tokenize { text, .. } => text.len(),
            Self::Detokenize(tokens) => tokens.len() * size_of::<i32>(),
            Self::ApplyTemplate(job) => job.bytes(),
        }
    }
}

/// What is said of an engine that answers no [`TextQuery`].
#[must_use]
pub fn not_answered(engine: &str) -> String {
    format!("engine `{engine}` does not say here how it splits text into tokens")
}

/// The answer to a [`TextQuery`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TextAnswer {
    /// To [`TextQuery::Tokenize`].
    Tokens(Vec<TokenPiece>),
    /// To [`TextQuery::Detokenize`] and [`TextQuery::ApplyTemplate`].
    Text(String),
}

/// A token and its text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenPiece {
    /// Its number in the vocabulary.
    pub id: i32,
    /// Its text, which may be a part of a character.
    pub bytes: Vec<u8>,
}

/// What an engine is asked beside its tasks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Question {
    /// The size of a job's input, and what is wrong with the job, which is not to be decoded.
    Measure(#[serde(with = "generation::shared")] Arc<GenerateRequest>),
    /// Something about text.
    Text(TextQuery),
}

impl Question {
    /// About how many bytes it takes when it is encoded.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Self::Measure(job) => job.bytes(),
            Self::Text(query) => query.bytes(),
        }
    }
}

/// The answer to a [`Question`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum QuestionAnswer {
    /// To [`Question::Measure`].
    Measured(Measured),
    /// To [`Question::Text`].
    Text(TextAnswer),
}
