//! What the words behind `run` are: a model, a prompt, or both.
//!
//! Rules: ORCH-CLI-22

use crate::args::RunArgs;
use crate::context::{Context, Stop};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::input::{self, Source};
use crate::models::names;
use crate::pools;

/// The words, told apart.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Words {
    /// The model that they name.
    pub model: Option<String>,
    pub prompt: Option<String>,
}

/// Tells them apart. The daemon is asked only about a word that stands alone and may be a model's name.
///
/// # Errors
/// The daemon cannot be asked, or a signal came.
pub async fn read(cx: &mut Context, args: &RunArgs) -> Result<Words, Stop> {
    let prompt = |words: &[String]| Some(words.join(" "));
    match args.words.as_slice() {
        [] => Ok(Words::default()),
        words if args.generation.model.is_some() => Ok(Words { model: None, prompt: prompt(words) }),
        [model, words @ ..] if !words.is_empty() => {
            Ok(Words { model: Some(model.clone()), prompt: prompt(words) })
        }
        [word, ..] if may_be_a_model(word) && brings_a_prompt(args) && is_served(cx, word).await? => {
            Ok(Words { model: Some(word.clone()), prompt: None })
        }
        words => Ok(Words { model: None, prompt: prompt(words) }),
    }
}

fn may_be_a_model(word: &str) -> bool {
    !word.is_empty() && word != "-" && !word.contains(char::is_whitespace)
}

/// Whether a prompt may come from elsewhere, so that the word can be something else.
fn brings_a_prompt(args: &RunArgs) -> bool {
    !args.files.is_empty() || input::source() != Source::Nothing
}

async fn is_served(cx: &mut Context, word: &str) -> Result<bool, Stop> {
    let health = pools::ask(cx).await?;
    Ok(pools::serves(&health, word))
}

/// A refusal of a model that the words name, with what may have been meant.
pub fn explain(failure: Failure, model: &str) -> Failure {
    if failure.exit != Exit::Refused || !failure.message.starts_with("`model_ref` is ") {
        return failure;
    }
    let mut hint = format!(
        "the first of several words is the model, here `{model}`: put a prompt that has several words in quotes\n\
         `llama-orch models` lists what is served; a pool of llama-orch.yaml or `llama-orch reload POOL MODEL` serves more"
    );
    if let Some(other) = names::hint(model).filter(|_| model.contains([':', '/', '.'])) {
        hint.push('\n');
        hint.push_str(&other);
    }
    failure.hint(hint)
}
