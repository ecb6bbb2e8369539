//! The command line as people and scripts use it: the real program against a daemon that answers from a
//! script, in the words of the contract.

#[path = "cli/alone.rs"]
mod alone;
#[path = "cli/answers.rs"]
mod answers;
#[path = "cli/daemon.rs"]
mod daemon;
#[path = "cli/failures.rs"]
mod failures;
#[path = "cli/help.rs"]
mod help;
#[path = "cli/imports.rs"]
mod imports;
#[path = "cli/interrupts.rs"]
mod interrupts;
#[path = "cli/lifecycle.rs"]
mod lifecycle;
#[path = "cli/live.rs"]
mod live;
#[path = "cli/models.rs"]
mod models;
#[path = "cli/program.rs"]
mod program;
#[path = "cli/queue.rs"]
mod queue;
#[path = "cli/state.rs"]
mod state;
#[path = "cli/talk.rs"]
mod talk;
#[path = "cli/terminal.rs"]
mod terminal;

/// A task's id, where the test does not care that the command line chose another.
const TASK: &str = "6f1d2c3e-8a4b-4c5d-9e6f-0a1b2c3d4e5f";
