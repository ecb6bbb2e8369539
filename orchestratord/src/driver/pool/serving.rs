//! Whether a pool can take a task, when it will be able to where it cannot, when waiting for it is in vain, and when
//! silence is a hang.
//!
//! Rules: ORCH-TASK-15, ORCH-ERR-8, ORCH-ERR-9, ORCH-MODEL-9, ORCH-REPL-15

use std::sync::Arc;
use std::time::Duration;

use engine_api::Engine;
use engine_api::redact::without_folders;
use orchestrator_core::{Millis, Priority, Timestamp};
use pool_manager::Breaker;

use super::Pool;
use super::lifecycle::Lifecycle;
use super::replicas::{Phase, Replica};
use crate::backpressure::{Failure, Refusal};

/// How a pool can take a task.
pub(in crate::driver) enum Serving {
    /// This engine can measure it.
    Now(Arc<dyn Engine>),
    /// It waits in the queue until the model is loaded or a replica is back.
    AfterLoad,
}

/// A reading of prompts that takes this many times as long as measured is still no hang: the machine may
/// be at other work.
const PREFILL_PATIENCE: f64 = 4.0;

/// A token that takes as long as this many usual ones is still no hang.
const DECODE_PATIENCE: f64 = 64.0;

/// The silence that is a hang: what the work explains, on top of a floor.
pub(in crate::driver) fn silence_bound(
    floor: Duration,
    unread_tokens: u64,
    prefill_tps: Option<f64>,
    decode_tps: Option<f64>,
) -> Duration {
    #[expect(clippy::cast_precision_loss, reason = "prompts are far shorter than 2^52 tokens")]
    let unread = unread_tokens as f64;
    let per = |count: f64, tps: Option<f64>| tps.filter(|tps| *tps > 0.0).map_or(0.0, |tps| count / tps);
    let seconds = PREFILL_PATIENCE * per(unread, prefill_tps) + per(DECODE_PATIENCE, decode_tps);
    floor + Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX / 2)
}

/// Why no replica serves, and when the first of them may.
struct Down {
    why: String,
    until: Timestamp,
}

impl Pool {
    /// Whether a task can be taken.
    ///
    /// # Errors
    /// [`Refusal::PoolUnready`] while the model is fetched, [`Refusal::PoolUnavailable`] when the pool
    /// failed or its model is retired.
    pub(in crate::driver) fn check_serving(&self, now: Timestamp) -> Result<Serving, Refusal> {
        let pool = self.setup.id.clone();
        if self.lifecycle.is_retired() {
            return Err(Refusal::ModelRetired { pool });
        }
        let unavailable = |why: String, until: Timestamp| Refusal::PoolUnavailable {
            pool: pool.clone(),
            why: without_folders(&why),
            retry_after: Millis::from_duration(until.since(now)),
        };
        match self.lifecycle.base() {
            Lifecycle::Fetching { view, since } => {
                let retry_after = rest_of(now.since(*since), view.share());
                let what = "its model is being fetched".to_owned();
                Err(Refusal::PoolUnready { pool, what, retry_after })
            }
            Lifecycle::FetchFailed { why, retry_at } => Err(unavailable(why.clone(), *retry_at)),
            Lifecycle::NoFit { why, retry_at } if now < *retry_at => Err(unavailable(why.clone(), *retry_at)),
            Lifecycle::Serving { .. } => match (self.any_engine(), self.given_up(now)) {
                (Some(engine), _) => Ok(Serving::Now(Arc::clone(engine))),
                (None, Some(Down { why, until })) => Err(unavailable(why, until)),
                (None, None) => Ok(Serving::AfterLoad),
            },
            // Its engines are about to go, or to come: what measured a prompt there would be lost.
            _ => Ok(Serving::AfterLoad),
        }
    }

    /// What tasks that wait end with, where they wait in vain.
    pub(in crate::driver) fn hopeless(&self, now: Timestamp) -> Option<Failure> {
        if !self.is_wanted() {
            return None;
        }
        if self.lifecycle.is_retired() {
            return Some(Failure::ModelRetired);
        }
        if self.leaves_without_replicas() {
            return Some(Failure::PoolRemoved);
        }
        let unavailable = |why: String, until: Timestamp| {
            let (why, retry_after) = (without_folders(&why), Millis::from_duration(until.since(now)));
            Some(Failure::PoolUnavailable { why, retry_after })
        };
        match self.lifecycle.base() {
            Lifecycle::FetchFailed { why, retry_at } => unavailable(why.clone(), *retry_at),
            Lifecycle::NoFit { why, retry_at } if now < *retry_at => unavailable(why.clone(), *retry_at),
            Lifecycle::Serving { .. } => {
                let over = self.outage_ends().is_some_and(|end| end <= now);
                let Down { why, until } = self.down(now).filter(|_| over || self.failed_everywhere())?;
                unavailable(why, until)
            }
            _ => None,
        }
    }

    /// When an outage of all replicas has lasted so long that tasks are not kept waiting for its end.
    pub(super) fn outage_ends(&self) -> Option<Timestamp> {
        match self.lifecycle.base() {
            Lifecycle::Serving { down_since: Some(since) } => Some(since.after(self.setup.outage_wait)),
            _ => None,
        }
    }

