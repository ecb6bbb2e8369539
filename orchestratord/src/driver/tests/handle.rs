//! The driver as a function: events in, effects out, no runtime. Each test is one fault that once cost a task.

use super::*;
use crate::backpressure::Verdict;
use crate::driver::simulation::engine::SimEngine;
use crate::pool_protocol::PoolEvent;
use crate::protocol::{Command, LostEngine, LostState, Measurement, ReplyTo};
use crate::state::ModelState;
use crate::task_log::TaskLog;
use engine_api::{Engine, StartError};
use generation::{EndReport, EngineError, Finish};
use orchestrator_core::Timestamp;
use pool_manager::{Breaker, DownReason};

/// A driver with one pool of so many replicas of two slots, and what it has decided.
pub(super) struct Bench {
    pub(super) driver: Driver,
    now: Timestamp,
    pub(super) submitted: Vec<(RunId, Arc<TaskLog>)>,
    pub(super) ends: HashMap<TaskId, TaskEnd>,
    ended_engines: usize,
    canceled: Vec<TaskId>,
    /// What pools were told, and what was done with them.
    pub(super) told: Vec<String>,
}

pub(super) fn setup(id: PoolId, bound: usize) -> PoolSetup {
    PoolSetup {
        id,
        model_ref: "starter".into(),
        aliases: Vec::new(),
        defaults: Arc::default(),
        engine: EngineKind::Llamacpp,
        queue: QueueLimits {
            interactive: bound,
            batch: 64,
            interactive_reserve: 0,
            ..QueueLimits::default()
        },
        sessions: SessionLimits::default(),
        attached: false,
        preload: false,
        idle_unload: None,
        hang_floor: HANG_FLOOR,
        outage_wait: OUTAGE_WAIT,
    }
}

impl Bench {
    pub(super) fn new(replicas: u16) -> Self {
        let mut bench = Self {
            driver: Driver::new(vec![setup(pool_id(), 64)], keeping(100), Timestamp::default()),
            now: Timestamp::default(),
            submitted: Vec::new(),
            ends: HashMap::new(),
            ended_engines: 0,
            canceled: Vec::new(),
            told: Vec::new(),
        };
        if replicas > 0 {
            bench.pool((0..replicas).map(|index| (replica_id(index), Device::Cpu)).collect());
            (0..replicas).for_each(|index| bench.ready(index));
        }
        bench
    }

