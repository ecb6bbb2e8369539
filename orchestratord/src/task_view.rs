//! Tasks as whoever looks at them sees them: where each stands, its course so far, what it was asked. Read
//! off the driver's own records; nothing here changes a task.
//!
//! Rules: ORCH-TASK-14, ORCH-TASK-17

use std::sync::Arc;

use engine_api::EngineKind;
use generation::{Input, Message, Role, Workload};
use orchestrator_core::{Millis, PoolId, Priority, ReplicaId, SessionId, TaskId, TokenCount};

use crate::protocol::QueuePosition;
use crate::task_log::{TaskEnd, TaskLog};

/// The most bytes of a task's input that are kept for whoever looks at it. The rest is only counted.
pub const ASKED_BYTES_MAX: usize = 32 * 1024;

/// The most characters of a task's preview, and the most bytes that are read for it.
const PREVIEW_CHARS_MAX: usize = 120;
const PREVIEW_BYTES_READ: usize = 1024;

/// The most characters of a client's name.
const CLIENT_CHARS_MAX: usize = 96;

/// Where a task is.
#[derive(Clone, Debug, PartialEq)]
pub enum TaskPhase {
    /// In an engine.
    Running,
    /// In its pool's queue, at this place.
    Waiting(QueuePosition),
    /// It has had its last event.
    Ended(TaskEnd),
}

/// One task at one moment. Times count from its admission.
#[derive(Clone, Debug)]
pub struct TaskView {
    /// The task.
    pub task: TaskId,
    /// Its conversation.
    pub session: Option<SessionId>,
    /// Its pool.
    pub pool: PoolId,
    /// The pool's engine.
    pub engine: EngineKind,
    /// Its lane.
    pub priority: Priority,
    /// What is asked of the model.
    pub workload: Workload,
    /// Where it is.
    pub phase: TaskPhase,
    /// Tokens of its prompt.
    pub tokens_in: TokenCount,
    /// Tokens of its answer so far.
    pub tokens_out: TokenCount,
    /// The most tokens of its answer.
    pub max_tokens: Option<TokenCount>,
    /// How long ago it was admitted.
    pub age: Millis,
    /// The start that was predicted at its admission.
    pub promised_start: Millis,
    /// Its course.
    pub course: Timeline,
    /// Tokens of its prompt that are read, while it is being read and the engine says.
    pub tokens_read: Option<TokenCount>,
    /// The model that it was given to last, as that calls itself.
    pub model: Option<Arc<str>>,
    /// What asked, as it calls itself.
    pub client: Option<ClientName>,
    /// The beginning of what was asked last.
    pub preview: Option<String>,
}

/// What a client calls itself: text without control characters, of bounded length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientName(Arc<str>);

