//! The types of the wire, as `contracts/openapi` describes them, and nothing else: no I/O, no policy. The
//! daemon reads and writes them, the client and the command line too.
//!
//! A request's type says which fields there are and of which type; an unknown field does not parse. Which
//! values are allowed is said by the limits in [`limits`].
//!
//! Rules: ORCH-TASK-4

#[rustfmt::skip]
#[expect(missing_docs, reason = "the contract describes an enum's values together, above the enum")]
#[expect(clippy::derivable_impls, reason = "the generator spells a default out")]
mod generated;
#[rustfmt::skip]
pub mod limits;

pub use generated::*;

#[cfg(test)]
mod tests;
