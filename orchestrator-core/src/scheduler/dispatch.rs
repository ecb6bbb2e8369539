//! Which task goes next, and where.

use super::PoolScheduler;
use crate::placement::{Candidate, Patience, Placement, Rivals, place};
use crate::prediction::Tokens;
use crate::prediction::grade::whole_millis;
use crate::queue::Head;
use crate::replica::{Standing, ms_between};
use crate::task::{Task, TaskSpec};
use crate::{Millis, Priority, ReplicaId, TaskId, Timestamp};

/// A task goes to a replica.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Dispatch {
    /// The task.
    pub task: TaskId,
    /// Where it goes.
    pub replica: ReplicaId,
    /// How long it has waited since its admission.
    pub queue_time: Millis,
}

/// What the scheduler would do next.
enum Choice {
    Start { priority: Priority, replica: usize },
    Wait { until: Timestamp },
    Nothing,
}

impl PoolScheduler {
    /// The next task to hand to a replica. Call it until it gives nothing, after every event and at
    /// [`next_wake`](Self::next_wake).
    pub fn next(&mut self, now: Timestamp) -> Option<Dispatch> {
        self.latest = self.latest.max(now);
        let Choice::Start { priority, replica: index } = self.choose(now) else { return None };
        let id = self.queue.take(priority)?;
        let Some(Task::Waiting(waiting)) = self.tasks.remove(&id) else {
            unreachable!("a queued task is in the table, waiting")
        };
        let queue_time = waiting.waited(now);
        let waited_ms = ms_between(waiting.admitted_at, now);
        if let Some(said) = &waiting.said {
            self.grader_mut(priority).grade(said, waited_ms);
        }
        self.past.left(priority, waited_ms, false);
        let tokens = self.tokens_on(&waiting.spec, index, now);
        let replica = &mut self.replicas[index];
        replica.seat(id, priority, tokens, now);
        let replica = replica.id.clone();
        self.tasks.insert(id, Task::Running(waiting.start(replica.clone())));
        Some(Dispatch { task: id, replica, queue_time })
    }

    /// When [`next`](Self::next) may give something though nothing happened: a task waits for a faster or
    /// warmer replica, and its patience ends.
    #[must_use]
    pub fn next_wake(&self, now: Timestamp) -> Option<Timestamp> {
        match self.choose(now) {
            Choice::Start { .. } => Some(now),
            Choice::Wait { until } => Some(until),
            Choice::Nothing => None,
        }
    }

    /// The task that would start now.
    pub(super) fn next_task(&self, now: Timestamp) -> Option<TaskId> {
        let Choice::Start { priority, .. } = self.choose(now) else { return None };
        self.queue.head(priority).map(|head| head.task)
    }

    /// Decides what is next, without doing it.
    fn choose(&self, now: Timestamp) -> Choice {
        let Some(first) = self.queue.turn(now) else { return Choice::Nothing };
        if self.replicas.iter().all(|replica| replica.free() == 0) {
            return Choice::Nothing;
        }
        let second = match first {
            Priority::Interactive => Priority::Batch,
            Priority::Batch => Priority::Interactive,
        };
        let mut until = None::<Timestamp>;
        for priority in [first, second] {
            let Some(head) = self.queue.head(priority) else { continue };
            if priority == Priority::Batch && self.batch_running() >= self.batch_slots() {
                continue;
            }
            match self.place(priority, &head, now) {
                Placement::Go(replica) => return Choice::Start { priority, replica },
                Placement::Full => {}
                Placement::Wait(ms) => {
                    let patience = now.after(whole_millis(ms).to_duration());
                    let end = match priority {
                        Priority::Interactive => patience,
                        Priority::Batch => patience.min(self.queue.overdue_at(head.since)),
                    };
                    until = Some(until.map_or(end, |until| until.min(end)));
                }
            }
        }
        until.map_or(Choice::Nothing, |until| Choice::Wait { until })
    }

    fn place(&self, priority: Priority, head: &Head, now: Timestamp) -> Placement {
        let Some(Task::Waiting(waiting)) = self.tasks.get(&head.task) else {
            unreachable!("a queued task is in the table, waiting")
        };
        let open =
            || self.replicas.iter().enumerate().filter(|(_, replica)| replica.standing == Standing::Open);
        // Where no replica holds it any more, the engine says so: the task does not wait for what may never come.
        let held = open().any(|(_, replica)| replica.holds(waiting.spec.ctx));
        let candidates: Vec<Candidate> = open()
            .filter(|(_, replica)| !held || replica.holds(waiting.spec.ctx))
            .map(|(index, replica)| {
                let tokens = self.tokens_on(&waiting.spec, index, now);
                Candidate {
                    replica: index,
                    ready_ms: self.ready_ms(replica, now),
                    task_ms: self.task_ms(replica, tokens, now),
                    warm: self.warm_tokens(&waiting.spec, index, now) > 0.0,
                    free_slots: replica.free(),
                    free_vram: replica.free_vram.unwrap_or(0),
                }
            })
            .collect();
        let overdue = priority == Priority::Batch && self.queue.batch_is_overdue(now);
        let patience = if overdue { Patience::Overdue } else { Patience::May };
        let rivals = Priority::ALL.into_iter().filter(|lane| *lane <= priority);
        let rivals = rivals.fold(Rivals::default(), |sum, lane| Rivals {
            waiting: sum.waiting + self.depth(lane),
            arriving_per_ms: sum.arriving_per_ms + self.past.arriving_now_per_ms(lane, now),
        });
        let each = self.mean_tokens(priority);
        place(&candidates, patience, rivals, |faster| {
            faster.iter().flat_map(|index| self.slots_of(&self.replicas[*index], each, now)).collect()
        })
    }

    /// Tokens the task would have to compute at a replica.
    fn tokens_on(&self, spec: &TaskSpec, replica: usize, now: Timestamp) -> Tokens {
        let read = f64::from(spec.tokens_in.0) - self.warm_tokens(spec, replica, now);
        Tokens { read, write: self.lengths.output(spec.priority, &spec.work()) }
    }

    /// Prompt tokens whose KV cache the replica holds.
    fn warm_tokens(&self, spec: &TaskSpec, replica: usize, now: Timestamp) -> f64 {
        let home = spec.session.and_then(|session| self.sessions.get(session, now)?.home());
        let warm = home.filter(|home| home.replica == self.replicas[replica].id);
        warm.map_or(0.0, |home| f64::from(home.tokens.0.min(spec.tokens_in.0)))
    }
}
