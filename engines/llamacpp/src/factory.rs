//! Starting a worker: spawn, `Load`, progress, `Ready`. What goes wrong on the way is an error with the
//! reason and the worker's last lines.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use engine_api::{
    Engine, EngineFactory, EngineKind, ExitReason, LoadProgress, MemoryEstimate, ReplicaSpec, StartError,
};
use futures_core::future::BoxFuture;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use worker_protocol::{FrameReader, FromWorker, PROTOCOL_VERSION, ToWorker, encode};

use crate::connection::{self, Closed, EXIT_AFTER_EOF, READ_BYTES, Reader};
use crate::engine::LlamacppEngine;
use crate::probe;
use crate::process::Process;
use crate::shared::{OUTGOING_BOUND, Shared};
use crate::tasks;

/// The signal with which a system short of memory ends a process.
const SIGKILL: i32 = 9;

/// How long a look at a model may take: its head is read, and a card set up.
const ESTIMATE_LIMIT: Duration = Duration::from_secs(60);

/// Starts workers of the built-in engine.
#[derive(Clone, Debug)]
pub struct LlamacppFactory {
    program: PathBuf,
    args: Vec<OsString>,
}

impl LlamacppFactory {
    /// Workers are started as `program` with `args`: the daemon's own file and `worker`.
    #[must_use]
    pub fn new(program: PathBuf, args: Vec<OsString>) -> Self {
        Self { program, args }
    }

    /// Starts a worker and says the first words to it.
    async fn spawn(&self, spec: &ReplicaSpec, first: ToWorker) -> Result<NewWorker, StartError> {
        let (ours, theirs) =
            std::os::unix::net::UnixStream::pair().map_err(cannot("make a channel for the worker"))?;
        ours.set_nonblocking(true).map_err(cannot("set up the channel of the worker"))?;
        let mut socket = UnixStream::from_std(ours).map_err(cannot("watch the channel of the worker"))?;
        let process = Process::spawn(&self.program, &self.args, OwnedFd::from(theirs), spec)
            .map_err(cannot(&format!("start `{}`", self.program.display())))?;
        let first = encode(&first).map_err(|error| StartError::Engine(error.to_string()))?;
        // A worker that is dead already cannot be written to; the read says so with the reason.
        let _ = socket.write_all(&first).await;
        Ok(NewWorker { process, socket, frames: FrameReader::default() })
    }

    async fn start_worker(
        &self,
        spec: ReplicaSpec,
        progress: LoadProgress,
    ) -> Result<Arc<dyn Engine>, StartError> {
        let load = ToWorker::Load { protocol: PROTOCOL_VERSION, spec: spec.clone() };
        let mut worker = self.spawn(&spec, load).await?;
        let facts = worker
            .answer(&progress, |message| match message {
                FromWorker::Ready(facts) => Ok(*facts),
                other => Err(other),
            })
            .await?;
        let NewWorker { process, socket, frames } = worker;
        let (outgoing, messages) = mpsc::channel(OUTGOING_BOUND);
        let shared = Arc::new(Shared::new(process, outgoing));
        let (read_half, write_half) = socket.into_split();
        let writer = tasks::spawn(connection::write(write_half, messages));
        tasks::spawn(probe::run(Arc::clone(&shared)));
        let reader = Reader::new(read_half, frames);
        tasks::spawn(connection::read(reader, Arc::clone(&shared), writer));
        Ok(Arc::new(LlamacppEngine::new(facts, shared)))
    }
}

impl LlamacppFactory {
    /// Asks a worker of its own, which reads the model's file and exits: the daemon never does.
    async fn estimate_in_worker(&self, spec: ReplicaSpec) -> Result<Option<MemoryEstimate>, StartError> {
        let question = ToWorker::Estimate { protocol: PROTOCOL_VERSION, spec: spec.clone() };
        let mut worker = self.spawn(&spec, question).await?;
        let silent: LoadProgress = Arc::new(|_| {});
        let answer = worker.answer(&silent, |message| match message {
            FromWorker::Estimated(estimate) => Ok(estimate),
            other => Err(other),
        });
        let answer = tokio::time::timeout(ESTIMATE_LIMIT, answer).await.unwrap_or_else(|_| {
            let waited = ESTIMATE_LIMIT.as_secs();
            Err(StartError::Engine(format!("a worker took more than {waited} s to look at the model")))
        });
        worker.process.kill();
        worker.process.exited().await;
        answer.map(Some)
    }
}

