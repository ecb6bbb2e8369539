//! One pool as the driver sees it: its scheduler, its replicas, and why it cannot serve when it cannot.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use adapter_api::{Device, Engine, EngineFacts, EngineKind, Workload};
use orchestrator_core::{
    Millis, PoolId, PoolScheduler, Priority, QueueLimits, ReplicaId, SessionLimits, Timestamp,
};
use pool_manager::{Breaker, SelfTest};

use crate::backpressure::Refusal;
use crate::handle::{FetchView, LaneView, PoolView, ReplicaView};
use crate::metrics::PoolLabel;

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
}

/// News of a pool on its way to its first replica.
#[derive(Clone, Debug)]
pub enum PoolEvent {
    /// The model's file is on its way.
    Fetching(FetchView),
    /// It is not, and is tried again.
    FetchFailed {
        /// Why, in words for the user.
        why: String,
        /// When it is tried again.
        retry_in: Duration,
    },
    /// It is here: these replicas are started.
    Starting(Vec<(ReplicaId, Device)>),
}

/// One pool.
pub struct Pool {
    /// What it is.
    pub setup: PoolSetup,
    /// Its queue.
    pub scheduler: PoolScheduler,
    stage: Stage,
    replicas: BTreeMap<ReplicaId, Replica>,
    /// Of the last engine that was ready: the label of the pool's series.
    engine_version: String,
}

/// How far a pool has come.
enum Stage {
    Fetching { view: FetchView, since: Timestamp },
    FetchFailed { why: String, retry_at: Timestamp },
    Started,
}

struct Replica {
    device: Device,
    phase: Phase,
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

impl Phase {
    fn name(&self) -> &'static str {
        match self {
            Self::Starting { .. } => "starting",
            Self::Ready(_) => "ready",
            Self::Exited { .. } => "exited",
            Self::BackingOff { .. } => "backing_off",
        }
    }
}

impl Pool {
    /// A pool that has nothing yet.
    #[must_use]
    pub fn new(setup: PoolSetup, now: Timestamp) -> Self {
        let scheduler = PoolScheduler::new(setup.queue, setup.sessions);
        let view = FetchView { done_bytes: 0, total_bytes: None };
        Self {
            setup,
            scheduler,
            stage: Stage::Fetching { view, since: now },
            replicas: BTreeMap::new(),
            engine_version: String::new(),
        }
    }

    /// Whether it answers to a model's name: the config's reference, or the pool's own name.
    #[must_use]
    pub fn answers_to(&self, model_ref: &str) -> bool {
        self.setup.model_ref == model_ref || self.setup.id.as_str() == model_ref
    }

