//! What a chat completion and a completion have in common: how tokens are chosen, how many, how many answers,
//! and how they are told.
//!
//! Rules: ORCH-OAI-1, ORCH-OAI-14

use std::sync::Arc;

use api_types::limits::task_request as limits;
use generation::{GenerateRequest, Input, MaxTokensMode, ReasoningOptions, Sampling, SamplingParams, Tools};
use http::HeaderMap;
use orchestrator_core::{KeepAlive, SessionId, TaskId, TokenCount};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::extra_body;
use super::fields::TextOr;
use super::logit_bias::LogitBiases;
use super::reasoning_params::ReasoningPlace;
use super::response_format::ResponseFormat;
use super::routing::{self, Lane};
use crate::backpressure::Refusal;
use crate::handle::TaskRequest;
use crate::http::keep_alive;
use crate::http::task_request::sampling::constraint;
use crate::http::task_request::{self, check};

/// The most answers that one request asks for.
const CHOICES: std::ops::RangeInclusive<u32> = 1..=16;

/// The shared fields, as a request brings them. Those of type [`IgnoredAny`] are taken and have no effect.
#[derive(Debug, Default)]
pub(super) struct GenerationParams {
    pub(super) model: Option<String>,
    pub(super) stream: Option<bool>,
    pub(super) stream_options: Option<StreamOptions>,
    pub(super) n: Option<u32>,
    pub(super) max_tokens: Option<u32>,
    pub(super) temperature: Option<f32>,
    pub(super) top_p: Option<f32>,
    pub(super) top_k: Option<u32>,
    pub(super) min_p: Option<f32>,
    pub(super) repeat_penalty: Option<f32>,
    pub(super) repeat_last_n: Option<u32>,
    pub(super) frequency_penalty: Option<f32>,
    pub(super) presence_penalty: Option<f32>,
    pub(super) typical_p: Option<f32>,
    pub(super) xtc_probability: Option<f32>,
    pub(super) xtc_threshold: Option<f32>,
    pub(super) dry_multiplier: Option<f32>,
    pub(super) dry_base: Option<f32>,
    pub(super) dry_allowed_length: Option<u32>,
    pub(super) dry_penalty_last_n: Option<i32>,
    pub(super) dry_sequence_breakers: Option<Vec<String>>,
    pub(super) seed: Option<i64>,
    pub(super) stop: Option<TextOr<String>>,
    pub(super) logit_bias: Option<LogitBiases>,
    pub(super) response_format: Option<ResponseFormat>,
    pub(super) grammar: Option<String>,
    pub(super) service_tier: Option<String>,
    pub(super) session_id: Option<String>,
    pub(super) prompt_cache_key: Option<String>,
    pub(super) keep_alive: Option<Value>,
    /// How many alternatives to each token are told with its probability; each endpoint has its own words for it.
    pub(super) logprobs: Option<u8>,
    /// How the model reasons.
    pub(super) reasoning: ReasoningOptions,
    /// Where reasoning goes in the response.
    pub(super) reasoning_place: ReasoningPlace,
    /// Fields that the endpoint does not know.
    pub(super) beyond: Map<String, Value>,
    /// Those that it knows.
    pub(super) known: &'static [&'static str],
    /// Whether answers come with what an engine says in fields of its own.
    pub(super) include_extra: bool,
}

