//! A worker without a model, for the tests of this crate: speaks `worker-protocol` on its standard input
//! as a real one does, and misbehaves as its first argument or a prompt tells it to. A test learns its
//! process id from the `version` it reports, or from the file named as its model.

use std::collections::HashSet;
use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;

use engine_api::{
    Abilities, EngineFacts, EngineKind, MeasureError, Measured, MemoryEstimate, ModelFacts, Question,
    QuestionAnswer, ReplicaSpec, SessionKv, StartError,
};
use generation::{EndReport, Finish, GenerateRequest, Input, OutputChunk, Workload};
use orchestrator_core::{Millis, TaskId, TokenCount};
use worker_protocol::{
    EXIT_HUNG, FrameError, FromWorker, PROTOCOL_VERSION, Pong, SessionUpdate, Step, TaskEvent, TaskProgress,
    TaskUpdate, ToWorker, read_frame, write_frame,
};

/// The exit code of a worker that is told to die.
const DIES_WITH: i32 = 3;

fn main() -> Result<(), FrameError> {
    let behaviour = std::env::args().nth(1).unwrap_or_default();
    let mut channel = UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    let spec = match read_frame(&mut channel)? {
        Some(ToWorker::Load { protocol: PROTOCOL_VERSION, spec }) => spec,
        Some(ToWorker::Estimate { protocol: PROTOCOL_VERSION, .. }) => {
            return estimate(&mut channel, &behaviour);
        }
        _ => std::process::exit(DIES_WITH),
    };
    log(r#"{"level":"info","message":"loading","from":"test worker"}"#);
    log("a plain line before the end");
    write_frame(&mut channel, &FromWorker::Loading(0.5))?;
    match behaviour.as_str() {
        "exit-while-loading" => std::process::exit(DIES_WITH),
        "abort-while-loading" => std::process::abort(),
        "refuse-model" => {
            let error = StartError::Model("`model` is not a GGUF file".to_owned());
            return write_frame(&mut channel, &FromWorker::LoadFailed(error));
        }
        "garbage-while-loading" => return garbage(&mut channel),
        "step-while-loading" => write_frame(&mut channel, &FromWorker::Step(Step::default()))?,
        "hang-while-loading" => {
            std::fs::write(&spec.model, std::process::id().to_string())?;
            write_frame(&mut channel, &FromWorker::Loading(0.75))?;
            park();
        }
        _ => {}
    }
    write_frame(&mut channel, &FromWorker::Ready(Box::new(facts(&spec))))?;
    if behaviour == "deaf" {
        park();
    }
    serve(&mut channel, &behaviour)
}

fn estimate(channel: &mut UnixStream, behaviour: &str) -> Result<(), FrameError> {
    let answer = match behaviour {
        "exit-while-loading" => std::process::exit(DIES_WITH),
        "refuse-model" => FromWorker::LoadFailed(StartError::Model("`model` is not a GGUF file".to_owned())),
        "step-while-loading" => FromWorker::Step(Step::default()),
        _ => FromWorker::Estimated(MemoryEstimate {
            weights_bytes: 1,
            kv_bytes: 2,
            compute_bytes: 3,
            host_bytes: 4,
            bytes_per_token: 5,
            ctx: TokenCount(64),
            kv_cells: TokenCount(64),
        }),
    };
    write_frame(channel, &answer)
}

fn serve(channel: &mut UnixStream, behaviour: &str) -> Result<(), FrameError> {
    let mut running = HashSet::new();
    let mut forgotten = 0;
    while let Some(message) = read_frame(channel)? {
        match message {
            ToWorker::Load { .. } | ToWorker::Estimate { .. } => std::process::exit(DIES_WITH),
            ToWorker::Ask { request, question } => {
                let Question::Measure(job) = question else { std::process::exit(DIES_WITH) };
                let result = measure(&job.input, forgotten);
                if result != Err(MeasureError::Gone) {
                    let result = result.map(QuestionAnswer::Measured);
                    write_frame(channel, &FromWorker::Answered { request, result })?;
                }
            }
            ToWorker::Submit(job) => submit(channel, &mut running, &job)?,
            ToWorker::Cancel(task) if running.remove(&task) => {
                step(channel, vec![end(task, Finish::Canceled, 1)], Vec::new())?;
            }
            ToWorker::Cancel(_) => {}
            ToWorker::ForgetQuestion(_) => forgotten += 1,
            ToWorker::Ping(_) if behaviour == "ignore-pings" => {}
            ToWorker::Ping(ping) => {
                let silent_ms = if behaviour == "silent" { 9_000 } else { 0 };
                write_frame(channel, &FromWorker::Pong(Pong { ping, silent_ms, limit_ms: 5_000 }))?;
            }
            ToWorker::EvictSession(session) => {
                step(channel, Vec::new(), vec![SessionUpdate { session, kv: None }])?;
            }
            ToWorker::Stop => {
                let ends =
                    std::mem::take(&mut running).into_iter().map(|task| end(task, Finish::Canceled, 1));
                return step(channel, ends.collect(), Vec::new());
            }
        }
    }
    Ok(())
}

fn submit(
    channel: &mut UnixStream,
    running: &mut HashSet<TaskId>,
    job: &GenerateRequest,
) -> Result<(), FrameError> {
    let Input::Prompt(prompt) = &*job.input else { std::process::exit(DIES_WITH) };
    let task = job.task;
    match prompt.as_str() {
        "die" => {
            step(channel, vec![token(task, "last")], Vec::new())?;
            std::process::exit(DIES_WITH)
        }
        "abort" => std::process::abort(),
        "garbage" => garbage(channel),
        "ready again" => write_frame(channel, &FromWorker::Loading(0.1)),
        "close and stay" => {
            step(channel, vec![token(task, "last")], Vec::new())?;
            channel.shutdown(std::net::Shutdown::Both)?;
            park()
        }
        "hang" => std::process::exit(EXIT_HUNG),
        "read" => {
            running.insert(task);
            for prompt_tokens in [512, 300] {
                let progress =
                    TaskProgress { task, prompt_tokens, generated_tokens: 0, inputs: 0, pauses: 0 };
                write_frame(channel, &FromWorker::Progress(vec![progress]))?;
            }
            step(channel, vec![token(task, "read")], Vec::new())
        }
        "hold" => {
            running.insert(task);
            step(channel, vec![token(task, "held")], Vec::new())
        }
        text => {
            let mut tasks: Vec<_> = text.split_inclusive(' ').map(|word| token(task, word)).collect();
            let count = u32::try_from(tasks.len()).unwrap_or(u32::MAX);
            tasks.push(end(task, Finish::Stop, count));
            let tokens = TokenCount(count);
            let kv = SessionKv { tokens, tokens_at_end: tokens, bytes: u64::from(count) * 8 };
            let sessions = job.session.map(|session| SessionUpdate { session, kv: Some(kv) });
            step(channel, tasks, sessions.into_iter().collect())
        }
    }
}

fn measure(input: &Input, forgotten: u32) -> Result<Measured, MeasureError> {
    match input {
        Input::Prompt(text) if text == "never" => Err(MeasureError::Gone),
        Input::Prompt(text) if text == "how many were forgotten?" => {
            Ok(Measured { tokens: TokenCount(forgotten), longest: TokenCount(forgotten) })
        }
        Input::Prompt(text) => {
            let tokens = TokenCount(u32::try_from(text.split_whitespace().count()).unwrap_or(u32::MAX));
            Ok(Measured { tokens, longest: tokens })
        }
        Input::Messages(_) | Input::Inputs(_) | Input::Infill(_) => {
            Err(MeasureError::Invalid("`messages` is not for me".to_owned()))
        }
    }
}

fn token(task: TaskId, text: &str) -> TaskUpdate {
    TaskUpdate {
        task,
        event: TaskEvent::Output(OutputChunk {
            text: text.to_owned(),
            tokens: vec![1],
            ..OutputChunk::default()
        }),
    }
}

fn end(task: TaskId, finish: Finish, tokens_out: u32) -> TaskUpdate {
    TaskUpdate { task, event: TaskEvent::End(EndReport::short(finish, tokens_out)) }
}

fn step(
    channel: &mut UnixStream,
    tasks: Vec<TaskUpdate>,
    sessions: Vec<SessionUpdate>,
) -> Result<(), FrameError> {
    write_frame(channel, &FromWorker::Step(Step { tasks, sessions }))
}

fn garbage(channel: &mut UnixStream) -> Result<(), FrameError> {
    channel.write_all(b"\x05\x00\x00\x00\xff\xff\xff\xff\xff")?;
    park()
}

fn park() -> ! {
    loop {
        std::thread::park();
    }
}

fn log(line: &str) {
    // A daemon that is gone reads no log.
    let _ = writeln!(std::io::stderr(), "{line}");
}

fn facts(spec: &ReplicaSpec) -> EngineFacts {
    let var = |name: &str| format!("{name}={}", std::env::var(name).unwrap_or_else(|_| "unset".to_owned()));
    let vars =
        ["CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "ROCR_VISIBLE_DEVICES", "GGML_VK_VISIBLE_DEVICES"];
    EngineFacts {
        kind: EngineKind::Llamacpp,
        version: std::process::id().to_string(),
        build: vars.map(var).join(" "),
        slots: spec.slots,
        ctx: TokenCount(64),
        kv_cells: None,
        kv_bytes_per_token: 8,
        kv_ram_bytes: 0,
        workloads: vec![Workload::Completion],
        strict: true,
        abilities: Abilities::default(),
        model: ModelFacts {
            name: spec.model.display().to_string(),
            architecture: "none".to_owned(),
            parameters: 0,
            size_bytes: 0,
            ctx_train: TokenCount(64),
            chat_template: false,
            embedding_size: 0,
            identity: 0,
        },
        load_ms: Millis(0),
        memory: None,
    }
}
