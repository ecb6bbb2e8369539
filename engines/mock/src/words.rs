//! The pretend model: a token is a word.

use engine_api::{Measured, TokenPiece};
use generation::{GenerateRequest, Input, OutputEvent, Workload};
use orchestrator_core::TokenCount;

use crate::config::Answer;

/// The token of a word: the first 31 bits of its FNV-1a hash.
#[must_use]
pub fn token_of(word: &str) -> i32 {
    let hash =
        word.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    i32::try_from(hash >> 1).expect("31 bits fit")
}

/// The words of an input. A conversation counts one more a message for its role, and one for the turn
/// that the answer opens.
pub(crate) fn words_of(input: &Input) -> Vec<String> {
    match input {
        Input::Prompt(text) => split(text),
        Input::Infill(infill) => split(&[&*infill.prefix, &infill.suffix].join(" ")),
        Input::Messages(messages) => messages
            .iter()
            .flat_map(|message| {
                std::iter::once(message.role.as_str().to_owned()).chain(split(&message.content))
            })
            .chain(std::iter::once("assistant".to_owned()))
            .collect(),
        Input::Inputs(texts) => texts.iter().flat_map(|text| split(text)).collect(),
    }
}

/// The words of a text as tokens.
pub(crate) fn pieces(text: &str) -> Vec<TokenPiece> {
    let piece = |(id, word): (usize, String)| TokenPiece {
        id: i32::try_from(id).unwrap_or(i32::MAX),
        bytes: word.into_bytes(),
    };
    split(text).into_iter().enumerate().map(piece).collect()
}

/// The exact size of an input.
pub(crate) fn measure(input: &Input) -> Measured {
    let tokens = count(words_of(input).len());
    let longest = match input {
        Input::Inputs(texts) => count(texts.iter().map(|text| split(text).len()).max().unwrap_or(0)),
        Input::Prompt(_) | Input::Messages(_) | Input::Infill(_) => tokens,
    };
    Measured { tokens, longest }
}

/// The words of the answer, without an end where the answer has none.
pub(crate) fn answer_words(answer: &Answer, prompt: &[String]) -> Box<dyn Iterator<Item = String> + Send> {
    match answer {
        Answer::Canned(text) => Box::new(split(text).into_iter()),
        Answer::Echo => {
            let words = prompt.to_vec();
            Box::new(words.into_iter())
        }
        Answer::Endless => Box::new((0_u64..).map(|i| format!("w{i}"))),
        Answer::Chunks(_) => Box::new(std::iter::empty()),
    }
}

/// The vector of each text, or the score of each document, which is the number of its words.
pub(crate) fn results(job: &GenerateRequest) -> Vec<OutputEvent> {
    let Input::Inputs(texts) = &*job.input else { return Vec::new() };
    match job.workload {
        Workload::Rerank => {
            texts.iter().skip(1).map(|text| OutputEvent::Score(split(text).len() as f32 + 0.5)).collect()
        }
        Workload::Completion | Workload::Embedding => {
            texts.iter().map(|_| OutputEvent::Embedding(vec![0.6, 0.8])).collect()
        }
    }
}

/// A count as the engine trait has it.
pub(crate) fn count(tokens: usize) -> TokenCount {
    TokenCount(u32::try_from(tokens).unwrap_or(u32::MAX))
}

fn split(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}
