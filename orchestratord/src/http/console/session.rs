//! Who is logged in to the console. The cookie holds a random name, which says nothing; what it stands for is
//! kept in memory, so that a new start of the daemon logs everyone out.
//!
//! A cookie is sent by the browser whoever's page asks, and a page of another port of the same host is of the
//! same *site*, so that `SameSite` does not keep it out. Hence a request with the cookie counts only when the
//! browser says that it comes from this very origin, and one that changes something needs a header, too, which
//! no form can send.
//!
//! Rules: ORCH-CON-2, ORCH-CON-3

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::header::{COOKIE, HOST, ORIGIN};
use http::uri::Authority;
use http::{HeaderMap, Method};
use orchestrator_core::Timestamp;
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// How long a log-in holds.
pub const TTL: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// The most log-ins at a time. One more ends the oldest.
pub const SESSIONS_MAX: usize = 32;

/// What the page puts on its requests.
const MARK: &str = "x-llama-orch-console";

/// Where a browser says that a request comes from.
const SEC_FETCH_SITE: &str = "sec-fetch-site";

/// The log-ins there are, the oldest first.
#[derive(Debug, Default)]
pub struct Sessions {
    open: Mutex<VecDeque<Session>>,
}

#[derive(Debug)]
struct Session {
    /// Of the name in the cookie, so that how long a search takes says nothing about it.
    digest: [u8; 32],
    until: Timestamp,
}

/// What a request's cookie is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cookie {
    /// Not there.
    Absent,
    /// That of a log-in, on a request of the page.
    Right,
    /// That of no log-in, or of one that has run out.
    Stale,
    /// That of a log-in, on a request that is not the page's.
    Forged,
}

impl Sessions {
    /// Logs somebody in. Answers the name for the cookie.
    pub fn open(&self, now: Timestamp) -> String {
        let name = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
        let mut open = self.lock();
        open.retain(|session| now < session.until);
        if open.len() == SESSIONS_MAX {
            open.pop_front();
        }
        open.push_back(Session { digest: digest(&name), until: now.after(TTL) });
        name
    }

    /// Logs out whom the cookie names.
    pub fn close(&self, headers: &HeaderMap) {
        if let Some(name) = cookie(headers) {
            let digest = digest(name);
            self.lock().retain(|session| session.digest != digest);
        }
    }

    /// What the cookie of a request is.
    pub fn check(&self, method: &Method, headers: &HeaderMap, now: Timestamp) -> Cookie {
        let Some(name) = cookie(headers) else { return Cookie::Absent };
        let digest = digest(name);
        if !self.lock().iter().any(|session| session.digest == digest && now < session.until) {
            return Cookie::Stale;
        }
        let own = if method.is_safe() { is_not_foreign(headers) } else { is_own_page(headers) };
        if own { Cookie::Right } else { Cookie::Forged }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Session>> {
        // A panic leaves a list that is whole.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a request that changes something comes from the page: with its mark, and from this origin as far
/// as the browser says, which has to say something.
pub fn is_own_page(headers: &HeaderMap) -> bool {
    let says = headers.contains_key(SEC_FETCH_SITE) || headers.contains_key(ORIGIN);
    headers.contains_key(MARK) && says && is_not_foreign(headers)
}

/// Whether nothing says that a request comes from elsewhere.
fn is_not_foreign(headers: &HeaderMap) -> bool {
    let site_fits =
        headers.get_all(SEC_FETCH_SITE).iter().all(|site| site == "same-origin" || site == "none");
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let origin_fits = headers.get_all(ORIGIN).iter().all(|origin| {
        let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
        origin.is_some_and(|(_, named)| host.is_some_and(|host| host.eq_ignore_ascii_case(named)))
    });
    site_fits && origin_fits
}

/// The name of the cookie. The ports of one host share their cookies, and may be daemons of their own.
pub fn cookie_name(headers: &HeaderMap) -> String {
    let host = headers.get(HOST).and_then(|host| Authority::try_from(host.as_bytes()).ok());
    let port = host.and_then(|host| host.port_u16()).unwrap_or(80);
    format!("llama-orch-{port}")
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let wanted = cookie_name(headers);
    let all = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = all.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == wanted).map(|(_, value)| value)
}

fn digest(name: &str) -> [u8; 32] {
    Sha256::digest(name.as_bytes()).into()
}
