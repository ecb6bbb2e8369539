//! What `Retry-After` is worth: callers that are refused come back when they were told to.

use std::collections::BTreeMap;

use orchestrator_core::{
    Admission, EndFigures, Millis, PoolScheduler, Priority, TaskId, TaskSpec, Timestamp, TokenCount,
};
use uuid::Uuid;

use super::play::pool;
use super::trace::{Job, MAX_TOKENS, SLOTS, capacity_per_ms, job_at};
use crate::random::Random;

/// Interactive tasks that may wait.
const BOUND: usize = 16;

/// Slots of the replica: so many that nobody has to be told more than a minute.
const RETRY_SLOTS: u16 = 16;

/// What came of the first retries.
#[derive(Clone, Copy, Debug, Default)]
pub struct Retries {
    pub refused: usize,
    pub admitted: usize,
    /// Told to wait no more than a quarter longer than was needed.
    pub not_too_long: usize,
}

impl Retries {
    /// The sum of two runs.
    pub fn and(self, other: Self) -> Self {
        Self {
            refused: self.refused + other.refused,
            admitted: self.admitted + other.admitted,
            not_too_long: self.not_too_long + other.not_too_long,
        }
    }
}

/// 200 callers at once at a pool that has been at work for a while.
pub fn herd(seed: u64) -> Retries {
    let mut random = Random(seed * 31 + 5);
    let mut jobs: Vec<Job> = Vec::new();
    let (mut now, capacity) = (0.0, capacity());
    while now < 120_000.0 {
        now += random.exponential(1.0 / (0.7 * capacity));
        jobs.push(job_at(now, &mut random));
    }
    let first = jobs.len();
    jobs.extend((0..200).map(|caller| job_at(120_000.0 + f64::from(caller) * 2.0, &mut random)));
    play(&jobs, first)
}

/// 1.3 times what the pool can take, for two minutes.
pub fn open_loop(seed: u64) -> Retries {
    let mut random = Random(seed * 37 + 11);
    let mut jobs: Vec<Job> = Vec::new();
    let (mut now, capacity) = (0.0, capacity());
    while now < 120_000.0 {
        now += random.exponential(1.0 / (1.3 * capacity));
        jobs.push(job_at(now, &mut random));
    }
    play(&jobs, 0)
}

fn capacity() -> f64 {
    capacity_per_ms() * f64::from(RETRY_SLOTS) / f64::from(SLOTS)
}

enum Event {
    FirstToken(usize),
    End(usize, f64),
    Come(usize, usize),
}

/// A refusal: when, the departures seen until then, those needed, and what was told.
struct Refused {
    at: f64,
    needed: usize,
    told_ms: f64,
}

fn task(job: usize) -> TaskId {
    TaskId(Uuid::from_u128(job as u128))
}

/// Plays the callers through; those before `first` are not counted.
fn play(jobs: &[Job], first: usize) -> Retries {
    let mut pool: PoolScheduler = pool(BOUND, RETRY_SLOTS);
    let mut events: BTreeMap<(u64, u64), Event> = BTreeMap::new();
    let mut serial = 0u64;
    let mut plan = |events: &mut BTreeMap<(u64, u64), Event>, at: f64, event| {
        serial += 1;
        events.insert(((at * 1000.0).round() as u64, serial), event);
    };
    for (job, what) in jobs.iter().enumerate() {
        plan(&mut events, what.arrives_ms, Event::Come(job, 0));
    }
    let mut departures: Vec<f64> = Vec::new();
    let mut refused: BTreeMap<usize, Refused> = BTreeMap::new();
    let mut coming_back = 0usize;
    let mut retries = Retries::default();
    while let Some(((at, _), event)) = events.pop_first() {
        let (now, moment) = (at as f64 / 1000.0, Timestamp::from_micros(at));
        match event {
            Event::FirstToken(job) => pool.first_token(task(job), moment),
            Event::End(job, started) => {
                let what = &jobs[job];
                let figures = EndFigures {
                    tokens_in: TokenCount(what.tokens_in),
                    tokens_cached: TokenCount(0),
                    tokens_out: TokenCount(what.tokens_out),
                    prefill: Millis(what.prefill_ms().round() as u64),
                    decode: Millis((now - started - what.prefill_ms()).max(0.0).round() as u64),
                };
                assert!(pool.finished(task(job), Some(figures), moment), "it ran");
            }
            Event::Come(job, tries) => {
                let what = &jobs[job];
                let spec = TaskSpec {
                    id: task(job),
                    priority: Priority::Interactive,
                    session: None,
                    ctx: None,
                    cells: TokenCount(0),
                    tokens_in: TokenCount(what.tokens_in),
                    max_tokens: Some(TokenCount(MAX_TOKENS)),
                    expected_tokens: None,
                };
                let admission = pool.admit(spec, job as u64, moment);
                coming_back -= usize::from(tries > 0);
                let counted = job >= first;
                if counted && tries == 1 {
                    retries.refused += 1;
                    retries.admitted += usize::from(matches!(admission, Admission::Queued { .. }));
                }
                if let Admission::Rejected(rejection) = admission {
                    let told_ms = rejection.retry_after.0 as f64;
                    if counted && tries == 0 {
                        let free = BOUND - pool.depth(Priority::Interactive);
                        let needed = departures.len() + (coming_back + 1).saturating_sub(free).max(1);
                        refused.insert(job, Refused { at: now, needed, told_ms });
                    }
                    coming_back += 1;
                    plan(&mut events, now + told_ms, Event::Come(job, tries + 1));
                }
            }
        }
        while let Some(dispatch) = pool.next(moment) {
            departures.push(now);
            let job = usize::try_from(dispatch.task.0.as_u128()).expect("a small number");
            let first_token = now + jobs[job].prefill_ms();
            plan(&mut events, first_token, Event::FirstToken(job));
            plan(&mut events, first_token + jobs[job].decode_ms(), Event::End(job, now));
        }
    }
    for refusal in refused.values() {
        let Some(free_at) = departures.get(refusal.needed - 1) else { continue };
        let needed_ms = (free_at - refusal.at).max(1.0);
        retries.not_too_long += usize::from(refusal.told_ms <= needed_ms * 1.25);
    }
    retries
}