    pub(super) fn handle(&mut self, event: Event) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            for effect in self.driver.handle(event, self.now) {
                match effect {
                    Effect::Reply(reply) => reply.send(),
                    Effect::Submit { run, log, continues, .. } => {
                        assert!(log.begin(run.run, continues).is_some());
                        self.submitted.push((run, log));
                    }
                    Effect::Cancel { task, .. } => self.canceled.push(task),
                    Effect::Fence(log) => log.fence(),
                    Effect::CloseLog { task, end, .. } => {
                        assert_eq!(self.ends.insert(task, end), None, "one end");
                    }
                    Effect::EndEngine { .. } => self.ended_engines += 1,
                    Effect::Order(_, order) => self.told.push(format!("{order:?}")),
                    Effect::OpenPool(_, config) => self.told.push(format!("open {}", config.id)),
                    Effect::ClosePool(_) => self.told.push("close".to_owned()),
                    Effect::Count(Count::PoolGone(id)) => self.told.push(format!("{id} is gone")),
                    _ => {}
                }
            }
        }
    }

    pub(super) fn pool(&mut self, started: Vec<(ReplicaId, Device)>) {
        self.handle(Event::Pool(PoolKey::FIRST, PoolEvent::Starting(started)));
    }

    pub(super) fn ready(&mut self, index: u16) {
        let engine: Arc<dyn Engine> = SimEngine::new(index.into(), replica_id(index), 2).handle;
        let self_test = SelfTest {
            prefill_tps: 1000.0,
            decode_tps: Some(100.0),
            batched: None,
            first_token_ms: Millis(1),
            took: Duration::from_millis(100),
        };
        self.replica(index, ReplicaEventKind::Ready { engine, self_test });
    }

    pub(super) fn replica(&mut self, index: u16, kind: ReplicaEventKind) {
        let event = PoolEvent::Replica(ReplicaEvent { replica: replica_id(index), kind });
        self.handle(Event::Pool(PoolKey::FIRST, event));
    }

    pub(super) fn command<A>(&mut self, command: impl FnOnce(ReplyTo<A>) -> Command) -> A {
        let (to, mut reply) = ReplyTo::new();
        self.handle(Event::Command(command(to)));
        reply.try_recv().expect("a reply")
    }

    pub(super) fn admit(&mut self, task: u128) -> Result<(), Refusal> {
        self.admit_with(task, Measurement::default())
    }

    fn admit_with(&mut self, task: u128, measurement: Measurement) -> Result<(), Refusal> {
        let request = Box::new(request(task, Priority::Interactive));
        self.command(|to| Command::Admit(request, pool_id(), measurement, to)).map(|_| ())
    }

    fn engine(&self, index: u16) -> Arc<dyn Engine> {
        Arc::clone(self.driver.pools[PoolKey::FIRST].engine(&replica_id(index)).expect("it is ready"))
    }

    pub(super) fn pass(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.now = self.now.after(Duration::from_secs(1));
            self.handle(Event::Tick);
        }
    }

    /// The last placement.
    pub(super) fn last_run(&self) -> RunId {
        self.submitted.last().expect("something runs").0
    }

    pub(super) fn report(&mut self, run: RunId, finish: Finish) {
        self.handle(Event::Task(run, TaskEvent::End(EndReport::short(finish, 1))));
    }

    /// Seconds in which each of these runs reports so much work.
    fn work(&mut self, seconds: u64, runs: &[(RunId, u64)]) {
        for second in 1..=seconds {
            self.pass(1);
            let work = |done: u64| Work { done: Some(done * second), tokens: 0 };
            self.handle(Event::Progress(runs.iter().map(|(run, done)| (*run, work(*done))).collect()));
        }
    }

    pub(super) fn failure(&self, task: u128) -> Option<Verdict> {
        let end = self.ends.get(&TaskId(Uuid::from_u128(task)))?;
        end.failure.as_ref().map(crate::backpressure::Failure::verdict)
    }
}

/// ORCH-TASK-15
#[test]
fn a_task_whose_pool_was_retired_while_it_was_measured_is_refused() {
    let mut bench = Bench::new(1);
    bench.command(|to| Command::SetModelState(pool_id(), ModelState::Retired, to)).unwrap();
    assert_eq!(bench.admit(1), Err(Refusal::ModelRetired { pool: pool_id() }));
}

/// ORCH-TASK-15, ORCH-ERR-9
#[test]
fn a_task_that_waits_for_a_model_whose_file_has_gone_ends_with_the_reason() {
    let mut bench = Bench::new(0);
    bench.handle(Event::Pool(PoolKey::FIRST, PoolEvent::Unloaded));
    bench.admit(1).unwrap();
    let why = "there is no file `/models/a.gguf`".to_owned();
    let retry_in = Duration::from_secs(4);
    bench.handle(Event::Pool(PoolKey::FIRST, PoolEvent::FetchFailed { why: why.clone(), retry_in }));
    let end = &bench.ends[&TaskId(Uuid::from_u128(1))];
    let told = end.failure.as_ref().unwrap().to_string();
    assert!(told.contains("there is no file `a.gguf`"), "without its folder: {told}");
    assert_eq!(bench.failure(1).unwrap().retry_after, Some(Millis(4000)));
}

