//! Engines of a simulation: what is in them, and how it goes on. They act in the world's time; the trait's methods are
//! never called, because the world performs the driver's effects itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use adapter_api::{
    Abilities, Engine, EngineFacts, EngineKind, ExitReason, Job, MeasureError, Measured, ModelFacts,
    SessionKv, StopOutcome, TaskSink, Workload,
};
use futures_util::future::BoxFuture;
use orchestrator_core::{Millis, ReplicaId, SessionId, TaskId, TokenCount};

use crate::driver::RunId;
use crate::task_log::TaskLog;

/// An engine's name in the world.
pub(in crate::driver) type EngineId = u32;

/// An engine in the world.
pub(in crate::driver) struct SimEngine {
    pub(super) replica: ReplicaId,
    pub(in crate::driver) handle: Arc<dyn Engine>,
    pub(super) mode: EngineMode,
    /// How much longer everything takes.
    pub(super) slowness: u64,
    /// It fails with the next task that it gets.
    pub(super) fails_next: bool,
    /// The runs in it, those that were canceled and have not ended included.
    pub(super) runs: BTreeMap<TaskId, SimRun>,
}

/// How an engine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EngineMode {
    /// It works.
    Working,
    /// It takes no new work.
    Refusing,
    /// It does nothing any more.
    Hung,
    /// It is gone.
    Dead,
}

/// A placement in an engine.
pub(super) struct SimRun {
    pub(super) run: RunId,
    pub(super) log: Arc<TaskLog>,
    pub(super) canceled: bool,
    /// It does not go on, though its engine works.
    pub(super) stalled: bool,
    /// Work done, as the engine reports it.
    pub(super) done: u64,
    /// Tokens still to come.
    pub(super) left: u32,
}

impl SimEngine {
    pub(in crate::driver) fn new(id: EngineId, replica: ReplicaId, slots: u16) -> Self {
        Self::with_abilities(id, replica, slots, Abilities::default())
    }

    /// One that can be asked for more than text.
    pub(in crate::driver) fn with_abilities(
        id: EngineId,
        replica: ReplicaId,
        slots: u16,
        abilities: Abilities,
    ) -> Self {
        Self {
            replica,
            handle: Arc::new(Handle { id, facts: EngineFacts { abilities, ..facts(slots) } }),
            mode: EngineMode::Working,
            slowness: 1,
            fails_next: false,
            runs: BTreeMap::new(),
        }
    }

    /// Runs that hold a slot.
    pub(super) fn busy(&self) -> usize {
        self.runs.values().filter(|run| !run.canceled).count()
    }
}

/// The name of the engine behind a handle.
pub(super) fn id_of(handle: &Arc<dyn Engine>) -> EngineId {
    handle.process().expect("an engine of the simulation has a name")
}

/// An engine as the driver has it.
struct Handle {
    id: EngineId,
    facts: EngineFacts,
}

impl Engine for Handle {
    fn facts(&self) -> &EngineFacts {
        &self.facts
    }

    fn process(&self) -> Option<u32> {
        Some(self.id)
    }

    fn submit(&self, _: Arc<Job>, _: Box<dyn TaskSink>) {
        unreachable!("the world submits")
    }

    fn cancel(&self, _: TaskId) {
        unreachable!("the world cancels")
    }

    fn measure(&self, _: Arc<Job>) -> BoxFuture<'static, Result<Measured, MeasureError>> {
        unreachable!("the world measures")
    }

    fn session_kv(&self, _: SessionId) -> Option<SessionKv> {
        None
    }

    fn evict_session(&self, _: SessionId) {}

    fn gone(&self) -> BoxFuture<'static, ExitReason> {
        unreachable!("the world says so")
    }

    fn stop(&self, _: Duration) -> BoxFuture<'static, StopOutcome> {
        unreachable!("the world ends it")
    }
}

fn facts(slots: u16) -> EngineFacts {
    EngineFacts {
        kind: EngineKind::Llamacpp,
        version: "1".to_owned(),
        build: "none".to_owned(),
        slots,
        ctx: TokenCount(4096),
        kv_bytes_per_token: 1,
        workloads: vec![Workload::Completion],
        strict: true,
        abilities: Abilities::default(),
        model: ModelFacts {
            name: "m".to_owned(),
            architecture: "llama".to_owned(),
            parameters: 1,
            size_bytes: 1,
            ctx_train: TokenCount(4096),
            chat_template: false,
            embedding_size: 1,
        },
        load_ms: Millis(1),
        memory: None,
    }
}
