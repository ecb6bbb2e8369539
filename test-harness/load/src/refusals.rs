//! The path of the 429: requests at a given rate that meet a full lane. The engine stands still meanwhile, so
//! that what is measured is the daemon's.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use harness::stream::read_tokens;
use harness::{TOKEN, processes, tasks};
use serde::Serialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use traffic::Spread;

use crate::args::Args;
use crate::target;

/// Connections that share the rate.
const CONNECTIONS: u32 = 16;

/// How long requests are sent.
const SENDING: Duration = Duration::from_secs(3);

/// The most bytes of an answer to a request.
const ANSWER_BYTES_MAX: usize = 16 * 1024;

/// What the requests saw.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Refusals {
    /// Refusals asked for a second.
    pub asked_per_s: f64,
    /// Refusals that came a second.
    pub per_s: f64,
    /// From a request on the wire to its whole answer, ms.
    pub took: Spread,
}

/// Fills a lane and asks for a place in it.
///
/// # Errors
/// When an answer is anything but a 429.
pub async fn measure(args: &Args) -> anyhow::Result<Refusals> {
    let daemon = target::own(args, &["pools[0].slots=1", "queue.batch=1"]).await;
    let running = daemon.submit(&tasks::endless(4000)).await?.task_id;
    read_tokens(&mut daemon.events(running, None).await, 1).await;
    daemon.submit(&tasks::batch(tasks::prompt("waits", 1))).await?;
    for worker in daemon.workers() {
        processes::signal(worker, "STOP");
    }
    let address = daemon.address();
    let body = r#"{"prompt":"x","max_tokens":1,"priority":"batch"}"#;
    let request = format!(
        "POST /v1/tasks HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut connections = JoinSet::new();
    let begin = Instant::now();
    let every = Duration::from_secs_f64(f64::from(CONNECTIONS) / args.refusal_rate);
    for number in 0..CONNECTIONS {
        let stream = TcpStream::connect(address).await.context("cannot connect")?;
        stream.set_nodelay(true)?;
        connections.spawn(ask(stream, request.clone(), begin + every * number / CONNECTIONS, every));
    }
    let mut took = Vec::new();
    while let Some(of_one) = connections.join_next().await {
        took.extend(of_one??);
    }
    let per_s = took.len() as f64 / begin.elapsed().as_secs_f64();
    Ok(Refusals { asked_per_s: args.refusal_rate, per_s, took: Spread::of(took) })
}

/// Sends at its times, one after the other; what is late is sent at once.
async fn ask(
    mut stream: TcpStream,
    request: String,
    begin: Instant,
    every: Duration,
) -> anyhow::Result<Vec<Duration>> {
    let mut took = Vec::new();
    let mut buffer = Vec::with_capacity(ANSWER_BYTES_MAX);
    let mut next = begin;
    while next < begin + SENDING {
        tokio::time::sleep_until(next.into()).await;
        let sent = Instant::now();
        stream.write_all(request.as_bytes()).await?;
        read_answer(&mut stream, &mut buffer).await?;
        took.push(sent.elapsed());
        ensure!(buffer.starts_with(b"HTTP/1.1 429 "), "an answer that is no 429: {}", head(&buffer));
        next += every;
    }
    Ok(took)
}

async fn read_answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> anyhow::Result<()> {
    buffer.clear();
    while buffer.len() < ANSWER_BYTES_MAX {
        ensure!(stream.read_buf(buffer).await? > 0, "the connection ended within an answer");
        if is_whole(buffer) {
            return Ok(());
        }
    }
    bail!("an answer over {ANSWER_BYTES_MAX} bytes: {}", head(buffer))
}

/// Whether the head and as many bytes of body as it says are there.
fn is_whole(answer: &[u8]) -> bool {
    let Some(end) = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    answer.len() >= end + 4 + length.unwrap_or(0)
}

fn head(answer: &[u8]) -> String {
    String::from_utf8_lossy(answer).lines().next().unwrap_or_default().to_owned()
}
