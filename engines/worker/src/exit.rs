//! How the worker ends, as exit codes.

/// It was asked to, or the daemon went away.
pub const DAEMON_GONE: i32 = 0;

/// The model could not be loaded; the reason went over the channel.
pub const LOAD_FAILED: u8 = 3;

/// It was not started by a daemon, or what came over the channel made no sense.
pub const NO_CHANNEL: u8 = 4;

/// A thread of it hung, and another process must take its place.
pub const HUNG: i32 = worker_protocol::EXIT_HUNG;

/// Ends the process at once, whatever its other threads are doing.
pub fn at_once(code: i32) -> ! {
    crate::ffi::exit_now(code)
}
