//! What the daemon and a llama.cpp worker say to each other: typed messages in length-prefixed frames,
//! over a socket pair that the worker inherits as its standard input. End-of-file on either side means
//! that the other is gone. One frame carries all that one decode step had to say.
//!
//! ```text
//! daemon                                worker
//!   ── Load, or Estimate ──────────────►
//!   ◄─────────────── Loading (repeated) ──
//!   ◄─ Ready | Estimated | LoadFailed ────
//!   ── Measure / Submit / Cancel … ────►
//!   ◄──── Measured / Step / Progress … ───
//!   ── Ping (repeated) ─────────────────►
//!   ◄────────────────────────────── Pong ──
//!   ── Stop, or end-of-file ───────────►   exits
//! ```

pub mod frame;
pub mod message;

pub use frame::{FrameError, FrameReader, MAX_FRAME_BYTES, encode, read_frame, write_frame};
pub use message::{
    EXIT_HUNG, FromWorker, PROTOCOL_VERSION, Pong, SessionUpdate, Step, TaskEvent, TaskProgress, TaskUpdate,
    ToWorker,
};
