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
    ///What `bias` may be.
    pub const BIAS: ::std::ops::RangeInclusive<f32> = -100.0..=100.0;
}
///Of `ReloadRequest`.
pub mod reload_request {
    ///How many characters `new_model_ref` may have.
    pub const NEW_MODEL_REF_CHARS: ::std::ops::RangeInclusive<usize> = 1..=4096;
}
