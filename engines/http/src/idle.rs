//! Connections whose last answer was read to its end and that wait for their next request. Few, and not for long: a
//! connection that waits takes a thread of some servers, and every server closes it after a while.
//!
//! Rules: ORCH-ENG-20

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::clock;
use crate::socket::Socket;

/// How long a connection waits: less than the 5 s after which `llama-server` and vLLM close it.
const IDLE_LIMIT: Duration = Duration::from_secs(4);

/// Connections that wait, whatever the number of slots.
const MAX_IDLE: usize = 64;

/// The connections of one server that wait.
#[derive(Debug)]
pub(crate) struct IdleConnections(Mutex<Waiting>);

#[derive(Debug)]
struct Waiting {
    /// The one that came last stands last, and is taken first: it is the least likely to have been closed.
    connections: VecDeque<(Socket, Instant)>,
    most: usize,
}

impl Default for IdleConnections {
    fn default() -> Self {
        Self(Mutex::new(Waiting { connections: VecDeque::new(), most: 1 }))
    }
}

impl IdleConnections {
    /// At most one for each of the engine's `slots` waits.
    pub(crate) fn limit_to(&self, slots: u16) {
        let mut waiting = self.lock();
        waiting.most = usize::from(slots).clamp(1, MAX_IDLE);
        waiting.make_room(0);
    }

    /// One that the server has not closed, as far as this machine knows.
    pub(crate) fn take(&self) -> Option<Socket> {
        let mut waiting = self.lock();
        waiting.drop_expired();
        while let Some((mut socket, _)) = waiting.connections.pop_back() {
            if socket.is_open() {
                return Some(socket);
            }
        }
        None
    }

    /// Keeps one for the next request.
    pub(crate) fn put(&self, socket: Socket) {
        let mut waiting = self.lock();
        waiting.drop_expired();
        waiting.make_room(1);
        waiting.connections.push_back((socket, clock::now()));
    }

    /// Closes them all.
    pub(crate) fn clear(&self) {
        self.lock().connections.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn drop_expired(&mut self) {
        let now = clock::now();
        while self.connections.front().is_some_and(|(_, since)| now - *since > IDLE_LIMIT) {
            self.connections.pop_front();
        }
    }

    fn make_room(&mut self, more: usize) {
        while self.connections.len() + more > self.most {
            self.connections.pop_front();
        }
    }
}
