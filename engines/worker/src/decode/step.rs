//! One step: the next token of every running sequence and as much of the prompts as the budget allows, in
//! one call to llama.cpp, so that its weights are read once for all of them.
//!
//! Rules: ORCH-WORKER-1, ORCH-REPL-18

use generation::{EngineError, Finish, OutputChunk};
use llama_cpp_2::DecodeError;
use llama_cpp_2::token::LlamaToken;
use orchestrator_core::Priority;
use worker_protocol::{TaskEvent, TaskUpdate};

use super::slot::Task;
use super::strict::StrictLane;
use super::{DecodeLoop, sequence};
use crate::budget::{Plan, StepShape, Strict, Wants};
use crate::chat::{OutputParser, Parsed};
use crate::clock;
use crate::grammar::lazy::Waited;
use crate::heartbeat::CallWatch;
use crate::log::{self, Level};
use crate::reasoning::ReasoningBudget;
use crate::sample::{self, Draw, Scratch};
use crate::text::Pushed;
use crate::vocabulary::Vocabulary;

/// What one slot contributes to a call.
#[derive(Clone, Copy, Debug)]
struct Share {
    slot: usize,
    tokens: usize,
    /// The row of the call's output to choose the next token by; none while the prompt goes on.
    row: Option<i32>,
}

/// How a call ended that gave no result.
#[derive(Debug)]
enum CallError {
    /// For a cancel or a more urgent prompt. What it computed is gone.
    Interrupted,
    Failed(String),
}

/// What llama.cpp returns of a call that its callback aborted.
const ABORTED: i32 = 2;

/// What choosing a token led to.
enum Chosen {
    GoOn(Option<OutputChunk>),
    End(Option<OutputChunk>, Finish),
}

impl DecodeLoop {
    /// Runs one step, if there is anything to compute.
    pub(super) fn step(&mut self) {
        let started = clock::now();
        let paused = self.paused();
        let mut shares = self.writing(&paused);
        let decoding = shares.len();
        let plan = self.budget.plan(self.wants(decoding));
        let reading = self.add_reading(&mut shares, plan);
        self.make_room(shares.iter().map(|share| share.tokens).sum());
        for at in paused {
            if let Some(task) = &mut self.slots[at].task {
                task.paused = task.paused.saturating_add(1);
            }
        }
        if !shares.is_empty() && !self.compute(&shares) {
            self.budget.interrupted();
            return;
        }
        // A strict sequence is not in this batch, and its time is no measure of it.
        let took = clock::now().duration_since(started);
        self.budget.observe(StepShape { decoding, reading }, took);
        self.tidy(decoding + reading);
        let mut strict = 0;
        while strict < plan.strict {
            strict += 1;
            if !self.strict_step() {
                break;
            }
        }
        if log::is_wanted(Level::Debug) {
            let shown = [decoding, reading, strict].map(|count| count.to_string());
            let fields = [("decoding", &*shown[0]), ("reading", &*shown[1]), ("strict", &*shown[2])];
            log::line(Level::Debug, "step", &fields);
        }
    }

    /// What waits to be done.
    fn wants(&self, decoding: usize) -> Wants {
        let mut wants = Wants { decoding, ..Wants::default() };
        let strict = self.strict.slot();
        for (at, slot) in self.slots.iter().enumerate() {
            let Some(task) = &slot.task else { continue };
            let interactive = task.priority == Priority::Interactive;
            let reading = task.is_reading();
            if strict == Some(at) {
                wants.strict = Some(Strict { reading, interactive });
            } else if reading {
                let waiting = task.prompt.len() - task.read;
                *(if interactive { &mut wants.interactive } else { &mut wants.batch }) += waiting;
            }
            wants.interactive_streams += usize::from(interactive && !reading);
        }
        wants
    }

    /// A share for each sequence with a next token, but for those that pause.
    fn writing(&self, paused: &[usize]) -> Vec<Share> {
        let strict = self.strict.slot();
        let writes = |at: &usize| {
            strict != Some(*at)
                && !paused.contains(at)
                && self.slots[*at].task.as_ref().is_some_and(|task| !task.is_reading())
        };
        (0..self.slots.len()).filter(writes).map(|slot| Share { slot, tokens: 1, row: None }).collect()
    }

