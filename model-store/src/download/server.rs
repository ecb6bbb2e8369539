//! A web server of a test's own, on a port of this machine: each request is answered by a closure, which
//! sees what was asked and how many came before it.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// What was asked: the path, and the headers in lower case.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The offset of `Range: bytes=OFFSET-`.
    pub(crate) fn offset(&self) -> Option<usize> {
        self.header("range")?.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
    }
}

/// What is answered. `announced` is the `Content-Length`, which may promise more than `body` holds.
pub(crate) struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    announced: u64,
    held_until: Option<Receiver<()>>,
}

impl Reply {
    pub(crate) fn status(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new(), announced: 0, held_until: None }
    }

    pub(crate) fn whole(body: &[u8]) -> Self {
        Self { body: body.to_vec(), announced: body.len() as u64, ..Self::status(200) }
    }

    /// The rest of `body` from `offset`, as a partial answer.
    pub(crate) fn rest(body: &[u8], offset: usize) -> Self {
        let range = format!("bytes {offset}-{}/{}", body.len() - 1, body.len());
        Self { status: 206, ..Self::whole(&body[offset..]) }.with("Content-Range", &range)
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Breaks off after `bytes` of the body.
    pub(crate) fn cut_after(mut self, bytes: usize) -> Self {
        self.body.truncate(bytes);
        self
    }

    /// Keeps the connection open in silence until the sender drops.
    pub(crate) fn held_until(mut self, gone: Receiver<()>) -> Self {
        self.held_until = Some(gone);
        self
    }

    pub(crate) fn announcing(mut self, bytes: u64) -> Self {
        self.announced = bytes;
        self
    }
}

/// A running server; it ends when it drops.
pub(crate) struct Server {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub(crate) fn start(answer: impl Fn(&Asked, usize) -> Reply + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (asked, ended) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (heard, over) = (Arc::clone(&asked), Arc::clone(&ended));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if over.load(Ordering::Acquire) {
                    break;
                }
                let mut stream = stream.expect("a connection");
                let Some(request) = read_request(&stream) else { continue };
                let before = {
                    let mut heard = heard.lock().expect("no test panics with it");
                    heard.push(request.clone());
                    heard.len() - 1
                };
                // A client that was canceled is gone: that is its right.
                let _ = write_reply(&mut stream, &answer(&request, before));
            }
        });
        Self { address, asked, ended, thread: Some(thread) }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("no test panics with it").clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Release);
        let _ = TcpStream::connect(self.address);
        let _ = self.thread.take().expect("joined once").join();
    }
}

fn read_request(stream: &TcpStream) -> Option<Asked> {
    let mut lines = BufReader::new(stream).lines();
    let path = lines.next()?.ok()?.split(' ').nth(1)?.to_owned();
    let mut headers = Vec::new();
    for line in lines {
        match line.ok()?.split_once(": ") {
            Some((name, value)) => headers.push((name.to_ascii_lowercase(), value.to_owned())),
            None => break,
        }
    }
    Some(Asked { path, headers })
}

fn write_reply(stream: &mut TcpStream, reply: &Reply) -> std::io::Result<()> {
    let Reply { status, headers, body, announced, held_until } = reply;
    let mut head = format!("HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {announced}\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all(head.as_bytes())?;
    stream.write_all(b"\r\n")?;
    stream.write_all(body)?;
    if let Some(gone) = held_until {
        let _ = gone.recv();
    }
    Ok(())
}
