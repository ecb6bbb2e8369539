//! Workers and daemons are killed at random token positions while tasks stream.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot go on fails and says where, and with which random numbers"
)]

mod chance;
mod daemons;
mod workers;
