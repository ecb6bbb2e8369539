//! One lane: a FIFO in which anything can be taken out and asked for its place, in O(log n).
//!
//! Entries lie in a ring in the order they will leave. One taken out leaves a hole; its number stays, so
//! that the ring is sorted by number, holes included, and an entry is found by bisection. When the ring
//! is full it is written anew without the holes, at least half empty: the cost of that is spread over
//! the entries since the last time.
//!
//! Rules: ORCH-QUEUE-1

use super::tally::Tally;
use crate::work::{Load, Work};
use crate::{TaskId, Timestamp};

/// Entries of a block of the tally; as many as a word has bits.
const BLOCK: usize = u64::BITS as usize;

/// An entry's number. It grows from the front to the back of the lane and is never given twice; tasks
/// that came back to the front have negative ones.
pub(super) type Number = i64;

#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) number: Number,
    pub(super) task: TaskId,
    /// Since when it waits. Sorted along the lane.
    pub(super) since: Timestamp,
    pub(super) work: Work,
}

#[derive(Clone, Debug)]
pub(super) struct Lane {
    ring: Box<[Option<Entry>]>,
    /// A bit for each place of the ring that holds a waiting entry.
    waiting: Box<[u64]>,
    tally: Tally,
    total: Load,
    /// The first entry is at `head`, the last before `tail`, both taken modulo the ring's size.
    head: u64,
    tail: u64,
    next_back: Number,
    next_front: Number,
    /// How many of the waiting came back to the front.
    returned: usize,
}

impl Lane {
    pub(super) fn new() -> Self {
        Self {
            ring: vec![None; BLOCK].into_boxed_slice(),
            waiting: vec![0; 1].into_boxed_slice(),
            tally: Tally::new(1),
            total: Load::default(),
            head: 0,
            tail: 0,
            next_back: 0,
            next_front: -1,
            returned: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.total.tasks as usize
    }

    /// Waiting tasks that count against the bound: all but those that came back.
    pub(super) fn counted(&self) -> usize {
        self.len() - self.returned
    }

    pub(super) fn total(&self) -> &Load {
        &self.total
    }

    pub(super) fn front(&self) -> Option<&Entry> {
        if self.head == self.tail { None } else { Some(self.at(self.head)) }
    }

    pub(super) fn back(&self) -> Option<&Entry> {
        if self.head == self.tail { None } else { Some(self.at(self.tail - 1)) }
    }

    /// The waiting entries in their order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry> + '_ {
        (self.head..self.tail).filter(|position| self.is_waiting(*position)).map(|position| self.at(position))
    }

    /// The work of the first `tasks` entries, or a few less where there are holes.
    pub(super) fn load_of_first(&self, tasks: usize) -> Load {
        self.before(self.tail.min(self.head + tasks as u64))
    }

    pub(super) fn push_back(&mut self, task: TaskId, work: Work, now: Timestamp) -> Number {
        self.make_room();
        let since = if self.head == self.tail { now } else { now.max(self.at(self.tail - 1).since) };
        let number = self.next_back;
        self.next_back += 1;
        let position = self.tail;
        self.tail += 1;
        self.put(position, Entry { number, task, since, work });
        number
    }

    /// Puts a task that has been running back to the front, where it does not count against the bound.
    pub(super) fn push_front(&mut self, task: TaskId, work: Work, since: Timestamp) -> Number {
        self.make_room();
        let since = self.front().map_or(since, |front| since.min(front.since));
        let number = self.next_front;
        self.next_front -= 1;
        if self.head == 0 {
            // The ring's size divides the shift, so that every entry keeps its place.
            let shift = self.ring.len() as u64;
            self.head += shift;
            self.tail += shift;
        }
        self.head -= 1;
        self.returned += 1;
        self.put(self.head, Entry { number, task, since, work });
        number
    }

    /// Takes the oldest task out that counts against the bound.
    pub(super) fn pop_oldest_counted(&mut self) -> Option<Entry> {
        if self.counted() == 0 {
            return None;
        }
        let mut position = self.first_where(|entry| entry.number >= 0);
        while !self.is_waiting(position) {
            position += 1;
        }
        let entry = *self.at(position);
        self.take(position);
        Some(entry)
    }

    pub(super) fn remove(&mut self, number: Number) -> Option<Entry> {
        let position = self.find(number)?;
        let entry = *self.at(position);
        self.take(position);
        Some(entry)
    }

    /// The work before an entry.
    pub(super) fn ahead_of(&self, number: Number) -> Option<Load> {
        self.find(number).map(|position| self.before(position))
    }

