//! The numbers of sampling as servers are told them. What a request leaves out is left out here: the server's own
//! defaults hold, which may be its model's.
//!
//! Rules: ORCH-ENG-4, ORCH-TASK-10

use generation::SamplingParams;
use orchestrator_core::TokenCount;
use serde::Serialize;

use crate::backend::Flavor;

/// What every server of the API knows, and `top_k` and `min_p`, which one that is not known is asked for only where they
/// change anything.
#[derive(Debug, Serialize)]
pub struct CommonSampling {
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    min_p: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    presence_penalty: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frequency_penalty: Option<f32>,
}

impl CommonSampling {
    /// These numbers, in the words of a server of this kind.
    #[must_use]
    pub fn new(params: &SamplingParams, flavor: Flavor) -> Self {
        let all = match flavor {
            Flavor::LlamaServer => Some(0),
            Flavor::Vllm { .. } | Flavor::Sglang => Some(-1),
            Flavor::Other => None,
        };
        let knows_all = flavor != Flavor::Other;
        let top_k = params.top_k.and_then(|count| if count == 0 { all } else { Some(i64::from(count)) });
        Self {
            temperature: params.temperature,
            top_p: params.top_p,
            top_k,
            min_p: params.min_p.filter(|least| knows_all || *least > 0.0),
            presence_penalty: params.presence_penalty,
            frequency_penalty: params.frequency_penalty,
        }
    }
}

/// What `llama-server` knows beside [`CommonSampling`].
#[derive(Debug, Default, Serialize)]
pub struct LlamaServerSampling<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    repeat_penalty: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    repeat_last_n: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    typical_p: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    xtc_probability: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    xtc_threshold: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dry_multiplier: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dry_base: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dry_allowed_length: Option<u32>,
    /// Newer servers take no -1.
    #[serde(skip_serializing_if = "Option::is_none")]
    dry_penalty_last_n: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dry_sequence_breakers: Option<&'a [String]>,
}

impl<'a> LlamaServerSampling<'a> {
    /// These numbers, for a server with a context of `ctx` tokens.
    #[must_use]
    pub fn new(params: &'a SamplingParams, ctx: TokenCount) -> Self {
        let looks_back = |last_n: i32| u32::try_from(last_n).unwrap_or(ctx.0);
        Self {
            repeat_penalty: params.repeat_penalty,
            repeat_last_n: params.repeat_last_n,
            typical_p: params.typical_p,
            xtc_probability: params.xtc_probability,
            xtc_threshold: params.xtc_threshold,
            dry_multiplier: params.dry_multiplier,
            dry_base: params.dry_base,
            dry_allowed_length: params.dry_allowed_length,
            dry_penalty_last_n: params.dry_penalty_last_n.map(looks_back),
            dry_sequence_breakers: params.dry_sequence_breakers.as_deref(),
        }
    }
}
