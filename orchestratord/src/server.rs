//! Listening, accepting, and the life of connections: how many there may be, how long a request's head may
//! take, and how all of it ends. What is answered is the router's business.
//!
//! ```text
//! accepting ──stop_accepting──► finishing ──all done, or the deadline──► closed
//! ```
//!
//! Over the limit of connections a new one is not accepted until another closes: it waits in the listen
//! backlog, where the kernel holds it. The limit of streams, which is answered, is meant to be met first.
//!
//! Rules: ORCH-SEC-6

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::time::Duration;

use axum::Router;
use axum::response::Response;
use http::Request;
use hyper::body::Incoming;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tower::ServiceExt;

mod client;
mod connection;
mod descriptors;
mod listen;
mod places;

pub use client::Authenticated;
pub use descriptors::raise_limit;
pub use listen::{BindError, bind, bind_for_ollama};

use client::TimedStream;
use places::{Place, Places};

/// What a client may do to a connection.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionLimits {
    /// Connections open at a time.
    pub connections: u32,
    /// How long a request's head may take to arrive; a connection without a request is closed after it.
    pub header_timeout: Duration,
    /// How long a connection may be open without a request that has the token.
    pub authentication_timeout: Duration,
    /// How long a client may take nothing of a response that waits for it.
    pub write_timeout: Duration,
    /// The largest request head in bytes.
    pub header_bytes: usize,
}

/// How far the end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    /// Connections are accepted.
    Accepting,
    /// None is accepted; those that are open answer what they have begun.
    Finishing,
    /// Those that are still open are closed.
    Closing,
}

/// How the connections ended.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Every response was sent in full.
    Finished,
    /// So many connections were closed at the deadline.
    Closed(u32),
}

/// A running server. Dropping it closes everything at once.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    phase: watch::Sender<Phase>,
    places: Places,
    limits: watch::Sender<ConnectionLimits>,
    acceptors: Vec<JoinHandle<()>>,
}

/// How long accepting rests after the process or the machine ran out of something, so that a full table of
/// file descriptors is not a busy loop.
const ACCEPT_REST: Duration = Duration::from_millis(200);

impl Server {
    /// Starts to accept.
    ///
    /// # Errors
    /// When the listener has no address.
    pub fn start(listener: TcpListener, router: Router, limits: ConnectionLimits) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let phase = watch::Sender::new(Phase::Accepting);
        let limits = watch::Sender::new(limits);
        let mut server = Self { address, phase, places: Places::new(), limits, acceptors: Vec::new() };
        server.also_accept(listener, router);
        Ok(server)
    }

    /// Accepts at another address as well. The limits are those of all addresses together, and so is the end.
    pub fn also_accept(&mut self, listener: TcpListener, router: Router) {
        let acceptor = Acceptor {
            listener,
            router,
            limits: self.limits.subscribe(),
            places: self.places.clone(),
            phase: self.phase.subscribe(),
        };
        self.acceptors.push(spawn(acceptor.run()));
    }

    /// Where the limits can be changed: of connections that come from here on, and how many there may be.
    #[must_use]
    pub fn limits(&self) -> watch::Sender<ConnectionLimits> {
        self.limits.clone()
    }

    /// Where it listened first.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections that are open.
    #[must_use]
    pub fn open(&self) -> u32 {
        self.places.open()
    }

    /// Closes the listener. Requests that have begun are answered, and their connections close after it.
    pub fn stop_accepting(&self) {
        self.advance(Phase::Finishing);
    }

    /// Closes the listener, waits until what has begun is answered, at most `within`, and closes the rest.
    pub async fn finish(mut self, within: Duration) -> Ended {
        self.stop_accepting();
        // An acceptor holds a place while it waits for a connection, and gives it back as it ends.
        for acceptor in std::mem::take(&mut self.acceptors) {
            let _ = acceptor.await;
        }
        if tokio::time::timeout(within, self.places.all_free()).await.is_ok() {
            return Ended::Finished;
        }
        let open = self.open();
        self.advance(Phase::Closing);
        self.places.all_free().await;
        Ended::Closed(open)
    }

    fn advance(&self, to: Phase) {
        self.phase.send_if_modified(|phase| {
            let later = to > *phase;
            *phase = (*phase).max(to);
            later
        });
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.advance(Phase::Closing);
    }
}

struct Acceptor {
    listener: TcpListener,
    router: Router,
    limits: watch::Receiver<ConnectionLimits>,
    places: Places,
    phase: watch::Receiver<Phase>,
}

impl Acceptor {
    async fn run(mut self) {
        let mut phase = self.phase.clone();
        tokio::select! {
            // A sender that is gone is a server that was dropped.
            _ = phase.wait_for(|phase| *phase > Phase::Accepting) => {}
            () = self.accept() => {}
        }
    }

    async fn accept(&mut self) {
        loop {
            let place = self.place().await;
            match self.listener.accept().await {
                Ok((stream, peer)) => self.serve(stream, peer.ip(), place),
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot accept connections");
                    tokio::time::sleep(ACCEPT_REST).await;
                }
            }
        }
    }

    async fn place(&mut self) -> Place {
        let limit = self.limits.borrow().connections;
        if let Some(place) = self.places.try_take(limit) {
            return place;
        }
        tracing::warn!(limit, "new connections wait: raise `limits.connections`");
        self.places.take(&mut self.limits).await
    }

    fn serve(&self, stream: TcpStream, peer: IpAddr, place: Place) {
        // A token is a small write that must not wait for the acknowledgement of the one before.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection was gone before it was served");
            return;
        }
        let limits = *self.limits.borrow();
        let mut http = hyper::server::conn::http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(limits.header_timeout)
            .max_header_size(limits.header_bytes);
        let authenticated = Authenticated::not_yet(peer);
        let routes = Routes { router: self.router.clone(), authenticated: authenticated.clone() };
        let stream = TimedStream::new(stream, limits.write_timeout);
        let connection = http.serve_connection(TokioIo::new(stream), routes);
        let (phase, limit) = (self.phase.clone(), limits.authentication_timeout);
        spawn(async move {
            connection::run(connection, phase, (authenticated, limit)).await;
            drop(place);
        });
    }
}

/// The router as hyper calls it, for one connection.
struct Routes {
    router: Router,
    authenticated: Authenticated,
}

impl Service<Request<Incoming>> for Routes {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        request.extensions_mut().insert(self.authenticated.clone());
        Box::pin(self.router.clone().oneshot(request))
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

#[expect(
    clippy::disallowed_methods,
    reason = "the policy of the server's tasks: each watches `Phase` and ends by itself, a connection holds a place \
              that `Server::finish` waits for, and a panic closes that one connection"
)]
fn spawn<F: Future<Output = ()> + Send + 'static>(task: F) -> JoinHandle<()> {
    tokio::spawn(task)
}

#[cfg(test)]
mod tests;
