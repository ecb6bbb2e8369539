//! `orchestratord`: one workstation as one dependable LLM token server. The library is the daemon without
//! its command line, so that tests can run all of it with an engine of their own behind the adapter
//! trait.

pub mod auth;
pub mod backpressure;
pub mod clock;
pub mod daemon;
pub mod driver;
pub mod engine;
pub mod exit;
pub mod handle;
pub mod health_view;
pub mod http;
pub mod log_ring;
pub mod logging;
pub mod metrics;
pub mod model_fit;
pub mod model_folder;
pub mod pool_defaults;
pub mod pool_protocol;
pub mod pools;
pub mod protocol;
pub mod server;
pub mod service;
pub mod state;
pub mod task_log;
pub mod task_view;
pub mod tasks;
