//! `llama-server` as an engine, attached by URL or started as a managed child: what is asked of it and how
//! its answers are read. The rest is `engine-http`'s.
//!
//! | asked | for |
//! |---|---|
//! | `GET /health` | the health; 503 while the model loads |
//! | `GET /props`, `GET /v1/models` | version, slots, context, chat template, whether its model sees; parameters and size |
//! | `POST /apply-template` | the prompt of a conversation, as the server itself would render it |
//! | `POST /tokenize` | exact counts |
//! | `POST /completion` | prompts, streamed with their token numbers |
//! | `POST /v1/chat/completions` | conversations with tools or pictures, whose calls it reads itself |
//! | `POST /v1/embeddings`, `POST /v1/rerank` | vectors and scores, where it was started for them |

mod backend;
mod discovery;
mod factory;
mod prompts;
mod request;
mod sessions;
mod stream;

pub use factory::LlamaServerFactory;
