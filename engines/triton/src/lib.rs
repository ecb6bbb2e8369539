//! Triton with its generate extension as an engine: what is asked of it and how its answers are read. The
//! rest is `engine-http`'s.
//!
//! | asked | for |
//! |---|---|
//! | `GET /v2/health/ready`, `GET /v2` | the health; the version |
//! | `POST /v2/repository/index`, `GET /v2/models/{model}` | which models there are; what a model takes |
//! | `POST /v2/models/{model}/generate_stream` | prompts, streamed |
//!
//! What can be asked for depends on the model's back end, which is told by the inputs that the model takes:
//! the vLLM back end has `sampling_parameters`, TensorRT-LLM has an input for each of them. Triton counts no
//! tokens and knows no chat template.

mod backend;
mod discovery;
mod factory;
mod request;
mod stream;

pub use factory::TritonFactory;