impl EngineFactory for LlamacppFactory {
    fn kind(&self) -> EngineKind {
        EngineKind::Llamacpp
    }

    fn start(
        &self,
        spec: ReplicaSpec,
        progress: LoadProgress,
    ) -> BoxFuture<'_, Result<Arc<dyn Engine>, StartError>> {
        Box::pin(self.start_worker(spec, progress))
    }

    fn estimate(&self, spec: ReplicaSpec) -> BoxFuture<'_, Result<Option<MemoryEstimate>, StartError>> {
        Box::pin(self.estimate_in_worker(spec))
    }
}

/// A worker that has been told what to do and has not answered.
struct NewWorker {
    process: Process,
    socket: UnixStream,
    frames: FrameReader,
}

/// Why a worker did not answer.
enum Early {
    /// It said so itself.
    Refused(StartError),
    /// It went, or made no sense.
    Closed(Closed),
}

impl NewWorker {
    /// Waits for the answer that `expected` takes out of a message. On an error the worker is gone.
    async fn answer<T>(
        &mut self,
        progress: &LoadProgress,
        expected: impl Fn(FromWorker) -> Result<T, FromWorker>,
    ) -> Result<T, StartError> {
        match self.next_answer(progress, expected).await {
            Ok(answer) => Ok(answer),
            Err(Early::Refused(error)) => Err(error),
            Err(Early::Closed(closed)) => Err(explain(&self.process, closed).await),
        }
    }

    async fn next_answer<T>(
        &mut self,
        progress: &LoadProgress,
        expected: impl Fn(FromWorker) -> Result<T, FromWorker>,
    ) -> Result<T, Early> {
        let broken = |what: String| Early::Closed(Closed::Broken(what));
        let mut buffer = vec![0; READ_BYTES];
        loop {
            while let Some(message) = self.frames.next_message().map_err(|error| broken(error.to_string()))? {
                match message {
                    FromWorker::Loading(part) => progress(part.clamp(0.0, 1.0)),
                    FromWorker::LoadFailed(error) => return Err(Early::Refused(error)),
                    message => {
                        return expected(message)
                            .map_err(|_| broken("it spoke of what it was not asked for".to_owned()));
                    }
                }
            }
            match self.socket.read(&mut buffer).await {
                Ok(0) | Err(_) => return Err(Early::Closed(Closed::Eof)),
                Ok(count) => self.frames.extend(&buffer[..count]),
            }
        }
    }
}

/// Ends what is left of a worker that did not become ready, and says what happened.
async fn explain(process: &Process, closed: Closed) -> StartError {
    let what = match closed {
        Closed::Eof => match tokio::time::timeout(EXIT_AFTER_EOF, process.exited()).await {
            Ok(ExitReason::Signal(SIGKILL)) => {
                "the worker was killed while it loaded the model: most often the system was short of memory"
                    .to_owned()
            }
            Ok(exit) => format!("the worker {exit} while it loaded the model"),
            Err(_) => "the worker closed its channel while it loaded the model".to_owned(),
        },
        Closed::Broken(what) => format!(
            "the worker does not speak protocol {PROTOCOL_VERSION}: {what}\nhint: its file may have been replaced \
             while the daemon was running; restart the daemon"
        ),
    };
    process.kill();
    process.exited().await;
    let lines = process.last_lines();
    StartError::Engine(if lines.is_empty() { what } else { format!("{what}\nits last lines:\n{lines}") })
}

fn cannot(what: &str) -> impl FnOnce(std::io::Error) -> StartError {
    let what = what.to_owned();
    move |error| StartError::Engine(format!("cannot {what}: {error}"))
}