/// ORCH-REPL-14
#[test]
fn an_engine_that_is_not_available_for_a_time_costs_no_task_and_no_place() {
    let mut bench = Bench::new(1);
    (1..=40).for_each(|task| bench.admit(task).unwrap());
    let order: Vec<_> = bench.submitted.iter().map(|(run, _)| run.task).collect();
    for _ in 0..5 {
        let runs: Vec<_> = bench.submitted.iter().rev().take(2).map(|(run, _)| *run).collect();
        let placed = bench.submitted.len();
        for run in runs {
            bench.report(run, Finish::Failed(EngineError::Unavailable("503".into())));
        }
        assert_eq!(bench.submitted.len(), placed, "nothing is placed where nothing is taken");
        bench.replica(0, ReplicaEventKind::Suspended { reason: "503".into() });
        bench.pass(10);
        bench.replica(0, ReplicaEventKind::Resumed);
        let again: Vec<_> = bench.submitted[placed..].iter().map(|(run, _)| run.task).collect();
        assert_eq!(again, order, "the same tasks go first, in their order");
    }
    assert!(bench.ends.is_empty(), "{:?}", bench.ends);
}

/// ORCH-REPL-14
#[test]
fn a_task_that_was_in_two_failures_ends_and_says_that_a_retry_is_not_safe() {
    let mut bench = Bench::new(1);
    bench.admit(1).unwrap();
    for _ in 0..2 {
        let run = bench.last_run();
        bench.report(run, Finish::Failed(EngineError::Failed("500".into())));
        bench.replica(0, ReplicaEventKind::Resumed);
    }
    let verdict = bench.failure(1).unwrap();
    assert_eq!((verdict.code, verdict.retriable), (Code::WorkerReset, false));
}

/// ORCH-REPL-14
#[test]
fn an_engine_that_fails_and_says_nothing_more_gets_tasks_again() {
    let mut bench = Bench::new(1);
    bench.admit(1).unwrap();
    let run = bench.last_run();
    bench.report(run, Finish::Failed(EngineError::Failed("500".into())));
    bench.pass(3);
    assert_eq!(bench.last_run(), RunId { run: 2, ..run });
}

/// ORCH-REPL-15
#[test]
fn tasks_wait_for_the_end_of_an_outage_and_no_longer_than_its_bound() {
    let mut bench = Bench::new(1);
    let down = |bench: &mut Bench| {
        bench.replica(0, ReplicaEventKind::Gone { reason: ExitReason::Signal(9) });
        let reason = DownReason::Gone(ExitReason::Signal(9));
        let delay = Duration::from_secs(5);
        bench.replica(0, ReplicaEventKind::BackingOff { delay, attempt: 9, breaker: Breaker::Open, reason });
    };
    bench.admit(1).unwrap();
    down(&mut bench);
    bench.pass(OUTAGE_WAIT.as_secs() - 1);
    assert!(bench.ends.is_empty(), "a crash loop that is over in time costs no task");
    bench.ready(0);
    assert_eq!(bench.last_run().run, 2);
    down(&mut bench);
    assert!(bench.failure(1).is_some_and(|verdict| !verdict.retriable), "it was there twice");

    bench.ready(0);
    (2..=4).for_each(|task| bench.admit(task).unwrap());
    down(&mut bench);
    bench.pass(OUTAGE_WAIT.as_secs());
    for task in 2..=4 {
        let verdict = bench.failure(task).unwrap();
        assert_eq!((verdict.code, verdict.retriable), (Code::PoolUnavailable, true));
    }
}

/// ORCH-TASK-15
#[test]
fn a_model_that_cannot_be_started_as_it_is_keeps_nobody_waiting() {
    let mut bench = Bench::new(1);
    bench.admit(1).unwrap();
    bench.replica(0, ReplicaEventKind::Gone { reason: ExitReason::Signal(9) });
    let error = StartError::Model("the file is broken".into());
    bench.replica(0, ReplicaEventKind::Failed { error, retry_in: Duration::from_secs(9) });
    assert_eq!(bench.failure(1).unwrap().retry_after, Some(Millis(9000)));
}