    /// Whether no replica can be started with the model's file as it is.
    fn failed_everywhere(&self) -> bool {
        self.replicas.values().all(|replica| matches!(replica.phase, Phase::Failed { .. }))
    }

    /// Why new tasks are not taken while no replica serves: every one is taken for a crash loop, or the outage has
    /// lasted too long.
    fn given_up(&self, now: Timestamp) -> Option<Down> {
        let lost = |replica: &Replica| {
            matches!(
                replica.phase,
                Phase::BackingOff { breaker: Breaker::Open, .. } | Phase::Failed { .. } | Phase::Retiring(_)
            )
        };
        let over = self.outage_ends().is_some_and(|end| end <= now);
        self.down(now).filter(|_| over || self.replicas.values().all(lost))
    }

    /// Why no replica serves, and when the first of them may; nothing while one is being started or takes tasks.
    fn down(&self, now: Timestamp) -> Option<Down> {
        let mut first = None::<(&str, Timestamp)>;
        for replica in self.replicas.values() {
            let (why, until) = match &replica.phase {
                Phase::Starting { .. } | Phase::Ready { suspension: None, .. } => return None,
                Phase::Retiring(_) => continue,
                Phase::BackingOff { until, reason, .. } | Phase::Failed { until, reason } => (reason, *until),
                // As long again as it has taken so far.
                Phase::Exited { reason, since } => (reason, now.after(now.since(*since))),
                Phase::Ready { suspension: Some(suspension), .. } => {
                    (&suspension.reason, now.after(now.since(suspension.since)))
                }
            };
            if first.is_none_or(|(_, earliest)| until < earliest) {
                first = Some((why, until));
            }
        }
        first.map(|(why, until)| Down { why: why.to_owned(), until })
    }

    /// When a caller whose task was lost with its engine may send it again: once a replica takes tasks and the lane has
    /// a place for it. An engine that has just gone takes as long as the last load.
    pub(in crate::driver) fn retry_after(&self, lane: Priority, caller: u64, now: Timestamp) -> Millis {
        let start = match self.replicas.open().next() {
            Some(_) => Millis(0),
            None => self.load_wait(now).max(Millis::from_duration(self.usage.last_load.unwrap_or_default())),
        };
        let place = self.scheduler.check(lane, caller, now).err();
        place.map_or(start, |full| full.retry_after.max(start))
    }

    /// How long it is until a replica takes tasks: nothing when one does. From how long the last load took
    /// and how far this one is; before the first, from how long this one has taken.
    pub(in crate::driver) fn load_wait(&self, now: Timestamp) -> Millis {
        let usual = self.usage.last_load.unwrap_or(Duration::ZERO);
        let rest = |since: Timestamp| match self.usage.last_load {
            Some(usual) => Millis::from_duration(usual.saturating_sub(now.since(since))),
            None => rest_of(now.since(since), None),
        };
        match self.lifecycle.base() {
            Lifecycle::Fetching { .. } | Lifecycle::FetchFailed { .. } | Lifecycle::Retired => Millis(0),
            Lifecycle::Loading { since } => rest(*since),
            Lifecycle::Serving { down_since: None } => Millis(0),
            Lifecycle::Serving { .. } => self.replica_wait(now, usual, rest),
            _ => Millis::from_duration(usual),
        }
    }

    fn replica_wait(&self, now: Timestamp, usual: Duration, rest: impl Fn(Timestamp) -> Millis) -> Millis {
        let each = self.replicas.values().filter_map(|replica| match &replica.phase {
            Phase::Starting { tested_since: Some(since), .. } => Some(self.test_rest(now.since(*since))),
            Phase::Starting { progress, since, .. } if *progress > 0.0 => {
                let (elapsed, progress) = (now.since(*since), f64::from(*progress));
                Some(Millis(rest_of(elapsed, Some(progress)).0 + self.test_after(elapsed, progress).0))
            }
            Phase::Starting { since, .. } | Phase::Exited { since, .. } => Some(rest(*since)),
            Phase::BackingOff { until, .. } | Phase::Failed { until, .. } => {
                Some(Millis::from_duration(until.since(now) + usual))
            }
            Phase::Ready { suspension: Some(suspension), .. } => {
                Some(rest_of(now.since(suspension.since), None))
            }
            Phase::Ready { suspension: None, .. } | Phase::Retiring(_) => None,
        });
        each.min_by_key(|wait| wait.0).unwrap_or(Millis(0))
    }
}

impl Pool {
    /// How long a self-test goes on that has taken `elapsed`: as the last one of the pool, else as long again.
    fn test_rest(&self, elapsed: Duration) -> Millis {
        match self.usage.last_test {
            Some(usual) => Millis::from_duration(usual.saturating_sub(elapsed)),
            None => rest_of(elapsed, None),
        }
    }

    /// How long the self-test after a load takes that is done to a share of `done`: as the last one of the pool, else as
    /// long as the load.
    fn test_after(&self, elapsed: Duration, done: f64) -> Millis {
        let load = || elapsed.mul_f64((1.0 / done).clamp(1.0, 1000.0));
        Millis::from_duration(self.usage.last_test.unwrap_or_else(load))
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
