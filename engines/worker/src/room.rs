//! Room in the KV cache that all slots share. Every task holds the cells of its prompt and grows by one a token; how long
//! its answer will be nobody knows. So a task is let in, and a token is decoded, only where all tasks can still come to
//! their end, one after another, with the cells that those before them give back. That is the banker's algorithm
//! (E. W. Dijkstra, EWD 623) for one kind of resource: no task is ever ended for lack of room, and some task always goes
//! on. Where memory is short a stream pauses until another one ends.
//!
//! Cells that several sequences share are counted for each of them: there is never less room than is reckoned with.
//!
//! Rules: ORCH-WORKER-7

/// The cells of one task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Those of its prompt, also where it is still being read, and of its answer so far.
    pub held: usize,
    /// The most it may come to hold.
    pub most: usize,
}

impl Claim {
    fn missing(&self) -> usize {
        self.most.saturating_sub(self.held)
    }
}

/// Whether all tasks can come to their end in a cache of so many cells.
#[must_use]
pub fn is_safe(cells: usize, claims: &[Claim]) -> bool {
    let held: usize = claims.iter().map(|claim| claim.held).sum();
    let Some(mut free) = cells.checked_sub(held) else { return false };
    if claims.iter().map(Claim::missing).sum::<usize>() <= free {
        return true;
    }
    let mut rest = claims.to_vec();
    rest.sort_unstable_by_key(Claim::missing);
    rest.iter().all(|claim| {
        let ends = claim.missing() <= free;
        free += claim.held;
        ends
    })
}

/// Which of `claims`, the oldest task first, may grow by one cell. Only those that `wants` names do.
#[must_use]
pub fn may_grow(cells: usize, claims: &[Claim], wants: impl Fn(usize) -> bool) -> Vec<bool> {
    let mut claims = claims.to_vec();
    let mut grow = vec![false; claims.len()];
    for at in (0..claims.len()).filter(|at| wants(*at)) {
        claims[at].held += 1;
        grow[at] = is_safe(cells, &claims);
        if !grow[at] {
            claims[at].held -= 1;
        }
    }
    grow
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn claim(held: usize, most: usize) -> Claim {
        Claim { held, most }
    }

    #[test]
    fn tasks_that_all_fit_at_their_longest_are_never_held_up() {
        let claims = [claim(10, 50), claim(40, 50)];
        assert!(is_safe(100, &claims));
        assert_eq!(may_grow(100, &claims, |_| true), [true, true]);
    }

    /// ORCH-WORKER-7
    #[test]
    fn a_task_that_no_other_could_end_beside_is_not_let_in() {
        let running = claim(60, 90);
        assert!(
            is_safe(100, &[running, claim(10, 100)]),
            "the first ends with 30 of 40, the second with all"
        );
        assert!(!is_safe(100, &[running, claim(20, 100)]), "the first has 20 left and may need 30");
        assert!(!is_safe(100, &[claim(101, 101)]));
    }

    /// ORCH-WORKER-7
    #[test]
    fn where_room_is_short_the_oldest_goes_on_and_the_others_pause() {
        let claims = [claim(50, 80), claim(20, 90)];
        assert!(is_safe(100, &claims));
        assert_eq!(may_grow(100, &claims, |_| true), [true, false]);
        assert_eq!(may_grow(100, &claims, |at| at == 1), [false, false], "nor while the oldest reads");
    }

    proptest! {
        /// ORCH-WORKER-7
        #[test]
        fn every_task_comes_to_its_end(
            jobs in prop::collection::vec((1_usize..60, 0_usize..60), 1..12),
            cells in 100_usize..200,
            slots in 1_usize..6,
        ) {
            let mut waiting: std::collections::VecDeque<Claim> =
                jobs.iter().map(|(prompt, answer)| claim(*prompt, (prompt + answer).min(100))).collect();
            let mut running: Vec<Claim> = Vec::new();
            for _ in 0..10_000 {
                while running.len() < slots && let Some(next) = waiting.front() {
                    let with: Vec<_> = running.iter().chain([next]).copied().collect();
                    if !is_safe(cells, &with) {
                        prop_assert!(!running.is_empty(), "a task alone always fits");
                        break;
                    }
                    running.extend(waiting.pop_front());
                }
                if running.is_empty() {
                    break;
                }
                running.retain(|task| task.held < task.most);
                let grow = may_grow(cells, &running, |_| true);
                prop_assert!(running.is_empty() || grow.contains(&true), "some task goes on: {:?}", running);
                for (task, grows) in running.iter_mut().zip(grow) {
                    task.held += usize::from(grows);
                }
                let held: usize = running.iter().map(|task| task.held).sum();
                prop_assert!(held <= cells, "no more than there is");
            }
            prop_assert!(running.is_empty() && waiting.is_empty(), "{:?} {:?}", running, waiting);
        }
    }
}
