//! The one owner of queue, placement and model life. [`Driver::handle`] takes an event and the time, and returns what
//! to do: it waits for nothing, locks nothing, sends nothing. [`DriverTask`] feeds it and performs its effects.
//!
//! ```text
//! handlers    ── Command ──┐                          ┌──► Reply
//! engines     ── Task ─────┼──► Driver::handle(event, ├──► Submit, Cancel, CloseLog
//! controllers ── Pool ─────┘              now) ──►    └──► Order
//!                    ▲                                            │
//!                    └── Progress, LogClosed ◄── DriverTask ◄─────┘
//! ```
//!
//! | file | owns |
//! |---|---|
//! | `event.rs`, `effect.rs` | what comes in, what goes out |
//! | `task.rs`, `task_end.rs` | the states of a task, and every way in which one ends or is retried |
//! | `admit.rs`, `commands.rs` | the commands of handlers |
//! | `dispatch.rs`, `progress.rs` | tasks to replicas, and the search for those that hang |
//! | `engines.rs` | what engines and replicas report |
//! | `pool.rs`, `pool/` | a pool: the life of its model, its replicas, whether it serves |
//! | `pool_table.rs`, `configure.rs` | all pools, and how they come and go |
//! | `history.rs` | figures of the last hours |
//! | `shutdown.rs` | the stop |
//! | `run.rs` | the task around it all |
//!
//! Rules: ORCH-SHAPE-5, ORCH-MODEL-7, ORCH-STOP-1, ORCH-STOP-2

use std::time::Duration;

use orchestrator_core::{Millis, Timestamp};

use crate::backpressure::Refusal;
use crate::health_view::HealthView;
use crate::pool_protocol::{PoolEvent, PoolKey};

mod admit;
mod commands;
mod configure;
mod dispatch;
mod effect;
mod engines;
mod event;
mod history;
mod pool;
mod pool_table;
mod progress;
mod run;
mod shutdown;
#[cfg(test)]
mod simulation;
mod sink;
mod task;
mod task_end;
#[cfg(test)]
mod tests;
mod views;

pub use crate::handle::DriverHandle;
pub use effect::{Count, Effect, TokensOut};
pub use event::{Event, RunId, TaskEvent, Work};
pub use history::{DeviceMinute, FiguresView, MinuteView, PoolMinute, STEP as HISTORY_STEP};
pub use pool::PoolSetup;
pub use run::{DriverTask, OpenPool, Sources};
pub use task::Retention;
pub use task_end::FAILURES_MAX;

use history::History;
use pool::Pool;
use pool_table::PoolTable;
use shutdown::Mode;
use task::TaskTable;

/// How often replicas at work are looked at for progress.
const PROGRESS_CHECK: Duration = Duration::from_secs(1);

/// With more tasks than this the debug assertions do not count them.
#[cfg(debug_assertions)]
const CHECKED_TASKS_MAX: usize = 256;

/// The driver.
pub struct Driver {
    pools: PoolTable,
    tasks: TaskTable,
    mode: Mode,
    /// What is to be done, until [`Driver::handle`] returns it.
    effects: Vec<Effect>,
    /// When running tasks were last looked at for progress.
    looked_at: Timestamp,
    /// When the next model may make room for another.
    room_at: Option<Timestamp>,
    /// The last hours.
    history: History,
}

impl Driver {
    /// A driver of these pools, in this order.
    #[must_use]
    pub fn new(pools: Vec<PoolSetup>, retention: Retention, now: Timestamp) -> Self {
        Self {
            pools: PoolTable::new(pools, now),
            tasks: TaskTable::new(retention),
            mode: Mode::Serving,
            effects: Vec::new(),
            looked_at: now,
            room_at: None,
            history: History::default(),
        }
    }

    /// Handles one event, and all that follows from it at once.
    pub fn handle(&mut self, event: Event, now: Timestamp) -> Vec<Effect> {
        match event {
            Event::Command(command) => self.command(command, now),
            Event::Task(run, event) => self.task_event(run, event, now),
            Event::Progress(readings) => self.progress(&readings, now),
            Event::LogClosed(task, bytes) => {
                self.tasks.log_closed(task, bytes, now);
                return Vec::new();
            }
            Event::Pool(pool, PoolEvent::Replica(event)) => self.replica_event(pool, event, now),
            Event::Pool(pool, PoolEvent::Closed) => self.pool_closed(pool, now),
            Event::Pool(pool, event) => {
                if let Some(pool) = self.pools.get_mut(pool) {
                    pool.heard(event, now, &mut self.effects);
                }
            }
            Event::Devices(snapshot) => {
                self.history.devices(&snapshot, now);
                self.pools.as_mut_slice().iter_mut().for_each(|pool| pool.devices_read(&snapshot));
            }
            Event::Tick => {}
        }
        self.settle(now);
        #[cfg(debug_assertions)]
        self.check(now);
        std::mem::take(&mut self.effects)
    }

