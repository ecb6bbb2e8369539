//! The one API token: where it comes from, how a request's is compared with it. It is never printed by
//! accident: its `Debug` says nothing, and only [`ApiToken::expose`] gives it out.
//!
//! Rules: ORCH-SEC-2, ORCH-SEC-4

use std::fmt;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

mod token_file;

pub use token_file::{TokenFile, TokenFileError};

/// The token that every plane asks for.
#[derive(Clone)]
pub struct ApiToken {
    text: String,
    digest: [u8; 32],
}

/// What a request brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presented {
    /// The token.
    Right,
    /// Something else.
    Wrong,
    /// Nothing.
    Nothing,
}

impl ApiToken {
    /// This text as the token.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        let text = text.into();
        let digest = Sha256::digest(text.as_bytes()).into();
        Self { text, digest }
    }

    /// The text, for whoever must send it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// What a request presents, as `Authorization: Bearer TOKEN` or as `x-api-key: TOKEN`. Clients of
    /// either habit exist, and some send both; one right token is enough.
    #[must_use]
    pub fn check(&self, headers: &HeaderMap) -> Presented {
        let bearer = headers.get_all(AUTHORIZATION).iter().filter_map(|value| bearer_of(value.as_bytes()));
        let keys = headers.get_all("x-api-key").iter().map(|value| value.as_bytes().trim_ascii());
        let anything = headers.contains_key(AUTHORIZATION) || headers.contains_key("x-api-key");
        match (anything, bearer.chain(keys).any(|given| self.is(given))) {
            (_, true) => Presented::Right,
            (true, false) => Presented::Wrong,
            (false, false) => Presented::Nothing,
        }
    }

    /// Whether a text is the token.
    #[must_use]
    pub fn matches(&self, given: &str) -> bool {
        self.is(given.as_bytes())
    }

    /// Compares digests, so that neither the place of the first difference nor a length shows in the time.
    fn is(&self, given: &[u8]) -> bool {
        let given: [u8; 32] = Sha256::digest(given).into();
        given.ct_eq(&self.digest).into()
    }
}

fn bearer_of(value: &[u8]) -> Option<&[u8]> {
    const SCHEME: &[u8] = b"bearer ";
    let (scheme, token) = value.split_at_checked(SCHEME.len())?;
    scheme.eq_ignore_ascii_case(SCHEME).then(|| token.trim_ascii())
}

impl fmt::Debug for ApiToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiToken(..)")
    }
}

#[cfg(test)]
mod tests;