    /// How many of the waiting have waited since `moment` or longer.
    pub(super) fn waiting_since(&self, moment: Timestamp) -> usize {
        let (Some(first), false) = (self.front(), self.head == self.tail) else { return 0 };
        if first.since > moment {
            return 0;
        }
        if self.at(self.tail - 1).since <= moment {
            return self.len();
        }
        self.before(self.first_where(|entry| entry.since > moment)).tasks as usize
    }

    fn find(&self, number: Number) -> Option<u64> {
        let position = self.first_where(|entry| entry.number >= number);
        let found = position < self.tail && self.is_waiting(position) && self.at(position).number == number;
        found.then_some(position)
    }

    /// The first position, holes included, from which on `holds` is true; the tail when it never is.
    fn first_where(&self, holds: impl Fn(&Entry) -> bool) -> u64 {
        let (mut low, mut high) = (self.head, self.tail);
        while low < high {
            let middle = low + (high - low) / 2;
            if holds(self.at(middle)) { high = middle } else { low = middle + 1 }
        }
        low
    }

    /// The work of all entries before `position`.
    fn before(&self, position: u64) -> Load {
        if position == self.head {
            return Load::default();
        }
        if position == self.tail {
            return self.total;
        }
        let (head, place) = (self.place(self.head), self.place(position));
        let mut load = if place < head { self.total } else { Load::default() };
        load += &self.prefix(place);
        load -= &self.prefix(head);
        load
    }

    /// The work in the first `places` places of the ring.
    fn prefix(&self, places: usize) -> Load {
        let (block, rest) = (places / BLOCK, places % BLOCK);
        let mut load = self.tally.prefix(block);
        let mut bits = self.waiting.get(block).map_or(0, |word| word & ((1 << rest) - 1));
        while bits != 0 {
            let place = block * BLOCK + bits.trailing_zeros() as usize;
            load.add(&self.ring[place].as_ref().expect("a place that waits holds an entry").work);
            bits &= bits - 1;
        }
        load
    }

    fn place(&self, position: u64) -> usize {
        // The ring's size is a power of two, so that the cast loses nothing that is used.
        (position & (self.ring.len() as u64 - 1)) as usize
    }

    fn at(&self, position: u64) -> &Entry {
        self.ring[self.place(position)].as_ref().expect("all between head and tail has been written")
    }

    fn is_waiting(&self, position: u64) -> bool {
        let place = self.place(position);
        self.waiting[place / BLOCK] & (1 << (place % BLOCK)) != 0
    }

    fn put(&mut self, position: u64, entry: Entry) {
        let place = self.place(position);
        self.ring[place] = Some(entry);
        self.waiting[place / BLOCK] |= 1 << (place % BLOCK);
        self.tally.add(place / BLOCK, &entry.work);
        self.total.add(&entry.work);
    }

    fn take(&mut self, position: u64) {
        let place = self.place(position);
        let Entry { number, work, .. } = *self.at(position);
        self.waiting[place / BLOCK] &= !(1 << (place % BLOCK));
        self.tally.remove(place / BLOCK, &work);
        self.total.remove(&work);
        if number < 0 {
            self.returned -= 1;
        }
        while self.head != self.tail && !self.is_waiting(self.head) {
            self.head += 1;
        }
        while self.head != self.tail && !self.is_waiting(self.tail - 1) {
            self.tail -= 1;
        }
    }

    /// Sees to it that the ring has a free place.
    fn make_room(&mut self) {
        if self.tail - self.head < self.ring.len() as u64 {
            return;
        }
        let size = (2 * (self.len() + 1)).next_power_of_two().max(BLOCK);
        let old = std::mem::replace(&mut self.ring, vec![None; size].into_boxed_slice());
        let waiting = std::mem::replace(&mut self.waiting, vec![0; size / BLOCK].into_boxed_slice());
        self.tally = Tally::new(size / BLOCK);
        self.total = Load::default();
        let (head, tail) = (self.head, self.tail);
        (self.head, self.tail) = (0, 0);
        for position in head..tail {
            let place = (position & (old.len() as u64 - 1)) as usize;
            if waiting[place / BLOCK] & (1 << (place % BLOCK)) != 0 {
                let entry = old[place].expect("a place that waits holds an entry");
                let position = self.tail;
                self.tail += 1;
                self.put(position, entry);
            }
        }
    }

    /// Places the ring has, for the tests of its bound.
    #[cfg(test)]
    pub(super) fn places(&self) -> usize {
        self.ring.len()
    }
}