    /// When something is due though nothing happens. Always after `now`.
    #[must_use]
    pub fn next_wake(&self, now: Timestamp) -> Option<Timestamp> {
        let serving = self.is_serving();
        let pools = self.pools.iter().flat_map(|pool| {
            // A stopping daemon starts nothing, so it need not wake for that.
            let life =
                [pool.scheduler.next_wake(now), pool.life_wake(now)].map(|wake| wake.filter(|_| serving));
            life.into_iter().flatten().chain(pool.scheduler.sessions().next_expiry())
        });
        let at_work = self.pools.iter().any(|pool| pool.scheduler.running() > 0);
        let look = at_work.then(|| self.looked_at.after(PROGRESS_CHECK));
        let room = self.room_at.filter(|_| serving);
        pools.chain(self.tasks.next_forget()).chain(look).chain(room).min()
    }

    /// Does what has become possible: starts tasks, ends those that wait in vain, forgets what has been kept long
    /// enough.
    fn settle(&mut self, now: Timestamp) {
        self.tasks.forget(now);
        self.look_for_progress(now);
        for place in 0..self.pools.len() {
            let key = self.pools.key_at(place);
            self.expire_sessions(key, now);
            self.pools[key].settle(now, self.mode.accepts(), &mut self.effects);
            if self.is_serving() {
                self.end_hopeless(key, now);
                self.dispatch(key, now);
                self.pools[key].settle_demand(&mut self.effects);
                self.pools[key].settle_leaving(&mut self.effects);
            }
        }
        if self.is_serving() {
            self.make_room(now);
        }
        self.settle_shutdown();
    }

    /// Has models make room for others that wait for it, and ends the tasks of those that wait in vain.
    fn make_room(&mut self, now: Timestamp) {
        let (wake, in_vain) = pool::make_room(self.pools.as_mut_slice(), now, &mut self.effects);
        self.room_at = wake;
        for key in in_vain {
            self.pools[key].give_up_room(now, &mut self.effects);
            self.end_hopeless(key, now);
        }
    }

    fn expire_sessions(&mut self, key: PoolKey, now: Timestamp) {
        let pool = &mut self.pools[key];
        for forgotten in pool.scheduler.expire_sessions(now) {
            if let Some(engine) = forgotten.home.and_then(|home| pool.engine(&home.replica)).cloned() {
                self.effects.push(Effect::EvictSession { session: forgotten.session, engine });
            }
        }
    }

    fn health(&self, now: Timestamp) -> HealthView {
        HealthView {
            ready: self.is_serving() && self.pools.iter().any(Pool::serves),
            stopping: !self.is_serving(),
            uptime: Millis::from_duration(now.since(Timestamp::default())),
            pools: self.shown_pools().map(|pool| pool.view(now)).collect(),
        }
    }

    /// The pools, those that leave included, but for one whose name another pool has by now.
    fn shown_pools(&self) -> impl Iterator<Item = &Pool> {
        self.pools.iter().filter(|pool| pool.is_configured() || self.pools.named(&pool.setup.id).is_none())
    }

    fn is_serving(&self) -> bool {
        matches!(self.mode, Mode::Serving)
    }

    fn refuse_while_stopping(&self) -> Result<(), Refusal> {
        if self.is_serving() { Ok(()) } else { Err(Refusal::Stopping) }
    }

    /// What must hold after every event, whatever came before it. Counts the tasks only where they are few, so that a
    /// debug build stays linear in their number.
    #[cfg(debug_assertions)]
    fn check(&self, now: Timestamp) {
        assert!(
            self.next_wake(now).is_none_or(|wake| wake > now),
            "the driver would wake at once, and for ever"
        );
        for pool in self.pools.iter() {
            assert!(!self.is_serving() || pool.hopeless(now).is_none(), "nobody waits in vain");
            if self.tasks.len() > CHECKED_TASKS_MAX {
                continue;
            }
            let of_pool = || self.tasks.iter().map(|(_, task)| task).filter(|task| task.pool == pool.key());
            let waiting =
                of_pool().filter(|task| matches!(task.state, task::TaskState::Waiting { .. })).count();
            let queued: usize =
                orchestrator_core::Priority::ALL.iter().map(|lane| pool.scheduler.depth(*lane)).sum();
            assert_eq!(waiting, queued, "the queue holds the tasks that wait, and no other");
            let placed = of_pool().filter(|task| task.placement().is_some()).count();
            assert_eq!(
                placed,
                pool.scheduler.running(),
                "a task has a slot exactly while it is in an engine"
            );
        }
    }
}

impl std::fmt::Debug for Driver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Driver").field("pools", &self.pools.len()).finish_non_exhaustive()
    }
}
