//! One request and its answer over a connection of its own: closing it is how an answer is canceled, and
//! nothing of one task can reach another.

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

/// Bytes of an answer's head.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// Headers of an answer.
const MAX_HEADERS: usize = 100;

/// Bytes of an answer that is taken whole.
const MAX_WHOLE_BYTES: usize = 64 * 1024 * 1024;

/// Bytes read at a time where an answer is taken whole, and of a head that is a large one.
const READ_BYTES: usize = 16 * 1024;

/// Bytes read first of an answer's head: one of usual size, with as little of the body as comes with it.
const HEAD_BYTES: usize = 1024;

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
pub(crate) struct Opened<S = TcpStream> {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    pub(crate) incoming: Incoming<S>,
}

/// A body on its way.
pub(crate) struct Incoming<S = TcpStream> {
    pub(crate) socket: S,
    pub(crate) framing: Framing,
    /// What was read behind the head.
    pub(crate) rest: Vec<u8>,
}

impl Client {
    /// Asks the server at `address`, called `name` in messages.
    #[must_use]
    pub fn new(name: &'static str, address: Address, key: Option<&Secret>, timeouts: Timeouts) -> Self {
        let mut headers =
            format!("host: {}\r\nuser-agent: llama-orch\r\nconnection: close\r\n", address.authority());
        if let Some(key) = key {
            headers.push_str("authorization: Bearer ");
            headers.push_str(key.reveal());
            headers.push_str("\r\n");
        }
        Self(Arc::new(Inner { name, address, headers, timeouts, resolved: OnceLock::new() }))
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

    /// Gets what is at `path`.
    ///
    /// # Errors
    /// [`Fault::Transport`] or [`Fault::Nonsense`]; a status that is no success is an answer.
    pub async fn get(&self, path: &str) -> Result<Answered, Fault> {
        self.whole(self.open(&self.request("GET", path, None), self.0.timeouts.probe).await?).await
    }

    /// Sends JSON to `path` and takes the answer whole.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn post(&self, path: &str, body: &[u8]) -> Result<Answered, Fault> {
        self.whole(self.open(&self.request("POST", path, Some(body)), self.0.timeouts.head).await?).await
    }

    /// Sends JSON to `path` and returns with the answer's head.
    pub(crate) async fn start(&self, path: &str, body: &[u8]) -> Result<Opened, Fault> {
        self.open(&self.request("POST", path, Some(body)), self.0.timeouts.head).await
    }

    fn request(&self, method: &str, path: &str, body: Option<&[u8]>) -> Vec<u8> {
        let base = self.0.address.path();
        let mut request = format!("{method} {base}{path} HTTP/1.1\r\n{}", self.0.headers).into_bytes();
        match body {
            None => request.extend_from_slice(b"\r\n"),
            Some(body) => {
                let length = format!(
                    "content-type: application/json\r\naccept: text/event-stream, application/json\r\n\
                     content-length: {}\r\n\r\n",
                    body.len()
                );
                request.reserve_exact(length.len() + body.len());
                request.extend_from_slice(length.as_bytes());
                request.extend_from_slice(body);
            }
        }
        request
    }

    async fn open(&self, request: &[u8], head_limit: Duration) -> Result<Opened, Fault> {
        let mut socket = self.connect().await?;
        // A server may answer before it has read everything, and close: its answer says more than the error.
        let written = socket.write_all(request).await;
        let head = timeout(head_limit, self.read_head(socket)).await.unwrap_or_else(|_| {
            let limit = head_limit.as_secs_f32();
            Err(Fault::Transport(format!("{} did not answer within {limit} s", self.server())))
        });
        match (head, written) {
            (Err(Fault::Transport(_)), Err(error)) => {
                Err(Fault::Transport(format!("{} did not take the request: {error}", self.server())))
            }
            (head, _) => head,
        }
    }

