//! A worker as a real child process with the real model in it, and the daemon's end of its channel.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use engine_api::{
    Device, EngineFacts, LoadOptions, MeasureError, Measured, MemoryEstimate, Question, QuestionAnswer,
    ReplicaSpec, SessionKv, StartError, TextAnswer, TextQuery,
};
use generation::{EndReport, Finish, GenerateRequest, Input, Message, OutputChunk, Role, Sampling};
use orchestrator_core::{PoolId, ReplicaId, SessionId, TaskId, TokenCount};
use worker_protocol::{
    FromWorker, PROTOCOL_VERSION, Pong, TaskEvent, TaskProgress, ToWorker, read_frame, write_frame,
};

/// The longest any answer may take, on a machine that is busy with other things.
pub const PATIENCE: Duration = Duration::from_secs(240);

const MESSAGES: usize = 100_000;

const MODEL_FILE: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";

/// The starter model.
pub fn model() -> PathBuf {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let path = set("LLAMA_ORCH_TEST_MODEL").unwrap_or_else(|| {
        let folder = set("LLAMA_ORCH_MODELS").unwrap_or_else(|| {
            let cache = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")));
            cache.expect("a home folder").join("llama-orch/models")
        });
        folder.join(MODEL_FILE)
    });
    assert!(
        path.is_file(),
        "these tests need the starter model, and `{}` is not there\nhint: run `cargo xtask fetch-starter`, or \
         name the file in LLAMA_ORCH_TEST_MODEL",
        path.display()
    );
    path
}

/// What to load, for tests. One thread: several tests run at a time, and threads that wait for each other on
/// busy cores are slower than one.
pub fn spec(model: &Path, slots: u16, ctx: u32) -> ReplicaSpec {
    ReplicaSpec {
        replica: ReplicaId { pool: PoolId::new("test").expect("a name"), index: 0 },
        model: model.to_owned(),
        ctx: Some(TokenCount(ctx)),
        kv_cells: None,
        slots,
        threads: Some(1),
        device: Device::Cpu,
        gpu_layers: None,
        options: LoadOptions::default(),
    }
}

/// A task's answer so far.
#[derive(Debug, Default)]
pub struct Answer {
    pub text: String,
    pub tokens: Vec<i32>,
    pub pieces: Vec<OutputChunk>,
    pub times: Vec<Instant>,
    pub end: Option<EndReport>,
}

impl Answer {
    pub fn report(&self) -> &EndReport {
        self.end.as_ref().expect("the task has ended")
    }

    pub fn finish(&self) -> &Finish {
        &self.report().finish
    }
}

/// A worker process.
pub struct Worker {
    child: Child,
    stream: UnixStream,
    messages: Receiver<(Instant, FromWorker)>,
    pub facts: Option<EngineFacts>,
    pub answers: HashMap<TaskId, Answer>,
    pub sessions: HashMap<SessionId, Option<SessionKv>>,
    /// What was reported of each task's work.
    pub progress: HashMap<TaskId, Vec<TaskProgress>>,
    pub pong: Option<Pong>,
    answers_to_questions: HashMap<u64, Result<QuestionAnswer, MeasureError>>,
    asked: u64,
}

impl Worker {
    /// A worker that waits for its first message.
    pub fn spawn() -> Self {
        let shown = std::env::var_os("SHOW_WORKER_LOG").is_some();
        Self::spawn_with_log("info", if shown { Stdio::inherit() } else { Stdio::null() })
    }

    /// A worker with the starter model that writes all its log to `log`.
    pub fn start_with_log(slots: u16, ctx: u32, log: std::fs::File) -> Self {
        Self::load_with_log(spec(&model(), slots, ctx), log)
    }

    /// A worker with what `spec` names that writes all its log to `log`.
    pub fn load_with_log(spec: ReplicaSpec, log: std::fs::File) -> Self {
        let mut worker = Self::spawn_with_log("debug", Stdio::from(log));
        worker.load(spec).expect("it loads");
        worker
    }

