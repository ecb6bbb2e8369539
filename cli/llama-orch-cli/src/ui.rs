//! The two streams a person or a script reads: answers on standard output, everything else on standard
//! error. Nobody else writes to either.
//!
//! Standard error has at most one *live line*, which is written over until something else is said.
//!
//! Rules: ORCH-CLI-8, ORCH-CLI-10

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};

use crate::args::Global;
use crate::failure::Failure;
use crate::text;

/// The most characters of a live line, so that it never wraps and can be written over.
const LIVE_CHARS: usize = 78;

/// How much is said on standard error besides errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notices {
    /// Nothing.
    Quiet,
    /// Notes, when standard error is a terminal.
    Auto,
    /// Notes, always.
    Verbose,
}

/// How a failure is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorForm {
    /// In words on standard error.
    Text,
    /// As JSON on standard output; in words as well where a person sees those alone.
    Json,
}

/// The reader of standard output went away.
#[derive(Debug, thiserror::Error)]
#[error("standard output is closed")]
pub struct OutputClosed;

/// A colour or weight of text on standard error.
#[derive(Clone, Copy)]
enum Ink {
    Error,
    Hint,
    Dim,
}

impl Ink {
    const fn codes(self) -> &'static str {
        match self {
            Self::Error => "\x1b[1;31m",
            Self::Hint => "\x1b[36m",
            Self::Dim => "\x1b[2m",
        }
    }
}

/// Both streams.
pub struct Ui {
    out: Stream,
    err: Stream,
    notices: Notices,
    errors: ErrorForm,
    /// Whether the last line of standard output has been ended.
    line: Line,
    /// Whether the last line of reasoning has ended.
    reasoning: Line,
    live: Live,
}

