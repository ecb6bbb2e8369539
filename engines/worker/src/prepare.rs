//! Makes a job ready to decode: template, tokens, limits, grammar. All of it happens beside the decode
//! loop, which it must never hold up; what is wrong with a job is said here, by field.

mod checks;

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use engine_api::admission::check_fit;
use engine_api::{MeasureError, Measured};
use generation::{
    Constraint, Determinism, EngineError, GenerateRequest, Input, KvHint, LogitBias, Message, Sampling,
    SamplingParams, TextBias, Workload, prompt_too_long,
};
use orchestrator_core::{Priority, SessionId, TaskId, TokenCount};
use worker_protocol::TaskProgress;

use crate::chat::{Conversation, OutputFormat, OutputParser, Refused, WantsGrammar};
use crate::grammar::lazy::LazyGrammar;
use crate::grammar::{AnswerGrammar, AnswerSchema, Begins, Grammar};
use crate::infill;
use crate::load::Loaded;
use crate::reasoning::ReasoningBudget;
use crate::repetition::Repetition;
use crate::sample::Settings;
use crate::vocabulary::{self, Marks};
use checks::check;

/// Set when a task is no longer wanted; looked at before each step.
#[derive(Clone, Debug, Default)]
pub struct CancelFlag(Arc<AtomicBool>);

impl CancelFlag {
    /// The task is no longer wanted.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it is no longer wanted.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Whether nobody but the holder of this one can look at it any more.
    #[must_use]
    pub fn is_last(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }
}

/// A job in tokens.
#[derive(Debug)]
pub struct Prepared {
    /// The task.
    pub task: TaskId,
    /// Its conversation.
    pub session: Option<SessionId>,
    /// Whose prompt is read first.
    pub priority: Priority,
    /// Whether the same seed must give the same tokens.
    pub determinism: Determinism,
    /// What it uses of the KV cache and leaves there.
    pub kv: KvHint,
    /// What to do.
    pub work: Work,
    /// Whether it is still wanted.
    pub canceled: CancelFlag,
    /// When it arrived.
    pub arrived: Instant,
    /// Steps for which it waited, because the KV cache had no room for it or others had the slots.
    pub pauses: u32,
}

impl Prepared {
    /// The work done for it while it waits: the steps of others, which show that its worker lives.
    #[must_use]
    pub fn progress(&self) -> TaskProgress {
        TaskProgress {
            task: self.task,
            prompt_tokens: 0,
            generated_tokens: 0,
            inputs: 0,
            pauses: self.pauses,
        }
    }
}

/// What to do with a job.
#[derive(Debug)]
pub enum Work {
    /// Go on from a prompt.
    Complete(Box<Completion>),
    /// A vector or a score of each.
    Pool(Vec<Vec<i32>>),
}

/// A prompt and how to go on from it.
#[derive(Debug)]
pub struct Completion {
    /// What is to be read: the prompt, and behind it what is written of the answer where that can be read with it.
    pub prompt: Vec<i32>,
    /// Tokens of the answer that were written before.
    pub written: Vec<i32>,
    /// The most tokens of prompt and answer together.
    pub ctx: usize,
    /// The most tokens of the answer that are still to come.
    pub max_tokens: usize,
    /// How to choose tokens.
    pub settings: Settings,
    /// Tokens made more or less likely.
    pub logit_bias: Vec<LogitBias>,
    /// Texts that end the answer.
    pub stop: Vec<String>,
    /// The start of the random numbers.
    pub seed: u64,
    /// A format the answer must have.
    pub grammar: Option<Grammar>,
    /// One that holds the answer from where it calls a tool.
    pub lazy: Option<LazyGrammar>,
    /// Special tokens whose texts are part of the answer.
    pub marks: Marks,
    /// How much the model may reason.
    pub budget: Option<ReasoningBudget>,
    /// Finds that the answer goes round in a loop, where that ends it.
    pub repetition: Option<Repetition>,
    /// How many of the most probable tokens are told beside each.
    pub logprobs: Option<u8>,
    /// Tells what the model thinks, says and calls; nothing where its text is taken as it is.
    pub parser: Option<OutputParser>,
}

impl Completion {
    /// The most tokens that prompt and answer take together.
    #[must_use]
    pub fn most_tokens(&self) -> usize {
        self.prompt.len().saturating_add(self.max_tokens).min(self.ctx)
    }
}

/// A job as it comes in.
#[derive(Debug)]
pub struct Arrival {
    /// The job.
    pub job: Arc<GenerateRequest>,
    /// Whether it is still wanted.
    pub canceled: CancelFlag,
    /// When it came.
    pub arrived: Instant,
}

