//! What engines and replicas tell the driver, and how tasks end.

use std::sync::Arc;

use adapter_api::{EndReport, EngineError, ExitReason, Finish};
use orchestrator_core::{EndFigures, Millis, ReplicaId, TaskId, Timestamp, TokenCount};
use pool_manager::{Breaker, DownReason, ReplicaEvent, ReplicaEventKind};

use super::tasks::{Task, TaskState};
use super::{Driver, Mode, News, RunId};
use crate::backpressure::{Failure, Refusal};
use crate::task_log::{FinishReason, TaskEnd};

/// Engines that may die with one task in them before it is given up.
const DEATHS_MAX: u8 = 2;

/// How an engine was lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Loss {
    /// It died, for this reason.
    Died(String),
    /// It was ended because it had been silent for so long.
    Hung(Millis),
}

impl Loss {
    fn reason(&self) -> String {
        match self {
            Self::Died(reason) => reason.clone(),
            Self::Hung(silent) => format!("made no progress for {} s and was ended", silent.0 / 1000),
        }
    }
}

/// How a task ends.
#[derive(Clone, Debug)]
pub(super) enum Ending {
    /// The engine's own last word.
    Reported(EndReport),
    /// Somebody canceled it.
    Canceled,
    /// It failed.
    Failed(Failure),
}

impl Driver {
    /// Takes news of one placement of a task.
    pub(super) fn news(&mut self, run: RunId, news: News, now: Timestamp) {
        let Some(task) = self.tasks.get_mut(run.task) else { return };
        if task.runs != run.run {
            return;
        }
        let pool = &mut self.pools[task.pool];
        match (&mut task.state, news) {
            (TaskState::Running { first_token_at, .. }, News::FirstToken) => {
                first_token_at.get_or_insert(now);
                task.record.token(now);
                pool.scheduler.first_token(run.task, now);
            }
            (TaskState::Running { .. }, News::End(report)) => self.end_running_task(run.task, report, now),
            (TaskState::Leaving { .. }, News::End(report)) => self.has_left(run.task, Some(&report), now),
            (TaskState::Running { replica, .. } | TaskState::Leaving { replica }, News::Lost) => {
                let (pool, replica) = (task.pool, replica.clone());
                self.replica_lost(pool, &replica, Loss::Died("the engine went away".into()), now);
            }
            (TaskState::Leaving { .. }, News::FirstToken)
            | (TaskState::Waiting { .. } | TaskState::Ended, _) => {}
        }
    }

