//! The size of an input at a server that cannot count it.

use engine_api::Measured;
use generation::Input;
use orchestrator_core::TokenCount;

/// Bytes of text that one token takes, about: what tokenizers of today do with English and code.
const BYTES_A_TOKEN: usize = 4;

/// Tokens that `input` takes, about.
#[must_use]
pub fn estimated_tokens(input: &Input) -> TokenCount {
    let bytes: usize = match input {
        Input::Prompt(text) => text.len(),
        Input::Messages(messages) => messages.iter().map(|message| message.bytes() + BYTES_A_TOKEN).sum(),
        Input::Inputs(texts) => texts.iter().map(String::len).sum(),
        Input::Infill(infill) => infill.bytes(),
    };
    TokenCount(u32::try_from(bytes.div_ceil(BYTES_A_TOKEN)).unwrap_or(u32::MAX).max(1))
}

/// What a server without a tokenizer's endpoint can be asked to count: an estimate of the whole, good for
/// predictions, and the least the longest part can be, so that no input is refused by a guess. The server
/// itself refuses what does not fit.
#[must_use]
pub fn measured_by_estimate(input: &Input) -> Measured {
    Measured { tokens: estimated_tokens(input), longest: TokenCount(1) }
}