struct Stream {
    to: Box<dyn Write + Send>,
    terminal: bool,
    colour: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Line {
    Ended,
    Open,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Live {
    Absent,
    Shown,
}

impl Ui {
    /// The streams of this process.
    pub fn new(global: &Global, errors: ErrorForm) -> Self {
        let notices = match (global.quiet, global.verbose) {
            (true, _) => Notices::Quiet,
            (false, true) => Notices::Verbose,
            (false, false) => Notices::Auto,
        };
        let plain = is_plain(&|name| std::env::var_os(name));
        let (out, err) = (io::stdout(), io::stderr());
        let (out_terminal, err_terminal) = (out.is_terminal(), err.is_terminal());
        Self {
            out: Stream { to: Box::new(out), terminal: out_terminal, colour: out_terminal && !plain },
            err: Stream { to: Box::new(err), terminal: err_terminal, colour: err_terminal && !plain },
            notices,
            errors,
            line: Line::Ended,
            reasoning: Line::Ended,
            live: Live::Absent,
        }
    }

    /// Whether notes are said at all.
    pub fn has_notes(&self) -> bool {
        match self.notices {
            Notices::Quiet => false,
            Notices::Auto => self.err.terminal,
            Notices::Verbose => true,
        }
    }

    /// Whether notes are said that only `--verbose` asks for.
    pub const fn is_verbose(&self) -> bool {
        matches!(self.notices, Notices::Verbose)
    }

    /// Whether standard output is a terminal.
    pub const fn output_is_terminal(&self) -> bool {
        self.out.terminal
    }

    /// Whether standard output may have colours.
    pub const fn output_has_colour(&self) -> bool {
        self.out.colour
    }

    /// Writes a stretch of the answer and makes it visible at once.
    ///
    /// # Errors
    /// [`OutputClosed`]; whoever gets it ends quietly.
    pub fn answer(&mut self, stretch: &str) -> Result<(), OutputClosed> {
        if stretch.is_empty() {
            return Ok(());
        }
        self.clear_live();
        self.end_reasoning();
        if self.out.terminal {
            self.write_out(&text::for_terminal(stretch))?;
        } else {
            self.write_out(stretch)?;
        }
        self.line = if stretch.ends_with('\n') { Line::Ended } else { Line::Open };
        Ok(())
    }

    /// Shows a stretch of what the model thinks before it answers, where notes are said.
    pub fn reasoning(&mut self, stretch: &str) {
        if !self.has_notes() || stretch.is_empty() {
            return;
        }
        self.clear_live();
        let painted = self.paint(Ink::Dim, &text::for_terminal(stretch));
        self.write_err(&painted);
        self.reasoning = Line::Open;
    }

    /// Ends reasoning, with an empty line behind them.
    fn end_reasoning(&mut self) {
        if std::mem::replace(&mut self.reasoning, Line::Ended) == Line::Open {
            self.write_err("\n\n");
        }
    }

    /// Writes whole lines to standard output.
    ///
    /// # Errors
    /// As [`Self::answer`].
    pub fn print(&mut self, lines: &str) -> Result<(), OutputClosed> {
        self.clear_live();
        self.write_out(lines)?;
        if lines.ends_with('\n') { Ok(()) } else { self.write_out("\n") }
    }

    /// Sends a control sequence to a terminal.
    ///
    /// # Errors
    /// As [`Self::answer`].
    pub fn print_raw(&mut self, sequence: &str) -> Result<(), OutputClosed> {
        self.write_out(sequence)
    }

    /// Ends the line of the answer, where it is still open.
    ///
    /// # Errors
    /// As [`Self::answer`].
    pub fn end_answer(&mut self) -> Result<(), OutputClosed> {
        match std::mem::replace(&mut self.line, Line::Ended) {
            Line::Open => self.write_out("\n"),
            Line::Ended => Ok(()),
        }
    }

    /// Says something that helps and is not needed.
    pub fn note(&mut self, note: &str) {
        if self.has_notes() {
            self.say(note);
        }
    }

    /// Says something that was asked for, whatever standard error is.
    pub fn say(&mut self, line: &str) {
        self.clear_live();
        self.break_shared_line();
        let line = self.paint(Ink::Dim, line);
        self.write_err(&format!("{line}\n"));
    }

    /// Shows how things stand, over what was shown before. Where standard error is no terminal it is a line
    /// of its own, said with `--verbose` only.
    pub fn live(&mut self, line: &str) {
        if !self.has_notes() {
            return;
        }
        if !self.err.terminal {
            self.write_err(&format!("{line}\n"));
            return;
        }
        let short: String = line.chars().take(LIVE_CHARS).collect();
        let painted = self.paint(Ink::Dim, &short);
        self.write_err(&format!("\r\x1b[2K{painted}"));
        self.live = Live::Shown;
    }

    /// Whether a live line is written over, so that it may change every second.
    pub const fn live_is_cheap(&self) -> bool {
        self.err.terminal
    }

    /// Takes the live line away.
    pub fn clear_live(&mut self) {
        if std::mem::replace(&mut self.live, Live::Absent) == Live::Shown {
            self.write_err("\r\x1b[2K");
        }
    }

    /// Says what went wrong, once to each who reads. Never fails: there is nowhere left to say so.
    pub fn failure(&mut self, failure: &Failure) {
        self.clear_live();
        if self.errors == ErrorForm::Json {
            // Who reads standard output is gone, or has it.
            drop(self.end_answer().and_then(|()| self.print(&failure.to_json())));
        }
        self.failure_in_words(failure);
    }

    /// Says in words what standard output has as JSON, where a person sees no standard output.
    pub fn failure_in_words(&mut self, failure: &Failure) {
        if self.errors == ErrorForm::Json && (self.out.terminal || !self.err.terminal) {
            return;
        }
        self.break_shared_line();
        let label = self.paint(Ink::Error, "error:");
        let message = text::for_terminal(&failure.message);
        let code =
            failure.code.as_ref().map(|code| self.paint(Ink::Dim, &format!(" [{code}]"))).unwrap_or_default();
        let mut said = format!("{label} {message}{code}\n");
        for line in failure.hint.iter().flat_map(|hint| hint.lines()) {
            said.push_str(&format!("{} {}\n", self.paint(Ink::Hint, "hint:"), text::for_terminal(line)));
        }
        self.write_err(&said);
    }

    /// A note must not go on in the middle of the answer's last line where both are the same terminal.
    fn break_shared_line(&mut self) {
        self.end_reasoning();
        if self.out.terminal && self.err.terminal && self.line == Line::Open {
            self.line = Line::Ended;
            self.write_err("\n");
        }
    }

    fn paint(&self, ink: Ink, text: &str) -> String {
        if self.err.colour { format!("{}{text}\x1b[0m", ink.codes()) } else { text.to_owned() }
    }

    fn write_out(&mut self, text: &str) -> Result<(), OutputClosed> {
        let written = self.out.to.write_all(text.as_bytes()).and_then(|()| self.out.to.flush());
        written.map_err(|_| OutputClosed)
    }

    /// What cannot be said on standard error cannot be said at all.
    fn write_err(&mut self, text: &str) {
        let written = self.err.to.write_all(text.as_bytes()).and_then(|()| self.err.to.flush());
        drop(written);
    }
}

/// Whether somebody wants a terminal without colours, as <https://no-color.org> has it.
fn is_plain(variable: &dyn Fn(&str) -> Option<OsString>) -> bool {
    variable("NO_COLOR").is_some_and(|value| !value.is_empty())
        || variable("TERM").is_some_and(|value| value == "dumb")
}

#[cfg(test)]
mod tests;
