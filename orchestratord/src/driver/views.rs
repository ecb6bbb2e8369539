//! Tasks in `/v1/tasks`: the record of each task beside its state, and the replies that are made of it.
//!
//! Rules: ORCH-TASK-13, ORCH-PRED-5

use std::collections::HashMap;
use std::sync::Arc;

use engine_api::{EngineFacts, EngineKind};
use generation::{GenerateRequest, Workload};
use orchestrator_core::{
    Millis, PoolId, Priority, ReplicaId, SessionId, StartForecast, TaskId, Timestamp, TokenCount,
};

use super::commands::no_task;
use super::task::{Task, TaskState};
use super::{Driver, PoolSetup};
use crate::backpressure::Refusal;
use crate::task_view::{
    ClientName, PromptPreview, TaskPhase, TaskRecord, TaskRecords, TaskStory, TaskView, Timeline, preview_of,
};

/// What is remembered of a task for as long as it is known.
#[derive(Debug)]
pub struct Record {
    /// The pool that took it.
    pool: PoolId,
    /// The engine that it was given to last; that of its pool before.
    engine: EngineKind,
    session: Option<SessionId>,
    priority: Priority,
    workload: Workload,
    max_tokens: Option<TokenCount>,
    replica: Option<ReplicaId>,
    started_at: Option<Timestamp>,
    first_token_at: Option<Timestamp>,
    ended_at: Option<Timestamp>,
    /// What it was asked, once its job is gone.
    asked: Option<Arc<PromptPreview>>,
    /// Placements so far.
    runs: u32,
    /// Engines that failed with it.
    failures: u8,
    /// Whether its engine goes on behind what is written of its answer.
    continues: bool,
    /// The model that writes it ([`ModelFacts::identity`](engine_api::ModelFacts::identity)), once an engine got it.
    written_by: Option<u64>,
    /// Bytes that are held for it once it has ended.
    held_bytes: usize,
    /// The beginning of what was asked.
    preview: Option<Box<str>>,
    /// What asked, as it calls itself.
    client: Option<ClientName>,
    /// The model that it was given to last, as that calls itself.
    model: Option<Arc<str>>,
    /// Tokens of its answer that are in the figures of the last hours.
    counted_out: u64,
}

impl Record {
    /// Of a task that was just admitted, after so many engines have failed with it.
    #[must_use]
    pub fn new(job: &GenerateRequest, pool: &PoolSetup, failures: u8) -> Self {
        Self {
            pool: pool.id.clone(),
            engine: pool.engine,
            session: job.session,
            priority: job.priority,
            workload: job.workload,
            max_tokens: job.max_tokens,
            replica: None,
            started_at: None,
            first_token_at: None,
            ended_at: None,
            asked: None,
            runs: 0,
            failures,
            continues: false,
            written_by: None,
            held_bytes: 0,
            preview: preview_of(&job.input),
            client: None,
            model: None,
            counted_out: 0,
        }
    }

    /// It was given to a replica with an engine of these facts. Returns the number of this placement.
    pub fn started(&mut self, replica: ReplicaId, facts: &EngineFacts, now: Timestamp) -> u32 {
        self.replica = Some(replica);
        self.engine = facts.kind;
        // Another model's tokens are other words.
        self.continues = facts.abilities.continues
            && (self.has_said_nothing() || self.written_by == Some(facts.model.identity));
        if self.has_said_nothing() {
            self.written_by = Some(facts.model.identity);
        }
        if self.model.as_deref() != Some(facts.model.name.as_str()) {
            self.model = Some(facts.model.name.as_str().into());
        }
        self.started_at = Some(now);
        self.runs += 1;
        self.runs
    }

    /// What asked for it.
    pub fn asked_by(&mut self, client: ClientName) {
        self.client.get_or_insert(client);
    }

    /// So many tokens of its answer are there, over all of its placements. Returns how many of them are new.
    pub fn wrote(&mut self, tokens: u64) -> u64 {
        // A vector or a score is no token.
        if self.workload != Workload::Completion {
            return 0;
        }
        let new = tokens.saturating_sub(self.counted_out);
        self.counted_out += new;
        new
    }

    /// Its lane.
    #[must_use]
    pub fn priority(&self) -> Priority {
        self.priority
    }

    /// Placements so far.
    #[must_use]
    pub fn runs(&self) -> u32 {
        self.runs
    }

    /// An engine failed with it in it. Returns how many have.
    pub fn failed(&mut self) -> u8 {
        self.failures = self.failures.saturating_add(1);
        self.failures
    }

    /// Engines that failed with it in them.
    #[must_use]
    pub fn failures(&self) -> u8 {
        self.failures
    }

    /// Its engine.
    #[must_use]
    pub fn engine(&self) -> EngineKind {
        self.engine
    }

    /// Whether no token of it has come.
    #[must_use]
    pub fn has_said_nothing(&self) -> bool {
        self.first_token_at.is_none()
    }

    /// Whether its engine goes on behind what is written of its answer.
    #[must_use]
    pub fn continues(&self) -> bool {
        self.continues
    }

