//! Typing on a terminal: lines that can be edited, and what was typed before, also in other conversations. On a
//! thread of its own, because a read cannot be given up; the terminal is given back as it was all the same.
//!
//! Rules: ORCH-CLI-18

use std::fs::{DirBuilder, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Behavior, Config, Helper};
use tokio::sync::mpsc;

use super::lines;
use crate::exit::Exit;
use crate::failure::Failure;

/// Inputs that are kept.
const HISTORY_MAX: usize = 1000;
/// Inputs that are asked for at a time.
const ASKED_BOUND: usize = 1;

/// Asks a person for inputs.
pub struct Editor {
    ask: mpsc::Sender<&'static str>,
    typed: mpsc::Receiver<rustyline::Result<String>>,
    /// The terminal as it was before somebody typed.
    before: Option<Termios>,
}

impl Editor {
    /// Takes the terminal.
    ///
    /// # Errors
    /// It cannot be read from.
    pub fn open(no_history: bool) -> Result<Self, Failure> {
        let failed = |error: &dyn std::fmt::Display| {
            Failure::new(Exit::Failed, format!("the terminal cannot be read from: {error}"))
        };
        let before = tcgetattr(io::stdin()).ok();
        let config = Config::builder()
            .behavior(Behavior::PreferTerm)
            .max_history_size(HISTORY_MAX)
            .and_then(|config| config.history_ignore_dups(true))
            .map_err(|error| failed(&error))?
            .build();
        let mut editor: rustyline::Editor<Rules, FileHistory> =
            rustyline::Editor::with_config(config).map_err(|error| failed(&error))?;
        editor.set_helper(Some(Rules));
        let kept = if no_history { None } else { history_file() };
        if let Some(kept) = &kept {
            // There is none the first time, and one that cannot be read is no reason not to talk.
            let _ = editor.load_history(kept);
        }
        let (ask, mut asked) = mpsc::channel(ASKED_BOUND);
        let (tell, typed) = mpsc::channel(ASKED_BOUND);
        std::thread::spawn(move || {
            while let Some(prompt) = asked.blocking_recv() {
                let line = editor.readline(prompt);
                if let Ok(line) = &line {
                    keep(&mut editor, line, kept.as_deref());
                }
                if tell.blocking_send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Self { ask, typed, before })
    }

    /// The next input; nothing when the person leaves.
    pub async fn next(&mut self, prompt: &'static str) -> Option<io::Result<String>> {
        self.ask.send(prompt).await.ok()?;
        match self.typed.recv().await? {
            Ok(line) => Some(Ok(line)),
            Err(ReadlineError::Interrupted | ReadlineError::Eof) => None,
            Err(ReadlineError::Io(error)) => Some(Err(error)),
            Err(error) => Some(Err(io::Error::other(error.to_string()))),
        }
    }
}

impl Drop for Editor {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            // A terminal that is gone needs nothing.
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, before);
        }
    }
}

/// Keeps an input for this conversation and, where there is a place for it, for others.
fn keep(editor: &mut rustyline::Editor<Rules, FileHistory>, line: &str, kept: Option<&Path>) {
    if line.trim().is_empty() || !editor.add_history_entry(line).unwrap_or(false) {
        return;
    }
    if let Some(kept) = kept {
        // That it cannot be kept is no reason not to talk.
        let _ = make_private(kept).and_then(|()| editor.append_history(kept).map_err(io::Error::other));
    }
}

/// What people type is theirs alone.
fn make_private(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
    DirBuilder::new().recursive(true).mode(0o700).create(path.parent().unwrap_or(Path::new("/")))?;
    OpenOptions::new().append(true).create(true).mode(0o600).open(path).map(drop)
}

/// Where the XDG base directory specification has what a program keeps of its use.
fn history_file() -> Option<PathBuf> {
    let named = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|dir| dir.is_absolute());
    let state = named.or_else(|| Some(std::env::home_dir()?.join(".local/state")))?;
    state.is_absolute().then(|| state.join("llama-orch").join("chat-history"))
}

/// When an input is whole; nothing is completed, hinted or coloured.
struct Rules;

impl Validator for Rules {
    fn validate(&self, ctx: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        Ok(if lines::goes_on(ctx.input()) {
            ValidationResult::Incomplete
        } else {
            ValidationResult::Valid(None)
        })
    }
}

impl Completer for Rules {
    type Candidate = String;
}

impl Hinter for Rules {
    type Hint = String;
}

impl Highlighter for Rules {}

impl Helper for Rules {}