/// ORCH-REPL-9
#[test]
fn work_without_tokens_is_progress() {
    let mut bench = Bench::new(1);
    bench.admit(1).unwrap();
    let run = bench.last_run();
    bench.work(600, &[(run, 1)]);
    assert_eq!((bench.ended_engines, bench.ends.len()), (0, 0));
}

/// ORCH-TASK-16, ORCH-REPL-13
#[test]
fn a_stream_that_stalls_beside_a_live_one_is_retried_alone() {
    let mut bench = Bench::new(1);
    bench.admit(1).unwrap();
    let stalled = bench.last_run();
    bench.admit(2).unwrap();
    let live = bench.last_run();
    bench.work(15, &[(stalled, 0), (live, 1)]);
    assert_eq!(bench.ended_engines, 0, "the neighbour lives");
    assert_eq!(bench.canceled, [stalled.task]);
    assert_eq!(bench.last_run(), RunId { run: 2, ..stalled });
    let (_, log) = &bench.submitted[0];
    let late = generation::OutputChunk::text("late", vec![1]);
    assert!(!log.append(stalled.run, &late), "what the stalled placement still writes goes nowhere");
}

/// ORCH-REPL-9
#[test]
fn a_task_that_is_retried_is_not_judged_by_the_silence_of_its_first_replica() {
    let mut bench = Bench::new(2);
    bench.admit(1).unwrap();
    let first = bench.last_run();
    while bench.ended_engines == 0 {
        bench.work(1, &[(first, 0)]);
    }
    let second = bench.last_run();
    assert_eq!(second.run, 2);
    bench.work(5, &[(second, 0)]);
    assert_eq!(bench.ended_engines, 1, "the second replica has its own time");
}

#[test]
fn a_stopping_daemon_sleeps_though_tasks_of_it_were_put_back() {
    let mut bench = Bench::new(1);
    (1..=3).for_each(|task| bench.admit(task).unwrap());
    let (to, _idle) = ReplyTo::new();
    bench.handle(Event::Command(Command::BeginStop(to)));
    bench.replica(0, ReplicaEventKind::Gone { reason: ExitReason::Signal(9) });
    assert_eq!(bench.ends.len(), 3);
    assert!(bench.driver.next_wake(bench.now).is_none_or(|wake| wake > bench.now));
}

/// ORCH-REPL-16
#[test]
fn a_task_that_finds_an_idle_engine_dead_waits_for_its_restart_and_is_served() {
    let mut bench = Bench::new(1);
    let engine = bench.engine(0);
    let lost = LostEngine { engine, state: LostState::Gone, reason: "it went away".into() };
    bench.handle(Event::Command(Command::EngineLost(lost)));
    let measurement = Measurement { measured: None, failures: 1 };
    bench.admit_with(1, measurement).unwrap();
    assert!(bench.submitted.is_empty(), "nothing goes to a dead engine");
    let reason = DownReason::Gone(ExitReason::Signal(9));
    bench.replica(0, ReplicaEventKind::Gone { reason: ExitReason::Signal(9) });
    let delay = Duration::from_secs(5);
    bench.replica(0, ReplicaEventKind::BackingOff { delay, attempt: 1, breaker: Breaker::Closed, reason });
    bench.pass(OUTAGE_WAIT.as_secs() - 1);
    bench.ready(0);
    let run = bench.last_run();
    bench.report(run, Finish::Stop);
    assert_eq!(bench.failure(1), None);
    assert_eq!(bench.ends.len(), 1);
}

/// ORCH-REPL-16
#[test]
fn an_engine_that_cannot_measure_for_a_time_gets_no_task_until_it_says_so() {
    let mut bench = Bench::new(1);
    let engine = bench.engine(0);
    let lost = LostEngine { engine, state: LostState::Suspended, reason: "503".into() };
    bench.handle(Event::Command(Command::EngineLost(lost)));
    bench.admit(1).unwrap();
    assert!(bench.submitted.is_empty());
    bench.replica(0, ReplicaEventKind::Resumed);
    assert_eq!(bench.submitted.len(), 1);
}
