//! A client that sends any bytes at all, also what no HTTP library would, and reads what comes back.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The token of every daemon.
pub const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// How long an answer may take.
const LIMIT: Duration = Duration::from_secs(30);

/// A request, as it is written on the wire.
#[derive(Clone, Debug)]
pub struct Ask {
    pub method: String,
    pub path: String,
    version: &'static str,
    headers: Vec<(String, Vec<u8>)>,
    body: Option<Vec<u8>>,
}

impl Ask {
    /// A request with what every client sends, and the token.
    pub fn new(method: &str, path: &str) -> Self {
        let ask = Self {
            method: method.to_owned(),
            path: path.to_owned(),
            version: "HTTP/1.1",
            headers: Vec::new(),
            body: None,
        };
        ask.header("Host", "localhost").header("Authorization", &format!("Bearer {TOKEN}"))
    }

    pub fn get(path: &str) -> Self {
        Self::new("GET", path)
    }

    pub fn post(path: &str) -> Self {
        Self::new("POST", path)
    }

    pub fn task(body: &serde_json::Value) -> Self {
        Self::post("/v1/tasks").json(body)
    }

    /// A body of JSON.
    pub fn json(self, body: &serde_json::Value) -> Self {
        self.body(&body.to_string())
    }

    pub fn version(mut self, version: &'static str) -> Self {
        self.version = version;
        self
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.as_bytes().to_vec()));
        self
    }

    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self
    }

    pub fn body(self, body: &str) -> Self {
        self.bytes(body.as_bytes())
    }

    pub fn bytes(mut self, body: &[u8]) -> Self {
        self.body = Some(body.to_vec());
        let length = body.len().to_string();
        self.header("Content-Length", &length)
    }

    /// A body that is not as long as the headers say, or framed in another way.
    pub fn raw_body(mut self, body: &[u8]) -> Self {
        self.body = Some(body.to_vec());
        self
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = format!("{} {} {}\r\n", self.method, self.path, self.version).into_bytes();
        for (name, value) in &self.headers {
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"Connection: close\r\n\r\n");
        bytes.extend_from_slice(self.body.as_deref().unwrap_or_default());
        bytes
    }
}

/// A response.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the daemon answers in UTF-8")
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("not JSON, {error}: {self:?}"))
    }
}

/// Sends `ask` over a connection of its own and reads until the daemon closes it.
pub async fn send(address: SocketAddr, ask: &Ask) -> Answer {
    let answer = send_bytes(address, &ask.encode()).await;
    answer.unwrap_or_else(|| panic!("no answer to {} {}", ask.method, ask.path))
}

/// Sends `bytes` and ends its own side; nothing where the daemon closes without a word.
pub async fn send_bytes(address: SocketAddr, bytes: &[u8]) -> Option<Answer> {
    let mut stream = TcpStream::connect(address).await.expect("the daemon listens");
    let mut answer = Vec::new();
    let talk = async {
        let (mut reads, mut writes) = stream.split();
        let write = async {
            // A daemon that has refused may close before all is written.
            let _ = writes.write_all(bytes).await;
            let _ = writes.flush().await;
        };
        let (read, ()) = tokio::join!(reads.read_to_end(&mut answer), write);
        read.expect("the answer is not cut off by a reset");
    };
    tokio::time::timeout(LIMIT, talk).await.expect("the daemon answers and closes in time");
    if answer.is_empty() { None } else { Some(parse(&answer)) }
}

fn parse(bytes: &[u8]) -> Answer {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("a response has a head");
    let head = std::str::from_utf8(&bytes[..end]).expect("a head is text");
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).expect("a status line has a status");
    let headers: Vec<(String, String)> = lines
        .map(|line| line.split_once(':').expect("a header has a colon"))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let mut answer = Answer { status: status.parse().expect("a number"), headers, body: Vec::new() };
    let rest = &bytes[end + 4..];
    answer.body = match answer.header("transfer-encoding") {
        Some(_) => unchunk(rest),
        None => rest.to_vec(),
    };
    answer
}

fn unchunk(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|window| window == b"\r\n").expect("a chunk has a size");
        let size = std::str::from_utf8(&rest[..end]).expect("a size is text");
        let size = usize::from_str_radix(size, 16).expect("a size is hexadecimal");
        if size == 0 {
            return body;
        }
        body.extend_from_slice(&rest[end + 2..end + 2 + size]);
        rest = &rest[end + 2 + size + 2..];
    }
}
