//! A pool as `/health` shows it, and its tasks as their readers get them.

use std::sync::Arc;

use adapter_api::Device;
use orchestrator_core::{Priority, ReplicaId};

use super::{Phase, Pool, Replica, Stage};
use crate::handle::{Standing, Subscription};
use crate::health_view::{LaneView, PoolView, ReplicaView};
use crate::state::ModelState;
use crate::task_log::TaskLog;

impl Pool {
    /// A subscription from event `from` on to a task of this pool that stands so.
    #[must_use]
    pub fn subscription(&self, log: &Arc<TaskLog>, standing: Standing, from: u32) -> Subscription {
        let (engine, tools) = (self.setup.engine, self.tool_speech());
        Subscription { standing, engine, tools, reader: log.read_from(from) }
    }

    /// The pool at this moment.
    #[must_use]
    pub fn view(&self) -> PoolView {
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
        let (fetch, reason) = match &self.stage {
            Stage::Fetching { view, .. } => (Some(*view), None),
            Stage::FetchFailed { why, .. } | Stage::NoFit { why, .. } => (None, Some(why.clone())),
            Stage::NoRoom { why, .. } => (None, Some(format!("waits for room: {why}"))),
            Stage::Unloaded | Stage::Ordered { .. } | Stage::Started => (None, None),
        };
        let unloaded = matches!(self.stage, Stage::Unloaded);
        PoolView {
            id: self.setup.id.clone(),
            model_ref: self.setup.model_ref.clone(),
            engine: self.setup.engine,
            state: self.state,
            unloaded,
            loading: matches!(self.stage, Stage::Ordered { .. } | Stage::NoRoom { .. }),
            reload: self.reloading.as_ref().map(|reload| reload.view.clone()),
            placement: self.placement.clone(),
            lanes: Priority::ALL.map(lane).to_vec(),
            replicas: self.replicas.iter().map(|(id, replica)| self.replica_view(id, replica)).collect(),
            facts: self.facts.clone(),
            fetch,
            reason,
            prediction_error: self
                .scheduler
                .accuracy(Priority::Interactive)
                .map(|graded| graded.median_error),
        }
    }

    /// Whether it serves, or would serve the first who asks.
    #[must_use]
    pub fn serves(&self) -> bool {
        self.state == ModelState::Active && (self.any_engine().is_some() || self.is_on_demand())
    }

    fn replica_view(&self, id: &ReplicaId, replica: &Replica) -> ReplicaView {
        let snapshot = self.scheduler.replicas().find(|snapshot| snapshot.replica == *id);
        let reason = match &replica.phase {
            Phase::Exited { reason, .. } | Phase::BackingOff { reason, .. } => Some(reason.clone()),
            Phase::Starting { .. } | Phase::Ready(_) | Phase::Retiring(_) => None,
        };
        let state = match &replica.phase {
            Phase::Starting { .. } => "starting",
            Phase::Ready(_) if self.hold.is_some() => "retiring",
            Phase::Ready(_) => "ready",
            Phase::Retiring(_) => "retiring",
            Phase::Exited { .. } => "exited",
            Phase::BackingOff { .. } => "backing_off",
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
                Phase::Ready(engine) | Phase::Retiring(engine) => Some(engine.facts().clone()),
                _ => None,
            },
            slots_busy: snapshot.as_ref().map_or(0, |snapshot| snapshot.busy),
            decode_tps: snapshot.as_ref().and_then(|snapshot| snapshot.decode_tps),
            prefill_tps: snapshot.as_ref().and_then(|snapshot| snapshot.prefill_tps),
        }
    }
}
