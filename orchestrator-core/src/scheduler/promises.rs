//! Places that refused callers were promised: who may come back when, and what newcomers may take.
//!
//! A refused caller is told when the places before it and its own will have come free, and is known again by
//! an opaque key. A newcomer is let in only where that leaves every promise its place, or where the lane would run
//! empty before the promised callers come. A promise lapses a grace after its time, so that a caller who never
//! comes back blocks nobody for long. Callers with the same
//! key are told apart by their number only: whoever comes first has the place that is due first.
//!
//! Rules: ORCH-PRED-4

use std::collections::VecDeque;

use crate::{Millis, Timestamp};

/// The most promises of one lane that are kept in mind.
const PROMISES_MAX: usize = 1024;

/// No caller is told to stay away for longer: client libraries ignore more. Whoever is promised a later place is
/// told the rest when it asks again.
const TOLD_MAX: Millis = Millis(60_000);

/// A caller that comes so much before its time is taken to be on time: clocks and timers are not exact.
const EARLY: Millis = Millis(100);

/// A promise is kept this much longer than its time, and a quarter of the wait: what is told in whole seconds
/// is rounded up, and many clients wait a little longer than they are told to.
const GRACE: Millis = Millis(2_000);
/// But no longer than this.
const GRACE_MAX: Millis = Millis(5_000);

/// A broken promise is made again after so many others.
const NEXT_ONES: f64 = 8.0;

/// A promised place.
#[derive(Clone, Copy, Debug)]
struct Promise {
    caller: u64,
    due: Timestamp,
    /// When the caller was told to come: `due`, or earlier where that is too far off to be told.
    back: Timestamp,
    until: Timestamp,
}

/// How a lane is expected to empty: the time until so many have left it grows with their number, its standard
/// deviation with the root of it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Departures {
    pub(super) each_ms: f64,
    /// How much later than that the first one comes.
    pub(super) first_ms: f64,
    /// No task that runs is expected to end before that.
    pub(super) earliest_ms: f64,
    /// Standard deviation of the time of one departure.
    pub(super) spread_ms: f64,
    /// How far `each_ms` may be off, as a share of it.
    pub(super) doubt: f64,
}

impl Departures {
    /// When so many have left, with a number of standard deviations in reserve.
    fn after_ms(&self, departures: f64, reserve: f64) -> f64 {
        let usual = (departures - 0.5) * self.each_ms;
        let ms =
            self.first_ms + usual + reserve * (self.spread_ms * departures.sqrt()).hypot(self.doubt * usual);
        ms.max(self.earliest_ms)
    }
}

/// The promises of one lane, in the order they are due.
#[derive(Clone, Debug)]
pub(super) struct Promises {
    waiting: VecDeque<Promise>,
    /// Standard deviations in reserve, so that a promise holds.
    reserve: f64,
}

/// Share of the promises that are to hold.
const KEPT_SHARE: f64 = 0.90;
/// How far one promise, kept or broken, moves the reserve.
const RESERVE_STEP: f64 = 0.1;
const RESERVE_RANGE: std::ops::RangeInclusive<f64> = 0.0..=4.0;

impl Default for Promises {
    fn default() -> Self {
        Self { waiting: VecDeque::new(), reserve: 1.5 }
    }
}

impl Promises {
    /// Promises that still hold.
    fn active(&self, now: Timestamp) -> impl Iterator<Item = &Promise> {
        self.waiting.iter().filter(move |promise| promise.until > now)
    }

    /// Whether the caller was promised a place by now.
    pub(super) fn is_due(&self, caller: u64, now: Timestamp) -> bool {
        let soon = now.after(EARLY.to_duration());
        self.active(now).any(|promise| promise.caller == caller && promise.due <= soon)
    }

    /// How many places are promised.
    pub(super) fn places(&self, now: Timestamp) -> usize {
        self.active(now).count()
    }