/// Makes `arrival` ready.
///
/// # Errors
/// [`EngineError::Invalid`] with the field and what would be right.
pub fn prepare(loaded: &Loaded, arrival: Arrival) -> Result<Prepared, EngineError> {
    let Arrival { job, canceled, arrived } = arrival;
    let work = match job.workload {
        Workload::Completion => completion(loaded, &job).map(|work| Work::Complete(Box::new(work))),
        Workload::Embedding | Workload::Rerank => pooling(loaded, &job).map(Work::Pool),
    };
    let GenerateRequest { task, session, priority, determinism, kv, .. } = *job;
    let work = work.map_err(EngineError::Invalid)?;
    Ok(Prepared { task, session, priority, determinism, kv, work, canceled, arrived, pauses: 0 })
}

/// Counts the tokens of the job's input and finds what [`prepare`] would refuse in it. Whether it fits the
/// context to the token is for whoever knows how long the answer may be.
///
/// # Errors
/// [`MeasureError::Invalid`] with the field and what would be right.
pub fn measure(loaded: &Loaded, job: &GenerateRequest) -> Result<Measured, MeasureError> {
    let texts = check(loaded, job)
        .and_then(|()| to_read(loaded, job, Purpose::Measure))
        .and_then(|read| tokens_of(loaded, job, &read.texts))
        .map_err(MeasureError::Invalid)?;
    Ok(Measured {
        tokens: count(texts.iter().map(Vec::len).sum()),
        longest: count(texts.iter().map(Vec::len).max().unwrap_or(0)),
    })
}

fn completion(loaded: &Loaded, job: &GenerateRequest) -> Result<Completion, String> {
    check(loaded, job)?;
    let ToRead { texts, grammar, lazy, marks, stops, format } = to_read(loaded, job, Purpose::Decode)?;
    let mut prompt = tokens_of(loaded, job, &texts)?.pop().expect("a completion has one text");
    let ctx = ctx_of(loaded, job) as usize;
    let (tokens, longest) = (count(prompt.len()), count(prompt.len()));
    check_fit(job, Measured { tokens, longest }, &loaded.facts)?;
    let mut max_tokens = job.max_tokens.map_or(usize::MAX, |most| most.0 as usize);
    // The numbers of a `strict` answer depend on the shape of each call: it is decoded again as it was.
    if job.determinism != Determinism::Strict {
        prompt.extend(&job.written);
        max_tokens = max_tokens.saturating_sub(job.written.len());
    }
    let stop = job.sampling.stop.iter().cloned().chain(stops).collect();
    Ok(Completion {
        prompt,
        written: job.written.clone(),
        ctx,
        max_tokens,
        settings: settings(loaded, &job.sampling.params),
        logit_bias: logit_bias(loaded, &job.sampling),
        stop,
        seed: job.seed,
        grammar,
        lazy,
        marks,
        logprobs: job.logprobs,
        budget: format.as_ref().and_then(|format| reasoning_budget(loaded, job, format)),
        repetition: Repetition::new(job.loop_limit, loaded.facts.model.parameters),
        parser: format.as_ref().map(OutputParser::new).transpose()?,
    })
}

/// Texts over which no repeated sequence goes, where nobody names others: what separates lines, names and quoted text.
const SEQUENCE_BREAKERS: [&str; 4] = ["\n", ":", "\"", "*"];

/// How tokens are chosen: as the job says, then the model's own file, then the built-in numbers.
fn settings(loaded: &Loaded, asked: &SamplingParams) -> Settings {
    let params = asked.or(&loaded.sampling);
    let is_dry = params.dry_multiplier.is_some_and(|multiplier| multiplier > 0.0);
    let breakers = match &params.dry_sequence_breakers {
        _ if !is_dry => Vec::new(),
        Some(texts) => loaded.vocabulary.with_any(texts),
        None => loaded.vocabulary.with_any(&SEQUENCE_BREAKERS),
    };
    Settings::new(&params, breakers.into())
}

/// The biases of tokens, and those of texts for each of their tokens.
fn logit_bias(loaded: &Loaded, sampling: &Sampling) -> Vec<LogitBias> {
    let of_text = |TextBias { text, bias }: &TextBias| {
        let bias = *bias;
        vocabulary::tokenize_within(loaded.model, text)
            .into_iter()
            .map(move |token| LogitBias { token, bias })
    };
    sampling.logit_bias.iter().copied().chain(sampling.text_bias.iter().flat_map(of_text)).collect()
}

