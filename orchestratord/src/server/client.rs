//! Timeouts of a connection: before a request on it had the token, and while its client does not read.
//!
//! A client without the token has one deadline for everything: the heads it sends, the answers it reads, and what
//! is read of it after a refusal. A client that takes nothing of a response that waits for it has the write timeout.
//!
//! Rules: ORCH-SEC-7, ORCH-SEC-8

use std::future::pending;
use std::io::{self, IoSlice};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

/// Whose connection it is: whether a request of it had the token, and where it comes from. It is beside each request of
/// the connection.
#[derive(Clone, Debug, Default)]
pub struct Authenticated(Arc<Client>);

#[derive(Debug, Default)]
struct Client {
    had_token: AtomicBool,
    peer: Option<IpAddr>,
}

impl Authenticated {
    /// A connection from `peer`, none of whose requests had the token yet.
    pub(super) fn not_yet(peer: IpAddr) -> Self {
        Self(Arc::new(Client { had_token: AtomicBool::new(false), peer: Some(peer) }))
    }

    /// Where the connection comes from.
    #[must_use]
    pub fn peer(&self) -> Option<IpAddr> {
        self.0.peer
    }

    /// Notes that a request had the token.
    pub fn set(&self) {
        self.0.had_token.store(true, Ordering::Relaxed);
    }

    /// Resolves after `limit` where no request has had the token by then, and never otherwise.
    pub(super) async fn missing_after(&self, limit: Duration) {
        tokio::time::sleep(limit).await;
        if self.0.had_token.load(Ordering::Relaxed) {
            pending::<()>().await;
        }
    }
}

/// A stream whose writes fail with [`io::ErrorKind::TimedOut`] when the client takes nothing for the limit.
/// Everything else is the stream's own. The kernel's send buffer is small (`server/listen.rs`), so that a client
/// that reads slowly is seen to read.
pub(super) struct TimedStream {
    stream: TcpStream,
    limit: Duration,
    /// Runs while a write waits. Made anew for each wait, which is rare: a client that keeps up never waits.
    stall: Option<Pin<Box<Sleep>>>,
    has_stalled: bool,
}

impl TimedStream {
    pub(super) fn new(stream: TcpStream, limit: Duration) -> Self {
        Self { stream, limit, stall: None, has_stalled: false }
    }

    /// The stream itself; nothing where the client has stalled. Then the connection is reset, so that the kernel does
    /// not keep what was never read.
    pub(super) fn into_live(self) -> Option<TcpStream> {
        if !self.has_stalled {
            return Some(self.stream);
        }
        tracing::info!(limit_s = self.limit.as_secs_f64(), "connection closed: its client read nothing");
        if let Err(error) = self.stream.set_zero_linger() {
            tracing::debug!(%error, "cannot reset a connection");
        }
        None
    }

    /// The outcome of a write, or the end of a wait that took too long.
    fn timed<T>(&mut self, cx: &mut Context<'_>, write: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if write.is_ready() {
            self.stall = None;
            return write;
        }
        let limit = self.limit;
        let stall = self.stall.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        if stall.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.has_stalled = true;
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for TimedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl AsyncWrite for TimedStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        let write = Pin::new(&mut self.stream).poll_write(cx, from);
        self.timed(cx, write)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let write = Pin::new(&mut self.stream).poll_write_vectored(cx, from);
        self.timed(cx, write)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
