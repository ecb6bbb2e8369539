//! What of the KV cache belongs to which slot: prefixes that are used again, caches that make room, and which tasks may
//! take more of it. The cells are one pool, which llama.cpp fills as it comes; a slot keeps what its last task left there
//! until somebody needs the room, or a running stream has paid for it long enough. Then it goes to the store in main
//! memory.
//!
//! Rules: ORCH-SESS-3, ORCH-SESS-5, ORCH-WORKER-7, ORCH-KV-1, ORCH-KV-2

use generation::{Determinism, EngineError, Finish};
use llama_cpp_2::context::session::{LlamaStateSeqFlags, SeqState};
use orchestrator_core::SessionId;
use worker_protocol::SessionUpdate;

use super::slot::Slot;
use super::{DecodeLoop, sequence};
use crate::kv_store::Conversation;
use crate::log::{self, Level};
use crate::prepare::{Prepared, Work};
use crate::room::{self, Claim};
use crate::slots::{Choice, Prefix};

/// Tokens computed beside an idle conversation after which it goes to the store: so many of them cost on a processor about
/// what moving it there and back does (measured: 0.7 µs a token and cell, and 10 µs a cell).
const REST_AFTER: usize = 16;

/// The same on a card, whose memory is read far faster than it is copied to the host.
const REST_AFTER_ON_CARD: usize = 128;

