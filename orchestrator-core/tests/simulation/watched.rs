//! A pool whose waits are noted.

use std::time::Duration;

use orchestrator_core::{EndFigures, PoolScheduler, Priority, Timestamp};

use crate::pools::{Job, Machine, Policy, scheduler_of};

/// A scheduler whose waits are noted, lane by lane.
pub struct Watched {
    pool: PoolScheduler,
    arrived: Vec<(Priority, Timestamp)>,
    waits_ms: [Vec<f64>; 2],
}

impl Watched {
    /// The same pool as [`scheduler`] makes, with slots kept for interactive tasks.
    pub fn new(machines: &[Machine], batch_max_wait: Duration, interactive_reserve: u16) -> Self {
        let pool = scheduler_of(machines, batch_max_wait, interactive_reserve);
        Self { pool, arrived: Vec::new(), waits_ms: [Vec::new(), Vec::new()] }
    }

    /// The wait of a lane that so large a share of its tasks stayed under.
    pub fn wait_ms(&mut self, priority: Priority, share: f64) -> f64 {
        let waits = &mut self.waits_ms[priority as usize];
        let place = ((waits.len() - 1) as f64 * share) as usize;
        *waits.select_nth_unstable_by(place, f64::total_cmp).1
    }
}

impl Policy for Watched {
    fn arrive(&mut self, job: usize, what: &Job, now: Timestamp) {
        self.arrived.push((what.priority, now));
        self.pool.arrive(job, what, now);
    }
    fn next(&mut self, now: Timestamp) -> Option<(usize, usize)> {
        let (job, machine) = Policy::next(&mut self.pool, now)?;
        let (priority, arrived) = self.arrived[job];
        self.waits_ms[priority as usize].push(now.since(arrived).as_secs_f64() * 1000.0);
        Some((job, machine))
    }
    fn wake(&self, now: Timestamp) -> Option<Timestamp> {
        self.pool.wake(now)
    }
    fn first_token(&mut self, job: usize, now: Timestamp) {
        Policy::first_token(&mut self.pool, job, now);
    }
    fn end(&mut self, job: usize, figures: EndFigures, now: Timestamp) {
        self.pool.end(job, figures, now);
    }
}
