//! One request and its answer. A connection carries one of them at a time, and waits for the next one only where the
//! answer was read to its end: closing it is how an answer is canceled, and nothing of one task can reach another.
//!
//! Rules: ORCH-ENG-20

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::address::Address;
use crate::config::{Secret, Timeouts};
use crate::errors::message_of;
use crate::fault::Fault;
use crate::framing::{Framing, More};
use crate::head::{Head, MAX_HEAD_BYTES, parse_head};
use crate::idle::IdleConnections;
use crate::socket::Socket;
use crate::tls::{self, Tls};

/// Bytes of an answer that is taken whole.
const MAX_WHOLE_BYTES: usize = 64 * 1024 * 1024;

/// Bytes read at a time where an answer is taken whole, and of a head that is a large one.
const READ_BYTES: usize = 16 * 1024;

/// Bytes read first of an answer's head: one of usual size, with as little of the body as comes with it.
const HEAD_BYTES: usize = 1024;

/// How long the end of a body is waited for behind its last event. Servers write it right behind, some in a write of
/// its own; a connection whose body does not end in time is closed.
const BODY_END_LIMIT: Duration = Duration::from_millis(100);

/// A body of up to so many bytes goes out in one write with its head. A larger one is not copied for that.
const JOINED_BYTES: usize = 64 * 1024;

/// Bytes of a larger body written at a time; other tasks of the thread have their turn in between.
const WRITE_BYTES: usize = 64 * 1024;

/// Asks one server. Clones ask the same one.
#[derive(Clone, Debug)]
pub struct Client(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    name: &'static str,
    address: Address,
    /// The lines that every request has.
    headers: String,
    timeouts: Timeouts,
    /// Where the name led the last time, so that it is not looked up for every task.
    resolved: OnceLock<SocketAddr>,
    idle: IdleConnections,
    /// Nothing where the server speaks plain HTTP.
    tls: Option<Tls>,
}

/// An answer that was taken whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// Its status.
    pub status: u16,
    /// Its body.
    pub body: Vec<u8>,
}

/// The head of an answer, and the connection its body comes over.
pub(crate) struct Opened<S = Socket> {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    pub(crate) incoming: Incoming<S>,
}

/// A body on its way.
pub(crate) struct Incoming<S = Socket> {
    pub(crate) socket: S,
    pub(crate) framing: Framing,
    /// What was read behind the head.
    pub(crate) rest: Vec<u8>,
    /// Whether the connection may carry another request behind this body.
    pub(crate) persists: bool,
}

/// A request on its way.
struct Outgoing<'b> {
    /// The head, with the body where that is small.
    head: Vec<u8>,
    /// The body where it is large.
    body: &'b [u8],
}

impl Outgoing<'_> {
    async fn write_to(&self, socket: &mut Socket) -> std::io::Result<()> {
        socket.write_all(&self.head).await?;
        for part in self.body.chunks(WRITE_BYTES) {
            socket.write_all(part).await?;
            tokio::task::yield_now().await;
        }
        // TLS may keep a part back until it is flushed; over TCP this does nothing.
        socket.flush().await
    }
}

impl<S> Incoming<S> {
    /// Takes what was read and hands the body's part of it to `take`. A connection that carries anything else does
    /// not persist: nothing says what belongs to the next answer then.
    pub(crate) fn push(
        &mut self,
        bytes: &[u8],
        take: &mut impl FnMut(&[u8]) -> Result<(), Fault>,
    ) -> Result<More, Fault> {
        let pushed = self.framing.push(bytes, take);
        self.persists &= matches!(pushed, Ok(More::Expected | More::Nothing));
        pushed
    }
}

impl Client {
    /// Asks the server at `address`, called `name` in messages, over plain HTTP.
    #[must_use]
    pub fn new(name: &'static str, address: Address, key: Option<&Secret>, timeouts: Timeouts) -> Self {
        Self::over(None, name, address, key, timeouts)
    }