/// Empty cells between conversations that are not worth moving them.
const LEAST_EMPTY: usize = 512;

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
        while self.cells_used() + tokens > self.cells() {
            let order = |at: &usize| (self.slots[*at].session.is_some(), self.slots[*at].last_used);
            let Some(at) = self.idle().min_by_key(order) else { return };
            self.store(at);
        }
    }

    /// The slots that hold a conversation with which no task goes on.
    fn idle(&self) -> impl Iterator<Item = usize> {
        let strict = self.strict.slot();
        let idle = move |(at, slot): &(usize, &Slot)| {
            !slot.cached.is_empty() && (slot.task.is_none() || strict == Some(*at))
        };
        self.slots.iter().enumerate().filter(idle).map(|(at, _)| at)
    }

    fn cells_used(&self) -> usize {
        self.slots.iter().map(|slot| slot.cached.len()).sum()
    }

    /// After a step that computed so many tokens: a conversation for which running streams have paid what moving it takes
    /// goes to the store, one in a step, and the streams move together where much is empty between them. Every token
    /// attends over all cells up to the last one in use, whoever they belong to.
    pub(super) fn tidy(&mut self, tokens: usize) {
        self.peak = self.peak.max(self.cells_used());
        let rest_after = if self.loaded.on_card { REST_AFTER_ON_CARD } else { REST_AFTER };
        for at in self.idle().collect::<Vec<_>>() {
            self.slots[at].carried += tokens;
            if self.slots[at].carried < rest_after {
                continue;
            }
            // Where there is no room for it now, there may be later.
            self.slots[at].carried = 0;
            let bytes = self.state_bytes(at);
            if self.store.has_room_for(bytes) && self.host.spares(bytes) {
                let tokens = self.slots[at].cached.len().to_string();
                log::line(Level::Debug, "a conversation rests in main memory", &[("tokens", &tokens)]);
                self.store(at);
                break;
            }
        }
        if self.peak < 2 * self.cells_used() + LEAST_EMPTY {
            self.spread = 0;
            return;
        }
        self.spread = self.spread.saturating_add(tokens);
        if self.spread >= rest_after {
            self.move_together();
        }
    }

    /// Moves what is in the slots to the first cells.
    fn move_together(&mut self) {
        let (peak, used) = (self.peak.to_string(), self.cells_used().to_string());
        log::line(Level::Debug, "conversations moved together", &[("from_cells", &peak), ("to", &used)]);
        (self.peak, self.spread) = (0, 0);
        for at in 0..self.slots.len() {
            if self.slots[at].cached.is_empty() {
                continue;
            }
            if !self.host.spares(self.state_bytes(at)) {
                return;
            }
            let state = self.context.state_seq_get(sequence(at), LlamaStateSeqFlags::default());
            let Ok(state) = state else { return };
            // Taking out all of a sequence cannot fail, and what was there has room there again.
            let _ = self.context.kv_cache_seq_rm(sequence(at), None, None);
            if let Err(error) = self.context.state_seq_set(&state, sequence(at)) {
                log::line(Level::Error, "a conversation cannot be moved", &[("reason", &error.to_string())]);
                self.forget(at);
                if self.strict.slot() != Some(at) {
                    self.end(at, Finish::Failed(EngineError::Decode("its KV cache was lost".into())));
                }
                return;
            }
        }
    }

    fn state_bytes(&self, at: usize) -> u64 {
        self.context.state_seq_get_size_ext(sequence(at), LlamaStateSeqFlags::default()) as u64
    }

    /// Empties the slot, which no task needs, and keeps its conversation in the store, where it can.
    pub(super) fn store(&mut self, at: usize) {
        if self.save(at) {
            self.slots[at].session = None;
        }
        self.rename_session(at, None);
        self.forget(at);
    }

    /// Puts the slot's conversation into the store. Whether it is there.
    fn save(&mut self, at: usize) -> bool {
        if self.slots[at].cached.is_empty() {
            return false;
        }
        let bytes = self.state_bytes(at);
        if !self.store.could_hold(bytes) {
            return false;
        }
        let gone = self.store.make_room(bytes);
        self.say_gone(gone);
        while !self.host.spares(bytes) {
            if self.store.is_empty() {
                return false;
            }
            let gone = self.store.give_up_one();
            self.say_gone(gone);
        }
        let Ok(state) = self.context.state_seq_get(sequence(at), LlamaStateSeqFlags::default()) else {
            return false;
        };
        let Slot { cached, session, at_end, last_used, .. } = &self.slots[at];
        let (tokens, session, at_end, last_used) = (cached.clone(), *session, *at_end, *last_used);
        self.store.put(Conversation { tokens, session, at_end, last_used, state, bytes });
        true
    }

    fn say_gone(&mut self, sessions: impl IntoIterator<Item = SessionId>) {
        let gone = sessions.into_iter().map(|session| SessionUpdate { session, kv: None });
        self.said.sessions.extend(gone);
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
        let found = match from {
            Prefix::Slot(from) => self.reuse_slot(at, from, reused),
            Prefix::Stored(entry) | Prefix::CopyOf(entry) => {
                let conversation = self.store.take(entry);
                self.store(at);
                let found = self.bring_back(at, &conversation, reused);
                if found == 0 || from == Prefix::CopyOf(entry) {
                    let gone = self.store.make_room(conversation.bytes);
                    self.say_gone(gone);
                    self.store.put(conversation);
                }
                found
            }
        };
        self.rename_session(at, session);
        found
    }

    fn reuse_slot(&mut self, at: usize, from: usize, reused: usize) -> usize {
        let held = self.slots[at].cached.len();
        if from == at && reused == held {
            return reused;
        }
        if reused == 0 || !self.loaded.cuts_cache() {
            self.store(at);
            return 0;
        }
        if from != at {
            self.store(at);
            self.slots[at].cached = self.slots[from].cached[..reused].to_vec();
            let end = u32::try_from(reused).expect("a prompt is shorter than 2^32 tokens");
            if self.context.kv_cache_seq_cp(sequence(from), sequence(at), Some(0), Some(end)).is_err() {
                self.forget(at);
                return 0;
            }
            return reused;
        }
        // Where most of it would be lost it is another conversation that begins alike.
        if reused * 2 < held && self.save(at) {
            self.slots[at].session = None;
        }
        self.cut(at, reused)
    }

    /// Brings a stored conversation into an empty slot, up to where it is of use. The tokens that are there.
    fn bring_back(&mut self, at: usize, conversation: &Conversation<SeqState>, reused: usize) -> usize {
        let Conversation { tokens, state, at_end, .. } = conversation;
        if reused < tokens.len() && !self.loaded.cuts_cache() {
            return 0;
        }
        self.make_room(tokens.len());
        if self.cells_used() + tokens.len() > self.cells() {
            return 0;
        }
        if let Err(error) = self.context.state_seq_set(state, sequence(at)) {
            log::line(
                Level::Warn,
                "a conversation cannot be brought back",
                &[("reason", &error.to_string())],
            );
            self.forget(at);
            return 0;
        }
        self.slots[at].cached.clone_from(tokens);
        self.slots[at].at_end = *at_end;
        self.cut(at, reused)
    }

    /// Cuts the slot's cache to so many tokens. Those that are there then.
    fn cut(&mut self, at: usize, tokens: usize) -> usize {
        if self.slots[at].cached.len() == tokens {
            return tokens;
        }
        self.slots[at].cached.truncate(tokens);
        let end = u32::try_from(tokens).expect("a prompt is shorter than 2^32 tokens");
        if self.context.kv_cache_seq_rm(sequence(at), Some(end), None).is_err() {
            self.forget(at);
            return 0;
        }
        tokens
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
        if let Some(session) = session {
            self.store.rename(session);
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