    /// Adds shares for prompts: in each lane the first to come first. The tokens added.
    fn add_reading(&self, shares: &mut Vec<Share>, plan: Plan) -> usize {
        let strict = self.strict.slot();
        let mut waiting: Vec<_> = self
            .slots
            .iter()
            .enumerate()
            .filter(|(at, _)| strict != Some(*at))
            .filter_map(|(at, slot)| {
                slot.task.as_ref().filter(|task| task.is_reading()).map(|task| (at, task))
            })
            .collect();
        waiting.sort_by_key(|(at, task)| (task.times.arrived, *at));
        let mut left = plan;
        for (slot, task) in waiting {
            let left = match task.priority {
                Priority::Interactive => &mut left.interactive,
                Priority::Batch => &mut left.batch,
            };
            let tokens = (*left).min(task.prompt.len() - task.read);
            if tokens > 0 {
                shares.push(Share { slot, tokens, row: None });
                *left -= tokens;
            }
        }
        plan.interactive + plan.batch - left.interactive - left.batch
    }

    /// Decodes the shares in one call and goes on with every sequence that has a result. A call that fails
    /// is repeated for each sequence by itself, so that one cannot take the others with it. Whether it was not
    /// interrupted.
    fn compute(&mut self, shares: &[Share]) -> bool {
        let mut shares = shares.to_vec();
        match self.watched_call(&mut shares) {
            Ok(()) => self.go_on(&shares),
            Err(CallError::Interrupted) => {
                log::line(Level::Debug, "a call was interrupted", &[]);
                // llama.cpp has taken the tokens out of the cache already, where the call got as far.
                shares.iter().for_each(|share| self.trim(share.slot));
                return false;
            }
            Err(CallError::Failed(why)) => {
                log::line(
                    Level::Warn,
                    "a decode call failed",
                    &[("reason", &why), ("sequences", &shares.len().to_string())],
                );
                for share in &shares {
                    self.trim(share.slot);
                }
                if let [only] = shares[..] {
                    self.end(only.slot, Finish::Failed(EngineError::Decode(why)));
                    return true;
                }
                for share in shares {
                    self.compute(&[share]);
                }
            }
        }
        true
    }

    /// A call that a cancel of one of its tasks ends, and an interactive task when only batch prompts are read
    /// and there is a slot for it. A call that decodes is short, and is not interrupted.
    fn watched_call(&mut self, shares: &mut [Share]) -> Result<(), CallError> {
        let tasks = || shares.iter().filter_map(|share| Some((self.slots[share.slot].task.as_ref()?, share)));
        let mut watch = CallWatch {
            tokens: shares.iter().map(|share| share.tokens).sum(),
            reads: tasks()
                .filter(|(task, _)| task.is_reading())
                .map(|(task, share)| (task.progress(), share.tokens))
                .collect(),
            ..CallWatch::default()
        };
        if self.budget.may_interrupt() && tasks().all(|(task, _)| task.is_reading()) {
            let urgent = tasks().any(|(task, _)| task.priority == Priority::Interactive);
            watch.yields = !urgent && self.slots.iter().any(|slot| slot.task.is_none());
            watch.canceled = tasks().map(|(task, _)| task.canceled.clone()).collect();
        }
        self.loaded.heartbeat.begin(watch, clock::now());
        let result = self.call(shares);
        self.loaded.heartbeat.end(result.is_ok(), clock::now());
        result
    }

    /// Takes out of the cache what a failed call may have put there.
    fn trim(&mut self, slot: usize) {
        let end = u32::try_from(self.slots[slot].cached.len()).expect("a cache is smaller than 2^32 tokens");
        if self.context.kv_cache_seq_rm(sequence(slot), Some(end), None).is_err() {
            log::line(Level::Error, "the KV cache cannot be cut", &[("slot", &slot.to_string())]);
        }
    }

    fn call(&mut self, shares: &mut [Share]) -> Result<(), CallError> {
        self.batch.clear();
        for share in shares.iter_mut() {
            let slot = &self.slots[share.slot];
            let Some(task) = &slot.task else { continue };
            let mut add = |token: i32, at: usize, output: bool| {
                let position = i32::try_from(slot.cached.len() + at).expect("a context is smaller than 2^31");
                self.batch
                    .add(LlamaToken(token), position, &[sequence(share.slot)], output)
                    .map_err(|error| CallError::Failed(error.to_string()))
            };
            match task.next {
                Some(token) => add(token, 0, true)?,
                None => {
                    for at in 0..share.tokens {
                        let place = task.read + at;
                        add(task.prompt[place], at, place + 1 == task.prompt.len())?;
                    }
                }
            }
            let ends = task.next.is_some() || task.read + share.tokens == task.prompt.len();
            share.row = ends.then(|| self.batch.n_tokens() - 1);
        }
        self.context.decode(&mut self.batch).map_err(|error| match error {
            DecodeError::Unknown(ABORTED) => CallError::Interrupted,
            error => CallError::Failed(error.to_string()),
        })?;
        self.context.synchronize();
        Ok(())
    }

