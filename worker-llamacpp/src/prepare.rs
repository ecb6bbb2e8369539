//! Makes a job ready to decode: template, tokens, limits, grammar. All of it happens beside the decode
//! loop, which it must never hold up; what is wrong with a job is said here, by field.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use adapter_api::{Determinism, EngineError, Input, Job, KvHint, MeasureError, Measured, Sampling, Workload};
use orchestrator_core::{Priority, SessionId, TaskId, TokenCount};

use crate::grammar::Grammar;
use crate::load::Loaded;
use crate::vocabulary;

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
}

/// What to do with a job.
#[derive(Debug)]
pub enum Work {
    /// Go on from a prompt.
    Complete(Box<Completion>),
    /// A vector of each.
    Embed(Vec<Vec<i32>>),
}

/// A prompt and how to go on from it.
#[derive(Debug)]
pub struct Completion {
    /// The prompt.
    pub prompt: Vec<i32>,
    /// The most tokens of prompt and answer together.
    pub ctx: usize,
    /// The most tokens of the answer.
    pub max_tokens: usize,
    /// How to choose tokens.
    pub sampling: Sampling,
    /// The start of the random numbers.
    pub seed: u64,
    /// A form the answer must have.
    pub grammar: Option<Grammar>,
}

/// A job as it comes in.
#[derive(Debug)]
pub struct Arrival {
    /// The job.
    pub job: Box<Job>,
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
        Workload::Embedding => embedding(loaded, &job).map(Work::Embed),
        Workload::Rerank => Err(not_offered(loaded, Workload::Rerank)),
    };
    let Job { task, session, priority, determinism, kv, .. } = *job;
    let work = work.map_err(EngineError::Invalid)?;
    Ok(Prepared { task, session, priority, determinism, kv, work, canceled, arrived })
}

/// Counts the tokens of `input` as a job with it would.
///
/// # Errors
/// [`MeasureError::Invalid`] with the field and what would be right.
pub fn measure(loaded: &Loaded, input: &Input) -> Result<Measured, MeasureError> {
    let texts = tokens_of(loaded, input).map_err(MeasureError::Invalid)?;
    let count = |tokens: usize| TokenCount(u32::try_from(tokens).unwrap_or(u32::MAX));
    Ok(Measured {
        tokens: count(texts.iter().map(Vec::len).sum()),
        longest: count(texts.iter().map(Vec::len).max().unwrap_or(0)),
    })
}

fn completion(loaded: &Loaded, job: &Job) -> Result<Completion, String> {
    if loaded.embeds() {
        return Err(not_offered(loaded, Workload::Completion));
    }
    check_sampling(&job.sampling, loaded)?;
    let field = match &job.input {
        Input::Prompt(_) => "prompt",
        Input::Messages(_) => "messages",
        Input::Inputs(_) => {
            return Err("`inputs` are to be embedded; a completion takes `prompt` or `messages`".into());
        }
    };
    let slot = loaded.facts.ctx.0;
    let ctx = job.ctx.map_or(slot, |ctx| ctx.0);
    if ctx == 0 || ctx > slot {
        return Err(format!("`ctx` is {ctx}; a slot of this model holds 1 to {slot} tokens"));
    }
    let prompt = tokens_of(loaded, &job.input)?.pop().unwrap_or_default();
    if prompt.is_empty() {
        return Err(format!("`{field}` is empty: it must hold at least one token"));
    }
    if prompt.len() >= ctx as usize {
        let count = prompt.len();
        return Err(format!(
            "`{field}` takes {count} tokens and the context holds {ctx}: at most {} leave room for an answer",
            ctx - 1
        ));
    }
    let grammar =
        job.sampling.constraint.as_ref().map(|constraint| Grammar::compile(loaded.model, constraint));
    Ok(Completion {
        prompt,
        ctx: ctx as usize,
        max_tokens: job.max_tokens.map_or(usize::MAX, |most| most.0 as usize),
        sampling: job.sampling.clone(),
        seed: job.seed,
        grammar: grammar.transpose()?,
    })
}

fn embedding(loaded: &Loaded, job: &Job) -> Result<Vec<Vec<i32>>, String> {
    if !loaded.embeds() {
        return Err(not_offered(loaded, Workload::Embedding));
    }
    let Input::Inputs(_) = &job.input else { return Err("an embedding takes `inputs`".into()) };
    let texts = tokens_of(loaded, &job.input)?;
    let ctx = loaded.facts.ctx.0 as usize;
    for (at, tokens) in texts.iter().enumerate() {
        if tokens.is_empty() || tokens.len() > ctx {
            let count = tokens.len();
            return Err(format!(
                "`inputs[{at}]` takes {count} tokens; this model takes 1 to {ctx} at a time"
            ));
        }
    }
    Ok(texts)
}

fn tokens_of(loaded: &Loaded, input: &Input) -> Result<Vec<Vec<i32>>, String> {
    let tokens = |text: &str| vocabulary::tokenize(loaded.model, text);
    Ok(match input {
        Input::Prompt(prompt) => vec![tokens(prompt)],
        Input::Inputs(inputs) => inputs.iter().map(|input| tokens(input)).collect(),
        Input::Messages(messages) => {
            if messages.is_empty() {
                return Err("`messages` is empty: it must hold at least one message".into());
            }
            let name = &loaded.facts.model.name;
            let template = match &loaded.template {
                None => {
                    return Err(format!(
                        "`messages`: the model `{name}` has no chat template; send a `prompt`"
                    ));
                }
                Some(Err(why)) => {
                    return Err(format!("`messages`: the chat template of `{name}` is broken: {why}"));
                }
                Some(Ok(template)) => template,
            };
            let text = template.render(messages);
            let text =
                text.map_err(|why| format!("`messages`: the chat template of `{name}` refuses them: {why}"))?;
            vec![tokens(&text)]
        }
    })
}

fn not_offered(loaded: &Loaded, workload: Workload) -> String {
    let offered: Vec<String> =
        loaded.facts.workloads.iter().map(|workload| format!("`{}`", workload.as_str())).collect();
    format!(
        "`workload` `{}` is not offered by this model; it offers {}",
        workload.as_str(),
        offered.join(", ")
    )
}

fn check_sampling(how: &Sampling, loaded: &Loaded) -> Result<(), String> {
    let within = |field: &str, value: f32, low: f32, high: f32| {
        if value >= low && value <= high {
            Ok(())
        } else {
            Err(format!("`{field}` is {value}; {low} to {high} would be right"))
        }
    };
    within("temperature", how.temperature, 0.0, 100.0)?;
    within("top_p", how.top_p, 0.0, 1.0)?;
    within("min_p", how.min_p, 0.0, 1.0)?;
    within("repeat_penalty", how.repeat_penalty, 0.01, 100.0)?;
    for bias in &how.logit_bias {
        if !loaded.vocabulary.contains(bias.token) {
            let last = loaded.vocabulary.len() - 1;
            return Err(format!("`logit_bias` names the token {}; this model has 0 to {last}", bias.token));
        }
        if bias.bias.is_nan() {
            return Err(format!("`logit_bias` of the token {} is not a number", bias.token));
        }
    }
    Ok(())
}
