//! Conversations that are out of the slots: their tokens, and the state that llama.cpp gave of them, in main memory. The
//! store is bounded in bytes. Those of no session make room first, then the one unused for longest.
//!
//! What a state is does not matter here; [`crate::decode`] moves it between the slots and the store.
//!
//! Rules: ORCH-KV-1, ORCH-KV-3

use orchestrator_core::SessionId;

use crate::slots::StoredView;

/// One conversation.
#[derive(Debug)]
pub struct Conversation<S> {
    /// Its tokens, in order.
    pub tokens: Vec<i32>,
    /// The session it is.
    pub session: Option<SessionId>,
    /// Tokens that were there when the session's last task ended.
    pub at_end: u32,
    /// When it was used last, by count of tasks.
    pub last_used: u64,
    /// What brings it back into a slot.
    pub state: S,
    /// Bytes of the state.
    pub bytes: u64,
}

/// The store.
#[derive(Debug)]
pub struct KvStore<S> {
    entries: Vec<Conversation<S>>,
    bytes: u64,
    most_bytes: u64,
}

impl<S> KvStore<S> {
    /// A store of at most so many bytes.
    #[must_use]
    pub fn new(most_bytes: u64) -> Self {
        Self { entries: Vec::new(), bytes: 0, most_bytes }
    }

    /// Bytes of all states.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether nothing is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What the choice of a slot looks at.
    #[must_use]
    pub fn views(&self) -> Vec<StoredView<'_>> {
        self.entries
            .iter()
            .map(|entry| StoredView { tokens: &entry.tokens, session: entry.session })
            .collect()
    }

    /// Whether a state of so many bytes could be kept, if others made room for it.
    #[must_use]
    pub fn could_hold(&self, bytes: u64) -> bool {
        bytes > 0 && bytes <= self.most_bytes
    }

    /// Whether a state of so many bytes can be kept beside all others.
    #[must_use]
    pub fn has_room_for(&self, bytes: u64) -> bool {
        self.could_hold(bytes) && self.bytes + bytes <= self.most_bytes
    }

    /// Gives up conversations until so many bytes fit. The sessions that are gone with them.
    pub fn make_room(&mut self, bytes: u64) -> Vec<SessionId> {
        let mut gone = Vec::new();
        while self.bytes + bytes > self.most_bytes && !self.entries.is_empty() {
            gone.extend(self.give_up_one());
        }
        gone
    }

    /// Gives up the conversation that is missed least. Its session, where it had one.
    pub fn give_up_one(&mut self) -> Option<SessionId> {
        let order = |at: &usize| (self.entries[*at].session.is_some(), self.entries[*at].last_used);
        let at = (0..self.entries.len()).min_by_key(order)?;
        self.take(at).session
    }

    /// Keeps a conversation, for which there is room. Those that it goes on with are of no more use.
    pub fn put(&mut self, conversation: Conversation<S>) {
        if let Some(session) = conversation.session {
            self.rename(session);
        }
        let covered = |entry: &Conversation<S>| {
            entry.session.is_none() && conversation.tokens.starts_with(&entry.tokens)
        };
        self.entries.retain(|entry| !covered(entry));
        self.entries.push(conversation);
        self.bytes = self.entries.iter().map(|entry| entry.bytes).sum();
    }

    /// Takes one out.
    pub fn take(&mut self, at: usize) -> Conversation<S> {
        let entry = self.entries.swap_remove(at);
        self.bytes -= entry.bytes;
        entry
    }

    /// The session is elsewhere from now on: what is here of it is nobody's.
    pub fn rename(&mut self, session: SessionId) {
        for entry in self.entries.iter_mut().filter(|entry| entry.session == Some(session)) {
            entry.session = None;
        }
    }

    /// Gives up what is here of a session. Whether there was anything.
    pub fn evict(&mut self, session: SessionId) -> bool {
        let before = self.entries.len();
        self.entries.retain(|entry| entry.session != Some(session));
        self.bytes = self.entries.iter().map(|entry| entry.bytes).sum();
        self.entries.len() < before
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn session(number: u128) -> SessionId {
        SessionId(uuid::Uuid::from_u128(number))
    }

    fn conversation(tokens: &[i32], of: Option<u128>, last_used: u64) -> Conversation<()> {
        let bytes = tokens.len() as u64;
        Conversation {
            tokens: tokens.to_vec(),
            session: of.map(session),
            at_end: 0,
            last_used,
            state: (),
            bytes,
        }
    }

    fn lengths(store: &KvStore<()>) -> Vec<usize> {
        let mut lengths: Vec<_> = store.views().iter().map(|view| view.tokens.len()).collect();
        lengths.sort_unstable();
        lengths
    }

    /// ORCH-KV-1
    #[test]
    fn those_of_no_session_make_room_and_then_the_oldest() {
        let mut store = KvStore::new(10);
        store.put(conversation(&[1, 1], Some(1), 1));
        store.put(conversation(&[2, 2, 2], Some(2), 2));
        store.put(conversation(&[3, 3, 3, 3], None, 3));
        assert!(!store.has_room_for(2));
        assert_eq!(store.make_room(2), [], "nobody's goes first, however new");
        assert_eq!(lengths(&store), [2, 3]);
        assert_eq!(store.make_room(6), [session(1)]);
        assert_eq!((lengths(&store), store.bytes()), (vec![3], 3));
        assert!(!store.could_hold(11) && !store.could_hold(0));
    }

    #[test]
    fn a_longer_conversation_replaces_what_it_goes_on_with_and_nothing_of_another_session() {
        let mut store = KvStore::new(100);
        store.put(conversation(&[1, 2], None, 1));
        store.put(conversation(&[1, 2], Some(2), 1));
        store.put(conversation(&[1, 2, 3], Some(1), 2));
        assert_eq!(lengths(&store), [2, 3]);
        store.put(conversation(&[1, 2, 3, 4], Some(1), 3));
        assert_eq!(lengths(&store), [2, 4]);
        assert!(store.evict(session(2)) && !store.evict(session(2)));
        assert_eq!(store.bytes(), 4);
    }

    proptest! {
        /// ORCH-KV-3
        #[test]
        fn it_never_holds_more_than_it_may_and_counts_what_it_holds(
            given in prop::collection::vec((prop::collection::vec(0..2i32, 1..9), prop::option::of(0..3u128)), 0..30),
        ) {
            let mut store = KvStore::new(20);
            for (at, (tokens, of)) in given.into_iter().enumerate() {
                let conversation = conversation(&tokens, of, at as u64);
                store.make_room(conversation.bytes);
                store.put(conversation);
                let held: usize = store.views().iter().map(|view| view.tokens.len()).sum();
                prop_assert_eq!(store.bytes(), held as u64);
                prop_assert!(held <= 20);
            }
        }
    }
}
