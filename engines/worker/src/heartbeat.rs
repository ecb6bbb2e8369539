//! Signs of life of the thread that computes, and what ends a call to llama.cpp early. llama.cpp calls
//! [`Heartbeat::beat`] before each node of a call's graph that a processor computes: every few microseconds to
//! milliseconds. It asks whether to abort: for a canceled task, and for an interactive prompt that arrives
//! while a batch prompt is read.
//!
//! A call may take seconds. While it goes on, the beats tell the daemon how far it is (`Progress`), and the thread
//! that reads the channel learns from them whether the call goes on at all (`Pong`). How long a silence may be follows
//! from the longest ones so far, of calls of about as many tokens: a card gives no sign of life within a call, and the
//! nodes of a large model take long.
//!
//! Rules: ORCH-WORKER-1, ORCH-WORKER-2, ORCH-WORKER-3

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use worker_protocol::{FromWorker, TaskProgress};

use crate::clock;
use crate::outbox::Outbox;
use crate::prepare::CancelFlag;

/// Between two reports of progress.
const REPORT_EVERY: Duration = Duration::from_millis(250);

/// Sizes of calls, each twice the one before, from one token on.
const SIZES: usize = 20;

/// A silence may be as long as this, and so many times the longest so far.
const LEAST_LIMIT: Duration = Duration::from_secs(5);

/// See [`LEAST_LIMIT`]: a machine that other programs use, too, is slower at times.
const LIMIT_TIMES: u32 = 8;

/// A silence may be as long as this where none is known.
const UNKNOWN_LIMIT: Duration = Duration::from_secs(120);

/// The longest a silence may be.
const MOST_LIMIT: Duration = Duration::from_secs(600);

/// See the module. The decode loop, the threads of the inbox and llama.cpp's callback share it.
#[derive(Debug)]
pub struct Heartbeat {
    beats: AtomicU64,
    /// Interactive tasks on their way to the decode loop.
    urgent: AtomicUsize,
    outbox: OnceLock<Outbox>,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    call: CallWatch,
    /// Nodes of the call under way that have begun, and those of the last whole one.
    nodes: u64,
    nodes_of_a_call: u64,
    /// The last sign of life.
    last: Instant,
    /// Whether the thread that computes waits for others.
    waits: bool,
    /// The longest silence of calls of each size.
    longest: [Option<Duration>; SIZES],
    reported: Instant,
}

/// The call under way.
#[derive(Debug, Default)]
pub struct CallWatch {
    /// It ends when any of these tasks is canceled.
    pub canceled: Vec<CancelFlag>,
    /// It ends when an interactive task is on its way.
    pub yields: bool,
    /// What was done before it for the tasks whose prompts or inputs it reads, and how many tokens of each it reads.
    pub reads: Vec<(TaskProgress, usize)>,
    /// All tokens that it computes.
    pub tokens: usize,
}

