//! When a replica that failed is started again. Pure: no clock, and the random numbers are passed in.
//!
//! The delay before attempt n is drawn evenly from `min` to `min · 2ⁿ`, capped at `max`: exponential
//! backoff with full jitter above a floor ("Exponential Backoff And Jitter", AWS Architecture Blog, 2015),
//! so that replicas that fell together do not rise together. After `breaker_after` failures in a row the
//! breaker opens: the delay is then drawn from the last third before `max`, until an engine stays up. So `max` bounds
//! every delay. While tasks wait for the replica, no delay is longer than one drawn evenly from `min` to `waiting_max`,
//! whatever the count of failures; and an engine that was ready is started again at once after its first failure: streams
//! stand still for it.
//!
//! Rules: ORCH-REPL-2, ORCH-REPL-10

use std::time::Duration;

use fastrand::Rng;

/// The shortest delay of an open breaker, as a share of the longest one.
const BREAKER_DELAY_SHARE_MIN: f64 = 2.0 / 3.0;

/// When to start a replica again.
#[derive(Clone, Debug, PartialEq)]
pub struct RestartPolicy {
    /// The shortest delay.
    pub min: Duration,
    /// The longest delay, whatever failed and however often.
    pub max: Duration,
    /// An engine that was ready this long starts the count of failures afresh.
    pub stable_after: Duration,
    /// The longest delay while tasks wait.
    pub waiting_max: Duration,
    /// Failures in a row that open the breaker.
    pub breaker_after: u32,
}

impl Default for RestartPolicy {
    fn default() -> Self {
        Self {
            min: Duration::from_millis(500),
            max: Duration::from_secs(60),
            waiting_max: Duration::from_secs(3),
            stable_after: Duration::from_secs(60),
            breaker_after: 5,
        }
    }
}

/// Whether tasks wait for the engine that is restarted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Demand {
    /// Nobody waits.
    #[default]
    Idle,
    /// Somebody waits: restarts are tried every few seconds.
    Waiting,
}

/// Whether the replica fails again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breaker {
    /// It may be a passing trouble.
    Closed,
    /// It is a crash loop: the pool should be taken for unavailable until the next attempt.
    Open,
}

/// What comes after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// How long to wait.
    pub delay: Duration,
    /// Failures in a row so far, from 1.
    pub attempt: u32,
    /// Whether the breaker is open meanwhile.
    pub breaker: Breaker,
}

/// Counts the failures of one replica.
#[derive(Debug)]
pub struct Backoff {
    policy: RestartPolicy,
    failures: u32,
    /// Whether the last failure was the first in a row, of an engine that was ready.
    at_once: bool,
    rng: Rng,
}

impl Backoff {
    /// No failures so far.
    #[must_use]
    pub fn new(policy: RestartPolicy, rng: Rng) -> Self {
        Self { policy, failures: 0, at_once: false, rng }
    }

    /// One more failure, after the engine was ready for `ready_for`.
    pub fn failed(&mut self, ready_for: Duration) -> Retry {
        if ready_for >= self.policy.stable_after {
            self.failures = 0;
        }
        self.failures = self.failures.saturating_add(1);
        self.at_once = self.failures == 1 && !ready_for.is_zero();
        let RestartPolicy { min, max, breaker_after, .. } = self.policy;
        let breaker = if self.failures >= breaker_after { Breaker::Open } else { Breaker::Closed };
        let delay = match breaker {
            Breaker::Open => self.breaker_delay(),
            Breaker::Closed => {
                let cap = min.saturating_mul(2_u32.saturating_pow(self.failures)).min(max);
                self.between(min.min(cap), cap)
            }
        };
        Retry { delay, attempt: self.failures, breaker }
    }

    /// The longest delay while tasks wait, drawn anew.
    pub fn waiting_delay(&mut self) -> Duration {
        if self.at_once {
            return Duration::ZERO;
        }
        let RestartPolicy { min, waiting_max, .. } = self.policy;
        self.between(min.min(waiting_max), waiting_max)
    }

    /// A start that was not tried, since its memory was taken meanwhile. The engine has not failed.
    pub fn no_room(&mut self) -> Retry {
        Retry { delay: self.breaker_delay(), attempt: self.failures, breaker: Breaker::Open }
    }

    /// A failure that only a changed model file mends.
    pub fn failed_for_good(&mut self) -> Retry {
        self.at_once = false;
        self.failures = self.failures.saturating_add(1);
        Retry { delay: self.policy.max, attempt: self.failures, breaker: Breaker::Open }
    }

    fn breaker_delay(&mut self) -> Duration {
        let max = self.policy.max;
        self.between(max.mul_f64(BREAKER_DELAY_SHARE_MIN), max)
    }

    fn between(&mut self, low: Duration, high: Duration) -> Duration {
        low + high.saturating_sub(low).mul_f64(self.rng.f64())
    }
}

#[cfg(test)]
mod tests;
