//! What handlers ask of the driver, apart from the way of a task into its queue.
//!
//! Rules: ORCH-CANCEL-2, ORCH-SESS-1

use std::sync::Arc;

use orchestrator_core::{PoolId, SessionId, TaskId, Timestamp};

use super::{Driver, Effect};
use crate::backpressure::Refusal;
use crate::pool_protocol::{PoolKey, ReloadOrder, ReloadOutcome, Rollback, RollbackCode};
use crate::protocol::{Command, QueuePosition, Reply, ReplyTo, SessionState, StayChange, SubscriptionSource};
use crate::state::ModelState;

impl Driver {
    /// Carries a command out.
    pub(super) fn command(&mut self, command: Command, now: Timestamp) {
        let reply = match command {
            Command::Route(query, to) => Reply::Route(to, self.route(&query, now)),
            Command::Admit(request, pool, measurement, to) => {
                Reply::Admit(to, self.admit(&request, &pool, measurement, now))
            }
            Command::EngineLost(lost) => return self.engine_lost(lost, now),
            Command::Cancel(task, to) => Reply::Done(to, self.cancel(task, now)),
            Command::Subscribe(task, to) => Reply::Subscribe(to, self.source(task, now)),
            Command::Session(session, to) => Reply::Session(to, self.session(session, now)),
            Command::EvictSession(session, to) => Reply::Done(to, self.evict_session(session, now)),
            Command::Reload(pool, order, to) => return self.reload(&pool, order, to),
            Command::CancelConfigReload(pool) => {
                if let Some(key) = self.pools.named(&pool) {
                    self.pools[key].cancel_config_reload(&mut self.effects);
                }
                return;
            }
            Command::SetModelState(pool, state, to) => {
                Reply::Done(to, self.set_model_state(&pool, state, now))
            }
            Command::SetModelStay(pool, change, to) => {
                Reply::Done(to, self.set_model_stay(&pool, change, now))
            }
            Command::Configure(new, to) => Reply::Configure(to, self.configure(*new, now)),
            Command::Tasks(limit, to) => Reply::Tasks(to, self.task_records(limit, now)),
            Command::Task(task, to) => Reply::Task(to, Box::new(self.task_story(task, now))),
            Command::Figures(to) => Reply::Figures(to, self.history.view(now)),
            Command::AskedBy(task, client) => {
                if let Some(task) = self.tasks.get_mut(task) {
                    task.record.asked_by(client);
                }
                return;
            }
            Command::Health(to) => Reply::Health(to, self.health(now)),
            Command::BeginStop(idle) => return self.begin_stop(idle, now),
            Command::EndRunning(to) => {
                self.end_running(now);
                Reply::Stop(to)
            }
        };
        self.effects.push(Effect::Reply(reply));
    }

    /// What a subscription to a task is made from.
    pub(super) fn source(&self, id: TaskId, now: Timestamp) -> Result<SubscriptionSource, Refusal> {
        self.source_at(id, self.position(id, now))
    }

    /// The same of a task that is known to stand so: an estimate costs more than all else here.
    pub(super) fn source_at(
        &self,
        id: TaskId,
        position: QueuePosition,
    ) -> Result<SubscriptionSource, Refusal> {
        let task = self.tasks.get(id).ok_or_else(|| no_task(id))?;
        let engine = task.record.engine();
        Ok(SubscriptionSource { position, engine, log: Arc::clone(&task.log) })
    }

