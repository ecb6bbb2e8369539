//! The worker process: one model, llama.cpp linked in, and a decode loop of our own with continuous
//! batching. The daemon starts it as a child of the same executable and speaks
//! [`worker_protocol`] with it over the socket pair that is the worker's standard input.
//!
//! ```text
//! daemon ══ socket pair ══► inbox ─► prepare (template, tokens, grammar) ─► decode loop ─► llama.cpp
//!        ◄═════════════════ outbox ◄─────────────────────────────────────── steps ◄──────┘
//! ```
//!
//! What a step does is decided in modules that know nothing of llama.cpp: how much of a prompt to read
//! ([`budget`]), which slot a task takes ([`slots`]), which token comes next ([`sample`]), and what of the
//! text may go out ([`text`]). One module holds all unsafe code.

pub mod budget;
mod buffers;
pub mod chat;
mod clock;
mod decode;
mod embed;
pub mod exit;
mod ffi;
mod grammar;
mod heartbeat;
mod inbox;
mod infill;
pub mod kv_store;
mod load;
pub mod log;
mod lora;
mod machine;
mod measuring;
mod model_file;
mod options;
mod outbox;
mod prepare;
mod questions;
mod reasoning;
mod repetition;
pub mod room;
mod sample;
pub mod slots;
mod template;
pub mod text;
mod vocabulary;
mod worker;

pub use machine::compiled_for;
pub use worker::run;