/// The names of fields, without what marks those that have no effect.
pub(super) const fn names<const N: usize>(fields: [&'static str; N]) -> [&'static str; N] {
    let mut names = fields;
    let mut at = 0;
    while at < N {
        if let Some((b'_', name)) = fields[at].as_bytes().split_first()
            && let Ok(name) = std::str::from_utf8(name)
        {
            names[at] = name;
        }
        at += 1;
    }
    names
}

/// Makes a request's type out of its own fields and the shared ones. A field that is in neither may be one of an
/// engine's own.
macro_rules! request {
    (
        $(#[$of_type:meta])*
        struct $name:ident, $fields:ident {
            $($(#[$of_field:meta])* $field:ident: $kind:ty,)*
        }
    ) => {
        /// The names of its fields.
        pub(in crate::http::openai_api) const $fields: &[&str] = &$crate::http::openai_api::generation_params::names([
            $(stringify!($field),)*
            "model", "stream", "stream_options", "n", "max_tokens", "temperature", "top_p", "top_k", "min_p",
            "repeat_penalty", "repeat_last_n", "frequency_penalty", "presence_penalty", "typical_p", "xtc_probability",
            "xtc_threshold", "dry_multiplier", "dry_base", "dry_allowed_length", "dry_penalty_last_n",
            "dry_sequence_breakers", "seed", "stop",
            "logit_bias", "response_format", "grammar", "service_tier", "session_id", "prompt_cache_key", "keep_alive", "user",
        ]);

        $(#[$of_type])*
        #[derive(Debug, serde::Deserialize)]
        pub(in crate::http::openai_api) struct $name {
            $($(#[$of_field])* pub(super) $field: $kind,)*
            model: Option<String>,
            stream: Option<bool>,
            stream_options: Option<$crate::http::openai_api::generation_params::StreamOptions>,
            n: Option<u32>,
            max_tokens: Option<u32>,
            temperature: Option<f32>,
            top_p: Option<f32>,
            top_k: Option<u32>,
            min_p: Option<f32>,
            repeat_penalty: Option<f32>,
            repeat_last_n: Option<u32>,
            frequency_penalty: Option<f32>,
            presence_penalty: Option<f32>,
            typical_p: Option<f32>,
            xtc_probability: Option<f32>,
            xtc_threshold: Option<f32>,
            dry_multiplier: Option<f32>,
            dry_base: Option<f32>,
            dry_allowed_length: Option<u32>,
            dry_penalty_last_n: Option<i32>,
            dry_sequence_breakers: Option<Vec<String>>,
            seed: Option<i64>,
            stop: Option<$crate::http::openai_api::fields::TextOr<String>>,
            logit_bias: Option<$crate::http::openai_api::logit_bias::LogitBiases>,
            response_format: Option<$crate::http::openai_api::response_format::ResponseFormat>,
            grammar: Option<String>,
            service_tier: Option<String>,
            session_id: Option<String>,
            prompt_cache_key: Option<String>,
            keep_alive: Option<serde_json::Value>,
            /// Who asks has no effect: there is one user.
            #[serde(default, rename = "user")]
            _user: serde::de::IgnoredAny,
            /// What only an engine may know.
            #[serde(flatten)]
            beyond: serde_json::Map<String, serde_json::Value>,
        }

        impl $name {
            /// The shared fields, which are taken out of it.
            pub(super) fn take_params(&mut self) -> $crate::http::openai_api::generation_params::GenerationParams {
                $crate::http::openai_api::generation_params::GenerationParams {
                    model: self.model.take(),
                    stream: self.stream.take(),
                    stream_options: self.stream_options.take(),
                    n: self.n.take(),
                    max_tokens: self.max_tokens.take(),
                    temperature: self.temperature.take(),
                    top_p: self.top_p.take(),
                    top_k: self.top_k.take(),
                    min_p: self.min_p.take(),
                    repeat_penalty: self.repeat_penalty.take(),
                    repeat_last_n: self.repeat_last_n.take(),
                    frequency_penalty: self.frequency_penalty.take(),
                    presence_penalty: self.presence_penalty.take(),
                    typical_p: self.typical_p.take(),
                    xtc_probability: self.xtc_probability.take(),
                    xtc_threshold: self.xtc_threshold.take(),
                    dry_multiplier: self.dry_multiplier.take(),
                    dry_base: self.dry_base.take(),
                    dry_allowed_length: self.dry_allowed_length.take(),
                    dry_penalty_last_n: self.dry_penalty_last_n.take(),
                    dry_sequence_breakers: self.dry_sequence_breakers.take(),
                    seed: self.seed.take(),
                    stop: self.stop.take(),
                    logit_bias: self.logit_bias.take(),
                    response_format: self.response_format.take(),
                    grammar: self.grammar.take(),
                    service_tier: self.service_tier.take(),
                    session_id: self.session_id.take(),
                    prompt_cache_key: self.prompt_cache_key.take(),
                    keep_alive: self.keep_alive.take(),
                    logprobs: None,
                    reasoning: generation::ReasoningOptions::default(),
                    reasoning_place: $crate::http::openai_api::reasoning_params::ReasoningPlace::Apart,
                    beyond: std::mem::take(&mut self.beyond),
                    known: $fields,
                    include_extra: true,
                }
            }
        }
    };
}
pub(super) use request;

/// What a stream is to carry beside the answer.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StreamOptions {
    include_usage: Option<bool>,
    /// Nothing hides the lengths of chunks here.
    #[serde(default, rename = "include_obfuscation")]
    _include_obfuscation: IgnoredAny,
}

/// How an answer is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ResponseOptions {
    pub(super) stream: bool,
    pub(super) include_usage: bool,
    /// The model, as the client named it.
    pub(super) model: String,
    pub(super) lane: Lane,
    /// Whether it says how probable its tokens were, with so many alternatives to each.
    pub(super) logprobs: Option<u8>,
    /// Where reasoning goes.
    pub(super) reasoning: ReasoningPlace,
}

/// What the tasks of one request have in common.
#[derive(Debug)]
pub(super) struct GenerationPlan {
    pub(super) options: ResponseOptions,
    /// Answers to each input.
    pub(super) choices: u32,
    model_ref: Option<String>,
    keep_alive: Option<KeepAlive>,
    /// Each of them, but for its id and what it reads.
    generate: GenerateRequest,
    /// The seed of the first, where the request has one.
    seed: Option<u64>,
}

impl GenerationParams {
    /// Checks what is not a task's own, and makes the rest of a task out of the other.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] naming the field, its value and what would be right.
    pub(super) fn plan(self, headers: &HeaderMap) -> Result<GenerationPlan, Refusal> {
        if self.model.is_none() {
            let why = "`model` is missing: name one of `GET /v1/models`";
            return Err(Refusal::Invalid(why.to_owned()));
        }
        self.plan_on_any_model(headers)
    }

    /// The same where a request need not name a model: the first pool that serves it answers then.
    ///
    /// # Errors
    /// See [`Self::plan`].
    pub(super) fn plan_on_any_model(self, headers: &HeaderMap) -> Result<GenerationPlan, Refusal> {
        let stream = self.stream.unwrap_or_default();
        // Some clients send them with every request.
        let include_usage = self.stream_options.as_ref().and_then(|options| options.include_usage);
        let include_usage = stream && include_usage == Some(true);
        let extra_body = extra_body::fields(self.beyond.clone(), self.known, &[])?;
        let named = self.model.clone().unwrap_or_default();
        let (lane, model) = Lane::of(&named, self.service_tier.as_deref());
        let choices = check::within("n", self.n, CHOICES)?.unwrap_or(1);
        let session = self.session(headers)?.map(SessionId);
        let keep_alive = keep_alive::read(self.keep_alive.as_ref())?;
        let json_schema = self.response_format.map(ResponseFormat::into_schema).transpose()?.flatten();
        let biases = self.logit_bias.unwrap_or_default();
        let sampling = Sampling {
            params: SamplingParams {
                temperature: self.temperature,
                top_p: self.top_p,
                top_k: self.top_k,
                min_p: self.min_p,
                repeat_penalty: self.repeat_penalty,
                repeat_last_n: self.repeat_last_n,
                presence_penalty: self.presence_penalty,
                frequency_penalty: self.frequency_penalty,
                typical_p: self.typical_p,
                xtc_probability: self.xtc_probability,
                xtc_threshold: self.xtc_threshold,
                dry_multiplier: self.dry_multiplier,
                dry_base: self.dry_base,
                dry_allowed_length: self.dry_allowed_length,
                dry_penalty_last_n: self.dry_penalty_last_n,
                dry_sequence_breakers: self.dry_sequence_breakers,
            },
            stop: self.stop.map(TextOr::into_texts).unwrap_or_default(),
            logit_bias: biases.tokens,
            text_bias: biases.texts,
            constraint: constraint(("grammar", "response_format"), self.grammar, json_schema)?,
        };
        let generate = GenerateRequest {
            session,
            priority: lane.priority(),
            // A ceiling beyond every context is none.
            max_tokens: self.max_tokens.map(|most| TokenCount(most.min(*limits::MAX_TOKENS.end()))),
            sampling,
            reasoning: self.reasoning,
            logprobs: self.logprobs,
            extra_body,
            include_extra: self.include_extra,
            ..GenerateRequest::new(TaskId(Uuid::nil()), Input::Prompt(String::new()))
        };
        let options = ResponseOptions {
            stream,
            include_usage,
            model: named,
            lane,
            logprobs: self.logprobs,
            reasoning: self.reasoning_place,
        };
        let seed = self.seed.map(i64::cast_unsigned);
        Ok(GenerationPlan {
            options,
            choices,
            model_ref: self.model.map(|_| model),
            keep_alive,
            generate,
            seed,
        })
    }

    /// The conversation: the request's own word before a header, and a key for the cache last.
    fn session(&self, headers: &HeaderMap) -> Result<Option<Uuid>, Refusal> {
        if let Some(name) = &self.session_id {
            return routing::session("session_id", name).map(Some);
        }
        if let Some(session) = routing::session_of_headers(headers)? {
            return Ok(Some(session));
        }
        let key = self.prompt_cache_key.as_deref();
        key.map(|key| routing::session("prompt_cache_key", key)).transpose()
    }
}

impl GenerationPlan {
    /// The tasks that answer `input`, with these tools. All is checked and hashed once, however many they are.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] naming the field, its value and what would be right.
    pub(super) fn tasks(
        &self,
        input: Input,
        tools: Tools,
        continues: bool,
    ) -> Result<Vec<TaskRequest>, Refusal> {
        let task = TaskId(Uuid::new_v4());
        let generate = GenerateRequest {
            task,
            seed: self.seed.unwrap_or_else(|| task_request::seed_of(task)),
            input: input.into(),
            tools: tools.into(),
            continue_final_message: continues,
            max_tokens_mode: MaxTokensMode::Ceiling,
            ..self.generate.clone()
        };
        let model_ref = self.model_ref.clone();
        let request = TaskRequest { model_ref, keep_alive: self.keep_alive, ..TaskRequest::new(generate) };
        let first = task_request::check(request)?;
        let others: Vec<_> = (1..self.choices).map(|choice| self.another(&first, choice)).collect();
        Ok(std::iter::once(first).chain(others).collect())
    }

    /// The task of a further answer to the same input.
    fn another(&self, first: &TaskRequest, choice: u32) -> TaskRequest {
        let mut another = first.clone();
        let job = Arc::make_mut(&mut another.job);
        job.task = TaskId(Uuid::new_v4());
        // The same seed would give the same answer again.
        let given = self.seed.map(|seed| seed.wrapping_add(choice.into()));
        job.seed = given.unwrap_or_else(|| task_request::seed_of(job.task));
        another
    }
}
