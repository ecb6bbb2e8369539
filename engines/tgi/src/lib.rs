//! Text Generation Inference as an engine: what is asked of it and how its answers are read. The rest is
//! `engine-http`'s.
//!
//! | asked | for |
//! |---|---|
//! | `GET /health`, `GET /info` | the health; version, model, limits |
//! | `POST /tokenize`, `POST /chat_tokenize` | exact counts |
//! | `POST /generate_stream` | prompts, streamed with their token numbers |
//! | `POST /v1/chat/completions` | conversations, through the model's own chat template |

mod backend;
mod discovery;
mod factory;
mod request;
mod stream;

pub use factory::TgiFactory;
