//! What handlers ask of the driver.

use std::sync::Arc;

use adapter_api::{Input, KvHint, Measured};
use orchestrator_core::{
    Admission, CancelOutcome, Millis, PoolId, Priority, Rejection, RejectionReason, SessionId, TaskId,
    TaskSpec, Timestamp, TokenCount,
};
use tokio::sync::oneshot;

use super::news::Ending;
use super::pool::{Pool, Serving};
use super::tasks::{Task, TaskState};
use super::views::Record;
use super::{Driver, Mode};
use crate::backpressure::{Code, Failure, Refusal};
use crate::handle::{
    Accepted, Admitted, Command, RouteQuery, Routed, SessionView, Standing, Subscription, TaskRequest,
};
use crate::keeper::{ReloadOrder, ReloadOutcome, Rollback, RollbackCode};
use crate::state::ModelState;
use crate::task_log::TaskLog;

impl Driver {
    /// Carries a command out and answers it. An answer nobody waits for any more is dropped: the request
    /// it was for is gone.
    pub(super) fn command(&mut self, command: Command, now: Timestamp) {
        match command {
            Command::Route(query, reply) => _ = reply.send(self.route(&query, now)),
            Command::Admit(request, pool, measured, reply) => {
                _ = reply.send(self.admit(&request, &pool, measured, now));
            }
            Command::Cancel(task, reply) => _ = reply.send(self.cancel(task, now)),
            Command::Subscribe(task, from, reply) => _ = reply.send(self.subscribe(task, from, now)),
            Command::Session(session, reply) => _ = reply.send(self.session(session, now)),
            Command::EvictSession(session, reply) => _ = reply.send(self.evict_session(session, now)),
            Command::Reload(pool, order, reply) => _ = reply.send(self.reload(&pool, order)),
            Command::SetModelState(pool, state, reply) => {
                _ = reply.send(self.set_model_state(&pool, state, now));
            }
            Command::Tasks(limit, reply) => _ = reply.send(self.tasks_view(limit, now)),
            Command::Task(task, reply) => _ = reply.send(self.task_story(task, now)),
            Command::Health(reply) => _ = reply.send(self.health(now)),
            Command::BeginStop(idle) => self.begin_stop(idle, now),
            Command::EndRunning(reply) => {
                self.end_running(now);
                _ = reply.send(());
            }
        }
    }

    fn route(&mut self, query: &RouteQuery, now: Timestamp) -> Result<Routed, Refusal> {
        if let Some(accepted) = self.known(query.task, query.fingerprint, now)? {
            return Ok(Routed::Known(accepted));
        }
        if matches!(self.mode, Mode::Stopping { .. }) {
            return Err(Refusal::Stopping);
        }
        let index = self.pool_for(query)?;
        let pool = &mut self.pools[index];
        let answer = pool.check_serving(now).and_then(|serving| {
            let refused = pool.scheduler.refuse(query.priority, now);
            refused.map_err(|rejection| queue_full(pool, query.priority, rejection)).map(|()| serving)
        });
        let serving = answer.inspect_err(|refusal| {
            self.metrics.task_rejected(pool.setup.engine.as_str(), refusal.verdict().code);
        })?;
        let pool = pool.setup.id.clone();
        Ok(match serving {
            Serving::Now(engine) => Routed::Measure { pool, engine },
            Serving::AfterLoad => Routed::Unmeasured { pool },
        })
    }

    /// The task of this id when it is here and the same, a refusal when it is here and another.
    fn known(&self, id: TaskId, fingerprint: u64, now: Timestamp) -> Result<Option<Accepted>, Refusal> {
        let Some(task) = self.tasks.get(id) else { return Ok(None) };
        if task.fingerprint != fingerprint {
            return Err(Refusal::Invalid(format!(
                "`task_id` is {id}, which is another task already: leave it out, or make a new one"
            )));
        }
        Ok(Some(Accepted { standing: self.standing(id, now), ..task.accepted }))
    }

