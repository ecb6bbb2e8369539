//! When slots will be free, as far as the scheduler's own figures say.

use super::PoolScheduler;
use crate::placement::ALIKE;
use crate::prediction::timeline::{Slot, kth_start};
use crate::prediction::{StartForecast, Tokens};
use crate::queue::Ahead;
use crate::replica::{Replica, Standing, ms_between};
use crate::task::Task;
use crate::{Priority, TaskId, Timestamp};

/// Share of a mean that the newest value makes.
const NEWEST_SHARE: f64 = 0.1;

/// What the pool has seen: how long its tasks have held a slot, and how often new ones come.
#[derive(Clone, Debug, Default)]
pub(super) struct Past {
    held_ms: Option<f64>,
    slots: usize,
    interactive: Arrivals,
    batch: Arrivals,
}

/// How often tasks come in one lane.
#[derive(Clone, Copy, Debug, Default)]
struct Arrivals {
    last: Option<Timestamp>,
    gap_ms: Option<f64>,
    gaps: u64,
}

impl Past {
    pub(super) fn learn(&mut self, held_ms: f64) {
        self.held_ms = Some(follow(self.held_ms, held_ms));
    }

    pub(super) fn note_slots(&mut self, slots: usize) {
        self.slots = slots;
    }

    pub(super) fn arrived(&mut self, priority: Priority, now: Timestamp) {
        let lane = match priority {
            Priority::Interactive => &mut self.interactive,
            Priority::Batch => &mut self.batch,
        };
        if let Some(last) = lane.last {
            lane.gap_ms = Some(follow(lane.gap_ms, ms_between(last, now)));
            lane.gaps += 1;
        }
        lane.last = Some(now);
    }

    /// Tasks a millisecond that come in a lane. A pause that is longer than the usual gap counts as one.
    pub(super) fn arriving_per_ms(&self, priority: Priority, now: Timestamp) -> f64 {
        let lane = match priority {
            Priority::Interactive => &self.interactive,
            Priority::Batch => &self.batch,
        };
        match (lane.last, lane.gap_ms) {
            (Some(last), Some(gap_ms)) if lane.gaps >= TELLING_GAPS => {
                1.0 / gap_ms.max(ms_between(last, now)).max(SHORTEST_GAP_MS)
            }
            _ => 0.0,
        }
    }
}

/// Fewer gaps than this say nothing of how often tasks come: two that come at once are no flood.
const TELLING_GAPS: u64 = 8;

/// Gaps between arrivals are taken to be no shorter than this.
const SHORTEST_GAP_MS: f64 = 0.001;

/// A mean that follows the newest value.
fn follow(mean: Option<f64>, value: f64) -> f64 {
    mean.map_or(value, |mean| mean + (value - mean) * NEWEST_SHARE)
}

/// A slot with what runs on it.
struct SlotView {
    slot: Slot,
    holder: Option<Priority>,
}

impl PoolScheduler {
    /// When a waiting task will start; nothing when it does not wait. A pool without a replica counts from
    /// the moment it has one.
    #[must_use]
    pub fn predicted_start(&self, task: TaskId, now: Timestamp) -> Option<StartForecast> {
        let Task::Waiting(waiting) = self.tasks.get(&task)? else { return None };
        let priority = waiting.spec.priority;
        let ahead = self.queue.ahead_of(waiting.ticket, now)?;
        Some(self.grader(priority).say(self.start_ms(priority, &ahead, now)).forecast)
    }

    /// Milliseconds until a task with so much before it starts.
    pub(super) fn start_ms(&self, priority: Priority, ahead: &Ahead, now: Timestamp) -> f64 {
        let mut sum = self.lengths.sum(priority, &ahead.own);
        let other = match priority {
            Priority::Interactive => Priority::Batch,
            Priority::Batch => Priority::Interactive,
        };
        #[expect(clippy::cast_precision_loss, reason = "a queue is far shorter than 2^53")]
        let (tasks, others) = (ahead.tasks() as f64, ahead.other as f64);
        if ahead.other > 0 {
            let each = self.mean_tokens(other);
            sum.read += each.read * others;
            sum.write += each.write * others;
        }
        let each = if tasks > 0.0 {
            Tokens { read: sum.read / tasks, write: sum.write / tasks }
        } else {
            self.mean_tokens(priority)
        };
        self.kth_start_ms(priority, ahead.tasks(), each, now)
    }

    /// Milliseconds until `promised + 1` tasks have left a lane.
    pub(super) fn departure_ms(&self, priority: Priority, promised: usize, now: Timestamp) -> f64 {
        let position = promised + self.queue.others_ahead(priority, promised, now);
        self.kth_start_ms(priority, position, self.mean_tokens(priority), now)
    }

    /// An average waiting task of a lane.
    pub(super) fn mean_tokens(&self, priority: Priority) -> Tokens {
        let load = self.queue.load(priority);
        if load.tasks == 0 {
            return Tokens::default();
        }
        let sum = self.lengths.sum(priority, load);
        Tokens { read: sum.read / f64::from(load.tasks), write: sum.write / f64::from(load.tasks) }
    }

