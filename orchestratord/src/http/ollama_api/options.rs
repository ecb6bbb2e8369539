//! `options`: how tokens are chosen. What says how Ollama loads a model has no effect, because pools say that here; and
//! so has what Ollama itself no longer reads.
//!
//! Rules: ORCH-OLLAMA-5

use std::fmt;

use api_types::limits::task_request as limits;
use generation::SamplingParams;
use orchestrator_core::TokenCount;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, Visitor};

use crate::http::generate::fields::TextOr;

/// The most tokens that a penalty looks at, which `repeat_last_n` -1 asks for.
const LAST_N_MAX: u32 = *api_types::limits::sampling::REPEAT_LAST_N.end();

/// The options of a request.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Options {
    seed: Option<Whole>,
    num_predict: Option<Whole>,
    temperature: Option<f32>,
    top_k: Option<Whole>,
    top_p: Option<f32>,
    min_p: Option<f32>,
    typical_p: Option<f32>,
    repeat_last_n: Option<Whole>,
    repeat_penalty: Option<f32>,
    presence_penalty: Option<f32>,
    frequency_penalty: Option<f32>,
    stop: Option<TextOr<String>>,
    /// The context is the pool's: it is there whatever a request says, and is never made smaller for one.
    #[serde(rename = "num_ctx")]
    _num_ctx: IgnoredAny,
    /// Which tokens stay where a context is shifted: none is.
    #[serde(rename = "num_keep")]
    _num_keep: IgnoredAny,
    /// How a draft is made, which changes no answer.
    #[serde(rename = "draft_num_predict")]
    _draft_num_predict: IgnoredAny,
    /// How a model is loaded.
    #[serde(rename = "num_batch")]
    _num_batch: IgnoredAny,
    #[serde(rename = "num_gpu")]
    _num_gpu: IgnoredAny,
    #[serde(rename = "main_gpu")]
    _main_gpu: IgnoredAny,
    #[serde(rename = "num_thread")]
    _num_thread: IgnoredAny,
    #[serde(rename = "use_mmap")]
    _use_mmap: IgnoredAny,
    #[serde(rename = "use_mlock")]
    _use_mlock: IgnoredAny,
    #[serde(rename = "low_vram")]
    _low_vram: IgnoredAny,
    #[serde(rename = "f16_kv")]
    _f16_kv: IgnoredAny,
    #[serde(rename = "logits_all")]
    _logits_all: IgnoredAny,
    #[serde(rename = "vocab_only")]
    _vocab_only: IgnoredAny,
    #[serde(rename = "embedding_only")]
    _embedding_only: IgnoredAny,
    /// What Ollama no longer reads, and its libraries still have.
    #[serde(rename = "mirostat")]
    _mirostat: IgnoredAny,
    #[serde(rename = "mirostat_eta")]
    _mirostat_eta: IgnoredAny,
    #[serde(rename = "mirostat_tau")]
    _mirostat_tau: IgnoredAny,
    #[serde(rename = "penalize_newline")]
    _penalize_newline: IgnoredAny,
    #[serde(rename = "tfs_z")]
    _tfs_z: IgnoredAny,
}

/// What the options say of an answer.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Chosen {
    pub(super) params: SamplingParams,
    pub(super) stop: Vec<String>,
    pub(super) seed: Option<u64>,
    pub(super) max_tokens: Option<TokenCount>,
}

