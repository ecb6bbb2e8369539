//! vLLM and any other server that speaks the OpenAI API, as an engine: what is asked of it and how its
//! answers are read. The rest is `engine-http`'s.
//!
//! | asked | for |
//! |---|---|
//! | `GET /v1/models` | the model, its context, who serves it |
//! | `GET /version`, `GET /health` | the version and the health, where there are such; the models otherwise |
//! | `POST /tokenize` | exact counts, where the server counts (vLLM); an estimate otherwise |
//! | `POST /v1/completions`, `POST /v1/chat/completions` | prompts and conversations, streamed; what it makes of tools, of a picture and of the question how probable its tokens were, once |
//! | `POST /v1/embeddings`, `POST /v1/rerank` | vectors and scores |
//!
//! What every server of this API takes is sent to all. `top_k` and `min_p` are beyond it, and sent all the
//! same: local servers know them, and one that does not says so. Everything else beyond it goes to the
//! servers that are known to take it, and is refused by name where they are not.

mod backend;
mod counting;
mod discovery;
mod factory;
pub mod request;
pub mod sampling;
mod stream;
pub mod whole;

pub use backend::{Counting, Flavor, OpenAi};
pub use factory::OpenAiFactory;
pub use stream::{OpenAiAnswer, WeighedToken};
