//! When slots will be free, as far as the scheduler's own figures say.
//!
//! Rules: ORCH-ERR-4, ORCH-PRED-1

use super::PoolScheduler;
use super::dispatch::{Before, LOOKED_AT_MAX};
use super::promises::Departures;
use crate::prediction::Tokens;
use crate::prediction::timeline::{Slot, kth_start};
use crate::replica::{Availability, OccupiedSlot, Replica};
use crate::task::Task;
use crate::work::Output;
use crate::{Priority, Timestamp, TokenCount};

/// Share by which hinted lengths differ from each other and from the truth, on average. It is a guess.
const HINTS_OFF_BY: f64 = 0.25;

impl PoolScheduler {
    /// An average waiting task of a lane.
    pub(super) fn mean_tokens(&self, priority: Priority) -> Tokens {
        let load = self.queue.load(priority);
        if load.tasks == 0 {
            return Tokens::default();
        }
        let sum = self.lengths.sum(priority, load);
        Tokens { read: sum.read / f64::from(load.tasks), write: sum.write / f64::from(load.tasks) }
    }

    /// How a lane empties while its pool is busy. Interactive tasks leave the batch lane what they do not take
    /// themselves, and batch tasks take one start in `batch_one_in` once they are overdue.
    pub(super) fn departures(&self, priority: Priority, now: Timestamp) -> Departures {
        let load = self.queue.load(priority);
        let length = self.lengths.any_length(priority, load, self.running_tokens(now));
        let each = match load.tasks {
            0 => Tokens { read: 0.0, write: length.mean() },
            _ => self.mean_tokens(priority),
        };
        let hinted = load.tasks.saturating_sub(load.learned.iter().sum());
        let (deviation, doubt) = if hinted * 2 > load.tasks {
            (each.write * HINTS_OFF_BY, 0.0)
        } else {
            (length.deviation(), length.doubt())
        };
        let (mut per_ms, mut spread_ms, mut slots) = (0.0, 0.0, 0.0);
        for (of_one, pace) in self.paces(each, self.mean_cells(priority), now) {
            per_ms += of_one / (each.read * pace.read_ms + each.write * pace.write_ms).max(1.0);
            spread_ms += deviation * pace.write_ms * of_one;
            slots += of_one;
        }
        let share = self.share_of(priority, per_ms, now);
        let spread = deviation / each.write.max(1.0);
        Departures {
            each_ms: if per_ms > 0.0 { 1.0 / (per_ms * share) } else { 0.0 },
            first_ms: self
                .fresh_ms(slots / per_ms.max(f64::MIN_POSITIVE) * (1.0 + spread * spread) / 2.0, now),
            earliest_ms: self.earliest_ms(spread, now),
            spread_ms: spread_ms / slots / slots / share,
            doubt,
        }
    }

    /// By how much longer the tasks that run have still to go than such tasks have on average, which is
    /// (1 + c^2) / 2 of a task where c is their coefficient of variation (the inspection paradox; D. R. Cox,
    /// "Renewal Theory", 1962): when all slots have just been taken, the first comes free late.
    fn fresh_ms(&self, usual_ms: f64, now: Timestamp) -> f64 {
        let open = || self.replicas.iter().filter(|replica| replica.availability == Availability::Open);
        let left = open().flat_map(|replica| self.slots_of(replica, Tokens::default(), 0.0, now));
        let (sum, slots) = left.fold((0.0, 0.0), |(sum, slots), slot| (sum + slot.ready, slots + 1.0));
        if slots > 0.0 { (sum / slots - usual_ms).clamp(0.0, usual_ms) } else { 0.0 }
    }

    /// Before that no task that runs is expected to end: each has its expected time left, less what that may be off
    /// by. A length that its caller has named is off by little, others by `spread`, as a share of it.
    fn earliest_ms(&self, spread: f64, now: Timestamp) -> f64 {
        let off_by = |held: &OccupiedSlot| match self.tasks.get(&held.task) {
            Some(Task::Running(running)) if matches!(running.spec.work().output, Output::Hinted(_)) => {
                HINTS_OFF_BY
            }
            _ => spread,
        };
        let open = self.replicas.iter().filter(|replica| replica.availability == Availability::Open);
        let earliest = open.map(|replica| {
            if replica.free() > 0 {
                return 0.0;
            }
            let slots = self.slots_of(replica, Tokens::default(), 0.0, now);
            let left = replica
                .occupied
                .iter()
                .zip(slots)
                .map(|(held, slot)| slot.ready * (1.0 - off_by(held)).max(0.0));
            left.fold(f64::INFINITY, f64::min)
        });
        let earliest = earliest.fold(f64::INFINITY, f64::min);
        if earliest.is_finite() { earliest } else { 0.0 }
    }

    /// The share of the starts that a lane gets while its pool is busy and starts so many tasks a millisecond.
    fn share_of(&self, priority: Priority, starts_per_ms: f64, now: Timestamp) -> f64 {
        let batch_least = 1.0 / f64::from(self.queue.limits().batch_one_in.max(1));
        match priority {
            Priority::Interactive if self.queue.batch_is_overdue(now) => 1.0 - batch_least,
            Priority::Interactive => 1.0,
            Priority::Batch => {
                let arriving = self.past.arriving_per_ms(Priority::Interactive, now);
                let left = 1.0 - arriving / starts_per_ms.max(f64::MIN_POSITIVE);
                let waiting = self.depth(Priority::Interactive) > 0;
                left.max(if waiting { batch_least } else { 2.0 * batch_least }).min(1.0)
            }
        }
    }

