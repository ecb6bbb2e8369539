//! The edge to C: the few calls that `llama-cpp-2` does not wrap. The only unsafe code of the crate.
#![expect(unsafe_code, reason = "calls into C; each block says why it is sound")]

use std::collections::VecDeque;
use std::ffi::{CStr, c_char, c_void};
use std::sync::Mutex;

use crate::log::{self, Level};

/// Error lines of llama.cpp kept to explain a failure.
const KEPT_ERRORS: usize = 8;

static LOG: Mutex<LogState> = Mutex::new(LogState { line: String::new(), errors: VecDeque::new() });

struct LogState {
    /// A line that has not ended yet.
    line: String,
    errors: VecDeque<String>,
}

/// Ends the process at once, without running exit handlers: other threads are in the middle of a decode
/// step, and what exit handlers would tear down is still in use there.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: `_exit` takes any value, touches no memory of ours and does not return.
    unsafe { libc::_exit(code) }
}

/// Sends llama.cpp's own log through ours, at debug level, and keeps its last errors.
pub fn route_log() {
    // SAFETY: the callback is a plain function that lives as long as the process and ignores its context.
    unsafe { llama_cpp_sys_2::llama_log_set(Some(on_log), std::ptr::null_mut()) }
}

/// The errors llama.cpp logged since the last call, oldest first.
pub fn take_errors() -> Vec<String> {
    let mut state = LOG.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    std::mem::take(&mut state.errors).into()
}

/// What llama.cpp says of the instruction sets and back ends it was built with.
#[must_use]
pub fn system_info() -> String {
    // SAFETY: returns a pointer to a static, zero-terminated string that the next call may change; there is
    // no other caller in this process, and the text is copied here.
    unsafe { CStr::from_ptr(llama_cpp_sys_2::llama_print_system_info()) }.to_string_lossy().into_owned()
}

unsafe extern "C" fn on_log(
    level: llama_cpp_sys_2::ggml_log_level,
    text: *const c_char,
    _context: *mut c_void,
) {
    if text.is_null() {
        return;
    }
    // SAFETY: llama.cpp passes a zero-terminated string that lives for the length of this call.
    let text = unsafe { CStr::from_ptr(text) }.to_string_lossy();
    let mut state = LOG.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    state.line.push_str(&text);
    if !state.line.ends_with('\n') {
        return;
    }
    let line = std::mem::take(&mut state.line);
    for line in line.lines().map(str::trim).filter(|line| !line.trim_matches('.').is_empty()) {
        if level == llama_cpp_sys_2::GGML_LOG_LEVEL_ERROR {
            if state.errors.len() == KEPT_ERRORS {
                state.errors.pop_front();
            }
            state.errors.push_back(line.to_owned());
        }
        log::line(Level::Debug, "llama.cpp", &[("line", line)]);
    }
}