    /// Notes what is in the cache now, and chooses the next tokens.
    fn go_on(&mut self, shares: &[Share]) {
        for share in shares {
            let slot = &mut self.slots[share.slot];
            let Some(task) = &mut slot.task else { continue };
            match task.next {
                Some(token) => slot.cached.push(token),
                None => {
                    slot.cached.extend_from_slice(&task.prompt[task.read..task.read + share.tokens]);
                    task.read += share.tokens;
                }
            }
            let Some(row) = share.row else { continue };
            let logits = self.context.get_logits_ith(row);
            let chosen = choose(task, logits, &mut self.scratch, self.loaded.vocabulary);
            self.say(share.slot, chosen);
        }
    }

    /// One fixed-shape call for the task that must not depend on others; whether its prompt goes on.
    fn strict_step(&mut self) -> bool {
        let Some(at) = self.strict.slot() else { return false };
        let Some(task) = &mut self.slots[at].task else { return false };
        let started = clock::now();
        let reading = task.is_reading();
        let one;
        let tokens = match task.next {
            Some(token) => {
                one = [token];
                &one[..]
            }
            None => {
                let end = task.read + StrictLane::reads(task.prompt.len() - task.read);
                let part = &task.prompt[task.read..end];
                task.read = end;
                part
            }
        };
        let watch =
            CallWatch { canceled: vec![task.canceled.clone()], tokens: tokens.len(), ..CallWatch::default() };
        self.loaded.heartbeat.begin(watch, started);
        let decoded = self.strict.decode(tokens);
        self.loaded.heartbeat.end(decoded.is_ok(), clock::now());
        self.budget.observe_strict(reading, clock::now().duration_since(started));
        let chosen = match decoded {
            Ok(_) if task.next.is_none() && task.read < task.prompt.len() => return true,
            Ok(logits) => choose(task, logits, &mut self.scratch, self.loaded.vocabulary),
            // It ends with the next step.
            Err(_) if task.canceled.is_set() => return false,
            Err(why) => Chosen::End(None, Finish::Failed(EngineError::Decode(why))),
        };
        self.say(at, chosen);
        false
    }

    fn say(&mut self, at: usize, chosen: Chosen) {
        let (chunk, finish) = match chosen {
            Chosen::GoOn(chunk) => (chunk, None),
            Chosen::End(chunk, finish) => (chunk, Some(finish)),
        };
        let Some(task) = &mut self.slots[at].task else { return };
        let (chunk, is_complete) = parsed(&mut task.parser, chunk, finish.as_ref());
        let id = task.id;
        self.said.tasks.extend(chunk.map(|chunk| TaskUpdate { task: id, event: TaskEvent::Output(chunk) }));
        if let Some(finish) = finish.or(is_complete.then_some(Finish::Stop)) {
            self.end(at, finish);
        }
    }
}

/// What is decided of an output that has come as far as `raw`, and whether it is complete.
fn parsed(
    parser: &mut Option<OutputParser>,
    raw: Option<OutputChunk>,
    finish: Option<&Finish>,
) -> (Option<OutputChunk>, bool) {
    let Some(parser) = parser else { return (raw, false) };
    let Parsed { mut chunk, is_complete } = raw.map(|raw| parser.push(raw)).unwrap_or_default();
    if is_complete || matches!(finish, Some(Finish::Stop | Finish::Length)) {
        let rest = parser.finish(is_complete || finish == Some(&Finish::Stop));
        chunk = join(chunk, rest);
    }
    (chunk, is_complete)
}

/// Chooses the task's next token and adds it to its text.
fn choose(task: &mut Task, logits: &[f32], scratch: &mut Scratch, vocabulary: &Vocabulary) -> Chosen {
    task.times.first.get_or_insert_with(clock::now);
    if let Some(token) = task.again.pop_front() {
        task.written += 1;
        task.next = Some(token);
        return match replay(task, token, vocabulary) {
            Ok(()) => Chosen::GoOn(None),
            Err(why) => Chosen::End(None, Finish::Failed(why)),
        };
    }
    let token = match closing_token(task, vocabulary) {
        Ok(Some(closing)) => Ok(closing),
        Ok(None) => next_token(task, logits, scratch, vocabulary),
        Err(why) => Err(why),
    };
    let token = match token {
        Ok(token) => token,
        Err(why) => return Chosen::End(None, Finish::Failed(why)),
    };
    if vocabulary.ends_answer(token) {
        return Chosen::End(task.text.finish(), Finish::Stop);
    }
    task.written += 1;
    task.next = Some(token);
    if let Some(most) = task.logprobs {
        task.text.note(sample::logprob(logits, token, most, vocabulary));
    }
    let chunk = match add(task, token, vocabulary) {
        Pushed::Stopped(chunk) => return Chosen::End(chunk, Finish::Stop),
        Pushed::Ready(chunk) => Some(chunk),
        Pushed::Held => None,
    };
    let is_loop = goes_round(task, token);
    if !is_loop && !task.is_full() {
        return Chosen::GoOn(chunk);
    }
    Chosen::End(join(chunk, task.text.finish()), Finish::Length)
}

