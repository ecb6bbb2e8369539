//! The exit codes, which scripts rely on: each has a name here and a line in `--help`.
//!
//! Rules: ORCH-CLI-4

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done. Also when the reader of standard output went away.
    Done,
    /// The task failed, or the daemon did.
    Failed,
    /// The command line or what came in through standard input is wrong.
    Usage,
    /// The daemon cannot be reached.
    Unreachable,
    /// The daemon does not take the token.
    Unauthorised,
    /// The request is refused, or what it names is not known.
    Refused,
    /// No room or not ready, and the wait is over.
    Busy,
    /// Somebody else canceled the task.
    Canceled,
    /// A reload failed, and the pool serves what it served before.
    RolledBack,
    /// A signal ended it, Ctrl-C among them.
    Signal(u8),
}

impl Exit {
    /// The number that the shell sees.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Unreachable => 3,
            Self::Unauthorised => 4,
            Self::Refused => 5,
            Self::Busy => 6,
            Self::Canceled => 7,
            Self::RolledBack => 8,
            Self::Signal(number) => 128_u8.saturating_add(number),
        }
    }
}

/// What `--help` says of them.
pub const TABLE: &str = "\
Exit codes:
    0  done (also when the reader of standard output went away)
    1  the task failed, or the daemon did
    2  the command line or the input is wrong
    3  the daemon cannot be reached
    4  the daemon does not take the token
    5  the request is refused, or what it names is not known
    6  no room or not ready, and the wait is over
    7  somebody else canceled the task
    8  the reload failed, and the pool serves what it served before
  130  Ctrl-C; other signals: 128 and their number";
