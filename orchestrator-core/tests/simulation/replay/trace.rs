//! Traces that are replayed: who comes when, how long the answers are, how fast the engine is, and what the
//! Monte Carlo bound may know of it.

use orchestrator_core::Priority;

use crate::random::Random;

/// Slots of the one replica.
pub const SLOTS: u16 = 4;
/// Its speed while nothing changes it.
pub const PREFILL_TPS: f64 = 1000.0;
/// Answer tokens a second of each stream.
pub const DECODE_TPS: f64 = 30.0;
/// No answer is longer.
pub const MAX_TOKENS: u32 = 512;

const MEAN_LENGTH: f64 = 120.0;
const LENGTH_SIGMA: f64 = 0.8;
const BATCH_SHARE: f64 = 0.3;
const MEAN_PROMPT: f64 = 200.0;

/// One task.
#[derive(Clone, Copy, Debug)]
pub struct Job {
    pub arrives_ms: f64,
    pub priority: Priority,
    pub tokens_in: u32,
    pub tokens_out: u32,
    pub expected: Option<u32>,
    /// How long its caller waits for the whole answer.
    pub patience_ms: f64,
}

impl Job {
    /// Milliseconds of an engine at its usual speed, up to the first token.
    pub fn prefill_ms(&self) -> f64 {
        f64::from(self.tokens_in) / PREFILL_TPS * 1000.0
    }

    /// And from there to the end.
    pub fn decode_ms(&self) -> f64 {
        f64::from(self.tokens_out - 1) / DECODE_TPS * 1000.0
    }
}

/// A value that changes at moments, in milliseconds.
#[derive(Clone, Debug)]
pub struct Course(pub Vec<(f64, f64)>);

impl Course {
    /// The value at a moment.
    pub fn at(&self, ms: f64) -> f64 {
        self.0.iter().rev().find(|(from, _)| *from <= ms).map_or(1.0, |(_, value)| *value)
    }

    /// When so much work is done that begins then, at a speed of this value.
    pub fn done(&self, begin: f64, mut work: f64) -> f64 {
        let mut now = begin;
        loop {
            let next = self.0.iter().map(|(from, _)| *from).find(|from| *from > now).unwrap_or(f64::INFINITY);
            let speed = self.at(now);
            if (next - now) * speed >= work {
                return now + work / speed;
            }
            work -= (next - now) * speed;
            now = next;
        }
    }

    /// The work done between two moments.
    pub fn work(&self, begin: f64, end: f64) -> f64 {
        let (mut now, mut work) = (begin, 0.0);
        while now < end {
            let next = self.0.iter().map(|(from, _)| *from).find(|from| *from > now).unwrap_or(f64::INFINITY);
            let until = next.min(end);
            work += (until - now) * self.at(now);
            now = until;
        }
        work
    }
}

/// A trace with what it was made of.
#[derive(Clone, Debug)]
pub struct Trace {
    pub name: &'static str,
    pub jobs: Vec<Job>,
    /// Speed of the engine, as a share of its usual one.
    pub speed: Course,
    /// Interactive tasks a millisecond.
    pub rate: Course,
    /// Whether it goes up and down by the phases of [`phase_ms`].
    pub bursts: bool,
    /// What lengths are multiplied with.
    pub longer: Course,
    pub mean_patience_ms: f64,
    /// The replica retires then, and another takes its place so much later.
    pub reload: Option<(f64, f64)>,
}

impl Trace {
    /// An answer of a task that comes at a moment.
    pub fn length(&self, arrives_ms: f64, random: &mut Random) -> u32 {
        length(self.longer.at(arrives_ms), random)
    }
}

/// Normal, of mean 0 and variance 1 (G. Box, M. Muller, 1958).
fn normal(random: &mut Random) -> f64 {
    (-2.0 * (1.0 - random.uniform()).ln()).sqrt() * (std::f64::consts::TAU * random.uniform()).cos()
}

