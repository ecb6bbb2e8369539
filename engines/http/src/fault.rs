//! What can go wrong between a request and the end of its answer, sorted by what follows from it.
//!
//! Rules: ORCH-ENG-29, ORCH-ERR-9

use engine_api::redact::without_folders;
use generation::EngineError;

/// Why an answer did not come to its end. The texts name the server or the field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// No connection could be made: nobody is there.
    #[error("{0}")]
    Absent(String),
    /// The connection was closed before the first byte of an answer.
    #[error("{0}")]
    Unanswered(String),
    /// The connection broke in an answer, or went silent: the engine may be gone.
    #[error("{0}")]
    Transport(String),
    /// What came back is not what this engine speaks.
    #[error("{0}")]
    Protocol(String),
    /// The engine does not take this request, which would fail again.
    #[error("{0}")]
    Refused(String),
    /// The engine failed by its own account.
    #[error("{0}")]
    Failed(String),
    /// The engine is there and says that it is not ready.
    #[error("{0}")]
    Unready(String),
}

impl Fault {
    /// What the task is told once its first token is out: a connection that broke says nothing against the task. Before, the engine is suspended, too: see
    /// [`Inner::fail_early`](crate::inner::Inner::fail_early).
    pub(crate) fn into_late_error(self) -> EngineError {
        match self {
            Self::Refused(text) => EngineError::Invalid(without_folders(&text)),
            Self::Absent(_) | Self::Unanswered(_) | Self::Transport(_) => EngineError::Lost,
            Self::Protocol(text) | Self::Failed(text) | Self::Unready(text) => EngineError::Decode(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ORCH-ERR-9
    #[test]
    fn what_a_server_says_against_a_task_is_passed_on_without_its_folders() {
        let said = "the engine refuses the task: File \"/usr/lib/vllm/engine.py\", line 3: `/properties/a` is unknown";
        let error = Fault::Refused(said.to_owned()).into_late_error();
        let told = "the engine refuses the task: File \"engine.py\", line 3: `/properties/a` is unknown";
        assert_eq!(error, EngineError::Invalid(told.to_owned()));
    }
}
