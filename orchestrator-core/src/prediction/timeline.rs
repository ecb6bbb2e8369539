//! When the k-th waiting task gets a slot, slots and durations given. The slots take tasks one after the
//! other; slot `j` is ready at `e_j` and then takes one every `d_j`, so that by the time `t` it has taken
//! `floor((t - e_j) / d_j) + 1` of them. The k-th start (from 0) is the first moment by which the slots
//! together have taken k + 1.

use std::collections::BinaryHeap;

/// One slot: when it is ready, and how long it is taken by an average task. Milliseconds from now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Slot {
    pub(crate) ready: f64,
    pub(crate) task: f64,
}

/// The shortest time a task takes a slot for, so that no slot takes infinitely many at once.
const SHORTEST_TASK_MS: f64 = 0.001;

/// Tasks by which the level is raised, so that rounding never leaves it below the start it stands for.
const ROUNDING: f64 = 1e-6;

/// The slot's start number `turn` (from 0), ordered by its time.
#[derive(Clone, Copy, PartialEq)]
struct Start {
    at: f64,
    turn: usize,
    slot: Slot,
}

impl Start {
    #[expect(clippy::cast_precision_loss, reason = "a queue is far shorter than 2^53")]
    fn new(slot: Slot, turn: usize) -> Self {
        Self { at: slot.ready + turn as f64 * slot.each(), turn, slot }
    }
}

impl Slot {
    fn each(&self) -> f64 {
        self.task.max(SHORTEST_TASK_MS)
    }
}

impl Eq for Start {}

impl PartialOrd for Start {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Start {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.at.total_cmp(&other.at)
    }
}

/// The time of the `k`-th start. Costs O(s log s) for s slots, whatever `k` is. `slots` is sorted in
/// place. Nothing without a slot.
pub(crate) fn kth_start(slots: &mut [Slot], k: usize) -> Option<f64> {
    slots.sort_unstable_by(|a, b| a.ready.total_cmp(&b.ready));
    let first = *slots.first()?;
    if k == 0 {
        return Some(first.ready);
    }
    #[expect(clippy::cast_precision_loss, reason = "a queue is far shorter than 2^53")]
    let level = level(slots, k as f64 + ROUNDING);
    let mut taken = 0;
    let mut starts = BinaryHeap::with_capacity(slots.len());
    for slot in slots.iter().filter(|slot| slot.ready <= level) {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "whole, not negative, and the cast saturates"
        )]
        let turn = (((level - slot.ready) / slot.each()).floor() as usize).min(k);
        taken += turn + 1;
        starts.push(Start::new(*slot, turn));
    }
    // By `level` at least k + 1 have started: go back to the one that is asked for.
    while taken > k + 1 {
        let Some(last) = starts.pop() else { break };
        taken -= 1;
        if let Some(turn) = last.turn.checked_sub(1) {
            starts.push(Start::new(last.slot, turn));
        }
    }
    Some(starts.peek().map_or(level, |start| start.at))
}

/// The time by which the slots, filled like connected vessels, have done the work of `k` tasks.
fn level(sorted: &[Slot], k: f64) -> f64 {
    let (mut rate, mut done_at_zero) = (0.0, 0.0);
    let mut level = f64::INFINITY;
    for slot in sorted {
        if slot.ready >= level {
            break;
        }
        let each = 1.0 / slot.each();
        rate += each;
        done_at_zero += slot.ready * each;
        level = (k + done_at_zero) / rate;
    }
    level
}
