//! How a task ends, and when it is retried instead. Every path to an end goes through this file.
//!
//! | what happened | before its first token | after it |
//! |---|---|---|
//! | the engine reports `stop` or `length` | end | end |
//! | canceled, evicted, stopping, retired, pool removed | end | end |
//! | the engine is unavailable | back to its place, any number of times | the same, or `WORKER_RESET` |
//! | the engine fails, dies or hangs with the task in it | back to its place, once | the same, or `WORKER_RESET`, `DECODE_TIMEOUT` |
//! | its pool cannot serve for longer than the bound | end (`POOL_UNAVAILABLE`) | |
//!
//! After its first token a task goes back only where its pool's engine goes on behind what is written.
//!
//! Rules: ORCH-TASK-15, ORCH-CANCEL-1, ORCH-CANCEL-3, ORCH-REPL-6, ORCH-REPL-7, ORCH-REPL-8, ORCH-REPL-14,
//! ORCH-REPL-18,
//! ORCH-MET-2

use std::sync::Arc;

use generation::{EndReport, EngineError, Finish};
use orchestrator_core::{CancelOutcome, EndFigures, Millis, TaskId, Timestamp, TokenCount};

use super::commands::no_task;
use super::effect::{Count, TokensOut};
use super::history::Outcome;
use super::task::{Progress, Running, Task, TaskState};
use super::{Driver, Effect};
use crate::backpressure::{Failure, Refusal};
use crate::pool_protocol::PoolKey;
use crate::task_log::{FinishReason, TaskEnd};

/// Engines that may fail with one task, while they measure it or with it in them, before it is given up: it may be why.
pub const FAILURES_MAX: u8 = 2;

/// How a placement was lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ReplicaLoss {
    /// Its engine died, for this reason.
    Died(String),
    /// It made no progress for so long.
    Hung(Millis),
    /// Its engine failed before the first token, for this reason.
    Failed(String),
    /// Its engine takes no work now: that is no failure of the task.
    Unavailable(String),
}

impl ReplicaLoss {
    /// The loss in words, for the log and `/health`.
    pub(super) fn reason(&self) -> String {
        match self {
            Self::Died(reason) | Self::Failed(reason) | Self::Unavailable(reason) => reason.clone(),
            Self::Hung(silent) => format!("made no progress for {} s and was ended", silent.0 / 1000),
        }
    }

    /// Whether the task may be the cause.
    fn counts(&self) -> bool {
        !matches!(self, Self::Unavailable(_))
    }
}

/// How a task ends.
#[derive(Clone, Debug)]
pub(super) enum Ending {
    /// As its engine reports.
    Reported(EndReport),
    /// A client canceled it.
    Canceled,
    /// It failed.
    Failed(Failure),
}

