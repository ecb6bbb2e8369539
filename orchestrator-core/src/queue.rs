//! One pool's bounded queue: two lanes, each with its own bound, FIFO in each. It decides who goes next
//! and what becomes of a task that finds its lane full; it knows nothing of replicas.
//!
//! Whose turn it is:
//!
//! - an interactive task goes before a batch task.
//! - a batch task is overdue once it has waited `batch_max_wait`, and no shorter than the first
//!   interactive task. An overdue batch task goes before interactive tasks.
//! - while interactive tasks wait, at most one start in `batch_one_in` is a batch task's. So batch is
//!   late and never starves, and at no load does it wait less than interactive.
//!
//! A lane that is full:
//!
//! - an interactive task that finds its lane full is refused under either policy: its bound is its
//!   own, and room in the batch lane is of no use to it.
//! - a batch task is refused under [`FullPolicy::Reject`]; under [`FullPolicy::DropLru`] the oldest
//!   waiting batch task leaves for it.
//! - a task that comes back after its replica was lost goes to the front of its lane, always finds
//!   room there and takes nobody else's: it does not count against the bound and is not evicted.
//!
//! Every operation costs O(log n), spread over the entries where a ring is written anew.
//!
//! Rules: ORCH-QUEUE-1, ORCH-QUEUE-2, ORCH-QUEUE-3, ORCH-QUEUE-4, ORCH-QUEUE-6, ORCH-QUEUE-7

mod lane;
#[cfg(test)]
pub(crate) mod model;
mod tally;
#[cfg(test)]
mod tests;

use std::time::Duration;

use lane::{Lane, Number};

use crate::work::{Load, Work};
use crate::{Priority, TaskId, Timestamp};

/// What becomes of a batch task that finds its lane full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FullPolicy {
    /// It is refused.
    #[default]
    Reject,
    /// The oldest waiting batch task is evicted to make room.
    DropLru,
}

/// The bounds of one pool's queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueLimits {
    /// The most interactive tasks that wait.
    pub interactive: usize,
    /// The most batch tasks that wait.
    pub batch: usize,
    /// What a full batch lane does.
    pub full_policy: FullPolicy,
    /// How long a batch task waits before it may go before interactive tasks.
    pub batch_max_wait: Duration,
    /// While interactive tasks wait, at most one start in so many is a batch task's.
    pub batch_one_in: u32,
    /// Slots of the pool that batch tasks never take, so that an interactive task finds one at once while
    /// the batch lane is full. One slot is always open to batch, however few there are.
    pub interactive_reserve: u16,
}

impl Default for QueueLimits {
    fn default() -> Self {
        Self {
            interactive: 256,
            batch: 1024,
            full_policy: FullPolicy::Reject,
            batch_max_wait: Duration::from_secs(60),
            batch_one_in: 8,
            interactive_reserve: 1,
        }
    }
}

/// A waiting task's place in the queue, good for finding it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    pub(crate) priority: Priority,
    number: Number,
}

/// A task got a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pushed {
    pub(crate) ticket: Ticket,
    /// Who left for it.
    pub(crate) evicted: Option<TaskId>,
}

/// The lane is full, and no entry is evicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LaneFull;

/// What goes before a task, were nothing to arrive any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ahead {
    /// Of its own lane.
    pub(crate) own: Load,
    /// How many of the other lane.
    pub(crate) other: usize,
}

impl Ahead {
    /// The number of tasks that go before it.
    pub(crate) fn tasks(&self) -> usize {
        self.own.tasks as usize + self.other
    }
}

/// A task that waits in a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct QueuedTask {
    pub(crate) ticket: Ticket,
    pub(crate) task: TaskId,
    pub(crate) since: Timestamp,
}

/// The queue of one pool.
#[derive(Clone, Debug)]
pub(crate) struct Queue {
    limits: QueueLimits,
    interactive: Lane,
    batch: Lane,
    /// Interactive tasks that started since the last batch task, counted up to [`spacing`].
    since_batch: usize,
}

impl Queue {
    pub(crate) fn new(limits: QueueLimits) -> Self {
        let since_batch = spacing(&limits);
        Self { limits, interactive: Lane::new(), batch: Lane::new(), since_batch }
    }

    pub(crate) fn limits(&self) -> &QueueLimits {
        &self.limits
    }

