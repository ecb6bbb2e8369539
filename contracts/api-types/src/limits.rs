//! Limits and defaults of requests.
//! Generated from `contracts/openapi` by `cargo xtask regen-openapi`; changes belong there.

///Of `TaskRequest`.
pub mod task_request {
    ///How many characters `model_ref` may have.
    pub const MODEL_REF_CHARS: ::std::ops::RangeInclusive<usize> = 1..=512;
    ///How many entries `messages` may have.
    pub const MESSAGES_ITEMS: ::std::ops::RangeInclusive<usize> = 1..=4096;
    ///How many entries `inputs` may have.
    pub const INPUTS_ITEMS: ::std::ops::RangeInclusive<usize> = 1..=2048;
    ///What `ctx` may be.
    pub const CTX: ::std::ops::RangeInclusive<u32> = 1..=16777216;
    ///What `max_tokens` may be.
    pub const MAX_TOKENS: ::std::ops::RangeInclusive<u32> = 1..=1048576;
    ///How many characters `sampler_profile_version` may have.
    pub const SAMPLER_PROFILE_VERSION_CHARS: ::std::ops::RangeInclusive<usize> = 1..=64;
    ///What `expected_tokens` may be.
    pub const EXPECTED_TOKENS: ::std::ops::RangeInclusive<u32> = 1..=1048576;
}
///Of `Sampling`.
pub mod sampling {
    ///What `temperature` may be.
    pub const TEMPERATURE: ::std::ops::RangeInclusive<f32> = 0.0..=5.0;
    ///What `temperature` is when it is left out.
    pub const TEMPERATURE_DEFAULT: f32 = 0.8;
    ///`top_p` is more than this.
    pub const TOP_P_ABOVE: f32 = 0.0;
    ///The most that `top_p` may be.
    pub const TOP_P_MOST: f32 = 1.0;
    ///What `top_p` is when it is left out.
    pub const TOP_P_DEFAULT: f32 = 0.95;
    ///What `top_k` may be.
    pub const TOP_K: ::std::ops::RangeInclusive<u32> = 0..=1000000;
    ///What `top_k` is when it is left out.
    pub const TOP_K_DEFAULT: u32 = 40;
    ///What `min_p` may be.
    pub const MIN_P: ::std::ops::RangeInclusive<f32> = 0.0..=1.0;
    ///What `min_p` is when it is left out.
    pub const MIN_P_DEFAULT: f32 = 0.05;
    ///`repeat_penalty` is more than this.
    pub const REPEAT_PENALTY_ABOVE: f32 = 0.0;
    ///The most that `repeat_penalty` may be.
    pub const REPEAT_PENALTY_MOST: f32 = 10.0;
    ///What `repeat_penalty` is when it is left out.
    pub const REPEAT_PENALTY_DEFAULT: f32 = 1.0;
    ///What `repeat_last_n` may be.
    pub const REPEAT_LAST_N: ::std::ops::RangeInclusive<u32> = 0..=65536;
    ///What `repeat_last_n` is when it is left out.
    pub const REPEAT_LAST_N_DEFAULT: u32 = 64;
    ///What `presence_penalty` may be.
    pub const PRESENCE_PENALTY: ::std::ops::RangeInclusive<f32> = -2.0..=2.0;
    ///What `presence_penalty` is when it is left out.
    pub const PRESENCE_PENALTY_DEFAULT: f32 = 0.0;
    ///What `frequency_penalty` may be.
    pub const FREQUENCY_PENALTY: ::std::ops::RangeInclusive<f32> = -2.0..=2.0;
    ///What `frequency_penalty` is when it is left out.
    pub const FREQUENCY_PENALTY_DEFAULT: f32 = 0.0;
    ///`typical_p` is more than this.
    pub const TYPICAL_P_ABOVE: f32 = 0.0;
    ///The most that `typical_p` may be.
    pub const TYPICAL_P_MOST: f32 = 1.0;
    ///What `typical_p` is when it is left out.
    pub const TYPICAL_P_DEFAULT: f32 = 1.0;
    ///What `xtc_probability` may be.
    pub const XTC_PROBABILITY: ::std::ops::RangeInclusive<f32> = 0.0..=1.0;
    ///What `xtc_probability` is when it is left out.
    pub const XTC_PROBABILITY_DEFAULT: f32 = 0.0;
    ///What `xtc_threshold` may be.
    pub const XTC_THRESHOLD: ::std::ops::RangeInclusive<f32> = 0.0..=1.0;
    ///What `xtc_threshold` is when it is left out.
    pub const XTC_THRESHOLD_DEFAULT: f32 = 0.1;
    ///What `dry_multiplier` may be.
    pub const DRY_MULTIPLIER: ::std::ops::RangeInclusive<f32> = 0.0..=100.0;
    ///What `dry_multiplier` is when it is left out.
    pub const DRY_MULTIPLIER_DEFAULT: f32 = 0.0;
    ///What `dry_base` may be.
    pub const DRY_BASE: ::std::ops::RangeInclusive<f32> = 1.0..=100.0;
    ///What `dry_base` is when it is left out.
    pub const DRY_BASE_DEFAULT: f32 = 1.75;
    ///What `dry_allowed_length` may be.
    pub const DRY_ALLOWED_LENGTH: ::std::ops::RangeInclusive<u32> = 0..=1024;
    ///What `dry_allowed_length` is when it is left out.
    pub const DRY_ALLOWED_LENGTH_DEFAULT: u32 = 2;
    ///What `dry_penalty_last_n` may be.
    pub const DRY_PENALTY_LAST_N: ::std::ops::RangeInclusive<i32> = -1..=1048576;
    ///What `dry_penalty_last_n` is when it is left out.
    pub const DRY_PENALTY_LAST_N_DEFAULT: i32 = -1;
    ///How many entries `dry_sequence_breakers` may have.
    pub const DRY_SEQUENCE_BREAKERS_ITEMS: ::std::ops::RangeInclusive<usize> = 0..=32;
    ///How many characters an entry of `dry_sequence_breakers` may have.
    pub const DRY_SEQUENCE_BREAKERS_ITEM_CHARS: ::std::ops::RangeInclusive<usize> = 1..=64;
    ///How many entries `stop` may have.
    pub const STOP_ITEMS: ::std::ops::RangeInclusive<usize> = 0..=16;
    ///How many characters an entry of `stop` may have.
    pub const STOP_ITEM_CHARS: ::std::ops::RangeInclusive<usize> = 1..=256;
    ///How many characters `grammar` may have.
    pub const GRAMMAR_CHARS: ::std::ops::RangeInclusive<usize> = 1..=65536;
    ///How many entries `logit_bias` may have.
    pub const LOGIT_BIAS_ITEMS: ::std::ops::RangeInclusive<usize> = 0..=1024;
}
///Of `LogitBias`.
pub mod logit_bias {
    ///How many characters `text` may have.
    pub const TEXT_CHARS: ::std::ops::RangeInclusive<usize> = 1..=256;
    ///What `bias` may be.
    pub const BIAS: ::std::ops::RangeInclusive<f32> = -100.0..=100.0;
}
///Of `ReloadRequest`.
pub mod reload_request {
    ///How many characters `new_model_ref` may have.
    pub const NEW_MODEL_REF_CHARS: ::std::ops::RangeInclusive<usize> = 1..=4096;
}
///Of `StoreFetchRequest`.
pub mod store_fetch_request {
    ///How many characters `model_ref` may have.
    pub const MODEL_REF_CHARS: ::std::ops::RangeInclusive<usize> = 1..=4096;
}
///Of `ModelFitRequest`.
pub mod model_fit_request {
    ///How many characters `model_ref` may have.
    pub const MODEL_REF_CHARS: ::std::ops::RangeInclusive<usize> = 1..=4096;
    ///How many characters `pool` may have.
    pub const POOL_CHARS: ::std::ops::RangeInclusive<usize> = 1..=63;
}