fn length(longer: f64, random: &mut Random) -> u32 {
    let mean = (MEAN_LENGTH * longer).ln() - LENGTH_SIGMA * LENGTH_SIGMA / 2.0;
    let tokens = (mean + LENGTH_SIGMA * normal(random)).exp();
    (tokens as u32).clamp(1, MAX_TOKENS)
}

/// An interactive task of the usual length that comes at a moment.
pub fn job_at(arrives_ms: f64, random: &mut Random) -> Job {
    Job {
        arrives_ms,
        priority: Priority::Interactive,
        tokens_in: (MEAN_PROMPT * (0.5 + random.uniform())) as u32,
        tokens_out: length(1.0, random),
        expected: None,
        patience_ms: f64::INFINITY,
    }
}

/// Tasks a millisecond that the replica can take.
pub fn capacity_per_ms() -> f64 {
    let mut random = Random(1);
    let tokens: f64 = (0..20_000).map(|_| f64::from(length(1.0, &mut random))).sum::<f64>() / 20_000.0;
    f64::from(SLOTS) / (tokens / DECODE_TPS * 1000.0 + MEAN_PROMPT / PREFILL_TPS * 1000.0)
}

/// Shares of the mean rate in the two phases of a trace with bursts.
pub const QUIET: f64 = 0.25;
pub const BUSY: f64 = 2.5;

/// How long a phase lasts.
pub fn phase_ms(share: f64, random: &mut Random) -> f64 {
    let least = if share == QUIET { 20_000.0 } else { 10_000.0 };
    least + random.exponential(least)
}

/// What a trace differs in from an even one.
#[derive(Clone, Debug)]
struct Shape {
    name: &'static str,
    load: f64,
    seconds: f64,
    bursts: bool,
    hints: bool,
    speed: Course,
    longer: Course,
    mean_patience_ms: f64,
    reload: Option<(f64, f64)>,
}

impl Shape {
    fn new(name: &'static str, load: f64, seconds: f64) -> Self {
        Self {
            name,
            load,
            seconds,
            bursts: false,
            hints: false,
            speed: Course(vec![(0.0, 1.0)]),
            longer: Course(vec![(0.0, 1.0)]),
            mean_patience_ms: f64::INFINITY,
            reload: None,
        }
    }

    fn trace(&self, seed: u64) -> Trace {
        let mut random = Random(seed.wrapping_mul(977) + 13);
        let end = self.seconds * 1000.0;
        let even = self.load * capacity_per_ms();
        let mut rate = vec![(0.0, even)];
        if self.bursts {
            // A third of the time at 2.5 times the rate, the rest at a quarter of it.
            let mut now = 0.0;
            rate.clear();
            while now < end {
                rate.push((now, even * QUIET));
                now += phase_ms(QUIET, &mut random);
                rate.push((now, even * BUSY));
                now += phase_ms(BUSY, &mut random);
            }
        }
        let rate = Course(rate);
        let highest = rate.0.iter().map(|(_, value)| *value).fold(0.0, f64::max);
        let mut jobs = Vec::new();
        let mut now = 0.0;
        loop {
            now += random.exponential(1.0 / highest);
            if now > end {
                break;
            }
            if random.uniform() * highest > rate.at(now) {
                continue;
            }
            let batch = random.uniform() < BATCH_SHARE;
            let tokens_out = length(self.longer.at(now), &mut random);
            jobs.push(Job {
                arrives_ms: now,
                priority: if batch { Priority::Batch } else { Priority::Interactive },
                tokens_in: (MEAN_PROMPT * (0.5 + random.uniform())) as u32,
                tokens_out,
                expected: self.hints.then_some(tokens_out),
                patience_ms: random.exponential(1.0) * self.mean_patience_ms,
            });
        }
        let rate =
            Course(rate.0.into_iter().map(|(from, value)| (from, value * (1.0 - BATCH_SHARE))).collect());
        Trace {
            name: self.name,
            jobs,
            speed: self.speed.clone(),
            rate,
            bursts: self.bursts,
            longer: self.longer.clone(),
            mean_patience_ms: self.mean_patience_ms,
            reload: self.reload,
        }
    }
}

