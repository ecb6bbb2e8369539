//! How much a model reasons, in the fields of each API: one meaning for all.
//!
//! Rules: ORCH-OAI-18

use generation::ReasoningOptions;
use orchestrator_core::TokenCount;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::backpressure::Refusal;
use crate::http::answer::shown;
pub(super) use crate::http::generate::ReasoningPlace;

/// `thinking`, as Anthropic's clients and some servers have it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Thinking {
    #[serde(rename = "type")]
    kind: String,
    budget_tokens: Option<u32>,
    /// Whether a client is shown it in full.
    #[serde(default, rename = "display")]
    _display: IgnoredAny,
    /// Nothing here is bound to an earlier turn.
    #[serde(default, rename = "block_binding")]
    _block_binding: IgnoredAny,
    /// Whether it is sent back, as other servers ask.
    #[serde(default, rename = "clear_thinking")]
    _clear_thinking: IgnoredAny,
}

/// `reasoning`, as the Responses API and routers have it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Reasoning {
    effort: Option<String>,
    max_tokens: Option<u32>,
    enabled: Option<bool>,
    exclude: Option<bool>,
    /// There are no summaries.
    #[serde(default, rename = "summary")]
    _summary: IgnoredAny,
    #[serde(default, rename = "generate_summary")]
    _generate_summary: IgnoredAny,
    /// Reasoning of earlier turns is what the request sends back.
    #[serde(default, rename = "context")]
    _context: IgnoredAny,
    #[serde(default, rename = "mode")]
    _mode: IgnoredAny,
}

impl Thinking {
    /// # Errors
    /// [`Refusal::Invalid`] naming the field, its value and what would be right.
    pub(super) fn resolve(self) -> Result<ReasoningOptions, Refusal> {
        let enabled = match self.kind.as_str() {
            "enabled" => Some(true),
            "disabled" => Some(false),
            // The model decides, which is what it does without a word.
            "adaptive" | "auto" | "between_tools" => None,
            other => {
                let other = shown(other.as_bytes());
                return Err(Refusal::Invalid(format!(
                    "`thinking.type` is `{other}`: use `enabled`, `disabled` or `adaptive`"
                )));
            }
        };
        let options = ReasoningOptions { enabled, ..ReasoningOptions::default() };
        Ok(options.with_budget(self.budget_tokens.map(TokenCount)))
    }
}

impl Reasoning {
    /// # Errors
    /// [`Refusal::Invalid`] naming the field, its value and what would be right.
    pub(super) fn resolve(self) -> Result<(ReasoningOptions, ReasoningPlace), Refusal> {
        let place = if self.exclude == Some(true) { ReasoningPlace::Omitted } else { ReasoningPlace::Apart };
        let effort = self.effort.map(|effort| of_effort("reasoning.effort", &effort)).transpose()?;
        let effort = effort.unwrap_or_default();
        let options =
            joined(effort, ReasoningOptions { enabled: self.enabled, ..ReasoningOptions::default() });
        Ok((options.with_budget(self.max_tokens.map(TokenCount)), place))
    }
}

/// The word `effort` in `field`.
///
/// # Errors
/// [`Refusal::Invalid`] naming the field, its value and what would be right.
pub(super) fn of_effort(field: &str, effort: &str) -> Result<ReasoningOptions, Refusal> {
    ReasoningOptions::of_effort(effort).ok_or_else(|| {
        let other = shown(effort.as_bytes());
        Refusal::Invalid(format!(
            "`{field}` is `{other}`: use `none`, `minimal`, `low`, `medium`, `high`, `xhigh` or `max`"
        ))
    })
}

/// What two fields of one request say together: off goes before on, and else the first before the second.
#[must_use]
pub(super) fn joined(first: ReasoningOptions, second: ReasoningOptions) -> ReasoningOptions {
    let is_off = first.enabled == Some(false) || second.enabled == Some(false);
    ReasoningOptions {
        enabled: if is_off { Some(false) } else { first.enabled.or(second.enabled) },
        effort: first.effort.or(second.effort),
        budget: first.budget.or(second.budget),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn options(enabled: Option<bool>, effort: Option<&str>, budget: Option<u32>) -> ReasoningOptions {
        ReasoningOptions { enabled, effort: effort.map(str::to_owned), budget: budget.map(TokenCount) }
    }

    fn thinking(of: Value) -> Result<ReasoningOptions, Refusal> {
        serde_json::from_value::<Thinking>(of).expect("its shape").resolve()
    }

    fn reasoning(of: Value) -> (ReasoningOptions, ReasoningPlace) {
        serde_json::from_value::<Reasoning>(of).expect("its shape").resolve().expect("its values")
    }

    /// ORCH-OAI-18
    #[test]
    fn every_api_has_one_meaning() {
        assert_eq!(of_effort("e", "none").expect("a word"), options(Some(false), None, None));
        assert_eq!(of_effort("e", "minimal").expect("a word"), options(Some(true), Some("low"), None));
        assert_eq!(of_effort("e", "xhigh").expect("a word"), options(Some(true), Some("high"), None));
        let on = thinking(json!({"type": "enabled", "budget_tokens": 1024}));
        assert_eq!(on.expect("valid"), options(Some(true), None, Some(1024)));
        assert_eq!(thinking(json!({"type": "disabled"})).expect("valid"), options(Some(false), None, None));
        assert_eq!(thinking(json!({"type": "adaptive"})).expect("valid"), options(None, None, None));
        let (both, place) = reasoning(json!({"effort": "high", "max_tokens": 9, "summary": "auto"}));
        assert_eq!((both, place), (options(Some(true), Some("high"), Some(9)), ReasoningPlace::Apart));
        let off = reasoning(json!({"enabled": true, "effort": "none"})).0;
        assert_eq!(
            joined(options(Some(true), Some("high"), None), off).enabled,
            Some(false),
            "off goes first"
        );
        let (off, place) = reasoning(json!({"max_tokens": 0, "exclude": true}));
        assert_eq!((off, place), (options(Some(false), None, Some(0)), ReasoningPlace::Omitted));
    }

    #[test]
    fn unknown_words_are_rejected_with_the_field_and_the_right_ones() {
        let effort = of_effort("reasoning.effort", "huge").expect_err("unknown").to_string();
        assert!(effort.contains("`reasoning.effort` is `huge`") && effort.contains("`medium`"), "{effort}");
        let kind = thinking(json!({"type": "yes"})).expect_err("unknown").to_string();
        assert!(kind.contains("`thinking.type` is `yes`") && kind.contains("`disabled`"), "{kind}");
    }
}
