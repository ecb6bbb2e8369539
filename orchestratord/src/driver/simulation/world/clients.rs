//! What clients and operators do, and what becomes of a submission on its way to the queue.

use std::collections::BTreeSet;
use std::sync::Arc;

use config_schema::PoolConfig;
use engine_api::{Engine, Measured};
use generation::{GenerateRequest, Input, Workload};
use orchestrator_core::{PoolId, QueueLimits, SessionId, TaskId, TokenCount};
use uuid::Uuid;

use super::super::engine::{EngineMode, id_of};
use super::super::scenario::{Operation, ReloadFate, Submission};
use super::{CONFIG, Happening, RETENTION, Watched, World, pool_id, prompt_of, setup};
use crate::backpressure::Refusal;
use crate::driver::{Event, FAILURES_MAX, PoolSetup};
use crate::pool_protocol::ReloadOrder;
use crate::protocol::{
    Command, Configuration, LostEngine, LostState, Measurement, ReplyTo, RouteQuery, Routed, StayChange,
    TaskRequest,
};
use crate::state::ModelState;
use crate::task_log::TaskLog;

impl World {
    pub(super) fn operate(&mut self, operation: Operation) {
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
            Operation::Stay { pool, change } => self.set_stay(pool, change),
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

    fn set_stay(&mut self, pool: usize, change: StayChange) {
        let reply = self.ask(|to| Command::SetModelStay(pool_id(pool), change, to));
        let serves = !self.stopping && self.configured.contains(&pool);
        assert!(reply.is_ok() || !serves || matches!(reply, Err(Refusal::ModelRetired { .. })), "{reply:?}");
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
            Ok(Routed::Measure { pool, engine, .. }) => {
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

    pub(super) fn measured(
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
}

fn request(id: TaskId, task: &Submission) -> TaskRequest {
    let job = GenerateRequest {
        session: task.session.map(|session| SessionId(Uuid::from_u128(session.into()))),
        priority: task.priority,

        max_tokens: Some(TokenCount(task.answer)),
        ..GenerateRequest::new(id, Input::Prompt("x".repeat(task.prompt as usize)))
    };
    let model_ref = Some(pool_id(task.pool).to_string());
    TaskRequest {
        job: Arc::new(job),
        model_ref,
        engine: None,
        expected_tokens: None,
        keep_alive: None,
        fingerprint: 1,
    }
}
