//! Reports of engines on tasks, and of supervisors on replicas.

use engine_api::ExitReason;
use orchestrator_core::{ReplicaId, Timestamp};
use pool_manager::{DownReason, ReplicaEvent, ReplicaEventKind};

use super::Driver;
use super::event::{RunId, TaskEvent};
use super::task::TaskState;
use super::task_end::ReplicaLoss;
use crate::pool_protocol::PoolKey;

impl Driver {
    /// Takes a report on one placement of a task.
    pub(super) fn task_event(&mut self, run: RunId, event: TaskEvent, now: Timestamp) {
        let Some(task) = self.tasks.get_mut(run.task) else { return };
        if task.record.runs() != run.run {
            return;
        }
        match (&mut task.state, event) {
            (TaskState::Running(running), TaskEvent::FirstToken) => {
                running.first_token_at.get_or_insert(now);
                if task.record.has_said_nothing() {
                    self.history.read(&self.pools[task.pool].setup.id, task.tokens_in.0.into(), now);
                }
                task.record.token(now);
                self.pools[task.pool].scheduler.first_token(run.task, now);
            }
            (TaskState::Running(_), TaskEvent::End(report)) => self.ended_by_engine(run.task, report, now),
            (TaskState::Leaving { .. }, TaskEvent::End(report)) => {
                self.left_engine(run.task, Some(&report), now)
            }
            (TaskState::Running(_) | TaskState::Leaving { .. }, TaskEvent::Lost) => {
                let (pool, replica) = (task.pool, task.placement().map(|(replica, _)| replica.clone()));
                let replica = replica.expect("it is placed");
                self.replica_lost(pool, &replica, &ReplicaLoss::Died("the engine went away".into()), now);
            }
            (TaskState::Leaving { .. }, TaskEvent::FirstToken)
            | (TaskState::Waiting { .. } | TaskState::Ended, _) => {}
        }
    }

    /// Takes a report on a replica.
    pub(super) fn replica_event(&mut self, key: PoolKey, event: ReplicaEvent, now: Timestamp) {
        let ReplicaEvent { replica, kind } = event;
        let Some(pool) = self.pools.get_mut(key) else { return };
        if !pool.has(&replica) {
            // Others took its place, and it was not ready then.
            return;
        }
        match kind {
            ReplicaEventKind::Starting { progress } => pool.loading(&replica, progress, now),
            ReplicaEventKind::Ready { engine, self_test } => {
                let facts = engine.facts();
                tracing::info!(
                    %replica, model = facts.model.name, engine_version = facts.version, build = facts.build,
                    slots = facts.slots, ctx = facts.ctx.0, kv_cells = facts.kv_cells.map(|cells| cells.0), load_ms = facts.load_ms.0,
                    prefill_tps = self_test.prefill_tps, decode_tps = self_test.decode_tps,
                    decode_tps_batched = self_test.batched.map(|batched| batched.decode_tps), "replica ready"
                );
                pool.ready(&replica, engine, &self_test, now);
            }
            ReplicaEventKind::Suspended { reason } => pool.suspended(&replica, reason, now),
            ReplicaEventKind::Resumed => pool.resumed(&replica, now),
            ReplicaEventKind::Gone { reason } => {
                self.replica_lost(key, &replica, &ReplicaLoss::Died(reason.to_string()), now);
            }
            ReplicaEventKind::BackingOff { delay, breaker, reason, .. } => {
                // One that was ended here was ended for a reason that is known here.
                let ended_here = reason == DownReason::Gone(ExitReason::Stopped);
                let reason = (!ended_here).then(|| reason.to_string());
                pool.backs_off(&replica, now.after(delay), reason, breaker);
            }
            ReplicaEventKind::Failed { error, retry_in } => {
                pool.failed_for_good(&replica, now.after(retry_in), error.to_string());
            }
        }
    }

    /// The engine of a replica is gone, with the tasks in it. Reported more than once: by its
    /// tasks and from its supervisor, in any order.
    pub(super) fn replica_lost(
        &mut self,
        key: PoolKey,
        replica: &ReplicaId,
        loss: &ReplicaLoss,
        now: Timestamp,
    ) {
        let pool = &mut self.pools[key];
        pool.gone(replica, loss.reason(), now);
        // The youngest first, each put to the front: they keep their order.
        for id in pool.scheduler.replica_gone(replica) {
            self.placement_lost(id, loss, now);
        }
    }
}
