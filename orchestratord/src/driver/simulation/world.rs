//! The world around the driver: time, clients, and the performance of its effects. What must hold is in [`invariants`].

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use config_schema::PoolConfig;
use engine_api::{Engine, EngineKind, Measured};
use fastrand::Rng;
use generation::{EndReport, EngineError, Finish, GenerateRequest, Input, OutputChunk, Workload};
use orchestrator_core::{
    FullPolicy, Millis, PoolId, QueueLimits, SessionId, SessionLimits, TaskId, Timestamp, TokenCount,
};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::controller::{Controller, Phase, Step};
use super::engine::{EngineId, EngineMode, SimEngine, SimRun, id_of};
use super::scenario::{END_MS, Operation, ReloadFate, Scenario, Submission};
use crate::backpressure::Refusal;
use crate::driver::tests::pool_config;
use crate::driver::{
    Driver, Effect, Event, FAILURES_MAX, PoolSetup, Retention, RunId, TaskEvent, TokensOut, Work,
};
use crate::pool_protocol::{PoolKey, ReloadOrder, ReloadOutcome};
use crate::protocol::{
    Command, Configuration, LostEngine, LostState, Measurement, ReplyTo, RouteQuery, Routed, TaskRequest,
};
use crate::state::ModelState;
use crate::task_log::{TaskEnd, TaskLog};

mod invariants;

/// Every task has ended so long after the last operation.
const BOUND_MS: u64 = 15 * 60_000;

/// How long tasks wait for an outage to end.
const OUTAGE_WAIT: Duration = Duration::from_secs(20);

const RETENTION: Retention = Retention { time: Duration::from_secs(86_400), tasks: 1000, bytes: 1 << 30 };

/// The options of a pool. The driver only passes them on.
static CONFIG: LazyLock<PoolConfig> = LazyLock::new(|| pool_config(pool_id(0)));

/// What comes at a time.
pub(super) enum Happening {
    Operation(Operation),
    /// An engine has measured a prompt, or died meanwhile.
    Measured(Box<TaskRequest>, PoolId, Arc<dyn Engine>, Measurement),
    /// A run goes on.
    Run(EngineId, RunId),
    /// An engine has ended a run that was canceled.
    Canceled(EngineId, RunId),
    /// An engine takes work again.
    Resumes(EngineId),
    /// An engine dies.
    Dies(EngineId, bool),
    /// Something reaches the driver.
    Event(Event),
    /// A controller goes on.
    Controller {
        pool: usize,
        generation: u64,
        step: Step,
    },
}

/// A task as the world sees it.
struct Watched {
    request: Box<TaskRequest>,
    pool: usize,
    log: Arc<TaskLog>,
    ends: u32,
    started: bool,
    /// Tokens of context that it needs; nothing where it was not measured.
    context: Option<u32>,
    /// The event in which it last lost its placement.
    lost_in: Option<u64>,
    /// Since when it waits while a slot is free.
    passes_up_since: Option<u64>,
}

impl Watched {
    /// Tokens of its prompt. Engines read one a millisecond.
    fn prompt(&self) -> u32 {
        prompt_of(&self.request)
    }
}

/// Tokens of the prompt of a task.
fn prompt_of(request: &TaskRequest) -> u32 {
    match &*request.job.input {
        Input::Prompt(text) => u32::try_from(text.len()).expect("a short prompt"),
        _ => unreachable!("all are prompts"),
    }
}

/// See the module.
pub(super) struct World {
    pub(super) rng: Rng,
    pub(super) now_ms: u64,
    driver: Driver,
    agenda: BTreeMap<(u64, u64), Happening>,
    sequence: u64,
    pub(super) engines: BTreeMap<EngineId, SimEngine>,
    /// All that ever were; a pool of an operation is the last one of its name.
    pub(super) controllers: Vec<Controller>,
    /// The pools of the configuration.
    configured: BTreeSet<usize>,
    replicas: u16,
    tasks: BTreeMap<TaskId, Watched>,
    /// Tasks in the order of their admission.
    admitted: Vec<TaskId>,
    pub(super) slots: u16,
    pub(super) stopping: bool,
    /// Events that the driver has handled.
    handled: u64,
    reloads: Vec<oneshot::Receiver<Result<ReloadOutcome, Refusal>>>,
    stops: Vec<oneshot::Receiver<()>>,
}

