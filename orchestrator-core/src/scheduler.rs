//! One pool's scheduler: admission, order, placement and prediction put together. It is told what
//! happened and answers with what to do; it does nothing itself.
//!
//! Invariants, each guarded by a test of the model (`scheduler/tests.rs`):
//!
//! - S-1: every admitted task leaves exactly once: canceled, evicted, or finished.
//! - S-2: at most `slots` tasks are outstanding at a replica, and none at one that is retiring or gone
//!   gets another.
//! - S-3: tasks of one lane start in the order they were admitted; what comes back goes first. A task is overtaken only
//!   while it leaves a free slot to others: it waits for the replica that holds its KV cache (P-3), or no free replica
//!   holds its context. One that waits for cells of a replica's KV cache leaves no slot of it to others.
//! - S-5: the cells that are kept for the tasks of a replica are no more than its KV cache has, unless one is alone there.
//! - S-4: batch tasks never hold the slots kept for interactive ones.
//!
//! An admission costs O(log n) of the queue's depth and O(s log s) of the pool's slots.

mod admission;
mod dispatch;
mod estimate;
#[cfg(test)]
mod model_test;
mod outlook;
mod past;
mod promises;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use crate::prediction::{Accuracy, Grader, Lengths};
use crate::queue::{Queue, QueueLimits};
use crate::replica::{Availability, EndFigures, Replica, ReplicaProfile, ReplicaSnapshot, ms_between};
use crate::session::{Forgotten, Home, SessionLimits, SessionTable};
use crate::task::{CallerIntent, Ended, LostTask, RunningTask, Task};
use crate::{Priority, ReplicaId, SessionId, TaskId, Timestamp, TokenCount};

pub use admission::{Admission, Rejection, RejectionReason};
pub use dispatch::Dispatch;

/// What becomes of a task that is canceled.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum CancelOutcome {
    /// It ran nowhere and is gone: this was its end.
    Queued,
    /// It runs there. The replica has to end it; its end is reported with
    /// [`PoolScheduler::finished`].
    Running(ReplicaId),
    /// There is no such task.
    Unknown,
}

/// The scheduler of one pool.
#[derive(Clone, Debug)]
pub struct PoolScheduler {
    queue: Queue,
    tasks: HashMap<TaskId, Task>,
    /// In the order of their names.
    replicas: Vec<Replica>,
    sessions: SessionTable,
    /// Conversations that ended on the way, until [`expire_sessions`](Self::expire_sessions) tells of them.
    forgotten: Vec<Forgotten>,
    lengths: Lengths,
    interactive_grades: Grader,
    batch_grades: Grader,
    /// Lane by lane.
    promises: [promises::Promises; 2],
    past: past::Past,
    /// How fast the replica that left last read and wrote.
    last_pace: Option<outlook::Pace>,
    /// The latest `now` of any call.
    latest: Timestamp,
    ended: EndedTasks,
}

/// How many tasks have left a scheduler, by the way they took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EndedTasks {
    /// A replica said its last word on them.
    pub ran: u64,
    /// They were canceled or evicted while they waited, or given up after their replica was lost.
    pub withdrawn: u64,
}

impl EndedTasks {
    fn count(&mut self, ended: &Ended) {
        match ended {
            Ended::Ran(_) => self.ran += 1,
            Ended::Withdrawn => self.withdrawn += 1,
        }
    }
}

impl PoolScheduler {
    /// A scheduler without a replica.
    #[must_use]
    pub fn new(limits: QueueLimits, sessions: SessionLimits) -> Self {
        Self {
            queue: Queue::new(limits),
            tasks: HashMap::new(),
            replicas: Vec::new(),
            sessions: SessionTable::new(sessions),
            forgotten: Vec::new(),
            lengths: Lengths::default(),
            interactive_grades: Grader::new(),
            batch_grades: Grader::new(),
            promises: Default::default(),
            past: past::Past::default(),
            last_pace: None,
            latest: Timestamp::default(),
            ended: EndedTasks::default(),
        }
    }

    /// Other bounds of the queue and the sessions from here on. What waits stays, also where it is too much.
    pub fn set_limits(&mut self, limits: QueueLimits, sessions: SessionLimits) {
        self.queue.set_limits(limits);
        self.forgotten.extend(self.sessions.set_limits(sessions));
    }

    /// Cancels a task, wherever it is. Repeating it changes nothing.
    pub fn cancel(&mut self, task: TaskId) -> CancelOutcome {
        match self.tasks.remove(&task) {
            None => CancelOutcome::Unknown,
            Some(Task::Running(mut running)) => {
                running.cancel();
                let replica = running.replica.clone();
                self.tasks.insert(task, Task::Running(running));
                CancelOutcome::Running(replica)
            }
            Some(Task::Waiting(waiting)) => {
                self.queue.remove(waiting.ticket);
                let waited_ms = ms_between(waiting.admitted_at, self.latest);
                self.past.left(waiting.spec.priority, waited_ms, true);
                self.ended.count(&waiting.withdraw());
                CancelOutcome::Queued
            }
            Some(Task::Lost(lost)) => {
                self.ended.count(&lost.give_up());
                CancelOutcome::Queued
            }
        }
    }