/// The generated traces, each so many seconds long but the cold start, which is its first minute.
pub fn generated(seed: u64, seconds: f64) -> Vec<Trace> {
    let third = seconds * 1000.0 / 3.0;
    let even = |name, load| Shape::new(name, load, seconds);
    [
        even("poisson 0.7", 0.7),
        even("poisson 1.0", 1.0),
        even("poisson 1.3", 1.3),
        Shape { bursts: true, ..even("bursts 0.7", 0.7) },
        Shape { bursts: true, ..even("bursts 1.0", 1.0) },
        Shape { bursts: true, ..even("bursts 1.3", 1.3) },
        Shape { hints: true, ..even("exact hints 1.0", 1.0) },
        Shape { longer: Course(vec![(0.0, 1.0), (1.5 * third, 3.0)]), ..even("lengths triple", 0.4) },
        Shape {
            speed: Course(vec![(0.0, 1.0), (third, 0.5), (2.0 * third, 1.0)]),
            ..even("2x slower, 2x faster", 0.65)
        },
        Shape { mean_patience_ms: 30_000.0, ..even("cancels 1.3", 1.3) },
        Shape { reload: Some((third * 1.5, 15_000.0)), ..even("reload 0.9", 0.9) },
        Shape::new("cold start 1.3", 1.3, 60.0),
    ]
    .map(|shape| shape.trace(seed))
    .into()
}

/// A recorded trace in the format of Azure's public ones (`TIMESTAMP,ContextTokens,GeneratedTokens`), its
/// arrivals drawn closer or farther apart so that it has the load.
pub fn recorded(csv: &str, load: f64, seed: u64) -> Trace {
    let mut random = Random(seed + 77);
    let rows: Vec<(f64, u32, u32)> = csv.lines().filter_map(row).take(2000).collect();
    let work_ms: f64 = rows
        .iter()
        .map(|(_, read, written)| {
            f64::from(*read) / PREFILL_TPS * 1000.0 + f64::from(*written) / DECODE_TPS * 1000.0
        })
        .sum();
    let (first, last) = (rows.first().map_or(0.0, |row| row.0), rows.last().map_or(1.0, |row| row.0));
    let stretch = work_ms / f64::from(SLOTS) / load / (last - first).max(1.0);
    let jobs: Vec<Job> = rows
        .iter()
        .map(|(at, read, written)| Job {
            arrives_ms: (at - first) * stretch,
            priority: if random.uniform() < BATCH_SHARE { Priority::Batch } else { Priority::Interactive },
            tokens_in: *read,
            tokens_out: *written,
            expected: None,
            patience_ms: f64::INFINITY,
        })
        .collect();
    let rate = jobs.len() as f64 / ((last - first) * stretch) * (1.0 - BATCH_SHARE);
    Trace {
        name: "recorded",
        jobs,
        speed: Course(vec![(0.0, 1.0)]),
        rate: Course(vec![(0.0, rate)]),
        bursts: false,
        longer: Course(vec![(0.0, 1.0)]),
        mean_patience_ms: f64::INFINITY,
        reload: None,
    }
}

/// Milliseconds of the day, tokens read, tokens written.
fn row(line: &str) -> Option<(f64, u32, u32)> {
    let mut fields = line.split(',');
    let clock = fields.next()?.split(' ').nth(1)?;
    let mut parts = clock.split(':').map(|part| part.parse::<f64>().ok());
    let (hours, minutes, seconds) = (parts.next()??, parts.next()??, parts.next()??);
    let (read, written) = (fields.next()?.trim().parse().ok()?, fields.next()?.trim().parse().ok()?);
    Some((((hours * 60.0 + minutes) * 60.0 + seconds) * 1000.0, read, written))
}
