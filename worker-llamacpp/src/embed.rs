//! The loop of a model that makes vectors: one input a step, in the order the jobs came, so that a cancel
//! takes effect between inputs.

use std::sync::mpsc::Receiver;

use adapter_api::{EndReport, EngineError, Finish, Piece};
use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::token::LlamaToken;
use orchestrator_core::{Millis, TokenCount};
use worker_protocol::{Step, TaskEvent, TaskUpdate};

use crate::clock;
use crate::inbox::Command;
use crate::load::Loaded;
use crate::outbox::Outbox;
use crate::prepare::{Prepared, Work};

/// Embeds until told to stop.
pub fn run(
    loaded: &Loaded,
    mut context: LlamaContext<'static>,
    commands: &Receiver<Command>,
    outbox: &Outbox,
) {
    let most = usize::try_from(context.n_batch()).unwrap_or(1);
    let mut batch = LlamaBatch::new(most, 1);
    let encodes = loaded.model.meta_val_str("general.architecture").is_ok_and(|name| name.contains("bert"));
    for command in commands {
        match command {
            Command::Start(job) => answer(&mut context, &mut batch, *job, outbox, encodes),
            Command::Evict(_) => {}
            Command::Stop => return,
        }
    }
}

fn answer(
    context: &mut LlamaContext<'static>,
    batch: &mut LlamaBatch<'_>,
    job: Prepared,
    outbox: &Outbox,
    encodes: bool,
) {
    let Work::Embed(inputs) = job.work else { unreachable!("a model that embeds takes nothing else") };
    let started = clock::now();
    let mut finish = Finish::Stop;
    let mut read = 0;
    for input in inputs {
        if job.canceled.is_set() {
            finish = Finish::Canceled;
            break;
        }
        match vector_of(context, batch, &input, encodes) {
            Ok(text) => {
                read += input.len();
                let event = TaskEvent::Tokens(Piece { text, tokens: Vec::new() });
                outbox.send_step(Step {
                    tasks: vec![TaskUpdate { task: job.task, event }],
                    sessions: Vec::new(),
                });
            }
            Err(why) => {
                finish = Finish::Failed(EngineError::Decode(why));
                break;
            }
        }
    }
    let report = EndReport {
        finish,
        tokens_in: TokenCount(u32::try_from(read).unwrap_or(u32::MAX)),
        tokens_cached: TokenCount(0),
        tokens_out: TokenCount(0),
        prefill_ms: Millis::from_duration(started.duration_since(job.arrived)),
        decode_ms: Millis::from_duration(clock::now().duration_since(started)),
    };
    let end = TaskUpdate { task: job.task, event: TaskEvent::End(report) };
    outbox.send_step(Step { tasks: vec![end], sessions: Vec::new() });
}

/// The vector of one text, of length 1, as JSON.
fn vector_of(
    context: &mut LlamaContext<'static>,
    batch: &mut LlamaBatch<'_>,
    tokens: &[i32],
    encodes: bool,
) -> Result<String, String> {
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
    let vector = context.embeddings_seq_ith(0).map_err(|error| error.to_string())?;
    let length = vector.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>().sqrt();
    let scale = if length > 0.0 { 1.0 / length } else { 0.0 };
    let unit: Vec<f32> = vector.iter().map(|x| (f64::from(*x) * scale) as f32).collect();
    serde_json::to_string(&unit).map_err(|error| error.to_string())
}
