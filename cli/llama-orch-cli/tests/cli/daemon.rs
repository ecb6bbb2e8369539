//! A daemon that answers from a script: one exchange a connection, in order. Every request is kept, so that
//! a test can look at what the command line really sent.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long the scripted daemon waits for bytes that a request announces.
const READ_LIMIT: Duration = Duration::from_secs(20);

/// A request as it came.
#[derive(Debug)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

impl Request {
    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).expect("the body is JSON")
    }

    /// `METHOD path`.
    pub fn line(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

/// One answer of the script.
pub struct Exchange {
    answer: String,
    held: Held,
}

enum Held {
    /// The connection is closed after the answer.
    No,
    /// It stays open until a later exchange ends it.
    Open,
    /// This exchange writes these bytes to the connection held, and closes it.
    Release(String),
}

impl Exchange {
    /// An answer with a JSON body.
    pub fn json(status: &str, headers: &str, body: &str) -> Self {
        let length = body.len();
        let answer = format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n{headers}Connection: close\r\n\r\n{body}"
        );
        Self { answer, held: Held::No }
    }

    /// No answer: the request is heard, and the connection closed.
    pub fn nothing() -> Self {
        Self { answer: String::new(), held: Held::No }
    }

    /// An answer as it goes over the wire.
    pub fn raw(answer: &str) -> Self {
        Self { answer: answer.to_owned(), held: Held::No }
    }

    /// An answer without a body.
    pub fn no_content() -> Self {
        Self { answer: "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n".to_owned(), held: Held::No }
    }

    /// A stream that is closed after `events`, whether there is an `end` among them or not.
    pub fn stream(events: &str) -> Self {
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\nConnection: close\r\n\r\n{events}"
        );
        Self { answer, held: Held::No }
    }

    /// The same, but the connection stays open until a later exchange [releases](Self::releasing) it.
    pub fn open(mut self) -> Self {
        self.held = Held::Open;
        self
    }

    /// The same; afterwards the connection that is held gets `rest` and is closed.
    pub fn releasing(mut self, rest: &str) -> Self {
        self.held = Held::Release(rest.to_owned());
        self
    }
}

/// 202, next in the queue.
pub fn accepted(task: &str) -> Exchange {
    accepted_at(task, 0, 0)
}

/// 202, somewhere in the queue. `task` stands in for the id that the command line chose.
pub fn accepted_at(task: &str, position: u32, predicted_ms: u64) -> Exchange {
    let body = format!(
        r#"{{"task_id":"{task}","queue_position":{position},"predicted_start_ms":{predicted_ms},"backoff_ms":0}}"#
    );
    Exchange::json("202 Accepted", "", &body)
}

/// A refusal.
pub fn refused(status: &str, code: &str, message: &str, retry_after_ms: Option<u64>) -> Exchange {
    let retriable = retry_after_ms.is_some();
    let headers = retry_after_ms
        .map(|ms| format!("Retry-After: {}\r\nX-Backoff-Ms: {ms}\r\n", ms.div_ceil(1000)))
        .unwrap_or_default();
    let ms = retry_after_ms.map_or("null".to_owned(), |ms| ms.to_string());
    let body = format!(
        r#"{{"code":"{code}","message":"{message}","engine":null,"retriable":{retriable},"retry_after_ms":{ms}}}"#
    );
    Exchange::json(status, &headers, &body)
}

/// The event `started`.
pub fn started(position: u32, predicted_ms: u64) -> String {
    format!(
        "event: started\ndata: {{\"queue_position\":{position},\"predicted_start_ms\":{predicted_ms}}}\n\n"
    )
}

/// An event `token` whose text was parsed.
pub fn parsed_token(i: usize, text: &str, output: &serde_json::Value) -> String {
    let data = serde_json::json!({"t": text, "i": i, "output": output});
    format!("event: token\nid: {i}\ndata: {data}\n\n")
}

