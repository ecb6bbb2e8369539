//! When a waiting task will start, from a bounded number of futures that are played through.
//!
//! Each future draws what is not known (how long the running and the waiting answers will be, who leaves the
//! queue, when interactive tasks come that go before a batch task) and follows the rules of the queue (Q-1 to
//! Q-3) until the task starts. The middle of the starts is the expected one, their ninth decile the late one.
//!
//! The draws are stratified: over all futures, each unknown takes every part of its spread exactly once (latin
//! hypercube; M. McKay, R. Beckman, W. Conover, "A comparison of three methods for selecting values of input
//! variables", 1979), so that few futures are enough. Nothing is random: the same pool gives the same answer.
//!
//! The cost is bounded whatever waits: of a long queue, several tasks make one step, whose time has the mean
//! and the variance of their sum.
//!
//! Rules: ORCH-PRED-3

use super::recent::{Length, exponential};
use crate::Priority;

/// Futures that are played through.
pub(crate) const FUTURES: usize = 32;

/// Steps of one lane: of a longer one, several tasks make one step.
pub(crate) const LANE_STEPS: usize = 32;

/// Tasks of one lane whose starts are told in one pass, each a step of its own.
pub(crate) const LANE_ROWS: usize = 128;

/// The most steps of one future.
const STEPS_MAX: usize = 200;

/// Slots looked at over all futures and steps: with many slots, fewer futures are played.
const LOOKS_MAX: usize = 1 << 18;

/// The scale of a logistic spread with a standard deviation of 1: √3 / π.
const LOGISTIC_SCALE: f64 = 0.551_328_9;

/// The fewest futures that are played.
const FUTURES_MIN: usize = 8;

/// A slot: how long a token takes there, and what must end before it is free.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SlotOutlook<'a> {
    /// Milliseconds a prompt token takes.
    pub(crate) read_ms: f64,
    /// Milliseconds an answer token takes, with all slots busy.
    pub(crate) write_ms: f64,
    pub(crate) holder: Option<Holder<'a>>,
}

/// A task that runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Holder<'a> {
    pub(crate) priority: Priority,
    /// Milliseconds until its first token.
    pub(crate) prefill_ms: f64,
    /// Tokens that are out.
    pub(crate) out: f64,
    pub(crate) length: Length<'a>,
}

/// A task that waits, or several alike.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step<'a> {
    pub(crate) tasks: f64,
    /// Milliseconds it has waited.
    pub(crate) waited_ms: f64,
    pub(crate) read: f64,
    pub(crate) length: Length<'a>,
    /// The mean of `length`, computed once and not in every future. Read only of the task that is asked for and
    /// of a step that several tasks make.
    pub(crate) mean: f64,
}

/// What waits in one lane and may start before the task.
#[derive(Clone, Debug, Default)]
pub(crate) struct LaneOutlook<'a> {
    pub(crate) steps: Vec<Step<'a>>,
    /// How often a waiting task is given up, by the millisecond.
    pub(crate) leaving_per_ms: f64,
}

/// Interactive tasks that are still to come.
#[derive(Clone, Debug)]
pub(crate) struct Newcomers<'a> {
    /// Milliseconds between two of them, on average.
    pub(crate) gap_ms: f64,
    pub(crate) step: Step<'a>,
}

/// All that the start of one task depends on.
#[derive(Clone, Debug)]
pub(crate) struct Outlook<'a> {
    pub(crate) slots: Vec<SlotOutlook<'a>>,
    /// The most slots that batch tasks hold at a time.
    pub(crate) batch_slots: usize,
    pub(crate) interactive: LaneOutlook<'a>,
    pub(crate) batch: LaneOutlook<'a>,
    pub(crate) newcomers: Option<Newcomers<'a>>,
    pub(crate) batch_max_wait_ms: f64,
    /// Interactive tasks that start between two batch tasks, and that have started since the last one.
    pub(crate) spacing: f64,
    pub(crate) since_batch: f64,
    /// How often a running task is canceled, by the millisecond.
    pub(crate) cuts_per_ms: f64,
    /// How far the mean of the lengths that are not known may be off, as a share of it.
    pub(crate) doubt: f64,
    /// The task whose start is asked for.
    pub(crate) priority: Priority,
    pub(crate) task: Step<'a>,
}

