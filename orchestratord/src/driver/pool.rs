//! One pool as the driver sees it: its scheduler, its replicas, the life of its model, and why it cannot
//! serve when it cannot.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use adapter_api::{Device, Engine, EngineFacts, EngineKind, ExitReason, ToolSpeech, Workload};
use orchestrator_core::{
    Millis, PoolId, PoolScheduler, QueueLimits, ReplicaId, ReplicaProfile, SessionLimits, TaskId, Timestamp,
};
use pool_manager::{Breaker, Placement, SelfTest, Snapshot};
use tokio::sync::oneshot;

use crate::health_view::FetchView;
use crate::keeper::{Orders, Swapped};
use crate::metrics::PoolLabel;
use crate::state::ModelState;

mod life;
mod serving;
mod view;

use life::{Hold, Stage};
pub use life::{Reloading, make_room};
pub use serving::Serving;

use life::Leaving;

/// What the driver is told of a pool at the start.
#[derive(Clone, Debug)]
pub struct PoolSetup {
    /// Its name.
    pub id: PoolId,
    /// The model, as the config names it.
    pub model_ref: String,
    /// The engine.
    pub engine: EngineKind,
    /// The bounds of its queue.
    pub queue: QueueLimits,
    /// The bounds of its sessions.
    pub sessions: SessionLimits,
    /// After this without a task the model is unloaded; never when absent.
    pub idle_unload: Option<Duration>,
    /// The least silence of a replica at work that is taken for a hang.
    pub hang_floor: Duration,
}

/// One pool.
pub struct Pool {
    /// What it is.
    pub setup: PoolSetup,
    /// Its queue.
    pub scheduler: PoolScheduler,
    /// Whether its model is in service.
    pub state: ModelState,
    /// The reload that is under way.
    pub reloading: Option<Reloading>,
    /// What was reckoned of each device before the last load.
    pub placement: Vec<Placement>,
    orders: Orders,
    stage: Stage,
    hold: Option<Hold>,
    /// Whether it is loaded again as soon as it is unloaded: it was put back into service meanwhile.
    load_again: bool,
    /// Replicas that finish what they have after others took their place.
    leaving: Vec<Leaving>,
    replicas: BTreeMap<ReplicaId, Replica>,
    /// Of the last engine that was ready.
    facts: Option<EngineFacts>,
    last_used: Timestamp,
    ready_since: Timestamp,
    /// How long the last load took, from its order to the first replica that was ready.
    last_load: Option<Duration>,
}

struct Replica {
    device: Device,
    phase: Phase,
    /// What its tasks had said when it last made progress.
    progress: Progress,
}

/// How far the tasks of a replica have come, and since when.
struct Progress {
    mark: Vec<(TaskId, u32)>,
    since: Timestamp,
}

/// What a replica is at.
pub enum Phase {
    /// Its model is loaded.
    Starting {
        /// How far, from 0 to 1.
        progress: f32,
        /// Since when.
        since: Timestamp,
    },
    /// It serves.
    Ready(Arc<dyn Engine>),
    /// It finishes what it has: others have taken its place.
    Retiring(Arc<dyn Engine>),
    /// It is gone; its supervisor says next what becomes of it.
    Exited {
        /// Why.
        reason: String,
        /// Since when.
        since: Timestamp,
    },
    /// It is started again at a time.
    BackingOff {
        /// When.
        until: Timestamp,
        /// Why it went.
        reason: String,
        /// Whether it is taken for a crash loop.
        breaker: Breaker,
    },
}

impl Pool {
    /// A pool that has nothing yet.
    #[must_use]
    pub fn new(setup: PoolSetup, orders: Orders, now: Timestamp) -> Self {
        let scheduler = PoolScheduler::new(setup.queue, setup.sessions);
        let view = FetchView { done_bytes: 0, total_bytes: None };
        Self {
            setup,
            scheduler,
            state: ModelState::Active,
            reloading: None,
            placement: Vec::new(),
            orders,
            stage: Stage::Fetching { view, since: now },
            hold: None,
            load_again: false,
            leaving: Vec::new(),
            replicas: BTreeMap::new(),
            facts: None,
            last_used: now,
            ready_since: now,
            last_load: None,
        }
    }