    fn spawn_with_log(level: &str, log: Stdio) -> Self {
        let (ours, theirs) = UnixStream::pair().expect("a socket pair");
        let child = Command::new(env!("CARGO_BIN_EXE_worker-llamacpp"))
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            // As the daemon starts it: other processes are busy while tests run.
            .env("GOMP_SPINCOUNT", "500")
            .stderr(log)
            .env("LLAMA_ORCH_WORKER_LOG", level)
            .spawn()
            .expect("the worker starts");
        let mut incoming = ours.try_clone().expect("a second handle");
        let (to, messages) = sync_channel(MESSAGES);
        thread::spawn(move || {
            while let Ok(Some(message)) = read_frame(&mut incoming) {
                if to.send((Instant::now(), message)).is_err() {
                    return;
                }
            }
        });
        Self {
            child,
            stream: ours,
            messages,
            facts: None,
            answers: HashMap::new(),
            sessions: HashMap::new(),
            progress: HashMap::new(),
            pong: None,
            answers_to_questions: HashMap::new(),
            asked: 0,
        }
    }

    /// A worker with the starter model that keeps so many bytes of conversations out of the slots.
    pub fn start_with_store(slots: u16, ctx: u32, bytes: u64) -> Self {
        let mut worker = Self::spawn();
        let mut spec = spec(&model(), slots, ctx);
        spec.options.kv_ram_bytes = Some(bytes);
        worker.load(spec).expect("the starter model loads");
        worker
    }

    /// A worker with the starter model.
    pub fn start(slots: u16, ctx: u32) -> Self {
        let mut worker = Self::spawn();
        worker.load(spec(&model(), slots, ctx)).expect("the starter model loads");
        worker
    }

    /// Loads, and says what went wrong if it did.
    pub fn load(&mut self, spec: ReplicaSpec) -> Result<(), StartError> {
        self.send(&ToWorker::Load { protocol: PROTOCOL_VERSION, spec });
        let mut progress = 0.0;
        loop {
            match self.receive() {
                FromWorker::Loading(part) => {
                    assert!((progress..=1.0).contains(&part), "progress went from {progress} to {part}");
                    progress = part;
                }
                FromWorker::Ready(facts) => {
                    self.facts = Some(*facts);
                    return Ok(());
                }
                FromWorker::LoadFailed(error) => return Err(error),
                other => panic!("unexpected while loading: {other:?}"),
            }
        }
    }

    /// Asks what loading would take of memory, and waits for the process to end.
    pub fn estimate(mut self, spec: ReplicaSpec) -> Result<MemoryEstimate, StartError> {
        self.send(&ToWorker::Estimate { protocol: PROTOCOL_VERSION, spec });
        let answer = match self.receive() {
            FromWorker::Estimated(estimate) => Ok(estimate),
            FromWorker::LoadFailed(error) => Err(error),
            other => panic!("unexpected of an estimate: {other:?}"),
        };
        let code = self.child.wait().expect("it ends").code();
        assert_eq!(code, Some(if answer.is_ok() { 0 } else { 3 }));
        answer
    }

    pub fn send(&mut self, message: &ToWorker) {
        write_frame(&mut self.stream, message).expect("the worker is there");
    }

    pub fn submit(&mut self, job: GenerateRequest) -> TaskId {
        let task = job.task;
        self.answers.insert(task, Answer::default());
        self.send(&ToWorker::Submit(Arc::new(job)));
        task
    }

    /// Submits a job and waits for its end.
    pub fn answer(&mut self, job: GenerateRequest) -> Answer {
        let task = self.submit(job);
        self.wait(&[task]);
        self.answers.remove(&task).expect("it ended")
    }

    /// Waits until all of `tasks` have ended.
    pub fn wait(&mut self, tasks: &[TaskId]) {
        self.until(|worker| tasks.iter().all(|task| worker.answers[task].end.is_some()));
    }

    /// Takes messages until `done`.
    pub fn until(&mut self, done: impl Fn(&Self) -> bool) {
        while !done(self) {
            let (at, message) = self.messages.recv_timeout(PATIENCE).expect("the worker goes on");
            self.note(at, message);
        }
    }

    pub fn measure(&mut self, job: GenerateRequest) -> Result<Measured, MeasureError> {
        match self.ask(Question::Measure(Arc::new(job)))? {
            QuestionAnswer::Measured(measured) => Ok(measured),
            QuestionAnswer::Text(answer) => panic!("not asked: {answer:?}"),
        }
    }

