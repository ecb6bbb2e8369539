//! Replays traces through the real scheduler before a paced engine, in simulated time, and grades what was
//! promised: starts beside position times mean and beside a Monte Carlo that knows the true distributions.

#[path = "replay/bound.rs"]
mod bound;
#[path = "replay/figures.rs"]
pub mod figures;
#[path = "replay/play.rs"]
pub mod play;
#[path = "replay/retry.rs"]
pub mod retry;
#[path = "replay/trace.rs"]
pub mod trace;
