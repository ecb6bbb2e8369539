//! How long `/health` takes while one request of maximal size is served: whether anything that grows with a request
//! holds up the thread that all share. The engine computes nothing, so that all there is to see is the daemon's.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use harness::engine::serve;
use harness::{Daemon, Setup, TOKEN};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use traffic::Spread;

/// Bytes of a body: under the default of `limits.body_mb`.
const BODY_BYTES: usize = 15 * 1024 * 1024;

/// Between two questions for the health.
const EVERY: Duration = Duration::from_millis(2);

/// What is asked before and after each request, for comparison.
const QUIET: Duration = Duration::from_millis(500);

/// What one request did to the others.
#[derive(Clone, Debug, Serialize)]
pub struct Responsiveness {
    /// What it is.
    pub case: &'static str,
    /// The status of its answer.
    pub status: u16,
    /// From its first byte to its whole answer, ms.
    pub took_ms: f64,
    /// `/health` meanwhile, ms.
    pub health: Spread,
}

/// A request.
struct Case {
    name: &'static str,
    path: &'static str,
    body: Value,
}

/// Measures every case.
///
/// # Errors
/// When the daemon cannot be started, or does not answer.
pub async fn measure() -> anyhow::Result<Vec<Responsiveness>> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("there is no free port")?;
    let engine = listener.local_addr()?;
    std::thread::spawn(move || serve(&listener));
    let config = format!(
        "pools: [{{id: p, engine: vllm, model: m, slots: 16, server: {{url: 'http://{engine}'}}}}]\n"
    );
    let daemon = Daemon::start(&Setup { config: Some(config), ..Setup::default() }).await;
    daemon.ready().await;
    let mut all = Vec::new();
    let quiet = observe(daemon.address(), async {
        tokio::time::sleep(QUIET).await;
        anyhow::Ok(())
    })
    .await?
    .1;
    all.push(Responsiveness { case: "nothing else", status: 0, took_ms: 0.0, health: quiet });
    for case in cases() {
        let body = case.body.to_string();
        ensure!(body.len() < 16 * 1024 * 1024, "`{}` is over the limit of bodies", case.name);
        let began = Instant::now();
        let (status, health) = observe(daemon.address(), send(daemon.address(), case.path, &body)).await?;
        all.push(Responsiveness {
            case: case.name,
            status,
            took_ms: began.elapsed().as_secs_f64() * 1e3,
            health,
        });
    }
    Ok(all)
}