/// The starts of a task in all futures, from the first to the last, in milliseconds from now.
#[derive(Clone, Debug)]
pub(crate) struct Starts(Vec<f64>);

impl Starts {
    fn of(mut starts: Vec<f64>) -> Self {
        starts.sort_unstable_by(f64::total_cmp);
        Self(starts)
    }

    /// The start that a share of the futures is not later than.
    pub(crate) fn at(&self, share: f64) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a small number")]
        let place = share * (self.0.len() - 1) as f64;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a place in a small list"
        )]
        let below = place as usize;
        let above = (below + 1).min(self.0.len() - 1);
        self.0[below] + (self.0[above] - self.0[below]) * place.fract()
    }
}

impl Outlook<'_> {
    /// The starts of the task, from futures that are played through; nothing without a slot.
    pub(crate) fn starts(&self) -> Option<Starts> {
        let own = self.own_steps();
        let mut starts = Vec::with_capacity(FUTURES);
        self.play(&mut |step, at| {
            if step == own {
                starts.push(at);
            }
        });
        (!starts.is_empty()).then(|| Starts::of(starts))
    }

    /// The same for every step of its lane as well, and the task last: in one pass, as the task starts after them.
    pub(crate) fn starts_of_lane(&self) -> Vec<Starts> {
        let mut starts = vec![Vec::with_capacity(FUTURES); self.own_steps() + 1];
        self.play(&mut |step, at| starts[step].push(at));
        if self.slots.is_empty() { Vec::new() } else { starts.into_iter().map(Starts::of).collect() }
    }

    /// Tells of each future when each step of the task's lane starts, and the task last.
    fn play(&self, started: &mut dyn FnMut(usize, f64)) {
        if self.slots.is_empty() {
            return;
        }
        let steps = self.interactive.steps.len() + self.batch.steps.len() + 1;
        let futures = (LOOKS_MAX / (steps * self.slots.len())).clamp(FUTURES_MIN, FUTURES);
        let futures = 1 << futures.ilog2();
        for number in 0..futures {
            Future::new(self, number, futures).play(started);
        }
    }

    fn own_steps(&self) -> usize {
        match self.priority {
            Priority::Interactive => self.interactive.steps.len(),
            Priority::Batch => self.batch.steps.len(),
        }
    }
}

/// What a draw is for, so that each unknown has a stratification of its own.
#[derive(Clone, Copy)]
enum Unknown {
    Holder(usize),
    Interactive(usize),
    Batch(usize),
    Newcomer(usize),
    Gap(usize),
    Leaving(usize),
    Cut(usize),
    MeanLength,
}

impl Unknown {
    /// A number of its own, well mixed (the finalizer of SplitMix64).
    fn hash(self) -> usize {
        let (kind, number) = match self {
            Self::Holder(number) => (1, number),
            Self::Interactive(number) => (2, number),
            Self::Batch(number) => (3, number),
            Self::Newcomer(number) => (4, number),
            Self::Gap(number) => (5, number),
            Self::Leaving(number) => (6, number),
            Self::Cut(number) => (7, number),
            Self::MeanLength => (0, 1),
        };
        let mut z = (number as u64 * 8 + kind).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        #[expect(clippy::cast_possible_truncation, reason = "any bits of it will do")]
        let hash = (z ^ (z >> 31)) as usize;
        hash
    }
}

/// A slot in one future.
#[derive(Clone, Copy)]
struct Ready {
    at: f64,
    /// How long an average task takes there.
    usual: f64,
    batch: bool,
}

/// The task that starts next, and what it draws.
struct First<'a> {
    lane: Priority,
    task: Step<'a>,
    unknown: Unknown,
}

/// One future.
struct Future<'a> {
    outlook: &'a Outlook<'a>,
    number: usize,
    futures: usize,
    ready: Vec<Ready>,
    /// Tasks that have started of each lane, and when the newcomers came.
    started: [usize; 2],
    came: Vec<f64>,
    next_newcomer: f64,
    since_batch: f64,
    /// How much longer all answers are than those seen.
    longer: f64,
}

