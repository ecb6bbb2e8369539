//! Starting a worker: spawn, `Load`, progress, `Ready`. What goes wrong on the way is an error with the
//! reason and the worker's last lines.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use adapter_api::{
    Engine, EngineFactory, EngineFacts, EngineKind, ExitReason, LoadProgress, ReplicaSpec, StartError,
};
use futures_core::future::BoxFuture;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use worker_protocol::{FrameReader, FromWorker, PROTOCOL_VERSION, ToWorker, encode};

use crate::connection::{self, Closed, EXIT_AFTER_EOF, READ_BYTES, Reader};
use crate::engine::LlamacppEngine;
use crate::process::Process;
use crate::shared::{OUTGOING_BOUND, Shared};
use crate::tasks;

/// The signal with which a system short of memory ends a process.
const SIGKILL: i32 = 9;

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

    async fn start_worker(
        &self,
        spec: ReplicaSpec,
        progress: LoadProgress,
    ) -> Result<Arc<dyn Engine>, StartError> {
        let (ours, theirs) =
            std::os::unix::net::UnixStream::pair().map_err(cannot("make a channel for the worker"))?;
        ours.set_nonblocking(true).map_err(cannot("set up the channel of the worker"))?;
        let mut socket = UnixStream::from_std(ours).map_err(cannot("watch the channel of the worker"))?;
        let process = Process::spawn(&self.program, &self.args, OwnedFd::from(theirs), &spec)
            .map_err(cannot(&format!("start `{}`", self.program.display())))?;
        let mut frames = FrameReader::default();
        let load = encode(&ToWorker::Load { protocol: PROTOCOL_VERSION, spec })
            .map_err(|error| StartError::Engine(error.to_string()))?;
        // A worker that is dead already cannot be written to; the read says so with the reason.
        let _ = socket.write_all(&load).await;
        let facts = match load_model(&mut socket, &mut frames, &progress).await {
            Ok(facts) => facts,
            Err(Early::Refused(error)) => return Err(error),
            Err(Early::Closed(closed)) => return Err(explain(&process, closed).await),
        };
        let (outgoing, messages) = mpsc::channel(OUTGOING_BOUND);
        let shared = Arc::new(Shared::new(process, outgoing));
        let (read_half, write_half) = socket.into_split();
        let writer = tasks::spawn(connection::write(write_half, messages));
        let reader = Reader::new(read_half, frames);
        tasks::spawn(connection::read(reader, Arc::clone(&shared), writer));
        Ok(Arc::new(LlamacppEngine::new(facts, shared)))
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
}

/// Why a worker did not become ready.
enum Early {
    /// It said so itself.
    Refused(StartError),
    /// It went, or made no sense.
    Closed(Closed),
}

async fn load_model(
    socket: &mut UnixStream,
    frames: &mut FrameReader,
    progress: &LoadProgress,
) -> Result<EngineFacts, Early> {
    let broken = |what: String| Early::Closed(Closed::Broken(what));
    let mut buffer = vec![0; READ_BYTES];
    loop {
        while let Some(message) = frames.next_message().map_err(|error| broken(error.to_string()))? {
            match message {
                FromWorker::Loading(part) => progress(part.clamp(0.0, 1.0)),
                FromWorker::Ready(facts) => return Ok(*facts),
                FromWorker::LoadFailed(error) => return Err(Early::Refused(error)),
                FromWorker::Measured { .. } | FromWorker::Step(_) => {
                    return Err(broken("it spoke of jobs before it was ready".to_owned()));
                }
            }
        }
        match socket.read(&mut buffer).await {
            Ok(0) | Err(_) => return Err(Early::Closed(Closed::Eof)),
            Ok(count) => frames.extend(&buffer[..count]),
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