    async fn connect(&self) -> Result<TcpStream, Fault> {
        let limit = self.0.timeouts.connect;
        let socket = match timeout(limit, self.connect_to_any()).await {
            Ok(Ok(socket)) => socket,
            Ok(Err(error)) => {
                let why = match error.kind() {
                    std::io::ErrorKind::ConnectionRefused => "nothing listens there".to_owned(),
                    _ => error.to_string(),
                };
                return Err(Fault::Transport(format!("cannot connect to {}: {why}", self.server())));
            }
            Err(_) => {
                let limit = limit.as_secs_f32();
                return Err(Fault::Transport(format!(
                    "cannot connect to {} within {limit} s",
                    self.server()
                )));
            }
        };
        // A request goes out in one write; waiting to fill a packet would only hold it up.
        socket
            .set_nodelay(true)
            .map_err(|error| Fault::Transport(format!("the connection to {}: {error}", self.server())))?;
        Ok(socket)
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

    /// Reads the head of an answer.
    pub(crate) async fn read_head<S: AsyncRead + Unpin>(&self, mut socket: S) -> Result<Opened<S>, Fault> {
        let mut bytes = Vec::with_capacity(HEAD_BYTES);
        loop {
            let count = socket.read_buf(&mut bytes).await.map_err(|error| self.cut(&error.to_string()))?;
            if count == 0 {
                let what = if bytes.is_empty() { "without an answer" } else { "in the head of its answer" };
                return Err(self.cut(&format!("it closed the connection {what}")));
            }
            if let Some((head, used)) = self.parse_head(&bytes)? {
                if (100..200).contains(&head.status) {
                    bytes = bytes.split_off(used);
                    continue;
                }
                let Head { status, framing, content_type } = head;
                let rest = bytes.split_off(used);
                let incoming = Incoming { socket, framing, rest };
                return Ok(Opened { status, content_type, incoming });
            }
            if bytes.len() > MAX_HEAD_BYTES {
                return Err(self.nonsense(&format!("its head is over {MAX_HEAD_BYTES} bytes")));
            }
            bytes.reserve(READ_BYTES);
        }
    }

    /// The head at the start of `bytes` and its length, once it is whole.
    fn parse_head(&self, bytes: &[u8]) -> Result<Option<(Head, usize)>, Fault> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut answer = httparse::Response::new(&mut headers);
        let used = match answer.parse(bytes) {
            Ok(httparse::Status::Complete(used)) => used,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(error) => return Err(self.nonsense(&error.to_string())),
        };
        let status = answer.code.unwrap_or_default();
        let (mut framing, mut content_type) = (Framing::UntilClose, String::new());
        let mut is_chunked = false;
        for header in answer.headers.iter() {
            let value = header.value.trim_ascii();
            if header.name.eq_ignore_ascii_case("transfer-encoding") {
                if !value.eq_ignore_ascii_case(b"chunked") {
                    return Err(self.nonsense("its `transfer-encoding` is not `chunked`"));
                }
                is_chunked = true;
            } else if header.name.eq_ignore_ascii_case("content-length") && !is_chunked {
                let length = std::str::from_utf8(value).ok().and_then(|digits| digits.parse().ok());
                let length = length.ok_or_else(|| self.nonsense("its `content-length` is not a number"))?;
                framing = Framing::Length(length);
            } else if header.name.eq_ignore_ascii_case("content-type") {
                content_type = String::from_utf8_lossy(value).to_ascii_lowercase();
            } else if header.name.eq_ignore_ascii_case("content-encoding") && value != b"identity" {
                return Err(self.nonsense("its body is compressed, which was not asked for"));
            }
        }
        if is_chunked {
            framing = Framing::chunked();
        }
        if matches!(status, 204 | 304) {
            framing = Framing::Length(0);
        }
        Ok(Some((Head { status, framing, content_type }, used)))
    }

    /// Takes the rest of an answer whole.
    pub(crate) async fn whole<S: AsyncRead + Unpin>(&self, opened: Opened<S>) -> Result<Answered, Fault> {
        let Opened { status, incoming: Incoming { mut socket, mut framing, rest }, .. } = opened;
        let silence = self.0.timeouts.silence;
        let mut body = Vec::new();
        let mut bytes = rest;
        loop {
            let more = framing.push(&bytes, &mut |part| {
                if body.len() + part.len() > MAX_WHOLE_BYTES {
                    return Err(self.nonsense(&format!("its body is over {MAX_WHOLE_BYTES} bytes")));
                }
                body.extend_from_slice(part);
                Ok(())
            })?;
            if more == More::Nothing {
                return Ok(Answered { status, body });
            }
            bytes.clear();
            bytes.reserve(READ_BYTES);
            match timeout(silence, socket.read_buf(&mut bytes)).await {
                Err(_) => return Err(self.silent()),
                Ok(Ok(0)) if framing.may_end() => return Ok(Answered { status, body }),
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

    pub(crate) fn nonsense(&self, what: &str) -> Fault {
        Fault::Nonsense(format!(
            "the answer of {} is not HTTP/1.1 as an engine speaks it: {what}",
            self.server()
        ))
    }
}

struct Head {
    status: u16,
    framing: Framing,
    content_type: String,
}

impl Answered {
    /// Whether it is a success.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        (200..300).contains(&self.status)
    }
}
