//! The world around the driver: time, clients, and the performance of its effects. What must hold is in [`invariants`].

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use config_schema::PoolConfig;
use engine_api::{Engine, EngineKind};
use fastrand::Rng;
use generation::{Finish, Input};
use orchestrator_core::{FullPolicy, PoolId, QueueLimits, SessionLimits, TaskId, Timestamp};
use tokio::sync::oneshot;

use super::controller::{Controller, Phase, Step};
use super::engine::{EngineId, EngineMode, SimEngine, id_of};
use super::scenario::{END_MS, Operation, Scenario};
use crate::backpressure::Refusal;
use crate::driver::tests::pool_config;
use crate::driver::{Driver, Effect, Event, PoolSetup, Retention, RunId, TokensOut};
use crate::pool_protocol::{PoolKey, ReloadOutcome};
use crate::protocol::{Command, Measurement, ReplyTo, TaskRequest};
use crate::task_log::{TaskEnd, TaskLog};

mod clients;
mod invariants;
mod runs;

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
            Effect::Submit { run, engine, continues, log, .. } => {
                self.submit(run, id_of(&engine), continues, log);
            }
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
}

pub(super) fn pool_id(index: usize) -> PoolId {
    PoolId::new(format!("p{index}")).expect("a name")
}

fn setup(index: usize) -> PoolSetup {
    PoolSetup {
        id: pool_id(index),
        model_ref: "starter".to_owned(),
        aliases: Vec::new(),
        defaults: Arc::default(),
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
        attached: false,
        preload: index == 0,
        idle_unload: (index == 1).then_some(Duration::from_secs(8)),
        hang_floor: Duration::from_secs(5),
        outage_wait: OUTAGE_WAIT,
    }
}