impl Heartbeat {
    /// Of a thread that has nothing to do.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        let inner = Inner {
            call: CallWatch::default(),
            nodes: 0,
            nodes_of_a_call: 0,
            last: now,
            waits: true,
            longest: [None; SIZES],
            reported: now,
        };
        Self {
            beats: AtomicU64::new(0),
            urgent: AtomicUsize::new(0),
            outbox: OnceLock::new(),
            inner: Mutex::new(inner),
        }
    }

    /// Reports progress to `outbox` from now on.
    pub fn report_to(&self, outbox: Outbox) {
        // There is one channel in the life of a worker.
        let _ = self.outbox.set(outbox);
    }

    /// Whether llama.cpp calls [`beat`](Self::beat) at all: known after the first call.
    #[must_use]
    pub fn is_heard(&self) -> bool {
        self.beats.load(Ordering::Relaxed) > 0
    }

    /// An interactive task is about to be sent to the decode loop.
    pub fn urgent_task_sent(&self) {
        self.urgent.fetch_add(1, Ordering::Relaxed);
    }

    /// The decode loop has received it.
    pub fn urgent_task_received(&self) {
        self.urgent.fetch_sub(1, Ordering::Relaxed);
    }

    /// The thread that computes goes on.
    pub fn works(&self, now: Instant) {
        let mut inner = self.inner();
        (inner.last, inner.waits) = (now, false);
    }

    /// The thread that computes waits for others, for as long as they like.
    pub fn waits(&self) {
        self.inner().waits = true;
    }

    /// A call begins.
    pub fn begin(&self, call: CallWatch, now: Instant) {
        let mut inner = self.inner();
        inner.call = call;
        (inner.nodes, inner.last, inner.waits) = (0, now, false);
    }

    /// The call has ended.
    pub fn end(&self, completed: bool, now: Instant) {
        let mut inner = self.inner();
        inner.note_silence(now);
        if completed {
            inner.nodes_of_a_call = inner.nodes;
        }
        inner.call = CallWatch::default();
    }

    /// Counts a sign of life from within a call. Whether the call is to end.
    pub fn beat(&self, now: Instant) -> bool {
        self.beats.fetch_add(1, Ordering::Relaxed);
        let mut inner = self.inner();
        inner.note_silence(now);
        inner.nodes += 1;
        let ends = (inner.call.yields && self.urgent.load(Ordering::Relaxed) > 0)
            || inner.call.canceled.iter().any(CancelFlag::is_set);
        let progress = if inner.is_due(now) { inner.progress(now) } else { Vec::new() };
        drop(inner);
        self.send(progress);
        ends
    }

    /// Reports the progress of running tasks where the last report is long enough ago.
    pub fn report(&self, now: Instant, progress: impl FnOnce() -> Vec<TaskProgress>) {
        let mut inner = self.inner();
        if inner.is_due(now) {
            inner.reported = now;
            drop(inner);
            self.send(progress());
        }
    }

    /// How long the thread that computes has been silent, and from when on it is taken to hang.
    #[must_use]
    pub fn silence(&self, now: Instant) -> (Duration, Duration) {
        let inner = self.inner();
        let silent = if inner.waits { Duration::ZERO } else { now.saturating_duration_since(inner.last) };
        (silent, inner.limit())
    }

    fn send(&self, progress: Vec<TaskProgress>) {
        if let Some(outbox) = self.outbox.get().filter(|_| !progress.is_empty()) {
            self.waits();
            outbox.send(&FromWorker::Progress(progress));
            self.works(clock::now());
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn is_due(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.reported) >= REPORT_EVERY
    }

    /// What the call under way has done, as far as that can be told of its nodes.
    fn progress(&mut self, now: Instant) -> Vec<TaskProgress> {
        if self.nodes_of_a_call == 0 {
            return Vec::new();
        }
        self.reported = now;
        let part = (self.nodes as f64 / self.nodes_of_a_call as f64).min(1.0);
        let so_far = |(before, tokens): &(TaskProgress, usize)| {
            let read = (*tokens as f64 * part) as u32;
            TaskProgress { prompt_tokens: before.prompt_tokens.saturating_add(read), ..*before }
        };
        self.call.reads.iter().map(so_far).collect()
    }

    fn note_silence(&mut self, now: Instant) {
        let silent = now.saturating_duration_since(self.last);
        let longest = &mut self.longest[size_of(self.call.tokens)];
        *longest = (*longest).max(Some(silent));
        self.last = now;
    }

    /// The limit for calls as large as the one under way.
    fn limit(&self) -> Duration {
        let size = size_of(self.call.tokens);
        let smaller = (0..=size).rev().find_map(|known| {
            let factor = 1u32 << (size - known);
            self.longest[known].map(|longest| longest.saturating_mul(factor))
        });
        let larger = || self.longest[size..].iter().flatten().copied().next();
        let limit = smaller.or_else(larger).map(|longest| LEAST_LIMIT + longest.saturating_mul(LIMIT_TIMES));
        limit.unwrap_or(UNKNOWN_LIMIT).min(MOST_LIMIT)
    }
}

/// The size of a call of so many tokens.
fn size_of(tokens: usize) -> usize {
    (tokens.max(1).ilog2() as usize).min(SIZES - 1)
}