    pub fn text(&mut self, query: TextQuery) -> Result<TextAnswer, MeasureError> {
        match self.ask(Question::Text(query))? {
            QuestionAnswer::Text(answer) => Ok(answer),
            QuestionAnswer::Measured(measured) => panic!("not asked: {measured:?}"),
        }
    }

    fn ask(&mut self, question: Question) -> Result<QuestionAnswer, MeasureError> {
        self.asked += 1;
        let request = self.asked;
        self.send(&ToWorker::Ask { request, question });
        self.until(|worker| worker.answers_to_questions.contains_key(&request));
        self.answers_to_questions.remove(&request).expect("just seen")
    }

    fn receive(&mut self) -> FromWorker {
        self.messages.recv_timeout(PATIENCE).expect("the worker answers").1
    }

    fn note(&mut self, at: Instant, message: FromWorker) {
        match message {
            FromWorker::Answered { request, result } => {
                self.answers_to_questions.insert(request, result);
            }
            FromWorker::Progress(progress) => {
                for of_task in progress {
                    self.progress.entry(of_task.task).or_default().push(of_task);
                }
            }
            FromWorker::Pong(pong) => self.pong = Some(pong),
            FromWorker::Step(step) => {
                for update in step.tasks {
                    let answer = self.answers.get_mut(&update.task).expect("a task that was submitted");
                    assert!(answer.end.is_none(), "something after the end");
                    match update.event {
                        TaskEvent::Output(chunk) => {
                            answer.text.push_str(&chunk.text);
                            answer.tokens.extend(&chunk.tokens);
                            answer.times.push(at);
                            answer.pieces.push(chunk);
                        }
                        TaskEvent::End(report) => answer.end = Some(report),
                    }
                }
                for update in step.sessions {
                    self.sessions.insert(update.session, update.kv);
                }
            }
            other => panic!("unexpected: {other:?}"),
        }
    }

    /// Waits for the first word of progress while loading.
    pub fn first_progress(&mut self) {
        let message = self.receive();
        assert!(matches!(message, FromWorker::Loading(_)), "{message:?}");
    }

    /// Waits for the refusal to load.
    pub fn load_failure(&mut self) -> StartError {
        match self.receive() {
            FromWorker::LoadFailed(error) => error,
            other => panic!("loading should fail: {other:?}"),
        }
    }

    /// Closes the channel and waits for the process to end.
    pub fn hang_up(mut self) -> (ExitStatus, Duration) {
        let closed = Instant::now();
        self.stream.shutdown(std::net::Shutdown::Both).expect("the channel closes");
        let status = self.child.wait().expect("it ends");
        (status, closed.elapsed())
    }

    /// Waits for a process that ends by itself.
    pub fn ended(&mut self) -> ExitStatus {
        self.child.wait().expect("it ends")
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn task_id() -> TaskId {
    TaskId(uuid::Uuid::new_v4())
}

pub fn session_id() -> SessionId {
    SessionId(uuid::Uuid::new_v4())
}

/// Greedy, and nothing else.
pub fn greedy() -> Sampling {
    Sampling::greedy()
}

/// A greedy job of at most `max_tokens`.
pub fn job(input: Input, max_tokens: u32) -> GenerateRequest {
    GenerateRequest {
        max_tokens: Some(TokenCount(max_tokens)),
        sampling: greedy(),
        seed: 1,
        ..GenerateRequest::new(task_id(), input)
    }
}

pub fn prompt(text: &str) -> Input {
    Input::Prompt(text.to_owned())
}

pub fn user(text: &str) -> Input {
    Input::Messages(vec![Message::new(Role::User, text)])
}

/// A text of about `tokens` tokens that differs by `salt` from its start on.
pub fn long_text(tokens: usize, salt: usize) -> String {
    let mut text = format!("Report number {salt}. ");
    let words =
        ["river", "stone", "market", "engine", "garden", "winter", "letter", "signal", "copper", "harbor"];
    for at in 0..tokens.saturating_sub(5) {
        text.push_str(words[(at * 7 + at / 10 + salt) % words.len()]);
        text.push(' ');
    }
    text
}
