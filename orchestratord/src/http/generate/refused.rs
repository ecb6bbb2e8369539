//! A task that is not admitted, or that fails, as the answer to its request. Each plane has names of its own for the
//! fields of a task, and puts them into the message as it writes it.

use engine_api::EngineKind;
use http::StatusCode;

use crate::backpressure::{Failure, Refusal};
use crate::http::Api;
use crate::http::answer::Refused;

/// A task that was not admitted.
pub(in crate::http) fn not_admitted(api: &Api, refusal: Refusal) -> Refused {
    let unknown = matches!(refusal, Refusal::NoSuchPool(_));
    let mut refused = api.refuse(refusal);
    if unknown {
        // What clients of these planes have an error class for.
        refused.verdict.status = StatusCode::NOT_FOUND.as_u16();
    }
    refused
}

/// A task that was admitted and failed.
pub(in crate::http) fn failed(failure: &Failure, engine: EngineKind) -> Refused {
    Refused { verdict: failure.verdict(), message: failure.to_string(), engine: Some(engine) }
}