impl<'a> Future<'a> {
    fn new(outlook: &'a Outlook<'a>, number: usize, futures: usize) -> Self {
        let mut future = Self {
            outlook,
            number,
            futures,
            ready: Vec::with_capacity(outlook.slots.len()),
            started: [0, 0],
            came: Vec::new(),
            next_newcomer: f64::INFINITY,
            since_batch: outlook.since_batch,
            longer: 1.0,
        };
        future.longer = future.longer();
        for (index, slot) in outlook.slots.iter().enumerate() {
            let at = slot.holder.map_or(0.0, |holder| {
                let share = future.share(Unknown::Holder(index));
                let left = holder.prefill_ms
                    + holder.length.scaled_left(holder.out, share, future.longer) * slot.write_ms;
                left.min(future.cut(Unknown::Cut(index)))
            });
            let batch = slot.holder.is_some_and(|holder| holder.priority == Priority::Batch);
            let usual = outlook.task.read * slot.read_ms + outlook.task.mean * slot.write_ms;
            future.ready.push(Ready { at, usual, batch });
        }
        future.next_newcomer = future.gap(0);
        future
    }

    /// Which part of the spread of an unknown this future has.
    fn share(&self, unknown: Unknown) -> f64 {
        let hash = unknown.hash();
        let place = ((self.number ^ (hash >> 8)) & (self.futures - 1)).wrapping_mul((hash >> 16) | 1);
        let place = place.wrapping_add(hash) & (self.futures - 1);
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let share = (place as f64 + 0.5) / self.futures as f64;
        share
    }

    /// The mean of the answers' lengths beside the mean of those seen, which few of them tell only roughly: a
    /// logistic spread of its logarithm, whose quantiles are the simplest.
    fn longer(&self) -> f64 {
        let share = self.share(Unknown::MeanLength);
        (share / (1.0 - share)).powf(self.outlook.doubt * LOGISTIC_SCALE)
    }

    /// When a task that runs is canceled.
    fn cut(&self, unknown: Unknown) -> f64 {
        let per_ms = self.outlook.cuts_per_ms;
        if per_ms > 0.0 { exponential(1.0 / per_ms, self.share(unknown)) } else { f64::INFINITY }
    }

    fn gap(&self, number: usize) -> f64 {
        let Some(newcomers) = &self.outlook.newcomers else { return f64::INFINITY };
        exponential(newcomers.gap_ms, self.share(Unknown::Gap(number)))
    }

    /// Tells when each step of the task's lane starts, and the task last.
    fn play(mut self, started: &mut dyn FnMut(usize, f64)) {
        let own = self.outlook.priority;
        let mut now = 0.0;
        for _ in 0..STEPS_MAX {
            let slot = self.next_slot();
            now = self.ready[slot].at;
            if !now.is_finite() {
                break;
            }
            while self.next_newcomer <= now {
                self.came.push(self.next_newcomer);
                self.next_newcomer += self.gap(self.came.len());
            }
            let Some(lane) = self.turn(slot, now) else {
                self.ready[slot] = Ready { at: self.next_newcomer, batch: false, ..self.ready[slot] };
                continue;
            };
            if lane == own {
                started(self.started[own as usize], now);
            }
            let (task, unknown) = self.first_of(lane);
            let Some(task) = task else { return };
            self.take(slot, now, &First { lane, task, unknown });
        }
        // Too far to play through: what has started tells how fast it goes on.
        let gone = self.started[own as usize];
        for step in gone..=self.lane(own).steps.len() {
            #[expect(clippy::cast_precision_loss, reason = "small numbers")]
            started(step, now * (step + 1) as f64 / gone.max(1) as f64);
        }
    }

    /// The slot where the next task ends first: a slow one is left alone while the queue is short (P-2).
    fn next_slot(&self) -> usize {
        let mut best = 0;
        let mut best_end = f64::INFINITY;
        for (index, ready) in self.ready.iter().enumerate() {
            let end = ready.at + ready.usual;
            if end < best_end {
                (best, best_end) = (index, end);
            }
        }
        best
    }

