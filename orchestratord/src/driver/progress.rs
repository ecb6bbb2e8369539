//! The search for work that hangs. Progress is the work that an engine reports for each task, not its text: a long
//! prompt, a `strict` one and a batch of embeddings make progress before there is any.
//!
//! A placement that makes none for longer than its work explains is *stalled*. Where all placements of a replica are,
//! the replica hangs and is ended. Where others go on, the one alone is taken out of its engine: it is retried where
//! nothing was said yet, and ends otherwise.
//!
//! Rules: ORCH-REPL-9, ORCH-REPL-13

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use orchestrator_core::{Millis, ReplicaId, TaskId, Timestamp};

use super::event::{RunId, Work};
use super::pool::silence_bound;
use super::task::TaskState;
use super::task_end::ReplicaLoss;
use super::{Driver, Effect, PROGRESS_CHECK};
use crate::pool_protocol::PoolKey;
use crate::task_log::PromptProgress;

/// A placement as this file looks at it.
struct Placement {
    task: TaskId,
    silent: Duration,
    bound: Duration,
    /// Whether its readers have had its end already.
    leaving: bool,
}

impl Driver {
    /// Asks for the progress of what runs, once in [`PROGRESS_CHECK`].
    pub(super) fn look_for_progress(&mut self, now: Timestamp) {
        if now < self.looked_at.after(PROGRESS_CHECK) {
            return;
        }
        self.looked_at = now;
        let mut runs = Vec::new();
        for (id, task) in self.tasks.iter() {
            let Some((replica, _)) = task.placement() else { continue };
            if let Some(engine) = self.pools[task.pool].engine(replica) {
                let run = RunId { task: id, run: task.record.runs() };
                runs.push((run, Arc::clone(engine), Arc::clone(&task.log)));
            }
        }
        if !runs.is_empty() {
            self.effects.push(Effect::ReadProgress(runs));
        }
    }

    /// Takes readings in, and ends what has been silent for too long.
    pub(super) fn progress(&mut self, readings: &[(RunId, Work)], now: Timestamp) {
        for (run, work) in readings {
            let Some(task) = self.tasks.get_mut(run.task).filter(|task| task.record.runs() == run.run) else {
                continue;
            };
            let wrote = task.record.wrote(work.tokens.into());
            self.history.wrote(&self.pools[task.pool].setup.id, wrote, now);
            match &mut task.state {
                TaskState::Running(running) => running.progress.read(*work, now),
                TaskState::Leaving { progress, .. } => progress.read(*work, now),
                TaskState::Waiting { .. } | TaskState::Ended => {}
            }
            if let Some(read) = task.tokens_read() {
                task.log.reads_prompt(PromptProgress { read, of: task.tokens_in });
            }
        }
        for place in 0..self.pools.len() {
            let key = self.pools.key_at(place);
            for (replica, placements) in self.placements(key, now) {
                self.end_stalled(key, &replica, &placements, now);
            }
        }
    }

    /// The placements of each replica of a pool.
    fn placements(&self, key: PoolKey, now: Timestamp) -> BTreeMap<ReplicaId, Vec<Placement>> {
        let pool = &self.pools[key];
        let mut by_replica: BTreeMap<ReplicaId, Vec<Placement>> = BTreeMap::new();
        for snapshot in pool.scheduler.replicas().filter(|replica| replica.busy > 0) {
            let tasks: Vec<_> = pool
                .scheduler
                .running_on(&snapshot.replica)
                .filter_map(|id| Some((id, self.tasks.get(id)?)))
                .collect();
            // Prompts are read in any order: each may wait for all that is unread.
            let unread: u64 = tasks
                .iter()
                .filter(|(_, task)| matches!(&task.state, TaskState::Running(run) if run.first_token_at.is_none()))
                .map(|(_, task)| u64::from(task.tokens_in.0))
                .sum();
            let bound =
                silence_bound(pool.setup.hang_floor, unread, snapshot.prefill_tps, snapshot.decode_tps);
            let placements = tasks.iter().filter_map(|(id, task)| {
                let (_, progress) = task.placement()?;
                let leaving = matches!(task.state, TaskState::Leaving { .. });
                Some(Placement { task: *id, silent: now.since(progress.since), bound, leaving })
            });
            by_replica.insert(snapshot.replica.clone(), placements.collect());
        }
        by_replica
    }

    fn end_stalled(&mut self, key: PoolKey, replica: &ReplicaId, placements: &[Placement], now: Timestamp) {
        let stalled = |placement: &&Placement| placement.silent >= placement.bound;
        let Some(first) = placements.iter().filter(stalled).map(|placement| placement.silent).min() else {
            return;
        };
        if placements.iter().all(|placement| stalled(&placement)) {
            let engine = self.pools[key].engine(replica).expect("a replica at work has an engine").clone();
            let silent = Millis::from_duration(first);
            tracing::error!(%replica, silent_ms = silent.0, "no progress: the replica is ended");
            self.effects.push(Effect::EndEngine { replica: replica.clone(), engine });
            return self.replica_lost(key, replica, &ReplicaLoss::Hung(silent), now);
        }
        for placement in placements.iter().filter(stalled).filter(|placement| !placement.leaving) {
            self.stalled(placement.task, Millis::from_duration(placement.silent), now);
        }
    }
}