    /// Cells that a waiting task of a lane needs, on average of the first of them.
    pub(super) fn mean_cells(&self, priority: Priority) -> f64 {
        let first = self.queue.waiting(priority).take(LOOKED_AT_MAX).filter_map(|queued| {
            let Task::Waiting(waiting) = self.tasks.get(&queued.task)? else { return None };
            Some(f64::from(waiting.spec.cells.0))
        });
        let (sum, tasks) = first.fold((0.0, 0.0), |(sum, tasks), cells| (sum + cells, tasks + 1.0));
        if tasks > 0.0 { sum / tasks } else { 0.0 }
    }

    /// The slots of one replica that tasks have, or could have which need so many cells each, with how long each waiting
    /// task takes there.
    pub(super) fn slots_of(&self, replica: &Replica, each: Tokens, cells: f64, now: Timestamp) -> Vec<Slot> {
        let task = self.full_task_ms(replica, each, now);
        let streams = f64::from(replica.slots);
        let busy = replica.occupied.iter().map(|held| {
            let ready = replica.remaining_ms(held, streams, now).unwrap_or_else(|| {
                // Nothing is known of its speed: a task is as likely to be in its first half as in its second.
                let age = replica.age_ms(held, now);
                self.past.held_ms.map_or(age, |held| (held - age).abs())
            });
            Slot { ready, task }
        });
        let free = std::iter::repeat_n(Slot { ready: 0.0, task }, usize::from(replica.free_for(cells)));
        busy.chain(free).collect()
    }

    /// When the replica has a free slot, after those that wait for one of its slots.
    pub(super) fn ready_ms(&self, replica: &Replica, before: Before, now: Timestamp) -> f64 {
        if replica.free() > 0 {
            return 0.0;
        }
        let mut slots = self.slots_of(replica, Tokens::default(), 0.0, now);
        for slot in &mut slots {
            slot.task = before.sum_ms / f64::from(before.tasks.max(1));
        }
        kth_start(&mut slots, usize::from(before.tasks)).unwrap_or(f64::INFINITY)
    }

    /// When the replica's KV cache has room for a task, after those that wait for `awaited` cells there.
    pub(super) fn room_ms(&self, replica: &Replica, cells: TokenCount, awaited: u64, now: Timestamp) -> f64 {
        let slots = self.slots_of(replica, Tokens::default(), 0.0, now);
        let mut ends: Vec<_> =
            replica.occupied.iter().zip(slots).map(|(held, slot)| (slot.ready, held.cells)).collect();
        ends.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        let all = u32::try_from(awaited.saturating_add(u64::from(cells.0))).unwrap_or(u32::MAX);
        let before = replica.ends_before_room(ends.iter().map(|(_, cells)| *cells), TokenCount(all));
        ends.get(before.saturating_sub(1)).map_or(0.0, |(ready, _)| *ready)
    }

    /// How long a task takes at the replica if it joins the streams that run there.
    pub(super) fn task_ms(&self, replica: &Replica, tokens: Tokens, now: Timestamp) -> f64 {
        let streams = f64::from(replica.busy().saturating_add(1).min(replica.slots));
        self.task_ms_among(replica, tokens, streams, now)
    }

    /// How long a task takes at the replica with all slots busy.
    pub(super) fn full_task_ms(&self, replica: &Replica, tokens: Tokens, now: Timestamp) -> f64 {
        self.task_ms_among(replica, tokens, f64::from(replica.slots), now)
    }

    /// From the replica's own speed; where that is not known, from the other replicas'; where none is,
    /// from how long the pool's tasks have held a slot; and before the first has ended, from how long the
    /// ones that run have been running, twice.
    fn task_ms_among(&self, replica: &Replica, tokens: Tokens, streams: f64, now: Timestamp) -> f64 {
        if let Some(ms) = replica.speed.task_ms(tokens.read, tokens.write, streams) {
            return ms;
        }
        let others = self.replicas.iter();
        let known = others.filter_map(|other| other.speed.task_ms(tokens.read, tokens.write, streams));
        let (sum, count) = known.fold((0.0, 0.0), |(sum, count), ms| (sum + ms, count + 1.0));
        if count > 0.0 {
            return sum / count;
        }
        self.past.held_ms.unwrap_or_else(|| {
            let occupied =
                self.replicas.iter().flat_map(|r| r.occupied.iter().map(|held| r.age_ms(held, now)));
            let (sum, count) = occupied.fold((0.0, 0.0), |(sum, count), ms| (sum + ms, count + 1.0));
            if count > 0.0 { 2.0 * sum / count } else { 0.0 }
        })
    }

    /// Slots of replicas that take tasks.
    pub(super) fn open_slots(&self) -> usize {
        let open = self.replicas.iter().filter(|replica| replica.availability == Availability::Open);
        open.map(|replica| usize::from(replica.slots)).sum()
    }

    /// The most slots that batch tasks hold at a time.
    pub(super) fn batch_slots(&self) -> usize {
        let reserve = usize::from(self.queue.limits().interactive_reserve);
        self.open_slots().saturating_sub(reserve).max(1)
    }

    pub(super) fn batch_running(&self) -> usize {
        let open = self.replicas.iter().filter(|replica| replica.availability == Availability::Open);
        open.flat_map(|replica| &replica.occupied).filter(|held| held.priority == Priority::Batch).count()
    }
}
