//! The replicas of a pool: the phase of each, and which of them take tasks.
//!
//! ```text
//! Starting ──► Ready ◄──► Ready, suspended ──► Exited ──► BackingOff ──► Starting
//!                └── others took its place ──► Retiring ──► gone
//! ```
//!
//! Rules: ORCH-REPL-14

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use engine_api::{Device, Engine, ExitReason};
use orchestrator_core::{PoolScheduler, ReplicaId, ReplicaProfile, Timestamp};
use pool_manager::{Breaker, SelfTest, Snapshot};

use super::Pool;
use crate::pool_protocol::IdleSignal;

/// A replica whose engine failed with a task and then says nothing of being suspended gets tasks again after this.
const SUSPENSION: Duration = Duration::from_secs(2);

/// The replicas of a pool.
#[derive(Debug, Default)]
pub(super) struct Replicas {
    map: BTreeMap<ReplicaId, Replica>,
    /// Replicas that finish what they have, and what tells the controller when they have.
    outgoing: Vec<(Vec<ReplicaId>, IdleSignal)>,
}

/// One replica.
#[derive(Debug)]
pub(super) struct Replica {
    pub(super) device: Device,
    pub(super) phase: Phase,
}

/// The phase of a replica.
pub(super) enum Phase {
    /// Its model is loaded, from 0 to 1, and then tested.
    Starting {
        progress: f32,
        since: Timestamp,
        /// Since when it is tested.
        tested_since: Option<Timestamp>,
    },
    /// It serves, unless it is suspended.
    Ready { engine: Arc<dyn Engine>, suspension: Option<Suspension> },
    /// It finishes what it has: others have taken its place.
    Retiring(Arc<dyn Engine>),
    /// Its engine is gone; the next report of its supervisor says when it restarts.
    Exited { reason: String, since: Timestamp },
    /// It is started again at a time. `breaker` says whether it is taken for a crash loop.
    BackingOff { until: Timestamp, reason: String, breaker: Breaker },
    /// It cannot be started until somebody changes the model's file; it is tried again at a time.
    Failed { until: Timestamp, reason: String },
}

/// Why a replica that is ready takes no tasks.
#[derive(Clone, Debug)]
pub(super) struct Suspension {
    pub(super) reason: String,
    pub(super) since: Timestamp,
    /// When it ends by itself; otherwise its engine says so.
    until: Option<Timestamp>,
}