    fn lane(&self, lane: Priority) -> &'a LaneOutlook<'a> {
        match lane {
            Priority::Interactive => &self.outlook.interactive,
            Priority::Batch => &self.outlook.batch,
        }
    }

    /// The first task of a lane, and what it draws; without a step, it is the one that is asked for.
    fn first_of(&self, lane: Priority) -> (Option<Step<'a>>, Unknown) {
        let started = self.started[lane as usize];
        let waiting = self.lane(lane).steps.get(started).copied();
        let unknown = match lane {
            Priority::Interactive => Unknown::Interactive(started),
            Priority::Batch => Unknown::Batch(started),
        };
        if waiting.is_none() && lane != self.outlook.priority {
            let newcomer = started - self.lane(lane).steps.len();
            return (
                self.outlook.newcomers.as_ref().map(|newcomers| newcomers.step),
                Unknown::Newcomer(newcomer),
            );
        }
        (waiting, unknown)
    }

    /// How long the first task of a lane will have waited; nothing when none waits.
    fn waited(&self, lane: Priority, now: f64) -> Option<f64> {
        let (steps, started) = (&self.lane(lane).steps, self.started[lane as usize]);
        if let Some(step) = steps.get(started) {
            return Some(step.waited_ms + now);
        }
        if lane == self.outlook.priority {
            return Some(self.outlook.task.waited_ms + now);
        }
        self.came.get(started - steps.len()).map(|came| now - came)
    }

    /// Whose turn it is (Q-1 to Q-3, S-4); nobody's when only batch tasks wait and they hold all they may.
    fn turn(&self, slot: usize, now: f64) -> Option<Priority> {
        let held = || {
            let others = self.ready.iter().enumerate().filter(|(index, _)| *index != slot);
            others.filter(|(_, ready)| ready.batch && ready.at > now).count()
        };
        let batch = self.waited(Priority::Batch, now).filter(|_| held() < self.outlook.batch_slots);
        match (self.waited(Priority::Interactive, now), batch) {
            (None, None) => None,
            (Some(_), None) => Some(Priority::Interactive),
            (None, Some(_)) => Some(Priority::Batch),
            (Some(interactive), Some(batch)) => {
                let overdue = batch >= self.outlook.batch_max_wait_ms.max(interactive);
                let batch_goes = overdue && self.since_batch >= self.outlook.spacing;
                Some(if batch_goes { Priority::Batch } else { Priority::Interactive })
            }
        }
    }

    fn take(&mut self, slot: usize, now: f64, first: &First<'a>) {
        let First { lane, task, unknown } = *first;
        let outlook = &self.outlook.slots[slot];
        let write = if task.tasks > 1.0 {
            let spread = task.length.at(self.share(unknown)) - task.mean;
            let longer = if let Length::Known(_) = task.length { 1.0 } else { self.longer };
            (task.mean * task.tasks + spread * task.tasks.sqrt()).max(0.0) * longer
        } else {
            task.length.scaled_at(self.share(unknown), self.longer)
        };
        // The first token belongs to the prefill.
        let took =
            task.read * task.tasks * outlook.read_ms + (write - task.tasks).max(0.0) * outlook.write_ms;
        let leaving_per_ms = self.lane(lane).leaving_per_ms;
        let stays = if leaving_per_ms > 0.0 { (-leaving_per_ms * now).exp() } else { 1.0 };
        let took = if task.tasks > 1.0 {
            took * stays
        } else if stays < 1.0 && self.share(Unknown::Leaving(unknown.hash() >> 8)) >= stays {
            0.0
        } else {
            took.min(self.cut(Unknown::Cut(unknown.hash() >> 8)))
        };
        self.started[lane as usize] += 1;
        self.since_batch = match lane {
            Priority::Interactive => self.since_batch + task.tasks,
            Priority::Batch => -self.outlook.spacing * (task.tasks - 1.0),
        };
        self.ready[slot] = Ready { at: now + took, batch: lane == Priority::Batch, ..self.ready[slot] };
    }
}