/// The budget of the answer's reasoning, where the job has one and the model reasons between tags.
fn reasoning_budget(
    loaded: &Loaded,
    job: &GenerateRequest,
    format: &OutputFormat,
) -> Option<ReasoningBudget> {
    let budget = job.reasoning.budget?;
    // What is switched off has nothing to close, unless a template cannot switch it off.
    if job.reasoning.enabled == Some(false) && budget.0 > 0 {
        return None;
    }
    let tags = format.reasoning_tags();
    let closing = vocabulary::tokenize_within(loaded.model, tags.ends.first()?);
    ReasoningBudget::new(tags, closing, budget.0 as usize)
}

fn pooling(loaded: &Loaded, job: &GenerateRequest) -> Result<Vec<Vec<i32>>, String> {
    check(loaded, job)?;
    let texts = tokens_of(loaded, job, &to_read(loaded, job, Purpose::Decode)?.texts)?;
    let ctx = ctx_of(loaded, job) as usize;
    match texts.iter().enumerate().find(|(_, tokens)| tokens.len() > ctx) {
        None => Ok(texts),
        Some((at, tokens)) => {
            let count = tokens.len();
            let (at, together) = match job.workload {
                Workload::Rerank => (at + 1, " together with the query"),
                _ => (at, ""),
            };
            Err(format!(
                "`inputs[{at}]` takes {count} tokens{together}; this model takes 1 to {ctx} at a time"
            ))
        }
    }
}

/// Tokens that the job's context holds.
fn count(tokens: usize) -> TokenCount {
    TokenCount(u32::try_from(tokens).unwrap_or(u32::MAX))
}

fn ctx_of(loaded: &Loaded, job: &GenerateRequest) -> u32 {
    job.ctx.unwrap_or(loaded.facts.ctx).0
}

/// The field that the input's text number `at` came in.
fn field_of(input: &Input, at: usize) -> String {
    match input {
        Input::Prompt(_) | Input::Infill(_) => "prompt".into(),
        Input::Messages(_) => "messages".into(),
        Input::Inputs(_) => format!("inputs[{at}]"),
    }
}

fn tokens_of(
    loaded: &Loaded,
    job: &GenerateRequest,
    texts: &[Cow<'_, str>],
) -> Result<Vec<Vec<i32>>, String> {
    if let Input::Infill(infill) = &*job.input {
        let room = infill_room(loaded, job);
        return infill::prompt(loaded.model, infill, room).map(|prompt| vec![prompt]);
    }
    // Before anything is tokenised: what is too long by its bytes alone should cost nothing.
    let ctx = ctx_of(loaded, job).min(loaded.facts.ctx.0) as usize;
    for (at, text) in texts.iter().enumerate() {
        let least = loaded.vocabulary.least_tokens(text.len());
        if least > ctx {
            if job.workload == Workload::Completion {
                return Err(prompt_too_long(count(least), count(ctx)));
            }
            return Err(format!(
                "`{}` has {} bytes, which take at least {least} tokens, and the context holds {ctx}: shorten it",
                field_of(&job.input, at),
                text.len()
            ));
        }
    }
    let read = |(at, text): (usize, &Cow<'_, str>)| {
        let tokens = vocabulary::tokenize(loaded.model, text);
        if tokens.is_empty() {
            let field = field_of(&job.input, at);
            return Err(format!("`{field}` is empty: it must hold at least one token"));
        }
        Ok(tokens)
    };
    if job.workload == Workload::Rerank {
        return Ok(pairs(loaded, texts));
    }
    texts.iter().enumerate().map(read).collect()
}

/// Tokens that a prompt with a gap may take: what the answer may leave of the context, and half of it at least.
fn infill_room(loaded: &Loaded, job: &GenerateRequest) -> usize {
    let ctx = ctx_of(loaded, job).min(loaded.facts.ctx.0) as usize;
    let answer = job.max_tokens.map_or(ctx / 4, |most| most.0 as usize);
    ctx.saturating_sub(answer.min(ctx / 2) + 1)
}

/// The query with each document, as the model was taught to read them.
fn pairs(loaded: &Loaded, texts: &[Cow<'_, str>]) -> Vec<Vec<i32>> {
    let Some((query, documents)) = texts.split_first() else { return Vec::new() };
    documents.iter().map(|document| vocabulary::pair(loaded.model, query, document)).collect()
}

/// What the model is to read, and how it answers.
#[derive(Default)]
struct ToRead<'a> {
    texts: Vec<Cow<'a, str>>,
    grammar: Option<Grammar>,
    /// One that holds the answer from where it calls a tool.
    lazy: Option<LazyGrammar>,
    /// Special tokens whose texts are part of the answer.
    marks: Marks,
    /// Texts that end the answer.
    stops: Vec<String>,
    /// How the answer is read; nothing where it is taken as it is.
    format: Option<OutputFormat>,
}

/// What is done with a job next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Measure,
    Decode,
}

