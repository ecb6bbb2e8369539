//! The exit codes of `orchestratord`, as `--help` lists them.

use std::process::ExitCode;

/// It was asked to stop, and did.
pub const OK: u8 = 0;
/// It could not go on; the log says why.
pub const FAILED: u8 = 1;
/// The command line is wrong.
pub const USAGE: u8 = 2;
/// The configuration is wrong, or its file cannot be read.
pub const CONFIG: u8 = 3;
/// The address cannot be listened on.
pub const LISTEN: u8 = 4;
/// The token, or a folder or the log that it needs, cannot be read or made.
pub const ACCESS: u8 = 5;
/// A second signal cut the ordered stop short.
pub const CUT_SHORT: u8 = 130;

/// Each code and what it says, as the help and the manual page list them.
pub const CODES: [(u8, &str); 7] = [
    (OK, "stopped in order"),
    (FAILED, "could not go on; the log says why"),
    (USAGE, "the command line is wrong"),
    (CONFIG, "the configuration is wrong or cannot be read"),
    (LISTEN, "the address cannot be listened on"),
    (ACCESS, "the token, a folder or the log cannot be read or made"),
    (CUT_SHORT, "a second signal cut the ordered stop short"),
];

/// The codes as the help shows them.
#[must_use]
pub fn help() -> String {
    let lines: String = CODES.iter().map(|(code, what)| format!("\n  {code:<3}  {what}")).collect();
    format!("Exit codes:{lines}")
}

/// An end with a code and the message that goes before it.
#[derive(Debug)]
pub struct Exit {
    code: u8,
    error: anyhow::Error,
}

impl Exit {
    /// An end because of `error`.
    pub fn because(code: u8, error: impl Into<anyhow::Error>) -> Self {
        Self { code, error: error.into() }
    }

    /// The code for the shell.
    #[must_use]
    pub fn code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "error: {:#}", self.error)
    }
}
