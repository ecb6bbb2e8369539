//! What a person is told when something goes wrong: what happened, the daemon's code for it where there is
//! one, what to do about it, and the exit code.
//!
//! Rules: ORCH-CLI-4, ORCH-CLI-8

use std::time::Duration;

use api_types::{ErrorCode, ErrorEnvelope};
use serde::Serialize;

use crate::exit::Exit;
use crate::text;

/// What a hint begins with in the texts of the other crates.
const HINT: &str = "hint: ";

/// What a hint begins with in the texts of the parser of the command line.
const TIP: &str = "tip: ";

/// The reason a command ended without doing what it was asked to. Shown by [`crate::ui::Ui::failure`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub exit: Exit,
    /// What happened.
    pub message: String,
    /// The daemon's code, where it was the daemon that refused.
    pub code: Option<String>,
    /// What to do.
    pub hint: Option<String>,
}

impl Failure {
    /// A failure without a code and a hint.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), code: None, hint: None }
    }

    /// The same with what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// A failure from a text that may have its hints in it, each on a line of its own.
    pub fn of_text(exit: Exit, text: &str) -> Self {
        let (hints, lines): (Vec<&str>, Vec<&str>) =
            text.lines().partition(|line| line.trim_start().starts_with(HINT));
        let failure = Self::new(exit, lines.join("\n"));
        let hints: Vec<&str> = hints.iter().map(|hint| hint.trim_start().trim_start_matches(HINT)).collect();
        if hints.is_empty() { failure } else { failure.hint(hints.join("\n")) }
    }

    /// A failure of the command line, from the text that its parser has for it.
    pub fn of_arguments(text: &str) -> Self {
        let text = text.split("\n\nUsage: ").next().unwrap_or(text).trim();
        let (tips, lines): (Vec<&str>, Vec<&str>) = text
            .strip_prefix("error: ")
            .unwrap_or(text)
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .partition(|line| line.starts_with(TIP));
        let tips: Vec<&str> = tips.iter().map(|tip| tip.trim_start_matches(TIP)).collect();
        let failure = Self::new(Exit::Usage, lines.join(" "));
        failure.hint(if tips.is_empty() { "`--help` says what there is".to_owned() } else { tips.join("\n") })
    }

    /// What the daemon said of it.
    pub fn of_envelope(exit: Exit, envelope: &ErrorEnvelope) -> Self {
        Self {
            exit,
            message: envelope.message.clone(),
            code: Some(envelope.code.to_string()),
            hint: hint_for(envelope.code, envelope.retry_after_ms),
        }
    }

    /// The line of a command with `--json`.
    pub fn to_json(&self) -> String {
        let line = FailureLine {
            event: "error",
            message: &self.message,
            code: self.code.as_deref(),
            hint: self.hint.as_deref(),
            exit: self.exit.code(),
        };
        serde_json::to_string(&line).expect("strings and numbers make JSON")
    }
}

#[derive(Serialize)]
struct FailureLine<'a> {
    event: &'static str,
    message: &'a str,
    code: Option<&'a str>,
    hint: Option<&'a str>,
    exit: u8,
}

/// What helps against an error of the daemon's; nothing where its message says it all.
fn hint_for(code: ErrorCode, retry_after_ms: Option<u64>) -> Option<String> {
    let after = retry_after_ms.map(Duration::from_millis).map(text::countdown);
    let hint = match (code, after) {
        (ErrorCode::InvalidParams, _) => return None,
        (ErrorCode::AdmissionReject, Some(after)) => {
            format!("there should be room in {after}; without `--no-wait` it is waited for")
        }
        (ErrorCode::AdmissionReject, None) => "without `--no-wait` room is waited for".to_owned(),
        (ErrorCode::QueueFullDropLru, _) => {
            "newer batch tasks came in: send it again later, or without `--batch`".to_owned()
        }
        (ErrorCode::PoolUnready, _) => {
            "`llama-orch health --wait` waits until the model is loaded, `llama-orch status` shows how far it is".to_owned()
        }
        (ErrorCode::PoolUnavailable, _) => "`llama-orch status` shows the reason".to_owned(),
        (ErrorCode::ReplicaExhausted, _) => {
            "`llama-orch status` shows what became of the replicas; send it again once one is ready".to_owned()
        }
        (ErrorCode::DecodeTimeout | ErrorCode::WorkerReset, _) => {
            "the engine is started again by itself: send the task again".to_owned()
        }
        (ErrorCode::Internal, _) => "the daemon's log says why".to_owned(),
    };
    Some(hint)
}