fn to_read<'a>(loaded: &Loaded, job: &'a GenerateRequest, purpose: Purpose) -> Result<ToRead<'a>, String> {
    let texts = match &*job.input {
        Input::Prompt(_) | Input::Infill(_) if job.extra_body.is_some() => {
            return Err(
                "`chat_template_kwargs` go to the chat template: send `messages` with them".to_owned()
            );
        }
        Input::Prompt(prompt) => vec![prompt.into()],
        // Its tokens are no text's.
        Input::Infill(_) => Vec::new(),
        Input::Inputs(inputs) => inputs.iter().map(Cow::from).collect(),
        Input::Messages(messages) => return chat(loaded, job, messages, purpose),
    };
    let grammar = match &job.sampling.constraint {
        Some(Constraint::Grammar(text)) => Some(Grammar::compile(loaded.model, text)?),
        Some(Constraint::JsonSchema(text)) => Some(Grammar::of_schema(loaded.model, text)?),
        None => None,
    };
    Ok(ToRead { texts, grammar, ..ToRead::default() })
}

/// The prompt that the chat template makes of the job's conversation.
///
/// # Errors
/// The field and what would be right.
pub fn rendered(loaded: &Loaded, job: &GenerateRequest) -> Result<String, String> {
    check(loaded, job)?;
    let read = to_read(loaded, job, Purpose::Measure)?;
    Ok(read.texts.into_iter().next().unwrap_or_default().into_owned())
}

/// A conversation through the model's chat template.
fn chat<'a>(
    loaded: &Loaded,
    job: &'a GenerateRequest,
    messages: &'a [Message],
    purpose: Purpose,
) -> Result<ToRead<'a>, String> {
    if messages.is_empty() {
        return Err("`messages` is empty: it must hold at least one message".into());
    }
    let name = &loaded.facts.model.name;
    let template = match &loaded.template {
        None => {
            return Err(format!("`messages`: the model `{name}` has no chat template; send a `prompt`"));
        }
        Some(Err(why)) => {
            return Err(format!("`messages`: the chat template of `{name}` is broken: {why}"));
        }
        Some(Ok(template)) => template,
    };
    let arguments = job.extra_body.as_ref().and_then(|own| own.template.as_deref());
    let arguments = arguments.map(|text| template.arguments(text)).transpose()?.unwrap_or_default();
    let schema = match &job.sampling.constraint {
        Some(Constraint::JsonSchema(schema)) => Some(AnswerSchema::convert(schema)?),
        Some(Constraint::Grammar(_)) | None => None,
    };
    let rendered = template
        .render(&Conversation {
            messages,
            tools: &job.tools,
            schema: schema.as_ref(),
            reasoning: &job.reasoning,
            continues: job.continue_final_message,
            arguments: &arguments,
            grammar: WantsGrammar::Yes,
        })
        .map_err(|refused| match refused {
            Refused::Field(why) => why,
            Refused::Template(why) => {
                format!("`messages`: the chat template of `{name}` refuses them: {why}")
            }
        })?;
    let texts = vec![rendered.prompt.into()];
    if let Some(Constraint::Grammar(text)) = &job.sampling.constraint {
        // It holds the whole answer, whatever the model's format is.
        let grammar = Some(Grammar::compile(loaded.model, text)?);
        return Ok(ToRead { texts, grammar, ..ToRead::default() });
    }
    let marks = loaded.vocabulary.marks(&rendered.format.preserved_tokens);
    let field = if job.tools.are_forced() || job.sampling.constraint.is_none() {
        "tools"
    } else {
        "sampling.json_schema"
    };
    let compiled = |grammar| Grammar::of_answer(loaded.model, grammar, field, marks.clone());
    let strict = job.tools.offered.iter().any(|tool| tool.strict);
    let (mut grammar, mut lazy) = (None, None);
    match rendered.grammar {
        // What the model may call, it may also call in a way that no grammar can follow.
        Some(AnswerGrammar { begins: Begins::AtCall(_), .. }) if purpose == Purpose::Measure && !strict => {}
        Some(AnswerGrammar { begins: Begins::AtCall(ref calls), .. }) => {
            let compiled = match rendered.grammar.as_ref().map(compiled).transpose() {
                Err(why) if strict => return Err(why),
                compiled => compiled.ok().flatten(),
            };
            lazy = compiled.map(|compiled| LazyGrammar::new(compiled, calls.clone()));
        }
        Some(ref bound) => grammar = Some(compiled(bound)?),
        None => {}
    }
    Ok(ToRead { texts, grammar, lazy, marks, stops: rendered.stops, format: Some(rendered.format) })
}
