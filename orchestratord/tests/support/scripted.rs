//! An engine that plays a script: what it says of a task, and how it ends with it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use engine_api::{
    Abilities, Engine, EngineFacts, EngineKind, ExitReason, MeasureError, Measured, ModelFacts, SessionKv,
    StopOutcome, TaskSink,
};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use generation::{EndReport, EngineError, Finish, GenerateRequest, OutputChunk, Workload};
use orchestrator_core::{Millis, SessionId, TaskId, TokenCount};
use proptest::prelude::*;
use tokio::sync::{Notify, mpsc};

/// How an engine ends with a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Stop,
    Length,
    /// It waits until it hears that the task is canceled, and says more before it ends.
    Canceled,
    Invalid,
    Decode,
    /// It says that it was lost.
    Lost,
    /// It goes away without a word.
    Dies,
}

impl Outcome {
    /// What the stream ends with.
    pub const fn finish_reason(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::Canceled => "canceled",
            Self::Invalid | Self::Decode | Self::Lost | Self::Dies => "error",
        }
    }

    fn finish(self) -> Option<Finish> {
        let failed = |error| Some(Finish::Failed(error));
        match self {
            Self::Stop => Some(Finish::Stop),
            Self::Length => Some(Finish::Length),
            Self::Canceled => Some(Finish::Canceled),
            Self::Invalid => failed(EngineError::Invalid("`sampling.grammar` is none".to_owned())),
            Self::Decode => failed(EngineError::Decode("the card is on fire".to_owned())),
            Self::Lost => failed(EngineError::Lost),
            Self::Dies => None,
        }
    }
}

/// What an engine does with a task that it is given.
#[derive(Clone, Debug)]
pub struct Attempt {
    pub says: Vec<String>,
    pub fate: Outcome,
}

impl Attempt {
    pub fn new(says: &[&str], fate: Outcome) -> Self {
        Self { says: says.iter().map(|text| (*text).to_owned()).collect(), fate }
    }
}

/// Any attempt at all.
pub fn attempt() -> impl Strategy<Value = Attempt> {
    let text = prop_oneof![
        4 => "[a-z ]{1,8}",
        1 => "\\PC{1,4}",
        1 => Just("\n\nevent: end\ndata: {}\n\n".to_owned()),
        1 => Just("🦙".to_owned()),
    ];
    let fate = prop_oneof![
        3 => Just(Outcome::Stop),
        1 => Just(Outcome::Length),
        2 => Just(Outcome::Canceled),
        1 => Just(Outcome::Invalid),
        1 => Just(Outcome::Decode),
        1 => Just(Outcome::Lost),
        4 => Just(Outcome::Dies),
    ];
    (prop::collection::vec(text, 0..6), fate).prop_map(|(says, fate)| Attempt { says, fate })
}

/// What whoever steers the engine has to do something about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happens {
    WaitsForCancel,
    Died,
}

/// Plays its attempts, one a task it is given; without any left, it stops at once.
pub struct ScriptedEngine {
    facts: EngineFacts,
    attempts: Mutex<VecDeque<Attempt>>,
    happens: mpsc::Sender<Happens>,
    happened: tokio::sync::Mutex<mpsc::Receiver<Happens>>,
    heard: Arc<Notify>,
}

impl ScriptedEngine {
    pub fn new(attempts: Vec<Attempt>) -> Arc<Self> {
        let (happens, happened) = mpsc::channel(16);
        let facts = EngineFacts {
            kind: EngineKind::Llamacpp,
            version: "scripted".to_owned(),
            build: "none".to_owned(),
            slots: 1,
            ctx: TokenCount(4096),
            kv_cells: None,
            kv_bytes_per_token: 1,
            kv_ram_bytes: 0,
            workloads: vec![Workload::Completion],
            strict: true,
            abilities: Abilities::default(),
            model: ModelFacts {
                name: "scripted".to_owned(),
                architecture: "none".to_owned(),
                parameters: 1,
                size_bytes: 1,
                ctx_train: TokenCount(4096),
                chat_template: true,
                embedding_size: 1,
                identity: 0,
            },
            load_ms: Millis(1),
            memory: None,
        };
        Arc::new(Self {
            facts,
            attempts: Mutex::new(attempts.into()),
            happens,
            happened: tokio::sync::Mutex::new(happened),
            heard: Arc::default(),
        })
    }

    /// The next thing to do something about.
    pub async fn happens(&self) -> Happens {
        self.happened.lock().await.recv().await.expect("the engine has the other end")
    }

    /// The task has been canceled.
    pub fn hears(&self) {
        self.heard.notify_one();
    }
}

impl Engine for ScriptedEngine {
    fn facts(&self) -> &EngineFacts {
        &self.facts
    }

    fn submit(&self, _: Arc<GenerateRequest>, mut sink: Box<dyn TaskSink>) {
        let attempt = self.attempts.lock().unwrap().pop_front();
        let Attempt { says, fate } = attempt.unwrap_or_else(|| Attempt::new(&[], Outcome::Stop));
        let (happens, heard) = (self.happens.clone(), Arc::clone(&self.heard));
        tokio::runtime::Handle::current().spawn(async move {
            let tokens_out = u32::try_from(says.len()).unwrap();
            for text in says {
                sink.output(OutputChunk { text, tokens: vec![7], ..OutputChunk::default() });
                tokio::task::yield_now().await;
            }
            if fate == Outcome::Canceled {
                happens.send(Happens::WaitsForCancel).await.unwrap();
                heard.notified().await;
                sink.output(OutputChunk {
                    text: "too late".to_owned(),
                    tokens: vec![7],
                    ..OutputChunk::default()
                });
            }
            match fate.finish() {
                Some(finish) => {
                    sink.end(EndReport { tokens_in: TokenCount(3), ..EndReport::short(finish, tokens_out) });
                }
                None => {
                    drop(sink);
                    happens.send(Happens::Died).await.unwrap();
                }
            }
        });
    }

    fn cancel(&self, _: TaskId) {}

    fn measure(&self, _: Arc<GenerateRequest>) -> BoxFuture<'static, Result<Measured, MeasureError>> {
        std::future::ready(Ok(Measured { tokens: TokenCount(3), longest: TokenCount(3) })).boxed()
    }

    fn session_kv(&self, _: SessionId) -> Option<SessionKv> {
        None
    }

    fn evict_session(&self, _: SessionId) {}

    fn gone(&self) -> BoxFuture<'static, ExitReason> {
        std::future::pending().boxed()
    }

    fn stop(&self, _: Duration) -> BoxFuture<'static, StopOutcome> {
        std::future::ready(StopOutcome::Ended).boxed()
    }
}
