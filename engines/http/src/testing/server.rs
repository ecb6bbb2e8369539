//! A server of raw sockets that answers each request as it is told, byte for byte.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::address::Address;

/// Requests remembered, and connections whose end was noticed.
const MOST: usize = 4096;

/// Between two repeats of the same bytes.
const BETWEEN_REPEATS: Duration = Duration::from_millis(2);

/// A request as it came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// Method and path: `GET /health`.
    pub line: String,
    /// All headers, in lower case.
    pub headers: String,
    /// The body.
    pub body: String,
}

impl Request {
    /// The body as JSON; `null` where it is none.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }
}

/// What to answer.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Everything that is sent, from the status line on.
    pub bytes: Vec<u8>,
    /// And then.
    pub then: Then,
}

/// What becomes of the connection behind an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// It is closed.
    Close,
    /// It stays open until the client closes it, which is noticed.
    Hold,
    /// The next request is read from it.
    Keep,
    /// These bytes follow over and over, until the client closes it.
    Repeat(&'static [u8]),
}

impl Reply {
    /// An answer, and then the end of the connection.
    #[must_use]
    pub fn closing(bytes: Vec<u8>) -> Self {
        Self { bytes, then: Then::Close }
    }

    /// An answer, and then the next request.
    #[must_use]
    pub fn keeping(bytes: Vec<u8>) -> Self {
        Self { bytes, then: Then::Keep }
    }

    /// An answer behind which `again` follows for as long as the client listens.
    #[must_use]
    pub fn repeating(bytes: Vec<u8>, again: &'static [u8]) -> Self {
        Self { bytes, then: Then::Repeat(again) }
    }

    /// An answer that does not go on.
    #[must_use]
    pub fn holding(bytes: Vec<u8>) -> Self {
        Self { bytes, then: Then::Hold }
    }
}

/// An answer of JSON.
#[must_use]
pub fn json(status: u16, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status} S\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}")
        .into_bytes()
}

/// The head of a chunked stream of events, and each of `events` as a chunk of its own; without the end.
#[must_use]
pub fn sse(events: &[&str]) -> Vec<u8> {
    let mut bytes = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n\
        Transfer-Encoding: chunked\r\n\r\n"
        .to_vec();
    for event in events {
        bytes.extend(chunked(format!("data: {event}\n\n").as_bytes()));
    }
    bytes
}

/// `bytes` as one chunk; the last one where there are none.
#[must_use]
pub fn chunked(bytes: &[u8]) -> Vec<u8> {
    let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
    chunk.extend_from_slice(bytes);
    chunk.extend_from_slice(b"\r\n");
    chunk
}

/// A server on a port of its own. It listens until it is dropped.
pub struct FakeServer {
    port: u16,
    seen: Arc<Mutex<Vec<Request>>>,
    connections: Arc<AtomicUsize>,
    closed: Mutex<mpsc::Receiver<Request>>,
    open: Arc<Mutex<bool>>,
    listening: Option<JoinHandle<()>>,
}

impl FakeServer {
    /// A server that answers with what `answer` gives; nothing closes the connection without an answer.
    ///
    /// # Panics
    /// When no socket can be had.
    pub fn start(answer: impl Fn(&Request) -> Option<Reply> + Send + Sync + 'static) -> Self {
        Self::start_at(0, answer)
    }

    /// As [`FakeServer::start`], at a port that somebody had before.
    ///
    /// # Panics
    /// When the port is taken.
    pub fn start_at(port: u16, answer: impl Fn(&Request) -> Option<Reply> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).expect("a socket");
        let port = listener.local_addr().expect("bound").port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let open = Arc::new(Mutex::new(true));
        let (notice, closed) = mpsc::sync_channel(MOST);
        let (answer, seen_by, open_by) = (Arc::new(answer), Arc::clone(&seen), Arc::clone(&open));
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&connections);
        let listening = std::thread::spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                if !*lock(&open_by) {
                    return;
                }
                counted.fetch_add(1, Ordering::SeqCst);
                let (answer, seen, notice) = (Arc::clone(&answer), Arc::clone(&seen_by), notice.clone());
                std::thread::spawn(move || serve(socket, &*answer, &seen, &notice));
            }
        });
        Self { port, seen, connections, closed: Mutex::new(closed), open, listening: Some(listening) }
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> Address {
        Address::of_this_machine(self.port)
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The requests that came, in order.
    #[must_use]
    pub fn seen(&self) -> Vec<Request> {
        lock(&self.seen).clone()
    }

    /// Connections that were made to it.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// The last request to `path`.
    ///
    /// # Panics
    /// When there was none.
    #[must_use]
    pub fn last(&self, line: &str) -> Request {
        self.seen().into_iter().rfind(|request| request.line == line).unwrap_or_else(|| panic!("no {line}"))
    }

    /// Waits until a client closes a connection that was held, and gives its request.
    ///
    /// # Panics
    /// When none does in time.
    #[must_use]
    pub fn closed_by_client(&self) -> Request {
        lock(&self.closed).recv_timeout(Duration::from_secs(60)).expect("closed in time")
    }
}

impl Drop for FakeServer {
    fn drop(&mut self) {
        *lock(&self.open) = false;
        // The listening thread looks up at the next connection; nobody listens once it is gone.
        let woken = TcpStream::connect(("127.0.0.1", self.port));
        if let (Ok(_), Some(listening)) = (woken, self.listening.take()) {
            let _ = listening.join();
        }
    }
}

fn serve(
    mut socket: TcpStream,
    answer: &dyn Fn(&Request) -> Option<Reply>,
    seen: &Mutex<Vec<Request>>,
    notice: &mpsc::SyncSender<Request>,
) {
    let _ = socket.set_nodelay(true);
    while let Some(request) = read_request(&mut socket) {
        let reply = answer(&request);
        let mut all = lock(seen);
        if all.len() < MOST {
            all.push(request.clone());
        }
        drop(all);
        let Some(Reply { bytes, then }) = reply else { return };
        if socket.write_all(&bytes).is_err() {
            return;
        }
        match then {
            Then::Close => {
                let _ = socket.shutdown(Shutdown::Write);
                return;
            }
            Then::Hold => {
                let mut rest = [0; 64];
                while socket.read(&mut rest).is_ok_and(|count| count > 0) {}
                let _ = notice.try_send(request);
                return;
            }
            Then::Repeat(again) => {
                while socket.write_all(again).is_ok() {
                    std::thread::sleep(BETWEEN_REPEATS);
                }
                return;
            }
            Then::Keep => {}
        }
    }
}

fn read_request(socket: &mut TcpStream) -> Option<Request> {
    let mut bytes = Vec::new();
    let mut part = [0; 64 * 1024];
    loop {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        if let Some(end) = end {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let (line, headers) = head.split_once("\r\n").unwrap_or((&head, ""));
            let headers = headers.to_ascii_lowercase();
            let length = headers.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.and_then(|digits| digits.trim().parse().ok()).unwrap_or(0);
            while bytes.len() < end + 4 + length {
                let count = socket.read(&mut part).ok().filter(|count| *count > 0)?;
                bytes.extend_from_slice(&part[..count]);
            }
            let line = line.strip_suffix(" HTTP/1.1")?.to_owned();
            let body = String::from_utf8_lossy(&bytes[end + 4..]).into_owned();
            return Some(Request { line, headers, body });
        }
        let count = socket.read(&mut part).ok().filter(|count| *count > 0)?;
        bytes.extend_from_slice(&part[..count]);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
