//! Which replica takes a task: the one that is predicted to finish it first, even when that one is busy
//! and another is free. It decides for one task at a time and changes nothing.
//!
//! - P-1: among replicas with a free slot, the one predicted to finish the task first; predictions within
//!   [`ALIKE`] of each other are alike, and then more free slots win, then more free VRAM, then the
//!   lower name.
//! - P-2: a task waits for a faster replica only while every task waiting with it, and every one that
//!   arrives before they are through, could finish there earlier than this one on the free slot. So a
//!   slow card beside a fast one is left alone while the queue is short, and carries its share once the
//!   queue is long. (The threshold form is known to be optimal: W. Lin and P. R. Kumar, "Optimal control
//!   of a queueing system with two heterogeneous servers", 1984.)
//! - P-3: a warm session waits for the replica that holds its KV cache while it would be finished earlier there,
//!   counted from when it first passed up a free slot: it waits no longer than it saves.
//! - P-4: an overdue batch task takes any free slot.
//!
//! Rules: ORCH-SESS-2, ORCH-PLACE-1, ORCH-PLACE-2

#[cfg(test)]
mod tests;

use crate::prediction::timeline::{Slot, kth_start};

/// Predicted durations that differ by less than this share are alike: a prediction is not better.
pub const ALIKE: f64 = 0.05;

/// One open replica, as a task sees it. Times in milliseconds from now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ReplicaCandidate {
    /// Its index in the pool.
    pub(crate) replica: usize,
    /// When a slot is free: 0 when one is.
    pub(crate) ready_ms: f64,
    /// How long the task would take there, its cached prompt not read again.
    pub(crate) task_ms: f64,
    /// Whether the task's KV cache is there.
    pub(crate) warm: bool,
    pub(crate) free_slots: u16,
    pub(crate) free_vram: u64,
}

impl ReplicaCandidate {
    fn finish_ms(&self) -> f64 {
        self.ready_ms + self.task_ms
    }
}

/// Whether a task may wait for a better slot than one that is free.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum WaitPolicy {
    /// It may. So long ago it first passed up a free slot for the replica that holds its KV cache.
    May { waited_ms: f64 },
    /// It is overdue.
    Overdue,
}

/// What to do with a task.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Placement {
    /// Hand it to this replica, which has a free slot.
    Go(usize),
    /// Wait: a busy replica will have finished it earlier, which is `warm` where it holds the task's KV cache. Ask
    /// again after so many milliseconds, if nothing happens before.
    Wait { ms: f64, warm: Option<ReplicaCandidate> },
    /// No slot that it could use is free.
    Full,
}

/// Who competes with a task for the faster slots.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Competing {
    /// Tasks that wait and do not go after it, itself included.
    pub(crate) waiting: usize,
    /// Such tasks that arrive, a millisecond.
    pub(crate) arriving_per_ms: f64,
}

/// Decides for one task. `slots_of` gives the slots of the replicas in the slice it is passed, with how
/// long a waiting task takes there.
pub(crate) fn place(
    candidates: &[ReplicaCandidate],
    wait_policy: WaitPolicy,
    competing: Competing,
    slots_of: impl Fn(&[usize]) -> Vec<Slot>,
) -> Placement {
    let Some(free) = best_free(candidates) else { return Placement::Full };
    let WaitPolicy::May { waited_ms } = wait_policy else { return Placement::Go(free.replica) };
    let end_ms = |busy: &ReplicaCandidate| busy.finish_ms() + if busy.warm { waited_ms } else { 0.0 };
    let busy_and_faster = || {
        let busy = candidates.iter().filter(|candidate| candidate.free_slots == 0);
        busy.filter(|busy| end_ms(busy) < free.finish_ms() * (1.0 - ALIKE))
    };
    let Some(best) = busy_and_faster().min_by(|a, b| a.finish_ms().total_cmp(&b.finish_ms())) else {
        return Placement::Go(free.replica);
    };
    // While the busy slot is late, its expected end moves away twice as fast as the time goes by.
    let saved_ms = free.task_ms - best.task_ms;
    let again_after = best.ready_ms + saved_ms.max(1.0);
    if best.warm {
        let ms = again_after.min((saved_ms - waited_ms).max(1.0));
        return Placement::Wait { ms, warm: Some(*best) };
    }
    let faster: Vec<usize> = busy_and_faster().map(|candidate| candidate.replica).collect();
    let mut slots = slots_of(&faster);
    if through_ms(&mut slots, competing) < free.finish_ms() {
        Placement::Wait { ms: again_after, warm: None }
    } else {
        Placement::Go(free.replica)
    }
}

/// When the slots are through with the competing tasks, those that arrive meanwhile included.
///
/// Were nobody ever to go elsewhere, that would be the end of a busy period: the time the waiting ones take,
/// over 1 - load. But whoever waits now may still go elsewhere later, and the more so the longer the queue
/// gets; the load squared allows for that. It is an approximation, and the best of those tried at every
/// load of the simulation (`scheduler/simulation.rs`).
fn through_ms(slots: &mut [Slot], competing: Competing) -> f64 {
    let shortest = slots.iter().map(|slot| slot.task).fold(f64::INFINITY, f64::min);
    let last_start = kth_start(slots, competing.waiting.saturating_sub(1)).unwrap_or(f64::INFINITY);
    let tasks_per_ms: f64 = slots.iter().map(|slot| 1.0 / slot.task).sum();
    let load = competing.arriving_per_ms / tasks_per_ms;
    if load < 1.0 { (last_start + shortest) / (1.0 - load * load) } else { f64::INFINITY }
}

fn best_free(candidates: &[ReplicaCandidate]) -> Option<&ReplicaCandidate> {
    let free = || candidates.iter().filter(|candidate| candidate.free_slots > 0);
    let first = free().map(ReplicaCandidate::finish_ms).min_by(f64::total_cmp)?;
    free().filter(|candidate| candidate.finish_ms() <= first * (1.0 + ALIKE)).max_by(|a, b| {
        (a.free_slots, a.free_vram).cmp(&(b.free_slots, b.free_vram)).then(b.replica.cmp(&a.replica))
    })
}
