//! A pool as `/health` shows it.
//!
//! Rules: ORCH-MODEL-10

use engine_api::Device;
use orchestrator_core::{Millis, Priority, ReplicaId, Timestamp};

use super::Pool;
use super::lifecycle::Lifecycle;
use super::replicas::{Phase, Replica};
use crate::health_view::{LaneView, PoolView, ReplicaView, StayView};
use crate::state::ModelState;

impl Pool {
    /// The pool at this moment.
    pub(in crate::driver) fn view(&self, now: Timestamp) -> PoolView {
        let bound = |priority| match priority {
            Priority::Interactive => self.setup.queue.interactive,
            Priority::Batch => self.setup.queue.batch,
        };
        let count = |tasks: usize| u32::try_from(tasks).unwrap_or(u32::MAX);
        let lane = |priority| LaneView {
            priority,
            depth: count(self.scheduler.depth(priority)),
            bound: count(bound(priority)),
        };
        let (fetch, reason) = match self.lifecycle.base() {
            Lifecycle::Fetching { view, .. } => (Some(*view), None),
            Lifecycle::FetchFailed { why, .. } | Lifecycle::NoFit { why, .. } => (None, Some(why.clone())),
            Lifecycle::NoRoom { why, .. } => (None, Some(format!("waits for room: {why}"))),
            _ => (None, None),
        };
        PoolView {
            id: self.setup.id.clone(),
            model_ref: self.setup.model_ref.clone(),
            aliases: self.setup.aliases.clone(),
            engine: self.setup.engine,
            state: self.state(),
            unloaded: matches!(self.lifecycle.base(), Lifecycle::Unloaded | Lifecycle::Retired),
            loading: matches!(self.lifecycle.base(), Lifecycle::Loading { .. } | Lifecycle::NoRoom { .. }),
            reload: self.lifecycle.reload().map(|reload| reload.view.clone()),
            placement: self.placement.clone(),
            lanes: Priority::ALL.map(lane).to_vec(),
            replicas: self.replicas.iter().map(|(id, replica)| self.replica_view(id, replica)).collect(),
            facts: self.facts.clone(),
            fetch,
            reason,
            stay: StayView {
                pinned: self.is_pinned(),
                unloads_in: self.idle_until().map(|until| Millis::from_duration(until.since(now))),
            },
            prediction_error: self.prediction_error(),
        }
    }

    /// The median of the error of predicted starts, as a fraction of the real wait.
    pub(in crate::driver) fn prediction_error(&self) -> Option<f64> {
        self.scheduler.accuracy(Priority::Interactive).map(|graded| graded.median_error)
    }

    /// Whether it serves, or would serve the first who asks.
    pub(in crate::driver) fn serves(&self) -> bool {
        let on_demand = matches!(
            self.lifecycle.base(),
            Lifecycle::Unloaded | Lifecycle::Loading { .. } | Lifecycle::NoRoom { .. }
        );
        self.state() == ModelState::Active && (self.any_engine().is_some() || on_demand)
    }

    fn replica_view(&self, id: &ReplicaId, replica: &Replica) -> ReplicaView {
        let snapshot = self.scheduler.replicas().find(|snapshot| snapshot.replica == *id);
        let reason = match &replica.phase {
            Phase::Exited { reason, .. }
            | Phase::BackingOff { reason, .. }
            | Phase::Failed { reason, .. } => Some(reason.clone()),
            Phase::Ready { suspension, .. } => {
                suspension.as_ref().map(|suspension| suspension.reason.clone())
            }
            Phase::Starting { .. } | Phase::Retiring(_) => None,
        };
        let state = match &replica.phase {
            Phase::Starting { .. } => "starting",
            Phase::Ready { .. } if self.lifecycle.is_leaving() || !self.is_configured() => "retiring",
            Phase::Ready { suspension: Some(_), .. } => "suspended",
            Phase::Ready { .. } => "ready",
            Phase::Retiring(_) => "retiring",
            Phase::Exited { .. } => "exited",
            Phase::BackingOff { .. } | Phase::Failed { .. } => "backing_off",
        };
        ReplicaView {
            id: id.clone(),
            state,
            reason,
            load_progress: match replica.phase {
                Phase::Starting { progress, .. } => Some(progress),
                _ => None,
            },
            device: replica.device.to_string(),
            device_uuid: match &replica.device {
                Device::Gpu { uuid, .. } => Some(uuid.clone()),
                Device::Cpu => None,
            },
            facts: match &replica.phase {
                Phase::Ready { engine, .. } | Phase::Retiring(engine) => Some(engine.facts().clone()),
                _ => None,
            },
            slots_busy: snapshot.as_ref().map_or(0, |snapshot| snapshot.busy),
            kv_cells_used: snapshot.as_ref().and_then(|snapshot| snapshot.cells_kept),
            decode_tps: snapshot.as_ref().and_then(|snapshot| snapshot.decode_tps),
            prefill_tps: snapshot.as_ref().and_then(|snapshot| snapshot.prefill_tps),
        }
    }
}
