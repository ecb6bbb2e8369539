//! What every request of this plane says besides its content: the model, the lane, the conversation.
//!
//! Rules: ORCH-OAI-6, ORCH-OAI-7

use http::{HeaderMap, HeaderName};
use orchestrator_core::Priority;
use sha2::{Digest, Sha256};
use uuid::{Builder, Uuid};

use crate::backpressure::Refusal;
use crate::http::answer::shown;
use crate::http::task_request::check::chars;

/// The end of a model's name that puts its requests into the batch lane, for clients that can add no field.
pub(in crate::http) const BATCH_SUFFIX: &str = "@batch";

/// Characters of the name of a conversation.
const SESSION_CHARS: std::ops::RangeInclusive<usize> = 1..=256;

/// Where clients name a conversation, the first that is there counting.
const SESSION_HEADERS: [HeaderName; 3] = [
    HeaderName::from_static("x-session-id"),
    HeaderName::from_static("x-conversation-id"),
    HeaderName::from_static("x-openwebui-chat-id"),
];

/// The conversation that a request's headers name.
///
/// # Errors
/// [`Refusal::Invalid`] naming the header.
pub(in crate::http) fn session_of_headers(headers: &HeaderMap) -> Result<Option<Uuid>, Refusal> {
    for name in &SESSION_HEADERS {
        // Clients that fill headers in from a template send an empty one where there is no conversation.
        let Some(value) = headers.get(name).filter(|value| !value.as_bytes().trim_ascii().is_empty()) else {
            continue;
        };
        let text = value.to_str().map_err(|_| {
            let value = shown(value.as_bytes());
            Refusal::Invalid(format!("`{name}` is `{value}`: use letters, digits and signs of ASCII"))
        })?;
        return session(name.as_str(), text).map(Some);
    }
    Ok(None)
}

/// A conversation by the name a client has for it: a UUID as it is, anything else as one made from it.
///
/// # Errors
/// [`Refusal::Invalid`] naming the field.
pub(in crate::http) fn session(field: &str, name: &str) -> Result<Uuid, Refusal> {
    chars(field, name, SESSION_CHARS)?;
    Ok(Uuid::parse_str(name).unwrap_or_else(|_| {
        let digest: [u8; 32] = Sha256::digest(name.as_bytes()).into();
        let (first, _) = digest.split_first_chunk().expect("32 bytes are more than 16");
        Builder::from_custom_bytes(*first).into_uuid()
    }))
}

/// A lane, and how OpenAI calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum Lane {
    Interactive,
    Batch,
}

impl Lane {
    /// The lane of a request, and the model without the suffix that may have said it. A tier that is not known asks for
    /// nothing that is here.
    pub(in crate::http) fn of(model: &str, service_tier: Option<&str>) -> (Self, String) {
        match (model.strip_suffix(BATCH_SUFFIX), service_tier) {
            (Some(model), _) => (Self::Batch, model.to_owned()),
            (None, Some("flex")) => (Self::Batch, model.to_owned()),
            (None, _) => (Self::Interactive, model.to_owned()),
        }
    }

    /// The tier that an answer names.
    pub(in crate::http) fn tier(self) -> &'static str {
        match self {
            Self::Interactive => "default",
            Self::Batch => "flex",
        }
    }

    pub(in crate::http) fn priority(self) -> Priority {
        match self {
            Self::Interactive => Priority::Interactive,
            Self::Batch => Priority::Batch,
        }
    }
}
