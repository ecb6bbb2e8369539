//! Reading a request's body: bounded in size and in silence, and into a type.

use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Body as _;
use serde::de::DeserializeOwned;

use super::problem;
use crate::backpressure::Refusal;

/// A body up to this size is read into its type at once, in well under a millisecond. A larger one is read on
/// a thread of its own, so that no stream waits for it.
const READ_AT_ONCE_BYTES: usize = 64 * 1024;

/// How long a client may be silent in the middle of a body.
const BODY_SILENCE: Duration = Duration::from_secs(30);

/// Reads the body of `request` as JSON, whatever its `Content-Type` says.
///
/// # Errors
/// [`Refusal::TooLarge`] as soon as it is known, before anything is read where `Content-Length` says so;
/// [`Refusal::Invalid`] with the place and what would be right.
pub(super) async fn read_json<T>(request: Request, limit_bytes: u64) -> Result<T, Refusal>
where
    T: DeserializeOwned + Send + 'static,
{
    let bytes = read(request.into_body(), limit_bytes).await?;
    if bytes.len() <= READ_AT_ONCE_BYTES {
        return problem::parse(&bytes);
    }
    let read = tokio::task::spawn_blocking(move || problem::parse(&bytes));
    read.await.unwrap_or(Err(Refusal::Internal))
}

async fn read(mut body: Body, limit_bytes: u64) -> Result<Bytes, Refusal> {
    if body.size_hint().lower() > limit_bytes {
        return Err(Refusal::TooLarge { limit_bytes });
    }
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    loop {
        let frame = tokio::time::timeout(BODY_SILENCE, body.frame()).await.map_err(|_| silent())?;
        let Some(frame) = frame else { break };
        let Ok(data) = frame.map_err(|_| broken_off())?.into_data() else { continue };
        if (first.len() + rest.len() + data.len()) as u64 > limit_bytes {
            return Err(Refusal::TooLarge { limit_bytes });
        }
        if first.is_empty() {
            first = data;
        } else {
            rest.extend_from_slice(&data);
        }
    }
    // Most bodies come in one piece, which is then not copied.
    if rest.is_empty() {
        return Ok(first);
    }
    Ok([first, rest.freeze()].concat().into())
}

fn silent() -> Refusal {
    Refusal::Invalid(format!("the body stopped coming for {} s: send all of it", BODY_SILENCE.as_secs()))
}

fn broken_off() -> Refusal {
    Refusal::Invalid("the body breaks off or is not framed as its headers say: send all of it".to_owned())
}
