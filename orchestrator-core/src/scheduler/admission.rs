//! Letting tasks in, or saying when to try again.
//!
//! Rules: ORCH-PRED-4

use super::PoolScheduler;
use crate::prediction::grade::whole_millis;
use crate::queue::{LaneFull, Pushed};
use crate::task::{Task, TaskSpec, WaitingTask};
use crate::{Millis, Priority, TaskId, Timestamp};

/// The answer to a task that asks to be admitted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Admission {
    /// It stands in the queue.
    Queued {
        /// Tasks that start before it.
        position: usize,
        /// The task that left to make room: its owner reports its end.
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

/// A lane is short when fewer tasks wait than one for so many slots.
const SLOTS_KEPT_FED: usize = 4;

impl PoolScheduler {
    /// Whether a task of this lane would be admitted now. Changes nothing and costs next to nothing: the
    /// question to ask before a prompt is measured. Who passes a refusal on calls
    /// [`refuse`](Self::refuse) instead, so that the place it tells of is kept. `caller` is any key by which
    /// the caller is known again when it comes back.
    ///
    /// # Errors
    /// The refusal, with the time to wait.
    pub fn check(&self, priority: Priority, caller: u64, now: Timestamp) -> Result<(), Rejection> {
        if self.lets_in(priority, caller, now) {
            return Ok(());
        }
        let (free, departures) = (self.queue.free(priority), self.departures(priority, now));
        let retry_after = self.promises[priority as usize].tell(caller, free, departures, now);
        Err(Rejection { reason: RejectionReason::QueueFull, retry_after })
    }

    /// Refuses a caller: as [`check`](Self::check), but the place it is told of is promised to it.
    ///
    /// # Errors
    /// The refusal, with the time to wait.
    pub fn refuse(&mut self, priority: Priority, caller: u64, now: Timestamp) -> Result<(), Rejection> {
        if self.lets_in(priority, caller, now) { Ok(()) } else { Err(self.reject(priority, caller, now)) }
    }

    /// How long it takes until the next waiting task of a lane has left it.
    #[must_use]
    pub fn next_departure(&self, priority: Priority, now: Timestamp) -> Millis {
        whole_millis(self.departures(priority, now).each_ms).max(Millis(1))
    }

    /// Admits a task, or says when to try again. `caller` is the key that [`check`](Self::check) speaks of.
    pub fn admit(&mut self, spec: TaskSpec, caller: u64, now: Timestamp) -> Admission {
        let priority = spec.priority;
        self.latest = self.latest.max(now);
        if self.tasks.contains_key(&spec.id) {
            let reason = RejectionReason::Duplicate;
            return Admission::Rejected(Rejection { reason, retry_after: Millis(0) });
        }
        if !self.lets_in(priority, caller, now) {
            return Admission::Rejected(self.reject(priority, caller, now));
        }
        let ahead = self.queue.ahead_of_next(priority, now);
        let (ticket, evicted) = match self.queue.push(priority, spec.id, spec.work(), now) {
            Ok(Pushed { ticket, evicted }) => (ticket, evicted),
            Err(LaneFull) => return Admission::Rejected(self.reject(priority, caller, now)),
        };
        let position = match evicted {
            None => ahead.tasks(),
            Some(victim) => {
                self.evict(victim);
                self.queue.ahead_of(ticket, now).expect("it has just been put there").tasks()
            }
        };
        let waiting = WaitingTask { spec, admitted_at: now, ticket, said: None, passed_up_at: None };
        self.tasks.insert(spec.id, Task::Waiting(waiting));
        self.promises[priority as usize].keep(caller, now);
        self.past.arrived(priority, now);
        if let Some(session) = spec.session {
            self.forgotten.extend(self.sessions.touch(session, now));
        }
        Admission::Queued { position, evicted }
    }

    fn evict(&mut self, victim: TaskId) {
        let Some(Task::Waiting(waiting)) = self.tasks.remove(&victim) else {
            unreachable!("a queued task is in the table, waiting")
        };
        self.ended.count(&waiting.withdraw());
    }

    /// Whether there is a place for this caller: a free one that is promised to nobody else.
    fn lets_in(&self, priority: Priority, caller: u64, now: Timestamp) -> bool {
        if self.queue.refuses(priority) {
            return false;
        }
        if self.queue.free(priority) == 0 {
            // Somebody else leaves for it.
            return true;
        }
        let promises = &self.promises[priority as usize];
        self.queue.free(priority) > promises.places(now)
            || promises.is_due(caller, now)
            || self.runs_dry(priority)
    }

    /// Whether so few tasks of this lane wait that slots will be idle before those come back who were promised
    /// a place.
    fn runs_dry(&self, priority: Priority) -> bool {
        self.depth(priority) < self.open_slots().div_ceil(SLOTS_KEPT_FED)
    }

    fn reject(&mut self, priority: Priority, caller: u64, now: Timestamp) -> Rejection {
        let (free, departures) = (self.queue.free(priority), self.departures(priority, now));
        let retry_after = self.promises[priority as usize].promise(caller, free, departures, now);
        Rejection { reason: RejectionReason::QueueFull, retry_after }
    }
}