    /// What a refused caller is told: the rest of its own promise where it comes back before that is due,
    /// and else when a place will be free that nobody has been promised before.
    pub(super) fn tell(&self, caller: u64, free: usize, departures: Departures, now: Timestamp) -> Millis {
        match self.returning(caller, now) {
            Some(promise) => told(self.waiting[promise].due, now),
            None => told(self.next(free, departures, now), now),
        }
    }

    /// Promises a refused caller its place, and returns what it is told.
    pub(super) fn promise(
        &mut self,
        caller: u64,
        free: usize,
        departures: Departures,
        now: Timestamp,
    ) -> Millis {
        self.waiting.retain(|promise| promise.until > now);
        let due = match self.returning(caller, now) {
            Some(own) => self.waiting.remove(own).map_or(now, |promise| promise.due),
            None if self.is_due(caller, now) => {
                // It was broken. The caller comes after those whose promises would break next, were it to take
                // the next place.
                self.settle(caller, now, false);
                let soon = now.after(millis(departures.after_ms(NEXT_ONES, self.reserve)).to_duration());
                let before = self.active(now).filter(|promise| promise.due <= soon).count();
                let ms = departures.after_ms(count(before + 1), self.reserve);
                now.after(millis(ms).max(Millis(1)).to_duration())
            }
            None => self.next(free, departures, now),
        };
        let told = told(due, now);
        let back = now.after(told.to_duration());
        let grace = Millis((GRACE.0 + told.0 / 4).min(GRACE_MAX.0));
        let until = due.max(back).after(grace.to_duration());
        if self.waiting.len() < PROMISES_MAX {
            let place = self.waiting.partition_point(|promise| promise.due <= due);
            self.waiting.insert(place, Promise { caller, due, back, until });
        }
        told
    }

    /// A caller was let in: its promise, if it had one, is kept.
    pub(super) fn keep(&mut self, caller: u64, now: Timestamp) {
        self.settle(caller, now, true);
    }

    fn settle(&mut self, caller: u64, now: Timestamp, kept: bool) {
        let soon = now.after(EARLY.to_duration());
        let Some(own) = self.waiting.iter().position(|promise| promise.caller == caller) else { return };
        let promise = self.waiting.remove(own).expect("it was just found");
        if promise.due <= soon && promise.until > now {
            // Stochastic approximation of the quantile (H. Robbins, S. Monro, 1951).
            let step = if kept { -(1.0 - KEPT_SHARE) } else { KEPT_SHARE };
            self.reserve =
                (self.reserve + RESERVE_STEP * step).clamp(*RESERVE_RANGE.start(), *RESERVE_RANGE.end());
        }
    }

    /// The promise of a caller that was told to ask again before its place is due.
    fn returning(&self, caller: u64, now: Timestamp) -> Option<usize> {
        let soon = now.after(EARLY.to_duration());
        self.waiting.iter().position(|promise| {
            promise.caller == caller && promise.back <= soon && promise.due > soon && promise.until > now
        })
    }

    /// When a place is free that nobody has been promised.
    fn next(&self, free: usize, departures: Departures, now: Timestamp) -> Timestamp {
        let before = self.active(now).count();
        let departed = count((before + 1).saturating_sub(free).max(1));
        now.after(millis(departures.after_ms(departed, self.reserve)).max(Millis(1)).to_duration())
    }
}

fn told(due: Timestamp, now: Timestamp) -> Millis {
    let micros = u64::try_from(due.since(now).as_micros()).unwrap_or(u64::MAX);
    Millis(micros.div_ceil(1000)).clamp(Millis(1), TOLD_MAX)
}

fn millis(ms: f64) -> Millis {
    crate::prediction::grade::whole_millis(ms)
}

#[expect(clippy::cast_precision_loss, reason = "a queue is far shorter than 2^53")]
fn count(tasks: usize) -> f64 {
    tasks as f64
}