    /// Whether it answers to a model's name: the config's reference, or the pool's own name.
    #[must_use]
    pub fn answers_to(&self, model_ref: &str) -> bool {
        self.setup.model_ref == model_ref || self.setup.id.as_str() == model_ref
    }

    /// How its engine tells calls of tools, once one has said so.
    #[must_use]
    pub fn tool_speech(&self) -> Option<ToolSpeech> {
        self.facts.as_ref().and_then(|facts| facts.abilities.tools)
    }

    /// The labels of its series.
    #[must_use]
    pub fn label(&self) -> PoolLabel<'_> {
        PoolLabel {
            engine: self.setup.engine.as_str(),
            engine_version: self.facts.as_ref().map_or("", |facts| &facts.version),
            pool_id: self.setup.id.as_str(),
        }
    }

    /// The engine of a replica that has one.
    #[must_use]
    pub fn engine(&self, replica: &ReplicaId) -> Option<&Arc<dyn Engine>> {
        match &self.replicas.get(replica)?.phase {
            Phase::Ready(engine) | Phase::Retiring(engine) => Some(engine),
            Phase::Starting { .. } | Phase::Exited { .. } | Phase::BackingOff { .. } => None,
        }
    }

    /// Whether a replica of this name is here.
    #[must_use]
    pub fn has(&self, replica: &ReplicaId) -> bool {
        self.replicas.contains_key(replica)
    }

    /// An engine that serves.
    #[must_use]
    pub fn any_engine(&self) -> Option<&Arc<dyn Engine>> {
        self.replicas.values().find_map(|replica| match &replica.phase {
            Phase::Ready(engine) => Some(engine),
            _ => None,
        })
    }

    /// Whether it is known to serve `workload`, now or when it was last loaded.
    #[must_use]
    pub fn offers(&self, workload: Workload) -> bool {
        self.facts.as_ref().is_some_and(|facts| facts.workloads.contains(&workload))
    }

    /// Notes what a replica is at; one that serves is a matter of [`ready`](Self::ready).
    pub fn set_phase(&mut self, replica: &ReplicaId, phase: Phase) {
        if let Some(replica) = self.replicas.get_mut(replica) {
            replica.phase = phase;
        }
    }

    /// A replica is gone. One that was retiring is forgotten.
    pub fn gone(&mut self, replica: &ReplicaId, reason: String, now: Timestamp) {
        match self.replicas.get_mut(replica).map(|replica| &mut replica.phase) {
            Some(Phase::Retiring(_)) => _ = self.replicas.remove(replica),
            Some(phase @ Phase::Ready(_)) => *phase = Phase::Exited { reason, since: now },
            // Of several words on one end, the first says why, and what came after it stands.
            Some(Phase::Starting { .. } | Phase::Exited { .. } | Phase::BackingOff { .. }) | None => {}
        }
    }

    /// A replica is started again at a time. Without a reason, what was said of its end says why.
    pub fn backs_off(
        &mut self,
        replica: &ReplicaId,
        until: Timestamp,
        reason: Option<String>,
        breaker: Breaker,
    ) {
        let Some(replica) = self.replicas.get_mut(replica) else { return };
        let reason = reason.unwrap_or_else(|| match &replica.phase {
            Phase::Exited { reason, .. } => reason.clone(),
            _ => ExitReason::Stopped.to_string(),
        });
        replica.phase = Phase::BackingOff { until, reason, breaker };
    }

    /// How far a replica's model is loaded.
    pub fn loading(&mut self, replica: &ReplicaId, progress: f32, now: Timestamp) {
        let Some(replica) = self.replicas.get_mut(replica) else { return };
        let since = match replica.phase {
            Phase::Starting { since, .. } => since,
            _ => now,
        };
        replica.phase = Phase::Starting { progress, since };
    }

    /// A replica serves from now on.
    pub fn ready(&mut self, replica: &ReplicaId, engine: Arc<dyn Engine>, test: &SelfTest, now: Timestamp) {
        if self.any_engine().is_none() {
            self.ready_since = now;
            self.last_used = self.last_used.max(now);
            self.last_load = self.load_began().map(|began| now.since(began)).or(self.last_load);
        }
        self.facts = Some(engine.facts().clone());
        let profile = ReplicaProfile {
            slots: engine.facts().slots,
            prefill_tps: Some(test.prefill_tps),
            decode_tps: test.decode_tps,
            company: test.company,
            free_vram: None,
        };
        self.set_phase(replica, Phase::Ready(engine));
        let lost = self.scheduler.replica_ready(replica.clone(), profile, now);
        debug_assert!(lost.is_empty(), "a replica is gone before it is ready again");
        if self.hold.is_some() {
            self.scheduler.replica_retiring(replica);
        }
    }

    /// These replicas are started, in place of any before them.
    fn starting(&mut self, replicas: Vec<(ReplicaId, Device)>, now: Timestamp) {
        self.stage = Stage::Started;
        self.hold = None;
        self.forget_replicas();
        for (id, device) in replicas {
            self.insert(id, device, Phase::Starting { progress: 0.0, since: now }, now);
        }
    }

    /// Forgets the replicas, but for those that finish what they have: their ends have been told.
    fn forget_replicas(&mut self) {
        self.replicas.retain(|_, replica| matches!(replica.phase, Phase::Retiring(_)));
        debug_assert!(
            self.scheduler.replicas().all(|open| self.replicas.contains_key(&open.replica)),
            "a replica is gone before its pool forgets it"
        );
    }

    /// Other replicas take the place of those there are.
    fn swapped(&mut self, new: Vec<Swapped>, old_idle: oneshot::Sender<()>, now: Timestamp) {
        let mut old = Vec::new();
        self.replicas.retain(|id, replica| match &replica.phase {
            Phase::Ready(engine) | Phase::Retiring(engine) => {
                replica.phase = Phase::Retiring(Arc::clone(engine));
                old.push(id.clone());
                true
            }
            Phase::Starting { .. } | Phase::Exited { .. } | Phase::BackingOff { .. } => false,
        });
        if matches!(self.hold, Some(Hold::Swapping)) {
            self.hold = None;
        }
        for Swapped { replica, device, engine, self_test } in new {
            self.insert(replica.clone(), device, Phase::Starting { progress: 1.0, since: now }, now);
            self.ready(&replica, engine, &self_test, now);
        }
        for replica in &old {
            self.scheduler.replica_retiring(replica);
        }
        self.stage = Stage::Started;
        self.leaving.push(Leaving { replicas: old, idle: old_idle });
    }

    fn insert(&mut self, id: ReplicaId, device: Device, phase: Phase, now: Timestamp) {
        let progress = Progress { mark: Vec::new(), since: now };
        self.replicas.insert(id, Replica { device, phase, progress });
    }

    /// Notes how much memory is free where each replica computes.
    pub fn devices_read(&mut self, snapshot: &Snapshot) {
        for (id, replica) in &self.replicas {
            if let Some(memory) = snapshot.of(&replica.device).and_then(|reading| reading.memory) {
                self.scheduler.free_vram(id, memory.free_bytes);
            }
        }
    }

    /// The replicas at work that have been silent for longer than their work explains, and for how long.
    /// `said` is how much a task has said.
    pub fn hung(&mut self, said: impl Fn(TaskId) -> (u32, u32), now: Timestamp) -> Vec<(ReplicaId, Millis)> {
        let speeds: BTreeMap<_, _> =
            self.scheduler.replicas().map(|snapshot| (snapshot.replica.clone(), snapshot)).collect();
        let mut hung = Vec::new();
        for (id, replica) in &mut self.replicas {
            if !matches!(replica.phase, Phase::Ready(_) | Phase::Retiring(_)) {
                continue;
            }
            let mut unread = 0;
            let mut mark: Vec<_> = Vec::new();
            for task in self.scheduler.running_on(id) {
                let (tokens, prompt) = said(task);
                unread += if tokens == 0 { u64::from(prompt) } else { 0 };
                mark.push((task, tokens));
            }
            if mark.is_empty() || mark != replica.progress.mark {
                replica.progress = Progress { mark, since: now };
                continue;
            }
            let speed = speeds.get(id);
            let bound = serving::silence_bound(
                self.setup.hang_floor,
                unread,
                speed.and_then(|speed| speed.prefill_tps),
                speed.and_then(|speed| speed.decode_tps),
            );
            let silent = now.since(replica.progress.since);
            if silent >= bound {
                hung.push((id.clone(), Millis::from_duration(silent)));
            }
        }
        hung
    }
}

#[cfg(test)]
mod tests;