impl ClientName {
    /// From a header; nothing where that says nothing.
    #[must_use]
    pub fn new(header: &str) -> Option<Self> {
        let name: String =
            header.trim().chars().filter(|one| !one.is_control()).take(CLIENT_CHARS_MAX).collect();
        (!name.is_empty()).then(|| Self(name.into()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The beginning of what is asked last, on one line; nothing where there is no text. Looks at a bounded part of it.
#[must_use]
pub fn preview_of(input: &Input) -> Option<Box<str>> {
    let text = match input {
        Input::Prompt(prompt) => prompt.as_str(),
        Input::Messages(messages) => {
            let asked = messages.iter().rev().find(|message| message.role == Role::User);
            asked.or(messages.last())?.content.as_str()
        }
        Input::Inputs(inputs) => inputs.first()?.as_str(),
        Input::Infill(infill) => infill.prefix.lines().next_back()?,
    };
    let begin = &text[..text.floor_char_boundary(PREVIEW_BYTES_READ)];
    let words: Vec<_> = begin.split_whitespace().collect();
    let line: String = words.join(" ").chars().take(PREVIEW_CHARS_MAX).collect();
    (!line.is_empty()).then(|| line.into())
}

/// What a task has been through. Times count from its admission.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Timeline {
    /// Where it ran last.
    pub replica: Option<ReplicaId>,
    /// How often it was given to a replica.
    pub placements: u32,
    /// When it was given to the last one.
    pub started: Option<Millis>,
    /// When its first token came.
    pub first_token: Option<Millis>,
    /// When it ended.
    pub ended: Option<Millis>,
}

impl TaskView {
    /// Tokens a second since the first of them; nothing before the second.
    #[must_use]
    pub fn tokens_per_s(&self) -> Option<f64> {
        let first = self.course.first_token?;
        let spent = match &self.phase {
            TaskPhase::Ended(end) => end.decode_ms.0,
            TaskPhase::Running | TaskPhase::Waiting(_) => self.age.0.saturating_sub(first.0),
        };
        let after_first = self.tokens_out.0.checked_sub(1).filter(|tokens| *tokens > 0)?;
        #[expect(clippy::cast_precision_loss, reason = "milliseconds of one answer are far fewer than 2^53")]
        (spent > 0).then(|| f64::from(after_first) * 1000.0 / spent as f64)
    }
}

/// The tasks at one moment.
#[derive(Clone, Debug)]
pub struct TasksView {
    /// How many are in an engine.
    pub running: usize,
    /// How many wait.
    pub waiting: usize,
    /// How many have ended and are kept.
    pub ended: usize,
    /// Some of each, in this order: who runs longest, who starts next, who ended last.
    pub tasks: Vec<TaskView>,
}

/// One task with what it was asked and what it says.
#[derive(Clone, Debug)]
pub struct TaskStory {
    /// The task.
    pub view: TaskView,
    /// What it was asked.
    pub asked: Arc<PromptPreview>,
    /// What it says.
    pub log: Arc<TaskLog>,
}

/// What the driver knows of a task; its log knows the rest.
#[derive(Clone, Debug)]
pub struct TaskRecord {
    /// All but the tokens of the answer, and the end.
    pub view: TaskView,
    /// Its log.
    pub log: Arc<TaskLog>,
}

impl TaskRecord {
    /// The task with what its log says.
    #[must_use]
    pub fn into_view(self) -> TaskView {
        let Self { mut view, log } = self;
        let end = log.end();
        if let Some(counted) = end.as_ref().map(|end| end.tokens_in).filter(|counted| counted.0 > 0) {
            view.tokens_in = counted;
        }
        view.tokens_out = end.as_ref().map_or_else(|| log.tokens(), |end| end.tokens_out);
        if let Some(end) = end {
            view.phase = TaskPhase::Ended(end);
        }
        view
    }
}

/// The tasks at one moment, as the driver knows them.
#[derive(Clone, Debug)]
pub struct TaskRecords {
    /// How many are in an engine.
    pub running: usize,
    /// How many wait.
    pub waiting: usize,
    /// How many have ended and are kept.
    pub ended: usize,
    /// Some of each, as in [`TasksView`].
    pub tasks: Vec<TaskRecord>,
}

impl TaskRecords {
    /// The tasks with what their logs say.
    #[must_use]
    pub fn into_view(self) -> TasksView {
        let Self { running, waiting, ended, tasks } = self;
        TasksView { running, waiting, ended, tasks: tasks.into_iter().map(TaskRecord::into_view).collect() }
    }
}

impl TaskStory {
    /// The story with what the log says in its view.
    #[must_use]
    pub fn completed(self) -> Self {
        let Self { view, asked, log } = self;
        let record = TaskRecord { view, log: Arc::clone(&log) };
        Self { view: record.into_view(), asked, log }
    }
}

/// The beginning of what a task was given to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PromptPreview {
    /// Each part: who speaks, where it is a turn of a conversation, and what is said.
    pub parts: Vec<(Option<Role>, String)>,
    /// Bytes of all of it.
    pub bytes: usize,
}

impl PromptPreview {
    /// The first [`ASKED_BYTES_MAX`] bytes of `input`.
    #[must_use]
    pub fn of(input: &Input) -> Self {
        let mut asked = Self { parts: Vec::new(), bytes: 0 };
        match input {
            Input::Prompt(prompt) => asked.add(None, [prompt.as_str()]),
            Input::Messages(messages) => {
                messages.iter().for_each(|message| asked.add_turn(message));
            }
            Input::Inputs(inputs) => inputs.iter().for_each(|text| asked.add(None, [text.as_str()])),
            Input::Infill(infill) => {
                for text in [&infill.prefix, &infill.typed, &infill.suffix] {
                    asked.add(None, [text.as_str()]);
                }
            }
        }
        asked
    }

    /// A turn, the tools that it calls in words; pictures are left out.
    fn add_turn(&mut self, message: &Message) {
        let said = message.content.as_str();
        let calls = message.tool_calls.iter();
        let calls = calls.flat_map(|call| ["\n", &call.name, "(", &call.arguments, ")"]);
        // Nothing stands before the first line.
        let calls = calls.skip(usize::from(said.is_empty()));
        self.add(Some(message.role), std::iter::once(said).chain(calls));
    }

    /// A part made of `texts`. What is not kept is counted, and not copied: it may be all of the largest request.
    fn add<'t>(&mut self, role: Option<Role>, texts: impl IntoIterator<Item = &'t str>) {
        let has_room = self.bytes < ASKED_BYTES_MAX;
        let mut kept = String::new();
        for text in texts {
            let room = ASKED_BYTES_MAX.saturating_sub(self.bytes);
            kept.push_str(&text[..text.floor_char_boundary(room)]);
            self.bytes += text.len();
        }
        if has_room {
            self.parts.push((role, kept));
        }
    }

    /// Whether more was asked than is kept.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.bytes > ASKED_BYTES_MAX
    }

    /// Bytes of memory it holds.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        let texts: usize = self.parts.iter().map(|(_, text)| text.capacity()).sum();
        texts + self.parts.capacity() * size_of::<(Option<Role>, String)>() + size_of::<Self>()
    }
}

#[cfg(test)]
mod tests;
