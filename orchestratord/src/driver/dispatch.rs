//! Tasks to replicas: as many as there are free slots, in the order of the queue.

use std::sync::Arc;

use orchestrator_core::Timestamp;

use super::event::RunId;
use super::task::{Progress, Running, TaskState};
use super::{Driver, Effect};
use crate::pool_protocol::PoolKey;

impl Driver {
    /// Starts the tasks of a pool that can start.
    pub(super) fn dispatch(&mut self, key: PoolKey, now: Timestamp) {
        let pool = &mut self.pools[key];
        while let Some(dispatch) = pool.scheduler.next(now) {
            let task = self.tasks.get_mut(dispatch.task).expect("a scheduled task is in the table");
            let TaskState::Waiting { job } = &task.state else {
                unreachable!("a task that is dispatched has waited")
            };
            let job = Arc::clone(job);
            let Some(engine) = pool.engine(&dispatch.replica).cloned() else {
                unreachable!("a replica that takes tasks has an engine")
            };
            let run = task.record.started(dispatch.replica.clone(), engine.facts(), now);
            if run == 1 {
                let error = pool.prediction_error();
                self.history.started(&pool.setup.id, dispatch.queue_time, error, now);
            }
            let run = RunId { task: dispatch.task, run };
            task.span.record("replica", tracing::field::display(&dispatch.replica));
            tracing::debug!(parent: &task.span, run = run.run, queue_ms = dispatch.queue_time.0, "started");
            self.effects.push(Effect::Submit {
                run,
                job: Arc::clone(&job),
                engine,
                continues: task.record.continues(),
                log: Arc::clone(&task.log),
                span: task.span.clone(),
            });
            task.state = TaskState::Running(Running {
                job,
                replica: dispatch.replica,
                started_at: now,
                first_token_at: None,
                progress: Progress::begins(now),
            });
            pool.used(now);
        }
    }
}
