//! The worker process with the real model: what decides the product is tested on what runs in it. Needs the
//! starter model (`cargo xtask fetch-starter`); fast runs leave this binary out.
#![expect(clippy::disallowed_methods, reason = "a test measures real time on a real process")]

#[path = "real_engine/harness.rs"]
mod harness;

#[path = "real_engine/answers.rs"]
mod answers;
#[path = "real_engine/cache.rs"]
mod cache;
#[path = "real_engine/constraints.rs"]
mod constraints;
#[path = "real_engine/endings.rs"]
mod endings;
#[path = "real_engine/files.rs"]
mod files;
#[path = "real_engine/gguf.rs"]
mod gguf;
#[path = "real_engine/infill.rs"]
mod infill;
#[path = "real_engine/logprobs.rs"]
mod logprobs;
#[path = "real_engine/many.rs"]
mod many;
#[path = "real_engine/memory.rs"]
mod memory;
#[path = "real_engine/options.rs"]
mod options;
#[path = "real_engine/room.rs"]
mod room;
#[path = "real_engine/stored.rs"]
mod stored;
#[path = "real_engine/tools.rs"]
mod tools;
