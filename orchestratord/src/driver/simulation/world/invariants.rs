//! What must hold in a simulation:
//!
//! - every admitted task gets exactly one end, within [`BOUND_MS`](super::BOUND_MS) of the last operation;
//! - the text of an answer is written by one placement;
//! - no engine has more tasks than slots, and none is unloaded with a task in it;
//! - tasks of one lane start in the order of their admission, but for those that wait for the replica that holds their
//!   KV cache, or for one that holds their context; those that one loss put back keep their order;
//! - an engine is told to end what has ended for its readers, and no run stalls in it for longer than its bound;
//! - no slot is idle while a task waits, unless the task waits for its KV cache, and then for no longer than reading its
//!   prompt takes;
//! - a pool that was removed is gone, with its controller;
//! - every command has its reply, and every order to a controller is followed by what it waits for;
//! - the driver wakes for what its pools have planned, never at once, and its counts agree with each other: its own debug
//!   assertions.

use orchestrator_core::{Availability, PoolScheduler, ReplicaSnapshot, Session, TaskId};

use super::super::controller::Phase;
use super::super::engine::ctx_of;
use super::{Watched, World};
use crate::driver::RunId;
use crate::driver::pool::Pool;

impl World {
    /// Tasks start in the order of their admission; of those that a loss put back, only among themselves.
    pub(super) fn check_order(&mut self, run: RunId) {
        let watched = &self.tasks[&run.task];
        let (pool, lane) = (watched.pool, watched.request.job.priority);
        let (started, lost_in) = (watched.started, watched.lost_in);
        for id in self.admitted.iter().take_while(|id| **id != run.task) {
            let Some(other) = self.tasks.get(id) else { continue };
            let rival = other.ends == 0 && other.pool == pool && other.request.job.priority == lane;
            let before = match started {
                false => !other.started,
                true => other.lost_in == lost_in && self.waits(*id, other),
            };
            assert!(
                !(rival && before) || self.leaves_slots(other),
                "a task of a lane starts before one that was admitted before it"
            );
        }
        self.tasks.get_mut(&run.task).expect("it is watched").started = true;
    }

    fn waits(&self, id: TaskId, task: &Watched) -> bool {
        let pool = self.driver.pools.get(self.controllers[task.pool].key);
        pool.is_some_and(|pool| pool.scheduler.position(id, self.now()).is_some())
    }

    /// Whether a task leaves the slots that are free to others: its KV cache is at a replica without one, or none of
    /// these replicas holds its context.
    fn leaves_slots(&self, task: &Watched) -> bool {
        let Some(pool) = self.driver.pools.get(self.controllers[task.pool].key) else { return false };
        let scheduler = &pool.scheduler;
        let session = task.request.job.session.and_then(|id| scheduler.sessions().get(id, self.now()));
        let home = session.and_then(Session::home);
        let warm = home.is_some_and(|home| {
            scheduler
                .replicas()
                .any(|replica| replica.replica == home.replica && replica.busy == replica.slots)
        });
        warm || does_not_fit(scheduler, task)
    }

    pub(super) fn check(&mut self) {
        let now = self.now();
        for engine in self.engines.values() {
            engine.check(self.now_ms, |task| self.tasks[&task].ends > 0);
        }
        for pool in self.driver.pools.iter().filter(|_| !self.stopping) {
            let (index, scheduler) = (self.with_key(pool.key()), &pool.scheduler);
            let planned = [scheduler.next_wake(now), pool.life_wake(now)].into_iter().flatten().min();
            let wakes = planned.is_none_or(|at| self.driver.next_wake(now).is_some_and(|wake| wake <= at));
            assert!(wakes, "the driver does not wake for what a pool has planned");
            let open = |replica: &ReplicaSnapshot| replica.availability == Availability::Open;
            let idle = scheduler.replicas().any(|replica| open(&replica) && replica.busy < replica.slots);
            for (id, task) in self.tasks.iter_mut().filter(|(_, task)| task.pool == index) {
                if !idle || scheduler.position(*id, now).is_none() || does_not_fit(scheduler, task) {
                    task.passes_up_since = None;
                    continue;
                }
                assert!(scheduler.next_wake(now).is_some(), "a slot is idle while a task waits");
                let since = *task.passes_up_since.get_or_insert(self.now_ms);
                let gains = u64::from(task.prompt()) + 1;
                assert!(self.now_ms - since <= gains, "a task passes up a slot for longer than it gains");
            }
        }
    }

    pub(super) fn check_the_end(&mut self) {
        for (id, task) in &self.tasks {
            assert_eq!(task.ends, 1, "task {} ends once", id.0.as_u128());
            let text = task.log.text();
            let (mut runs, mut places) = (Vec::<u32>::new(), Vec::<usize>::new());
            for token in text.split_terminator(' ') {
                let (run, place) = token[1..].split_once('.').expect("a token says where it is");
                runs.push(run.parse().expect("a number"));
                places.push(place.parse().expect("a number"));
            }
            assert!(runs.is_sorted(), "an earlier placement writes after a later one: {text}");
            assert!(places.iter().copied().eq(0..places.len()), "a token is lost or comes twice: {text}");
        }
        for controller in self.controllers.iter().filter(|_| !self.stopping) {
            let configured = self.driver.pools.get(controller.key).is_some_and(Pool::is_configured);
            assert_eq!(
                controller.phase == Phase::Closed,
                !configured,
                "{} is gone once it was removed, and not before",
                controller.id
            );
        }
        for mut reload in std::mem::take(&mut self.reloads) {
            assert!(reload.try_recv().is_ok() || self.stopping, "a reload has its reply");
        }
        for mut stop in std::mem::take(&mut self.stops) {
            assert!(stop.try_recv().is_ok(), "whoever stopped the daemon is told when nothing runs any more");
        }
    }
}

/// Whether a replica holds the task's context, and none that does has a free slot.
fn does_not_fit(scheduler: &PoolScheduler, task: &Watched) -> bool {
    let Some(needs) = task.context else { return false };
    let open = || scheduler.replicas().filter(|replica| replica.availability == Availability::Open);
    let holds = |replica: &ReplicaSnapshot| ctx_of(&replica.replica).0 >= needs;
    open().any(|replica| holds(&replica)) && open().all(|r| !holds(&r) || r.busy >= r.slots)
}