fn cases() -> Vec<Case> {
    let text = |bytes: usize| "some words of a long text ".repeat(bytes / 26);
    let user = |content: String| json!({"role": "user", "content": content});
    let chat = |messages: Value, n: u32| json!({"model": "m", "max_tokens": 4, "n": n, "messages": messages});
    let many = |count: usize, bytes: usize| Value::from(vec![user("x".repeat(bytes)); count]);
    let schema: serde_json::Map<String, Value> = (0..150_000)
        .map(|i| (format!("field_{i}"), json!({"type": "string", "description": "a field of the caller's"})))
        .collect();
    let tools = json!([{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": schema}}}]);
    let calls = json!({"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}});
    let history = json!([
        user("x".to_owned()),
        {"role": "assistant", "tool_calls": vec![calls; 180_000]},
        user("x".to_owned()),
    ]);
    let format = json!({"type": "json_schema", "json_schema": {"name": "n", "schema": tools[0]["function"]["parameters"]}});
    let picture = json!([{"role": "user", "content": [
        {"type": "image_url", "image_url": {"url": format!("data:image/png;base64,{}", "A".repeat(BODY_BYTES))}},
    ]}]);
    let response_tools =
        json!([{"type": "function", "name": "f", "parameters": tools[0]["function"]["parameters"]}]);
    let case = |name, path, body| Case { name, path, body };
    vec![
        case("chat, one message of 15 MiB", "/v1/chat/completions", chat(json!([user(text(BODY_BYTES))]), 1)),
        case(
            "chat, one message of 15 MiB, n 16",
            "/v1/chat/completions",
            chat(json!([user(text(BODY_BYTES))]), 16),
        ),
        case("chat, 4096 messages of 3.7 KiB", "/v1/chat/completions", chat(many(4096, 3700), 1)),
        case("chat, 350,000 messages", "/v1/chat/completions", chat(many(350_000, 1), 1)),
        case(
            "chat, tools of 12 MiB",
            "/v1/chat/completions",
            json!({"model": "m", "max_tokens": 4, "messages": [user("x".to_owned())], "tools": tools}),
        ),
        case("chat, 180,000 calls in the history", "/v1/chat/completions", chat(history, 1)),
        case("chat, a picture of 15 MiB, n 16", "/v1/chat/completions", chat(picture, 16)),
        case(
            "chat, a schema of 12 MiB, n 16",
            "/v1/chat/completions",
            chat(json!([user("x".to_owned())]), 16).with("response_format", format),
        ),
        case(
            "responses, tools of 12 MiB, stream",
            "/v1/responses",
            json!({"model": "m", "input": "x", "max_output_tokens": 4, "stream": true, "tools": response_tools}),
        ),
        case("messages of 15 MiB", "/v1/messages", chat(json!([user(text(BODY_BYTES))]), 1).without("n")),
        case(
            "count_tokens of 15 MiB",
            "/v1/messages/count_tokens",
            json!({"model": "m", "messages": [user(text(BODY_BYTES))]}),
        ),
        case("responses of 15 MiB", "/v1/responses", json!({"model": "m", "input": text(BODY_BYTES)})),
        case(
            "completion of 15 MiB",
            "/v1/completions",
            json!({"model": "m", "max_tokens": 4, "prompt": text(BODY_BYTES)}),
        ),
        case(
            "completion, 16 prompts, n 16",
            "/v1/completions",
            json!({"model": "m", "max_tokens": 4, "n": 16, "prompt": vec![text(BODY_BYTES / 16); 16]}),
        ),
        case(
            "embeddings, 2048 inputs of 7.5 KiB",
            "/v1/embeddings",
            json!({"model": "m", "input": vec![text(7600); 2048]}),
        ),
        case(
            "rerank, 2047 documents of 7.5 KiB",
            "/v1/rerank",
            json!({"model": "m", "query": "q", "documents": vec![text(7600); 2047]}),
        ),
        case("task of 15 MiB", "/v1/tasks", json!({"max_tokens": 4, "prompt": text(BODY_BYTES)})),
        case("no JSON, 15 MiB", "/v1/chat/completions", Value::from(text(BODY_BYTES))),
    ]
}

trait Fields {
    fn with(self, name: &str, value: Value) -> Self;
    fn without(self, name: &str) -> Self;
}

impl Fields for Value {
    fn with(mut self, name: &str, value: Value) -> Self {
        self[name] = value;
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.as_object_mut().map(|object| object.remove(name));
        self
    }
}

/// Does `work`, and asks for the health until it is done.
async fn observe<T>(
    daemon: SocketAddr,
    work: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<(T, Spread)> {
    let over = Arc::new(AtomicBool::new(false));
    let asking = tokio::spawn(ask_until(daemon, Arc::clone(&over)));
    tokio::time::sleep(Duration::from_millis(20)).await;
    let done = work.await;
    over.store(true, Ordering::Relaxed);
    let times = asking.await.context("the one who asks for the health broke")??;
    Ok((done?, Spread::of(times)))
}

async fn ask_until(daemon: SocketAddr, over: Arc<AtomicBool>) -> anyhow::Result<Vec<Duration>> {
    let mut socket = connect(daemon).await?;
    let request = format!("GET /health HTTP/1.1\r\nHost: {daemon}\r\nx-api-key: {TOKEN}\r\n\r\n");
    let (mut times, mut bytes) = (Vec::new(), Vec::new());
    while !over.load(Ordering::Relaxed) {
        let began = Instant::now();
        socket.write_all(request.as_bytes()).await?;
        answer(&mut socket, &mut bytes).await?;
        times.push(began.elapsed());
        tokio::time::sleep(EVERY).await;
    }
    Ok(times)
}

/// Sends a request and reads the whole answer; its status.
async fn send(daemon: SocketAddr, path: &str, body: &str) -> anyhow::Result<u16> {
    let mut socket = connect(daemon).await?;
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {daemon}\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    socket.write_all(head.as_bytes()).await?;
    socket.write_all(body.as_bytes()).await?;
    let mut bytes = Vec::new();
    answer(&mut socket, &mut bytes).await?;
    let status = std::str::from_utf8(&bytes).ok().and_then(|text| text.split(' ').nth(1)?.parse().ok());
    status.context("an answer without a status")
}

async fn connect(daemon: SocketAddr) -> anyhow::Result<TcpStream> {
    let socket = TcpStream::connect(daemon).await.context("cannot connect")?;
    socket.set_nodelay(true)?;
    Ok(socket)
}

/// Reads one answer, with a length or in chunks.
async fn answer(socket: &mut TcpStream, bytes: &mut Vec<u8>) -> anyhow::Result<()> {
    bytes.clear();
    loop {
        ensure!(socket.read_buf(bytes).await? > 0, "the connection ended within an answer");
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
        if head.contains("transfer-encoding: chunked") {
            if bytes.ends_with(b"\r\n0\r\n\r\n") {
                return Ok(());
            }
            continue;
        }
        let length =
            head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
        if bytes.len() >= end + 4 + length.unwrap_or(0) {
            return Ok(());
        }
    }
}