/// Plays a scenario to its end. Panics where an invariant does not hold.
pub(super) fn play(scenario: &Scenario) {
    let mut world = World::new(scenario);
    for (at, operation) in &scenario.operations {
        world.at(*at, Happening::Operation(operation.clone()));
    }
    while let Some(at) = world.next_time() {
        assert!(at <= END_MS * 2 + BOUND_MS, "tasks without an end: {:?}", world.open_tasks());
        world.now_ms = at;
        if world.agenda.first_key_value().is_some_and(|((due, _), _)| *due <= at) {
            let (_, happening) = world.agenda.pop_first().expect("it is there");
            world.happen(happening);
        } else {
            world.handle(Event::Tick);
        }
    }
    world.check_the_end();
}

impl World {
    fn new(scenario: &Scenario) -> Self {
        let setups = (0..scenario.pools).map(setup).collect();
        let mut world = Self {
            rng: Rng::with_seed(scenario.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            now_ms: 0,
            driver: Driver::new(setups, RETENTION, Timestamp::default()),
            agenda: BTreeMap::new(),
            sequence: 0,
            engines: BTreeMap::new(),
            controllers: Vec::new(),
            configured: (0..scenario.pools).collect(),
            replicas: scenario.replicas,
            tasks: BTreeMap::new(),
            admitted: Vec::new(),
            slots: scenario.slots,
            stopping: false,
            handled: 0,
            reloads: Vec::new(),
            stops: Vec::new(),
        };
        let keys: Vec<_> =
            world.driver.pools.iter().map(|pool| (pool.key(), pool.setup.id.clone())).collect();
        keys.into_iter().for_each(|(key, id)| world.open_pool(key, id));
        world
    }

    /// The next time at which anything happens; nothing once all has been said.
    fn next_time(&self) -> Option<u64> {
        let now = self.now();
        let due = self.agenda.keys().next().map(|(at, _)| *at);
        if due.is_none() && self.open_tasks().is_empty() && !self.driver.tasks.any_in_engine() {
            return None;
        }
        let wake = self.driver.next_wake(now).map(|wake| wake.as_micros().div_ceil(1000));
        let next = [due, wake].into_iter().flatten().min();
        assert!(next.is_some(), "nothing will ever happen, and these wait: {:?}", self.open_tasks());
        next.map(|next| next.max(self.now_ms))
    }

    fn open_tasks(&self) -> Vec<u128> {
        self.tasks.iter().filter(|(_, task)| task.ends == 0).map(|(id, _)| id.0.as_u128()).collect()
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.now_ms)
    }

    pub(super) fn at(&mut self, ms: u64, happening: Happening) {
        self.sequence += 1;
        self.agenda.insert((ms.max(self.now_ms), self.sequence), happening);
    }

