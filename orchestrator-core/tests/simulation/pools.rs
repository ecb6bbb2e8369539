//! Simulated pools of machines that read and write at an even speed. The simulation is a list of events in
//! order; its random numbers are the same in every run.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use uuid::Uuid;

use crate::random::Random;

use orchestrator_core::{
    Admission, EndFigures, FullPolicy, Millis, PoolId, PoolScheduler, Priority, QueueLimits, ReplicaId,
    ReplicaProfile, SessionLimits, TaskId, TaskSpec, Timestamp, TokenCount,
};

/// A replica that reads and writes at an even speed.
#[derive(Clone, Copy)]
pub struct Machine {
    pub slots: u16,
    pub prefill_tps: f64,
    pub decode_tps: f64,
}

impl Machine {
    pub fn prefill_ms(&self, job: &Job) -> f64 {
        f64::from(job.tokens_in) / self.prefill_tps * 1000.0
    }

    pub fn decode_ms(&self, job: &Job) -> f64 {
        f64::from(job.tokens_out) / self.decode_tps * 1000.0
    }
}

#[derive(Clone, Copy)]
pub struct Job {
    arrives_ms: f64,
    pub priority: Priority,
    tokens_in: u32,
    tokens_out: u32,
}

/// Jobs that arrive at random, on average so many milliseconds apart.
pub fn jobs(count: usize, gap_ms: f64, spread: f64, batch_share: f64) -> Vec<Job> {
    let mut random = Random(7);
    let mut now = 0.0;
    let varied = move |mean: f64, random: &mut Random| mean * (1.0 + spread * (2.0 * random.uniform() - 1.0));
    (0..count)
        .map(|_| {
            now += random.exponential(gap_ms);
            let batch = random.uniform() < batch_share;
            Job {
                arrives_ms: now,
                priority: if batch { Priority::Batch } else { Priority::Interactive },
                tokens_in: varied(200.0, &mut random) as u32,
                tokens_out: varied(100.0, &mut random).max(1.0) as u32,
            }
        })
        .collect()
}

/// Who decides which job goes where.
pub trait Policy {
    fn arrive(&mut self, job: usize, what: &Job, now: Timestamp);
    fn next(&mut self, now: Timestamp) -> Option<(usize, usize)>;
    fn wake(&self, now: Timestamp) -> Option<Timestamp>;
    fn first_token(&mut self, job: usize, now: Timestamp);
    fn end(&mut self, job: usize, figures: EndFigures, now: Timestamp);
}

/// First in, first out, to the free replica with the fewest connections; of two with as few, to the first,
/// which is the fast one.
pub struct LeastConnections {
    waiting: VecDeque<usize>,
    busy: Vec<(u16, u16)>,
    at: BTreeMap<usize, usize>,
}

impl LeastConnections {
    /// In front of these machines.
    pub fn new(machines: &[Machine]) -> Self {
        let busy = machines.iter().map(|machine| (0, machine.slots)).collect();
        Self { waiting: VecDeque::new(), busy, at: BTreeMap::new() }
    }
}

impl Policy for LeastConnections {
    fn arrive(&mut self, job: usize, _what: &Job, _now: Timestamp) {
        self.waiting.push_back(job);
    }
    fn next(&mut self, _now: Timestamp) -> Option<(usize, usize)> {
        let free = self.busy.iter().enumerate().filter(|(_, (busy, slots))| busy < slots);
        let (index, _) = free.min_by_key(|(_, (busy, _))| *busy)?;
        let job = self.waiting.pop_front()?;
        self.busy[index].0 += 1;
        self.at.insert(job, index);
        Some((job, index))
    }
    fn wake(&self, _now: Timestamp) -> Option<Timestamp> {
        None
    }
    fn first_token(&mut self, _job: usize, _now: Timestamp) {}
    fn end(&mut self, job: usize, _figures: EndFigures, _now: Timestamp) {
        let index = self.at.remove(&job).expect("it ran");
        self.busy[index].0 -= 1;
    }
}

