//! Letting tasks in, or saying when to try again.

use std::collections::VecDeque;

use super::PoolScheduler;
use crate::prediction::StartForecast;
use crate::queue::{LaneFull, Pushed};
use crate::task::{Task, TaskSpec, Waiting};
use crate::{Millis, Priority, TaskId, Timestamp};

/// The answer to a task that asks to be admitted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Admission {
    /// It stands in the queue.
    Queued {
        /// Tasks that start before it.
        position: usize,
        /// When it will start.
        start: StartForecast,
        /// The task that left to make room: its end is to be told to whoever waits for it.
        evicted: Option<TaskId>,
    },
    /// It does not.
    Rejected(Rejection),
}

/// Why a task is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RejectionReason {
    /// Its lane is full.
    QueueFull,
    /// A task of this name is there already.
    Duplicate,
}

/// A task is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Why.
    pub reason: RejectionReason,
    /// When a place is expected to be free that nobody has been told of before.
    pub retry_after: Millis,
}

/// The most places that are promised and kept in mind.
const PROMISES_MAX: usize = 1024;

/// A promised place is kept in mind for as long again as its caller was told to wait, but no longer than
/// this: then the caller is taken to have gone.
const GRACE_MS_MAX: u64 = 5_000;

/// Callers that were told when to come back, so that not all of them are told the same moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Promises {
    interactive: VecDeque<Timestamp>,
    batch: VecDeque<Timestamp>,
}

impl Promises {
    /// How many callers are still to come.
    fn outstanding(&self, priority: Priority, now: Timestamp) -> usize {
        let lane = self.lane(priority);
        lane.len() - lane.partition_point(|until| *until <= now)
    }

    fn add(&mut self, priority: Priority, retry_after: Millis, now: Timestamp) {
        let lane = match priority {
            Priority::Interactive => &mut self.interactive,
            Priority::Batch => &mut self.batch,
        };
        while lane.front().is_some_and(|until| *until <= now) || lane.len() >= PROMISES_MAX {
            lane.pop_front();
        }
        let until = now.after(Millis(retry_after.0 + retry_after.0.min(GRACE_MS_MAX)).to_duration());
        let until = lane.back().map_or(until, |last| until.max(*last));
        lane.push_back(until);
    }

    /// One of the callers has come.
    fn keep(&mut self, priority: Priority) {
        match priority {
            Priority::Interactive => self.interactive.pop_front(),
            Priority::Batch => self.batch.pop_front(),
        };
    }

    fn lane(&self, priority: Priority) -> &VecDeque<Timestamp> {
        match priority {
            Priority::Interactive => &self.interactive,
            Priority::Batch => &self.batch,
        }
    }
}

impl PoolScheduler {
    /// Whether a task of this lane would be admitted now. Changes nothing and costs next to nothing: the
    /// question to ask before a prompt is measured. Who passes a refusal on calls
    /// [`refuse`](Self::refuse) instead, so that the next caller is told a later moment.
    ///
    /// # Errors
    /// The refusal, with the time to wait.
    pub fn check(&self, priority: Priority, now: Timestamp) -> Result<(), Rejection> {
        if self.queue.refuses(priority) { Err(self.rejection(priority, now)) } else { Ok(()) }
    }

    /// Refuses a caller: as [`check`](Self::check), but the place it is told of is kept in mind.
    ///
    /// # Errors
    /// The refusal, with the time to wait.
    pub fn refuse(&mut self, priority: Priority, now: Timestamp) -> Result<(), Rejection> {
        let answer = self.check(priority, now);
        if let Err(rejection) = &answer {
            self.promises.add(priority, rejection.retry_after, now);
        }
        answer
    }

    /// Admits a task, or says when to try again.
    pub fn admit(&mut self, spec: TaskSpec, now: Timestamp) -> Admission {
        let priority = spec.priority;
        if self.tasks.contains_key(&spec.id) {
            let reason = RejectionReason::Duplicate;
            return Admission::Rejected(Rejection { reason, retry_after: Millis(0) });
        }
        let ahead = self.queue.ahead_of_next(priority, now);
        let (ticket, evicted) = match self.queue.push(priority, spec.id, spec.work(), now) {
            Ok(Pushed { ticket, evicted }) => (ticket, evicted),
            Err(LaneFull) => {
                let rejection = self.rejection(priority, now);
                self.promises.add(priority, rejection.retry_after, now);
                return Admission::Rejected(rejection);
            }
        };
        let (position, computed_ms) = match evicted {
            None => (ahead.tasks(), self.start_ms(priority, &ahead, now)),
            Some(victim) => {
                self.evict(victim);
                let ahead = self.queue.ahead_of(ticket, now).expect("it has just been put there");
                (ahead.tasks(), self.start_ms(priority, &ahead, now))
            }
        };
        let said = self.grader(priority).say(computed_ms);
        let waiting = Waiting { spec, admitted_at: now, ticket, said: Some(said) };
        self.tasks.insert(spec.id, Task::Waiting(waiting));
        self.promises.keep(priority);
        self.past.arrived(priority, now);
        if let Some(session) = spec.session {
            self.forgotten.extend(self.sessions.touch(session, now));
        }
        Admission::Queued { position, start: said.forecast, evicted }
    }

    fn evict(&mut self, victim: TaskId) {
        let Some(Task::Waiting(waiting)) = self.tasks.remove(&victim) else {
            unreachable!("a queued task is in the table, waiting")
        };
        self.ended.count(&waiting.withdraw());
    }

    fn rejection(&self, priority: Priority, now: Timestamp) -> Rejection {
        let promised = self.promises.outstanding(priority, now);
        let computed_ms = self.departure_ms(priority, promised, now);
        let retry_after = self.grader(priority).late(computed_ms).max(Millis(1));
        Rejection { reason: RejectionReason::QueueFull, retry_after }
    }
}