    fn pool_for(&self, query: &RouteQuery) -> Result<usize, Refusal> {
        let fits = |pool: &Pool| {
            query.engine.is_none_or(|engine| pool.setup.engine == engine)
                && query.model_ref.as_ref().is_none_or(|model| pool.answers_to(model))
        };
        let mut fitting =
            self.pools.iter().enumerate().filter(|(_, pool)| fits(pool)).map(|(index, _)| index);
        let Some(first) = fitting.next() else {
            return Err(Refusal::NoSuchPool(self.no_such_pool(query)));
        };
        let offers = |index: &usize| self.pools[*index].offers(query.workload);
        Ok(std::iter::once(first).chain(fitting).find(offers).unwrap_or(first))
    }

    fn no_such_pool(&self, query: &RouteQuery) -> String {
        let known = |name: &dyn Fn(&Pool) -> String| {
            let mut names: Vec<String> = self.pools.iter().map(name).collect();
            names.dedup();
            format!("`{}`", names.join("`, `"))
        };
        let models = known(&|pool| pool.setup.model_ref.clone());
        let engines = known(&|pool| pool.setup.engine.as_str().to_owned());
        match (&query.model_ref, query.engine) {
            (Some(model), None) => {
                format!("`model_ref` is `{model}`, which is not served here: there is {models}")
            }
            (None, Some(engine)) => {
                format!("`engine` is `{}`, which no pool uses: there is {engines}", engine.as_str())
            }
            _ => format!(
                "`model_ref` and `engine` name no pool together: there are the models {models} and the engines {engines}"
            ),
        }
    }

    fn admit(
        &mut self,
        request: &TaskRequest,
        pool: &PoolId,
        measured: Option<Measured>,
        now: Timestamp,
    ) -> Result<Admitted, Refusal> {
        let id = request.id();
        if let Some(accepted) = self.known(id, request.fingerprint, now)? {
            return Ok(Admitted { accepted, subscription: self.subscribe(id, 0, now)? });
        }
        if matches!(self.mode, Mode::Stopping { .. }) {
            return Err(Refusal::Stopping);
        }
        let index = self.pools.iter().position(|known| known.setup.id == *pool).ok_or(Refusal::Internal)?;
        let pool = &mut self.pools[index];
        let priority = request.job.priority;
        let answers = request.workload() == adapter_api::Workload::Completion;
        let tokens_in = measured.map_or_else(|| rough_tokens(&request.job.input), |measured| measured.tokens);
        let spec = TaskSpec {
            id,
            priority,
            // A task that uses no cache has no reason to go where its session's is, and leaves none behind.
            session: request.job.session.filter(|_| request.job.kv == KvHint::Reuse),
            tokens_in,
            max_tokens: request.job.max_tokens,
            expected_tokens: if answers { request.expected_tokens } else { Some(TokenCount(0)) },
        };
        let (position, start, evicted) = match pool.scheduler.admit(spec, now) {
            Admission::Queued { position, start, evicted } => (position, start, evicted),
            Admission::Rejected(rejection) => {
                let refusal = queue_full(pool, priority, rejection);
                self.metrics.task_rejected(pool.setup.engine.as_str(), refusal.verdict().code);
                return Err(refusal);
            }
        };
        let backoff = pool.scheduler.check(priority, now).err().map_or(Millis(0), |full| full.retry_after);
        self.metrics.task_enqueued(&pool.label(), priority);
        let queue_position = u32::try_from(position).unwrap_or(u32::MAX);
        let load = pool.load_wait(now);
        let standing = Standing { queue_position, predicted_start: Millis(start.expected.0 + load.0) };
        let accepted = Accepted { task: id, standing, backoff };
        tracing::info!(
            task_id = %id, pool = %pool.setup.id, priority = priority.as_str(), tokens_in = tokens_in.0,
            queue_position, predicted_start_ms = accepted.standing.predicted_start.0, "admitted"
        );
        let task = Task {
            pool: index,
            fingerprint: request.fingerprint,
            accepted,
            admitted_at: now,
            tokens_in,
            log: TaskLog::new(),
            deaths: 0,
            runs: 0,
            record: Record::new(&request.job),
            state: TaskState::Waiting { job: Arc::clone(&request.job) },
        };
        let subscription = self.pools[index].subscription(&task.log, standing, 0);
        self.tasks.insert(id, task);
        if let Some(evicted) = evicted {
            self.metrics.task_rejected(self.pools[index].setup.engine.as_str(), Code::QueueFullDropLru);
            self.close(evicted, Ending::Failed(Failure::Evicted { retry_after: backoff }), now);
            self.tasks.ended(evicted, now);
        }
        Ok(Admitted { accepted, subscription })
    }