/// Adds a token to the answer.
fn add(task: &mut Task, token: i32, vocabulary: &Vocabulary) -> Pushed {
    task.sampler.accept(token);
    let bytes = vocabulary.text_with(&task.marks, token);
    if let Some(budget) = &mut task.budget {
        budget.accept(bytes);
    }
    wait_for_call(task, bytes);
    task.text.push(token, bytes)
}

/// Adds a token of the answer that was written before: everything is then as it was behind it, and nothing is said again.
pub(super) fn replay(task: &mut Task, token: i32, vocabulary: &Vocabulary) -> Result<(), EngineError> {
    if let Some(grammar) = &mut task.grammar {
        grammar.accept(token, vocabulary)?;
    }
    if let Pushed::Ready(chunk) = add(task, token, vocabulary) {
        parsed(&mut task.parser, Some(chunk), None);
    }
    if let Some(repetition) = &mut task.repetition {
        repetition.push(token);
    }
    Ok(())
}

/// Whether the answer has gone round in a loop for as long as it may.
fn goes_round(task: &mut Task, token: i32) -> bool {
    let Some(period) = task.repetition.as_mut().and_then(|repetition| repetition.push(token)) else {
        return false;
    };
    let fields = [task.id.to_string(), period.to_string(), task.written.to_string()];
    let fields = [("task", &*fields[0]), ("period", &*fields[1]), ("tokens_out", &*fields[2])];
    log::line(Level::Info, "an answer repeats itself and is ended", &fields);
    true
}

/// The token that closes reasoning, where its budget is used up. A grammar that holds the answer reads it too; where it
/// allows none, the answer has begun for it, and there is nothing to close.
fn closing_token(task: &mut Task, vocabulary: &Vocabulary) -> Result<Option<i32>, EngineError> {
    let Some(token) = task.budget.as_ref().and_then(ReasoningBudget::forced) else { return Ok(None) };
    if let Some(grammar) = &mut task.grammar {
        if !grammar.allows(token, vocabulary)? {
            task.budget = None;
            return Ok(None);
        }
        grammar.accept(token, vocabulary)?;
    }
    Ok(Some(token))
}

fn next_token(
    task: &mut Task,
    logits: &[f32],
    scratch: &mut Scratch,
    vocabulary: &Vocabulary,
) -> Result<i32, EngineError> {
    const NOTHING: &str = "the model's output holds no number";
    let none = |why: &str| EngineError::Decode(why.to_owned());
    let mut token = task.sampler.pick(logits, scratch).ok_or_else(|| none(NOTHING))?;
    let Some(grammar) = &mut task.grammar else { return Ok(token) };
    if !grammar.allows(token, vocabulary)? {
        grammar.mask(scratch.load(logits), vocabulary)?;
        let within = task.sampler.pick_edited(Draw::AfterRejection, scratch);
        token = within.ok_or_else(|| none("the grammar leaves no token of this model"))?;
    }
    if !vocabulary.ends_answer(token) {
        grammar.accept(token, vocabulary)?;
    }
    Ok(token)
}

/// Goes on with the grammar that waits for a call.
fn wait_for_call(task: &mut Task, bytes: &[u8]) {
    match task.lazy.take().map(|lazy| lazy.read(bytes)) {
        Some(Waited::Still(lazy)) => task.lazy = Some(lazy),
        Some(Waited::Begun(grammar)) => task.grammar = Some(grammar),
        Some(Waited::Lost) => {
            log::line(
                Level::Debug,
                "a call does not begin as its format wants",
                &[("task", &task.id.to_string())],
            );
        }
        None => {}
    }
}

fn join(first: Option<OutputChunk>, second: Option<OutputChunk>) -> Option<OutputChunk> {
    match (first, second) {
        (Some(mut first), Some(second)) => {
            first.append(second);
            Some(first)
        }
        (first, second) => first.or(second),
    }
}