    fn kth_start_ms(&self, priority: Priority, k: usize, each: Tokens, now: Timestamp) -> f64 {
        let mut views: Vec<SlotView> = Vec::with_capacity(self.past.slots);
        for replica in self.replicas.iter().filter(|replica| replica.standing == Standing::Open) {
            self.view_slots(replica, each, now, &mut views);
        }
        if views.is_empty() {
            #[expect(clippy::cast_precision_loss, reason = "a queue is far shorter than 2^53")]
            return self.past.held_ms.unwrap_or(0.0) * k as f64 / self.past.slots.max(1) as f64;
        }
        if priority == Priority::Batch {
            self.keep_reserve(&mut views);
        }
        let mut slots: Vec<Slot> = views.into_iter().map(|view| view.slot).collect();
        start_on(&mut slots, k)
    }

    /// Leaves out the slots that batch tasks will not get: those that are ready last among the free ones
    /// and those that interactive tasks hold.
    fn keep_reserve(&self, views: &mut Vec<SlotView>) {
        let kept_back = views.len().saturating_sub(self.batch_slots());
        for _ in 0..kept_back {
            let last = views
                .iter()
                .enumerate()
                .filter(|(_, view)| view.holder != Some(Priority::Batch))
                .max_by(|(_, a), (_, b)| a.slot.ready.total_cmp(&b.slot.ready))
                .map(|(index, _)| index);
            let Some(last) = last else { return };
            views.swap_remove(last);
        }
    }

    /// The slots of one replica, with how long each waiting task takes there.
    pub(super) fn slots_of(&self, replica: &Replica, each: Tokens, now: Timestamp) -> Vec<Slot> {
        let mut views = Vec::with_capacity(usize::from(replica.slots));
        self.view_slots(replica, each, now, &mut views);
        views.into_iter().map(|view| view.slot).collect()
    }

    fn view_slots(&self, replica: &Replica, each: Tokens, now: Timestamp, into: &mut Vec<SlotView>) {
        let task = self.full_task_ms(replica, each, now);
        let streams = f64::from(replica.slots);
        for seat in &replica.seats {
            let ready = replica.remaining_ms(seat, streams, now);
            let ready = ready.unwrap_or_else(|| {
                // Nothing is known of its speed: a task is as likely to be in its first half as in its second.
                self.past
                    .held_ms
                    .map_or(replica.age_ms(seat, now), |held| (held - replica.age_ms(seat, now)).abs())
            });
            into.push(SlotView { slot: Slot { ready, task }, holder: Some(seat.priority) });
        }
        for _ in 0..replica.free() {
            into.push(SlotView { slot: Slot { ready: 0.0, task }, holder: None });
        }
    }

    /// When the replica has a free slot.
    pub(super) fn ready_ms(&self, replica: &Replica, now: Timestamp) -> f64 {
        if replica.free() > 0 {
            return 0.0;
        }
        let mut views = Vec::with_capacity(usize::from(replica.slots));
        self.view_slots(replica, Tokens::default(), now, &mut views);
        views.iter().map(|view| view.slot.ready).fold(f64::INFINITY, f64::min)
    }

    /// How long a task takes at the replica if it joins the streams that run there.
    pub(super) fn task_ms(&self, replica: &Replica, tokens: Tokens, now: Timestamp) -> f64 {
        let streams = f64::from(replica.busy().saturating_add(1).min(replica.slots));
        self.task_ms_among(replica, tokens, streams, now)
    }

    /// How long a task takes at the replica with all slots busy.
    fn full_task_ms(&self, replica: &Replica, tokens: Tokens, now: Timestamp) -> f64 {
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
            let seats = self.replicas.iter().flat_map(|r| r.seats.iter().map(|seat| r.age_ms(seat, now)));
            let (sum, count) = seats.fold((0.0, 0.0), |(sum, count), ms| (sum + ms, count + 1.0));
            if count > 0.0 { 2.0 * sum / count } else { 0.0 }
        })
    }

    /// Slots of replicas that take tasks.
    pub(super) fn open_slots(&self) -> usize {
        let open = self.replicas.iter().filter(|replica| replica.standing == Standing::Open);
        open.map(|replica| usize::from(replica.slots)).sum()
    }

    /// The most slots that batch tasks hold at a time.
    pub(super) fn batch_slots(&self) -> usize {
        let reserve = usize::from(self.queue.limits().interactive_reserve);
        self.open_slots().saturating_sub(reserve).max(1)
    }

    pub(super) fn batch_running(&self) -> usize {
        let open = self.replicas.iter().filter(|replica| replica.standing == Standing::Open);
        open.flat_map(|replica| &replica.seats).filter(|seat| seat.priority == Priority::Batch).count()
    }
}

/// When the task with `k` before it starts. Slots that would have it finished later than the fastest ones
/// are left alone while the queue is short (P-2).
fn start_on(slots: &mut [Slot], k: usize) -> f64 {
    let fastest = slots.iter().map(|slot| slot.task).fold(f64::INFINITY, f64::min);
    let is_fast = |slot: &Slot| slot.task <= fastest * (1.0 + ALIKE);
    let slow_finish = slots.iter().filter(|slot| !is_fast(slot)).map(|slot| slot.ready + slot.task);
    if let Some(slow_finish) = slow_finish.min_by(f64::total_cmp) {
        let mut fast: Vec<Slot> = slots.iter().copied().filter(is_fast).collect();
        if let Some(start) = kth_start(&mut fast, k).filter(|start| start + fastest < slow_finish) {
            return start;
        }
    }
    kth_start(slots, k).unwrap_or(0.0)
}
