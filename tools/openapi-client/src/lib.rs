//! The client of the daemon: the generated [`Client`], one method an operation of `contracts/openapi`, and
//! beside it what OpenAPI cannot say: how to read [events](Client::events), and what an answer that is no
//! success [means](Failure). It holds no policy: it neither retries nor waits, and sends what the
//! `reqwest::Client` it is given sends (the token, as a default header).
//!
//! ```text
//! Client::new_with_client(url, reqwest) ─► create_task ─► TaskAccepted
//!                                       ├► events ──────► Events: started, token …, end
//!                                       └► …
//! ```
//!
//! Rules: ORCH-DOC-4

mod failure;
#[rustfmt::skip]
#[expect(
    unused_imports,
    clippy::needless_lifetimes,
    clippy::unnecessary_to_owned,
    reason = "written by a generator"
)]
mod generated;
pub mod sse;

pub use api_types as types;
pub use failure::{Failure, Refusal};
pub use generated::{ByteStream, Client, ClientInfo, Error, ResponseValue};
pub use sse::{Event, Events, StreamError};

/// What an HTTP client is built from, with ring as the cryptography of its TLS. [`reqwest::Client::builder`] panics where
/// nobody has installed any.
pub fn http_client() -> reqwest::ClientBuilder {
    // An error means that this process has one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    #[expect(clippy::disallowed_methods, reason = "the place where the cryptography is installed")]
    reqwest::Client::builder()
}

impl Client {
    /// Reads a task's events: from the first token, or from the one after `last_event_id`.
    ///
    /// # Errors
    /// The daemon refused or could not be reached; nothing was read.
    pub async fn events(&self, task: uuid::Uuid, last_event_id: Option<u64>) -> Result<Events, Failure> {
        let response = self.stream_task(&task, last_event_id).await?;
        Ok(Events::new(response.into_inner_stream(), last_event_id))
    }
}

#[cfg(test)]
mod tests;
