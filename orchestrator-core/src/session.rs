//! Conversations and the replica that holds each one's KV cache. Bounded in number and in time: a session
//! ends when it has been idle for its time to live, and the longest idle one makes room for a new one.
//! It knows where the cache should be, not whether the engine still has it.
//!
//! Rules: ORCH-SESS-1, ORCH-SESS-4

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use crate::{Millis, ReplicaId, SessionId, Timestamp, TokenCount};

/// The bounds of a session table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionLimits {
    /// How long a session lives after it was last used.
    pub ttl: Duration,
    /// The most sessions that are kept.
    pub max_sessions: usize,
}

impl Default for SessionLimits {
    fn default() -> Self {
        Self { ttl: Duration::from_secs(600), max_sessions: 1024 }
    }
}

/// Where a session's KV cache is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    /// The replica of its last turn.
    pub replica: ReplicaId,
    /// Tokens the conversation had at the end of that turn.
    pub tokens: TokenCount,
}

/// One conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    last_used: Timestamp,
    turns: u32,
    home: Option<Home>,
}

impl Session {
    /// Tasks of it that have ended.
    #[must_use]
    pub fn turns(&self) -> u32 {
        self.turns
    }

    /// Where its KV cache is; nothing before its first turn and after its replica was lost.
    #[must_use]
    pub fn home(&self) -> Option<&Home> {
        self.home.as_ref()
    }
}

/// A session that is no longer kept: its KV cache may be given back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forgotten {
    /// The session.
    pub session: SessionId,
    /// Where its KV cache is.
    pub home: Option<Home>,
}

/// All sessions of one pool.
#[derive(Clone, Debug)]
pub struct SessionTable {
    limits: SessionLimits,
    sessions: HashMap<SessionId, Session>,
    /// All of them, the longest idle first.
    by_use: BTreeSet<(Timestamp, SessionId)>,
}

impl SessionTable {
    /// An empty table.
    #[must_use]
    pub fn new(limits: SessionLimits) -> Self {
        Self { limits, sessions: HashMap::new(), by_use: BTreeSet::new() }
    }

    /// Other bounds from here on. Returns the sessions that are too many for them, the longest idle first.
    pub fn set_limits(&mut self, limits: SessionLimits) -> Vec<Forgotten> {
        self.limits = limits;
        let too_many = self.sessions.len().saturating_sub(limits.max_sessions);
        let longest_idle: Vec<_> = self.by_use.iter().take(too_many).map(|(_, session)| *session).collect();
        longest_idle.into_iter().filter_map(|session| self.forget(session)).collect()
    }

    /// Number of sessions kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// A session that has not run out.
    #[must_use]
    pub fn get(&self, session: SessionId, now: Timestamp) -> Option<&Session> {
        self.sessions.get(&session).filter(|found| self.ends_at(found.last_used) > now)
    }

    /// The time to live of a session without use.
    #[must_use]
    pub fn ttl_remaining(&self, session: SessionId, now: Timestamp) -> Option<Millis> {
        let found = self.get(session, now)?;
        Some(Millis::from_duration(self.ends_at(found.last_used).since(now)))
    }

    /// Uses a session, a new one if it is not there. Returns the one that made room, if any.
    pub fn touch(&mut self, session: SessionId, now: Timestamp) -> Option<Forgotten> {
        if self.limits.max_sessions == 0 {
            return None;
        }
        if let Some(found) = self.sessions.get_mut(&session) {
            self.by_use.remove(&(found.last_used, session));
            if found.last_used.after(self.limits.ttl) <= now {
                (found.turns, found.home) = (0, None);
            }
            found.last_used = found.last_used.max(now);
            self.by_use.insert((found.last_used, session));
            return None;
        }
        let mut forgotten = None;
        if self.sessions.len() >= self.limits.max_sessions {
            let longest_idle = self.by_use.first().map(|(_, session)| *session);
            forgotten = longest_idle.and_then(|session| self.forget(session));
        }
        self.by_use.insert((now, session));
        self.sessions.insert(session, Session { last_used: now, turns: 0, home: None });
        forgotten
    }

    /// Notes the end of a turn: the KV cache is now at `home`. A session that was ended while its task ran
    /// stays ended, and what the task left behind is returned to be given back.
    pub fn turn_ended(&mut self, session: SessionId, home: Home, now: Timestamp) -> Option<Forgotten> {
        if !self.sessions.contains_key(&session) {
            return Some(Forgotten { session, home: Some(home) });
        }
        let forgotten = self.touch(session, now);
        debug_assert_eq!(forgotten, None, "a session that is here needs no room");
        if let Some(found) = self.sessions.get_mut(&session) {
            found.turns = found.turns.saturating_add(1);
            found.home = Some(home);
        }
        None
    }

    /// Ends a session.
    pub fn forget(&mut self, session: SessionId) -> Option<Forgotten> {
        let found = self.sessions.remove(&session)?;
        self.by_use.remove(&(found.last_used, session));
        Some(Forgotten { session, home: found.home })
    }

    /// Ends the sessions whose time has run out.
    pub fn expire(&mut self, now: Timestamp) -> Vec<Forgotten> {
        let mut forgotten = Vec::new();
        while let Some((last_used, session)) = self.by_use.first().copied() {
            if self.ends_at(last_used) > now {
                break;
            }
            forgotten.extend(self.forget(session));
        }
        forgotten
    }

    /// When [`expire`](Self::expire) will next have something to do.
    #[must_use]
    pub fn next_expiry(&self) -> Option<Timestamp> {
        self.by_use.first().map(|(last_used, _)| self.ends_at(*last_used))
    }

    /// A replica is gone, and every KV cache in it.
    pub fn replica_gone(&mut self, replica: &ReplicaId) {
        for session in self.sessions.values_mut() {
            if session.home.as_ref().is_some_and(|home| home.replica == *replica) {
                session.home = None;
            }
        }
    }

    fn ends_at(&self, last_used: Timestamp) -> Timestamp {
        last_used.after(self.limits.ttl)
    }
}