    /// Something happens up to `ms` later.
    pub(super) fn within(&mut self, ms: u64, happening: Happening) {
        let at = self.now_ms + self.rng.u64(0..=ms);
        self.at(at, happening);
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Operation(operation) => self.operate(operation),
            Happening::Measured(request, pool, engine, measurement) => {
                self.measured(request, pool, engine, measurement);
            }
            Happening::Run(engine, run) => self.go_on(engine, run),
            Happening::Canceled(engine, run) => self.end_run(engine, run, Finish::Canceled),
            Happening::Resumes(engine) => self.resume(engine),
            Happening::Dies(engine, writes) => self.die(engine, writes),
            Happening::Event(event) => self.handle(event),
            Happening::Controller { pool, generation, step } => self.controller_step(pool, generation, step),
        }
    }

    /// Has the driver handle an event, performs what it decides, and checks what must hold.
    pub(super) fn handle(&mut self, event: Event) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            self.handled += 1;
            for effect in self.driver.handle(event, self.now()) {
                events.extend(self.perform(effect));
            }
        }
        self.poll_signals();
        self.check();
    }

    fn perform(&mut self, effect: Effect) -> Option<Event> {
        match effect {
            Effect::Reply(reply) => reply.send(),
            Effect::Submit { run, engine, log, .. } => self.submit(run, id_of(&engine), log),
            Effect::Cancel { task, engine, .. } => self.cancel_run(task, id_of(&engine)),
            Effect::Fence(log) => {
                log.fence();
                let lost = self.tasks.values_mut().find(|task| Arc::ptr_eq(&task.log, &log));
                if let Some(lost) = lost {
                    lost.lost_in = Some(self.handled);
                }
            }
            Effect::Discard(_) => {}
            Effect::CloseLog { task, log, end, tokens_out, .. } => {
                let closed = log.close(|written| match tokens_out {
                    TokensOut::Reported => end,
                    TokensOut::Written => TaskEnd { tokens_out: written, ..end },
                });
                assert!(closed, "a log is closed once");
                if let Some(watched) = self.tasks.get_mut(&task) {
                    watched.ends += 1;
                }
                return Some(Event::LogClosed(task, log.bytes()));
            }
            Effect::EndEngine { engine, .. } => {
                let (id, writes) = (id_of(&engine), self.rng.bool());
                self.engines.get_mut(&id).expect("an engine stays in the world").mode = EngineMode::Hung;
                self.within(1000, Happening::Dies(id, writes));
            }
            Effect::ReadProgress(runs) => {
                let read =
                    runs.into_iter().map(|(run, engine, log)| (run, self.work(run, id_of(&engine), &log)));
                return Some(Event::Progress(read.collect()));
            }
            Effect::OpenPool(key, config) => self.open_pool(key, config.id),
            Effect::ClosePool(key) => {
                let pool = self.with_key(key);
                self.close_controller(pool);
            }
            Effect::Order(key, order) => {
                let pool = self.with_key(key);
                assert_eq!(self.controllers[pool].phase, Phase::Open, "an order after the end of all orders");
                self.controllers[pool].orders.push_back(order);
            }
            Effect::Signal(idle) => _ = idle.send(()),
            Effect::EvictSession { .. } | Effect::Count(_) => {}
        }
        None
    }

    fn work(&mut self, run: RunId, engine: EngineId, log: &TaskLog) -> Work {
        let engine = self.engines.get_mut(&engine).expect("an engine stays in the world");
        let works = engine.mode != EngineMode::Hung;
        let done = engine.runs.get_mut(&run.task).map_or(0, |run| {
            run.done += u64::from(works && run.stalled_at.is_none());
            run.done
        });
        Work { done: Some(done), tokens: log.tokens().0 }
    }

    fn operate(&mut self, operation: Operation) {
        match operation {
            Operation::Submit(task) => self.submit_task(&task),
            Operation::Cancel { nth } => {
                if let Some(task) = self.admitted.iter().rev().nth(nth).copied() {
                    let reply = self.ask(|to| Command::Cancel(task, to));
                    assert_eq!(reply, Ok(()), "a task that was admitted is known");
                }
            }
            Operation::Remove { pool } => {
                let others = self.configured.iter().copied().filter(|other| *other != pool);
                self.configure(others.collect());
            }
            Operation::Add { pool } => {
                let all = self.configured.iter().copied().chain([pool]);
                self.configure(all.collect());
            }
            Operation::Reload { pool, fate } => self.reload(pool, fate, None),
            Operation::ReloadByConfig { pool, fate } => {
                self.reload(pool, fate, Some(Box::new(PoolConfig { id: pool_id(pool), ..CONFIG.clone() })));
            }
            Operation::CancelConfigReload { pool } => {
                self.handle(Event::Command(Command::CancelConfigReload(pool_id(pool))));
            }
            Operation::Retire { pool } => self.set_state(pool, ModelState::Retired),
            Operation::Activate { pool } => self.set_state(pool, ModelState::Active),
            Operation::Stop => {
                self.stopping = true;
                let (to, idle) = ReplyTo::new();
                self.handle(Event::Command(Command::BeginStop(to)));
                self.stops.push(idle);
            }
            Operation::EndRunning => self.ask(Command::EndRunning),
            Operation::BreakAnInvariant => panic!("an invariant is broken"),
            fault => self.fault(&fault),
        }
    }

    fn reload(&mut self, pool: usize, fate: ReloadFate, options: Option<Box<PoolConfig>>) {
        let last = self.last(pool);
        self.controllers[last].reload_fates.push_back(fate);
        let model = config_schema::PoolModel::Reference(model_store::ModelRef::Starter);
        let (to, reply) = ReplyTo::new();
        let order = ReloadOrder { model, sha256: None, options };
        self.handle(Event::Command(Command::Reload(pool_id(pool), order, to)));
        self.reloads.push(reply);
    }

    fn set_state(&mut self, pool: usize, state: ModelState) {
        let reply = self.ask(|to| Command::SetModelState(pool_id(pool), state, to));
        assert_eq!(reply.is_ok(), !self.stopping && self.configured.contains(&pool), "{reply:?}");
    }

    /// The configuration is read again, with one pool more or less.
    fn configure(&mut self, pools: BTreeSet<usize>) {
        let bound = self.rng.usize(1..=6);
        let setup = |pool: &usize| {
            let setup = setup(*pool);
            let queue = QueueLimits { interactive: bound, ..setup.queue };
            let setup = PoolSetup { queue, ..setup };
            let config = PoolConfig { id: setup.id.clone(), ..CONFIG.clone() };
            (setup, config)
        };
        let new = Configuration { retention: RETENTION, pools: pools.iter().map(setup).collect() };
        if self.ask(|to| Command::Configure(Box::new(new), to)).is_ok() {
            self.configured = pools;
        } else {
            assert!(self.stopping);
        }
    }

    fn open_pool(&mut self, key: PoolKey, id: PoolId) {
        self.controllers.push(Controller::new(key, id, self.controllers.len(), self.replicas));
        self.begin_controller(self.controllers.len() - 1);
    }

    fn with_key(&self, key: PoolKey) -> usize {
        self.controllers.iter().position(|controller| controller.key == key).expect("it was opened")
    }

    /// The last pool of a name.
    pub(super) fn last(&self, pool: usize) -> usize {
        let id = pool_id(pool);
        self.controllers.iter().rposition(|controller| controller.id == id).expect("each has been there")
    }

    /// A command with an immediate reply.
    fn ask<A>(&mut self, command: impl FnOnce(ReplyTo<A>) -> Command) -> A {
        let (to, mut reply) = ReplyTo::new();
        self.handle(Event::Command(command(to)));
        reply.try_recv().expect("a command has its reply")
    }

    fn submit_task(&mut self, task: &Submission) {
        let id = TaskId(Uuid::from_u128(self.sequence.into()));
        self.sequence += 1;
        self.route(Box::new(request(id, task)), task.measure_ms, 0);
    }

    /// Asks where a task goes, after so many engines have failed while they measured it.
    fn route(&mut self, request: Box<TaskRequest>, measure_ms: u64, failures: u8) {
        let query = RouteQuery {
            task: request.id(),
            fingerprint: request.fingerprint,
            priority: request.job.priority,
            workload: Workload::Completion,
            model_ref: request.model_ref.clone(),
            engine: None,
        };
        match self.ask(|to| Command::Route(query, to)) {
            Ok(Routed::Measure { pool, engine }) => {
                let tokens = TokenCount(prompt_of(&request));
                let measured = Some(Measured { tokens, longest: tokens });
                let at = self.now_ms + measure_ms;
                let measurement = Measurement { measured, failures };
                self.at(at, Happening::Measured(request, pool, engine, measurement));
            }
            Ok(Routed::Unmeasured { pool, .. }) => {
                self.admit(request, pool, Measurement { measured: None, failures });
            }
            Ok(Routed::Known(_)) => unreachable!("each task has a name of its own"),
            Err(refusal) => assert_ne!(refusal, Refusal::Internal),
        }
    }

    fn measured(
        &mut self,
        request: Box<TaskRequest>,
        pool: PoolId,
        engine: Arc<dyn Engine>,
        measurement: Measurement,
    ) {
        if self.engines[&id_of(&engine)].mode != EngineMode::Dead {
            return self.admit(request, pool, measurement);
        }
        let lost = LostEngine { engine, state: LostState::Gone, reason: "it died".to_owned() };
        self.handle(Event::Command(Command::EngineLost(lost)));
        let failures = measurement.failures + 1;
        if failures < FAILURES_MAX {
            self.route(request, 1, failures);
        }
    }

    fn admit(&mut self, request: Box<TaskRequest>, pool: PoolId, measurement: Measurement) {
        let index = self.controllers.iter().rposition(|known| known.id == pool).expect("it was there");
        let id = request.id();
        let (to, mut reply) = ReplyTo::new();
        // The task may start, and even end, in the same step: it is watched from before.
        let log = TaskLog::new();
        let answer = request.job.max_tokens.map_or(0, |most| most.0);
        self.tasks.insert(
            id,
            Watched {
                request: request.clone(),
                pool: index,
                log,
                ends: 0,
                started: false,
                context: measurement.measured.map(|measured| measured.longest.0 + answer),
                lost_in: None,
                passes_up_since: None,
            },
        );
        self.admitted.push(id);
        self.handle(Event::Command(Command::Admit(request, pool, measurement, to)));
        match reply.try_recv().expect("a command has its reply") {
            Ok(admitted) => self.tasks.get_mut(&id).expect("just put there").log = admitted.source.log,
            Err(refusal) => {
                assert_ne!(refusal, Refusal::Internal);
                self.tasks.remove(&id);
                self.admitted.pop();
            }
        }
    }

    fn submit(&mut self, run: RunId, id: EngineId, log: Arc<TaskLog>) {
        self.check_order(run);
        let engine = self.engines.get_mut(&id).expect("an engine stays in the world");
        let answer = self.tasks[&run.task].request.job.max_tokens.map_or(0, |most| most.0);
        assert!(log.begin(run.run), "a placement may write: no other has, and the task has not ended");
        if engine.mode == EngineMode::Dead {
            return self.at(self.now_ms, Happening::Event(Event::Task(run, TaskEvent::Lost)));
        }
        let failure = match engine.mode {
            EngineMode::Refusing => Some(EngineError::Unavailable("503".to_owned())),
            _ if std::mem::take(&mut engine.fails_next) => Some(EngineError::Failed("500".to_owned())),
            _ => None,
        };
        if let Some(error) = failure {
            let report = report(Finish::Failed(error), 0);
            return self.within(20, Happening::Event(Event::Task(run, TaskEvent::End(report))));
        }
        let run_state = SimRun { run, log, canceled: false, stalled_at: None, done: 0, left: answer };
        engine.runs.insert(run.task, run_state);
        assert!(engine.busy() <= usize::from(self.slots), "more tasks than slots in {}", engine.replica);
        self.go_on_later(id, run, 500);
    }

    fn go_on_later(&mut self, id: EngineId, run: RunId, ms: u64) {
        let ms = ms * self.engines[&id].slowness;
        self.within(ms, Happening::Run(id, run));
    }

    /// A run writes its next token, or ends.
    fn go_on(&mut self, id: EngineId, run: RunId) {
        let engine = self.engines.get_mut(&id).expect("an engine stays in the world");
        if matches!(engine.mode, EngineMode::Hung | EngineMode::Dead) {
            return;
        }
        let Some(state) = engine.runs.get_mut(&run.task).filter(|state| state.run == run) else { return };
        if state.stalled_at.is_some() || state.canceled {
            return;
        }
        let Some(left) = state.left.checked_sub(1) else { return self.end_run(id, run, Finish::Stop) };
        state.left = left;
        let (first, log) = (state.log.tokens().0 == 0, Arc::clone(&state.log));
        if write(&log, run) && first {
            self.handle(Event::Task(run, TaskEvent::FirstToken));
        }
        self.go_on_later(id, run, 60);
    }

    fn end_run(&mut self, id: EngineId, run: RunId, finish: Finish) {
        let engine = self.engines.get_mut(&id).expect("an engine stays in the world");
        if matches!(engine.mode, EngineMode::Hung | EngineMode::Dead) {
            return;
        }
        if engine.runs.get(&run.task).is_some_and(|state| state.run == run) {
            engine.runs.remove(&run.task);
            let report = report(finish, self.tasks[&run.task].prompt());
            self.handle(Event::Task(run, TaskEvent::End(report)));
        }
    }

    fn cancel_run(&mut self, task: TaskId, id: EngineId) {
        let engine = self.engines.get_mut(&id).expect("an engine stays in the world");
        if let Some(state) = engine.runs.get_mut(&task) {
            state.canceled = true;
            let run = state.run;
            self.within(30, Happening::Canceled(id, run));
        }
    }

    /// An engine dies. One that hung may wake up before and write.
    pub(super) fn die(&mut self, id: EngineId, writes: bool) {
        let engine = self.engines.get_mut(&id).expect("an engine stays in the world");
        if engine.mode == EngineMode::Dead {
            return;
        }
        engine.mode = EngineMode::Dead;
        let replica = engine.replica.clone();
        let runs = std::mem::take(&mut engine.runs);
        for state in runs.into_values() {
            if writes && write(&state.log, state.run) && state.log.tokens().0 == 1 {
                self.handle(Event::Task(state.run, TaskEvent::FirstToken));
            }
            let event = if writes && self.rng.bool() {
                TaskEvent::End(report(Finish::Stop, self.tasks[&state.run.task].prompt()))
            } else {
                TaskEvent::Lost
            };
            self.within(5, Happening::Event(Event::Task(state.run, event)));
        }
        self.replica_died(&replica);
    }
}

