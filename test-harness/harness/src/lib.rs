//! A real daemon under test: found, started, asked over HTTP, signaled and watched. What this crate knows of
//! the daemon is what anyone outside it knows: its executable, its wire and its processes. Nothing of the
//! daemon's own code is in here.
//!
//! The executable is the one of the same build: `cargo nextest run --workspace` and
//! `cargo test --workspace` build it before any test runs. [`executable`] says how to build it where it is
//! missing, and which variables name another one.
//!
//! A failure here is a failed test, so this crate panics with what it was waiting for and the daemon's log.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails and says where")]

pub mod daemon;
pub mod engine;
pub mod executable;
pub mod metrics;
pub mod processes;
pub mod stream;
pub mod tasks;

pub use daemon::{Daemon, LIMIT, Setup, TOKEN};
pub use stream::{Answer, read};
