//! Which task goes next, and where.
//!
//! Rules: ORCH-QUEUE-5, ORCH-PLACE-3, ORCH-PLACE-5, ORCH-PLACE-6, ORCH-REPL-5

use super::PoolScheduler;
use crate::placement::{Competing, Placement, ReplicaCandidate, WaitPolicy, place};
use crate::prediction::Tokens;
use crate::prediction::grade::whole_millis;
use crate::queue::QueuedTask;
use crate::replica::{Availability, ms_between};
use crate::task::{Task, TaskSpec, WaitingTask};
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

/// Tasks of a lane that are looked at behind its first one, where those before them leave a free slot to others.
pub(super) const LOOKED_AT_MAX: usize = 16;

/// What the scheduler would do next.
enum Choice {
    Start { task: QueuedTask, replica: usize },
    Wait { until: Timestamp },
    Nothing,
}

/// A choice, and the tasks that pass up a free slot to wait for the replica that holds their KV cache.
struct Decision {
    choice: Choice,
    passing_up: Vec<TaskId>,
    /// Replica by replica, the cells that tasks wait for there though a slot is free. Nobody behind them takes that
    /// slot: a task that needs many cells would wait for ever behind others that need few.
    awaited: Vec<u64>,
}

/// Tasks that wait for a slot of one replica.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Before {
    pub(super) tasks: u16,
    /// How long they take together.
    pub(super) sum_ms: f64,
}

impl PoolScheduler {
    /// The next task to hand to a replica. Call it until it gives nothing, after every event and at
    /// [`next_wake`](Self::next_wake).
    pub fn next(&mut self, now: Timestamp) -> Option<Dispatch> {
        self.latest = self.latest.max(now);
        let Decision { choice, passing_up, .. } = self.decide(now);
        for task in passing_up {
            if let Some(Task::Waiting(waiting)) = self.tasks.get_mut(&task) {
                waiting.passed_up_at.get_or_insert(now);
            }
        }
        let Choice::Start { task, replica: index } = choice else { return None };
        let id = self.queue.start(task.ticket)?;
        let Some(Task::Waiting(waiting)) = self.tasks.remove(&id) else {
            unreachable!("a queued task is in the table, waiting")
        };
        let priority = waiting.spec.priority;
        let queue_time = waiting.waited(now);
        let waited_ms = ms_between(waiting.admitted_at, now);
        if let Some(said) = &waiting.said {
            self.grader_mut(priority).grade(said, waited_ms);
        }
        self.past.left(priority, waited_ms, false);
        let tokens = self.tokens_on(&waiting.spec, index, now);
        let replica = &mut self.replicas[index];
        replica.occupy(&waiting.spec, tokens, now);
        let replica = replica.id.clone();
        self.tasks.insert(id, Task::Running(waiting.start(replica.clone())));
        Some(Dispatch { task: id, replica, queue_time })
    }

    /// When [`next`](Self::next) may give something though nothing happened: a task waits for a faster or
    /// warmer replica, and has waited long enough.
    #[must_use]
    pub fn next_wake(&self, now: Timestamp) -> Option<Timestamp> {
        match self.decide(now).choice {
            Choice::Start { .. } => Some(now),
            Choice::Wait { until } => Some(until),
            Choice::Nothing => None,
        }
    }

    /// The task that would start now.
    pub(super) fn next_task(&self, now: Timestamp) -> Option<TaskId> {
        let Choice::Start { task, .. } = self.decide(now).choice else { return None };
        Some(task.task)
    }

    /// Decides what is next, without doing it.
    fn decide(&self, now: Timestamp) -> Decision {
        let awaited = vec![0; self.replicas.len()];
        let mut decision = Decision { choice: Choice::Nothing, passing_up: Vec::new(), awaited };
        let Some(first) = self.queue.turn(now) else { return decision };
        if self.replicas.iter().all(|replica| replica.free() == 0) {
            return decision;
        }
        let second = match first {
            Priority::Interactive => Priority::Batch,
            Priority::Batch => Priority::Interactive,
        };
        for priority in [first, second] {
            if priority == Priority::Batch && self.batch_running() >= self.batch_slots() {
                continue;
            }
            self.decide_in_lane(priority, &mut decision, now);
            if matches!(decision.choice, Choice::Start { .. }) {
                break;
            }
        }
        decision
    }