impl Policy for PoolScheduler {
    fn arrive(&mut self, job: usize, what: &Job, now: Timestamp) {
        let spec = TaskSpec {
            id: TaskId(Uuid::from_u128(job as u128)),
            priority: what.priority,
            session: None,
            ctx: None,
            cells: TokenCount(0),
            tokens_in: TokenCount(what.tokens_in),
            max_tokens: Some(TokenCount(256)),
            expected_tokens: None,
        };
        let admission = self.admit(spec, job as u64, now);
        assert!(matches!(admission, Admission::Queued { .. }), "the lanes are wide: {admission:?}");
    }
    fn next(&mut self, now: Timestamp) -> Option<(usize, usize)> {
        let dispatch = PoolScheduler::next(self, now)?;
        let job = usize::try_from(dispatch.task.0.as_u128()).expect("a small number");
        Some((job, usize::from(dispatch.replica.index)))
    }
    fn wake(&self, now: Timestamp) -> Option<Timestamp> {
        self.next_wake(now)
    }
    fn first_token(&mut self, job: usize, now: Timestamp) {
        PoolScheduler::first_token(self, TaskId(Uuid::from_u128(job as u128)), now);
    }
    fn end(&mut self, job: usize, figures: EndFigures, now: Timestamp) {
        assert!(self.finished(TaskId(Uuid::from_u128(job as u128)), Some(figures), now), "it ran");
    }
}

/// To the replica with the fewest connections at once, as a reverse proxy does: what waits, waits there. Of
/// two with as few, to the first, which is the fast one.
pub struct Proxy {
    waiting: Vec<VecDeque<usize>>,
    busy: Vec<(u16, u16)>,
    at: BTreeMap<usize, usize>,
}

impl Proxy {
    /// In front of these machines.
    pub fn new(machines: &[Machine]) -> Self {
        let busy = machines.iter().map(|machine| (0, machine.slots)).collect();
        Self { waiting: vec![VecDeque::new(); machines.len()], busy, at: BTreeMap::new() }
    }
}

impl Policy for Proxy {
    fn arrive(&mut self, job: usize, _what: &Job, _now: Timestamp) {
        let connections = |index: &usize| self.waiting[*index].len() + usize::from(self.busy[*index].0);
        let index = (0..self.busy.len()).min_by_key(connections).expect("there is a machine");
        self.waiting[index].push_back(job);
    }
    fn next(&mut self, _now: Timestamp) -> Option<(usize, usize)> {
        let free = |index: &usize| self.busy[*index].0 < self.busy[*index].1;
        let ready = |index: &usize| free(index) && !self.waiting[*index].is_empty();
        let index = (0..self.busy.len()).find(ready)?;
        let job = self.waiting[index].pop_front()?;
        self.busy[index].0 += 1;
        self.at.insert(job, index);
        Some((job, index))
    }
    fn wake(&self, _now: Timestamp) -> Option<Timestamp> {
        None
    }
    fn first_token(&mut self, _job: usize, _now: Timestamp) {}
    fn end(&mut self, job: usize, _figures: EndFigures, _now: Timestamp) {
        let index = self.at.remove(&job).expect("it ran");
        self.busy[index].0 -= 1;
    }
}

/// The scheduler on these machines, with what their self-tests would have measured.
pub fn scheduler(machines: &[Machine], batch_max_wait: Duration) -> PoolScheduler {
    scheduler_of(machines, batch_max_wait, 0)
}

/// The same with slots kept for interactive tasks.
pub fn scheduler_of(
    machines: &[Machine],
    batch_max_wait: Duration,
    interactive_reserve: u16,
) -> PoolScheduler {
    let limits = QueueLimits {
        interactive: 100_000,
        batch: 100_000,
        full_policy: FullPolicy::Reject,
        batch_max_wait,
        batch_one_in: 8,
        interactive_reserve,
    };
    let mut pool = PoolScheduler::new(limits, SessionLimits::default());
    for (index, machine) in (0..).zip(machines) {
        let replica = ReplicaId { pool: PoolId::new("p").expect("a valid name"), index };
        let profile = ReplicaProfile {
            ctx: None,
            kv_cells: None,
            slots: machine.slots,
            prefill_tps: Some(machine.prefill_tps),
            decode_tps: Some(machine.decode_tps),
            batched: None,
            free_vram: None,
        };
        assert!(pool.replica_ready(replica, profile, Timestamp::default()).is_empty());
    }
    pool
}