impl Options {
    /// In the terms of a task.
    pub(super) fn resolve(self) -> Chosen {
        // Below 0 asks for none, as 0 does.
        let count = |Whole(number): Whole| u32::try_from(number.max(0)).unwrap_or(u32::MAX);
        let params = SamplingParams {
            temperature: self.temperature,
            top_k: self.top_k.map(count),
            top_p: self.top_p,
            min_p: self.min_p,
            typical_p: self.typical_p,
            repeat_last_n: self.repeat_last_n.map(|last| if last.0 < 0 { LAST_N_MAX } else { count(last) }),
            repeat_penalty: self.repeat_penalty,
            presence_penalty: self.presence_penalty,
            frequency_penalty: self.frequency_penalty,
            ..SamplingParams::default()
        };
        // What is not above 0 asks for all that the context holds.
        let most = *limits::MAX_TOKENS.end();
        let max_tokens =
            self.num_predict.map(|asked| if asked.0 <= 0 { most } else { count(asked).min(most) });
        Chosen {
            params,
            stop: self.stop.map(TextOr::into_texts).unwrap_or_default(),
            seed: self.seed.map(|seed| seed.0.cast_unsigned()),
            max_tokens: max_tokens.map(TokenCount),
        }
    }
}

/// A whole number. Clients without integers write 40 as 40.0.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Whole(i64);

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Numbers;

        impl Visitor<'_> for Numbers {
            type Value = Whole;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number")
            }

            fn visit_i64<E>(self, number: i64) -> Result<Whole, E> {
                Ok(Whole(number))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Whole, E> {
                Ok(Whole(i64::try_from(number).unwrap_or(i64::MAX)))
            }

            fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Whole, E> {
                #[expect(clippy::cast_possible_truncation, reason = "it saturates, as larger integers do")]
                match number.fract() {
                    0.0 => Ok(Whole(number as i64)),
                    _ => Err(E::invalid_type(serde::de::Unexpected::Float(number), &self)),
                }
            }
        }

        from.deserialize_any(Numbers)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn chosen(options: Value) -> Chosen {
        serde_json::from_value::<Options>(options).expect("options").resolve()
    }

    /// ORCH-OLLAMA-5
    #[test]
    fn what_chooses_tokens_is_taken_and_what_loads_a_model_is_not() {
        let all = chosen(json!({
            "seed": 7, "num_predict": 9, "temperature": 0.5, "top_k": 40.0, "top_p": 0.9, "min_p": 0.1, "typical_p": 0.8,
            "repeat_last_n": 32, "repeat_penalty": 1.1, "presence_penalty": 0.3, "frequency_penalty": 0.2, "stop": ["a"],
            "num_ctx": 131_072, "num_gpu": 99, "num_thread": 8, "use_mmap": null, "mirostat": 2, "tfs_z": 1.0,
        }));
        let params = SamplingParams {
            temperature: Some(0.5),
            top_k: Some(40),
            top_p: Some(0.9),
            min_p: Some(0.1),
            typical_p: Some(0.8),
            repeat_last_n: Some(32),
            repeat_penalty: Some(1.1),
            presence_penalty: Some(0.3),
            frequency_penalty: Some(0.2),
            ..SamplingParams::default()
        };
        let wanted =
            Chosen { params, stop: vec!["a".to_owned()], seed: Some(7), max_tokens: Some(TokenCount(9)) };
        assert_eq!(all, wanted);
        assert_eq!(chosen(json!({})), Chosen::default(), "the pool's own values hold");
    }

    /// ORCH-OLLAMA-5
    #[test]
    fn numbers_below_zero_have_ollamas_meaning() {
        for endless in [-1, -2, 0] {
            let most = Some(TokenCount(*limits::MAX_TOKENS.end()));
            assert_eq!(chosen(json!({"num_predict": endless})).max_tokens, most, "{endless}");
        }
        let params = chosen(json!({"repeat_last_n": -1, "top_k": -1, "stop": "one"})).params;
        assert_eq!((params.repeat_last_n, params.top_k), (Some(LAST_N_MAX), Some(0)));
        assert_eq!(chosen(json!({"seed": -1})).seed, Some(u64::MAX));
    }

    /// ORCH-OLLAMA-5
    #[test]
    fn an_option_that_is_none_and_a_part_of_a_token_are_rejected() {
        for bad in [json!({"temprature": 1}), json!({"top_k": 1.5}), json!({"num_predict": "9"})] {
            assert!(serde_json::from_value::<Options>(bad.clone()).is_err(), "{bad}");
        }
    }
}