    /// The first task of a lane that starts. It may overtake those before it that cannot use a free slot (S-3): those
    /// that wait for the replica that holds their KV cache, and those whose context no free replica holds. Those that wait
    /// for cells keep the slots there.
    fn decide_in_lane(&self, priority: Priority, decision: &mut Decision, now: Timestamp) {
        let mut before = vec![Before::default(); self.replicas.len()];
        for task in self.queue.waiting(priority).take(LOOKED_AT_MAX + 1) {
            let placement = self.place(&task, &before, &decision.awaited, now);
            if !matches!(placement, Placement::Go(_)) {
                self.await_cells(&task, &mut decision.awaited);
            }
            match placement {
                Placement::Go(replica) => {
                    decision.choice = Choice::Start { task, replica };
                    return;
                }
                Placement::Full => {}
                Placement::Wait { ms, warm } => {
                    let end = now.after(whole_millis(ms).to_duration());
                    let end = match priority {
                        Priority::Interactive => end,
                        Priority::Batch => end.min(self.queue.overdue_at(task.since)),
                    };
                    let until =
                        if let Choice::Wait { until } = decision.choice { until.min(end) } else { end };
                    decision.choice = Choice::Wait { until };
                    let Some(warm) = warm else { return };
                    before[warm.replica].tasks += 1;
                    before[warm.replica].sum_ms += warm.task_ms;
                    decision.passing_up.push(task.task);
                }
            }
        }
    }

    /// Notes where a task that does not start waits for cells.
    fn await_cells(&self, task: &QueuedTask, awaited: &mut [u64]) {
        let spec = &self.waiting(task).spec;
        for (replica, awaited) in self.replicas.iter().zip(awaited) {
            if replica.free() > 0 && replica.holds(spec.ctx) && !replica.has_room(spec.cells) {
                *awaited += u64::from(spec.cells.0);
            }
        }
    }

    fn waiting(&self, task: &QueuedTask) -> &WaitingTask {
        let Some(Task::Waiting(waiting)) = self.tasks.get(&task.task) else {
            unreachable!("a queued task is in the table, waiting")
        };
        waiting
    }

    /// Where a task goes. `before` are, replica by replica, the tasks before it that wait for a slot there, `awaited` the
    /// cells.
    fn place(&self, task: &QueuedTask, before: &[Before], awaited: &[u64], now: Timestamp) -> Placement {
        let waiting = self.waiting(task);
        let priority = waiting.spec.priority;
        let open = || {
            self.replicas.iter().enumerate().filter(|(_, replica)| replica.availability == Availability::Open)
        };
        // Where no replica holds it any more, the engine says so: the task does not wait for what may never come.
        let held = open().any(|(_, replica)| replica.holds(waiting.spec.ctx));
        let candidates: Vec<ReplicaCandidate> = open()
            .filter(|(_, replica)| !held || replica.holds(waiting.spec.ctx))
            .map(|(index, replica)| {
                let tokens = self.tokens_on(&waiting.spec, index, now);
                let cells = waiting.spec.cells;
                let has_room = awaited[index] == 0 && replica.has_room(cells);
                let ready_ms = self.ready_ms(replica, before[index], now);
                let room_ms = if has_room { 0.0 } else { self.room_ms(replica, cells, awaited[index], now) };
                ReplicaCandidate {
                    replica: index,
                    ready_ms: ready_ms.max(room_ms),
                    task_ms: self.task_ms(replica, tokens, now),
                    warm: self.warm_tokens(&waiting.spec, index, now) > 0.0,
                    free_slots: if has_room { replica.free() } else { 0 },
                    free_vram: replica.free_vram.unwrap_or(0),
                }
            })
            .collect();
        let overdue = priority == Priority::Batch && self.queue.overdue_at(task.since) <= now;
        let wait_policy = if overdue {
            WaitPolicy::Overdue
        } else {
            WaitPolicy::May { waited_ms: waiting.passed_up_at.map_or(0.0, |since| ms_between(since, now)) }
        };
        let competing = Priority::ALL.into_iter().filter(|lane| *lane <= priority);
        let competing = competing.fold(Competing::default(), |sum, lane| Competing {
            waiting: sum.waiting + self.depth(lane),
            arriving_per_ms: sum.arriving_per_ms + self.past.arriving_now_per_ms(lane, now),
        });
        let (each, cells) = (self.mean_tokens(priority), self.mean_cells(priority));
        place(&candidates, wait_policy, competing, |faster| {
            faster.iter().flat_map(|index| self.slots_of(&self.replicas[*index], each, cells, now)).collect()
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
