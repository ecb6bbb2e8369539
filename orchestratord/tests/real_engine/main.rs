//! The whole daemon as a process, with the real engine and the real starter model. Every test starts its
//! own daemon on a free port and leaves nothing behind.

#![cfg(feature = "llamacpp")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails and says where")]

mod answers;
mod breakage;
mod load;
mod models;
mod options;
