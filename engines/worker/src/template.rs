//! The chat template of a model: its own, or another one in its place.
//!
//! Rules: ORCH-MODEL-4, ORCH-ENG-32, ORCH-ENG-33

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use engine_api::StartError;
use engine_api::load_options::{LoadOptions, TemplateSource};
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::token::LlamaToken;

use crate::chat::{ChatTemplate, SpecialTexts};

/// What the thread that compiles a template sends.
const ONE_RESULT: usize = 1;

/// How long a chat template may run when it is compiled: far longer than any sensible one does.
const TEMPLATE_LIMIT: Duration = Duration::from_secs(30);

/// A template, or why it cannot be used; nothing where there is none.
pub type Template = Option<Result<ChatTemplate, String>>;

/// The template that conversations with `model` are rendered with. What is wrong with the model's own is kept for those
/// who need it; what is wrong with one in its place is an error.
///
/// # Errors
/// A template that does not come to an end, one of `options` that is broken, and arguments of it that are wrong.
pub fn of(model: &LlamaModel, options: &LoadOptions) -> Result<Template, StartError> {
    let special = special_texts(model);
    let template = match (&options.chat_template, model.chat_template(None)) {
        (Some(TemplateSource { name, text }), _) => {
            let broken =
                |why: String| StartError::Model(format!("the chat template `{name}` is broken: {why}"));
            let compiled = compile(text.clone(), special, &format!("the chat template `{name}`"))?;
            Some(Ok(compiled.map_err(broken)?))
        }
        (None, Ok(source)) => Some(match source.to_str() {
            Ok(source) => compile(source.to_owned(), special, "the model's chat template")?,
            Err(_) => Err("it is not UTF-8".into()),
        }),
        (None, Err(_)) => None,
    };
    match (&options.template_kwargs, template) {
        (Some(kwargs), Some(Ok(template))) => {
            template.with_defaults(kwargs).map(|template| Some(Ok(template))).map_err(StartError::Model)
        }
        (Some(_), None) => Err(StartError::Model(
            "`template_kwargs` are set, and the model has no chat template: leave them out, or set `chat_template`"
                .to_owned(),
        )),
        (_, template) => Ok(template),
    }
}

fn special_texts(model: &LlamaModel) -> SpecialTexts {
    let vocab = model.vocab();
    let text = |token: LlamaToken| {
        if token.0 < 0 {
            return String::new();
        }
        String::from_utf8_lossy(&vocab.token_to_piece(token, true, None)).into_owned()
    };
    SpecialTexts { bos: text(vocab.bos()), eos: text(vocab.eos()) }
}

/// Compiles a template, which runs it. One that never ends takes the process with it.
fn compile(
    source: String,
    special: SpecialTexts,
    name: &str,
) -> Result<Result<ChatTemplate, String>, StartError> {
    let (done, result) = mpsc::sync_channel(ONE_RESULT);
    thread::spawn(move || {
        // Nobody waits for it any more where it took too long.
        let _ = done.send(ChatTemplate::compile(source, &special));
    });
    result.recv_timeout(TEMPLATE_LIMIT).map_err(|_| {
        StartError::Model(format!(
            "{name} does not come to an end: it ran for {} s",
            TEMPLATE_LIMIT.as_secs()
        ))
    })
}