    /// Asks it over TLS where there is one.
    pub(crate) fn over(
        tls: Option<Tls>,
        name: &'static str,
        address: Address,
        key: Option<&Secret>,
        timeouts: Timeouts,
    ) -> Self {
        let mut headers = format!("host: {}\r\nuser-agent: llama-orch\r\n", address.authority());
        if let Some(key) = key {
            headers.push_str("authorization: Bearer ");
            headers.push_str(key.reveal());
            headers.push_str("\r\n");
        }
        let (resolved, idle) = (OnceLock::new(), IdleConnections::default());
        Self(Arc::new(Inner { name, address, headers, timeouts, resolved, idle, tls }))
    }

    /// The server in messages: its name and its URL.
    #[must_use]
    pub fn server(&self) -> String {
        format!("`{}` at {}", self.0.name, self.0.address)
    }

    /// How long things may take.
    pub(crate) fn timeouts(&self) -> &Timeouts {
        &self.0.timeouts
    }

    /// The connections that wait for their next request.
    pub(crate) fn idle(&self) -> &IdleConnections {
        &self.0.idle
    }

    /// Gets what is at `path`.
    ///
    /// # Errors
    /// A fault of the connection or [`Fault::Protocol`]; a status that is no success is an answer.
    pub async fn get(&self, path: &str) -> Result<Answered, Fault> {
        let opened = self.open(&self.request("GET", path, None), self.0.timeouts.probe).await?;
        self.whole_and_keep(opened).await
    }

