//! The two ends of the channel: the reader, which calls the sinks itself so that a token wakes nobody on
//! its way but the one who waits for it, and the writer.
//!
//! Rules: ORCH-SHAPE-6

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use engine_api::{ExitReason, TaskSink};
use orchestrator_core::TaskId;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use worker_protocol::{
    EXIT_HUNG, FrameError, FrameReader, FromWorker, Step, TaskEvent, TaskUpdate, ToWorker, encode,
};

use crate::engine::AT_ONCE_BYTES;
use crate::shared::Shared;

/// Bytes taken from the channel at a time: some hundred steps.
pub(crate) const READ_BYTES: usize = 64 * 1024;

/// Messages written at a time.
const WRITE_BATCH: usize = 64;

/// How long a worker that closed its end may take to exit before it is killed.
pub(crate) const EXIT_AFTER_EOF: Duration = Duration::from_secs(2);

/// How long the last words of a worker that exited are read: a descendant may hold its end open.
const READ_AFTER_EXIT: Duration = Duration::from_secs(1);

/// Why nothing more comes from the worker.
pub(crate) enum Closed {
    /// It closed its end, or died with messages unread, which resets the socket.
    Eof,
    /// What came made no sense.
    Broken(String),
}

/// Reads until the end of the channel, then sees to it that the worker is gone and says so.
pub(crate) async fn read(mut reader: Reader, shared: Arc<Shared>, writer: JoinHandle<()>) {
    let closed = {
        let mut reading = std::pin::pin!(reader.until_closed(&shared));
        tokio::select! {
            closed = &mut reading => closed,
            _ = shared.process.exited() => {
                tokio::time::timeout(READ_AFTER_EXIT, reading).await.unwrap_or(Closed::Eof)
            }
        }
    };
    let reason = end_of_worker(&shared, closed).await;
    writer.abort();
    let reason = match shared.hung.get() {
        _ if shared.stopping.load(Ordering::SeqCst) => ExitReason::Stopped,
        Some(what) => ExitReason::Hung(what.clone()),
        None if reason == ExitReason::Code(EXIT_HUNG) => {
            ExitReason::Hung("a thread that reads its jobs was busy with one for too long".to_owned())
        }
        None => reason,
    };
    shared.close(reason);
    // The sinks of the reader go last, when it can be seen that the engine is gone.
    drop(reader);
}

async fn end_of_worker(shared: &Shared, closed: Closed) -> ExitReason {
    match closed {
        Closed::Eof => match tokio::time::timeout(EXIT_AFTER_EOF, shared.process.exited()).await {
            Ok(exit) => exit,
            Err(_) => {
                shared.process.kill();
                shared.process.exited().await;
                ExitReason::Channel("the worker closed it and went on running".to_owned())
            }
        },
        Closed::Broken(what) => {
            shared.process.kill();
            shared.process.exited().await;
            ExitReason::Channel(what)
        }
    }
}

/// The reading end, with the sinks it has taken over.
pub(crate) struct Reader {
    socket: OwnedReadHalf,
    frames: FrameReader,
    sinks: HashMap<TaskId, Box<dyn TaskSink>>,
}

impl Reader {
    /// Goes on where the start left off: `frames` may hold bytes already.
    pub(crate) fn new(socket: OwnedReadHalf, frames: FrameReader) -> Self {
        Self { socket, frames, sinks: HashMap::new() }
    }

    async fn until_closed(&mut self, shared: &Shared) -> Closed {
        let mut buffer = vec![0; READ_BYTES];
        loop {
            loop {
                match self.frames.next_message::<FromWorker>() {
                    Ok(Some(message)) => {
                        if let Err(what) = self.take(shared, message) {
                            return Closed::Broken(what);
                        }
                    }
                    Ok(None) => break,
                    Err(error) => return Closed::Broken(error.to_string()),
                }
            }
            match self.socket.read(&mut buffer).await {
                Ok(0) | Err(_) => return Closed::Eof,
                Ok(count) => self.frames.extend(&buffer[..count]),
            }
        }
    }

    fn take(&mut self, shared: &Shared, message: FromWorker) -> Result<(), String> {
        match message {
            FromWorker::Step(Step { tasks, sessions }) => {
                // Figures first: whoever hears of the end of a task may ask for its session at once.
                shared.update_sessions(sessions);
                for update in tasks {
                    self.tell(shared, update);
                }
                Ok(())
            }
            FromWorker::Answered { request, result } => {
                shared.answer(request, result);
                Ok(())
            }
            FromWorker::Progress(progress) => {
                shared.note_progress(&progress);
                Ok(())
            }
            FromWorker::Pong(pong) => {
                shared.pong.send_replace(Some(pong));
                Ok(())
            }
            FromWorker::Loading(_)
            | FromWorker::Ready(_)
            | FromWorker::Estimated(_)
            | FromWorker::LoadFailed(_) => Err("the worker spoke of loading after it was ready".to_owned()),
        }
    }

    fn tell(&mut self, shared: &Shared, TaskUpdate { task, event }: TaskUpdate) {
        if !self.sinks.contains_key(&task) {
            self.sinks.extend(shared.arrivals());
        }
        match event {
            TaskEvent::Output(piece) => {
                shared.note_tokens(task, piece.tokens.len());
                if let Some(sink) = self.sinks.get_mut(&task) {
                    sink.output(piece);
                }
            }
            TaskEvent::End(report) => {
                if let Some(sink) = self.sinks.remove(&task) {
                    shared.ended(task);
                    sink.end(report);
                }
            }
        }
    }
}

/// A message as a frame. One with a large job is encoded by another thread: it takes as long as some hundred tokens of
/// others.
async fn frame_of(message: ToWorker) -> Result<Vec<u8>, FrameError> {
    let bytes = match &message {
        ToWorker::Ask { question, .. } => question.bytes(),
        ToWorker::Submit(job) => job.bytes(),
        _ => 0,
    };
    if bytes <= AT_ONCE_BYTES {
        return encode(&message);
    }
    let encoding = tokio::task::spawn_blocking(move || encode(&message));
    encoding.await.unwrap_or_else(|error| Err(FrameError::Io(std::io::Error::other(error))))
}

/// Writes until nobody sends any more or the worker does not take it.
pub(crate) async fn write(mut socket: OwnedWriteHalf, mut outgoing: mpsc::Receiver<ToWorker>) {
    let mut batch = Vec::with_capacity(WRITE_BATCH);
    let mut bytes = Vec::new();
    while outgoing.recv_many(&mut batch, WRITE_BATCH).await > 0 {
        bytes.clear();
        for message in std::mem::take(&mut batch) {
            match frame_of(message).await {
                Ok(frame) if bytes.is_empty() => bytes = frame,
                Ok(frame) => bytes.extend_from_slice(&frame),
                // Sizes are checked where messages are made; closing our end ends the worker.
                Err(error) => {
                    tracing::error!(%error, "a message for a worker cannot be written");
                    return;
                }
            }
        }
        // An error is the worker's death, which the reader sees for itself.
        if socket.write_all(&bytes).await.is_err() {
            return;
        }
    }
}
