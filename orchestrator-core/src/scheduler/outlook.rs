//! What the start of a waiting task depends on, put together for [`crate::prediction::futures`].
//!
//! Rules: ORCH-PRED-5

use super::PoolScheduler;
use crate::prediction::StartForecast;
use crate::prediction::futures::{
    Holder, LANE_ROWS, LANE_STEPS, LaneOutlook, Newcomers, Outlook, SlotOutlook, Step,
};
use crate::prediction::{Length, Tokens};
use crate::replica::{Availability, Replica, TYPICAL_PROMPT, ms_between};
use crate::task::{Task, WaitingTask};
use crate::{Priority, TaskId, Timestamp};

/// How fast a slot reads and writes, in milliseconds a token.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    pub(super) read_ms: f64,
    pub(super) write_ms: f64,
}

impl PoolScheduler {
    /// When a waiting task will start; nothing when it does not wait. A pool without a replica counts from
    /// the moment it has one.
    #[must_use]
    pub fn predicted_start(&self, task: TaskId, now: Timestamp) -> Option<StartForecast> {
        let Task::Waiting(waiting) = self.tasks.get(&task)? else { return None };
        // Most tasks of a home find a free slot: their start is known without playing any futures.
        if self.next_task(now) == Some(task) {
            return Some(StartForecast::default());
        }
        let starts = self.outlook(waiting, LANE_STEPS, now).starts();
        let grader = self.grader(waiting.spec.priority);
        Some(
            starts.map_or_else(StartForecast::default, |starts| {
                grader.forecast(starts.at(0.5), starts.at(0.9))
            }),
        )
    }

    /// When the first tasks of a lane will start, each as in [`predicted_start`](Self::predicted_start), in one pass:
    /// at most `tasks` of them, and no more than a bound.
    #[must_use]
    pub fn predicted_starts(
        &self,
        lane: Priority,
        tasks: usize,
        now: Timestamp,
    ) -> Vec<(TaskId, StartForecast)> {
        let rows: Vec<TaskId> =
            self.queue.waiting(lane).take(tasks.min(LANE_ROWS)).map(|queued| queued.task).collect();
        let Some(Task::Waiting(last)) = rows.last().and_then(|last| self.tasks.get(last)) else {
            return Vec::new();
        };
        let starts = self.outlook(last, LANE_ROWS, now).starts_of_lane();
        let (at_once, grader) = (self.next_task(now), self.grader(lane));
        let forecast = |(row, task): (usize, TaskId)| {
            let starts = starts.get(row).filter(|_| at_once != Some(task));
            let forecast = starts.map(|starts| grader.forecast(starts.at(0.5), starts.at(0.9)));
            (task, forecast.unwrap_or_default())
        };
        rows.into_iter().enumerate().map(forecast).collect()
    }

    /// The same for a task that has just been admitted: what its caller is told is graded when it starts.
    pub fn first_forecast(&mut self, task: TaskId, now: Timestamp) -> Option<StartForecast> {
        let forecast = self.predicted_start(task, now)?;
        if let Some(Task::Waiting(waiting)) = self.tasks.get_mut(&task) {
            waiting.said.get_or_insert(forecast);
        }
        Some(forecast)
    }

