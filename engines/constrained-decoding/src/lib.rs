//! Grammars that constrain the output of a model. Pure: no model, no vocabulary and no I/O.
//!
//! ```text
//! JSON schema ──schema──► GBNF ──gbnf──► Tree ──program──► Program ──matcher──► which bytes may follow
//! ```
//!
//! Every step is bounded in work and memory, also where a grammar is ambiguous.

pub mod automaton;
pub mod gbnf;
pub mod matcher;
pub mod program;
pub mod schema;
#[cfg(test)]
mod tests;
#[cfg(any(test, feature = "walk"))]
pub mod walk;