#[cfg(test)]
mod tests {
    use orchestrator_core::TaskId;

    use super::*;

    fn after(start: Instant, ms: u64) -> Instant {
        start + Duration::from_millis(ms)
    }

    #[test]
    fn a_call_ends_for_its_own_canceled_tasks_and_for_urgent_ones_where_it_yields() {
        let now = clock::now();
        let heartbeat = Heartbeat::new(now);
        assert!(!heartbeat.is_heard());
        let (mine, other) = (CancelFlag::default(), CancelFlag::default());
        heartbeat.begin(CallWatch { canceled: vec![mine.clone()], ..CallWatch::default() }, now);
        other.set();
        heartbeat.urgent_task_sent();
        assert!(!heartbeat.beat(now), "another's cancel and an urgent task that it does not yield to");
        mine.set();
        assert!(heartbeat.beat(now));
        heartbeat.begin(CallWatch { yields: true, ..CallWatch::default() }, now);
        assert!(heartbeat.beat(now));
        heartbeat.urgent_task_received();
        assert!(!heartbeat.beat(now));
        heartbeat.end(true, now);
        assert!(!heartbeat.beat(now) && heartbeat.is_heard());
    }

    /// ORCH-WORKER-3
    #[test]
    fn a_thread_that_waits_is_never_silent_and_one_that_works_is_from_its_last_sign_of_life_on() {
        let start = clock::now();
        let heartbeat = Heartbeat::new(start);
        assert_eq!(heartbeat.silence(after(start, 9_000)).0, Duration::ZERO);
        heartbeat.begin(CallWatch::default(), after(start, 10_000));
        heartbeat.beat(after(start, 10_200));
        assert_eq!(
            heartbeat.silence(after(start, 17_200)),
            (Duration::from_secs(7), Duration::from_millis(6_600))
        );
        heartbeat.end(true, after(start, 10_300));
        heartbeat.waits();
        assert_eq!(heartbeat.silence(after(start, 90_000)).0, Duration::ZERO);
    }

    /// ORCH-WORKER-3
    #[test]
    fn the_limit_of_a_silence_follows_the_longest_of_calls_as_large_and_is_wide_where_none_was() {
        let start = clock::now();
        let heartbeat = Heartbeat::new(start);
        let limit_of = |tokens| {
            heartbeat.begin(CallWatch { tokens, ..CallWatch::default() }, start);
            heartbeat.silence(start).1
        };
        assert_eq!(limit_of(512), UNKNOWN_LIMIT);
        // A card: no sign of life within a call of 8 tokens that takes 100 ms.
        heartbeat.begin(CallWatch { tokens: 8, ..CallWatch::default() }, start);
        heartbeat.end(true, after(start, 100));
        assert_eq!(limit_of(512), Duration::from_millis(5_000 + 8 * 64 * 100));
        heartbeat.begin(CallWatch { tokens: 512, ..CallWatch::default() }, start);
        heartbeat.end(true, after(start, 500));
        assert_eq!(limit_of(512), Duration::from_millis(5_000 + 8 * 500));
    }

    /// ORCH-WORKER-2
    #[test]
    fn progress_within_a_call_is_the_part_of_its_nodes() {
        let start = clock::now();
        let heartbeat = Heartbeat::new(start);
        let before = TaskProgress {
            task: TaskId(uuid::Uuid::from_u128(1)),
            prompt_tokens: 512,
            generated_tokens: 0,
            inputs: 0,
            pauses: 0,
        };
        for _ in 0..2 {
            heartbeat.begin(CallWatch { reads: vec![(before, 400)], ..CallWatch::default() }, start);
            for at in 0..100 {
                heartbeat.beat(after(start, at));
            }
            heartbeat.end(true, after(start, 100));
        }
        heartbeat.begin(CallWatch { reads: vec![(before, 400)], ..CallWatch::default() }, start);
        for at in 0..25 {
            heartbeat.beat(after(start, at));
        }
        let told = heartbeat.inner().progress(start);
        assert_eq!(told[0].prompt_tokens, 512 + 100);
        assert_eq!(told[0].total(), 612);
    }
}