    /// What a waiting task's start depends on. Its own lane makes at most so many steps.
    fn outlook<'a>(&'a self, waiting: &WaitingTask, own_steps: usize, now: Timestamp) -> Outlook<'a> {
        let spec = &waiting.spec;
        let own = self.queue.rank(waiting.ticket).unwrap_or(0);
        let others = match spec.priority {
            Priority::Interactive => {
                let at_most = own / self.queue.spacing().max(1) + 1;
                self.queue.waiting_since(Priority::Batch, waiting.admitted_at).min(at_most)
            }
            Priority::Batch => self.queue.len(Priority::Interactive),
        };
        let own = self.lane_outlook(spec.priority, own, own_steps, now);
        let (interactive, batch) = match spec.priority {
            Priority::Interactive => (own, self.lane_outlook(Priority::Batch, others, LANE_STEPS, now)),
            Priority::Batch => (self.lane_outlook(Priority::Interactive, others, LANE_STEPS, now), own),
        };
        let running = self.running_tokens(now);
        let length = self.lengths.length(spec.priority, &spec.work(), running);
        Outlook {
            slots: self.slot_outlooks(spec.priority, now),
            batch_slots: self.batch_slots(),
            interactive,
            batch,
            newcomers: (spec.priority == Priority::Batch).then(|| self.newcomers(now)).flatten(),
            batch_max_wait_ms: self.queue.limits().batch_max_wait.as_secs_f64() * 1000.0,
            spacing: count(self.queue.spacing()),
            since_batch: count(self.queue.since_batch()),
            cuts_per_ms: self.past.cuts.per_ms(),
            doubt: self.lengths.any_length(spec.priority, self.queue.load(spec.priority), running).doubt(),
            priority: spec.priority,
            task: Step {
                tasks: 1.0,
                waited_ms: ms_between(waiting.admitted_at, now),
                read: f64::from(spec.tokens_in.0) * self.lengths.fresh_share(spec.priority),
                length,
                mean: length.mean(),
            },
        }
    }

    /// The slots of the replicas that take tasks; where there is none, those of the pool as it was last.
    fn slot_outlooks(&self, priority: Priority, now: Timestamp) -> Vec<SlotOutlook<'_>> {
        let mut slots = Vec::with_capacity(self.past.slots);
        let (each, running) = (self.mean_tokens(priority), self.running_tokens(now));
        let cells = self.mean_cells(priority);
        for replica in self.replicas.iter().filter(|replica| replica.availability == Availability::Open) {
            let Pace { read_ms, write_ms } = self.pace(replica, each, now);
            for held in &replica.occupied {
                let age_ms = replica.age_ms(held, now);
                let (prefill_ms, out) = match replica.answering_ms(held, now) {
                    Some(answering_ms) if write_ms > 0.0 => (0.0, 1.0 + answering_ms / write_ms),
                    Some(_) => (0.0, 1.0),
                    None => ((held.tokens.read * read_ms - age_ms).abs(), 1.0),
                };
                let holder = Holder {
                    priority: held.priority,
                    prefill_ms,
                    out,
                    length: self.slot_length(held.task, running),
                };
                slots.push(SlotOutlook { read_ms, write_ms, holder: Some(holder) });
            }
            let free = SlotOutlook { read_ms, write_ms, holder: None };
            slots.extend(std::iter::repeat_n(free, usize::from(replica.free_for(cells))));
        }
        if slots.is_empty() {
            let Pace { read_ms, write_ms } = self.last_pace_or(each);
            let free = SlotOutlook { read_ms, write_ms, holder: None };
            slots.extend(std::iter::repeat_n(free, self.past.slots.max(1)));
        }
        slots
    }

    /// The replica's own speed at an average prompt; nothing where it is not known.
    pub(super) fn pace_of(&self, replica: &Replica) -> Option<Pace> {
        let write_ms = replica.speed.token_ms(f64::from(replica.slots))?;
        let read_ms = replica.speed.prefill_ms(TYPICAL_PROMPT).unwrap_or(0.0) / TYPICAL_PROMPT;
        Some(Pace { read_ms, write_ms })
    }

    /// The slots of each replica that takes tasks, as far as its KV cache has `cells` for each, with their speed; of the last
    /// one where there is none.
    pub(super) fn paces(&self, each: Tokens, cells: f64, now: Timestamp) -> Vec<(f64, Pace)> {
        let open = self.replicas.iter().filter(|replica| replica.availability == Availability::Open);
        let mut paces: Vec<_> =
            open.map(|replica| (replica.slots_for(cells), self.pace(replica, each, now))).collect();
        if paces.is_empty() {
            paces.push((count(self.past.slots.max(1)), self.last_pace_or(each)));
        }
        paces
    }

    fn last_pace_or(&self, each: Tokens) -> Pace {
        self.last_pace.unwrap_or_else(|| Pace {
            read_ms: 0.0,
            write_ms: self.past.held_ms.unwrap_or(0.0) / each.write.max(1.0),
        })
    }

    fn slot_length(&self, task: TaskId, running_tokens: f64) -> Length<'_> {
        let Some(Task::Running(running)) = self.tasks.get(&task) else {
            unreachable!("a task that holds a slot is in the table, running")
        };
        self.lengths.length(running.spec.priority, &running.spec.work(), running_tokens)
    }

    /// The replica's own speed with all slots busy; where that is not known, what is known instead of how
    /// long a task takes.
    fn pace(&self, replica: &Replica, each: Tokens, now: Timestamp) -> Pace {
        let streams = f64::from(replica.slots);
        let read = each.read.max(1.0);
        let read_ms = replica.speed.prefill_ms(read).map(|ms| ms / read);
        match (read_ms, replica.speed.token_ms(streams)) {
            (None, None) => {
                let ms = self.full_task_ms(replica, each, now);
                if each.write > 0.0 {
                    Pace { read_ms: 0.0, write_ms: ms / each.write }
                } else {
                    Pace { read_ms: ms / read, write_ms: 0.0 }
                }
            }
            (read_ms, write_ms) => {
                Pace { read_ms: read_ms.unwrap_or(0.0), write_ms: write_ms.unwrap_or(0.0) }
            }
        }
    }

    /// The first `tasks` tasks of a lane, in at most `steps` steps.
    fn lane_outlook(&self, lane: Priority, tasks: usize, steps: usize, now: Timestamp) -> LaneOutlook<'_> {
        let leaving_per_ms = self.past.leaving_per_ms(lane);
        let fresh = self.lengths.fresh_share(lane);
        let running = self.running_tokens(now);
        if tasks <= steps {
            let steps = self.queue.first(lane, tasks).map(|(since, work)| Step {
                tasks: 1.0,
                waited_ms: ms_between(since, now),
                read: f64::from(work.tokens_in) * fresh,
                length: self.lengths.length(lane, &work, running),
                mean: 0.0,
            });
            return LaneOutlook { steps: steps.collect(), leaving_per_ms };
        }
        let load = self.queue.load_of_first(lane, tasks);
        let sum = self.lengths.sum(lane, &load);
        let hinted = load.tasks.saturating_sub(load.learned.iter().sum());
        let length = if hinted * 2 > load.tasks {
            Length::Known(sum.write / count(tasks))
        } else {
            self.lengths.any_length(lane, &load, running)
        };
        let (first, last) = self
            .queue
            .waits(lane)
            .map_or((0.0, 0.0), |(first, last)| (ms_between(first, now), ms_between(last, now)));
        let mean = length.mean();
        let steps = (0..steps).map(|step| Step {
            tasks: count(tasks) / count(steps),
            waited_ms: first + (last - first) * count(step) / count(steps),
            read: sum.read / count(tasks),
            length,
            mean,
        });
        LaneOutlook { steps: steps.collect(), leaving_per_ms }
    }

    /// Tokens that are out of answers that have not ended.
    pub(super) fn running_tokens(&self, now: Timestamp) -> f64 {
        let tokens = self.replicas.iter().flat_map(|replica| {
            let write_ms = replica.speed.token_ms(f64::from(replica.slots)).filter(|ms| *ms > 0.0);
            let answering = replica.occupied.iter().filter_map(move |held| replica.answering_ms(held, now));
            answering.map(move |ms| write_ms.map_or(0.0, |write_ms| ms / write_ms))
        });
        tokens.sum()
    }

    /// Interactive tasks that will come, as often as they did.
    fn newcomers(&self, now: Timestamp) -> Option<Newcomers<'_>> {
        let arriving_per_ms = self.past.arriving_per_ms(Priority::Interactive, now);
        if arriving_per_ms <= 0.0 {
            return None;
        }
        let load = self.queue.load(Priority::Interactive);
        let length = self.lengths.any_length(Priority::Interactive, load, self.running_tokens(now));
        let read = self.mean_tokens(Priority::Interactive).read;
        Some(Newcomers {
            gap_ms: 1.0 / arriving_per_ms,
            step: Step { tasks: 1.0, waited_ms: 0.0, read, length, mean: 0.0 },
        })
    }
}

#[expect(clippy::cast_precision_loss, reason = "a queue is far shorter than 2^53")]
fn count(tasks: usize) -> f64 {
    tasks as f64
}
