//! A pretend engine behind the adapter trait, for scheduling tests and load benches of the daemon. Its
//! model is a word list: a token is a word, so that every count can be checked by eye. Time is tokio's,
//! so that a paused clock works, and a test holds it in any phase from outside instead of waiting.
//!
//! ```text
//! MockFactory ──start──► MockEngine        MockControl ──► both: fail, hold, release, crash, count
//!   Phase::Load            per job: a slot ─► Phase::Prefill ─► Phase::Decode (each token) ─► end
//! ```

pub mod config;
pub mod control;
mod engine;
mod factory;
mod words;

pub use config::{Answer, Measuring, MockConfig};
pub use control::{Counts, MockControl, Phase};
pub use factory::MockFactory;
pub use words::token_of;

#[cfg(test)]
mod tests;