impl Driver {
    /// Cancels a task, wherever it is. Repeating it changes nothing.
    pub(super) fn cancel(&mut self, id: TaskId, now: Timestamp) -> Result<(), Refusal> {
        match self.tasks.get(id).ok_or_else(|| no_task(id))?.state {
            TaskState::Waiting { .. } => self.end_waiting(id, Ending::Canceled, now),
            TaskState::Running(_) => self.end_in_engine(id, Ending::Canceled, now),
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

    /// Ends a task that left the queue for another.
    pub(super) fn end_evicted(&mut self, id: TaskId, retry_after: Millis, now: Timestamp) {
        self.close(id, Ending::Failed(Failure::Evicted { retry_after }), now);
        self.tasks.ended(id, now);
    }

    /// Ends the tasks that wait for a pool, where they wait in vain.
    pub(super) fn end_hopeless(&mut self, key: PoolKey, now: Timestamp) {
        let Some(failure) = self.pools[key].hopeless(now) else { return };
        let waits = |task: &Task| task.pool == key && matches!(task.state, TaskState::Waiting { .. });
        for id in self.tasks.ids(waits) {
            self.end_waiting(id, Ending::Failed(failure.clone()), now);
        }
    }

    /// Ends a task that runs: for its readers now, in its engine within a step.
    pub(super) fn end_in_engine(&mut self, id: TaskId, ending: Ending, now: Timestamp) {
        self.close(id, ending, now);
        let Some(task) = self.tasks.get_mut(id) else { return };
        let TaskState::Running(Running { replica, .. }) = &task.state else { return };
        let replica = replica.clone();
        let pool = &mut self.pools[task.pool];
        let outcome = pool.scheduler.cancel(id);
        debug_assert_eq!(outcome, CancelOutcome::Running(replica.clone()), "a task that runs has a slot");
        if let Some(engine) = pool.engine(&replica).cloned() {
            self.effects.push(Effect::Cancel { task: id, engine, span: task.span.clone() });
        }
        task.state = TaskState::Leaving { replica, progress: Progress::begins(now) };
    }

    /// An engine has reported the end of a task that runs there.
    pub(super) fn ended_by_engine(&mut self, id: TaskId, report: EndReport, now: Timestamp) {
        let ending = match &report.finish {
            Finish::Stop | Finish::Length => Ending::Reported(report.clone()),
            // Nobody here asked for it, so the engine is on its way out.
            Finish::Canceled if !self.is_serving() => Ending::Failed(Failure::Stopping),
            Finish::Canceled | Finish::Failed(EngineError::Lost) => {
                return self.placement_lost(id, &ReplicaLoss::Died("the engine gave it up".to_owned()), now);
            }
            Finish::Failed(EngineError::Unavailable(why)) => {
                return self.engine_failed(id, &ReplicaLoss::Unavailable(why.clone()), now);
            }
            Finish::Failed(EngineError::Failed(why)) => {
                return self.engine_failed(id, &ReplicaLoss::Failed(why.clone()), now);
            }
            Finish::Failed(EngineError::Invalid(what)) => Ending::Failed(Failure::Invalid(what.clone())),
            Finish::Failed(EngineError::Decode(what)) => {
                if let Some(task) = self.tasks.get(id) {
                    tracing::error!(parent: &task.span, reason = what, "decode failed");
                }
                Ending::Failed(Failure::Decode)
            }
        };
        self.close(id, ending, now);
        self.left_engine(id, Some(&report), now);
    }

    /// An engine failed with a task, and takes no other until it says that it does.
    fn engine_failed(&mut self, id: TaskId, loss: &ReplicaLoss, now: Timestamp) {
        if let Some(task) = self.tasks.get(id)
            && let Some((replica, _)) = task.placement()
        {
            let replica = replica.clone();
            self.pools[task.pool].suspended_by_task(&replica, loss.reason(), now);
        }
        self.placement_lost(id, loss, now);
    }

    /// A placement makes no progress while its neighbours do.
    pub(super) fn stalled(&mut self, id: TaskId, silent: Millis, now: Timestamp) {
        let Some(task) = self.tasks.get(id) else { return };
        tracing::error!(parent: &task.span, silent_ms = silent.0, "no progress: the task is taken out of its engine");
        let pool = &self.pools[task.pool];
        if let Some(engine) = task.placement().and_then(|(replica, _)| pool.engine(replica)).cloned() {
            self.effects.push(Effect::Cancel { task: id, engine, span: task.span.clone() });
        }
        self.placement_lost(id, &ReplicaLoss::Hung(silent), now);
    }

    /// A task's placement is gone. The task goes back to its place where nothing was said yet or an engine can go on behind
    /// what was, and ends otherwise.
    pub(super) fn placement_lost(&mut self, id: TaskId, loss: &ReplicaLoss, now: Timestamp) {
        let serving = self.is_serving();
        let task = self.tasks.get_mut(id).expect("a scheduled task is in the table");
        let failures = if loss.counts() { task.record.failed() } else { task.record.failures() };
        let goes_on = task.record.has_said_nothing() || task.record.continues();
        let again = match &task.state {
            TaskState::Running(run) if goes_on && failures < FAILURES_MAX && serving => {
                Some(Arc::clone(&run.job))
            }
            _ => None,
        };
        let Some(job) = again else {
            let pool = &self.pools[task.pool];
            let retry_after = pool.retry_after(task.record.priority(), task.fingerprint, now);
            let failure = match loss {
                _ if !serving => Failure::Stopping,
                _ if failures >= FAILURES_MAX && goes_on => Failure::EnginesFailed,
                ReplicaLoss::Hung(silent) => Failure::DecodeTimeout { silent: *silent, retry_after },
                ReplicaLoss::Died(_) | ReplicaLoss::Failed(_) | ReplicaLoss::Unavailable(_) => {
                    Failure::WorkerReset { retry_after }
                }
            };
            self.effects.push(Effect::Fence(Arc::clone(&task.log)));
            self.close(id, Ending::Failed(failure), now);
            return self.left_engine(id, None, now);
        };
        let written = task.log.tokens().0;
        tracing::warn!(parent: &task.span, reason = loss.reason(), failures, written, "lost: goes on elsewhere");
        self.effects.push(Effect::Fence(Arc::clone(&task.log)));
        task.state = TaskState::Waiting { job };
        task.record.put_back();
        let requeued = self.pools[task.pool].scheduler.requeue(id, now);
        debug_assert!(requeued, "a lost task can be put back");
    }

    /// A task is in no engine any more; its log has been closed.
    pub(super) fn left_engine(&mut self, id: TaskId, report: Option<&EndReport>, now: Timestamp) {
        let Some(task) = self.tasks.get_mut(id) else { return };
        let pool = &mut self.pools[task.pool];
        let Some((replica, _)) = task.placement() else { return };
        let replica = replica.clone();
        let figures = report.map(|report| EndFigures {
            tokens_in: report.tokens_in,
            tokens_cached: report.tokens_cached,
            tokens_out: report.tokens_out,
            prefill: report.prefill_ms,
            decode: report.decode_ms,
        });
        if let Some(figures) = figures {
            let wrote = task.record.wrote(figures.tokens_out.0.into());
            self.history.wrote(&pool.setup.id, wrote, now);
            self.effects.push(Effect::Count(Count::Tokens(
                pool.labels(),
                replica,
                figures.tokens_in.0.into(),
                figures.tokens_out.0.into(),
            )));
        }
        pool.scheduler.finished(id, figures, now);
        pool.used(now);
        self.tasks.ended(id, now);
    }

    /// Decides a task's last event. The first decision counts.
    fn close(&mut self, id: TaskId, ending: Ending, now: Timestamp) {
        let Some(task) = self.tasks.get_mut(id) else { return };
        if task.is_over() {
            return;
        }
        let job = task.job().cloned();
        task.record.ended(job.as_deref(), now);
        let outcome = match &ending {
            Ending::Reported(_) => Some(Outcome::Answered),
            Ending::Failed(_) => Some(Outcome::Failed),
            Ending::Canceled => None,
        };
        if let Some(outcome) = outcome {
            self.history.ended(&self.pools[task.pool].setup.id, outcome, now);
        }
        let (started_at, first_token_at, tokens_in) = match &task.state {
            TaskState::Running(run) => (run.started_at, run.first_token_at, task.tokens_in),
            // No replica has read it.
            TaskState::Waiting { .. } | TaskState::Leaving { .. } | TaskState::Ended => {
                (now, None, TokenCount(0))
            }
        };
        let queue_ms = Millis::from_duration(started_at.since(task.admitted_at));
        let decode_ms = first_token_at.map_or(Millis(0), |first| Millis::from_duration(now.since(first)));
        let (end, tokens_out) = match ending {
            Ending::Reported(report) => (reported(report, queue_ms), TokensOut::Reported),
            Ending::Canceled => (early(tokens_in, queue_ms, decode_ms, None), TokensOut::Written),
            Ending::Failed(failure) => {
                (early(tokens_in, queue_ms, decode_ms, Some(failure)), TokensOut::Written)
            }
        };
        let (log, span) = (Arc::clone(&task.log), task.span.clone());
        self.effects.push(Effect::CloseLog { task: id, log, end, tokens_out, span });
        self.effects.extend(job.map(Effect::Discard));
    }
}

/// The end that an engine reports.
fn reported(report: EndReport, queue_ms: Millis) -> TaskEnd {
    TaskEnd {
        tokens_out: report.tokens_out,
        tokens_reasoning: report.tokens_reasoning,
        tokens_in: report.tokens_in,
        tokens_cached: report.tokens_cached,
        decode_ms: report.decode_ms,
        queue_ms,
        finish: if report.finish == Finish::Length { FinishReason::Length } else { FinishReason::Stop },
        stop_text: report.stop_text,
        failure: None,
        extra: report.extra,
    }
}

/// The end of a task that its engine did not end.
fn early(tokens_in: TokenCount, queue_ms: Millis, decode_ms: Millis, failure: Option<Failure>) -> TaskEnd {
    TaskEnd {
        tokens_out: TokenCount(0),
        tokens_reasoning: None,
        tokens_in,
        tokens_cached: TokenCount(0),
        decode_ms,
        queue_ms,
        finish: if failure.is_some() { FinishReason::Error } else { FinishReason::Canceled },
        stop_text: None,
        failure,
        extra: None,
    }
}
