//! What an answer that is no success means to a caller.

use std::time::Duration;

use api_types::ErrorEnvelope;
use progenitor_client::Error;
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};

/// The daemon's refusal, as it said it.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal {
    /// The status of the answer.
    pub status: StatusCode,
    /// What it says.
    pub envelope: ErrorEnvelope,
    /// `Retry-After`, whole seconds.
    pub retry_after: Option<Duration>,
    /// `X-Backoff-Ms`: the same time, to the millisecond and not cut at a minute.
    pub backoff: Option<Duration>,
}

impl Refusal {
    /// How long to wait before the same request makes sense again, as exactly as the daemon said; nothing
    /// where it is of no use, or where no time was told.
    #[must_use]
    pub fn wait(&self) -> Option<Duration> {
        let told = self.envelope.retry_after_ms.map(Duration::from_millis);
        self.backoff.or(told).or(self.retry_after).filter(|_| self.envelope.retriable)
    }
}

/// Why a request came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The daemon said no.
    #[error("{}", .0.envelope.message)]
    Refused(Box<Refusal>),
    /// The daemon could not be reached, or the connection broke.
    #[error("no connection to the daemon")]
    Connection(#[source] reqwest::Error),
    /// What answered does not speak as the daemon does: another program, or another version.
    #[error("the answer is not one of llama-orch's: {0}")]
    Foreign(String),
}

impl Failure {
    /// The refusal, where it is one.
    #[must_use]
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            Self::Connection(_) | Self::Foreign(_) => None,
        }
    }

    /// Reads what an error without an envelope means.
    pub(crate) fn from_untyped(error: Error<()>) -> Self {
        match error {
            Error::CommunicationError(error)
            | Error::ResponseBodyError(error)
            | Error::InvalidUpgrade(error) => Self::Connection(error),
            Error::ErrorResponse(response) => Self::Foreign(format!("status {}", response.status())),
            Error::UnexpectedResponse(response) => Self::Foreign(format!("status {}", response.status())),
            Error::InvalidResponsePayload(_, error) => Self::Foreign(error.to_string()),
            Error::InvalidRequest(what) | Error::Custom(what) => Self::Foreign(what),
        }
    }
}

impl From<Error<ErrorEnvelope>> for Failure {
    fn from(error: Error<ErrorEnvelope>) -> Self {
        match error {
            Error::ErrorResponse(response) => {
                let number = |name: &str| number(response.headers(), name);
                let refusal = Refusal {
                    status: response.status(),
                    retry_after: number(RETRY_AFTER.as_str()).map(Duration::from_secs),
                    backoff: number("x-backoff-ms").map(Duration::from_millis),
                    envelope: response.into_inner(),
                };
                Self::Refused(Box::new(refusal))
            }
            other => Self::from_untyped(other.into_untyped()),
        }
    }
}

fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}
