//! The least error that can be expected: a Monte Carlo that knows the true distributions of lengths, arrivals
//! and patience and the engine's speed, but not what is drawn from them. It is written apart from what it
//! is compared with.

use std::collections::VecDeque;

use orchestrator_core::Priority;

use super::trace::{BUSY, Course, DECODE_TPS, Job, QUIET, Trace, phase_ms};
use crate::random::Random;

/// Futures that are drawn.
const DRAWS: usize = 60;

/// A task that runs.
#[derive(Clone, Copy, Debug)]
pub struct Running {
    pub job: usize,
    /// Milliseconds of work, at the usual speed, that are done.
    pub done_ms: f64,
}

/// The pool at a moment.
pub struct Moment<'a> {
    pub trace: &'a Trace,
    pub now_ms: f64,
    pub running: &'a [Running],
    /// Free slots, once there is a replica.
    pub free: usize,
    /// Milliseconds until there is one.
    pub away_ms: f64,
    pub waiting: &'a [VecDeque<usize>; 2],
    pub since_batch: u32,
    pub batch_max_wait_ms: f64,
    pub batch_one_in: u32,
    pub interactive_reserve: usize,
}

impl Moment<'_> {
    /// The middle of the starts that a waiting task may have, in milliseconds from now.
    pub fn start_ms(&self, job: usize, random: &mut Random) -> f64 {
        let mut starts: Vec<f64> = (0..DRAWS).map(|_| self.draw(job, random)).collect();
        starts.sort_unstable_by(f64::total_cmp);
        starts[DRAWS / 2]
    }

    fn work_ms(&self, job: &Job, done_ms: f64, random: &mut Random) -> f64 {
        if let Some(tokens) = job.expected {
            return job.prefill_ms() + f64::from(tokens - 1) / DECODE_TPS * 1000.0;
        }
        let mut work = 0.0;
        for _ in 0..200 {
            let tokens = f64::from(self.trace.length(job.arrives_ms, random));
            work = job.prefill_ms() + (tokens - 1.0) / DECODE_TPS * 1000.0;
            if work > done_ms {
                return work;
            }
        }
        work.max(done_ms + 1.0)
    }

    /// How many interactive tasks come, from now on: the phase is known, its end and the next ones are not.
    fn rate(&self, random: &mut Random) -> Course {
        let course = &self.trace.rate;
        if !self.trace.bursts {
            return Course(vec![(0.0, course.at(self.now_ms))]);
        }
        let (from, rate) =
            *course.0.iter().rev().find(|(from, _)| *from <= self.now_ms).expect("a first phase");
        let busy = course.0.iter().any(|(_, other)| *other < rate);
        let even = rate / if busy { BUSY } else { QUIET };
        let (mut share, age) = (if busy { BUSY } else { QUIET }, self.now_ms - from);
        let mut now = loop {
            let whole = phase_ms(share, random);
            if whole > age {
                break whole - age;
            }
        };
        let mut rates = vec![(0.0, rate)];
        for _ in 0..40 {
            share = if share == BUSY { QUIET } else { BUSY };
            rates.push((now, even * share));
            now += phase_ms(share, random);
        }
        Course(rates)
    }

    fn draw(&self, target: usize, random: &mut Random) -> f64 {
        let jobs = &self.trace.jobs;
        let speed = self.trace.speed.at(self.now_ms);
        let patience = |random: &mut Random| random.exponential(1.0) * self.trace.mean_patience_ms;
        let mut slots: Vec<(f64, bool)> = self
            .running
            .iter()
            .map(|running| {
                let job = &jobs[running.job];
                let left = (self.work_ms(job, running.done_ms, random) - running.done_ms) / speed;
                (left.min(patience(random)), job.priority == Priority::Batch)
            })
            .collect();
        slots.extend(std::iter::repeat_n((self.away_ms, false), self.free));
        let batch_slots = slots.len().saturating_sub(self.interactive_reserve).max(1);
        // (arrival from now, job or newcomer, gives up at)
        let mut lanes = [0, 1].map(|lane: usize| {
            self.waiting[lane]
                .iter()
                .map(|job| {
                    let until = if *job == target { f64::INFINITY } else { patience(random) };
                    (jobs[*job].arrives_ms - self.now_ms, Some(*job), until)
                })
                .collect::<VecDeque<_>>()
        });
        let rate = self.rate(random);
        let batch_target = jobs[target].priority == Priority::Batch;
        let highest = rate.0.iter().map(|(_, value)| *value).fold(0.0, f64::max);
        let mut since_batch = self.since_batch;
        let mut next = if batch_target { 0.0 } else { f64::INFINITY };
        let mut newcomer = |random: &mut Random| {
            if next.is_finite() {
                next += random.exponential(1.0 / highest);
                while random.uniform() * highest > rate.at(next) {
                    next += random.exponential(1.0 / highest);
                }
            }
            next
        };
        let mut coming = newcomer(random);
        loop {
            let slot = (0..slots.len()).min_by(|a, b| slots[*a].0.total_cmp(&slots[*b].0)).expect("slots");
            let now = slots[slot].0;
            while coming <= now {
                lanes[0].push_back((coming, None, coming + patience(random)));
                coming = newcomer(random);
            }
            for lane in &mut lanes {
                while lane.front().is_some_and(|(_, _, until)| *until < now) {
                    lane.pop_front();
                }
            }
            let held =
                (0..slots.len()).filter(|other| *other != slot && slots[*other].1 && slots[*other].0 > now);
            let may = held.count() < batch_slots;
            let lane = match (lanes[0].front(), lanes[1].front().filter(|_| may)) {
                (None, None) => {
                    slots[slot] = (coming.min(now + 1e6), false);
                    continue;
                }
                (Some(_), None) => 0,
                (None, Some(_)) => 1,
                (Some(interactive), Some(batch)) => {
                    let overdue = now - batch.0 >= self.batch_max_wait_ms && batch.0 <= interactive.0;
                    usize::from(overdue && since_batch + 1 >= self.batch_one_in)
                }
            };
            let (_, job, _) = lanes[lane].pop_front().expect("it is there");
            if job == Some(target) {
                return now;
            }
            since_batch = if lane == 0 { since_batch + 1 } else { 0 };
            let work = match job {
                Some(job) => self.work_ms(&jobs[job], 0.0, random),
                None => {
                    let like = Job { arrives_ms: self.now_ms + now, ..jobs[target] };
                    self.work_ms(&Job { expected: None, ..like }, 0.0, random)
                }
            };
            slots[slot] = (now + (work / speed).min(patience(random)), lane == 1);
        }
    }
}