/// What happens to a job that runs.
enum Event {
    FirstToken(usize),
    End(usize, EndFigures),
}

/// Mean times of jobs, from their arrival on, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Means {
    /// To the first token.
    pub first_token_ms: f64,
    /// To the end.
    pub end_ms: f64,
}

/// Plays the jobs.
pub fn play(policy: &mut impl Policy, machines: &[Machine], jobs: &[Job]) -> Means {
    let micros = |ms: f64| (ms * 1000.0).round() as u64;
    let mut events: BTreeMap<(u64, usize), Event> = BTreeMap::new();
    let (mut arrived, mut ended, mut serial) = (0, 0, 0);
    let (mut first_ms, mut total_ms) = (0.0, 0.0);
    let mut wake = None::<Timestamp>;
    while ended < jobs.len() {
        let arrival = jobs.get(arrived).map(|job| micros(job.arrives_ms));
        let event = events.keys().next().map(|(at, _)| *at);
        let woken = wake.map(Timestamp::as_micros);
        let now = [arrival, event, woken].into_iter().flatten().min().expect("somebody goes on");
        let moment = Timestamp::from_micros(now);
        if event == Some(now) {
            match events.pop_first().expect("there is one").1 {
                Event::FirstToken(job) => {
                    policy.first_token(job, moment);
                    first_ms += now as f64 / 1000.0 - jobs[job].arrives_ms;
                }
                Event::End(job, figures) => {
                    policy.end(job, figures, moment);
                    total_ms += now as f64 / 1000.0 - jobs[job].arrives_ms;
                    ended += 1;
                }
            }
        } else if arrival == Some(now) {
            policy.arrive(arrived, &jobs[arrived], moment);
            arrived += 1;
        }
        while let Some((job, machine)) = policy.next(moment) {
            let (prefill, decode) =
                (machines[machine].prefill_ms(&jobs[job]), machines[machine].decode_ms(&jobs[job]));
            let figures = EndFigures {
                tokens_in: TokenCount(jobs[job].tokens_in),
                tokens_cached: TokenCount(0),
                tokens_out: TokenCount(jobs[job].tokens_out),
                prefill: Millis(prefill.round() as u64),
                decode: Millis(decode.round() as u64),
            };
            events.insert((now + micros(prefill), serial), Event::FirstToken(job));
            events.insert((now + micros(prefill + decode), serial + 1), Event::End(job, figures));
            serial += 2;
        }
        wake = policy.wake(moment);
        assert!(wake.is_none_or(|wake| wake > moment), "a wake in the past");
    }
    let count = jobs.len() as f64;
    Means { first_token_ms: first_ms / count, end_ms: total_ms / count }
}

/// 200 tokens in and 100 out take it 1.2 s.
const FAST: Machine = Machine { slots: 1, prefill_tps: 1000.0, decode_tps: 100.0 };
/// A third of it.
const SLOW: Machine = Machine { slots: 1, prefill_tps: 333.3, decode_tps: 33.3 };
const FAST_TASK_MS: f64 = 1200.0;

/// The same jobs placed in several ways.
pub struct Comparison {
    /// By the scheduler.
    pub ours: Means,
    /// From one queue, to the free replica with the fewest connections.
    pub least: Means,
    /// By a reverse proxy that counts connections.
    pub proxy: Means,
    /// On the fast machine alone.
    pub alone: Means,
}

/// A fast machine and one of a third of its speed, each with so many slots, at a load that is given as a
/// share of what the fast one can do.
pub fn compare(slots: u16, load: f64, spread: f64) -> Comparison {
    let (fast, slow) = (Machine { slots, ..FAST }, Machine { slots, ..SLOW });
    let both = [fast, slow];
    let jobs = jobs(4000, FAST_TASK_MS / f64::from(slots) / load, spread, 0.0);
    Comparison {
        ours: play(&mut scheduler(&both, Duration::from_secs(3600)), &both, &jobs),
        least: play(&mut LeastConnections::new(&both), &both, &jobs),
        proxy: play(&mut Proxy::new(&both), &both, &jobs),
        alone: play(&mut LeastConnections::new(&[fast]), &[fast], &jobs),
    }
}
