//! The way of a task into its queue: [`Command::Route`](crate::protocol::Command::Route) finds its pool,
//! [`Command::Admit`](crate::protocol::Command::Admit) queues it. Between the two a handler has the prompt measured, and
//! anything may happen; so the second asks everything again.
//!
//! Rules: ORCH-TASK-1, ORCH-TASK-2, ORCH-TASK-9, ORCH-ERR-7, ORCH-REPL-16, ORCH-QUEUE-4, ORCH-MET-2, ORCH-MODEL-15

use std::sync::Arc;

use engine_api::Measured;
use generation::{GenerateRequest, Input, KvHint, Workload};
use orchestrator_core::{
    Admission, Millis, PoolId, Priority, Rejection, RejectionReason, StartForecast, TaskId, TaskSpec,
    Timestamp, TokenCount,
};

use super::effect::Count;
use super::pool::{Pool, PoolSetup, Serving};
use super::task::{Task, TaskState};
use super::task_end::ReplicaLoss;
use super::views::Record;
use super::{Driver, Effect};
use crate::backpressure::{Code, Refusal};
use crate::pool_protocol::PoolKey;
use crate::protocol::{
    Accepted, Admitted, LostEngine, LostState, Measurement, QueuePosition, RouteQuery, Routed, TaskRequest,
};
use crate::state::ModelState;
use crate::task_log::TaskLog;

/// Bytes of text that a token stands for in most tokenizers and languages, roughly: the prediction of a task
/// whose engine is not there yet to count.
const BYTES_PER_TOKEN: usize = 4;

/// The cells that are kept for an answer at most. Most answers are shorter, and agents ask for the longest that there can
/// be; one that grows beyond takes cells that nobody needs, and where there are none it waits in its engine.
const ANSWER_CELLS: TokenCount = TokenCount(2048);

impl Driver {
    pub(super) fn route(&mut self, query: &RouteQuery, now: Timestamp) -> Result<Routed, Refusal> {
        if let Some(accepted) = self.known(query.task, query.fingerprint, now)? {
            return Ok(Routed::Known(accepted));
        }
        self.refuse_while_stopping()?;
        let key = self.pool_for(query)?;
        let pool = &mut self.pools[key];
        let answer = pool.check_serving(now).and_then(|serving| {
            let refused = pool.scheduler.refuse(query.priority, query.fingerprint, now);
            refused.map_err(|rejection| queue_full(pool, query.priority, rejection)).map(|()| serving)
        });
        let load_wait = pool.load_wait(now);
        let PoolSetup { id: pool, engine, defaults, .. } = &pool.setup;
        let (engine, pool, defaults) = (engine.as_str(), pool.clone(), Arc::clone(defaults));
        match answer {
            Ok(Serving::Now(engine)) => Ok(Routed::Measure { pool, engine, defaults }),
            Ok(Serving::AfterLoad) => Ok(Routed::Unmeasured { pool, load_wait, defaults }),
            Err(refusal) => Err(self.rejected(engine, refusal)),
        }
    }

    pub(super) fn admit(
        &mut self,
        request: &TaskRequest,
        pool: &PoolId,
        measurement: Measurement,
        now: Timestamp,
    ) -> Result<Admitted, Refusal> {
        let id = request.id();
        if let Some(accepted) = self.known(id, request.fingerprint, now)? {
            return Ok(Admitted { accepted, source: self.source(id, now)? });
        }
        self.refuse_while_stopping()?;
        // The pool may have been removed while the prompt was measured.
        let key = self.pools.named(pool).ok_or_else(|| Refusal::NoSuchPool(self.pool_removed(pool)))?;
        let engine = self.pools[key].setup.engine.as_str();
        let task = self.queue(key, request, measurement, now);
        let (task, evicted) = task.map_err(|refusal| self.rejected(engine, refusal))?;
        let accepted = task.accepted;
        self.tasks.insert(id, task);
        if let Some(evicted) = evicted {
            self.effects.push(Effect::Count(Count::Rejected(engine, Code::QueueFullDropLru)));
            let retry_after = self.pools[key].scheduler.next_departure(request.job.priority, now);
            self.end_evicted(evicted, retry_after, now);
        }
        let source = self.source_at(id, accepted.position)?;
        Ok(Admitted { accepted, source })
    }

