//! Plays a trace: the real scheduler before a paced engine, in simulated time. Each start is predicted at the
//! admission and while the task waits, beside what is compared with it.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use orchestrator_core::{
    Admission, CancelOutcome, EndFigures, FullPolicy, Millis, PoolId, PoolScheduler, Priority, QueueLimits,
    ReplicaId, ReplicaProfile, SessionLimits, StartForecast, TaskId, TaskSpec, Timestamp, TokenCount,
};
use uuid::Uuid;

use super::bound::{Moment, Running};
use super::trace::{DECODE_TPS, MAX_TOKENS, PREFILL_TPS, SLOTS, Trace};
use crate::random::Random;

/// The bound is computed for one admission in so many.
const BOUND_EVERY: usize = 5;

/// A waiting task is asked about so often, and so many of them.
const POLL_MS: f64 = 1000.0;
const POLLED: usize = 1;

const BATCH_MAX_WAIT_MS: f64 = 30_000.0;
const BATCH_ONE_IN: u32 = 8;
const RESERVE: u16 = 1;

/// When a prediction was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Made {
    AtAdmission,
    WhileWaiting,
}

/// A prediction, and what came.
#[derive(Clone, Copy, Debug)]
pub struct Prediction {
    pub priority: Priority,
    pub made: Made,
    pub expected_ms: f64,
    pub late_ms: f64,
    /// Position times the mean time between starts.
    pub naive_ms: f64,
    pub bound_ms: Option<f64>,
    /// From the prediction to the start.
    pub real_ms: f64,
    /// From the admission to the start.
    pub whole_ms: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    FirstToken(usize),
    End(usize),
    GiveUp(usize),
    Poll,
    Retire,
    Replace,
    Arrive(usize),
}

struct Started {
    at: f64,
    first: f64,
    replica: u16,
}

struct World<'a> {
    trace: &'a Trace,
    pool: PoolScheduler,
    events: BTreeMap<(u64, u64), Event>,
    serial: u64,
    now: f64,
    waiting: [VecDeque<usize>; 2],
    running: BTreeMap<usize, Started>,
    since_batch: u32,
    open_replica: Option<u16>,
    away_until: f64,
    held: VecDeque<f64>,
    /// Predictions of tasks that have not started, with when they were made.
    open: HashMap<usize, Vec<(f64, Prediction)>>,
    done: Vec<Prediction>,
    random: Random,
    with_bound: bool,
}

fn task(job: usize) -> TaskId {
    TaskId(Uuid::from_u128(job as u128))
}

fn replica(index: u16) -> ReplicaId {
    ReplicaId { pool: PoolId::new("p").expect("a valid name"), index }
}

fn micros(ms: f64) -> u64 {
    (ms * 1000.0).round() as u64
}

/// A pool of one replica with these bounds.
pub fn pool(interactive: usize, slots: u16) -> PoolScheduler {
    let limits = QueueLimits {
        interactive,
        batch: 100_000,
        full_policy: FullPolicy::Reject,
        batch_max_wait: Duration::from_secs_f64(BATCH_MAX_WAIT_MS / 1000.0),
        batch_one_in: BATCH_ONE_IN,
        interactive_reserve: RESERVE,
    };
    let mut pool = PoolScheduler::new(limits, SessionLimits::default());
    assert!(pool.replica_ready(replica(0), profile(1.0, slots), Timestamp::default()).is_empty());
    pool
}

fn profile(speed: f64, slots: u16) -> ReplicaProfile {
    ReplicaProfile {
        ctx: None,
        kv_cells: None,
        slots,
        prefill_tps: Some(PREFILL_TPS * speed),
        decode_tps: Some(DECODE_TPS * speed),
        batched: None,
        free_vram: None,
    }
}