    /// A token of it has come.
    pub fn token(&mut self, now: Timestamp) {
        self.first_token_at.get_or_insert(now);
    }

    /// It was put back into the queue.
    pub fn put_back(&mut self) {
        self.started_at = None;
    }

    /// It has ended.
    pub fn ended(&mut self, job: Option<&GenerateRequest>, now: Timestamp) {
        self.ended_at.get_or_insert(now);
        if let Some(job) = job {
            self.asked.get_or_insert_with(|| Arc::new(PromptPreview::of(&job.input)));
        }
    }

    /// Bytes that are held for it once it has ended.
    #[must_use]
    pub fn held_bytes(&self) -> u64 {
        let texts = self.preview.as_deref().map_or(0, str::len);
        (self.held_bytes + texts + self.asked.as_ref().map_or(0, |asked| asked.held_bytes())) as u64
    }

    /// So many bytes more are held for it.
    pub fn add_held_bytes(&mut self, bytes: usize) {
        self.held_bytes += bytes;
    }

    fn course(&self, admitted_at: Timestamp) -> Timeline {
        let since = |at: Timestamp| Millis::from_duration(at.since(admitted_at));
        Timeline {
            replica: self.replica.clone(),
            placements: self.runs,
            started: self.started_at.map(since),
            first_token: self.first_token_at.map(since),
            ended: self.ended_at.map(since),
        }
    }
}

impl Driver {
    /// The tasks, at most `limit` of each kind.
    pub(super) fn task_records(&self, limit: usize, now: Timestamp) -> TaskRecords {
        let mut running = Vec::new();
        let mut waiting = Vec::new();
        let mut leaving = Vec::new();
        for (id, task) in self.tasks.iter() {
            match &task.state {
                TaskState::Running(run) => running.push((run.started_at, id)),
                TaskState::Waiting { .. } => {
                    let position = self.pools[task.pool].scheduler.position(id, now);
                    waiting.push((position, task.admitted_at, id));
                }
                TaskState::Leaving { .. } => leaving.push(id),
                TaskState::Ended => {}
            }
        }
        running.sort_unstable();
        waiting.sort_unstable();
        let starts = self.predicted_starts(limit, now);
        let ended = leaving.iter().copied().chain(self.tasks.last_ended());
        let shown = running.iter().map(|(_, id)| *id).take(limit);
        let shown = shown.chain(waiting.iter().map(|(.., id)| *id).take(limit)).chain(ended.take(limit));
        TaskRecords {
            running: running.len(),
            waiting: waiting.len(),
            ended: leaving.len() + self.tasks.ended_count(),
            tasks: shown
                .filter_map(|id| Some(self.task_record(id, self.tasks.get(id)?, starts.get(&id), now)))
                .collect(),
        }
    }

    /// When the first tasks of each lane will start, as many as may be shown.
    fn predicted_starts(&self, limit: usize, now: Timestamp) -> HashMap<TaskId, StartForecast> {
        let lanes = self.pools.iter().flat_map(|pool| Priority::ALL.map(|lane| (pool, lane)));
        lanes.flat_map(|(pool, lane)| pool.scheduler.predicted_starts(lane, limit, now)).collect()
    }

    /// One task, with what it was asked and its output.
    pub(super) fn task_story(&self, id: TaskId, now: Timestamp) -> Result<TaskStory, Refusal> {
        let task = self.tasks.get(id).ok_or_else(|| no_task(id))?;
        let asked =
            task.record.asked.clone().or_else(|| Some(Arc::new(PromptPreview::of(&task.job()?.input))));
        let asked = asked.ok_or(Refusal::Internal)?;
        let TaskRecord { view, log } = self.task_record(id, task, None, now);
        Ok(TaskStory { view, asked, log })
    }

    /// A task as it is shown. Its start is computed where it is not given.
    fn task_record(
        &self,
        id: TaskId,
        task: &Task,
        start: Option<&StartForecast>,
        now: Timestamp,
    ) -> TaskRecord {
        let phase = match (&task.state, start) {
            (TaskState::Waiting { .. }, Some(start)) => {
                TaskPhase::Waiting(self.position_with(id, *start, now))
            }
            (TaskState::Waiting { .. }, None) => TaskPhase::Waiting(self.position(id, now)),
            _ => TaskPhase::Running,
        };
        let view = TaskView {
            task: id,
            session: task.record.session,
            pool: task.record.pool.clone(),
            engine: task.record.engine,
            priority: task.record.priority,
            workload: task.record.workload,
            phase,
            tokens_in: task.tokens_in,
            tokens_out: TokenCount(0),
            max_tokens: task.record.max_tokens,
            age: Millis::from_duration(now.since(task.admitted_at)),
            promised_start: task.accepted.position.predicted_start,
            course: task.record.course(task.admitted_at),
            tokens_read: task.tokens_read(),
            model: task.record.model.clone(),
            client: task.record.client.clone(),
            preview: task.record.preview.as_deref().map(str::to_owned),
        };
        TaskRecord { view, log: Arc::clone(&task.log) }
    }
}