    /// Puts a new task into the queue of a pool. Returns it, and the task that left for it.
    fn queue(
        &mut self,
        key: PoolKey,
        request: &TaskRequest,
        Measurement { measured, failures }: Measurement,
        now: Timestamp,
    ) -> Result<(Task, Option<TaskId>), Refusal> {
        let pool = &mut self.pools[key];
        // The pool may have been retired, or have failed, while the prompt was measured.
        pool.check_serving(now)?;
        let (id, priority) = (request.id(), request.job.priority);
        let tokens_in = measured.map_or_else(|| rough_tokens(&request.job.input), |measured| measured.tokens);
        let caller = request.fingerprint;
        let (position, evicted) = match pool.scheduler.admit(spec(request, tokens_in, measured), caller, now)
        {
            Admission::Queued { position, evicted } => (position, evicted),
            Admission::Rejected(rejection) => return Err(queue_full(pool, priority, rejection)),
        };
        if let Some(keep_alive) = request.keep_alive {
            pool.keep_alive(keep_alive);
        }
        let start = pool.scheduler.first_forecast(id, now).unwrap_or_default();
        let full = pool.scheduler.check(priority, caller, now).err();
        let backoff = full.map_or(Millis(0), |full| full.retry_after);
        let queue_position = u32::try_from(position).unwrap_or(u32::MAX);
        let load_wait = pool.load_wait(now).0;
        let predicted_start = Millis(start.expected.0 + load_wait);
        let predicted_start_p90 = Millis(start.late.0 + load_wait);
        let position = QueuePosition { queue_position, predicted_start, predicted_start_p90 };
        let accepted = Accepted { task: id, position, backoff };
        // An error span, so that no level of the log turns it off while its lines are written.
        let span = tracing::error_span!(
            "task", task_id = %id, pool = %pool.setup.id, priority = priority.as_str(), replica = tracing::field::Empty
        );
        tracing::info!(
            parent: &span, tokens_in = tokens_in.0, queue_position, predicted_start_ms = predicted_start.0, "admitted"
        );
        self.effects.push(Effect::Count(Count::Enqueued(pool.labels(), priority)));
        let task = Task {
            pool: key,
            fingerprint: request.fingerprint,
            accepted,
            admitted_at: now,
            tokens_in,
            log: TaskLog::new(),
            span,
            record: Record::new(&request.job, &pool.setup, failures),
            state: TaskState::Waiting { job: Arc::clone(&request.job) },
        };
        Ok((task, evicted))
    }

    /// An engine could not measure a prompt. Its supervisor may not have said so yet, and until then the next task would
    /// be given to it.
    pub(super) fn engine_lost(&mut self, lost: LostEngine, now: Timestamp) {
        let LostEngine { engine, state, reason } = lost;
        let of_pool = |pool: &Pool| Some((pool.key(), pool.replica_of(&engine)?));
        let Some((key, replica)) = self.pools.iter().find_map(of_pool) else { return };
        match state {
            LostState::Gone => self.replica_lost(key, &replica, &ReplicaLoss::Died(reason), now),
            LostState::Suspended => self.pools[key].suspended_by_task(&replica, reason, now),
        }
    }

    /// The task of this id when it is here and the same, a refusal when it is here and another.
    fn known(&self, id: TaskId, fingerprint: u64, now: Timestamp) -> Result<Option<Accepted>, Refusal> {
        let Some(task) = self.tasks.get(id) else { return Ok(None) };
        if task.fingerprint != fingerprint {
            return Err(Refusal::Invalid(format!(
                "`task_id` is {id}, which is another task already: leave it out, or make a new one"
            )));
        }
        Ok(Some(Accepted { position: self.position(id, now), ..task.accepted }))
    }

    fn pool_for(&self, query: &RouteQuery) -> Result<PoolKey, Refusal> {
        let fits = |pool: &Pool| {
            query.engine.is_none_or(|engine| pool.setup.engine == engine)
                && query.model_ref.as_ref().is_none_or(|model| pool.answers_to(model))
        };
        let fitting = || self.pools.configured().filter(|pool| fits(pool));
        let active = || fitting().filter(|pool| pool.state() == ModelState::Active);
        let found = active().find(|pool| pool.offers(query.workload)).or_else(|| active().next());
        match found.or_else(|| fitting().next()) {
            Some(pool) => Ok(pool.key()),
            None => Err(Refusal::NoSuchPool(self.no_such_pool(query))),
        }
    }

