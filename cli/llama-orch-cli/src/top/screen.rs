//! What is on the screen: the last look, the task that is chosen, what was asked. Knows keys and no terminal.
//!
//! ```text
//!            c              y
//! Watching ─────► Asking ─────────► (cancel) Watching
//!    │  ▲            └─ any other ─► Watching
//!   ?│  │any key
//!    ▼  │
//!   Help
//! ```
//!
//! Rules: ORCH-CLI-16

use api_types::{Health, TaskList, TaskState, TaskSummary};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use uuid::Uuid;

use crate::table::Palette;

/// How far PgUp and PgDn go.
const PAGE: usize = 10;

/// The daemon at one moment.
#[derive(Clone, Debug)]
pub struct Look {
    pub health: Health,
    pub tasks: TaskList,
}

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Nothing,
    Look,
    Cancel(Uuid),
    Leave,
}

/// What the keys mean now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Watching,
    Asking(Uuid),
    Help,
}

/// Whether it moves.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pace {
    Going,
    Paused,
}

/// The screen.
pub struct Screen {
    url: String,
    palette: Palette,
    last: Option<Look>,
    /// The last look failed, for this reason.
    trouble: Option<String>,
    /// What became of the last action.
    message: Option<String>,
    chosen: Option<Uuid>,
    mode: Mode,
    pace: Pace,
}

impl Screen {
    pub const fn new(url: String, palette: Palette) -> Self {
        Self {
            url,
            palette,
            last: None,
            trouble: None,
            message: None,
            chosen: None,
            mode: Mode::Watching,
            pace: Pace::Going,
        }
    }

    /// Takes what was seen; what was seen before stays where nothing was.
    pub fn seen(&mut self, look: Result<Look, String>) {
        match look {
            Ok(look) => {
                self.last = Some(look);
                self.trouble = None;
            }
            Err(why) => self.trouble = Some(why),
        }
        let still_there = self.tasks().any(|task| Some(task.task_id) == self.chosen);
        if !still_there {
            let first = self.tasks().next().map(|task| task.task_id);
            self.chosen = first;
        }
    }

    pub fn said(&mut self, message: String) {
        self.message = Some(message);
    }

    pub fn key(&mut self, key: KeyEvent) -> Action {
        if key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL) {
            return Action::Leave;
        }
        match std::mem::replace(&mut self.mode, Mode::Watching) {
            Mode::Asking(task) => match key.code {
                KeyCode::Char('y' | 'Y') | KeyCode::Enter => Action::Cancel(task),
                _ => Action::Nothing,
            },
            Mode::Help => Action::Nothing,
            Mode::Watching => self.watching(key.code),
        }
    }

    fn watching(&mut self, key: KeyCode) -> Action {
        self.message = None;
        match key {
            KeyCode::Char('q') | KeyCode::Esc => return Action::Leave,
            KeyCode::Char('?' | 'h') => self.mode = Mode::Help,
            KeyCode::Char('c') => match self.chosen_task().filter(|task| task.state != TaskState::Ended) {
                Some(task) => self.mode = Mode::Asking(task.task_id),
                None => self.message = Some("there is no task to cancel".to_owned()),
            },
            KeyCode::Char('p' | ' ') => {
                self.pace = if self.is_paused() { Pace::Going } else { Pace::Paused };
                if !self.is_paused() {
                    return Action::Look;
                }
            }
            KeyCode::Up | KeyCode::Char('k') => self.choose(|at| at.saturating_sub(1)),
            KeyCode::Down | KeyCode::Char('j') => self.choose(|at| at + 1),
            KeyCode::PageUp => self.choose(|at| at.saturating_sub(PAGE)),
            KeyCode::PageDown => self.choose(|at| at + PAGE),
            KeyCode::Home => self.choose(|_| 0),
            KeyCode::End => self.choose(|_| usize::MAX),
            _ => {}
        }
        Action::Nothing
    }

    fn choose(&mut self, to: impl Fn(usize) -> usize) {
        let ids: Vec<Uuid> = self.tasks().map(|task| task.task_id).collect();
        let at = self.chosen_place().unwrap_or(0);
        self.chosen = ids.get(to(at).min(ids.len().saturating_sub(1))).copied();
    }

    /// The tasks that are not over, those that run before those that wait.
    pub fn tasks(&self) -> impl Iterator<Item = &TaskSummary> {
        let all = self.last.iter().flat_map(|look| &look.tasks.tasks);
        all.filter(|task| task.state != TaskState::Ended)
    }

    /// Where the chosen task stands among them.
    pub fn chosen_place(&self) -> Option<usize> {
        self.tasks().position(|task| Some(task.task_id) == self.chosen)
    }

    fn chosen_task(&self) -> Option<&TaskSummary> {
        self.tasks().find(|task| Some(task.task_id) == self.chosen)
    }

    pub const fn last(&self) -> Option<&Look> {
        self.last.as_ref()
    }

    pub const fn mode(&self) -> Mode {
        self.mode
    }

    pub fn is_paused(&self) -> bool {
        self.pace == Pace::Paused
    }

    /// What is said at the foot: what went wrong before what was done.
    pub fn message(&self) -> Option<&str> {
        self.trouble.as_deref().or(self.message.as_deref())
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub const fn palette(&self) -> Palette {
        self.palette
    }
}

#[cfg(test)]
pub(in crate::top) mod tests;
