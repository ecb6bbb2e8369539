//! A sink that listens, and jobs to listen to.

use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

use engine_api::{Device, LoadOptions, ReplicaSpec, TaskSink};
use generation::{EndReport, GenerateRequest, Input, OutputChunk};
use orchestrator_core::{PoolId, ReplicaId, TaskId};
use tokio::sync::mpsc;

/// The most a test waits for anything.
const LIMIT: Duration = Duration::from_secs(60);

/// Pieces one listener holds.
const ROOM: usize = 100_000;

/// What a sink heard.
#[derive(Clone, Debug, PartialEq)]
pub enum SinkCall {
    /// A piece.
    Token(OutputChunk),
    /// The end.
    End(EndReport),
}

/// A sink that passes on what it hears.
pub struct RecordingSink(mpsc::Sender<SinkCall>);

impl TaskSink for RecordingSink {
    fn output(&mut self, chunk: OutputChunk) {
        self.0.try_send(SinkCall::Token(chunk)).expect("room");
    }

    fn end(self: Box<Self>, report: EndReport) {
        self.0.try_send(SinkCall::End(report)).expect("room");
    }
}

/// All that was heard of one task.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recording {
    /// The pieces.
    pub pieces: Vec<OutputChunk>,
    /// The end; nothing when the sink was dropped without one.
    pub end: Option<EndReport>,
}

impl Recording {
    /// The whole text.
    #[must_use]
    pub fn text(&self) -> String {
        self.pieces.iter().map(|piece| piece.text.as_str()).collect()
    }

    /// Hears a task out.
    pub async fn of(mut heard: mpsc::Receiver<SinkCall>) -> Self {
        let mut recording = Self::default();
        within(async {
            while let Some(heard) = heard.recv().await {
                match heard {
                    SinkCall::Token(piece) => recording.pieces.push(piece),
                    SinkCall::End(report) => recording.end = Some(report),
                }
            }
        })
        .await;
        recording
    }
}

/// A sink, and what it hears.
#[must_use]
pub fn listen() -> (Box<RecordingSink>, mpsc::Receiver<SinkCall>) {
    let (sender, heard) = mpsc::channel(ROOM);
    (Box::new(RecordingSink(sender)), heard)
}

/// `future`, which a test does not wait for without end.
pub async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, future).await.expect("in time")
}

/// A replica of four slots on the processor.
#[must_use]
pub fn spec() -> ReplicaSpec {
    ReplicaSpec {
        replica: ReplicaId { pool: PoolId::new("p").expect("a name"), index: 0 },
        model: PathBuf::from("m.gguf"),
        ctx: None,
        kv_cells: None,
        slots: 4,
        threads: None,
        device: Device::Cpu,
        gpu_layers: None,
        options: LoadOptions::default(),
    }
}

/// A greedy completion of `input`, without a limit.
#[must_use]
pub fn job(input: Input) -> GenerateRequest {
    GenerateRequest { seed: 7, ..GenerateRequest::new(TaskId(uuid::Uuid::new_v4()), input) }
}
