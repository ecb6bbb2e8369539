//! The queue on two lists, written to be seen to be right: what the tests compare the real one with.

use crate::queue::{FullPolicy, QueueLimits};
use crate::{Millis, Priority};

#[derive(Clone, Debug)]
pub(crate) struct ModelEntry {
    pub(crate) n: u32,
    /// When it was first admitted.
    pub(crate) admitted: u64,
    /// Since when its age counts.
    pub(crate) since: u64,
    pub(crate) returned: bool,
}

/// The same queue on two lists.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    pub(crate) limits: QueueLimits,
    pub(crate) lanes: [Vec<ModelEntry>; 2],
    pub(crate) interactive_is_owed: bool,
}

impl Model {
    pub(crate) fn new(limits: QueueLimits) -> Self {
        Self { limits, lanes: [vec![], vec![]], interactive_is_owed: false }
    }

    pub(crate) fn give_back(&mut self, priority: Priority, mut entry: ModelEntry) {
        let lane = self.lane(priority);
        entry.since = lane.first().map_or(entry.admitted, |first| first.since.min(entry.admitted));
        entry.returned = true;
        lane.insert(0, entry);
    }

    pub(crate) fn lane(&mut self, priority: Priority) -> &mut Vec<ModelEntry> {
        &mut self.lanes[priority as usize]
    }

    pub(crate) fn push(&mut self, priority: Priority, n: u32, now: u64) -> Result<Option<u32>, ()> {
        let (bound, evicts) = match priority {
            Priority::Interactive => (self.limits.interactive, false),
            Priority::Batch => (self.limits.batch, self.limits.full_policy == FullPolicy::DropLru),
        };
        let lane = self.lane(priority);
        let mut evicted = None;
        if lane.iter().filter(|e| !e.returned).count() >= bound {
            let oldest = lane.iter().position(|e| !e.returned);
            match oldest {
                Some(oldest) if evicts => evicted = Some(lane.remove(oldest).n),
                _ => return Err(()),
            }
        }
        lane.push(ModelEntry { n, admitted: now, since: now, returned: false });
        Ok(evicted)
    }

    pub(crate) fn overdue(&self, now: u64) -> bool {
        let wait = Millis::from_duration(self.limits.batch_max_wait).0;
        self.lanes[1].first().is_some_and(|e| e.since + wait <= now)
    }

    pub(crate) fn turn(&self, now: u64) -> Option<Priority> {
        match (self.lanes[0].is_empty(), self.lanes[1].is_empty()) {
            (true, true) => None,
            (false, true) => Some(Priority::Interactive),
            (true, false) => Some(Priority::Batch),
            (false, false) if self.overdue(now) && !self.interactive_is_owed => Some(Priority::Batch),
            (false, false) => Some(Priority::Interactive),
        }
    }

    pub(crate) fn take(&mut self, priority: Priority, now: u64) -> Option<ModelEntry> {
        let overdue = priority == Priority::Batch && self.overdue(now);
        if self.lane(priority).is_empty() {
            return None;
        }
        self.interactive_is_owed = overdue;
        Some(self.lane(priority).remove(0))
    }

    /// Who goes when, if nothing arrives.
    pub(crate) fn order(&self, now: u64) -> Vec<u32> {
        let mut rest = self.clone();
        std::iter::from_fn(|| rest.turn(now).and_then(|p| rest.take(p, now)).map(|e| e.n)).collect()
    }
}
