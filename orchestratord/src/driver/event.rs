//! What the driver reacts to.

use std::sync::Arc;

use generation::EndReport;
use orchestrator_core::TaskId;
use pool_manager::Snapshot;

use crate::pool_protocol::{PoolEvent, PoolKey};
use crate::protocol::Command;

/// Something happened.
#[derive(Debug)]
pub enum Event {
    /// A handler asks for something.
    Command(Command),
    /// An engine reports on one placement of a task.
    Task(RunId, TaskEvent),
    /// How far running tasks are: the result of [`Effect::ReadProgress`](super::Effect::ReadProgress).
    Progress(Vec<(RunId, Work)>),
    /// A log has been closed and holds so many bytes: the result of [`Effect::CloseLog`](super::Effect::CloseLog).
    LogClosed(TaskId, usize),
    /// A pool or a replica of it has changed.
    Pool(PoolKey, PoolEvent),
    /// The devices have been read.
    Devices(Arc<Snapshot>),
    /// A time has come.
    Tick,
}

/// One placement of one task on one engine: what belongs to an earlier placement is recognized and ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RunId {
    /// The task.
    pub task: TaskId,
    /// Which placement of it, from 1.
    pub run: u32,
}

/// An engine's report on a running task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskEvent {
    /// Its first token is in the log.
    FirstToken,
    /// The engine has finished with it.
    End(EndReport),
    /// The engine went away without finishing it.
    Lost,
}

/// The work an engine has done for a task, in units that only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// As the engine counts it ([`Engine::work_done`](engine_api::Engine::work_done)); `None` where it does not.
    pub done: Option<u64>,
    /// Tokens that reached the task's log.
    pub tokens: u32,
}
