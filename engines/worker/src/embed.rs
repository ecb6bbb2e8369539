//! The loop of a model that makes vectors or scores: one input a step, in the order the jobs came, so that a cancel
//! takes effect between inputs, that of a job that waits as well.
//!
//! Rules: ORCH-WORKER-4

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, TryRecvError};

use generation::{EndReport, EngineError, Finish, OutputChunk, OutputEvent, Workload};
use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::token::LlamaToken;
use orchestrator_core::{Millis, TokenCount};
use worker_protocol::{Step, TaskEvent, TaskProgress, TaskUpdate};

use crate::clock;
use crate::heartbeat::{CallWatch, Heartbeat};
use crate::inbox::{Command, end_unstarted};
use crate::load::Loaded;
use crate::outbox::Outbox;
use crate::prepare::{Prepared, Work};

/// Jobs that wait while one is worked on. No more commands are taken when there are as many.
const WAITING: usize = 4096;

/// Embeds, or ranks, until told to stop.
pub fn run(
    loaded: &Loaded,
    mut context: LlamaContext<'static>,
    commands: &Receiver<Command>,
    outbox: &Outbox,
) {
    let most = usize::try_from(context.n_batch()).unwrap_or(1);
    let mut batch = LlamaBatch::new(most, 1);
    let encodes = loaded.model.meta_val_str("general.architecture").is_ok_and(|name| name.contains("bert"));
    let result = if loaded.facts.workloads.contains(&Workload::Rerank) { score } else { unit_vector };
    let mut waiting = Waiting { jobs: VecDeque::new(), stopped: false };
    let heartbeat = loaded.heartbeat;
    loop {
        heartbeat.waits();
        let Some(job) = waiting.next(commands, outbox) else { return };
        answer(job, outbox, heartbeat, |input, progress| {
            waiting.look(commands, outbox);
            let watch = CallWatch {
                reads: vec![(progress, input.len())],
                tokens: input.len(),
                ..CallWatch::default()
            };
            heartbeat.begin(watch, clock::now());
            let pooled = pooled(&mut context, &mut batch, input, encodes);
            heartbeat.end(pooled.is_ok(), clock::now());
            result(pooled?)
        });
    }
}

/// The jobs that wait.
struct Waiting {
    jobs: VecDeque<Prepared>,
    /// Told to stop, or nobody is there to tell anything.
    stopped: bool,
}

impl Waiting {
    /// The next job; nothing once told to stop and all are canceled.
    fn next(&mut self, commands: &Receiver<Command>, outbox: &Outbox) -> Option<Prepared> {
        loop {
            self.look(commands, outbox);
            if let Some(job) = self.jobs.pop_front() {
                return Some(job);
            }
            if self.stopped {
                return None;
            }
            match commands.recv() {
                Ok(command) => self.take(command),
                Err(_) => self.stopped = true,
            }
        }
    }

    /// Takes what came in, and ends what is canceled.
    fn look(&mut self, commands: &Receiver<Command>, outbox: &Outbox) {
        while self.jobs.len() < WAITING && !self.stopped {
            match commands.try_recv() {
                Ok(command) => self.take(command),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => self.stopped = true,
            }
        }
        self.jobs.retain(|job| {
            let wanted = !job.canceled.is_set();
            if !wanted {
                outbox.send_step(end_unstarted(job.task, Finish::Canceled, job.arrived));
            }
            wanted
        });
    }

    fn take(&mut self, command: Command) {
        match command {
            Command::Start(job) => self.jobs.push_back(*job),
            // Every job was canceled before.
            Command::Stop => self.stopped = true,
            Command::Evict(_) | Command::OpenStrictLane(_) => {}
        }
    }
}

