//! The built-in engine with the real model: tokens/s and gaps between tokens at 1, 4, 8 and 16 streams, and
//! what a running stream notices of long prompts that arrive beside it, and how fast a prompt is read alone, and how
//! soon a cancel of it ends. Two threads, unless
//! `LLAMA_ORCH_BENCH_THREADS` says otherwise. Figures are those of a quiet machine only: threads that wait
//! for a busy core multiply every time.
//!
//! ```text
//! cargo bench --profile dev -p worker-llamacpp --bench engine
//! ```
#![expect(clippy::disallowed_methods, reason = "a bench measures real time")]
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]
#![expect(dead_code, reason = "the harness serves the tests too")]

#[path = "../tests/real_engine/harness.rs"]
mod harness;

use std::time::{Duration, Instant};

use generation::LogitBias;
use orchestrator_core::{Priority, SessionId, TaskId};

use harness::{Worker, job, long_text, model, prompt, spec};

/// Tokens of each stream.
const TOKENS: u32 = 96;

/// Runs of each measurement; the first is thrown away, and the median of the others is shown.
const ROUNDS: usize = 4;

/// Tokens of a running stream before prompts arrive beside it.
const ALONE: usize = 100;

/// Tokens of a stream beside idle conversations.
const IDLE_TOKENS: u32 = 256;

/// Tokens of the prompts that arrive beside a running stream.
const LONG_PROMPT: usize = 1000;

fn main() {
    // Cargo passes `--bench`; another word picks what to run: `streams`, `streams-16`, `arrivals`, `reading`.
    let only = std::env::args().skip(1).find(|word| !word.starts_with('-'));
    let wanted = |name: &str| only.as_deref().is_none_or(|only| name.contains(only));
    println!("model {}, {} threads, {TOKENS} tokens a stream", model().display(), threads());
    for streams in [1, 4, 8, 16] {
        if wanted(&format!("streams-{streams}")) {
            throughput(streams);
        }
    }
    if wanted("arrivals") {
        arrivals();
    }
    if wanted("reading") {
        reading();
    }
    if wanted("idle") {
        idle();
    }
}

/// A stream beside conversations that nobody goes on with now, and one that is gone on with.
fn idle() {
    for conversations in [0, 5] {
        let mut worker = start(24, 2048);
        let mut costs = Vec::new();
        let mut turns = Vec::new();
        for round in 0..ROUNDS {
            let turn = |number: usize, text: &str| {
                let mut turn = job(prompt(&format!("{}{text}", long_text(1000, number))), 16);
                turn.session = Some(SessionId(uuid::Uuid::from_u128(number as u128)));
                turn
            };
            for number in 0..conversations {
                worker.answer(turn(number, ""));
            }
            let before = cpu_time();
            let task = worker.submit(stream(round, IDLE_TOKENS));
            worker.wait(&[task]);
            let took = cpu_time() - before;
            let report = worker.answers[&task].report();
            let cost = millis(took) / f64::from(report.tokens_out.0);
            if conversations > 0 {
                let report = worker.answer(turn(0, " And")).report().clone();
                turns.push(report.prefill_ms.0 as f64);
                assert!(report.tokens_cached.0 > 500, "the conversation is warm: {report:?}");
            }
            if round > 0 {
                costs.push(cost);
            }
        }
        println!(
            "one stream beside {conversations:>2} idle conversations: {:>5.2} ms of CPU a token; the next turn of one \
             begins after {:.0} ms",
            median(&mut costs),
            if turns.is_empty() { 0.0 } else { median(&mut turns) },
        );
    }
}

/// A long prompt that is read alone, and one that is canceled while it is read.
fn reading() {
    let (mut rates, mut strict_rates, mut cancels) = (Vec::new(), Vec::new(), Vec::new());
    let mut worker = start(4, 2048);
    for round in 0..ROUNDS {
        let rate = |report: &generation::EndReport| {
            f64::from(report.tokens_in.0) * 1e3 / (report.prefill_ms.0 as f64)
        };
        rates.push(rate(worker.answer(job(prompt(&long_text(1500, round)), 1)).report()));
        let mut strict = job(prompt(&long_text(300, round)), 1);
        strict.determinism = generation::Determinism::Strict;
        strict_rates.push(rate(worker.answer(strict).report()));
        let task = worker.submit(job(prompt(&long_text(1500, 100 + round)), 1));
        std::thread::sleep(Duration::from_millis(300));
        let asked = Instant::now();
        worker.send(&worker_protocol::ToWorker::Cancel(task));
        worker.wait(&[task]);
        cancels.push(millis(asked.elapsed()));
    }
    println!(
        "reading alone: {:.0} tokens/s, `strict` {:.0} tokens/s; a cancel ends it after {:.0} ms (most {:.0} ms)",
        median(&mut rates),
        median(&mut strict_rates),
        median(&mut cancels),
        quantile(&mut cancels, 1.0),
    );
}

