//! The adapter against a server of raw sockets.

#[path = "openai/attach.rs"]
mod attach;
#[path = "openai/bad.rs"]
mod bad;
#[path = "openai/jobs.rs"]
mod jobs;
#[path = "openai/suspended.rs"]
mod suspended;
#[path = "openai/test_server.rs"]
mod test_server;