    /// Puts a task that its replica lost, or gave back, to the front of its lane, where it counts against
    /// no bound. Returns whether there was one to put back.
    pub fn requeue(&mut self, task: TaskId, now: Timestamp) -> bool {
        let lost = match self.tasks.remove(&task) {
            Some(Task::Lost(lost)) => lost,
            Some(Task::Running(running)) => self.release(running, now),
            Some(waiting @ Task::Waiting(_)) => {
                self.tasks.insert(task, waiting);
                return false;
            }
            None => return false,
        };
        let spec = &lost.spec;
        let ticket = self.queue.push_front(spec.priority, task, spec.work(), lost.admitted_at);
        self.tasks.insert(task, Task::Waiting(lost.again(ticket)));
        true
    }

    /// A running task's first token has come.
    pub fn first_token(&mut self, task: TaskId, now: Timestamp) {
        if let Some(Task::Running(running)) = self.tasks.get(&task) {
            let index = index_of(&self.replicas, &running.replica).ok();
            if let Some(index) = index {
                self.replicas[index].first_token(task, now);
            }
        }
    }

    /// A task that was handed out is over: its slot is free. Without figures, nothing is learned from it.
    /// Returns whether there was such a task.
    pub fn finished(&mut self, task: TaskId, figures: Option<EndFigures>, now: Timestamp) -> bool {
        self.latest = self.latest.max(now);
        match self.tasks.remove(&task) {
            Some(Task::Running(running)) => {
                let held = index_of(&self.replicas, &running.replica)
                    .ok()
                    .and_then(|index| Some((index, self.replicas[index].release(task, now)?)));
                if let (Some((index, (held_ms, streams))), Some(figures)) = (held, &figures) {
                    self.replicas[index].learn(figures, streams);
                    self.past.learn(held_ms);
                    self.past.cuts.note(held_ms, running.intent == CallerIntent::Cancel);
                }
                let ended = running.end();
                if let (Ended::Ran(running), Some(figures)) = (&ended, &figures) {
                    self.learn(running, figures, now);
                }
                self.ended.count(&ended);
                true
            }
            Some(Task::Lost(lost)) => {
                self.ended.count(&lost.give_up());
                true
            }
            Some(waiting @ Task::Waiting(_)) => {
                self.tasks.insert(task, waiting);
                false
            }
            None => false,
        }
    }

    /// A replica takes tasks from now on. One of the same name that is there already is gone, as in
    /// [`replica_gone`](Self::replica_gone), and its tasks are returned.
    pub fn replica_ready(
        &mut self,
        replica: ReplicaId,
        profile: ReplicaProfile,
        now: Timestamp,
    ) -> Vec<TaskId> {
        let lost = self.replica_gone(&replica);
        if let Err(place) = index_of(&self.replicas, &replica) {
            self.replicas.insert(place, Replica::new(replica, profile, now));
        }
        self.past.slots = self.open_slots();
        lost
    }

    /// A replica takes nothing more, and finishes what it has.
    pub fn replica_retiring(&mut self, replica: &ReplicaId) {
        if let Ok(index) = index_of(&self.replicas, replica) {
            self.replicas[index].availability = Availability::Retiring;
        }
    }

    /// A replica that was retiring takes tasks again.
    pub fn replica_open(&mut self, replica: &ReplicaId) {
        if let Ok(index) = index_of(&self.replicas, replica) {
            self.replicas[index].availability = Availability::Open;
        }
    }