impl Replicas {
    pub(super) fn iter(&self) -> impl Iterator<Item = (&ReplicaId, &Replica)> {
        self.map.iter()
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &Replica> {
        self.map.values()
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = &ReplicaId> {
        self.map.keys()
    }

    pub(super) fn has(&self, replica: &ReplicaId) -> bool {
        self.map.contains_key(replica)
    }

    /// Those that take tasks, as far as they are concerned.
    pub(super) fn open(&self) -> impl Iterator<Item = &ReplicaId> {
        let open = |phase: &Phase| matches!(phase, Phase::Ready { suspension: None, .. });
        self.map.iter().filter(move |(_, replica)| open(&replica.phase)).map(|(id, _)| id)
    }

    /// These are started, in place of any before them.
    pub(super) fn replace(&mut self, replicas: Vec<(ReplicaId, Device)>, now: Timestamp) {
        self.forget();
        for (id, device) in replicas {
            self.insert(id, device, now);
        }
    }

    pub(super) fn insert(&mut self, id: ReplicaId, device: Device, now: Timestamp) {
        let phase = Phase::Starting { progress: 0.0, since: now, tested_since: None };
        self.map.insert(id, Replica { device, phase });
    }

    /// Forgets all but those that finish what they have: their ends have been reported.
    pub(super) fn forget(&mut self) {
        self.map.retain(|_, replica| matches!(replica.phase, Phase::Retiring(_)));
    }

    /// Others take their place: those with an engine finish what they have. Returns them.
    pub(super) fn retire_all(&mut self, idle: IdleSignal) -> Vec<ReplicaId> {
        let mut old = Vec::new();
        self.map.retain(|id, replica| match &replica.phase {
            Phase::Ready { engine, .. } | Phase::Retiring(engine) => {
                replica.phase = Phase::Retiring(Arc::clone(engine));
                old.push(id.clone());
                true
            }
            Phase::Starting { .. }
            | Phase::Exited { .. }
            | Phase::BackingOff { .. }
            | Phase::Failed { .. } => false,
        });
        self.outgoing.push((old.clone(), idle));
        old
    }

    /// Whether some still finish what they have after others took their place.
    pub(super) fn are_outgoing(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// The signals of those that have nothing left to finish.
    pub(super) fn take_idle(&mut self, scheduler: &PoolScheduler) -> Vec<IdleSignal> {
        if self.outgoing.is_empty() {
            return Vec::new();
        }
        let is_busy =
            |replicas: &[ReplicaId]| replicas.iter().any(|id| scheduler.running_on(id).next().is_some());
        let (busy, idle): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.outgoing).into_iter().partition(|(replicas, _)| is_busy(replicas));
        self.outgoing = busy;
        idle.into_iter().map(|(_, signal)| signal).collect()
    }

    /// Since when the first of those that are started is.
    pub(super) fn starting_since(&self) -> Option<Timestamp> {
        let began = self.values().filter_map(|replica| match replica.phase {
            Phase::Starting { since, .. } => Some(since),
            _ => None,
        });
        began.min()
    }

    /// When the next suspension ends by itself.
    pub(super) fn next_resume(&self) -> Option<Timestamp> {
        let ends = self.values().filter_map(|replica| match &replica.phase {
            Phase::Ready { suspension: Some(suspension), .. } => suspension.until,
            _ => None,
        });
        ends.min()
    }
}

impl Pool {
    /// The engine of a replica that has one.
    pub(in crate::driver) fn engine(&self, replica: &ReplicaId) -> Option<&Arc<dyn Engine>> {
        match &self.replicas.map.get(replica)?.phase {
            Phase::Ready { engine, .. } | Phase::Retiring(engine) => Some(engine),
            _ => None,
        }
    }

    /// The replica that has this engine.
    pub(in crate::driver) fn replica_of(&self, engine: &Arc<dyn Engine>) -> Option<ReplicaId> {
        let has = |phase: &Phase| match phase {
            Phase::Ready { engine: own, .. } | Phase::Retiring(own) => Arc::ptr_eq(own, engine),
            _ => false,
        };
        self.replicas.iter().find(|(_, replica)| has(&replica.phase)).map(|(id, _)| id.clone())
    }

    /// An engine that serves: the one with the largest context, so that a task is measured against the most that any
    /// replica holds.
    pub(super) fn any_engine(&self) -> Option<&Arc<dyn Engine>> {
        let engines = self.replicas.values().filter_map(|replica| match &replica.phase {
            Phase::Ready { engine, suspension: None } => Some(engine),
            _ => None,
        });
        engines.max_by_key(|engine| engine.facts().ctx)
    }

    /// How far a replica's model is loaded.
    pub(in crate::driver) fn loading(&mut self, replica: &ReplicaId, progress: f32, now: Timestamp) {
        let Some(replica) = self.replicas.map.get_mut(replica) else { return };
        let (since, tested_since) = match replica.phase {
            Phase::Starting { since, tested_since, .. } => (since, tested_since),
            _ => (now, None),
        };
        let tested_since = if progress < 1.0 { None } else { tested_since.or(Some(now)) };
        replica.phase = Phase::Starting { progress, since, tested_since };
    }

    /// A replica serves from now on.
    pub(in crate::driver) fn ready(
        &mut self,
        replica: &ReplicaId,
        engine: Arc<dyn Engine>,
        test: &SelfTest,
        now: Timestamp,
    ) {
        if self.any_engine().is_none() {
            self.usage.ready_since = now;
            self.usage.last_used = self.usage.last_used.max(now);
            self.usage.last_load = self.load_began().map(|began| now.since(began)).or(self.usage.last_load);
        }
        self.usage.last_test = Some(test.took);
        self.learn_facts(engine.facts());
        let profile = ReplicaProfile {
            slots: engine.facts().slots,
            ctx: Some(engine.facts().ctx),
            kv_cells: engine.facts().kv_cells,
            prefill_tps: Some(test.prefill_tps),
            decode_tps: test.decode_tps,
            batched: test.batched,
            free_vram: None,
        };
        if let Some(known) = self.replicas.map.get_mut(replica) {
            known.phase = Phase::Ready { engine, suspension: None };
        }
        let lost = self.scheduler.replica_ready(replica.clone(), profile, now);
        debug_assert!(lost.is_empty(), "a replica is gone before it is ready again");
        if self.lifecycle.is_leaving() {
            self.scheduler.replica_retiring(replica);
        }
        self.replicas_changed(now);
    }

    /// The engine of a replica takes no new tasks until it says so.
    pub(in crate::driver) fn suspended(&mut self, replica: &ReplicaId, reason: String, now: Timestamp) {
        self.suspend(replica, Suspension { reason, since: now, until: None }, now);
    }

    /// The engine of a replica failed with a task. It is expected to say that it is suspended, or to be gone.
    pub(in crate::driver) fn suspended_by_task(
        &mut self,
        replica: &ReplicaId,
        reason: String,
        now: Timestamp,
    ) {
        if let Some(Phase::Ready { suspension: None, .. }) =
            self.replicas.map.get(replica).map(|known| &known.phase)
        {
            self.suspend(replica, Suspension { reason, since: now, until: Some(now.after(SUSPENSION)) }, now);
        }
    }

    fn suspend(&mut self, replica: &ReplicaId, new: Suspension, now: Timestamp) {
        let Some(known) = self.replicas.map.get_mut(replica) else { return };
        let Phase::Ready { suspension, .. } = &mut known.phase else { return };
        let since = suspension.as_ref().map_or(new.since, |before| before.since);
        *suspension = Some(Suspension { since, ..new });
        self.scheduler.replica_retiring(replica);
        self.replicas_changed(now);
    }

    /// The engine of a replica takes tasks again.
    pub(in crate::driver) fn resumed(&mut self, replica: &ReplicaId, now: Timestamp) {
        let Some(known) = self.replicas.map.get_mut(replica) else { return };
        let Phase::Ready { suspension, .. } = &mut known.phase else { return };
        *suspension = None;
        if !self.lifecycle.is_leaving() {
            self.scheduler.replica_open(replica);
        }
        self.replicas_changed(now);
    }

    /// Ends the suspensions whose time is over.
    pub(super) fn end_suspensions(&mut self, now: Timestamp) {
        if self.replicas.next_resume().is_none_or(|next| next > now) {
            return;
        }
        let over = |replica: &Replica| match &replica.phase {
            Phase::Ready { suspension: Some(suspension), .. } => {
                suspension.until.is_some_and(|until| until <= now)
            }
            _ => false,
        };
        let over: Vec<_> =
            self.replicas.iter().filter(|(_, replica)| over(replica)).map(|(id, _)| id.clone()).collect();
        for replica in over {
            self.resumed(&replica, now);
        }
    }

    /// A replica is gone. One that was retiring is forgotten.
    pub(in crate::driver) fn gone(&mut self, replica: &ReplicaId, reason: String, now: Timestamp) {
        match self.replicas.map.get_mut(replica).map(|replica| &mut replica.phase) {
            Some(Phase::Retiring(_)) => _ = self.replicas.map.remove(replica),
            Some(phase @ Phase::Ready { .. }) => *phase = Phase::Exited { reason, since: now },
            // Of several reports on one end, the first says why, and what came after it stands.
            _ => {}
        }
        self.replicas_changed(now);
    }

    /// A replica is started again at a time. Without a reason, what was reported of its end says why.
    pub(in crate::driver) fn backs_off(
        &mut self,
        replica: &ReplicaId,
        until: Timestamp,
        reason: Option<String>,
        breaker: Breaker,
    ) {
        let Some(replica) = self.replicas.map.get_mut(replica) else { return };
        let reason = reason.unwrap_or_else(|| match &replica.phase {
            Phase::Exited { reason, .. } => reason.clone(),
            _ => ExitReason::Stopped.to_string(),
        });
        replica.phase = Phase::BackingOff { until, reason, breaker };
    }

    /// A replica cannot be started with the model's file as it is.
    pub(in crate::driver) fn failed_for_good(
        &mut self,
        replica: &ReplicaId,
        until: Timestamp,
        reason: String,
    ) {
        if let Some(replica) = self.replicas.map.get_mut(replica) {
            replica.phase = Phase::Failed { until, reason };
        }
    }

    /// Notes how much memory is free where each replica computes.
    pub(in crate::driver) fn devices_read(&mut self, snapshot: &Snapshot) {
        for (id, replica) in &self.replicas.map {
            if let Some(memory) = snapshot.of(&replica.device).and_then(|reading| reading.memory) {
                self.scheduler.free_vram(id, memory.free_bytes);
            }
        }
    }
}

impl std::fmt::Debug for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Starting { .. } => "Starting",
            Self::Ready { suspension: None, .. } => "Ready",
            Self::Ready { .. } => "Suspended",
            Self::Retiring(_) => "Retiring",
            Self::Exited { .. } => "Exited",
            Self::BackingOff { .. } => "BackingOff",
            Self::Failed { .. } => "Failed",
        })
    }
}
