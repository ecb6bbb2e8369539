//! What a pool has seen: how long its tasks held a slot, how often new ones come, how often one leaves.

use std::collections::VecDeque;

use crate::replica::ms_between;
use crate::{Priority, Timestamp};

/// Share of a mean that the newest value makes.
const NEWEST_SHARE: f64 = 0.1;

/// Arrivals that are remembered.
const ARRIVALS: usize = 129;

/// Fewer gaps than this say nothing of how often tasks come: two that come at once are no flood.
const TELLING_GAPS: usize = 8;

/// Gaps between arrivals are taken to be no shorter than this.
const SHORTEST_GAP_MS: f64 = 0.001;

/// Share of its weight that a task keeps in a [`Hazard`] when the next one comes.
const HAZARD_FADE: f64 = 0.98;

/// Fewer events than this say nothing of how often they come.
const TELLING_EVENTS: u32 = 4;

/// What the pool has seen.
#[derive(Clone, Debug, Default)]
pub(super) struct Past {
    /// How long a task holds a slot; nothing before the first.
    pub(super) held_ms: Option<f64>,
    /// The slots there were last.
    pub(super) slots: usize,
    lanes: [Lane; 2],
    /// How often running tasks are canceled.
    pub(super) cuts: Hazard,
}

#[derive(Clone, Debug, Default)]
struct Lane {
    arrivals: VecDeque<Timestamp>,
    /// The gap between arrivals, the newest ones first in weight.
    gap_ms: Option<f64>,
    leaving: Hazard,
}

/// How often something ends before its time, by the millisecond it is exposed to it: events over exposure, in
/// which old ones fade.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Hazard {
    events: f64,
    exposed_ms: f64,
    seen: u32,
}

impl Hazard {
    pub(super) fn note(&mut self, exposed_ms: f64, ended: bool) {
        self.events = self.events * HAZARD_FADE + f64::from(u8::from(ended));
        self.exposed_ms = self.exposed_ms * HAZARD_FADE + exposed_ms;
        self.seen = self.seen.saturating_add(u32::from(ended));
    }

    pub(super) fn per_ms(&self) -> f64 {
        if self.seen >= TELLING_EVENTS { self.events / self.exposed_ms.max(1.0) } else { 0.0 }
    }
}

impl Past {
    pub(super) fn learn(&mut self, held_ms: f64) {
        self.held_ms = Some(self.held_ms.map_or(held_ms, |mean| mean + (held_ms - mean) * NEWEST_SHARE));
    }

    pub(super) fn arrived(&mut self, priority: Priority, now: Timestamp) {
        let lane = &mut self.lanes[priority as usize];
        if let Some(last) = lane.arrivals.back() {
            let gap_ms = ms_between(*last, now);
            lane.gap_ms = Some(lane.gap_ms.map_or(gap_ms, |mean| mean + (gap_ms - mean) * NEWEST_SHARE));
        }
        if lane.arrivals.len() == ARRIVALS {
            lane.arrivals.pop_front();
        }
        lane.arrivals.push_back(now);
    }

    /// A task has left the queue: it started, or its caller gave it up.
    pub(super) fn left(&mut self, priority: Priority, waited_ms: f64, given_up: bool) {
        self.lanes[priority as usize].leaving.note(waited_ms, given_up);
    }

    /// Waiting tasks of a lane that are given up, a millisecond and task.
    pub(super) fn leaving_per_ms(&self, priority: Priority) -> f64 {
        self.lanes[priority as usize].leaving.per_ms()
    }

    /// Tasks a millisecond that come in a lane at the moment. A pause that is longer than the usual gap counts
    /// as one.
    pub(super) fn arriving_now_per_ms(&self, priority: Priority, now: Timestamp) -> f64 {
        let lane = &self.lanes[priority as usize];
        match (lane.arrivals.back(), lane.gap_ms) {
            (Some(last), Some(gap_ms)) if lane.arrivals.len() > TELLING_GAPS => {
                1.0 / gap_ms.max(ms_between(*last, now)).max(SHORTEST_GAP_MS)
            }
            _ => 0.0,
        }
    }

    /// Tasks a millisecond that come in a lane, over the last [`ARRIVALS`].
    pub(super) fn arriving_per_ms(&self, priority: Priority, now: Timestamp) -> f64 {
        let arrivals = &self.lanes[priority as usize].arrivals;
        let (Some(first), Some(last)) = (arrivals.front(), arrivals.back()) else { return 0.0 };
        let gaps = arrivals.len() - 1;
        if gaps < TELLING_GAPS {
            return 0.0;
        }
        #[expect(clippy::cast_precision_loss, reason = "a small number")]
        let mean = ms_between(*first, *last) / gaps as f64;
        1.0 / mean.max(ms_between(*last, now)).max(SHORTEST_GAP_MS)
    }
}
