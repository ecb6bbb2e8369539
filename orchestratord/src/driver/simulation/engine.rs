//! Engines of a simulation: what is in them, and how it goes on. They act in the world's time; the trait's methods are
//! never called, because the world performs the driver's effects itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use engine_api::{
    Abilities, Engine, EngineFacts, EngineKind, ExitReason, MeasureError, Measured, ModelFacts, SessionKv,
    StopOutcome, TaskSink,
};
use futures_util::future::BoxFuture;
use generation::{GenerateRequest, Workload};
use orchestrator_core::{Millis, ReplicaId, SessionId, TaskId, TokenCount};

use crate::driver::RunId;
use crate::task_log::TaskLog;

/// An engine's name in the world.
pub(in crate::driver) type EngineId = u32;

/// No run stalls for longer: the floor, and four times the reading of the longest prompts in every slot.
const STALL_BOUND_MS: u64 = 5_000 + 4 * 3 * 2_000 + 64 * 34 + 2_000;

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
    /// Since when it does not go on, though its engine works.
    pub(super) stalled_at: Option<u64>,
    /// Work done, as the engine reports it.
    pub(super) done: u64,
    /// Tokens of the answer so far, those of earlier placements included.
    pub(super) place: u32,
    /// The most tokens of the answer.
    pub(super) most: u32,
    /// Whether the next one is the first of this placement.
    pub(super) says_first: bool,
}

impl SimEngine {
    pub(in crate::driver) fn new(id: EngineId, replica: ReplicaId, slots: u16) -> Self {
        let facts = EngineFacts { ctx: ctx_of(&replica), ..facts(slots) };
        Self {
            replica,
            handle: Arc::new(Handle { id, facts }),
            mode: EngineMode::Working,
            slowness: 1,
            fails_next: false,
            runs: BTreeMap::new(),
        }
    }

    /// What must hold of the runs in an engine that works.
    pub(super) fn check(&self, now_ms: u64, has_ended: impl Fn(TaskId) -> bool) {
        if matches!(self.mode, EngineMode::Hung | EngineMode::Dead) {
            return;
        }
        for (task, run) in self.runs.iter().filter(|(_, run)| !run.canceled) {
            assert!(!has_ended(*task), "an engine is not told that a task has ended");
            let stalls = run.stalled_at.map_or(0, |since| now_ms - since);
            assert!(stalls <= STALL_BOUND_MS, "a run stalls for {stalls} ms beside others that go on");
        }
    }

    /// Runs that hold a slot.
    pub(super) fn busy(&self) -> usize {
        self.runs.values().filter(|run| !run.canceled).count()
    }
}

/// Tokens of context of a replica: of two, the second has less.
pub(super) fn ctx_of(replica: &ReplicaId) -> TokenCount {
    TokenCount(if replica.index.is_multiple_of(2) { 4096 } else { 1700 })
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

    fn submit(&self, _: Arc<GenerateRequest>, _: Box<dyn TaskSink>) {
        unreachable!("the world submits")
    }

    fn cancel(&self, _: TaskId) {
        unreachable!("the world cancels")
    }

    fn measure(&self, _: Arc<GenerateRequest>) -> BoxFuture<'static, Result<Measured, MeasureError>> {
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
        kv_cells: None,
        kv_bytes_per_token: 1,
        kv_ram_bytes: 0,
        workloads: vec![Workload::Completion],
        strict: true,
        // Of the simulations some have engines that go on with answers, and some have none.
        abilities: Abilities { continues: slots.is_multiple_of(2), ..Abilities::default() },
        model: ModelFacts {
            name: "m".to_owned(),
            architecture: "llama".to_owned(),
            parameters: 1,
            size_bytes: 1,
            ctx_train: TokenCount(4096),
            chat_template: false,
            embedding_size: 1,
            identity: 0,
        },
        load_ms: Millis(1),
        memory: None,
    }
}