    pub(super) fn standing(&self, id: TaskId, now: Timestamp) -> Standing {
        let started = Standing { queue_position: 0, predicted_start: Millis(0) };
        let Some(task) = self.tasks.get(id) else { return started };
        let pool = &self.pools[task.pool];
        match (pool.scheduler.position(id, now), pool.scheduler.predicted_start(id, now)) {
            (Some(position), Some(start)) => Standing {
                queue_position: u32::try_from(position).unwrap_or(u32::MAX),
                predicted_start: Millis(start.expected.0 + pool.load_wait(now).0),
            },
            _ => started,
        }
    }

    fn subscribe(&self, id: TaskId, from: u32, now: Timestamp) -> Result<Subscription, Refusal> {
        let task = self.tasks.get(id).ok_or_else(|| no_task(id))?;
        Ok(self.pools[task.pool].subscription(&task.log, self.standing(id, now), from))
    }

    fn cancel(&mut self, id: TaskId, now: Timestamp) -> Result<(), Refusal> {
        match self.tasks.get(id).ok_or_else(|| no_task(id))?.state {
            TaskState::Waiting { .. } => self.end_waiting(id, Ending::Canceled, now),
            TaskState::Running { .. } => self.leave(id, Ending::Canceled, now),
            TaskState::Leaving { .. } | TaskState::Ended => {}
        }
        Ok(())
    }

    /// Ends a task that waits.
    pub(super) fn end_waiting(&mut self, id: TaskId, ending: Ending, now: Timestamp) {
        let Some(task) = self.tasks.get(id) else { return };
        let outcome = self.pools[task.pool].scheduler.cancel(id);
        debug_assert_eq!(outcome, CancelOutcome::Queued, "a task that waits is in the queue");
        self.close(id, ending, now);
        self.tasks.ended(id, now);
    }

    /// Ends a task that runs: for its readers now, in its engine within a step.
    pub(super) fn leave(&mut self, id: TaskId, ending: Ending, now: Timestamp) {
        self.close(id, ending, now);
        let Some(task) = self.tasks.get_mut(id) else { return };
        let TaskState::Running { replica, .. } = &task.state else { return };
        let replica = replica.clone();
        let pool = &mut self.pools[task.pool];
        let outcome = pool.scheduler.cancel(id);
        debug_assert_eq!(outcome, CancelOutcome::Running(replica.clone()), "a task that runs has a slot");
        if let Some(engine) = pool.engine(&replica) {
            engine.cancel(id);
        }
        task.state = TaskState::Leaving { replica };
    }

    fn reload(
        &mut self,
        pool: &PoolId,
        order: ReloadOrder,
    ) -> Result<oneshot::Receiver<ReloadOutcome>, Refusal> {
        let (asked, outcome) = oneshot::channel();
        let stopping = matches!(self.mode, Mode::Stopping { .. });
        let index = self.pool_named(pool)?;
        let pool = &mut self.pools[index];
        let refused = |code, message: &str| Rollback { code, message: message.to_owned() };
        let refusal = if stopping {
            refused(RollbackCode::Stopping, "the daemon is stopping")
        } else if pool.state == ModelState::Retired {
            refused(RollbackCode::ModelRetired, "the pool's model is retired: activate it first")
        } else if pool.reloading.is_some() || pool.is_held() {
            refused(RollbackCode::ReloadInProgress, "the pool's model is being changed or unloaded already")
        } else {
            pool.order_reload(order, asked);
            return Ok(outcome);
        };
        asked.send(Err(refusal)).expect("the other end is here");
        Ok(outcome)
    }

