//! One connection, from its first byte to its close.
//!
//! ```text
//! served ──its last response──► lingering ──the client has closed, or is silent, or LINGER──► closed
//!   │ no token by the deadline (also while lingering), or nothing read for the write timeout      ▲
//!   └─────────────────────────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! Rules: ORCH-SEC-6, ORCH-SEC-7

use std::future::poll_fn;
use std::io::ErrorKind;
use std::pin::Pin;
use std::time::Duration;

use hyper::server::conn::http1::Connection;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::client::{Authenticated, TimedStream};
use super::{Phase, Routes};

/// What is read and thrown away after the last response, so that a client in the middle of sending a body
/// that was refused reads the refusal instead of a reset (RFC 9112, section 9.6).
const LINGER_BYTES: usize = 64 * 1024 * 1024;
/// As much of it as is read at a time.
const SCRAP_BYTES: usize = 4 * 1024;
/// How long the client may be silent meanwhile.
const LINGER_SILENCE: Duration = Duration::from_millis(500);
/// How long it takes in all. A client that sends a byte now and then is never silent.
pub(super) const LINGER: Duration = Duration::from_secs(3);

/// Serves the connection to its end, to the end of the server, or to `limit` where no request has the token by then.
pub(super) async fn run(
    connection: Connection<TokioIo<TimedStream>, Routes>,
    phase: watch::Receiver<Phase>,
    (authenticated, limit): (Authenticated, Duration),
) {
    tokio::select! {
        biased;
        () = serve(connection, phase) => {}
        () = authenticated.missing_after(limit) => {
            tracing::debug!("connection closed: no request with the token came in time");
        }
    }
}

async fn serve(mut connection: Connection<TokioIo<TimedStream>, Routes>, mut phase: watch::Receiver<Phase>) {
    let mut until = Phase::Finishing;
    let served = loop {
        tokio::select! {
            biased;
            served = poll_fn(|cx| connection.poll_without_shutdown(cx)) => break served,
            // A sender that is gone is a server that was dropped.
            reached = phase.wait_for(|phase| *phase >= until) => {
                if until == Phase::Closing || reached.is_err() {
                    return;
                }
            }
        }
        Pin::new(&mut connection).graceful_shutdown();
        until = Phase::Closing;
    };
    if let Err(error) = served {
        tracing::debug!(%error, "a connection ended early");
    }
    let Some(stream) = connection.into_parts().io.into_inner().into_live() else { return };
    tokio::select! {
        _ = tokio::time::timeout(LINGER, linger(stream)) => {}
        _ = phase.wait_for(|phase| *phase >= Phase::Closing) => {}
    }
}

async fn linger(mut stream: TcpStream) {
    if stream.shutdown().await.is_err() {
        return;
    }
    let mut rest = LINGER_BYTES;
    while let Ok(Ok(())) = tokio::time::timeout(LINGER_SILENCE, stream.readable()).await {
        // On the stack, and only while something is there: most clients send nothing more.
        match stream.try_read(&mut [0; SCRAP_BYTES]) {
            Ok(0) => return,
            Ok(read) => rest = rest.saturating_sub(read),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
        if rest == 0 {
            return;
        }
    }
}