/// A token of a run.
fn write(log: &TaskLog, run: RunId) -> bool {
    let text = format!("r{} ", run.run);
    log.append(run.run, &OutputChunk::text(text, vec![1]))
}

/// What an engine reports that read a prompt of so many tokens.
fn report(finish: Finish, prompt: u32) -> EndReport {
    let (tokens_in, prefill_ms) = (TokenCount(prompt), Millis(prompt.into()));
    EndReport { tokens_in, prefill_ms, ..EndReport::short(finish, 1) }
}

pub(super) fn pool_id(index: usize) -> PoolId {
    PoolId::new(format!("p{index}")).expect("a name")
}

fn setup(index: usize) -> PoolSetup {
    PoolSetup {
        id: pool_id(index),
        model_ref: "starter".to_owned(),
        engine: EngineKind::Llamacpp,
        queue: QueueLimits {
            interactive: 6,
            batch: 6,
            interactive_reserve: 0,
            full_policy: if index == 0 { FullPolicy::Reject } else { FullPolicy::DropLru },
            batch_max_wait: Duration::from_secs(3),
            ..QueueLimits::default()
        },
        sessions: SessionLimits::default(),
        preload: index == 0,
        idle_unload: (index == 1).then_some(Duration::from_secs(8)),
        hang_floor: Duration::from_secs(5),
        outage_wait: OUTAGE_WAIT,
    }
}

fn request(id: TaskId, task: &Submission) -> TaskRequest {
    let job = GenerateRequest {
        session: task.session.map(|session| SessionId(Uuid::from_u128(session.into()))),
        priority: task.priority,

        max_tokens: Some(TokenCount(task.answer)),
        ..GenerateRequest::new(id, Input::Prompt("x".repeat(task.prompt as usize)))
    };
    let model_ref = Some(pool_id(task.pool).to_string());
    TaskRequest { job: Arc::new(job), model_ref, engine: None, expected_tokens: None, fingerprint: 1 }
}