    fn no_such_pool(&self, query: &RouteQuery) -> String {
        let models = self.names(&|pool| pool.setup.model_ref.clone());
        let engines = self.names(&|pool| pool.setup.engine.as_str().to_owned());
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

    fn pool_removed(&self, pool: &PoolId) -> String {
        let models = self.names(&|pool| pool.setup.model_ref.clone());
        format!("pool `{pool}` was removed from the configuration: there is {models}")
    }

    /// The names of all pools.
    fn names(&self, name: &dyn Fn(&Pool) -> String) -> String {
        let mut names: Vec<String> = self.pools.configured().map(name).collect();
        names.dedup();
        format!("`{}`", names.join("`, `"))
    }

    pub(super) fn position(&self, id: TaskId, now: Timestamp) -> QueuePosition {
        let task = self.tasks.get(id);
        let pool = task.and_then(|task| self.pools.get(task.pool));
        let start = pool.and_then(|pool| pool.scheduler.predicted_start(id, now));
        self.position_with(id, start.unwrap_or_default(), now)
    }

    /// The same for a task whose start has been computed.
    pub(super) fn position_with(&self, id: TaskId, start: StartForecast, now: Timestamp) -> QueuePosition {
        let pool = self.tasks.get(id).and_then(|task| self.pools.get(task.pool));
        match pool.and_then(|pool| Some((pool.scheduler.position(id, now)?, pool.load_wait(now).0))) {
            Some((position, load_wait)) => QueuePosition {
                queue_position: u32::try_from(position).unwrap_or(u32::MAX),
                predicted_start: Millis(start.expected.0 + load_wait),
                predicted_start_p90: Millis(start.late.0 + load_wait),
            },
            None => {
                let zero = Millis(0);
                QueuePosition { queue_position: 0, predicted_start: zero, predicted_start_p90: zero }
            }
        }
    }

    fn rejected(&mut self, engine: &'static str, refusal: Refusal) -> Refusal {
        self.effects.push(Effect::Count(Count::Rejected(engine, refusal.verdict().code)));
        refusal
    }
}

fn spec(request: &TaskRequest, tokens_in: TokenCount, measured: Option<Measured>) -> TaskSpec {
    let answers = request.workload() == Workload::Completion;
    TaskSpec {
        id: request.id(),
        priority: request.job.priority,
        // A task that uses no cache has no reason to go where its session's is, and leaves none behind.
        session: request.job.session.filter(|_| request.job.kv == KvHint::Reuse),
        ctx: measured.map(|measured| context_of(&request.job, measured)),
        cells: cells_of(&request.job, measured.map_or(tokens_in, |measured| measured.longest)),
        tokens_in,
        max_tokens: request.job.max_tokens,
        expected_tokens: if answers { request.expected_tokens } else { Some(TokenCount(0)) },
    }
}

/// Tokens of context that a measured task needs: its prompt and its answer, or what it asks for.
fn context_of(job: &GenerateRequest, measured: Measured) -> TokenCount {
    let answer = match job.workload {
        Workload::Completion => job.max_tokens.map_or(1, |most| most.0),
        Workload::Embedding | Workload::Rerank => 0,
    };
    let together = TokenCount(measured.longest.0.saturating_add(answer));
    job.ctx.map_or(together, |asked| asked.max(together))
}

/// Cells of a shared KV cache that are kept for a task: its prompt, and a part of its answer.
fn cells_of(job: &GenerateRequest, prompt: TokenCount) -> TokenCount {
    let answer = match job.workload {
        Workload::Completion => job.max_tokens.map_or(ANSWER_CELLS, |most| most.min(ANSWER_CELLS)),
        // They do not stay in the cache.
        Workload::Embedding | Workload::Rerank => return TokenCount(0),
    };
    let together = TokenCount(prompt.0.saturating_add(answer.0));
    job.ctx.map_or(together, |asked| asked.min(together))
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

/// About how many tokens an input has.
fn rough_tokens(input: &Input) -> TokenCount {
    let bytes: usize = match input {
        Input::Prompt(prompt) => prompt.len(),
        Input::Messages(messages) => messages.iter().map(|message| message.bytes()).sum(),
        Input::Inputs(inputs) => inputs.iter().map(String::len).sum(),
        Input::Infill(infill) => infill.bytes(),
    };
    TokenCount(u32::try_from(bytes.div_ceil(BYTES_PER_TOKEN)).unwrap_or(u32::MAX))
}
