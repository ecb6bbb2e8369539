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
    /// Interactive tasks that started since the last batch task; nothing before the first batch task.
    pub(crate) since_batch: Option<u32>,
}

impl Model {
    pub(crate) fn new(limits: QueueLimits) -> Self {
        Self { limits, lanes: [vec![], vec![]], since_batch: None }
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

    /// Since when a batch task must have waited to go before interactive tasks.
    pub(crate) fn overdue_since(&self, now: u64) -> Option<u64> {
        let since = now.checked_sub(Millis::from_duration(self.limits.batch_max_wait).0)?;
        Some(self.lanes[0].first().map_or(since, |first| since.min(first.since)))
    }

    pub(crate) fn turn(&self, now: u64) -> Option<Priority> {
        self.turn_of(self.overdue_since(now))
    }

    fn turn_of(&self, overdue_since: Option<u64>) -> Option<Priority> {
        let is_overdue = |batch: &ModelEntry| overdue_since.is_some_and(|since| batch.since <= since);
        let has_turn = self.since_batch.is_none_or(|started| started + 1 >= self.limits.batch_one_in);
        match (self.lanes[0].first(), self.lanes[1].first()) {
            (None, None) => None,
            (Some(_), None) => Some(Priority::Interactive),
            (None, Some(_)) => Some(Priority::Batch),
            (Some(_), Some(batch)) if has_turn && is_overdue(batch) => Some(Priority::Batch),
            (Some(_), Some(_)) => Some(Priority::Interactive),
        }
    }

    pub(crate) fn take(&mut self, priority: Priority) -> Option<ModelEntry> {
        self.take_at(priority, 0)
    }

    pub(crate) fn take_at(&mut self, priority: Priority, place: usize) -> Option<ModelEntry> {
        if place >= self.lane(priority).len() {
            return None;
        }
        self.since_batch = match priority {
            Priority::Interactive => self.since_batch.map(|started| started + 1),
            Priority::Batch => Some(0),
        };
        Some(self.lane(priority).remove(place))
    }

    /// Who goes when, if nothing arrives and nothing more becomes overdue.
    pub(crate) fn order(&self, now: u64) -> Vec<u32> {
        let (mut rest, since) = (self.clone(), self.overdue_since(now));
        std::iter::from_fn(|| rest.turn_of(since).and_then(|p| rest.take(p)).map(|e| e.n)).collect()
    }

    /// Who goes when, if everybody goes now.
    pub(crate) fn order_at_once(&self, now: u64) -> Vec<u32> {
        let mut rest = self.clone();
        std::iter::from_fn(|| rest.turn(now).and_then(|p| rest.take(p)).map(|e| e.n)).collect()
    }
}