    /// Other bounds from here on. What waits stays, also where it is more than the new bound.
    pub(crate) fn set_limits(&mut self, limits: QueueLimits) {
        self.since_batch = self.since_batch.min(spacing(&limits));
        self.limits = limits;
    }

    pub(crate) fn len(&self, priority: Priority) -> usize {
        self.lane(priority).len()
    }

    pub(crate) fn load(&self, priority: Priority) -> &Load {
        self.lane(priority).total()
    }

    /// How many of its own lane go before a waiting task; nothing when it does not wait.
    pub(crate) fn rank(&self, ticket: Ticket) -> Option<usize> {
        self.lane(ticket.priority).ahead_of(ticket.number).map(|own| own.tasks as usize)
    }

    /// The first tasks of a lane, with since when they wait.
    pub(crate) fn first(
        &self,
        priority: Priority,
        tasks: usize,
    ) -> impl Iterator<Item = (Timestamp, Work)> + '_ {
        self.lane(priority).iter().take(tasks).map(|entry| (entry.since, entry.work))
    }

    /// The work of about the first `tasks` tasks of a lane.
    pub(crate) fn load_of_first(&self, priority: Priority, tasks: usize) -> Load {
        self.lane(priority).load_of_first(tasks)
    }

    /// Since when the first and the last task of a lane wait.
    pub(crate) fn waits(&self, priority: Priority) -> Option<(Timestamp, Timestamp)> {
        let lane = self.lane(priority);
        Some((lane.front()?.since, lane.back()?.since))
    }

    /// How many tasks of a lane have waited since `moment` or longer.
    pub(crate) fn waiting_since(&self, priority: Priority, moment: Timestamp) -> usize {
        self.lane(priority).waiting_since(moment)
    }

    /// Interactive tasks that start between two batch tasks, if they wait.
    pub(crate) fn spacing(&self) -> usize {
        spacing(&self.limits)
    }

    /// Interactive tasks that started since the last batch task, as far as they count.
    pub(crate) fn since_batch(&self) -> usize {
        self.since_batch
    }

    /// Places of a lane that are free.
    pub(crate) fn free(&self, priority: Priority) -> usize {
        self.bound(priority).saturating_sub(self.lane(priority).counted())
    }

    /// Whether a new task would be refused.
    pub(crate) fn refuses(&self, priority: Priority) -> bool {
        self.is_full(priority) && !self.evicts(priority)
    }

    pub(crate) fn push(
        &mut self,
        priority: Priority,
        task: TaskId,
        work: Work,
        now: Timestamp,
    ) -> Result<Pushed, LaneFull> {
        let mut evicted = None;
        if self.is_full(priority) {
            if !self.evicts(priority) {
                return Err(LaneFull);
            }
            evicted = self.batch.pop_oldest_counted().map(|entry| entry.task);
        }
        let number = self.lane_mut(priority).push_back(task, work, now);
        Ok(Pushed { ticket: Ticket { priority, number }, evicted })
    }

    /// Puts a task back to the front of its lane. `since` is when it was first admitted.
    pub(crate) fn push_front(
        &mut self,
        priority: Priority,
        task: TaskId,
        work: Work,
        since: Timestamp,
    ) -> Ticket {
        let number = self.lane_mut(priority).push_front(task, work, since);
        Ticket { priority, number }
    }

    /// Takes a waiting task out, wherever it stands.
    pub(crate) fn remove(&mut self, ticket: Ticket) -> Option<TaskId> {
        self.lane_mut(ticket.priority).remove(ticket.number).map(|entry| entry.task)
    }

    /// The tasks of a lane in their order.
    pub(crate) fn waiting(&self, priority: Priority) -> impl Iterator<Item = QueuedTask> + '_ {
        self.lane(priority).iter().map(move |entry| QueuedTask {
            ticket: Ticket { priority, number: entry.number },
            task: entry.task,
            since: entry.since,
        })
    }

    /// Whether the first batch task has waited its bound.
    pub(crate) fn batch_is_overdue(&self, now: Timestamp) -> bool {
        self.batch.front().is_some_and(|entry| self.overdue_at(entry.since) <= now)
    }

    /// When a batch task that waits since then is overdue.
    pub(crate) fn overdue_at(&self, since: Timestamp) -> Timestamp {
        since.after(self.limits.batch_max_wait)
    }

    /// The lane whose turn it is.
    pub(crate) fn turn(&self, now: Timestamp) -> Option<Priority> {
        match (self.interactive.front(), self.batch.front()) {
            (None, None) => None,
            (Some(_), None) => Some(Priority::Interactive),
            (None, Some(_)) => Some(Priority::Batch),
            (Some(_), Some(batch)) => {
                let batch_goes = self.since_batch >= spacing(&self.limits)
                    && self.overdue_since(now).is_some_and(|since| batch.since <= since);
                Some(if batch_goes { Priority::Batch } else { Priority::Interactive })
            }
        }
    }

    /// Takes a waiting task out to start it, whether it is the lane's turn or not.
    pub(crate) fn start(&mut self, ticket: Ticket) -> Option<TaskId> {
        let task = self.remove(ticket)?;
        self.since_batch = match ticket.priority {
            Priority::Interactive => (self.since_batch + 1).min(spacing(&self.limits)),
            Priority::Batch => 0,
        };
        Some(task)
    }

    /// What goes before a waiting task; nothing when it does not wait.
    pub(crate) fn ahead_of(&self, ticket: Ticket, now: Timestamp) -> Option<Ahead> {
        let own = self.lane(ticket.priority).ahead_of(ticket.number)?;
        Some(Ahead { own, other: self.others_ahead(ticket.priority, own.tasks as usize, now) })
    }

    /// What would go before a task admitted now.
    pub(crate) fn ahead_of_next(&self, priority: Priority, now: Timestamp) -> Ahead {
        let own = *self.load(priority);
        Ahead { own, other: self.others_ahead(priority, own.tasks as usize, now) }
    }

    /// How many of the other lane go before the task with `rank` before it in its own lane, if nothing
    /// arrives and nothing more becomes overdue.
    pub(crate) fn others_ahead(&self, priority: Priority, rank: usize, now: Timestamp) -> usize {
        let (overdue, interactive) = (self.overdue(now), self.interactive.len());
        let spacing = spacing(&self.limits);
        let before_the_first = spacing - self.since_batch;
        match priority {
            Priority::Interactive if rank < before_the_first => 0,
            Priority::Interactive => {
                overdue.min((rank - before_the_first).checked_div(spacing).map_or(overdue, |turns| turns + 1))
            }
            Priority::Batch if rank < overdue => interactive.min(before_the_first + spacing * rank),
            Priority::Batch => interactive,
        }
    }

    /// How many batch tasks are overdue.
    fn overdue(&self, now: Timestamp) -> usize {
        self.overdue_since(now).map_or(0, |since| self.batch.waiting_since(since))
    }

    /// Since when a batch task must have waited to go before interactive tasks.
    fn overdue_since(&self, now: Timestamp) -> Option<Timestamp> {
        let wait = u64::try_from(self.limits.batch_max_wait.as_micros()).ok()?;
        let since = Timestamp::from_micros(now.as_micros().checked_sub(wait)?);
        Some(self.interactive.front().map_or(since, |first| since.min(first.since)))
    }

    fn bound(&self, priority: Priority) -> usize {
        match priority {
            Priority::Interactive => self.limits.interactive,
            Priority::Batch => self.limits.batch,
        }
    }

    fn is_full(&self, priority: Priority) -> bool {
        self.free(priority) == 0
    }

    /// Whether a full lane makes room for a new task. A lane with a bound of 0 has no entry to evict.
    fn evicts(&self, priority: Priority) -> bool {
        match (priority, self.limits.full_policy) {
            (Priority::Batch, FullPolicy::DropLru) => self.batch.counted() > 0,
            (Priority::Batch, FullPolicy::Reject) | (Priority::Interactive, _) => false,
        }
    }

    fn lane(&self, priority: Priority) -> &Lane {
        match priority {
            Priority::Interactive => &self.interactive,
            Priority::Batch => &self.batch,
        }
    }

    fn lane_mut(&mut self, priority: Priority) -> &mut Lane {
        match priority {
            Priority::Interactive => &mut self.interactive,
            Priority::Batch => &mut self.batch,
        }
    }
}

/// Interactive tasks that start between two batch tasks, if they wait.
fn spacing(limits: &QueueLimits) -> usize {
    limits.batch_one_in.saturating_sub(1) as usize
}