    /// Sends JSON to `path` and takes the answer whole.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn post(&self, path: &str, body: &[u8]) -> Result<Answered, Fault> {
        self.whole_and_keep(self.start(path, body).await?).await
    }

    /// Sends JSON to `path` and returns with the answer's head.
    pub(crate) async fn start(&self, path: &str, body: &[u8]) -> Result<Opened, Fault> {
        self.open(&self.request("POST", path, Some(body)), self.0.timeouts.head).await
    }

    async fn whole_and_keep(&self, mut opened: Opened) -> Result<Answered, Fault> {
        let answered = self.whole(&mut opened).await?;
        self.keep(opened.incoming).await;
        Ok(answered)
    }

    /// Keeps the connection of an answer for the next request once its body has ended, and closes it otherwise.
    pub(crate) async fn keep(&self, mut incoming: Incoming) {
        let ended = tokio::time::timeout(BODY_END_LIMIT, async {
            let mut bytes = Vec::new();
            while incoming.persists && !incoming.framing.is_over() {
                bytes.clear();
                bytes.reserve(HEAD_BYTES);
                if !matches!(incoming.socket.read_buf(&mut bytes).await, Ok(1..))
                    || incoming.push(&bytes, &mut |_| Ok(())).is_err()
                {
                    return false;
                }
            }
            incoming.persists
        });
        if ended.await == Ok(true) {
            self.0.idle.put(incoming.socket);
        }
    }

    fn request<'b>(&self, method: &str, path: &str, body: Option<&'b [u8]>) -> Outgoing<'b> {
        let base = self.0.address.path();
        let mut head = format!("{method} {base}{path} HTTP/1.1\r\n{}", self.0.headers).into_bytes();
        let Some(body) = body else {
            head.extend_from_slice(b"\r\n");
            return Outgoing { head, body: &[] };
        };
        let length = format!(
            "content-type: application/json\r\naccept: text/event-stream, application/json\r\n\
             content-length: {}\r\n\r\n",
            body.len()
        );
        let (joined, body) = if body.len() <= JOINED_BYTES { (body, &body[..0]) } else { (&body[..0], body) };
        head.reserve_exact(length.len() + joined.len());
        head.extend_from_slice(length.as_bytes());
        head.extend_from_slice(joined);
        Outgoing { head, body }
    }

    /// Asks over a connection that waits, or over a new one.
    async fn open(&self, request: &Outgoing<'_>, head_limit: Duration) -> Result<Opened, Fault> {
        let Some(waiting) = self.0.idle.take() else {
            return self.ask(self.connect().await?, request, head_limit).await;
        };
        match self.ask(waiting, request, head_limit).await {
            // Most likely the server closed it the moment it was taken. Nothing was answered, and no request changes
            // anything at an engine: asking once more is safe.
            Err(Fault::Unanswered(why)) => match self.connect().await {
                Ok(fresh) => self.ask(fresh, request, head_limit).await,
                // It was there a moment ago: what ended it may be the request.
                Err(_) => Err(Fault::Unanswered(why)),
            },
            asked => asked,
        }
    }

    async fn ask(
        &self,
        mut socket: Socket,
        request: &Outgoing<'_>,
        head_limit: Duration,
    ) -> Result<Opened, Fault> {
        let asked = timeout(head_limit, async {
            let written = request.write_to(&mut socket).await;
            // A server may answer before it has read everything, and close: its answer says more than the error.
            (self.read_head(socket).await, written)
        });
        let refused = |error: &std::io::Error| format!("{} did not take the request: {error}", self.server());
        match asked.await {
            Ok((Err(Fault::Unanswered(_)), Err(error))) => Err(Fault::Unanswered(refused(&error))),
            Ok((Err(Fault::Transport(_)), Err(error))) => Err(Fault::Transport(refused(&error))),
            Ok((opened, written)) => opened.map(|mut opened| {
                opened.incoming.persists &= written.is_ok();
                opened
            }),
            Err(_) => {
                let limit = head_limit.as_secs_f32();
                Err(Fault::Transport(format!("{} did not answer within {limit} s", self.server())))
            }
        }
    }

    async fn connect(&self) -> Result<Socket, Fault> {
        let limit = self.0.timeouts.connect;
        match timeout(limit, self.connect_and_shake_hands()).await {
            Ok(connected) => {
                connected.map_err(|why| Fault::Absent(format!("cannot connect to {}: {why}", self.server())))
            }
            Err(_) => {
                let limit = limit.as_secs_f32();
                Err(Fault::Absent(format!("cannot connect to {} within {limit} s", self.server())))
            }
        }
    }

    async fn connect_and_shake_hands(&self) -> Result<Socket, String> {
        let tcp = self.connect_to_any().await.map_err(|error| match error.kind() {
            std::io::ErrorKind::ConnectionRefused => "nothing listens there".to_owned(),
            _ => error.to_string(),
        })?;
        // A request goes out in one write; waiting to fill a packet would only hold it up.
        tcp.set_nodelay(true).map_err(|error| error.to_string())?;
        Ok(match &self.0.tls {
            None => Socket::Plain(tcp),
            Some(tls) => Socket::Tls(Box::new(tls.connect(tcp).await?)),
        })
    }

    async fn connect_to_any(&self) -> std::io::Result<TcpStream> {
        if let Some(known) = self.0.resolved.get()
            && let Ok(socket) = TcpStream::connect(known).await
        {
            return Ok(socket);
        }
        let socket = TcpStream::connect((self.0.address.host(), self.0.address.port())).await?;
        if let Ok(peer) = socket.peer_addr() {
            let _ = self.0.resolved.set(peer);
        }
        Ok(socket)
    }

    /// Reads the head of an answer. Heads that only announce it (1xx) come before, also in the same read.
    pub(crate) async fn read_head<S: AsyncRead + Unpin>(&self, mut socket: S) -> Result<Opened<S>, Fault> {
        let mut bytes = Vec::with_capacity(HEAD_BYTES);
        let mut answered = false;
        loop {
            let read = socket.read_buf(&mut bytes).await;
            let count = match read {
                Ok(count) => count,
                Err(error) if !answered => return Err(self.unanswered(&error.to_string())),
                Err(error) => return Err(self.cut(&error.to_string())),
            };
            if count == 0 && !answered {
                return Err(self.unanswered("it closed the connection without an answer"));
            }
            if count == 0 {
                return Err(self.cut("it closed the connection in the head of its answer"));
            }
            if !answered && tls::is_alert(&bytes) {
                let hint = "it speaks TLS\nhint: write `https://` in `server.url`";
                return Err(Fault::Absent(format!("{} does not speak plain HTTP: {hint}", self.server())));
            }
            answered = true;
            while let Some((head, used)) = parse_head(&bytes).map_err(|what| self.nonsense(&what))? {
                let rest = bytes.split_off(used);
                if (100..200).contains(&head.status) {
                    bytes = rest;
                    continue;
                }
                let Head { status, framing, content_type, persists } = head;
                let incoming = Incoming { socket, framing, rest, persists };
                return Ok(Opened { status, content_type, incoming });
            }
            if bytes.len() > MAX_HEAD_BYTES {
                return Err(self.nonsense(&format!("its head is over {MAX_HEAD_BYTES} bytes")));
            }
            bytes.reserve(READ_BYTES);
        }
    }

    /// Takes the rest of an answer whole.
    pub(crate) async fn whole<S: AsyncRead + Unpin>(
        &self,
        opened: &mut Opened<S>,
    ) -> Result<Answered, Fault> {
        let Opened { status, incoming, .. } = opened;
        let (status, silence) = (*status, self.0.timeouts.silence);
        let mut body = Vec::new();
        let mut bytes = std::mem::take(&mut incoming.rest);
        loop {
            let more = incoming.push(&bytes, &mut |part| {
                if body.len() + part.len() > MAX_WHOLE_BYTES {
                    return Err(self.nonsense(&format!("its body is over {MAX_WHOLE_BYTES} bytes")));
                }
                body.extend_from_slice(part);
                Ok(())
            })?;
            if more != More::Expected {
                return Ok(Answered { status, body });
            }
            bytes.clear();
            bytes.reserve(READ_BYTES);
            match timeout(silence, incoming.socket.read_buf(&mut bytes)).await {
                Err(_) => return Err(self.silent()),
                Ok(Ok(0)) if incoming.framing.may_end() => return Ok(Answered { status, body }),
                Ok(Ok(0)) => return Err(self.cut("it closed the connection in the middle of an answer")),
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return Err(self.cut(&error.to_string())),
            }
        }
    }

    /// The fault of an answer with `status` and `body` that was to be a success.
    #[must_use]
    pub fn fault_of(&self, Answered { status, body }: &Answered) -> Fault {
        let said = message_of(body).map(|said| format!(": {said}")).unwrap_or_default();
        let server = self.server();
        match status {
            400 | 413 | 422 | 501 => Fault::Refused(format!("{server} refuses the task{said}")),
            401 | 403 => Fault::Failed(format!(
                "{server} refuses the key with status {status}{said}\nhint: set the `api_key` of this engine"
            )),
            404 => Fault::Failed(format!("{server} does not know this path or model (status 404){said}")),
            429 | 503 => Fault::Unready(format!("{server} is not ready (status {status}){said}")),
            _ => Fault::Failed(format!("{server} answers with status {status}{said}")),
        }
    }

    pub(crate) fn silent(&self) -> Fault {
        let limit = self.0.timeouts.silence.as_secs_f32();
        Fault::Transport(format!("{} was silent for {limit} s in the middle of an answer", self.server()))
    }

    pub(crate) fn cut(&self, what: &str) -> Fault {
        Fault::Transport(format!("the connection to {} broke: {what}", self.server()))
    }

    fn unanswered(&self, what: &str) -> Fault {
        Fault::Unanswered(format!("the connection to {} broke: {what}", self.server()))
    }

    pub(crate) fn nonsense(&self, what: &str) -> Fault {
        Fault::Protocol(format!(
            "the answer of {} is not HTTP/1.1 as an engine speaks it: {what}",
            self.server()
        ))
    }
}

impl Answered {
    /// Whether it is a success.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

#[cfg(test)]
mod tests;