    fn set_model_state(&mut self, pool: &PoolId, state: ModelState, now: Timestamp) -> Result<(), Refusal> {
        if matches!(self.mode, Mode::Stopping { .. }) {
            return Err(Refusal::Stopping);
        }
        let index = self.pool_named(pool)?;
        let pool = &mut self.pools[index];
        if pool.state == state {
            return Ok(());
        }
        tracing::info!(pool = %pool.setup.id, state = state.as_str(), "model state");
        pool.state = state;
        match state {
            ModelState::Active => {
                pool.end_hold();
                pool.order_load(now);
            }
            ModelState::Retired => self.end_all_waiting(index, &Failure::ModelRetired, now),
        }
        Ok(())
    }

    fn pool_named(&self, id: &PoolId) -> Result<usize, Refusal> {
        self.pools.iter().position(|pool| pool.setup.id == *id).ok_or_else(|| {
            let names: Vec<_> = self.pools.iter().map(|pool| pool.setup.id.as_str()).collect();
            Refusal::NotFound(format!("there is no pool `{id}`: there is `{}`", names.join("`, `")))
        })
    }

    fn session(&self, id: SessionId, now: Timestamp) -> Result<SessionView, Refusal> {
        for pool in &self.pools {
            let sessions = pool.scheduler.sessions();
            let (Some(session), Some(ttl_remaining)) =
                (sessions.get(id, now), sessions.ttl_remaining(id, now))
            else {
                continue;
            };
            let engine = session.home().and_then(|home| pool.engine(&home.replica));
            let kv = engine.and_then(|engine| engine.session_kv(id));
            let kv_warmth = kv.map_or(0.0, |kv| match kv.tokens_at_end.0 {
                0 => 0.0,
                #[expect(
                    clippy::cast_precision_loss,
                    reason = "a share of tokens needs no more than 24 bits"
                )]
                had => kv.tokens.0.min(had) as f32 / had as f32,
            });
            let kv_bytes = kv.map_or(0, |kv| kv.bytes);
            return Ok(SessionView { ttl_remaining, turns: session.turns(), kv_bytes, kv_warmth });
        }
        Err(no_session(id))
    }

    fn evict_session(&mut self, id: SessionId, now: Timestamp) -> Result<(), Refusal> {
        let mut found = false;
        for pool in &mut self.pools {
            found |= pool.scheduler.sessions().get(id, now).is_some();
            let home = pool.scheduler.forget_session(id).and_then(|forgotten| forgotten.home);
            if let Some(home) = home
                && let Some(engine) = pool.engine(&home.replica)
            {
                engine.evict_session(id);
            }
        }
        if found { Ok(()) } else { Err(no_session(id)) }
    }
}

fn queue_full(pool: &Pool, priority: Priority, rejection: Rejection) -> Refusal {
    match rejection.reason {
        RejectionReason::QueueFull => {
            let limits = &pool.setup.queue;
            let bound = match priority {
                Priority::Interactive => limits.interactive,
                Priority::Batch => limits.batch,
            };
            Refusal::QueueFull {
                pool: pool.setup.id.clone(),
                priority,
                bound: u32::try_from(bound).unwrap_or(u32::MAX),
                retry_after: rejection.retry_after,
            }
        }
        // The table of tasks was asked first, so the two disagree.
        RejectionReason::Duplicate => Refusal::Internal,
    }
}

/// Bytes of text that a token stands for in most tokenizers and languages, roughly: the prediction of a task
/// whose engine is not there yet to count.
const BYTES_PER_TOKEN: usize = 4;

/// About how many tokens an input has.
fn rough_tokens(input: &Input) -> TokenCount {
    let bytes: usize = match input {
        Input::Prompt(prompt) => prompt.len(),
        Input::Messages(messages) => messages.iter().map(|message| message.bytes()).sum(),
        Input::Inputs(inputs) => inputs.iter().map(String::len).sum(),
    };
    TokenCount(u32::try_from(bytes.div_ceil(BYTES_PER_TOKEN)).unwrap_or(u32::MAX))
}

pub(super) fn no_task(id: TaskId) -> Refusal {
    Refusal::NotFound(format!(
        "there is no task {id}: it was never admitted here, or it ended too long ago (`stream.keep_finished_s`)"
    ))
}

fn no_session(id: SessionId) -> Refusal {
    Refusal::NotFound(format!("there is no session {id}: it was never used, was evicted, or ran out"))
}
