//! Reading a request's body: bounded in size and in silence, into a type, and on to what the endpoint makes of it.
//!
//! Rules: ORCH-SHAPE-6, ORCH-SEC-6

use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Body as _;
use serde::de::DeserializeOwned;

use super::{heavy, problem};
use crate::backpressure::Refusal;

/// How long a client may be silent in the middle of a body.
const BODY_SILENCE: Duration = Duration::from_secs(30);

/// Bytes of a body after which other requests have their turn: a fast client keeps the socket readable.
const TURN_BYTES: usize = 256 * 1024;

/// Reads the body of `request` as JSON, whatever its `Content-Type` says.
///
/// # Errors
/// [`Refusal::TooLarge`] as soon as it is known, before anything is read where `Content-Length` says so;
/// [`Refusal::Invalid`] with the place and what would be right.
pub(super) async fn read_json<T>(request: Request, limit_bytes: u64) -> Result<T, Refusal>
where
    T: DeserializeOwned + Send + 'static,
{
    read_as(request, limit_bytes, Ok).await
}

/// Reads the body as [`read_json`] does, and makes something of it with `work`: checks and resolves it. A large body is
/// parsed and worked on by another thread.
///
/// # Errors
/// As [`read_json`], and those of `work`.
pub(super) async fn read_as<T, M, E>(
    request: Request,
    limit_bytes: u64,
    work: impl FnOnce(T) -> Result<M, E> + Send + 'static,
) -> Result<M, E>
where
    T: DeserializeOwned,
    M: Send + 'static,
    E: From<Refusal> + Send + 'static,
{
    let bytes = read(request.into_body(), limit_bytes).await?;
    heavy::run(bytes.len(), move || work(problem::parse(&bytes)?)).await?
}

async fn read(mut body: Body, limit_bytes: u64) -> Result<Bytes, Refusal> {
    if body.size_hint().lower() > limit_bytes {
        return Err(Refusal::TooLarge { limit_bytes });
    }
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    loop {
        let frame = tokio::time::timeout(BODY_SILENCE, body.frame()).await.map_err(|_| silent())?;
        let Some(frame) = frame else { break };
        let Ok(data) = frame.map_err(|_| broken_off())?.into_data() else { continue };
        let length = first.len().max(all.len()) + data.len();
        if length as u64 > limit_bytes {
            return Err(Refusal::TooLarge { limit_bytes });
        }
        // Most bodies come in one piece, which is then not copied.
        if first.is_empty() {
            first = data;
            continue;
        }
        if length / TURN_BYTES > (length - data.len()) / TURN_BYTES {
            tokio::task::yield_now().await;
        }
        if all.is_empty() {
            let rest = usize::try_from(body.size_hint().lower()).unwrap_or_default();
            all.reserve(length + rest);
            all.extend_from_slice(&first);
        }
        all.extend_from_slice(&data);
    }
    Ok(if all.is_empty() { first } else { all.freeze() })
}

fn silent() -> Refusal {
    Refusal::Invalid(format!("the body stopped coming for {} s: send all of it", BODY_SILENCE.as_secs()))
}

fn broken_off() -> Refusal {
    Refusal::Invalid("the body breaks off or is not framed as its headers say: send all of it".to_owned())
}