/// Plays the trace through. The bound costs most of the time.
pub fn play(trace: &Trace, with_bound: bool) -> Vec<Prediction> {
    let mut world = World {
        trace,
        pool: pool(100_000, SLOTS),
        events: BTreeMap::new(),
        serial: 0,
        now: 0.0,
        waiting: [VecDeque::new(), VecDeque::new()],
        running: BTreeMap::new(),
        since_batch: BATCH_ONE_IN - 1,
        open_replica: Some(0),
        away_until: 0.0,
        held: VecDeque::new(),
        open: HashMap::new(),
        done: Vec::new(),
        random: Random(42),
        with_bound,
    };
    for (index, job) in trace.jobs.iter().enumerate() {
        world.plan(job.arrives_ms, Event::Arrive(index));
    }
    if let Some((at, away)) = trace.reload {
        world.plan(at, Event::Retire);
        world.plan(at + away, Event::Replace);
    }
    world.plan(POLL_MS, Event::Poll);
    while let Some(((at, _), event)) = world.events.pop_first() {
        world.now = at as f64 / 1000.0;
        world.handle(event);
        world.hand_out();
    }
    world.done
}

impl World<'_> {
    fn plan(&mut self, at: f64, event: Event) {
        self.serial += 1;
        self.events.insert((micros(at.max(self.now)), self.serial), event);
    }

    fn moment(&self) -> Timestamp {
        Timestamp::from_micros(micros(self.now))
    }

    fn handle(&mut self, event: Event) {
        let now = self.moment();
        match event {
            Event::Arrive(job) => self.arrive(job),
            Event::FirstToken(job) => {
                if self.running.contains_key(&job) {
                    self.pool.first_token(task(job), now);
                }
            }
            Event::End(job) => self.end(job),
            Event::GiveUp(job) => self.give_up(job),
            Event::Poll => self.poll(),
            Event::Retire => {
                self.pool.replica_retiring(&replica(0));
                self.open_replica = None;
                self.away_until = self.trace.reload.map_or(0.0, |(at, away)| at + away);
            }
            Event::Replace => {
                let speed = self.trace.speed.at(self.now);
                assert!(self.pool.replica_ready(replica(1), profile(speed, SLOTS), now).is_empty());
                self.open_replica = Some(1);
            }
        }
    }

    fn arrive(&mut self, job: usize) {
        let what = self.trace.jobs[job];
        let spec = TaskSpec {
            id: task(job),
            priority: what.priority,
            session: None,
            ctx: None,
            cells: TokenCount(0),
            tokens_in: TokenCount(what.tokens_in),
            max_tokens: Some(TokenCount(MAX_TOKENS)),
            expected_tokens: what.expected.map(TokenCount),
        };
        let admission = self.pool.admit(spec, job as u64, self.moment());
        assert!(matches!(admission, Admission::Queued { .. }), "the lanes are wide");
        let forecast = self.pool.first_forecast(task(job), self.moment()).expect("it waits");
        self.waiting[what.priority as usize].push_back(job);
        if what.patience_ms.is_finite() {
            self.plan(self.now + what.patience_ms, Event::GiveUp(job));
        }
        let bound = (self.with_bound && job.is_multiple_of(BOUND_EVERY)).then(|| self.bound(job));
        self.predict(job, Made::AtAdmission, forecast, bound);
    }

    fn predict(&mut self, job: usize, made: Made, said: StartForecast, bound_ms: Option<f64>) {
        let position = self.pool.position(task(job), self.moment()).expect("it waits");
        let mean = self.held.iter().sum::<f64>() / self.held.len().max(1) as f64;
        let away = if self.open_replica.is_none() { self.away_until - self.now } else { 0.0 };
        let prediction = Prediction {
            priority: self.trace.jobs[job].priority,
            made,
            expected_ms: said.expected.0 as f64 + away,
            late_ms: said.late.0 as f64 + away,
            naive_ms: (position + 1) as f64 * mean / f64::from(SLOTS) + away,
            bound_ms,
            real_ms: 0.0,
            whole_ms: 0.0,
        };
        self.open.entry(job).or_default().push((self.now, prediction));
    }

    fn poll(&mut self) {
        let waiting: Vec<usize> = self.waiting.iter().flatten().copied().collect();
        for _ in 0..POLLED.min(waiting.len()) {
            let job = waiting[(self.random.uniform() * waiting.len() as f64) as usize];
            let forecast = self.pool.predicted_start(task(job), self.moment()).expect("it waits");
            self.predict(job, Made::WhileWaiting, forecast, None);
        }
        if self.events.len() > waiting.len() || !self.running.is_empty() {
            self.plan(self.now + POLL_MS, Event::Poll);
        }
    }

    fn bound(&mut self, job: usize) -> f64 {
        let running: Vec<Running> = self
            .running
            .iter()
            .filter(|(_, started)| Some(started.replica) == self.open_replica)
            .map(|(job, started)| Running { job: *job, done_ms: self.trace.speed.work(started.at, self.now) })
            .collect();
        let moment = Moment {
            trace: self.trace,
            now_ms: self.now,
            free: usize::from(SLOTS) - running.len(),
            running: &running,
            away_ms: if self.open_replica.is_none() { self.away_until - self.now } else { 0.0 },
            waiting: &self.waiting,
            since_batch: self.since_batch,
            batch_max_wait_ms: BATCH_MAX_WAIT_MS,
            batch_one_in: BATCH_ONE_IN,
            interactive_reserve: usize::from(RESERVE),
        };
        moment.start_ms(job, &mut self.random)
    }

    fn hand_out(&mut self) {
        while let Some(dispatch) = self.pool.next(self.moment()) {
            let job = usize::try_from(dispatch.task.0.as_u128()).expect("a small number");
            let what = self.trace.jobs[job];
            let place = self.waiting[what.priority as usize].iter().position(|waiting| *waiting == job);
            self.waiting[what.priority as usize].remove(place.expect("it waited"));
            self.since_batch = if what.priority == Priority::Batch { 0 } else { self.since_batch + 1 };
            for (made_at, mut prediction) in self.open.remove(&job).unwrap_or_default() {
                prediction.real_ms = self.now - made_at;
                prediction.whole_ms = self.now - what.arrives_ms;
                self.done.push(prediction);
            }
            let first = self.trace.speed.done(self.now, what.prefill_ms());
            let end = self.trace.speed.done(first, what.decode_ms());
            self.running.insert(job, Started { at: self.now, first, replica: dispatch.replica.index });
            self.plan(first, Event::FirstToken(job));
            self.plan(end, Event::End(job));
        }
    }

    fn end(&mut self, job: usize) {
        let Some(started) = self.running.remove(&job) else { return };
        let what = self.trace.jobs[job];
        // The first token belongs to the prefill.
        let first = if started.first <= self.now { 1.0 } else { 0.0 };
        let written =
            first + self.trace.speed.work(started.first.min(self.now), self.now) * DECODE_TPS / 1000.0;
        let figures = EndFigures {
            tokens_in: TokenCount(what.tokens_in),
            tokens_cached: TokenCount(0),
            tokens_out: TokenCount((written.round() as u32).min(what.tokens_out)),
            prefill: Millis((started.first.min(self.now) - started.at).round() as u64),
            decode: Millis((self.now - started.first).max(0.0).round() as u64),
        };
        assert!(self.pool.finished(task(job), Some(figures), self.moment()), "it ran");
        if self.held.len() == 100 {
            self.held.pop_front();
        }
        self.held.push_back(self.now - started.at);
        if started.replica == 0 && self.trace.reload.is_some_and(|(at, _)| self.now > at) {
            let left = self.running.values().any(|other| other.replica == 0);
            if !left {
                assert!(self.pool.replica_gone(&replica(0)).is_empty(), "it was empty");
            }
        }
    }

    fn give_up(&mut self, job: usize) {
        match self.pool.cancel(task(job)) {
            CancelOutcome::Queued => {
                let lane = &mut self.waiting[self.trace.jobs[job].priority as usize];
                lane.retain(|waiting| *waiting != job);
                self.open.remove(&job);
            }
            CancelOutcome::Running(_) => self.end(job),
            CancelOutcome::Unknown => {}
        }
    }
}
