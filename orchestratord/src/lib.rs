//! `orchestratord`: one workstation as one dependable LLM token server. The library is the daemon without
//! its command line, so that tests can run all of it with an engine of their own behind the adapter
//! trait.

pub mod admission;
pub mod auth;
pub mod backpressure;
pub mod clock;
pub mod driver;
pub mod handle;
pub mod http;
pub mod metrics;
pub mod server;
pub mod task_log;