    /// The tasks that hold a slot of a replica, in no order.
    pub fn running_on(&self, replica: &ReplicaId) -> impl Iterator<Item = TaskId> + '_ {
        let occupied = index_of(&self.replicas, replica).ok().map(|index| &self.replicas[index].occupied);
        occupied.into_iter().flatten().map(|held| held.task)
    }

    /// A replica is gone. Returns the tasks that ran there, the youngest first, so that requeueing them in
    /// this order keeps their old one. Each waits for [`requeue`](Self::requeue),
    /// [`finished`](Self::finished) or [`cancel`](Self::cancel).
    pub fn replica_gone(&mut self, replica: &ReplicaId) -> Vec<TaskId> {
        let Ok(index) = index_of(&self.replicas, replica) else { return Vec::new() };
        let gone = self.replicas.remove(index);
        self.last_pace = self.pace_of(&gone).or(self.last_pace);
        self.sessions.replica_gone(replica);
        let mut lost = Vec::with_capacity(gone.occupied.len());
        for held in gone.occupied {
            let Some(Task::Running(running)) = self.tasks.remove(&held.task) else {
                unreachable!("a task that holds a slot is in the table, running")
            };
            let state = running.lost();
            lost.push((state.admitted_at, held.task));
            self.tasks.insert(held.task, Task::Lost(state));
        }
        lost.sort_unstable_by(|a, b| b.cmp(a));
        lost.into_iter().map(|(_, task)| task).collect()
    }

    /// Bytes of free VRAM on a replica's device, as last measured.
    pub fn free_vram(&mut self, replica: &ReplicaId, bytes: u64) {
        if let Ok(index) = index_of(&self.replicas, replica) {
            self.replicas[index].free_vram = Some(bytes);
        }
    }

    /// The number of tasks that start before a waiting one, were nothing to arrive any more; nothing when
    /// it does not wait.
    #[must_use]
    pub fn position(&self, task: TaskId, now: Timestamp) -> Option<usize> {
        let Task::Waiting(waiting) = self.tasks.get(&task)? else { return None };
        Some(self.queue.ahead_of(waiting.ticket, now)?.tasks())
    }

    /// Tasks that wait in a lane.
    #[must_use]
    pub fn depth(&self, priority: Priority) -> usize {
        self.queue.len(priority)
    }

    /// Tasks that hold a slot.
    #[must_use]
    pub fn running(&self) -> usize {
        self.replicas.iter().map(|replica| replica.occupied.len()).sum()
    }

    /// Where a running task runs.
    #[must_use]
    pub fn replica_of(&self, task: TaskId) -> Option<&ReplicaId> {
        match self.tasks.get(&task)? {
            Task::Running(running) => Some(&running.replica),
            Task::Waiting(_) | Task::Lost(_) => None,
        }
    }

    /// How good the last start predictions of a lane were; nothing before the first task that waited.
    #[must_use]
    pub fn accuracy(&self, priority: Priority) -> Option<Accuracy> {
        self.grader(priority).accuracy()
    }

    /// Every replica as it stands, in the order of their names.
    pub fn replicas(&self) -> impl Iterator<Item = ReplicaSnapshot> + '_ {
        self.replicas.iter().map(Replica::snapshot)
    }

    /// How many tasks have left.
    #[must_use]
    pub fn ended(&self) -> EndedTasks {
        self.ended
    }

    /// The pool's conversations.
    #[must_use]
    pub fn sessions(&self) -> &SessionTable {
        &self.sessions
    }

    /// Ends a conversation.
    pub fn forget_session(&mut self, session: SessionId) -> Option<Forgotten> {
        self.sessions.forget(session)
    }

    /// Ends the conversations whose time has run out. Returns them, and those that have ended since the last
    /// call because others needed their room or because they were ended while a task of theirs ran.
    pub fn expire_sessions(&mut self, now: Timestamp) -> Vec<Forgotten> {
        let mut forgotten = std::mem::take(&mut self.forgotten);
        forgotten.extend(self.sessions.expire(now));
        forgotten
    }

    /// Learns lengths and the session's home from a finished task.
    fn learn(&mut self, running: &RunningTask, figures: &EndFigures, now: Timestamp) {
        let spec = &running.spec;
        if running.intent == CallerIntent::Answer {
            let (cached, out) = (figures.tokens_cached.0, figures.tokens_out.0);
            self.lengths.learn(spec.priority, &spec.work(), cached, out);
        }
        if let Some(session) = spec.session {
            let tokens = TokenCount(figures.tokens_in.0.saturating_add(figures.tokens_out.0));
            let home = Home { replica: running.replica.clone(), tokens };
            self.forgotten.extend(self.sessions.turn_ended(session, home, now));
        }
    }

    fn release(&mut self, running: RunningTask, now: Timestamp) -> LostTask {
        if let Ok(index) = index_of(&self.replicas, &running.replica) {
            self.replicas[index].release(running.spec.id, now);
        }
        running.lost()
    }

    fn grader(&self, priority: Priority) -> &Grader {
        match priority {
            Priority::Interactive => &self.interactive_grades,
            Priority::Batch => &self.batch_grades,
        }
    }

    fn grader_mut(&mut self, priority: Priority) -> &mut Grader {
        match priority {
            Priority::Interactive => &mut self.interactive_grades,
            Priority::Batch => &mut self.batch_grades,
        }
    }
}

/// The place of a replica in a list sorted by name, or where it would go.
fn index_of(replicas: &[Replica], id: &ReplicaId) -> Result<usize, usize> {
    replicas.binary_search_by(|replica| replica.id.cmp(id))
}
