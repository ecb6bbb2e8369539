//! A refusal in the words of this plane: OpenAI's envelope, and the names that fields have here. Status, code
//! and waits are those of [`crate::backpressure`].
//!
//! Rules: ORCH-OAI-3, ORCH-OAI-9

use axum::Json;
use axum::response::{IntoResponse, Response};
use generation::PROMPT_TOO_LONG;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Serialize;
use serde_json::{Value, json};

use super::fields::NOT_SERVED;
use super::flavor_at;
use crate::backpressure::{Code, RETRY_AFTER_RANGE, Verdict};
use crate::http::answer::Refused;
use crate::http::problem::{IS_MISSING, NOT_A_FIELD};

/// The wait in milliseconds, which the official client libraries read before `Retry-After`.
const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");

/// Tells the official client libraries whether to try again, whatever they make of the status.
const X_SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// What fields of a task are called here. Checked from the top, so that the longer names come first.
const NAMES: [(&str, &str); 5] = [
    ("`sampling.json_schema`", "`response_format`"),
    ("`sampling.logit_bias[", "`logit_bias["),
    ("`sampling.", "`"),
    ("`model_ref`", "`model`"),
    ("`inputs", "`input"),
];

/// What Anthropic's clients call what OpenAI's call otherwise.
const OF_ANTHROPIC: [(&str, &str); 2] =
    [("`response_format`", "`output_config.format`"), ("`stop[", "`stop_sequences[")];

/// The body of an error.
#[derive(Debug, Serialize)]
pub(super) struct Envelope {
    error: Inner,
}

#[derive(Debug, Serialize)]
struct Inner {
    message: String,
    #[serde(rename = "type")]
    kind: &'static str,
    param: Option<String>,
    /// As the API has it that is imitated.
    code: &'static str,
    /// As the data plane has it.
    orch_code: &'static str,
    /// What Anthropic's libraries look at.
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Value>,
}

/// Words of engines and of the daemon for a prompt that does not fit: the code of those refusals is one that clients
/// shorten a conversation for.
const TOO_LONG: [&str; 6] = [
    PROMPT_TOO_LONG,
    "maximum context length",
    "exceeds the available context size",
    "longer than the model's context length",
    "context_length_exceeded",
    "`inputs` tokens + `max_new_tokens` must be",
];

/// OpenAI's code for a refusal.
fn code_of(verdict: &Verdict, message: &str) -> &'static str {
    let has = |words: &str| message.contains(words);
    match verdict.status {
        401 => "invalid_api_key",
        403 => "forbidden",
        404 if message.starts_with("`model`") => "model_not_found",
        404 => "unknown_url",
        405 => "method_not_allowed",
        413 => "request_too_large",
        429 => "rate_limit_exceeded",
        500 => "server_error",
        501.. => "service_unavailable",
        _ if TOO_LONG.iter().any(|words| has(words)) => "context_length_exceeded",
        _ if has(NOT_A_FIELD) => "unknown_parameter",
        _ if has(IS_MISSING) => "missing_required_parameter",
        _ if has(NOT_SERVED) => "unsupported_parameter",
        _ => "invalid_value",
    }
}

impl Envelope {
    pub(super) fn of(refused: &Refused) -> Self {
        let Verdict { status, code, .. } = refused.verdict;
        let message = in_names_of_the_plane(refused.message.clone());
        let param = (code == Code::InvalidParams).then(|| param_of(&message)).flatten();
        let (code, orch_code) = (code_of(&refused.verdict, &message), code.as_str());
        Self { error: Inner { message, kind: kind_of(status), param, code, orch_code, details: None } }
    }
}

impl Envelope {
    /// Code, message and field.
    pub(super) fn parts(&self) -> (&str, &str, Option<&str>) {
        (self.error.code, &self.error.message, self.error.param.as_deref())
    }

    /// What is in it.
    pub(super) fn error(&self) -> &impl Serialize {
        &self.error
    }
}

/// OpenAI's kind of error, which is one of the status.
fn kind_of(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        403 => "permission_error",
        429 => "rate_limit_error",
        500.. => "server_error",
        _ => "invalid_request_error",
    }
}

/// The field that a message begins with, where it begins with one.
pub(in crate::http) fn param_of(message: &str) -> Option<String> {
    let (name, _) = message.strip_prefix('`')?.split_once('`')?;
    let of_a_field = |c: char| c.is_ascii_alphanumeric() || "_.[]".contains(c);
    (!name.is_empty() && name.chars().all(of_a_field)).then(|| name.to_owned())
}

/// A message about a task, about the request that became it.
fn in_names_of_the_plane(message: String) -> String {
    NAMES.iter().fold(message, |message, (of_tasks, here)| message.replace(of_tasks, here))
}

/// Whose words are spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ApiFlavor {
    OpenAi,
    Anthropic,
}

/// The body of an error in Anthropic's words, with the code and the field beside them.
#[derive(Debug, Serialize)]
pub(super) struct AnthropicError {
    #[serde(rename = "type")]
    of: &'static str,
    error: Inner,
}

impl AnthropicError {
    pub(super) fn of(refused: &Refused) -> Self {
        let kind = match refused.verdict.status {
            401 => "authentication_error",
            403 => "permission_error",
            404 => "not_found_error",
            413 => "request_too_large",
            429 => "rate_limit_error",
            503 => "overloaded_error",
            500.. => "api_error",
            _ => "invalid_request_error",
        };
        let message = OF_ANTHROPIC
            .iter()
            .fold(in_names_of_the_plane(refused.message.clone()), |message, (openai, anthropic)| {
                message.replace(openai, anthropic)
            });
        let Envelope { error } = Envelope::of(&Refused { message, ..refused.clone() });
        // Their runner of tools goes on without a thread where it reads this, and sends the whole conversation.
        let details = (error.param.as_deref() == Some("thread"))
            .then(|| json!({"error_code": "thread_unsupported_request", "unsupported": ["thread"]}));
        Self { of: "error", error: Inner { kind, details, ..error } }
    }
}

/// Says whatever was refused on a path of this plane in its words: also what never reached a handler.
pub(in crate::http) fn in_api_flavor(path: &str, mut response: Response) -> Response {
    let refused = response.extensions_mut().remove::<Refused>();
    match refused.and_then(|refused| Some((refused, flavor_at(path)?))) {
        Some((refused, flavor)) => reworded(response, &refused, flavor),
        None => response,
    }
}

fn reworded(response: Response, refused: &Refused, flavor: ApiFlavor) -> Response {
    let (parts, _) = response.into_parts();
    let mut reworded = match flavor {
        ApiFlavor::OpenAi => (parts.status, Json(Envelope::of(refused))).into_response(),
        ApiFlavor::Anthropic => (parts.status, Json(AnthropicError::of(refused))).into_response(),
    };
    for (name, value) in parts.headers.iter().filter(|(name, _)| **name != CONTENT_LENGTH) {
        reworded.headers_mut().insert(name, value.clone());
    }
    when_to_retry(reworded.headers_mut(), refused.verdict);
    reworded.extensions_mut().extend(parts.extensions);
    reworded
}

fn when_to_retry(headers: &mut HeaderMap, verdict: Verdict) {
    if let Some(wait) = verdict.retry_after {
        // Longer ones are ignored by the libraries, as 0 is.
        let most = RETRY_AFTER_RANGE.end() * 1000;
        headers.insert(RETRY_AFTER_MS, wait.0.clamp(1, most).into());
    }
    let again = if verdict.retriable { "true" } else { "false" };
    headers.insert(X_SHOULD_RETRY, HeaderValue::from_static(again));
}
