//! What of the KV cache belongs to which slot: prefixes that are used again, caches that make room, and which tasks may
//! take more of it. The cells are one pool, which llama.cpp fills as it comes; a slot keeps what its last task left there
//! until somebody needs the room.
//!
//! Rules: ORCH-SESS-3, ORCH-SESS-5, ORCH-WORKER-7

use generation::Determinism;
use orchestrator_core::SessionId;
use worker_protocol::SessionUpdate;

use super::slot::Slot;
use super::{DecodeLoop, sequence};
use crate::prepare::{Prepared, Work};
use crate::room::{self, Claim};
use crate::slots::Choice;

impl DecodeLoop {
    /// Whether the cache has room for a task beside those that run. One of the strict lane has a cache of its own.
    pub(super) fn has_room_for(&self, job: &Prepared) -> bool {
        let Work::Complete(work) = &job.work else { return true };
        if job.determinism == Determinism::Strict {
            return true;
        }
        let mut claims: Vec<Claim> = self.running().into_iter().map(|(_, claim)| claim).collect();
        claims.push(Claim { held: work.prompt.len(), most: work.most_tokens() });
        room::is_safe(self.cells(), &claims)
    }

    /// The slots whose next token there is no room for: their streams pause for this step.
    pub(super) fn paused(&self) -> Vec<usize> {
        let running = self.running();
        let (slots, claims): (Vec<usize>, Vec<Claim>) = running.into_iter().unzip();
        if claims.iter().map(|claim| claim.most).sum::<usize>() <= self.cells() {
            return Vec::new();
        }
        let writes = |at: usize| self.slots[slots[at]].task.as_ref().is_some_and(|task| !task.is_reading());
        let grow = room::may_grow(self.cells(), &claims, writes);
        let paused: Vec<usize> =
            (0..slots.len()).filter(|at| writes(*at) && !grow[*at]).map(|at| slots[at]).collect();
        debug_assert!(paused.len() < slots.len() || slots.is_empty(), "some task always goes on");
        paused
    }

    /// Makes room for so many tokens more, by the caches that nobody uses: those of no session first, then the oldest.
    pub(super) fn make_room(&mut self, tokens: usize) {
        let strict = self.strict.slot();
        loop {
            let used: usize = self.slots.iter().map(|slot| slot.cached.len()).sum();
            if used + tokens <= self.cells() {
                return;
            }
            let idle = |at: &usize| {
                let slot = &self.slots[*at];
                !slot.cached.is_empty() && (slot.task.is_none() || strict == Some(*at))
            };
            let order = |at: &usize| (self.slots[*at].session.is_some(), self.slots[*at].last_used);
            let Some(at) = (0..self.slots.len()).filter(idle).min_by_key(order) else { return };
            self.rename_session(at, None);
            self.forget(at);
        }
    }

    /// The tasks in the shared cache with their cells, the oldest first.
    fn running(&self) -> Vec<(usize, Claim)> {
        let strict = self.strict.slot();
        let claim = |(at, slot): (usize, &Slot)| {
            let task = slot.task.as_ref().filter(|_| strict != Some(at))?;
            let held = slot.cached.len().max(task.prompt.len());
            let most =
                task.prompt.len().saturating_add(task.limits.max_tokens).min(task.limits.ctx).max(held);
            Some((at, Claim { held, most }))
        };
        let mut running: Vec<_> = self.slots.iter().enumerate().filter_map(claim).collect();
        running.sort_unstable_by_key(|(at, _)| self.slots[*at].last_used);
        running
    }

    fn cells(&self) -> usize {
        self.loaded.cells() as usize
    }

    /// Makes the slot's cache hold the prefix that was chosen, and nothing else. The tokens found.
    pub(super) fn reuse(&mut self, choice: Choice) -> usize {
        let Choice { slot: at, from, reused, session } = choice;
        self.rename_session(at, session);
        let whole = from == at && reused == self.slots[at].cached.len();
        if whole && reused > 0 {
            return reused;
        }
        if reused == 0 || !self.loaded.cuts_cache() {
            self.forget(at);
            return 0;
        }
        let end = u32::try_from(reused).expect("a prompt is shorter than 2^32 tokens");
        let done = if from == at {
            self.slots[at].cached.truncate(reused);
            self.context.kv_cache_seq_rm(sequence(at), Some(end), None).is_ok()
        } else {
            self.forget(at);
            self.slots[at].cached = self.slots[from].cached[..reused].to_vec();
            self.context.kv_cache_seq_cp(sequence(from), sequence(at), Some(0), Some(end)).is_ok()
        };
        if !done {
            self.forget(at);
            return 0;
        }
        reused
    }

    /// Makes `session` the owner of the slot, and tells of the one that was.
    pub(super) fn rename_session(&mut self, at: usize, session: Option<SessionId>) {
        if let Some(before) = self.slots[at].session.filter(|before| Some(*before) != session) {
            self.said.sessions.push(SessionUpdate { session: before, kv: None });
        }
        if session.is_some() {
            for slot in self.slots.iter_mut().filter(|slot| slot.session == session) {
                slot.session = None;
            }
        }
        self.slots[at].session = session;
    }

    /// Empties the slot's part of the KV cache.
    pub(super) fn forget(&mut self, at: usize) {
        self.slots[at].cached.clear();
        // Taking out all of a sequence cannot fail.
        let _ = self.context.kv_cache_seq_rm(sequence(at), None, None);
    }
}
