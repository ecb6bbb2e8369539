//! The client of the daemon: the generated [`Client`], one method an operation of `contracts/openapi`, and
//! beside it what OpenAPI cannot say: how to [connect], how to read [events](Client::events), and what an
//! answer that is no success [means](Failure). It holds no policy: it neither retries nor waits.
//!
//! ```text
//! connect(url, token) ─► Client ─ create_task ─► TaskAccepted
//!                               ├ events ──────► Events: started, token …, end
//!                               └ …
//! ```

mod connect;
mod failure;
#[rustfmt::skip]
#[expect(unused_imports, clippy::needless_lifetimes, reason = "written by a generator")]
mod generated;
pub mod sse;

pub use api_types as types;
pub use connect::{ConnectError, connect};
pub use failure::{Failure, Refusal};
pub use generated::{ByteStream, Client, Error, ResponseValue};
pub use sse::{Event, Events, StreamError};

impl Client {
    /// Reads a task's events: from the first token, or from the one after `last_event_id`.
    ///
    /// # Errors
    /// The daemon refused or could not be reached; nothing was read.
    pub async fn events(&self, task: uuid::Uuid, last_event_id: Option<u64>) -> Result<Events, Failure> {
        let response = self.stream_task(&task, last_event_id).await?;
        Ok(Events::new(response.into_inner_stream(), last_event_id))
    }

    /// Asks how the daemon is. That no pool is ready is an answer, too, and no failure.
    ///
    /// # Errors
    /// The daemon refused or could not be reached.
    pub async fn health(&self) -> Result<types::Health, Failure> {
        match self.get_health().await {
            Ok(health) => Ok(health.into_inner()),
            Err(Error::ErrorResponse(not_ready)) => Ok(not_ready.into_inner()),
            Err(other) => Err(Failure::from_untyped(other.into_untyped())),
        }
    }
}

#[cfg(test)]
mod tests;
