//! What the planes for clients share, whatever form their requests and answers have: the tasks of a request while they
//! run, what they say, whole or as a stream, and how a request names its model, its lane and its conversation.
//!
//! ```text
//! GenerateRequest … ──► generation_tasks ──► DriverHandle::submit
//!                                                │ logs
//! whole answer ◄── collect ◄───────── output ◄───┤
//! stream       ◄── stream, in the words of a StreamEncoder
//! ```

pub(super) mod collect;
pub(super) mod fields;
pub(super) mod generation_tasks;
pub(super) mod logprobs;
pub(super) mod output;
pub(super) mod refused;
pub(super) mod routing;
pub(super) mod stream;

/// Where reasoning goes in a response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::http) enum ReasoningPlace {
    /// Into the endpoint's own field for it.
    #[default]
    Apart,
    /// Into the text, between tags.
    InText,
    /// Nowhere.
    Omitted,
}
