//! What a token costs on its way from an engine's socket into a sink, in CPU time of this process: the engine
//! runs in another one, and writes the same events that vLLM does. `cargo bench -p engine-openai`.
//!
//! - apart: each token in a write of its own, some time after the one before, on many streams
//! - bulk: as many tokens in a write as there is room for, as fast as they are taken
//! - requests: answers of one token, over connections that are kept, and over one that the engine closes each time
//!
//! The floor beside each is the same traffic read off the same sockets and thrown away, in the same runtime:
//! what the kernel and the runtime cost before anything is parsed.
#![expect(clippy::print_stdout, reason = "a bench says what it measured")]
#![expect(clippy::disallowed_methods, reason = "a bench measures time and runs its own tasks")]

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use engine_api::{Engine, EngineFactory, TaskSink};
use engine_http::testing::{job, spec};
use engine_http::{Address, Attach, HttpEngineConfig};
use engine_openai::OpenAiFactory;
use generation::{EndReport, Finish, Input, OutputChunk};
use harness::engine::{APART, CLOSING, IN_BULK, serve};
use orchestrator_core::TokenCount;
use rustix::time::{ClockId, clock_gettime};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// The word that makes this program the engine.
const ENGINE: &str = "--as-engine";

/// Runs of each case; the first one is not counted.
const RUNS: usize = 5;

fn main() {
    if std::env::args().any(|word| word == ENGINE) {
        return engine();
    }
    let (_child, port) = start_engine();
    println!("{:44} {:>10} {:>16} {:>10} {:>12}", "", "CPU µs each", "spread", "floor", "each second");
    let one = tokio::runtime::Builder::new_current_thread().enable_all().build();
    one.expect("a runtime").block_on(measure("one thread", port));
    let two = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    two.expect("a runtime").block_on(measure("two threads", port));
}

/// A case: how the engine is told, streams at a time, tokens of each.
struct Case {
    name: &'static str,
    prompt: &'static str,
    streams: u32,
    rounds: u32,
    tokens: u32,
}

async fn measure(threads: &str, port: u16) {
    let attach = Attach::Url(Address::of_this_machine(port));
    // As the daemon has it, no more tasks are at the engine than it has slots.
    let factory = OpenAiFactory::new(HttpEngineConfig { slots: Some(64), ..HttpEngineConfig::new(attach) });
    let engine = factory.start(spec(), Arc::new(|_| {})).await.expect("starts");
    for case in [
        Case { name: "64 streams, tokens apart", prompt: APART, streams: 64, rounds: 1, tokens: 1000 },
        Case { name: "64 streams, tokens in bulk", prompt: IN_BULK, streams: 64, rounds: 1, tokens: 20_000 },
        Case { name: "requests of one token", prompt: IN_BULK, streams: 16, rounds: 250, tokens: 1 },
        Case { name: "requests, closed each time", prompt: CLOSING, streams: 16, rounds: 250, tokens: 1 },
    ] {
        let (mut costs, mut floors, mut speed) = (Vec::new(), Vec::new(), 0.0);
        let count = f64::from(case.streams * case.rounds * case.tokens);
        for run in 0..RUNS {
            let cpu = cpu_micros();
            run_floor(port, &case).await;
            let floor = cpu_micros() - cpu;
            let (began, cpu) = (Instant::now(), cpu_micros());
            run_case(&engine, &case).await;
            let (cpu, took) = (cpu_micros() - cpu, began.elapsed());
            if run > 0 {
                costs.push(cpu / count);
                floors.push(floor / count);
                speed = count / took.as_secs_f64();
            }
        }
        costs.sort_by(f64::total_cmp);
        floors.sort_by(f64::total_cmp);
        let (least, middle, most) = (costs[0], costs[costs.len() / 2], costs[costs.len() - 1]);
        let (floor, spread) = (floors[floors.len() / 2], format!("{least:.2}..{most:.2}"));
        let name = format!("{}, {threads}", case.name);
        println!("{name:44} {middle:>10.3} {spread:>16} {floor:>10.3} {speed:>12.0}");
    }
}

/// The same traffic, read and thrown away.
async fn run_floor(port: u16, case: &Case) {
    let body = format!("{{\"prompt\":\"{}\",\"max_tokens\":{}}}", case.prompt, case.tokens);
    let request = format!("POST /v1/completions HTTP/1.1\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let mut streams = JoinSet::new();
    for _ in 0..case.streams {
        let (request, rounds, closes) = (request.clone(), case.rounds, case.prompt == CLOSING);
        streams.spawn(async move {
            let mut kept = None;
            for _ in 0..rounds {
                let mut socket = match kept.take() {
                    Some(socket) => socket,
                    None => connect(port).await,
                };
                socket.write_all(request.as_bytes()).await.expect("takes it");
                let mut bytes = vec![0; 64 * 1024];
                loop {
                    let count = socket.read(&mut bytes).await.expect("goes on");
                    if count == 0 || (!closes && bytes[..count].ends_with(b"\r\n0\r\n\r\n")) {
                        break;
                    }
                }
                kept = (!closes).then_some(socket);
            }
        });
    }
    streams.join_all().await;
}

async fn connect(port: u16) -> tokio::net::TcpStream {
    let socket = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.expect("listens");
    socket.set_nodelay(true).expect("a socket");
    socket
}

async fn run_case(engine: &Arc<dyn Engine>, case: &Case) {
    let tokens = Arc::new(AtomicU64::new(0));
    for _ in 0..case.rounds {
        let (ended, mut ends) = mpsc::channel(case.streams as usize);
        for _ in 0..case.streams {
            let mut asked = job(Input::Prompt(case.prompt.to_owned()));
            asked.max_tokens = Some(TokenCount(case.tokens));
            engine.submit(
                Arc::new(asked),
                Box::new(Counter { tokens: Arc::clone(&tokens), ended: ended.clone() }),
            );
        }
        drop(ended);
        while let Some(finish) = ends.recv().await {
            assert_eq!(finish, Finish::Length);
        }
    }
    let wanted = u64::from(case.streams * case.rounds * case.tokens);
    assert_eq!(tokens.load(Ordering::Relaxed), wanted, "every token arrives");
}

struct Counter {
    tokens: Arc<AtomicU64>,
    ended: mpsc::Sender<Finish>,
}

impl TaskSink for Counter {
    fn output(&mut self, chunk: OutputChunk) {
        self.tokens.fetch_add(chunk.tokens.len() as u64, Ordering::Relaxed);
    }

    fn end(self: Box<Self>, report: EndReport) {
        self.ended.try_send(report.finish).expect("room for every end");
    }
}

fn cpu_micros() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3
}

/// The engine in a process of its own, which ends with this one.
fn start_engine() -> (Child, u16) {
    let program = std::env::current_exe().expect("this program");
    let child = Command::new(program).arg(ENGINE).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut child = child.expect("starts");
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().expect("piped")).read_line(&mut line).expect("says its port");
    (child, line.trim().parse().expect("a port"))
}

fn engine() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a socket");
    println!("{}", listener.local_addr().expect("bound").port());
    std::thread::spawn(move || serve(&listener));
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}