    /// The labels of its series.
    #[must_use]
    pub fn label(&self) -> PoolLabel<'_> {
        PoolLabel {
            engine: self.setup.engine.as_str(),
            engine_version: &self.engine_version,
            pool_id: self.setup.id.as_str(),
        }
    }

    /// The engine of a replica that serves.
    #[must_use]
    pub fn engine(&self, replica: &ReplicaId) -> Option<&Arc<dyn Engine>> {
        match &self.replicas.get(replica)?.phase {
            Phase::Ready(engine) => Some(engine),
            _ => None,
        }
    }

    /// An engine that serves.
    #[must_use]
    pub fn any_engine(&self) -> Option<&Arc<dyn Engine>> {
        self.replicas.values().find_map(|replica| match &replica.phase {
            Phase::Ready(engine) => Some(engine),
            _ => None,
        })
    }

    /// What its engines are; nothing while none serves.
    #[must_use]
    pub fn facts(&self) -> Option<&EngineFacts> {
        self.any_engine().map(|engine| engine.facts())
    }

    /// Whether it is known to serve `workload`.
    #[must_use]
    pub fn offers(&self, workload: Workload) -> bool {
        self.facts().is_some_and(|facts| facts.workloads.contains(&workload))
    }

    /// Notes news of its start.
    pub fn heard(&mut self, event: PoolEvent, now: Timestamp) {
        match event {
            PoolEvent::Fetching(view) => {
                let since = match &self.stage {
                    Stage::Fetching { since, .. } => *since,
                    Stage::FetchFailed { .. } | Stage::Started => now,
                };
                self.stage = Stage::Fetching { view, since };
            }
            PoolEvent::FetchFailed { why, retry_in } => {
                self.stage = Stage::FetchFailed { why, retry_at: now.after(retry_in) };
            }
            PoolEvent::Starting(replicas) => {
                self.stage = Stage::Started;
                for (id, device) in replicas {
                    let phase = Phase::Starting { progress: 0.0, since: now };
                    self.replicas.insert(id, Replica { device, phase });
                }
            }
        }
    }

    /// Notes what a replica is at; one that serves is a matter of [`ready`](Self::ready).
    pub fn set_phase(&mut self, replica: &ReplicaId, phase: Phase) {
        if let Some(replica) = self.replicas.get_mut(replica) {
            replica.phase = phase;
        }
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
        let profile = orchestrator_core::ReplicaProfile {
            slots: engine.facts().slots,
            prefill_tps: Some(test.prefill_tps),
            decode_tps: test.decode_tps,
            free_vram: None,
        };
        self.engine_version.clone_from(&engine.facts().version);
        self.set_phase(replica, Phase::Ready(engine));
        let lost = self.scheduler.replica_ready(replica.clone(), profile, now);
        debug_assert!(lost.is_empty(), "a replica is gone before it is ready again");
    }

    /// Why no task can be taken, when none can.
    ///
    /// # Errors
    /// [`Refusal::PoolUnready`] while it starts, [`Refusal::PoolUnavailable`] when it failed.
    pub fn check_serving(&self, now: Timestamp) -> Result<(), Refusal> {
        if self.any_engine().is_some() {
            return Ok(());
        }
        let pool = self.setup.id.clone();
        let unready =
            |what: String, retry_after| Refusal::PoolUnready { pool: pool.clone(), what, retry_after };
        let unavailable = |why: &str, retry_after| Refusal::PoolUnavailable {
            pool: pool.clone(),
            why: why.to_owned(),
            retry_after,
        };
        let until = |at: Timestamp| Millis::from_duration(at.since(now));
        match &self.stage {
            Stage::Fetching { view, since } => {
                let done = view.total_bytes.filter(|total| *total > 0).map(|total| {
                    #[expect(
                        clippy::cast_precision_loss,
                        reason = "a share of bytes needs no more than 52 bits"
                    )]
                    let share = view.done_bytes as f64 / total as f64;
                    share
                });
                return Err(unready("its model is being fetched".into(), rest_of(now.since(*since), done)));
            }
            Stage::FetchFailed { why, retry_at } => return Err(unavailable(why, until(*retry_at))),
            Stage::Started => {}
        }
        let mut answer = None::<Refusal>;
        for replica in self.replicas.values() {
            let refusal = match &replica.phase {
                Phase::Ready(_) => unreachable!("no engine serves"),
                Phase::Starting { progress, since } => unready(
                    "its model is being loaded".into(),
                    rest_of(now.since(*since), Some(f64::from(*progress))),
                ),
                Phase::Exited { reason, since } => unready(reason.clone(), rest_of(now.since(*since), None)),
                Phase::BackingOff { until: at, reason, breaker } => match breaker {
                    Breaker::Open => unavailable(reason, until(*at)),
                    Breaker::Closed => unready(reason.clone(), until(*at)),
                },
            };
            let sooner = answer.as_ref().is_none_or(|best| {
                refusal.verdict().retry_after.map(|wait| wait.0)
                    < best.verdict().retry_after.map(|wait| wait.0)
            });
            if sooner {
                answer = Some(refusal);
            }
        }
        Err(answer.unwrap_or_else(|| unready("it is being set up".into(), Millis(0))))
    }

    /// Why, and until when, every replica is taken for a crash loop; nothing while one may still come.
    #[must_use]
    pub fn given_up(&self, now: Timestamp) -> Option<(String, Millis)> {
        let mut first = None::<(&str, Timestamp)>;
        for replica in self.replicas.values() {
            let Phase::BackingOff { until, reason, breaker: Breaker::Open } = &replica.phase else {
                return None;
            };
            if first.is_none_or(|(_, earliest)| *until < earliest) {
                first = Some((reason, *until));
            }
        }
        first.map(|(why, until)| (why.to_owned(), Millis::from_duration(until.since(now))))
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
            Stage::FetchFailed { why, .. } => (None, Some(why.clone())),
            Stage::Started => (None, None),
        };
        PoolView {
            id: self.setup.id.clone(),
            model_ref: self.setup.model_ref.clone(),
            engine: self.setup.engine,
            lanes: Priority::ALL.map(lane).to_vec(),
            replicas: self.replicas.iter().map(|(id, replica)| self.replica_view(id, replica)).collect(),
            fetch,
            reason,
            prediction_error: self
                .scheduler
                .accuracy(Priority::Interactive)
                .map(|graded| graded.median_error),
        }
    }

    fn replica_view(&self, id: &ReplicaId, replica: &Replica) -> ReplicaView {
        let snapshot = self.scheduler.replicas().find(|snapshot| snapshot.replica == *id);
        let reason = match &replica.phase {
            Phase::Exited { reason, .. } | Phase::BackingOff { reason, .. } => Some(reason.clone()),
            Phase::Starting { .. } | Phase::Ready(_) => None,
        };
        ReplicaView {
            id: id.clone(),
            state: replica.phase.name(),
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
                Phase::Ready(engine) => Some(engine.facts().clone()),
                _ => None,
            },
            slots_busy: snapshot.as_ref().map_or(0, |snapshot| snapshot.busy),
            decode_tps: snapshot.as_ref().and_then(|snapshot| snapshot.decode_tps),
            prefill_tps: snapshot.as_ref().and_then(|snapshot| snapshot.prefill_tps),
        }
    }
}

/// How long something takes that has taken `elapsed` so far and is done to a share of `done`: as long
/// again as it has taken, where nothing says how far it is.
fn rest_of(elapsed: Duration, done: Option<f64>) -> Millis {
    let rest = match done {
        Some(done) if done > 0.0 => elapsed.mul_f64(((1.0 - done) / done).clamp(0.0, 1000.0)),
        _ => elapsed,
    };
    Millis::from_duration(rest)
}

#[cfg(test)]
mod tests;