/// Token events of text alone, numbered from `from` on.
pub fn tokens(from: usize, texts: &[&str]) -> String {
    let event = |(at, text): (usize, &&str)| {
        let i = from + at;
        let t = serde_json::to_string(text).expect("a string is JSON");
        format!("event: token\nid: {i}\ndata: {{\"t\":{t},\"i\":{i}}}\n\n")
    };
    texts.iter().enumerate().map(event).collect()
}

/// The event `end` of an answer of `tokens_out` tokens.
pub fn end(tokens_out: u32, finish_reason: &str) -> String {
    format!(
        "event: end\ndata: {{\"tokens_out\":{tokens_out},\"decode_ms\":100,\"tokens_in\":5,\"queue_ms\":3,\"finish_reason\":\"{finish_reason}\"}}\n\n"
    )
}

/// A task as the daemon tells of it, with `more` about how far it is.
pub fn told(task: &str, state: &str, more: &serde_json::Value) -> Exchange {
    let mut summary = serde_json::json!({
        "task_id": task, "pool": "starter", "priority": "interactive", "workload": "completion", "state": state,
        "tokens_in": 5, "tokens_out": 0, "age_ms": 12, "promised_start_ms": 0, "placements": 0,
    });
    let fields = summary.as_object_mut().expect("it is an object");
    fields.extend(more.as_object().expect("it is an object").clone());
    let detail = serde_json::json!({ "task": summary, "input": { "parts": [], "bytes": 0, "cut": false }, "answer": "" });
    Exchange::json("200 OK", "", &detail.to_string())
}

/// The scripted daemon.
pub struct Daemon {
    address: SocketAddr,
    thread: JoinHandle<Vec<Request>>,
}

impl Daemon {
    /// Begins to listen.
    pub fn with(script: Vec<Exchange>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let thread = std::thread::spawn(move || serve(&listener, script));
        Self { address, thread }
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Stops and gives what was asked. A request beyond the script, or a script that was not used up, fails
    /// the test.
    pub fn requests(self) -> Vec<Request> {
        // Wakes the thread where it still waits; where it is gone there is nobody to connect to.
        drop(TcpStream::connect(self.address));
        self.thread.join().expect("the script was used up, and no more than it")
    }
}

fn serve(listener: &TcpListener, script: Vec<Exchange>) -> Vec<Request> {
    let mut requests = Vec::new();
    let mut script = script.into_iter();
    let mut held = None;
    loop {
        let (stream, _) = listener.accept().expect("it listens");
        let Some(request) = read_request(&stream) else {
            assert_eq!(script.len(), 0, "not asked for everything in the script; asked: {requests:#?}");
            return requests;
        };
        let exchange = script.next().unwrap_or_else(|| panic!("beyond the script: {request:?}"));
        requests.push(request);
        answer(stream, exchange, &mut held);
    }
}

fn answer(mut stream: TcpStream, exchange: Exchange, held: &mut Option<TcpStream>) {
    // The other side may have gone, and that may be what the test is about.
    drop(stream.write_all(exchange.answer.as_bytes()));
    match exchange.held {
        Held::No => {}
        Held::Open => *held = Some(stream),
        Held::Release(rest) => {
            let mut open = held.take().expect("a connection is held");
            drop(open.write_all(rest.as_bytes()));
        }
    }
}

/// Nothing when the connection brings no request.
fn read_request(stream: &TcpStream) -> Option<Request> {
    stream.set_read_timeout(Some(READ_LIMIT)).expect("a limit can be set");
    let mut lines = BufReader::new(stream);
    let mut line = String::new();
    if lines.read_line(&mut line).ok()? == 0 {
        return None;
    }
    let mut words = line.split_whitespace();
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        lines.read_line(&mut line).expect("a header comes");
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length =
        headers.get("content-length").map_or(0, |length| length.parse().expect("a length is a number"));
    let mut body = vec![0; length];
    lines.read_exact(&mut body).expect("the body comes");
    Some(Request { method, path, headers, body: String::from_utf8(body).expect("the body is UTF-8") })
}
