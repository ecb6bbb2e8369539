//! What the adapters of engines that speak HTTP have in common. A crate for one engine brings a [`HttpBackend`]:
//! what it asks of its server and how it reads the answer. Everything else is here: the address, the
//! connection, the stream, the managed process, the health probe, the end of it all.
//!
//! ```text
//! start::<D>(config, spec) ─► Process (managed only) ─► D::discover, again until it is ready ─► HttpEngine<D>
//!
//! HttpEngine::submit ─► one task a job: D::prepare ─► connect, ask ─► socket ─► Framing ─► SseReader
//!                                                            Answer::read ─► TaskSink, all in one wake-up
//! probe task: health every few seconds; a suspended engine is probed sooner; some failures in a row, and it is gone
//! ```
//!
//! `http://` is spoken over TCP, `https://` over TLS (`tls.rs`); all else is the same for both.

mod address;
mod backend;
mod chat;
mod clock;
mod config;
mod delivery;
mod engine;
mod errors;
mod estimate;
mod exchange;
mod extra_body;
mod family;
mod fault;
mod framing;
mod head;
mod health;
mod idle;
mod inner;
mod large;
mod output;
mod process;
mod progress;
mod relay;
mod sampling;
mod shape;
mod socket;
mod sse;
mod start;
mod stops;
mod suspension;
mod tasks;
mod template_kwargs;
#[cfg(feature = "testing")]
pub mod testing;
mod tls;

pub use address::{Address, InvalidAddress};
pub use backend::{
    Answer, Call, DONE, Discovered, Ending, Event, HttpBackend, Last, Reading, UNKNOWN_TOKEN, Undiscovered,
    Whole,
};
pub use chat::{ChatMessage, ChatTools, chat_messages};
pub use config::{Attach, HttpEngineConfig, InvalidSecret, Secret, Timeouts, Visible};
pub use errors::message_of;
pub use estimate::{estimated_tokens, measured_by_estimate};
pub use exchange::{Answered, Client};
pub use extra_body::with_extra_body;
pub use fault::Fault;
pub use inner::MAX_TASKS;
pub use sampling::{no_infill, refuse, refuse_private_cache, refuse_uncommon};
pub use start::start;
pub use stops::Stopped;
