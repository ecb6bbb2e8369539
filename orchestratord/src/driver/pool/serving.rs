//! Whether a pool can take a task, when it will be able to where it cannot, and when silence is a hang.

use std::sync::Arc;
use std::time::Duration;

use adapter_api::Engine;
use orchestrator_core::{Millis, Timestamp};
use pool_manager::Breaker;

use super::{Phase, Pool, Stage};
use crate::backpressure::Refusal;
use crate::state::ModelState;

/// How a pool can take a task.
pub enum Serving {
    /// This engine can measure it.
    Now(Arc<dyn Engine>),
    /// The model is loaded first, and the task waits for it.
    AfterLoad,
}

/// A reading of prompts that takes this many times as long as measured is still no hang: the machine may
/// be at other work.
const PREFILL_PATIENCE: f64 = 4.0;

/// A token that takes as long as this many usual ones is still no hang.
const DECODE_PATIENCE: f64 = 64.0;

/// The silence that is a hang: what the work explains, on top of a floor.
pub(super) fn silence_bound(
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

impl Pool {
    /// Whether a task can be taken.
    ///
    /// # Errors
    /// [`Refusal::PoolUnready`] while the model is fetched, [`Refusal::PoolUnavailable`] when the pool
    /// failed or its model is retired.
    pub fn check_serving(&self, now: Timestamp) -> Result<Serving, Refusal> {
        let pool = self.setup.id.clone();
        if self.state == ModelState::Retired {
            return Err(Refusal::ModelRetired { pool });
        }
        let unavailable = |why: String, at: Timestamp| Refusal::PoolUnavailable {
            pool: pool.clone(),
            why,
            retry_after: Millis::from_duration(at.since(now)),
        };
        match &self.stage {
            Stage::Fetching { view, since } => {
                let retry_after = rest_of(now.since(*since), view.share());
                let what = "its model is being fetched".to_owned();
                Err(Refusal::PoolUnready { pool, what, retry_after })
            }
            Stage::FetchFailed { why, retry_at } => Err(unavailable(why.clone(), *retry_at)),
            Stage::NoFit { why, retry_at } if now < *retry_at => Err(unavailable(why.clone(), *retry_at)),
            Stage::NoFit { .. } | Stage::Unloaded | Stage::Ordered { .. } | Stage::NoRoom { .. } => {
                Ok(Serving::AfterLoad)
            }
            // Its engines are about to go: what measured a prompt there would be lost.
            Stage::Started if self.is_held() => Ok(Serving::AfterLoad),
            Stage::Started => match (self.any_engine(), self.given_up(now)) {
                (Some(engine), _) => Ok(Serving::Now(Arc::clone(engine))),
                (None, Some((why, retry_after))) => Err(Refusal::PoolUnavailable { pool, why, retry_after }),
                (None, None) => Ok(Serving::AfterLoad),
            },
        }
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

    /// How long it is until a replica takes tasks: nothing when one does. From how long the last load took
    /// and how far this one is; before the first, from how long this one has taken.
    #[must_use]
    pub fn load_wait(&self, now: Timestamp) -> Millis {
        let usual = self.last_load.unwrap_or(Duration::ZERO);
        let rest = |since: Timestamp| match self.last_load {
            Some(usual) => Millis::from_duration(usual.saturating_sub(now.since(since))),
            None => rest_of(now.since(since), None),
        };
        match &self.stage {
            Stage::Unloaded | Stage::NoFit { .. } => Millis::from_duration(usual),
            Stage::Fetching { .. } | Stage::FetchFailed { .. } => Millis(0),
            Stage::Ordered { since } => rest(*since),
            Stage::NoRoom { .. } => Millis::from_duration(usual),
            Stage::Started if self.any_engine().is_some() && self.hold.is_none() => Millis(0),
            Stage::Started if self.hold.is_some() => Millis::from_duration(usual),
            Stage::Started => {
                let each = self.replicas.values().filter_map(|replica| match &replica.phase {
                    Phase::Starting { progress, since } if *progress > 0.0 => {
                        Some(rest_of(now.since(*since), Some(f64::from(*progress))))
                    }
                    Phase::Starting { since, .. } | Phase::Exited { since, .. } => Some(rest(*since)),
                    Phase::BackingOff { until, .. } => Some(Millis::from_duration(until.since(now) + usual)),
                    Phase::Ready(_) | Phase::Retiring(_) => None,
                });
                each.min_by_key(|wait| wait.0).unwrap_or(Millis(0))
            }
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
