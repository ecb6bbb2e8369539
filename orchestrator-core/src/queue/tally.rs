//! Sums of work over blocks of a lane's ring: a Fenwick tree (P. Fenwick, "A new data structure for
//! cumulative frequency tables", 1994), so that a sum over any stretch costs O(log n).

use crate::work::{Load, Work};

#[derive(Clone, Debug)]
pub(super) struct Tally {
    /// Node `i` (from 1) holds the sum of the `lowest_bit(i)` blocks that end with block `i - 1`.
    nodes: Box<[Load]>,
}

impl Tally {
    pub(super) fn new(blocks: usize) -> Self {
        Self { nodes: vec![Load::default(); blocks + 1].into_boxed_slice() }
    }

    pub(super) fn add(&mut self, block: usize, work: &Work) {
        let mut node = block + 1;
        while node < self.nodes.len() {
            self.nodes[node].add(work);
            node += node & node.wrapping_neg();
        }
    }

    pub(super) fn remove(&mut self, block: usize, work: &Work) {
        let mut node = block + 1;
        while node < self.nodes.len() {
            self.nodes[node].remove(work);
            node += node & node.wrapping_neg();
        }
    }

    /// The sum of the first `blocks` blocks.
    pub(super) fn prefix(&self, blocks: usize) -> Load {
        let mut sum = Load::default();
        let mut node = blocks;
        while node > 0 {
            sum += &self.nodes[node];
            node -= node & node.wrapping_neg();
        }
        sum
    }
}
