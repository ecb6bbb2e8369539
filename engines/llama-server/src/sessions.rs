//! Which slot of the server holds which conversation. A conversation that goes on goes back to its slot as long as
//! that is known to be free: a task that is bound to a busy slot would wait in the server while others are free.
//! Everything else is left to the server, which finds the slot with the longest common beginning by itself: clients
//! ask for a title in the name of a conversation, too, and that is not to take its place.
//!
//! Rules: ORCH-OAI-7

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use engine_api::SessionKv;
use orchestrator_core::{SessionId, TokenCount};

/// The slots of one server, as far as its answers tell.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    slots: Mutex<Slots>,
    prints: RandomState,
}

#[derive(Debug, Default)]
struct Slots {
    /// What a slot holds since its last task.
    held: HashMap<i32, Held>,
    /// Tasks in each slot.
    busy: HashMap<i32, u32>,
    /// Tasks whose slot is not known yet.
    unplaced: u32,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    session: Option<SessionId>,
    tokens: TokenCount,
    /// Of a session's, by which it is seen to go on.
    prompt: Option<Print>,
}

/// What a prompt is known again by, without being kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Print {
    bytes: usize,
    hash: u64,
}

/// A task's stay at the server. Dropping it says that its slot is free again.
#[derive(Debug)]
pub(crate) struct Stay {
    sessions: Arc<Sessions>,
    session: Option<SessionId>,
    prompt: Option<Print>,
    slot: Option<i32>,
}

impl Sessions {
    /// A task with this `prompt` begins: in the slot of its session, where that is known and free, and the prompt goes
    /// on with the one before.
    pub(crate) fn begin(self: &Arc<Self>, session: Option<SessionId>, prompt: &str) -> Stay {
        let print = session.map(|_| self.print(prompt.as_bytes()));
        let mut slots = self.lock();
        let own = session.and_then(|session| slots.of(session)).filter(|(_, held)| {
            let before =
                held.prompt.and_then(|before| Some((prompt.as_bytes().get(..before.bytes)?, before)));
            before.is_some_and(|(begins, before)| self.print(begins) == before)
        });
        let slot = own.map(|(slot, _)| slot);
        let slot = slot.filter(|slot| slots.unplaced == 0 && !slots.busy.contains_key(slot));
        match slot {
            Some(slot) => *slots.busy.entry(slot).or_default() += 1,
            None => slots.unplaced += 1,
        }
        Stay { sessions: Arc::clone(self), session, prompt: print, slot }
    }

    fn print(&self, prompt: &[u8]) -> Print {
        Print { bytes: prompt.len(), hash: self.prints.hash_one(prompt) }
    }

    /// What is known of a session's cache. Its bytes are not: the server does not say them.
    pub(crate) fn kv(&self, session: SessionId) -> Option<SessionKv> {
        let (_, Held { tokens, .. }) = self.lock().of(session)?;
        Some(SessionKv { tokens, tokens_at_end: tokens, bytes: 0 })
    }

    /// Nobody goes on with the session.
    pub(crate) fn forget(&self, session: SessionId) {
        self.lock().held.retain(|_, held| held.session != Some(session));
    }

    fn lock(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slots {
    fn of(&self, session: SessionId) -> Option<(i32, Held)> {
        self.held.iter().find(|(_, held)| held.session == Some(session)).map(|(slot, held)| (*slot, *held))
    }
}

impl Stay {
    /// The slot the task is bound to, or was found in.
    pub(crate) fn slot(&self) -> Option<i32> {
        self.slot
    }

    /// The server says where the task is: what was in that slot before gives way.
    pub(crate) fn found_in(&mut self, slot: i32) {
        if self.slot == Some(slot) {
            return;
        }
        let mut slots = self.sessions.lock();
        slots.release(self.slot);
        *slots.busy.entry(slot).or_default() += 1;
        self.slot = Some(slot);
        slots.held.remove(&slot);
    }

    /// The task is over and left this many tokens in its slot.
    pub(crate) fn left(&self, tokens: TokenCount) {
        let Some(slot) = self.slot else { return };
        let mut slots = self.sessions.lock();
        let elsewhere = self.session.and_then(|session| slots.of(session)).filter(|(held, _)| *held != slot);
        // What is shorter than the conversation is not the conversation.
        let session = self.session.filter(|_| elsewhere.is_none_or(|(_, held)| tokens >= held.tokens));
        if let Some(session) = session {
            slots.held.retain(|_, held| held.session != Some(session));
        }
        slots.held.insert(slot, Held { session, tokens, prompt: self.prompt });
    }
}

impl Slots {
    fn release(&mut self, slot: Option<i32>) {
        let Some(slot) = slot else {
            self.unplaced = self.unplaced.saturating_sub(1);
            return;
        };
        if let Some(tasks) = self.busy.get_mut(&slot) {
            *tasks -= 1;
            if *tasks == 0 {
                self.busy.remove(&slot);
            }
        }
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        self.sessions.lock().release(self.slot);
    }
}

#[cfg(test)]
mod tests;