/// Processor time that the worker has used: the one child of this thread.
fn cpu_time() -> Duration {
    let read = |path: &str| std::fs::read_to_string(path).expect("a file of Linux");
    let stat = read(&format!("/proc/{}/stat", read("/proc/thread-self/children").trim()));
    let after_name = stat.rsplit(')').next().expect("the name is in parentheses");
    let ticks =
        after_name.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().expect("a count"));
    Duration::from_millis(ticks.sum::<u64>() * 10)
}

fn threads() -> u16 {
    std::env::var("LLAMA_ORCH_BENCH_THREADS").ok().and_then(|count| count.parse().ok()).unwrap_or(2)
}

fn start(slots: u16, ctx: u32) -> Worker {
    let mut worker = Worker::spawn();
    let mut spec = spec(&model(), slots, ctx);
    spec.threads = Some(threads());
    worker.load(spec).expect("the starter model loads");
    worker
}

/// A job that writes all its tokens: what ends an answer is banned.
fn stream(number: usize, tokens: u32) -> generation::GenerateRequest {
    let mut job = job(prompt(&format!("Chapter {number}. Once upon a time there was")), tokens);
    job.sampling.logit_bias = (0..3).map(|token| LogitBias { token, bias: f32::NEG_INFINITY }).collect();
    job
}

fn throughput(streams: usize) {
    let mut worker = start(u16::try_from(streams).expect("a few"), 512);
    let mut rates = Vec::new();
    let mut gaps = Vec::new();
    for round in 0..ROUNDS {
        let started = Instant::now();
        let tasks: Vec<TaskId> =
            (0..streams).map(|number| worker.submit(stream(number + round * 100, TOKENS))).collect();
        worker.wait(&tasks);
        let took = started.elapsed();
        if round == 0 {
            continue;
        }
        let written: u32 = tasks.iter().map(|task| worker.answers[task].report().tokens_out.0).sum();
        rates.push(f64::from(written) / took.as_secs_f64());
        for task in &tasks {
            gaps.extend(gaps_of(&worker.answers[task].times));
        }
    }
    let shown: Vec<String> = rates.iter().map(|rate| format!("{rate:.0}")).collect();
    println!(
        "streams {streams:>2}: {:>6.1} tokens/s (runs {}), between tokens p50 {:.1} ms, p95 {:.1} ms",
        median(&mut rates),
        shown.join(" "),
        quantile(&mut gaps, 0.50),
        quantile(&mut gaps, 0.95),
    );
}

/// A stream alone, and the same stream while long prompts of the batch lane arrive: the same tokens of it are
/// compared, because each token of a stream costs more than the one before, whatever else there is.
fn arrivals() {
    for round in 0..ROUNDS - 1 {
        let (quiet, _) = beside(0, round);
        let (busy, prompts) = beside(2, round);
        let range = ALONE..busy.len();
        let (mut quiet, mut busy) = (gaps_of(&quiet[range.clone()]), gaps_of(&busy[range]));
        let (quiet_p95, busy_p95) = (quantile(&mut quiet, 0.95), quantile(&mut busy, 0.95));
        println!(
            "arrivals, run {round}: quiet p50 {:.1} ms, p95 {quiet_p95:.1} ms; while 2 prompts of {LONG_PROMPT} tokens \
             arrive p50 {:.1} ms, p95 {busy_p95:.1} ms ({:.2} times), {} tokens, prompts at {prompts:.0} tokens/s",
            quantile(&mut quiet, 0.5),
            quantile(&mut busy, 0.5),
            busy_p95 / quiet_p95,
            busy.len(),
        );
    }
}

/// A stream beside which `prompts` long prompts arrive at its token [`ALONE`]: when each of its tokens came
/// until they were read (without any, all of them), and how many prompt tokens a second were read.
fn beside(prompts: usize, round: usize) -> (Vec<Instant>, f64) {
    let mut worker = start(4, 2048);
    let running = worker.submit(stream(0, 1900));
    if prompts == 0 {
        worker.wait(&[running]);
        return (worker.answers[&running].times.clone(), 0.0);
    }
    worker.until(|worker| worker.answers[&running].times.len() >= ALONE);
    let started = Instant::now();
    let long: Vec<TaskId> = (0..prompts)
        .map(|number| {
            let mut long = job(prompt(&long_text(LONG_PROMPT, number + round * 10)), 1);
            long.priority = Priority::Batch;
            worker.submit(long)
        })
        .collect();
    worker.wait(&long);
    let took = started.elapsed();
    let read: u32 = long.iter().map(|task| worker.answers[task].report().tokens_in.0).sum();
    (worker.answers[&running].times.clone(), f64::from(read) / took.as_secs_f64())
}

/// Milliseconds between tokens.
fn gaps_of(times: &[Instant]) -> Vec<f64> {
    times.windows(2).map(|pair| millis(pair[1].duration_since(pair[0]))).collect()
}

fn millis(span: Duration) -> f64 {
    span.as_secs_f64() * 1e3
}

fn median(values: &mut [f64]) -> f64 {
    quantile(values, 0.5)
}

fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = ((values.len() as f64 * share) as usize).min(values.len().saturating_sub(1));
    values.get(at).copied().unwrap_or(f64::NAN)
}
