//! What a token costs on its way from an attached engine through the daemon, in processor time of the daemon's
//! process, beside nginx relaying the same streams of the same engine in the same run.

mod nginx;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use harness::engine::{APART, IN_BULK, serve};
use harness::{Daemon, Setup, TOKEN, processes};
use serde::Serialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use nginx::Nginx;
use traffic::Spread;

/// Streams at a time.
const STREAMS: u32 = 64;

/// Runs of each case, one after the other with each relay; the first is not counted.
const RUNS: usize = 5;

/// A case: what the engine is told, streams in all, tokens of each.
struct Case {
    name: &'static str,
    prompt: &'static str,
    streams: u32,
    tokens: u32,
}

const CASES: [Case; 3] = [
    Case { name: "tokens apart", prompt: APART, streams: STREAMS, tokens: 1000 },
    Case { name: "tokens in bulk", prompt: IN_BULK, streams: STREAMS, tokens: 10_000 },
    Case { name: "answers of one token", prompt: IN_BULK, streams: 4000, tokens: 1 },
];

/// What the relays cost, case by case.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Relay {
    /// The cases.
    pub cases: Vec<Cost>,
}

/// One case.
#[derive(Clone, Debug, Serialize)]
pub struct Cost {
    /// What it is.
    pub case: &'static str,
    /// The daemon.
    pub daemon: Passage,
    /// nginx; absent where it is not installed.
    pub nginx: Option<Passage>,
    /// The engine without anything before it.
    pub direct_first_token: Spread,
}

/// What one relay took.
#[derive(Clone, Debug, Serialize)]
pub struct Passage {
    /// Processor time a token, µs; the middle of the runs.
    pub cpu_us: f64,
    /// From a request on the wire to the first token of its answer, ms.
    pub first_token: Spread,
}

/// Measures every case.
///
/// # Errors
/// When something cannot be started, or an answer is not whole.
pub async fn measure() -> anyhow::Result<Relay> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("there is no free port")?;
    let engine = listener.local_addr()?;
    std::thread::spawn(move || serve(&listener));
    let config = format!(
        "pools: [{{id: relay, engine: vllm, model: m, slots: {STREAMS}, server: {{url: 'http://{engine}'}}}}]\n"
    );
    let daemon = Daemon::start(&Setup { config: Some(config), ..Setup::default() }).await;
    daemon.ready().await;
    let nginx = Nginx::start(engine)?;
    let mut cases = Vec::new();
    for case in &CASES {
        let (mut ours, mut theirs, mut direct) = (Runs::default(), Runs::default(), Runs::default());
        for _ in 0..RUNS {
            direct.add(case.run(engine).await?, Duration::ZERO);
            let before = processes::cpu_time(daemon.pid()).context("the daemon has ended")?;
            let firsts = case.run(daemon.address()).await?;
            let after = processes::cpu_time(daemon.pid()).context("the daemon has ended")?;
            ours.add(firsts, after.saturating_sub(before));
            if let Some(nginx) = &nginx {
                let before = nginx.cpu_time()?;
                let firsts = case.run(nginx.address).await?;
                theirs.add(firsts, nginx.cpu_time()?.saturating_sub(before));
            }
        }
        cases.push(Cost {
            case: case.name,
            daemon: ours.passage(case),
            nginx: nginx.is_some().then(|| theirs.passage(case)),
            direct_first_token: direct.passage(case).first_token,
        });
    }
    Ok(Relay { cases })
}

/// The runs of one case with one relay.
#[derive(Default)]
struct Runs {
    runs: Vec<(Vec<Duration>, Duration)>,
}

impl Runs {
    fn add(&mut self, firsts: Vec<Duration>, cpu: Duration) {
        self.runs.push((firsts, cpu));
    }

    fn passage(&self, case: &Case) -> Passage {
        let counted = self.runs.get(1..).unwrap_or_default();
        let tokens = f64::from(case.streams) * f64::from(case.tokens);
        let mut costs: Vec<f64> = counted.iter().map(|(_, cpu)| cpu.as_secs_f64() * 1e6 / tokens).collect();
        costs.sort_by(f64::total_cmp);
        let first_token = Spread::of(counted.iter().flat_map(|(firsts, _)| firsts.iter().copied()));
        Passage { cpu_us: costs.get(costs.len() / 2).copied().unwrap_or_default(), first_token }
    }
}

impl Case {
    /// Every stream once, [`STREAMS`] at a time; from each request to its first token.
    async fn run(&self, relay: SocketAddr) -> anyhow::Result<Vec<Duration>> {
        let mut lanes = JoinSet::new();
        for lane in 0..STREAMS {
            let (prompt, tokens) = (self.prompt, self.tokens);
            let count = self.streams / STREAMS + u32::from(lane < self.streams % STREAMS);
            lanes.spawn(async move {
                let mut firsts = Vec::new();
                for _ in 0..count {
                    firsts.push(ask(relay, prompt, tokens).await?);
                }
                anyhow::Ok(firsts)
            });
        }
        let mut all = Vec::new();
        while let Some(firsts) = lanes.join_next().await {
            all.extend(firsts.context("a reader broke")??);
        }
        Ok(all)
    }
}

/// Asks for one answer and reads it to its end; until its first token.
async fn ask(relay: SocketAddr, prompt: &str, tokens: u32) -> anyhow::Result<Duration> {
    let body = format!(r#"{{"model":"m","prompt":"{prompt}","max_tokens":{tokens},"stream":true}}"#);
    let request = format!(
        "POST /v1/completions HTTP/1.1\r\nHost: {relay}\r\nAuthorization: Bearer {TOKEN}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let began = Instant::now();
    let mut socket = TcpStream::connect(relay).await.with_context(|| format!("cannot connect to {relay}"))?;
    socket.set_nodelay(true)?;
    socket.write_all(request.as_bytes()).await?;
    Ok(read(&mut socket).await?.saturating_duration_since(began))
}

/// Reads an answer to its end; when its first token came.
async fn read(socket: &mut TcpStream) -> anyhow::Result<Instant> {
    let mut bytes = vec![0; 64 * 1024];
    let (mut first, mut tail) = (None, Vec::new());
    loop {
        let count = socket.read(&mut bytes).await.context("an answer breaks off")?;
        if count == 0 {
            break;
        }
        tail.extend_from_slice(&bytes[..count]);
        // The head of the answer is no token, nor is a comment while it waits.
        if first.is_none() && contains(&tail, " token\"") {
            first = Some(Instant::now());
        }
        if first.is_some() && tail.len() > 4096 {
            tail.splice(..tail.len() - 1024, []);
        }
    }
    ensure!(contains(&tail, "data: [DONE]"), "an answer ends with `{}`", String::from_utf8_lossy(&tail));
    first.context("an answer has no token")
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}