    fn reload(&mut self, pool: &PoolId, order: ReloadOrder, to: ReplyTo<Result<ReloadOutcome, Refusal>>) {
        let refused = |code, message: &str| Ok(Err(Rollback { code, message: message.to_owned() }));
        let stopping = !self.is_serving();
        let reply = match self.pool_named(pool) {
            Err(refusal) => Err(refusal),
            Ok(_) if stopping => refused(RollbackCode::Stopping, "the daemon is stopping"),
            Ok(key) if order.options.is_some() => {
                return self.pools[key].reload_by_config(order, to, &mut self.effects);
            }
            Ok(key) if self.pools[key].state() == ModelState::Retired => {
                refused(RollbackCode::ModelRetired, "the pool's model is retired: activate it first")
            }
            Ok(key) if self.pools[key].may_reload() => {
                return self.pools[key].order_reload(order, to, &mut self.effects);
            }
            Ok(_) => {
                let message = "the pool's model is being changed or unloaded already";
                refused(RollbackCode::ReloadInProgress, message)
            }
        };
        self.effects.push(Effect::Reply(Reply::Reload(to, reply)));
    }

    fn set_model_state(&mut self, pool: &PoolId, state: ModelState, now: Timestamp) -> Result<(), Refusal> {
        self.refuse_while_stopping()?;
        let key = self.pool_named(pool)?;
        let pool = &mut self.pools[key];
        if pool.state() == state {
            return Ok(());
        }
        tracing::info!(pool = %pool.setup.id, state = state.as_str(), "model state");
        match state {
            ModelState::Active => pool.activate(now, &mut self.effects),
            ModelState::Retired => pool.retire(&mut self.effects),
        }
        Ok(())
    }

    fn set_model_stay(&mut self, pool: &PoolId, change: StayChange, now: Timestamp) -> Result<(), Refusal> {
        self.refuse_while_stopping()?;
        let key = self.pool_named(pool)?;
        let pool = &mut self.pools[key];
        if pool.state() == ModelState::Retired {
            return Err(Refusal::ModelRetired { pool: pool.setup.id.clone() });
        }
        if let Some(keep_alive) = change.keep_alive {
            pool.keep_alive(keep_alive);
        }
        if let Some(pinned) = change.pinned {
            tracing::info!(pool = %pool.setup.id, pinned, "model pin");
            pool.set_pinned(pinned);
        }
        if change.load {
            pool.load(now, &mut self.effects);
        }
        Ok(())
    }

    fn pool_named(&self, id: &PoolId) -> Result<PoolKey, Refusal> {
        self.pools.named(id).ok_or_else(|| {
            let names: Vec<_> = self.pools.configured().map(|pool| pool.setup.id.as_str()).collect();
            Refusal::NotFound(format!("there is no pool `{id}`: there is `{}`", names.join("`, `")))
        })
    }

    fn session(&self, id: SessionId, now: Timestamp) -> Result<SessionState, Refusal> {
        for pool in self.pools.iter() {
            let sessions = pool.scheduler.sessions();
            let (Some(session), Some(ttl_remaining)) =
                (sessions.get(id, now), sessions.ttl_remaining(id, now))
            else {
                continue;
            };
            let home = session.home().and_then(|home| pool.engine(&home.replica)).cloned();
            return Ok(SessionState { ttl_remaining, turns: session.turns(), home });
        }
        Err(no_session(id))
    }

    fn evict_session(&mut self, id: SessionId, now: Timestamp) -> Result<(), Refusal> {
        let mut found = false;
        for pool in self.pools.as_mut_slice() {
            found |= pool.scheduler.sessions().get(id, now).is_some();
            let home = pool.scheduler.forget_session(id).and_then(|forgotten| forgotten.home);
            if let Some(engine) = home.and_then(|home| pool.engine(&home.replica)).cloned() {
                self.effects.push(Effect::EvictSession { session: id, engine });
            }
        }
        if found { Ok(()) } else { Err(no_session(id)) }
    }
}

pub(super) fn no_task(id: TaskId) -> Refusal {
    Refusal::NotFound(format!(
        "there is no task {id}: it was never admitted here, or it ended too long ago (`stream.keep_finished_s`)"
    ))
}

fn no_session(id: SessionId) -> Refusal {
    Refusal::NotFound(format!("there is no session {id}: it was never used, was evicted, or ran out"))
}