    /// Takes news of a replica.
    pub(super) fn replica(&mut self, event: ReplicaEvent, now: Timestamp) {
        let ReplicaEvent { replica, kind } = event;
        let Some(index) = self.pools.iter().position(|pool| pool.setup.id == replica.pool) else { return };
        let pool = &mut self.pools[index];
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
                    slots = facts.slots, ctx = facts.ctx.0, load_ms = facts.load_ms.0,
                    prefill_tps = self_test.prefill_tps, decode_tps = self_test.decode_tps,
                    decode_tps_in_company = self_test.company.map(|company| company.decode_tps), "replica ready"
                );
                pool.ready(&replica, engine, &self_test, now);
            }
            ReplicaEventKind::Suspended { .. } => pool.scheduler.replica_retiring(&replica),
            ReplicaEventKind::Resumed => pool.scheduler.replica_open(&replica),
            ReplicaEventKind::Gone { reason } => {
                self.replica_lost(index, &replica, Loss::Died(reason.to_string()), now);
            }
            ReplicaEventKind::BackingOff { delay, breaker, reason, .. } => {
                // One that was ended here was ended for a reason that is known here.
                let ended_here = reason == DownReason::Gone(ExitReason::Stopped);
                let reason = (!ended_here).then(|| reason.to_string());
                pool.backs_off(&replica, now.after(delay), reason, breaker);
                self.give_up_waiting(index, now);
            }
            ReplicaEventKind::Failed { error, retry_in } => {
                pool.backs_off(&replica, now.after(retry_in), Some(error.to_string()), Breaker::Open);
                self.give_up_waiting(index, now);
            }
        }
    }

    /// Ends the tasks that wait for a pool that cannot serve: what is told to new tasks holds for them, too.
    pub(super) fn give_up_waiting(&mut self, index: usize, now: Timestamp) {
        if let Err(Refusal::PoolUnavailable { why, retry_after, .. }) = self.pools[index].check_serving(now) {
            self.end_all_waiting(index, &Failure::PoolUnavailable { why, retry_after }, now);
        }
    }

    /// Ends the tasks that wait for a pool.
    pub(super) fn end_all_waiting(&mut self, index: usize, failure: &Failure, now: Timestamp) {
        let waits = |task: &Task| task.pool == index && matches!(task.state, TaskState::Waiting { .. });
        for id in self.tasks.ids(waits) {
            self.end_waiting(id, Ending::Failed(failure.clone()), now);
        }
    }

    /// A replica's engine is gone, and what was in it with it. May be heard of more than once: from its
    /// tasks and from its supervisor, in any order.
    pub(super) fn replica_lost(&mut self, index: usize, replica: &ReplicaId, loss: Loss, now: Timestamp) {
        let pool = &mut self.pools[index];
        pool.gone(replica, loss.reason(), now);
        // The youngest first, each put to the front: they keep their order.
        for id in pool.scheduler.replica_gone(replica) {
            self.task_lost(id, &loss, now);
        }
        self.give_up_waiting(index, now);
    }

    fn task_lost(&mut self, id: TaskId, loss: &Loss, now: Timestamp) {
        let task = self.tasks.get_mut(id).expect("a scheduled task is in the table");
        task.deaths += 1;
        let again = match &task.state {
            TaskState::Running { job, .. } if task.log.is_empty() && task.deaths < DEATHS_MAX => {
                matches!(self.mode, Mode::Serving).then(|| Arc::clone(job))
            }
            _ => None,
        };
        if let Some(job) = again {
            tracing::warn!(task_id = %id, "the engine died before the first token: placed again");
            task.state = TaskState::Waiting { job };
            task.record.put_back();
            let requeued = self.pools[task.pool].scheduler.requeue(id, now);
            debug_assert!(requeued, "a lost task can be put back");
            return;
        }
        let failure = match loss {
            Loss::Hung(silent) => Failure::DecodeTimeout(*silent),
            Loss::Died(_) => Failure::WorkerReset,
        };
        self.close(id, Ending::Failed(failure), now);
        self.has_left(id, None, now);
    }

    fn end_running_task(&mut self, id: TaskId, report: EndReport, now: Timestamp) {
        let stopping = matches!(self.mode, Mode::Stopping { .. });
        let ending = match &report.finish {
            Finish::Stop | Finish::Length => Ending::Reported(report.clone()),
            // Nobody here asked for it, so the engine is on its way out.
            Finish::Canceled if stopping => Ending::Failed(Failure::Stopping),
            Finish::Canceled | Finish::Failed(EngineError::Lost) => Ending::Failed(Failure::WorkerReset),
            Finish::Failed(EngineError::Unavailable(what) | EngineError::Failed(what)) => {
                tracing::warn!(task_id = %id, reason = what, "the engine failed before the first token");
                Ending::Failed(Failure::WorkerReset)
            }
            Finish::Failed(EngineError::Invalid(what)) => Ending::Failed(Failure::Invalid(what.clone())),
            Finish::Failed(EngineError::Decode(what)) => {
                tracing::error!(task_id = %id, reason = what, "decode failed");
                Ending::Failed(Failure::Decode)
            }
        };
        self.close(id, ending, now);
        self.has_left(id, Some(&report), now);
    }

    /// A task is in no engine any more; its log has been closed.
    fn has_left(&mut self, id: TaskId, report: Option<&EndReport>, now: Timestamp) {
        let Some(task) = self.tasks.get(id) else { return };
        let pool = &mut self.pools[task.pool];
        let replica = match &task.state {
            TaskState::Running { replica, .. } | TaskState::Leaving { replica } => replica.to_string(),
            TaskState::Waiting { .. } | TaskState::Ended => return,
        };
        let figures = report.map(|report| EndFigures {
            tokens_in: report.tokens_in,
            tokens_cached: report.tokens_cached,
            tokens_out: report.tokens_out,
            prefill: report.prefill_ms,
            decode: report.decode_ms,
        });
        if let Some(figures) = figures {
            self.metrics.tokens(
                &pool.label(),
                &replica,
                figures.tokens_in.0.into(),
                figures.tokens_out.0.into(),
            );
        }
        pool.scheduler.finished(id, figures, now);
        pool.used(now);
        self.tasks.ended(id, now);
    }

    /// Writes a task's last event.
    pub(super) fn close(&mut self, id: TaskId, ending: Ending, now: Timestamp) {
        let Some(task) = self.tasks.get_mut(id) else { return };
        let job = task.job().cloned();
        task.record.ended(job.as_deref(), now);
        let (started_at, first_token_at, tokens_in) = match &task.state {
            TaskState::Running { started_at, first_token_at, .. } => {
                (*started_at, *first_token_at, task.tokens_in)
            }
            // No replica has read it.
            TaskState::Waiting { .. } | TaskState::Leaving { .. } | TaskState::Ended => {
                (now, None, TokenCount(0))
            }
        };
        let queue_ms = Millis::from_duration(started_at.since(task.admitted_at));
        let decoding = first_token_at.map_or(Millis(0), |first| Millis::from_duration(now.since(first)));
        let closed = task.log.close(|written| match ending {
            Ending::Reported(report) => TaskEnd {
                tokens_out: report.tokens_out,
                tokens_in: report.tokens_in,
                tokens_cached: report.tokens_cached,
                decode_ms: report.decode_ms,
                queue_ms,
                finish: if report.finish == Finish::Length {
                    FinishReason::Length
                } else {
                    FinishReason::Stop
                },
                failure: None,
                own: report.own,
            },
            Ending::Canceled => early(written, tokens_in, queue_ms, decoding, None),
            Ending::Failed(failure) => early(written, tokens_in, queue_ms, decoding, Some(failure)),
        });
        if closed && let Some(end) = task.log.end() {
            tracing::info!(
                task_id = %id, finish = ?end.finish, tokens_in = end.tokens_in.0, tokens_out = end.tokens_out.0,
                queue_ms = end.queue_ms.0, decode_ms = end.decode_ms.0, failure = ?end.failure, "ended"
            );
        }
    }
}

/// The end of a task that its engine did not end.
fn early(
    tokens_out: TokenCount,
    tokens_in: TokenCount,
    queue_ms: Millis,
    decode_ms: Millis,
    failure: Option<Failure>,
) -> TaskEnd {
    let finish = if failure.is_some() { FinishReason::Error } else { FinishReason::Canceled };
    let tokens_cached = TokenCount(0);
    TaskEnd { tokens_out, tokens_in, tokens_cached, decode_ms, queue_ms, finish, failure, own: None }
}
