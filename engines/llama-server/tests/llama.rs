//! The adapter against a server of raw sockets, and against a program that it starts.

#[path = "llama/attached.rs"]
mod attached;
#[path = "llama/managed.rs"]
mod managed;
