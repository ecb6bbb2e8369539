//! Answers to what the daemon asks beside its tasks: the size of a job's input, and what the vocabulary and the chat
//! template make of text.
//!
//! Rules: ORCH-OAI-27

use engine_api::{MeasureError, Question, QuestionAnswer, TextAnswer, TextQuery, TokenPiece};
use generation::Input;

use crate::load::Loaded;
use crate::prepare::{self, measure};
use crate::vocabulary::Vocabulary;

/// Answers `question`.
///
/// # Errors
/// [`MeasureError::Invalid`] with the field and what would be right.
pub fn answer(loaded: &Loaded, question: &Question) -> Result<QuestionAnswer, MeasureError> {
    match question {
        Question::Measure(job) => measure(loaded, job).map(QuestionAnswer::Measured),
        Question::Text(query) => text(loaded, query).map(QuestionAnswer::Text).map_err(MeasureError::Invalid),
    }
}

fn text(loaded: &Loaded, query: &TextQuery) -> Result<TextAnswer, String> {
    let vocabulary = loaded.vocabulary;
    match query {
        TextQuery::Tokenize { text, add_special, parse_special } => {
            let tokens = loaded.model.vocab().tokenize(text.as_bytes(), *add_special, *parse_special);
            let piece = |id| TokenPiece { id, bytes: vocabulary.name(id).to_vec() };
            Ok(TextAnswer::Tokens(tokens.into_iter().map(|token| piece(token.0)).collect()))
        }
        TextQuery::Detokenize(tokens) => detokenize(vocabulary, tokens).map(TextAnswer::Text),
        TextQuery::ApplyTemplate(job) => match &*job.input {
            Input::Messages(_) => prepare::rendered(loaded, job).map(TextAnswer::Text),
            _ => Err("`messages` is missing: a chat template renders a conversation".to_owned()),
        },
    }
}

fn detokenize(vocabulary: &Vocabulary, tokens: &[i32]) -> Result<String, String> {
    let mut bytes = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        if !vocabulary.contains(*token) {
            let last = vocabulary.len() - 1;
            return Err(format!("`tokens[{at}]` is {token}; the tokens of this model are 0 to {last}"));
        }
        bytes.extend_from_slice(vocabulary.name(*token));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
