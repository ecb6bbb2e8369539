//! The types of the wire.
//! Generated from `contracts/openapi` by `cargo xtask regen-openapi`; changes belong there.

///`strict` gives the same tokens for the same input, parameters and seed on one replica, whatever else runs; an engine that cannot promise it refuses with 400. `best_effort` uses the seed and promises nothing.
#[derive(
    ::serde::Deserialize,
    ::serde::Serialize,
    Clone,
    Copy,
    Debug,
    Eq,
    Hash,
    Ord,
    PartialEq,
    PartialOrd
)]
pub enum Determinism {
    #[serde(rename = "strict")]
    Strict,
    #[serde(rename = "best_effort")]
    BestEffort,
}
impl ::std::fmt::Display for Determinism {
    fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
        match *self {
            Self::Strict => f.write_str("strict"),
            Self::BestEffort => f.write_str("best_effort"),
        }
    }
}
impl ::std::str::FromStr for Determinism {
    type Err = self::error::ConversionError;
    fn from_str(
        value: &str,
    ) -> ::std::result::Result<Self, self::error::ConversionError> {
        match value {
            "strict" => Ok(Self::Strict),
            "best_effort" => Ok(Self::BestEffort),
            _ => Err(format!("`{value}` is not one of `strict`, `best_effort`").into()),
        }
    }
}
impl ::std::convert::TryFrom<&str> for Determinism {
    type Error = self::error::ConversionError;
    fn try_from(
        value: &str,
    ) -> ::std::result::Result<Self, self::error::ConversionError> {
        value.parse()
    }
}
impl ::std::convert::TryFrom<::std::string::String> for Determinism {
    type Error = self::error::ConversionError;
    fn try_from(
        value: ::std::string::String,
    ) -> ::std::result::Result<Self, self::error::ConversionError> {
        value.parse()
    }
}
impl ::std::default::Default for Determinism {
    fn default() -> Self {
        Determinism::BestEffort
    }
}
///What a replica can compute on.
#[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug, PartialEq)]
pub struct Device {
    ///`cpu`, or `gpu` with its place in PCI order, from 0.
    pub id: ::std::string::String,
    ///What its maker calls it.
    pub name: ::std::string::String,
    ///Bytes of memory it has.
    pub memory_total_bytes: u64,
    ///Bytes of it in use, by anyone.
    pub memory_used_bytes: u64,
    ///The share, 0 to 1, of the last second in which it was at work. Absent where it cannot be read.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub utilization: ::std::option::Option<f64>,
}
///One device in one minute.
#[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug, PartialEq)]
pub struct DeviceFigures {
    ///The id of the device.
    pub device: ::std::string::String,
    ///The most bytes of its memory in use, by anyone.
    pub memory_used_bytes: u64,
    ///Bytes of memory it has.
    pub memory_total_bytes: u64,
}
///The data of the event `end`.
#[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug, PartialEq)]
pub struct EndEvent {
    ///Tokens of the answer; 0 for an embedding or a rerank.
    pub tokens_out: u32,
    ///Milliseconds from the first token to the end.
    pub decode_ms: u64,
    ///Tokens of the input, the chat template's and those found in the KV cache included; 0 when the task never reached a replica.
    pub tokens_in: u32,
    ///Milliseconds from admission until a replica took the task, or until it ended in the queue.
    pub queue_ms: u64,
    pub finish_reason: FinishReason,
    ///Why the task failed. There exactly when `finish_reason` is `error`.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub error: ::std::option::Option<ErrorEnvelope>,
}
///An engine that can serve a pool.
#[derive(
    ::serde::Deserialize,
    ::serde::Serialize,
    Clone,
    Copy,
    Debug,
    Eq,
    Hash,
    Ord,
    PartialEq,
    PartialOrd
)]
pub enum Engine {
    #[serde(rename = "llamacpp")]
    Llamacpp,
    #[serde(rename = "vllm")]
    Vllm,
    #[serde(rename = "tgi")]
    Tgi,
    #[serde(rename = "triton")]
    Triton,
}
impl ::std::fmt::Display for Engine {
    fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
        match *self {
            Self::Llamacpp => f.write_str("llamacpp"),
            Self::Vllm => f.write_str("vllm"),
            Self::Tgi => f.write_str("tgi"),
            Self::Triton => f.write_str("triton"),
        }
    }
}
impl ::std::str::FromStr for Engine {
    type Err = self::error::ConversionError;
    fn from_str(
        value: &str,
    ) -> ::std::result::Result<Self, self::error::ConversionError> {
        match value {
            "llamacpp" => Ok(Self::Llamacpp),
            "vllm" => Ok(Self::Vllm),
            "tgi" => Ok(Self::Tgi),
            "triton" => Ok(Self::Triton),
            _ => {
                Err(
                    format!(
                        "`{value}` is not one of `llamacpp`, `vllm`, `tgi`, `triton`"
                    )
                        .into(),
                )
            }
        }
    }
}
impl ::std::convert::TryFrom<&str> for Engine {
    type Error = self::error::ConversionError;
    fn try_from(
        value: &str,
    ) -> ::std::result::Result<Self, self::error::ConversionError> {
        value.parse()
    }
}
impl ::std::convert::TryFrom<::std::string::String> for Engine {
    type Error = self::error::ConversionError;
    fn try_from(
        value: ::std::string::String,
    ) -> ::std::result::Result<Self, self::error::ConversionError> {
        value.parse()
    }
}
/**What kind of error it is.

| code | meaning |
|---|---|
| `ADMISSION_REJECT` | the lane of the queue is full |
| `QUEUE_FULL_DROP_LRU` | the task waited longest in a full batch lane and made room for another |
| `INVALID_PARAMS` | the request can never be served as it is |
| `POOL_UNREADY` | the pool is loading its model |
| `POOL_UNAVAILABLE` | the pool cannot serve, or the daemon is stopping |
| `REPLICA_EXHAUSTED` | the replicas, or the daemon's streams, are as many or as busy as they may be |
| `DECODE_TIMEOUT` | the task's tokens stopped coming |
| `WORKER_RESET` | the engine went away with the task in it |
| `INTERNAL` | the daemon failed |*/
#[derive(
    ::serde::Deserialize,
    ::serde::Serialize,
    Clone,
    Copy,
    Debug,
    Eq,
    Hash,
    Ord,
    PartialEq,
    PartialOrd
)]
pub enum ErrorCode {
    #[serde(rename = "ADMISSION_REJECT")]
    AdmissionReject,
    #[serde(rename = "QUEUE_FULL_DROP_LRU")]
    QueueFullDropLru,
    #[serde(rename = "INVALID_PARAMS")]
    InvalidParams,
    #[serde(rename = "POOL_UNREADY")]
    PoolUnready,
    #[serde(rename = "POOL_UNAVAILABLE")]
    PoolUnavailable,
    #[serde(rename = "REPLICA_EXHAUSTED")]
    ReplicaExhausted,
    #[serde(rename = "DECODE_TIMEOUT")]
    DecodeTimeout,
    #[serde(rename = "WORKER_RESET")]
    WorkerReset,
    #[serde(rename = "INTERNAL")]
    Internal,
}
impl ::std::fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
        match *self {
            Self::AdmissionReject => f.write_str("ADMISSION_REJECT"),
            Self::QueueFullDropLru => f.write_str("QUEUE_FULL_DROP_LRU"),
            Self::InvalidParams => f.write_str("INVALID_PARAMS"),
            Self::PoolUnready => f.write_str("POOL_UNREADY"),
            Self::PoolUnavailable => f.write_str("POOL_UNAVAILABLE"),
            Self::ReplicaExhausted => f.write_str("REPLICA_EXHAUSTED"),
            Self::DecodeTimeout => f.write_str("DECODE_TIMEOUT"),
            Self::WorkerReset => f.write_str("WORKER_RESET"),
            Self::Internal => f.write_str("INTERNAL"),
        }
    }
}
impl ::std::str::FromStr for ErrorCode {
    type Err = self::error::ConversionError;
    fn from_str(
        value: &str,
    ) -> ::std::result::Result<Self, self::error::ConversionError> {
        match value {
            "ADMISSION_REJECT" => Ok(Self::AdmissionReject),
            "QUEUE_FULL_DROP_LRU" => Ok(Self::QueueFullDropLru),
            "INVALID_PARAMS" => Ok(Self::InvalidParams),
            "POOL_UNREADY" => Ok(Self::PoolUnready),
            "POOL_UNAVAILABLE" => Ok(Self::PoolUnavailable),
            "REPLICA_EXHAUSTED" => Ok(Self::ReplicaExhausted),
            "DECODE_TIMEOUT" => Ok(Self::DecodeTimeout),
            "WORKER_RESET" => Ok(Self::WorkerReset),
            "INTERNAL" => Ok(Self::Internal),
            _ => {
                Err(
                    format!(
                        "`{value}` is not one of `ADMISSION_REJECT`, `QUEUE_FULL_DROP_LRU`, `INVALID_PARAMS`, `POOL_UNREADY`, `POOL_UNAVAILABLE`, `REPLICA_EXHAUSTED`, `DECODE_TIMEOUT`, `WORKER_RESET`, `INTERNAL`"
                    )
                        .into(),
                )
            }
        }
    }
}
impl ::std::convert::TryFrom<&str> for ErrorCode {
    type Error = self::error::ConversionError;
    fn try_from(
        value: &str,
    ) -> ::std::result::Result<Self, self::error::ConversionError> {
        value.parse()
    }
}
impl ::std::convert::TryFrom<::std::string::String> for ErrorCode {
    type Error = self::error::ConversionError;
    fn try_from(
        value: ::std::string::String,
    ) -> ::std::result::Result<Self, self::error::ConversionError> {
        value.parse()
    }
}
///Why a request was refused or a task failed. All five keys are always there.
#[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug, PartialEq)]
pub struct ErrorEnvelope {
    pub code: ErrorCode,
    ///What happened and what to do, for a person.
    pub message: ::std::string::String,
    ///The engine concerned; null when none is.
    #[serde(deserialize_with = "::std::option::Option::deserialize")]
    pub engine: ::std::option::Option<Engine>,
    ///Whether the same request may succeed later.
    pub retriable: bool,
    ///Milliseconds after which trying again makes sense, never 0 where `retriable`; null where it is not.
    #[serde(deserialize_with = "::std::option::Option::deserialize")]
    pub retry_after_ms: ::std::option::Option<u64>,
}
///A file on its way to this machine.
#[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug, PartialEq)]
pub struct Fetch {
    ///Bytes that are here.
    pub done_bytes: u64,
    ///Bytes in all. Absent where the source does not say.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub total_bytes: ::std::option::Option<u64>,
}
///The last hours, a minute at a time.
#[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug, PartialEq)]
pub struct Figures {
    ///Milliseconds that one entry stands for.
    pub step_ms: u64,
    ///The minutes, the oldest first. The last one is not over.
    pub minutes: ::std::vec::Vec<FiguresMinute>,
}
///One minute.
#[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug, PartialEq)]
pub struct FiguresMinute {
    ///Milliseconds since it began.
    pub age_ms: u64,
    ///The pools that had something to do.
    pub pools: ::std::vec::Vec<PoolFigures>,
    ///The devices whose memory can be read.
    pub devices: ::std::vec::Vec<DeviceFigures>,
}
///How a task ended. `stop`, the model was done or a stop string was met; `length`, `max_tokens` or the end of the context was reached, or the answer repeated itself for as long as the pool's `defaults.loop_tokens` allows; `canceled`; `error`, see the error beside it.
#[derive(
    ::serde::Deserialize,
    ::serde::Serialize,
    Clone,
    Copy,
    Debug,
    Eq,
    Hash,
    Ord,
    PartialEq,
    PartialOrd
)]
pub enum FinishReason {
    #[serde(rename = "stop")]
    Stop,
    #[serde(rename = "length")]
    Length,
    #[serde(rename = "canceled")]
    Canceled,
    #[serde(rename = "error")]
    Error,
}
impl ::std::fmt::Display for FinishReason {
    fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
        match *self {
            Self::Stop => f.write_str("stop"),
            Self::Length => f.write_str("length"),
            Self::Canceled => f.write_str("canceled"),
            Self::Error => f.write_str("error"),
        }
    }
}
impl ::std::str::FromStr for FinishReason {
    type Err = self::error::ConversionError;
    fn from_str(
        value: &str,
    ) -> ::std::result::Result<Self, self::error::ConversionError> {
        match value {
            "stop" => Ok(Self::Stop),
            "length" => Ok(Self::Length),
            "canceled" => Ok(Self::Canceled),
            "error" => Ok(Self::Error),
            _ => {
                Err(
                    format!(
                        "`{value}` is not one of `stop`, `length`, `canceled`, `error`"
                    )
                        .into(),
                )
            }
        }
    }
}
impl ::std::convert::TryFrom<&str> for FinishReason {
    type Error = self::error::ConversionError;
    fn try_from(
        value: &str,
    ) -> ::std::result::Result<Self, self::error::ConversionError> {
        value.parse()
    }
}
impl ::std::convert::TryFrom<::std::string::String> for FinishReason {
    type Error = self::error::ConversionError;
    fn try_from(
        value: ::std::string::String,
    ) -> ::std::result::Result<Self, self::error::ConversionError> {
        value.parse()
    }
}
///How the daemon is. `status` is there for anyone; everything else with the token only.
#[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug, PartialEq)]
pub struct Health {
    pub status: HealthStatus,
    ///The daemon's version.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub version: ::std::option::Option<::std::string::String>,
    ///How the built-in engine was compiled, `native` (for this machine's own instruction set) or `portable`, and with what in it; `none` where it was left out.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub build: ::std::option::Option<::std::string::String>,
    ///The pools, in the order of the config.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub pools: ::std::option::Option<::std::vec::Vec<Pool>>,
    ///What replicas can compute on, as far as its memory can be read.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub devices: ::std::option::Option<::std::vec::Vec<Device>>,
    ///What each replica holds of each device's memory.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub ledger: ::std::option::Option<::std::vec::Vec<Holding>>,
}
///`ok`, at least one pool is ready, or unloaded until it is needed, or every pool is retired; `starting`, none is yet and one is on its way; `unavailable`, none is and none is on its way; `stopping`, the daemon is shutting down.
#[derive(
    ::serde::Deserialize,
    ::serde::Serialize,
    Clone,
    Copy,
    Debug,
    Eq,
    Hash,
    Ord,
    PartialEq,
    PartialOrd
)]
pub enum HealthStatus {
    #[serde(rename = "ok")]
    Ok,
    #[serde(rename = "starting")]
    Starting,
    #[serde(rename = "unavailable")]
    Unavailable,
    #[serde(rename = "stopping")]
    Stopping,
}
impl ::std::fmt::Display for HealthStatus {
    fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
        match *self {
            Self::Ok => f.write_str("ok"),
            Self::Starting => f.write_str("starting"),
            Self::Unavailable => f.write_str("unavailable"),
            Self::Stopping => f.write_str("stopping"),
        }
    }
}
impl ::std::str::FromStr for HealthStatus {
    type Err = self::error::ConversionError;
    fn from_str(
        value: &str,
    ) -> ::std::result::Result<Self, self::error::ConversionError> {
        match value {
            "ok" => Ok(Self::Ok),
            "starting" => Ok(Self::Starting),
            "unavailable" => Ok(Self::Unavailable),
            "stopping" => Ok(Self::Stopping),
            _ => {
                Err(
                    format!(
                        "`{value}` is not one of `ok`, `starting`, `unavailable`, `stopping`"
                    )
                        .into(),
                )
            }
        }
    }
}
impl ::std::convert::TryFrom<&str> for HealthStatus {
    type Error = self::error::ConversionError;
    fn try_from(
        value: &str,
    ) -> ::std::result::Result<Self, self::error::ConversionError> {
        value.parse()
    }
}
impl ::std::convert::TryFrom<::std::string::String> for HealthStatus {
    type Error = self::error::ConversionError;
    fn try_from(
        value: ::std::string::String,
    ) -> ::std::result::Result<Self, self::error::ConversionError> {
        value.parse()
    }
}
///What one replica holds of one device's memory.
#[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug, PartialEq)]
pub struct Holding {
    ///The id of the device.
    pub device: ::std::string::String,
    ///The replica.
    pub replica: ::std::string::String,
    ///Bytes reckoned before the load. Absent where the engine cannot say.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub expected_bytes: ::std::option::Option<u64>,
    ///Bytes as measured. Absent before the first measurement, and where it cannot be measured.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub measured_bytes: ::std::option::Option<u64>,
}
///One part of what a task was given to read.
#[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug, PartialEq)]
pub struct InputPart {
    ///Who speaks. Absent unless it is a turn of a conversation.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub role: ::std::option::Option<Role>,
    ///What is said.
    pub text: ::std::string::String,
}
///`reuse` uses what is in the KV cache and leaves the task's own there. `none` computes everything anew and leaves nothing.
#[derive(
    ::serde::Deserialize,
    ::serde::Serialize,
    Clone,
    Copy,
    Debug,
    Eq,
    Hash,
    Ord,
    PartialEq,
    PartialOrd
)]
pub enum KvHint {
    #[serde(rename = "reuse")]
    Reuse,
    #[serde(rename = "none")]
    None,
}
impl ::std::fmt::Display for KvHint {
    fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
        match *self {
            Self::Reuse => f.write_str("reuse"),
            Self::None => f.write_str("none"),
        }
    }
}
impl ::std::str::FromStr for KvHint {
    type Err = self::error::ConversionError;
    fn from_str(
        value: &str,
    ) -> ::std::result::Result<Self, self::error::ConversionError> {
        match value {
            "reuse" => Ok(Self::Reuse),
            "none" => Ok(Self::None),
            _ => Err(format!("`{value}` is not one of `reuse`, `none`").into()),
        }
    }
}
impl ::std::convert::TryFrom<&str> for KvHint {
    type Error = self::error::ConversionError;
    fn try_from(
        value: &str,
    ) -> ::std::result::Result<Self, self::error::ConversionError> {
        value.parse()
    }
}
impl ::std::convert::TryFrom<::std::string::String> for KvHint {
    type Error = self::error::ConversionError;
    fn try_from(
        value: ::std::string::String,
    ) -> ::std::result::Result<Self, self::error::ConversionError> {
        value.parse()
    }
}
impl ::std::default::Default for KvHint {
    fn default() -> Self {
        KvHint::Reuse
    }
}
///One lane of a queue.
#[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug, PartialEq)]
pub struct Lane {
    ///How many tasks wait in it.
    pub depth: u32,
    ///How many tasks may wait in it.
    pub bound: u32,
}
///Lines of the log.
#[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug, PartialEq)]
pub struct LogPage {
    ///The number of the first of `lines`, of all that were logged; of the next one to come where there are none.
    pub first: u64,
    ///The lines, in order.
    pub lines: ::std::vec::Vec<::std::string::String>,
}
///An addition to one token's logit, or to those of all tokens of a text. Exactly one of `token` and `text` is there.
#[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct LogitBias {
    ///A text, each of whose tokens is meant, as the model writes it. Attached engines other than `llama-server` refuse it.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub text: ::std::option::Option<::std::string::String>,
    ///The token's number in the model's vocabulary.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub token: ::std::option::Option<i32>,
    ///Added to its logit before sampling. -100 bans the token.
    pub bias: f32,
}
///One turn of a conversation.
#[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Message {
    pub role: Role,
    ///What is said.
    pub content: ::std::string::String,
}
///Whether a model would fit.
#[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug, PartialEq)]
pub struct ModelFit {
    ///The model.
    pub model_ref: ::std::string::String,
    ///The reckoning for each device.
    pub placement: ::std::vec::Vec<Placement>,
    ///Whether it would fit nowhere though nothing else were loaded.
    pub never: bool,
}
///A model that may fit or not.
#[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct ModelFitRequest {
    ///`starter`, `file:PATH`, `hf:OWNER/REPO/FILE.gguf`, `hf:OWNER/REPO:QUANT`, `hf:OWNER/REPO` or `https://HOST/FILE.gguf`, its file being on this machine.
    pub model_ref: ::std::string::String,
    ///The pool whose options hold, such as `ctx`, `slots` and `devices`; one that the built-in engine serves. When absent, the defaults of a pool hold.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub pool: ::std::option::Option<::std::string::String>,
}
///What a model says of itself.
#[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug, PartialEq)]
pub struct ModelInfo {
    ///Its name, or its file's where it has none.
    pub name: ::std::string::String,
    ///Its architecture (`llama`, `qwen2`, ...).
    pub architecture: ::std::string::String,
    ///Number of parameters.
    pub parameters: u64,
    ///Bytes of its weights.
    pub size_bytes: u64,
    ///Tokens of context it was trained with.
    pub ctx_train: u32,
    ///Whether it has a chat template. A model without one continues texts, and takes no conversations.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub chat_template: ::std::option::Option<bool>,
    ///Whether it takes images, on the endpoints that do.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub images: ::std::option::Option<bool>,
}
///`Active`, it takes tasks; `Retired`, it takes none and is unloaded.
#[derive(
    ::serde::Deserialize,
    ::serde::Serialize,
    Clone,
    Copy,
    Debug,
    Eq,
    Hash,
    Ord,
    PartialEq,
    PartialOrd
)]
pub enum ModelState {
    Active,
    Retired,
}
impl ::std::fmt::Display for ModelState {
    fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
        match *self {
            Self::Active => f.write_str("Active"),
            Self::Retired => f.write_str("Retired"),
        }
    }
}
impl ::std::str::FromStr for ModelState {
    type Err = self::error::ConversionError;
    fn from_str(
        value: &str,
    ) -> ::std::result::Result<Self, self::error::ConversionError> {
        match value {
            "Active" => Ok(Self::Active),
            "Retired" => Ok(Self::Retired),
            _ => Err(format!("`{value}` is not one of `Active`, `Retired`").into()),
        }
    }
}
impl ::std::convert::TryFrom<&str> for ModelState {
    type Error = self::error::ConversionError;
    fn try_from(
        value: &str,
    ) -> ::std::result::Result<Self, self::error::ConversionError> {
        value.parse()
    }
}
impl ::std::convert::TryFrom<::std::string::String> for ModelState {
    type Error = self::error::ConversionError;
    fn try_from(
        value: ::std::string::String,
    ) -> ::std::result::Result<Self, self::error::ConversionError> {
        value.parse()
    }
}
///The state a model is to have.
#[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct ModelStateRequest {
    pub state: ModelState,
    ///Whether the model is loaded now and stays loaded - it is never unloaded for being idle, and makes no room for another model. For the state `Active`; nothing changes when absent. A retired model is not pinned.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub pinned: ::std::option::Option<bool>,
    /**How long the model stays loaded once it is idle, until a request says otherwise: seconds, or a duration like `5m` or
`1h30m`. 0 unloads it when it is idle; a negative number keeps it loaded until another model needs the memory. For the
state `Active`; nothing changes when absent.*/
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub keep_alive: ::std::option::Option<::serde_json::Value>,
}
///A model's state.
#[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug, PartialEq)]
pub struct ModelStatus {
    ///The name of its pool.
    pub model_id: ::std::string::String,
    pub state: ModelState,
}
///A typed part of an answer; exactly one of its fields is there.
#[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug, Default, PartialEq)]
pub struct OutputPart {
    ///Text of the answer.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub text: ::std::option::Option<::std::string::String>,
    ///What the model writes for itself before it answers.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub reasoning: ::std::option::Option<::std::string::String>,
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub tool_call: ::std::option::Option<ToolCallPart>,
}
///Whether the model fits a device, as reckoned before its last load.
#[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug, PartialEq)]
pub struct Placement {
    ///The id of the device.
    pub device: ::std::string::String,
    ///Whether a replica was put there.
    pub fits: bool,
    ///Bytes it was reckoned to need there. Absent where the engine cannot say before it has loaded.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub needs_bytes: ::std::option::Option<u64>,
    ///Bytes that were free there, less the margin. Absent where the memory cannot be read.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub free_bytes: ::std::option::Option<u64>,
    ///The most tokens that a request and its answer may take together there. Absent where it does not fit, and where the engine cannot say before it has loaded.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub ctx: ::std::option::Option<u32>,
    ///The reckoning in words, for a person.
    pub why: ::std::string::String,
}
///Replicas of one model, and the tasks that wait for them.
#[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug, PartialEq)]
pub struct Pool {
    ///The pool's name.
    pub id: ::std::string::String,
    ///The model, as the config names it.
    pub model_ref: ::std::string::String,
    ///Further names of it in requests. Absent where there are none.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub aliases: ::std::option::Option<::std::vec::Vec<::std::string::String>>,
    pub engine: Engine,
    pub state: PoolState,
    pub model_state: ModelState,
    ///The model that a reload under way brings. Absent while there is none.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub reloading_to: ::std::option::Option<::std::string::String>,
    ///How far that reload is. Absent while there is none.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub reload: ::std::option::Option<ReloadProgress>,
    ///Where the model was to go, and why there. Absent before its first load.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub placement: ::std::option::Option<::std::vec::Vec<Placement>>,
    ///What the model says of itself. Absent until a replica has loaded it.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub model: ::std::option::Option<ModelInfo>,
    ///Why it cannot serve, where the replicas do not say it - its model could not be fetched.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub reason: ::std::option::Option<::std::string::String>,
    ///How far the model's file is on its way here. Absent when it is here.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub fetch: ::std::option::Option<Fetch>,
    pub queue: Queue,
    ///Whether its model is pinned - loaded, and kept so. Absent where it is not.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub pinned: ::std::option::Option<bool>,
    ///Milliseconds until its model is unloaded, where nobody uses it before. Absent while it is in use, and where it stays loaded.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub unloads_in_ms: ::std::option::Option<u64>,
    ///The middle error of the last predicted starts of interactive tasks, as a share of their real wait. Absent until a task has waited.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub prediction_error: ::std::option::Option<f64>,
    ///The pool's replicas, in the order of their ids.
    pub replicas: ::std::vec::Vec<Replica>,
}
///One pool in one minute.
#[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug, PartialEq)]
pub struct PoolFigures {
    ///The pool's name.
    pub pool: ::std::string::String,
    ///Tokens of prompts whose answer began.
    pub tokens_in: u64,
    ///Tokens of answers.
    pub tokens_out: u64,
    ///Tasks that were given to an engine for the first time.
    pub started: u32,
    ///Tasks that ended with an answer.
    pub ended: u32,
    ///Tasks that failed.
    pub failed: u32,
    ///How long those that started had waited, in all.
    pub waited_ms: u64,
    ///The longest of these waits.
    pub longest_wait_ms: u64,
    ///The median error of predicted starts at the last start, as a share of the real wait. Absent until a task has waited.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub prediction_error: ::std::option::Option<f64>,
}
///`starting`, no replica is ready yet; `ready`, at least one is; `unloaded`, none is loaded and the first task loads it; `retired`, the model is out of service; `unavailable`, none is ready, and the reasons are with the replicas or, before there are any, with the pool.
#[derive(
    ::serde::Deserialize,
    ::serde::Serialize,
    Clone,
    Copy,
    Debug,
    Eq,
    Hash,
    Ord,
    PartialEq,
    PartialOrd
)]
pub enum PoolState {
    #[serde(rename = "starting")]
    Starting,
    #[serde(rename = "ready")]
    Ready,
    #[serde(rename = "unloaded")]
    Unloaded,
    #[serde(rename = "retired")]
    Retired,
    #[serde(rename = "unavailable")]
    Unavailable,
}
impl ::std::fmt::Display for PoolState {
    fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
        match *self {
            Self::Starting => f.write_str("starting"),
            Self::Ready => f.write_str("ready"),
            Self::Unloaded => f.write_str("unloaded"),
            Self::Retired => f.write_str("retired"),
            Self::Unavailable => f.write_str("unavailable"),
        }
    }
}
impl ::std::str::FromStr for PoolState {
    type Err = self::error::ConversionError;
    fn from_str(
        value: &str,
    ) -> ::std::result::Result<Self, self::error::ConversionError> {
        match value {
            "starting" => Ok(Self::Starting),
            "ready" => Ok(Self::Ready),
            "unloaded" => Ok(Self::Unloaded),
            "retired" => Ok(Self::Retired),
            "unavailable" => Ok(Self::Unavailable),
            _ => {
                Err(
                    format!(
                        "`{value}` is not one of `starting`, `ready`, `unloaded`, `retired`, `unavailable`"
                    )
                        .into(),
                )
            }
        }
    }
}
impl ::std::convert::TryFrom<&str> for PoolState {
    type Error = self::error::ConversionError;
    fn try_from(
        value: &str,
    ) -> ::std::result::Result<Self, self::error::ConversionError> {
        value.parse()
    }
}
impl ::std::convert::TryFrom<::std::string::String> for PoolState {
    type Error = self::error::ConversionError;
    fn try_from(
        value: ::std::string::String,
    ) -> ::std::result::Result<Self, self::error::ConversionError> {
        value.parse()
    }
}
///A lane of the queue. `interactive` goes first; `batch` may be late and never starves.
#[derive(
    ::serde::Deserialize,
    ::serde::Serialize,
    Clone,
    Copy,
    Debug,
    Eq,
    Hash,
    Ord,
    PartialEq,
    PartialOrd
)]
pub enum Priority {
    #[serde(rename = "interactive")]
    Interactive,
    #[serde(rename = "batch")]
    Batch,
}
impl ::std::fmt::Display for Priority {
    fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
        match *self {
            Self::Interactive => f.write_str("interactive"),
            Self::Batch => f.write_str("batch"),
        }
    }
}
impl ::std::str::FromStr for Priority {
    type Err = self::error::ConversionError;
    fn from_str(
        value: &str,
    ) -> ::std::result::Result<Self, self::error::ConversionError> {
        match value {
            "interactive" => Ok(Self::Interactive),
            "batch" => Ok(Self::Batch),
            _ => Err(format!("`{value}` is not one of `interactive`, `batch`").into()),
        }
    }
}
impl ::std::convert::TryFrom<&str> for Priority {
    type Error = self::error::ConversionError;
    fn try_from(
        value: &str,
    ) -> ::std::result::Result<Self, self::error::ConversionError> {
        value.parse()
    }
}
impl ::std::convert::TryFrom<::std::string::String> for Priority {
    type Error = self::error::ConversionError;
    fn try_from(
        value: ::std::string::String,
    ) -> ::std::result::Result<Self, self::error::ConversionError> {
        value.parse()
    }
}
impl ::std::default::Default for Priority {
    fn default() -> Self {
        Priority::Interactive
    }
}
///The two lanes of a pool's queue.
#[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug, PartialEq)]
pub struct Queue {
    pub interactive: Lane,
    pub batch: Lane,
}
///How far the new model of a reload is. Its replicas are not among the pool's before they have passed their test.
#[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug, PartialEq)]
pub struct ReloadProgress {
    pub stage: ReloadStage,
    ///How far its file is on its way here. Absent unless it is being fetched.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub fetch: ::std::option::Option<Fetch>,
    ///How much of it is loaded, 0 to 1, over all of its replicas. Absent unless it is being loaded.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub load_progress: ::std::option::Option<f32>,
}
///What a pool is to serve.
#[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct ReloadRequest {
    ///The model: `starter`, `file:PATH` or a path that ends in `.gguf`, `hf:OWNER/REPO/FILE.gguf`, `hf:OWNER/REPO:QUANT`, `hf:OWNER/REPO` or `https://...`; for a pool of another engine, the name by which that engine serves it. A relative path starts from the folder of the daemon.
    pub new_model_ref: ::std::string::String,
    ///The SHA-256 that its file must have, in hexadecimal.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub sha256: ::std::option::Option<::std::string::String>,
}
///`fetching`, its file is fetched or checked; `waiting`, the two do not fit side by side, and the tasks at work finish before they change places; `loading`, it is loaded; `testing`, it is loaded and answers its test.
#[derive(
    ::serde::Deserialize,
    ::serde::Serialize,
    Clone,
    Copy,
    Debug,
    Eq,
    Hash,
    Ord,
    PartialEq,
    PartialOrd
)]
pub enum ReloadStage {
    #[serde(rename = "fetching")]
    Fetching,
    #[serde(rename = "waiting")]
    Waiting,
    #[serde(rename = "loading")]
    Loading,
    #[serde(rename = "testing")]
    Testing,
}
impl ::std::fmt::Display for ReloadStage {
    fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
        match *self {
            Self::Fetching => f.write_str("fetching"),
            Self::Waiting => f.write_str("waiting"),
            Self::Loading => f.write_str("loading"),
            Self::Testing => f.write_str("testing"),
        }
    }
}
impl ::std::str::FromStr for ReloadStage {
    type Err = self::error::ConversionError;
    fn from_str(
        value: &str,
    ) -> ::std::result::Result<Self, self::error::ConversionError> {
        match value {
            "fetching" => Ok(Self::Fetching),
            "waiting" => Ok(Self::Waiting),
            "loading" => Ok(Self::Loading),
            "testing" => Ok(Self::Testing),
            _ => {
                Err(
                    format!(
                        "`{value}` is not one of `fetching`, `waiting`, `loading`, `testing`"
                    )
                        .into(),
                )
            }
        }
    }
}
impl ::std::convert::TryFrom<&str> for ReloadStage {
    type Error = self::error::ConversionError;
    fn try_from(
        value: &str,
    ) -> ::std::result::Result<Self, self::error::ConversionError> {
        value.parse()
    }
}
impl ::std::convert::TryFrom<::std::string::String> for ReloadStage {
    type Error = self::error::ConversionError;
    fn try_from(
        value: ::std::string::String,
    ) -> ::std::result::Result<Self, self::error::ConversionError> {
        value.parse()
    }
}
///The change is made.
#[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug, PartialEq)]
pub struct Reloaded {
    ///Always `reloaded`.
    pub status: ReloadedStatus,
    ///What the pool serves now.
    pub model_ref: ::std::string::String,
}
///Always `reloaded`.
#[derive(
    ::serde::Deserialize,
    ::serde::Serialize,
    Clone,
    Copy,
    Debug,
    Eq,
    Hash,
    Ord,
    PartialEq,
    PartialOrd
)]
pub enum ReloadedStatus {
    #[serde(rename = "reloaded")]
    Reloaded,
}
impl ::std::fmt::Display for ReloadedStatus {
    fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
        match *self {
            Self::Reloaded => f.write_str("reloaded"),
        }
    }
}
impl ::std::str::FromStr for ReloadedStatus {
    type Err = self::error::ConversionError;
    fn from_str(
        value: &str,
    ) -> ::std::result::Result<Self, self::error::ConversionError> {
        match value {
            "reloaded" => Ok(Self::Reloaded),
            _ => Err(format!("`{value}` is not one of `reloaded`").into()),
        }
    }
}
impl ::std::convert::TryFrom<&str> for ReloadedStatus {
    type Error = self::error::ConversionError;
    fn try_from(
        value: &str,
    ) -> ::std::result::Result<Self, self::error::ConversionError> {
        value.parse()
    }
}
impl ::std::convert::TryFrom<::std::string::String> for ReloadedStatus {
    type Error = self::error::ConversionError;
    fn try_from(
        value: ::std::string::String,
    ) -> ::std::result::Result<Self, self::error::ConversionError> {
        value.parse()
    }
}
///One engine with the pool's model in it. What an engine says of itself is absent until it is ready.
#[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug, PartialEq)]
pub struct Replica {
    ///The pool's name and the replica's place in it, from 0, as `pool/0`.
    pub id: ::std::string::String,
    pub state: ReplicaState,
    ///Why it is not ready, where that is not plain from the state.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub reason: ::std::option::Option<::std::string::String>,
    ///How much of its model is loaded, 0 to 1. Absent unless it is starting.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub load_progress: ::std::option::Option<f32>,
    ///The id of the device it computes on.
    pub device: ::std::string::String,
    ///The engine's version, as in the metrics.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub engine_version: ::std::option::Option<::std::string::String>,
    ///How the engine was compiled, `native` or `portable`, and with what in it.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub build: ::std::option::Option<::std::string::String>,
    ///How many tasks it decodes at a time.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub slots: ::std::option::Option<u32>,
    ///How many of its slots are taken.
    pub slots_busy: u32,
    ///The most tokens that a request and its answer may take together.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub ctx: ::std::option::Option<u32>,
    ///Tokens that its KV cache holds, which all slots share. Absent where each slot has a part of its own, or the engine does not say.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub kv_cells: ::std::option::Option<u32>,
    ///Of `kv_cells`, those that running tasks hold or keep for their answers. Absent where `kv_cells` is.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub kv_cells_used: ::std::option::Option<u32>,
    ///Bytes of main memory in which it may keep conversations that are out of the slots. 0 where it keeps none there.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub kv_ram_bytes: ::std::option::Option<u64>,
    ///Tokens of input read a second, as measured. Absent until measured.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub prefill_tokens_per_s: ::std::option::Option<f64>,
    ///Tokens of an answer a second, of one task while all slots are busy, as measured. Absent until measured.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub decode_tokens_per_s: ::std::option::Option<f64>,
}
///`starting`, it loads its model; `ready`; `suspended`, its engine takes no new work for a time and those in it go on; `retiring`, it takes no more tasks and finishes those it has; `exited`, it is gone and stays so; `backing_off`, it failed and starts again after a while.
#[derive(
    ::serde::Deserialize,
    ::serde::Serialize,
    Clone,
    Copy,
    Debug,
    Eq,
    Hash,
    Ord,
    PartialEq,
    PartialOrd
)]
pub enum ReplicaState {
    #[serde(rename = "starting")]
    Starting,
    #[serde(rename = "ready")]
    Ready,
    #[serde(rename = "suspended")]
    Suspended,
    #[serde(rename = "retiring")]
    Retiring,
    #[serde(rename = "exited")]
    Exited,
    #[serde(rename = "backing_off")]
    BackingOff,
}
impl ::std::fmt::Display for ReplicaState {
    fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
        match *self {
            Self::Starting => f.write_str("starting"),
            Self::Ready => f.write_str("ready"),
            Self::Suspended => f.write_str("suspended"),
            Self::Retiring => f.write_str("retiring"),
            Self::Exited => f.write_str("exited"),
            Self::BackingOff => f.write_str("backing_off"),
        }
    }
}
impl ::std::str::FromStr for ReplicaState {
    type Err = self::error::ConversionError;
    fn from_str(
        value: &str,
    ) -> ::std::result::Result<Self, self::error::ConversionError> {
        match value {
            "starting" => Ok(Self::Starting),
            "ready" => Ok(Self::Ready),
            "suspended" => Ok(Self::Suspended),
            "retiring" => Ok(Self::Retiring),
            "exited" => Ok(Self::Exited),
            "backing_off" => Ok(Self::BackingOff),
            _ => {
                Err(
                    format!(
                        "`{value}` is not one of `starting`, `ready`, `suspended`, `retiring`, `exited`, `backing_off`"
                    )
                        .into(),
                )
            }
        }
    }
}
impl ::std::convert::TryFrom<&str> for ReplicaState {
    type Error = self::error::ConversionError;
    fn try_from(
        value: &str,
    ) -> ::std::result::Result<Self, self::error::ConversionError> {
        value.parse()
    }
}
impl ::std::convert::TryFrom<::std::string::String> for ReplicaState {
    type Error = self::error::ConversionError;
    fn try_from(
        value: ::std::string::String,
    ) -> ::std::result::Result<Self, self::error::ConversionError> {
        value.parse()
    }
}
///Who speaks. `system` gives instructions for the whole conversation, `user` asks, `assistant` is the model, `tool` is the result of a tool call.
#[derive(
    ::serde::Deserialize,
    ::serde::Serialize,
    Clone,
    Copy,
    Debug,
    Eq,
    Hash,
    Ord,
    PartialEq,
    PartialOrd
)]
pub enum Role {
    #[serde(rename = "system")]
    System,
    #[serde(rename = "user")]
    User,
    #[serde(rename = "assistant")]
    Assistant,
    #[serde(rename = "tool")]
    Tool,
}
impl ::std::fmt::Display for Role {
    fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
        match *self {
            Self::System => f.write_str("system"),
            Self::User => f.write_str("user"),
            Self::Assistant => f.write_str("assistant"),
            Self::Tool => f.write_str("tool"),
        }
    }
}
impl ::std::str::FromStr for Role {
    type Err = self::error::ConversionError;
    fn from_str(
        value: &str,
    ) -> ::std::result::Result<Self, self::error::ConversionError> {
        match value {
            "system" => Ok(Self::System),
            "user" => Ok(Self::User),
            "assistant" => Ok(Self::Assistant),
            "tool" => Ok(Self::Tool),
            _ => {
                Err(
                    format!(
                        "`{value}` is not one of `system`, `user`, `assistant`, `tool`"
                    )
                        .into(),
                )
            }
        }
    }
}
impl ::std::convert::TryFrom<&str> for Role {
    type Error = self::error::ConversionError;
    fn try_from(
        value: &str,
    ) -> ::std::result::Result<Self, self::error::ConversionError> {
        value.parse()
    }
}
impl ::std::convert::TryFrom<::std::string::String> for Role {
    type Error = self::error::ConversionError;
    fn try_from(
        value: ::std::string::String,
    ) -> ::std::result::Result<Self, self::error::ConversionError> {
        value.parse()
    }
}
/**Why a model was not taken.

| code | meaning |
|---|---|
| `MODEL_UNAVAILABLE` | its file is missing, could not be fetched, or has another checksum |
| `MODEL_INVALID` | its file is broken, or of an architecture that the engine does not know |
| `DOES_NOT_FIT` | it needs more memory than there is |
| `SELF_TEST_FAILED` | it was loaded and did not answer as it must |
| `ENGINE_FAILED` | the engine ended, or did not get ready in time |
| `RELOAD_IN_PROGRESS` | the pool is being reloaded already |
| `MODEL_RETIRED` | the pool's model is retired: activate it first |
| `STOPPING` | the daemon is shutting down |*/
#[derive(
    ::serde::Deserialize,
    ::serde::Serialize,
    Clone,
    Copy,
    Debug,
    Eq,
    Hash,
    Ord,
    PartialEq,
    PartialOrd
)]
pub enum RollbackCode {
    #[serde(rename = "MODEL_UNAVAILABLE")]
    ModelUnavailable,
    #[serde(rename = "MODEL_INVALID")]
    ModelInvalid,
    #[serde(rename = "DOES_NOT_FIT")]
    DoesNotFit,
    #[serde(rename = "SELF_TEST_FAILED")]
    SelfTestFailed,
    #[serde(rename = "ENGINE_FAILED")]
    EngineFailed,
    #[serde(rename = "RELOAD_IN_PROGRESS")]
    ReloadInProgress,
    #[serde(rename = "MODEL_RETIRED")]
    ModelRetired,
    #[serde(rename = "STOPPING")]
    Stopping,
}
impl ::std::fmt::Display for RollbackCode {
    fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
        match *self {
            Self::ModelUnavailable => f.write_str("MODEL_UNAVAILABLE"),
            Self::ModelInvalid => f.write_str("MODEL_INVALID"),
            Self::DoesNotFit => f.write_str("DOES_NOT_FIT"),
            Self::SelfTestFailed => f.write_str("SELF_TEST_FAILED"),
            Self::EngineFailed => f.write_str("ENGINE_FAILED"),
            Self::ReloadInProgress => f.write_str("RELOAD_IN_PROGRESS"),
            Self::ModelRetired => f.write_str("MODEL_RETIRED"),
            Self::Stopping => f.write_str("STOPPING"),
        }
    }
}
impl ::std::str::FromStr for RollbackCode {
    type Err = self::error::ConversionError;
    fn from_str(
        value: &str,
    ) -> ::std::result::Result<Self, self::error::ConversionError> {
        match value {
            "MODEL_UNAVAILABLE" => Ok(Self::ModelUnavailable),
            "MODEL_INVALID" => Ok(Self::ModelInvalid),
            "DOES_NOT_FIT" => Ok(Self::DoesNotFit),
            "SELF_TEST_FAILED" => Ok(Self::SelfTestFailed),
            "ENGINE_FAILED" => Ok(Self::EngineFailed),
            "RELOAD_IN_PROGRESS" => Ok(Self::ReloadInProgress),
            "MODEL_RETIRED" => Ok(Self::ModelRetired),
            "STOPPING" => Ok(Self::Stopping),
            _ => {
                Err(
                    format!(
                        "`{value}` is not one of `MODEL_UNAVAILABLE`, `MODEL_INVALID`, `DOES_NOT_FIT`, `SELF_TEST_FAILED`, `ENGINE_FAILED`, `RELOAD_IN_PROGRESS`, `MODEL_RETIRED`, `STOPPING`"
                    )
                        .into(),
                )
            }
        }
    }
}
impl ::std::convert::TryFrom<&str> for RollbackCode {
    type Error = self::error::ConversionError;
    fn try_from(
        value: &str,
    ) -> ::std::result::Result<Self, self::error::ConversionError> {
        value.parse()
    }
}
impl ::std::convert::TryFrom<::std::string::String> for RollbackCode {
    type Error = self::error::ConversionError;
    fn try_from(
        value: ::std::string::String,
    ) -> ::std::result::Result<Self, self::error::ConversionError> {
        value.parse()
    }
}
///`rollback`, the new model was tried and the old one kept, or got back, its place; `refused`, it was not tried.
#[derive(
    ::serde::Deserialize,
    ::serde::Serialize,
    Clone,
    Copy,
    Debug,
    Eq,
    Hash,
    Ord,
    PartialEq,
    PartialOrd
)]
pub enum RollbackStatus {
    #[serde(rename = "rollback")]
    Rollback,
    #[serde(rename = "refused")]
    Refused,
}
impl ::std::fmt::Display for RollbackStatus {
    fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
        match *self {
            Self::Rollback => f.write_str("rollback"),
            Self::Refused => f.write_str("refused"),
        }
    }
}
impl ::std::str::FromStr for RollbackStatus {
    type Err = self::error::ConversionError;
    fn from_str(
        value: &str,
    ) -> ::std::result::Result<Self, self::error::ConversionError> {
        match value {
            "rollback" => Ok(Self::Rollback),
            "refused" => Ok(Self::Refused),
            _ => Err(format!("`{value}` is not one of `rollback`, `refused`").into()),
        }
    }
}
impl ::std::convert::TryFrom<&str> for RollbackStatus {
    type Error = self::error::ConversionError;
    fn try_from(
        value: &str,
    ) -> ::std::result::Result<Self, self::error::ConversionError> {
        value.parse()
    }
}
impl ::std::convert::TryFrom<::std::string::String> for RollbackStatus {
    type Error = self::error::ConversionError;
    fn try_from(
        value: ::std::string::String,
    ) -> ::std::result::Result<Self, self::error::ConversionError> {
        value.parse()
    }
}
///The change is not made. No task was lost by it.
#[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug, PartialEq)]
pub struct RolledBack {
    pub status: RollbackStatus,
    pub code: RollbackCode,
    ///What happened and what to do, for a person.
    pub message: ::std::string::String,
}
///How the next token is chosen. A number that is absent is that of the profile, then that of the pool (`defaults` in its configuration), then that of the model's own file or of the attached engine, then the default told here. At most one of `grammar` and `json_schema` is there.
#[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug, Default, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Sampling {
    ///0 always takes the most probable token; otherwise logits are divided by it, so that more than 1 is more varied.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub temperature: ::std::option::Option<f32>,
    ///Keeps the smallest set of most probable tokens whose probabilities sum to this; 1 keeps all. More than 0.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub top_p: ::std::option::Option<f32>,
    ///Keeps this many most probable tokens; 0 keeps all.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub top_k: ::std::option::Option<u32>,
    ///Keeps tokens at least this fraction as probable as the most probable one; 0 keeps all.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub min_p: ::std::option::Option<f32>,
    ///Makes tokens among the last `repeat_last_n` less likely where more than 1, more likely where less; 1 changes nothing. More than 0.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub repeat_penalty: ::std::option::Option<f32>,
    ///How many of the last tokens `repeat_penalty` looks at; 0 is none.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub repeat_last_n: ::std::option::Option<u32>,
    ///Taken from the logit of each token that the answer holds already; 0 changes nothing.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub presence_penalty: ::std::option::Option<f32>,
    ///As `presence_penalty`, once for each time that the token is there.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub frequency_penalty: ::std::option::Option<f32>,
    ///Keeps the tokens whose information is nearest to what was to be expected, of this probability together; 1 keeps all. More than 0.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub typical_p: ::std::option::Option<f32>,
    ///How often the most probable tokens are left out, but for the last of them above `xtc_threshold`; 0 is never.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub xtc_probability: ::std::option::Option<f32>,
    ///The least probability of tokens that `xtc_probability` leaves out; more than 0.5 leaves none out.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub xtc_threshold: ::std::option::Option<f32>,
    ///How much a token is punished that would go on repeating a sequence (DRY); 0 changes nothing.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub dry_multiplier: ::std::option::Option<f32>,
    ///By how much that grows with each token of the sequence past `dry_allowed_length`.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub dry_base: ::std::option::Option<f32>,
    ///Shorter sequences may be repeated.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub dry_allowed_length: ::std::option::Option<u32>,
    ///How many of the last tokens are searched for the sequence; -1 is all, 0 none.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub dry_penalty_last_n: ::std::option::Option<i32>,
    ///Texts over which no sequence goes; a line break, `:`, `"` and `*` when absent.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub dry_sequence_breakers: ::std::option::Option<
        ::std::vec::Vec<::std::string::String>,
    >,
    ///Texts that end the answer and are not part of it, also where they run over the border of two tokens. None when absent.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub stop: ::std::option::Option<::std::vec::Vec<::std::string::String>>,
    ///A GBNF grammar with a rule `root`, which the answer has to follow. One that the engine cannot compile is refused with 400.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub grammar: ::std::option::Option<::std::string::String>,
    ///A JSON schema, which the answer has to satisfy as JSON. 128 KiB at most, written as JSON. One that the engine cannot turn into a grammar is refused with 400.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub json_schema: ::std::option::Option<
        ::serde_json::Map<::std::string::String, ::serde_json::Value>,
    >,
    ///Tokens made more or less likely, each at most once. A token that the model does not have is refused with 400. None when absent.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub logit_bias: ::std::option::Option<::std::vec::Vec<LogitBias>>,
}
///What is kept of a conversation.
#[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug, PartialEq)]
pub struct Session {
    ///Milliseconds until the session is forgotten, unless another task of it comes.
    pub ttl_ms_remaining: u64,
    ///How many tasks of the session have ended.
    pub turns: u32,
    ///Bytes of KV cache the session takes now.
    pub kv_bytes: u64,
    ///The share, 0 to 1, of the session's tokens that are still in the KV cache.
    pub kv_warmth: f64,
}
///The data of the event `started`.
#[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug, PartialEq)]
pub struct StartedEvent {
    ///How many tasks go before it; 0 when it is next, running or has ended.
    pub queue_position: u32,
    ///Milliseconds from now until it is expected to start; 0 when it is running or has ended.
    pub predicted_start_ms: u64,
}
///The models of this machine, and those on their way to it.
#[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug, PartialEq)]
pub struct Store {
    ///The files in the daemon's folder of models, in the order of their paths.
    pub models: ::std::vec::Vec<StoredModel>,
    ///The fetches that run, wait or are over, the last one first.
    pub fetches: ::std::vec::Vec<StoreFetch>,
    ///Why the folder cannot be read. Absent where it can.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub reason: ::std::option::Option<::std::string::String>,
}
///One fetch.
#[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug, PartialEq)]
pub struct StoreFetch {
    ///Its number.
    pub id: u64,
    ///What is fetched.
    pub model_ref: ::std::string::String,
    pub state: StoreFetchState,
    ///Bytes that are here.
    pub done_bytes: u64,
    ///Bytes in all. Absent where the source does not say.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub total_bytes: ::std::option::Option<u64>,
    ///Why it failed, or what to know of the file.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub message: ::std::option::Option<::std::string::String>,
}
///What to fetch.
#[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct StoreFetchRequest {
    ///`starter`, `hf:OWNER/REPO/FILE.gguf`, `hf:OWNER/REPO:QUANT`, `hf:OWNER/REPO` or `https://HOST/FILE.gguf`.
    pub model_ref: ::std::string::String,
    ///The checksum that the file must have, in 64 hexadecimal digits. It is not checked when absent.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub sha256: ::std::option::Option<::std::string::String>,
}
///`waiting`, others are fetched before it; `fetching`, its bytes come; `checking`, its checksum is computed; `done`, the file is here; `failed`, it is not, for the reason in the message; `canceled`.
#[derive(
    ::serde::Deserialize,
    ::serde::Serialize,
    Clone,
    Copy,
    Debug,
    Eq,
    Hash,
    Ord,
    PartialEq,
    PartialOrd
)]
pub enum StoreFetchState {
    #[serde(rename = "waiting")]
    Waiting,
    #[serde(rename = "fetching")]
    Fetching,
    #[serde(rename = "checking")]
    Checking,
    #[serde(rename = "done")]
    Done,
    #[serde(rename = "failed")]
    Failed,
    #[serde(rename = "canceled")]
    Canceled,
}
impl ::std::fmt::Display for StoreFetchState {
    fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
        match *self {
            Self::Waiting => f.write_str("waiting"),
            Self::Fetching => f.write_str("fetching"),
            Self::Checking => f.write_str("checking"),
            Self::Done => f.write_str("done"),
            Self::Failed => f.write_str("failed"),
            Self::Canceled => f.write_str("canceled"),
        }
    }
}
impl ::std::str::FromStr for StoreFetchState {
    type Err = self::error::ConversionError;
    fn from_str(
        value: &str,
    ) -> ::std::result::Result<Self, self::error::ConversionError> {
        match value {
            "waiting" => Ok(Self::Waiting),
            "fetching" => Ok(Self::Fetching),
            "checking" => Ok(Self::Checking),
            "done" => Ok(Self::Done),
            "failed" => Ok(Self::Failed),
            "canceled" => Ok(Self::Canceled),
            _ => {
                Err(
                    format!(
                        "`{value}` is not one of `waiting`, `fetching`, `checking`, `done`, `failed`, `canceled`"
                    )
                        .into(),
                )
            }
        }
    }
}
impl ::std::convert::TryFrom<&str> for StoreFetchState {
    type Error = self::error::ConversionError;
    fn try_from(
        value: &str,
    ) -> ::std::result::Result<Self, self::error::ConversionError> {
        value.parse()
    }
}
impl ::std::convert::TryFrom<::std::string::String> for StoreFetchState {
    type Error = self::error::ConversionError;
    fn try_from(
        value: ::std::string::String,
    ) -> ::std::result::Result<Self, self::error::ConversionError> {
        value.parse()
    }
}
///One model; one in several files is one.
#[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug, PartialEq)]
pub struct StoredModel {
    ///What serves it in a reload.
    pub model_ref: ::std::string::String,
    ///The file's name, without its ending.
    pub name: ::std::string::String,
    ///Bytes of it that are here, of all its files together.
    pub bytes: u64,
    ///Bytes that it has once it is whole. Absent where nobody has said.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub total_bytes: ::std::option::Option<u64>,
    ///Whether it is whole.
    pub complete: bool,
    ///The pools that serve it.
    pub pools: ::std::vec::Vec<::std::string::String>,
}
///Where a task stands that is in the queue.
#[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug, PartialEq)]
pub struct TaskAccepted {
    ///The task's UUID, the caller's own or the one made for it.
    pub task_id: ::uuid::Uuid,
    ///How many tasks go before it; 0 when it is next, running or has ended.
    pub queue_position: u32,
    ///Milliseconds from now until it is expected to start; 0 when it is running or has ended.
    pub predicted_start_ms: u64,
    ///Milliseconds the caller does well to wait before it sends another task to the same lane; 0 when there is room.
    pub backoff_ms: u64,
}
///How many tasks of each kind there are.
#[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug, PartialEq)]
pub struct TaskCounts {
    ///Tasks in an engine.
    pub running: u32,
    ///Tasks in a queue.
    pub waiting: u32,
    ///Tasks that have ended and are still readable.
    pub ended: u32,
}
///One task with what it was asked and what it has said.
#[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug, PartialEq)]
pub struct TaskDetail {
    pub task: TaskSummary,
    pub input: TaskInput,
    ///All of its answer so far.
    pub answer: ::std::string::String,
}
///What a task was given to read.
#[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug, PartialEq)]
pub struct TaskInput {
    ///The turns of a conversation, the texts to embed, or the one prompt.
    pub parts: ::std::vec::Vec<InputPart>,
    ///Bytes of all of it.
    pub bytes: u64,
    ///Whether only its beginning is here.
    pub cut: bool,
}
///The tasks that are here.
#[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug, PartialEq)]
pub struct TaskList {
    pub counts: TaskCounts,
    ///Those that run, those that wait, those that have ended.
    pub tasks: ::std::vec::Vec<TaskSummary>,
}
///One task. Exactly one of `prompt`, `messages` and `inputs` is there.
#[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug, Default, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct TaskRequest {
    ///The task's UUID, chosen by the caller, so that a repeated request is not a second task. Made by the daemon when absent.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub task_id: ::std::option::Option<::uuid::Uuid>,
    ///The conversation's UUID. Its tasks go to the replica that holds its KV cache, as long as that is quicker.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub session_id: ::std::option::Option<::uuid::Uuid>,
    ///What is asked of the model.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub workload: ::std::option::Option<Workload>,
    ///The pool, by its id or by the reference of its model. The first pool that serves the workload (and the engine, where named) when absent.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub model_ref: ::std::option::Option<::std::string::String>,
    ///The engine, where it matters. Any when absent.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub engine: ::std::option::Option<Engine>,
    ///Text to go on from, as it stands, without a chat template. For workload `completion`.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub prompt: ::std::option::Option<::std::string::String>,
    ///A conversation, which goes through the model's own chat template. For workload `completion`.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub messages: ::std::option::Option<::std::vec::Vec<Message>>,
    ///Texts to embed; for workload `rerank` the query followed by its documents.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub inputs: ::std::option::Option<::std::vec::Vec<::std::string::String>>,
    /**How long the model stays loaded once it is idle, until another request says otherwise: seconds, or a duration like `5m`
or `1h30m`. 0 unloads it after this task; a negative number keeps it loaded until another model needs the memory. The
pool's `idle_unload_s` where no request says so.*/
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub keep_alive: ::std::option::Option<::serde_json::Value>,
    ///The most tokens that input and answer may take together. The `ctx` of the pool when absent, which it must not exceed.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub ctx: ::std::option::Option<u32>,
    ///The most tokens of the answer. When absent, those of the pool (`defaults.max_tokens`, 2048), or what the context holds behind the prompt where that is less. For workload `completion`, as `expected_tokens`, `sampling` and `sampler_profile_version` are.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub max_tokens: ::std::option::Option<u32>,
    ///The lane of the queue.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub priority: ::std::option::Option<Priority>,
    ///The start of the random numbers, any whole number up to 18446744073709551615 (2^64 - 1), read exactly. A hash of `task_id` when absent.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub seed: ::std::option::Option<u64>,
    ///Whether the same seed has to give the same tokens.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub determinism: ::std::option::Option<Determinism>,
    ///How tokens are chosen. The defaults of each field when absent.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub sampling: ::std::option::Option<Sampling>,
    ///The name of a sampler profile, which pins the defaults of `sampling` so that a later release cannot change them; fields given in `sampling` go before it. Profile `1` is the defaults of this document. An unknown name is refused with 400.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub sampler_profile_version: ::std::option::Option<::std::string::String>,
    ///How many tokens the caller expects of the answer. A hint for the prediction of starts, and no limit.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub expected_tokens: ::std::option::Option<u32>,
    ///Whether KV cache that is there already may be used. `none` is refused with 400 by an engine that cannot do without; such a task is no turn of its session.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub kv_hint: ::std::option::Option<KvHint>,
}
///`waiting`, it is in the queue; `running`, it is in an engine; `ended`, its stream has had its `end`.
#[derive(
    ::serde::Deserialize,
    ::serde::Serialize,
    Clone,
    Copy,
    Debug,
    Eq,
    Hash,
    Ord,
    PartialEq,
    PartialOrd
)]
pub enum TaskState {
    #[serde(rename = "waiting")]
    Waiting,
    #[serde(rename = "running")]
    Running,
    #[serde(rename = "ended")]
    Ended,
}
impl ::std::fmt::Display for TaskState {
    fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
        match *self {
            Self::Waiting => f.write_str("waiting"),
            Self::Running => f.write_str("running"),
            Self::Ended => f.write_str("ended"),
        }
    }
}
impl ::std::str::FromStr for TaskState {
    type Err = self::error::ConversionError;
    fn from_str(
        value: &str,
    ) -> ::std::result::Result<Self, self::error::ConversionError> {
        match value {
            "waiting" => Ok(Self::Waiting),
            "running" => Ok(Self::Running),
            "ended" => Ok(Self::Ended),
            _ => {
                Err(
                    format!("`{value}` is not one of `waiting`, `running`, `ended`")
                        .into(),
                )
            }
        }
    }
}
impl ::std::convert::TryFrom<&str> for TaskState {
    type Error = self::error::ConversionError;
    fn try_from(
        value: &str,
    ) -> ::std::result::Result<Self, self::error::ConversionError> {
        value.parse()
    }
}
impl ::std::convert::TryFrom<::std::string::String> for TaskState {
    type Error = self::error::ConversionError;
    fn try_from(
        value: ::std::string::String,
    ) -> ::std::result::Result<Self, self::error::ConversionError> {
        value.parse()
    }
}
///One task, where it stands and how far it is. Times are milliseconds since its admission, unless they say otherwise.
#[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug, PartialEq)]
pub struct TaskSummary {
    ///The task.
    pub task_id: ::uuid::Uuid,
    ///The conversation it belongs to. Absent where it belongs to none.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub session_id: ::std::option::Option<::uuid::Uuid>,
    ///The pool it went to.
    pub pool: ::std::string::String,
    pub priority: Priority,
    pub workload: Workload,
    pub state: TaskState,
    ///How many tasks start before it. Absent unless it waits.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub queue_position: ::std::option::Option<u32>,
    ///Milliseconds from now until it is expected to start. Absent unless it waits.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub predicted_start_ms: ::std::option::Option<u64>,
    ///Milliseconds from now until nine in ten tasks like it have started: an upper estimate beside `predicted_start_ms`. Absent unless it waits.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub predicted_start_p90_ms: ::std::option::Option<u64>,
    ///Where it runs, or ran last. Absent before its first start.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub replica: ::std::option::Option<::std::string::String>,
    ///Tokens of its prompt; an estimate where no engine has counted them yet.
    pub tokens_in: u32,
    ///Tokens of its answer so far.
    pub tokens_out: u32,
    ///Tokens of its answer a second, since the first of them. Absent before the second.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub tokens_per_s: ::std::option::Option<f64>,
    ///The most tokens of the answer, where its caller has said so.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub max_tokens: ::std::option::Option<u32>,
    ///Since its admission.
    pub age_ms: u64,
    ///The start that was predicted at its admission.
    pub promised_start_ms: u64,
    ///When it was given to the replica. Absent before.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub started_ms: ::std::option::Option<u64>,
    ///When its first token came. Absent before.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub first_token_ms: ::std::option::Option<u64>,
    ///When it ended. Absent before.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub ended_ms: ::std::option::Option<u64>,
    ///Why it ended. Absent before.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub finish_reason: ::std::option::Option<FinishReason>,
    ///What went wrong. There with `finish_reason` `error` only.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub error: ::std::option::Option<ErrorEnvelope>,
    ///How often it was given to a replica; more than once where one went away before the first token.
    pub placements: u32,
    ///Tokens of its prompt that are read, those found in the KV cache included. Absent unless the built-in engine is reading it.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub tokens_read: ::std::option::Option<u32>,
    ///The model that it was given to last, as that calls itself. Absent before its first start.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub model: ::std::option::Option<::std::string::String>,
    ///What asked, as it calls itself in `User-Agent`, cut at 96 characters. Absent where it says nothing, and until its request is answered.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub client: ::std::option::Option<::std::string::String>,
    ///The beginning of what was asked last, on one line, cut at 120 characters. Absent where there is no text.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub preview: ::std::option::Option<::std::string::String>,
}
///The data of an event `token`. One event may hold the text of several tokens, where the bytes of one character came in parts or a stop string might have begun.
#[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug, PartialEq)]
pub struct TokenEvent {
    ///The raw text as the model wrote it, always whole UTF-8; for an embedding the JSON array of a vector, for a rerank a score. Of an attached engine that sends reasoning and tool calls apart, reasoning stands between `<think>` and `</think>` and calls in the form of Hermes. Empty only where `output` is there.
    pub t: ::std::string::String,
    ///What `t` was parsed into, in order; absent where all of `t` is text of the answer. Empty where `t` is markup alone.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub output: ::std::option::Option<::std::vec::Vec<OutputPart>>,
    ///Counts the stream's `token` events, from 0 without gaps.
    pub i: u64,
}
///More of a tool call.
#[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug, PartialEq)]
pub struct ToolCallPart {
    ///Which call of the answer it is, from 0.
    pub index: u32,
    ///The tool, with the first part of a call.
    #[serde(skip_serializing_if = "::std::option::Option::is_none")]
    pub name: ::std::option::Option<::std::string::String>,
    ///What comes next of the arguments, as JSON text.
    pub arguments: ::std::string::String,
}
///What is asked of the model. `completion` is text that goes on, `embedding` one vector for each input, `rerank` a score of each document against a query. A pool that cannot do it refuses with 400.
#[derive(
    ::serde::Deserialize,
    ::serde::Serialize,
    Clone,
    Copy,
    Debug,
    Eq,
    Hash,
    Ord,
    PartialEq,
    PartialOrd
)]
pub enum Workload {
    #[serde(rename = "completion")]
    Completion,
    #[serde(rename = "embedding")]
    Embedding,
    #[serde(rename = "rerank")]
    Rerank,
}
impl ::std::fmt::Display for Workload {
    fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
        match *self {
            Self::Completion => f.write_str("completion"),
            Self::Embedding => f.write_str("embedding"),
            Self::Rerank => f.write_str("rerank"),
        }
    }
}
impl ::std::str::FromStr for Workload {
    type Err = self::error::ConversionError;
    fn from_str(
        value: &str,
    ) -> ::std::result::Result<Self, self::error::ConversionError> {
        match value {
            "completion" => Ok(Self::Completion),
            "embedding" => Ok(Self::Embedding),
            "rerank" => Ok(Self::Rerank),
            _ => {
                Err(
                    format!(
                        "`{value}` is not one of `completion`, `embedding`, `rerank`"
                    )
                        .into(),
                )
            }
        }
    }
}
impl ::std::convert::TryFrom<&str> for Workload {
    type Error = self::error::ConversionError;
    fn try_from(
        value: &str,
    ) -> ::std::result::Result<Self, self::error::ConversionError> {
        value.parse()
    }
}
impl ::std::convert::TryFrom<::std::string::String> for Workload {
    type Error = self::error::ConversionError;
    fn try_from(
        value: ::std::string::String,
    ) -> ::std::result::Result<Self, self::error::ConversionError> {
        value.parse()
    }
}
impl ::std::default::Default for Workload {
    fn default() -> Self {
        Workload::Completion
    }
}
/// Error types.
pub mod error {
    /// Error from a `TryFrom` or `FromStr` implementation.
    pub struct ConversionError(::std::borrow::Cow<'static, str>);
    impl ::std::error::Error for ConversionError {}
    impl ::std::fmt::Display for ConversionError {
        fn fmt(
            &self,
            f: &mut ::std::fmt::Formatter<'_>,
        ) -> Result<(), ::std::fmt::Error> {
            ::std::fmt::Display::fmt(&self.0, f)
        }
    }
    impl ::std::fmt::Debug for ConversionError {
        fn fmt(
            &self,
            f: &mut ::std::fmt::Formatter<'_>,
        ) -> Result<(), ::std::fmt::Error> {
            ::std::fmt::Debug::fmt(&self.0, f)
        }
    }
    impl From<&'static str> for ConversionError {
        fn from(value: &'static str) -> Self {
            Self(value.into())
        }
    }
    impl From<String> for ConversionError {
        fn from(value: String) -> Self {
            Self(value.into())
        }
    }
}