/// Answers one input after the other. All of the time is the reading of input: no token is generated.
fn answer(
    job: Prepared,
    outbox: &Outbox,
    heartbeat: &Heartbeat,
    mut result_of: impl FnMut(&[i32], TaskProgress) -> Result<OutputEvent, String>,
) {
    let Work::Pool(inputs) = job.work else { unreachable!("a model that pools takes nothing else") };
    let mut finish = Finish::Stop;
    let mut progress =
        TaskProgress { task: job.task, prompt_tokens: 0, generated_tokens: 0, inputs: 0, pauses: 0 };
    for (at, input) in inputs.iter().enumerate() {
        if job.canceled.is_set() {
            finish = Finish::Canceled;
            break;
        }
        match result_of(input, progress) {
            Ok(result) => {
                progress.inputs += 1;
                progress.prompt_tokens += u32::try_from(input.len()).unwrap_or(u32::MAX);
                heartbeat.report(clock::now(), || vec![progress]);
                let event = TaskEvent::Output(OutputChunk::result(result));
                outbox.send_step(Step {
                    tasks: vec![TaskUpdate { task: job.task, event }],
                    sessions: Vec::new(),
                });
            }
            Err(why) => {
                finish = Finish::Failed(EngineError::Decode(format!("input {at}: {why}")));
                break;
            }
        }
    }
    let report = EndReport {
        tokens_in: TokenCount(progress.prompt_tokens),
        prefill_ms: Millis::from_duration(clock::now().duration_since(job.arrived)),
        ..EndReport::of(finish)
    };
    let end = TaskUpdate { task: job.task, event: TaskEvent::End(report) };
    outbox.send_step(Step { tasks: vec![end], sessions: Vec::new() });
}

/// What the model makes of one text.
fn pooled<'a>(
    context: &'a mut LlamaContext<'static>,
    batch: &mut LlamaBatch<'_>,
    tokens: &[i32],
    encodes: bool,
) -> Result<&'a [f32], String> {
    batch.clear();
    for (at, token) in (0..).zip(tokens) {
        batch.add(LlamaToken(*token), at, &[0], true).map_err(|error| error.to_string())?;
    }
    if encodes {
        context.encode(batch).map_err(|error| error.to_string())?;
    } else {
        context.clear_kv_cache();
        context.decode(batch).map_err(|error| error.to_string())?;
    }
    context.embeddings_seq_ith(0).map_err(|error| error.to_string())
}

/// A vector, made of length 1. JSON has no words for what is no finite number.
fn unit_vector(vector: &[f32]) -> Result<OutputEvent, String> {
    let length = vector.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>().sqrt();
    if !length.is_finite() {
        return Err("the model's vector holds a number that is not finite".to_owned());
    }
    let scale = if length > 0.0 { 1.0 / length } else { 0.0 };
    Ok(OutputEvent::Embedding(vector.iter().map(|x| (f64::from(*x) * scale) as f32).collect()))
}

/// A score: the first of the model's classes, which is how well the document answers the query.
fn score(classes: &[f32]) -> Result<OutputEvent, String> {
    let score = *classes.first().ok_or("the model gives no score")?;
    if !score.is_finite() {
        return Err(format!("the model's score is {score}, which is no finite number"));
    }
    Ok(OutputEvent::Score(score))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ORCH-WORKER-4
    #[test]
    fn a_vector_or_score_that_is_not_finite_is_an_error_and_not_a_null() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert!(unit_vector(&[0.5, bad]).expect_err("bad").contains("not finite"));
            assert!(score(&[bad]).expect_err("bad").contains("no finite number"));
        }
        let vector = |numbers: [f32; 2]| Ok(OutputEvent::Embedding(numbers.to_vec()));
        assert_eq!(unit_vector(&[3.0, 4.0]), vector([0.6, 0.8]));
        assert_eq!(unit_vector(&[0.0, 0.0]), vector([0.0, 0.0]));
        // The squares are larger than any number of the vector's own kind.
        assert_eq!(unit_vector(&[f32::MAX, 0.0]), vector([1.0, 0.0]));
        assert_eq!(score(&[-1.5, 2.0]), Ok(OutputEvent::Score(-1.5)));
    }
}
