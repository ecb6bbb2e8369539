//! `run`: one prompt, one answer; with a model alone on a terminal, a conversation.
//!
//! Rules: ORCH-CLI-1, ORCH-CLI-17, ORCH-CLI-22

use std::time::Duration;

use api_types::{Determinism, Message, Priority, Role, Sampling, TaskRequest};
use uuid::Uuid;

use crate::answer::{self, Ask, Ending, Form, Stats};
use crate::args::{ChatArgs, Generation, RunArgs};
use crate::chat;
use crate::context::{Context, Stop};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::input::{self, Source};

mod words;

use words::Words;

/// How long standard input may say nothing before a person is told what is waited for.
const SILENT_INPUT: Duration = Duration::from_secs(1);

/// The least characters of what stands around a file.
const FENCE_CHARS: usize = 3;

/// Asks and prints the answer.
///
/// # Errors
/// Whatever kept the answer from being whole.
pub async fn run(cx: &mut Context, mut args: RunArgs) -> Result<Exit, Stop> {
    // Before anything is asked: a name that is mistyped is said at once.
    let files = files(&args)?;
    let Words { model, prompt } = words::read(cx, &args).await?;
    if let Some(model) = &model {
        args.generation.model = Some(model.clone());
    }
    if model.is_some() && prompt.is_none() && is_conversation(&args) {
        return chat::chat(cx, conversation(args)).await;
    }
    let ended = ask_once(cx, args, prompt.as_deref(), &files).await;
    match (ended, model) {
        (Err(Stop::Failure(failure)), Some(model)) => Err(words::explain(failure, &model).into()),
        (ended, _) => ended,
    }
}

/// Whether a person is there, and nothing is asked for that a conversation has not.
fn is_conversation(args: &RunArgs) -> bool {
    input::source() == Source::Terminal
        && args.files.is_empty()
        && args.session.is_none()
        && !args.raw
        && !args.batch
}

fn conversation(args: RunArgs) -> ChatArgs {
    let RunArgs { system, json, stats, generation, patience, .. } = args;
    ChatArgs { system, no_history: false, json, stats, generation, patience }
}

async fn ask_once(cx: &mut Context, args: RunArgs, typed: Option<&str>, files: &str) -> Result<Exit, Stop> {
    let prompt = prompt(cx, &args, typed, files).await?;
    let ask = Ask {
        patience: args.patience.bound(),
        form: if args.json { Form::Json } else { Form::Text },
        stats: if args.stats { Stats::Asked } else { Stats::Auto },
        request: request(args, prompt),
    };
    let answer = answer::answer(cx, &ask).await?;
    Ok(match answer.ending {
        Ending::Complete => Exit::Done,
        Ending::Interrupted(exit) => exit,
    })
}

/// The prompt: what is typed, standard input and files, with an empty line between.
async fn prompt(cx: &mut Context, args: &RunArgs, given: Option<&str>, files: &str) -> Result<String, Stop> {
    let typed = given.filter(|typed| *typed != "-");
    let source = input::source();
    let prompt = match (typed, source) {
        (None, Source::Terminal | Source::Nothing) if !files.is_empty() && given.is_none() => String::new(),
        (Some(typed), Source::Terminal | Source::Nothing) => typed.to_owned(),
        (Some(typed), Source::Content) => {
            let content =
                read(cx, "reading standard input below the prompt; `< /dev/null` leaves it out").await?;
            join(typed, &content)
        }
        (None, Source::Terminal) if given.is_none() => {
            cx.ui.note("type the prompt; Ctrl-D on a line of its own ends it");
            read(cx, "").await?
        }
        (None, _) => read(cx, "reading the prompt from standard input").await?,
    };
    let prompt = join(&prompt, files);
    // The end of the last line belongs to the file, not to the prompt; the model is given `--raw` text as is.
    let prompt = if args.raw { prompt } else { prompt.trim_end_matches(['\r', '\n']).to_owned() };
    if prompt.trim().is_empty() {
        return Err(Failure::new(Exit::Usage, "the prompt is empty")
            .hint("give it as an argument, `llama-orch run \"Why is the sky blue?\"`, or through standard input")
            .into());
    }
    Ok(prompt)
}

/// One below the other, with an empty line between; what is empty is left out.
fn join(above: &str, below: &str) -> String {
    match (above.trim().is_empty(), below.trim().is_empty()) {
        (_, true) => above.to_owned(),
        (true, false) => below.to_owned(),
        (false, false) => format!("{}\n\n{below}", above.trim_end_matches(['\r', '\n'])),
    }
}

/// The files that are named, each below its name and between fences; with `--raw` as they are.
fn files(args: &RunArgs) -> Result<String, Failure> {
    let mut all = String::new();
    for path in &args.files {
        let text = input::read_file(path)?;
        let block = if args.raw { text } else { fenced(&path.display().to_string(), &text) };
        all = join(&all, &block);
    }
    Ok(all)
}

/// A text between fences that are longer than any in it.
fn fenced(name: &str, text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or_default();
    let fence = "`".repeat(FENCE_CHARS.max(longest + 1));
    format!("{name}:\n{fence}\n{}\n{fence}", text.trim_end_matches(['\r', '\n']))
}

/// Reads standard input, and says what is waited for when nothing comes.
async fn read(cx: &mut Context, what: &str) -> Result<String, Stop> {
    let mut read = std::pin::pin!(input::read_all());
    let mut silent = std::pin::pin!(tokio::time::sleep(SILENT_INPUT));
    let mut told = what.is_empty();
    loop {
        tokio::select! {
            biased;
            exit = cx.interrupts.next() => return Err(Stop::Signal(exit)),
            text = &mut read => return Ok(text?),
            () = &mut silent, if !told => {
                cx.ui.live(what);
                told = true;
            }
        }
    }
}

fn request(args: RunArgs, prompt: String) -> TaskRequest {
    let (prompt, messages) = if args.raw {
        (Some(prompt), None)
    } else {
        let system = args.system.map(|content| Message { role: Role::System, content });
        let user = Message { role: Role::User, content: prompt };
        (None, Some(system.into_iter().chain([user]).collect()))
    };
    TaskRequest {
        prompt,
        messages,
        priority: args.batch.then_some(Priority::Batch),
        session_id: args.session,
        ..base_request(&args.generation)
    }
}

/// A task with a fresh id and with what `generation` says; the caller adds what to ask.
pub fn base_request(generation: &Generation) -> TaskRequest {
    let Generation { model, max_tokens, temperature, top_p, seed, strict } = generation.clone();
    let given = temperature.is_some() || top_p.is_some();
    TaskRequest {
        task_id: Some(Uuid::new_v4()),
        model_ref: model,
        max_tokens,
        seed,
        determinism: strict.then_some(Determinism::Strict),
        sampling: given.then(|| Sampling { temperature, top_p, ..Sampling::default() }),
        ..TaskRequest::default()
    }
}
