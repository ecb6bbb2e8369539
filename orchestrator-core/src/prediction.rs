//! What is known of speeds and lengths, and what follows from it: when a waiting task will start, and how
//! good such predictions have been.
//!
//! Nothing here is a constant that pretends to be a measurement. A replica's speed is what its self-test
//! measured until its own tasks say more (`speed`); an answer's length is its caller's hint, or what
//! such answers have turned out to be (`lengths`); the wait follows from these and from the slots
//! (`timeline`), and is corrected by how such waits have turned out ([`grade`]).
//!
//! Rules: ORCH-PRED-1, ORCH-PRED-3

pub(crate) mod futures;
pub mod grade;
mod lengths;
mod linear_fit;
mod recent;
mod speed;
#[cfg(test)]
mod tests;
pub(crate) mod timeline;

pub(crate) use grade::Grader;
pub use grade::{Accuracy, GRADED_WINDOW, StartForecast};
pub use lengths::UNSEEN_OUTPUT;
pub(crate) use lengths::{Lengths, Tokens};
pub(crate) use recent::Length;
pub(crate) use speed::{Measurement, Speed};
