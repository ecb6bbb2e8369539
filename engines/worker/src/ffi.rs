//! The edge to C: the few calls that `llama-cpp-2` does not wrap. The only unsafe code of the crate.
#![expect(unsafe_code, reason = "calls into C; each block says why it is sound")]

pub mod chat;
pub mod lora;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::ffi::{CStr, CString, c_char, c_void};

use llama_cpp_2::context::LlamaContext;

use crate::buffers::{self, Buffers, Use};
use crate::clock;
use crate::heartbeat::Heartbeat;
use crate::log::{self, Level};
use crate::options::ContextOptions;

/// Error lines of llama.cpp kept to explain a failure.
const KEPT_ERRORS: usize = 8;

thread_local! {
    /// Each thread's own, so that what explains one failure was not said of another.
    static LOG: RefCell<LogState> = const { RefCell::new(LogState::new()) };
}

struct LogState {
    /// A line that has not ended yet.
    line: String,
    errors: VecDeque<String>,
    buffers: Buffers,
}

impl LogState {
    const fn new() -> Self {
        Self { line: String::new(), errors: VecDeque::new(), buffers: Buffers::NONE }
    }
}

/// The shape of a context.
#[derive(Clone, Copy, Debug)]
pub struct ContextShape {
    /// Tokens of all its sequences together.
    pub cells: u32,
    /// Tokens of one call at most.
    pub batch: u32,
    /// Sequences.
    pub sequences: u32,
    /// Whether it makes vectors.
    pub embeddings: bool,
    /// Whether its cache is on a card.
    pub on_card: bool,
    /// Tokens of a call that are computed at a time.
    pub ubatch: u32,
    /// How it computes.
    pub options: ContextOptions,
}

unsafe extern "C" {
    /// `src/memory.cpp`.
    fn worker_memory_of(context: *const llama_cpp_sys_2::llama_context, host: *mut Use, device: *mut Use);
}

impl ContextShape {
    /// In llama.cpp's own words.
    fn params(&self) -> llama_cpp_sys_2::llama_context_params {
        // SAFETY: returns plain values.
        let mut params = unsafe { llama_cpp_sys_2::llama_context_default_params() };
        params.n_ctx = self.cells;
        params.n_batch = self.batch;
        params.n_ubatch = self.ubatch;
        params.n_seq_max = self.sequences;
        params.kv_unified = true;
        params.offload_kqv = self.on_card;
        params.op_offload = self.on_card;
        params.embeddings = self.embeddings;
        params.flash_attn_type = self.options.flash_attention;
        params.type_k = self.options.type_k;
        params.type_v = self.options.type_v;
        params.pooling_type = self.options.pooling;
        params.rope_scaling_type = self.options.rope_scaling;
        params.rope_freq_base = self.options.rope_freq_base;
        params.rope_freq_scale = self.options.rope_freq_scale;
        params.yarn_orig_ctx = self.options.yarn_orig_ctx;
        params
    }
}

/// A model whose memory is asked for.
#[derive(Clone, Copy, Debug)]
pub struct ModelShape<'a> {
    /// Its file.
    pub file: &'a CStr,
    /// Layers on a card.
    pub gpu_layers: i32,
    /// Tensors that stay in main memory, as patterns of their names.
    pub host_tensors: &'a [CString],
}

/// What a model takes of memory with a context of each of `shapes`, without its weights being read or
/// any of it allocated; nothing when llama.cpp refuses, with its reasons in [`take_errors`].
#[must_use]
pub fn memory_of(of: ModelShape<'_>, shapes: &[ContextShape]) -> Option<Vec<Buffers>> {
    let mut all = Vec::with_capacity(shapes.len());
    // SAFETY: returns a buffer type that lives as long as the process.
    let host = unsafe { llama_cpp_sys_2::ggml_backend_cpu_buffer_type() };
    let mut overrides: Vec<_> = of.host_tensors.iter().map(|pattern| (pattern.as_ptr(), host)).collect();
    // The list ends with an entry without a pattern.
    overrides.push((std::ptr::null(), std::ptr::null_mut()));
    let overrides: Vec<_> = overrides
        .into_iter()
        .map(|(pattern, buft)| llama_cpp_sys_2::llama_model_tensor_buft_override { pattern, buft })
        .collect();
    // SAFETY: the parameters start as llama.cpp's own defaults; the path and the patterns are zero-terminated and
    // outlive the call. The model outlives its contexts, each is freed once and none is used afterwards. The two structs
    // are laid out as `src/memory.cpp` declares them and live for the length of the call.
    unsafe {
        let mut params = llama_cpp_sys_2::llama_model_default_params();
        params.n_gpu_layers = of.gpu_layers;
        params.tensor_buft_overrides = overrides.as_ptr();
        params.split_mode = llama_cpp_sys_2::LLAMA_SPLIT_MODE_NONE;
        params.no_alloc = true;
        params.load_mode = llama_cpp_sys_2::LLAMA_LOAD_MODE_NONE;
        let model = llama_cpp_sys_2::llama_model_load_from_file(of.file.as_ptr(), params);
        if model.is_null() {
            return None;
        }
        let mut counted = true;
        for shape in shapes {
            let context = llama_cpp_sys_2::llama_init_from_model(model, shape.params());
            if context.is_null() {
                counted = false;
                break;
            }
            let mut buffers = Buffers::NONE;
            worker_memory_of(context, &raw mut buffers.host, &raw mut buffers.card);
            llama_cpp_sys_2::llama_free(context);
            all.push(buffers);
        }
        llama_cpp_sys_2::llama_model_free(model);
        counted.then_some(all)
    }
}

/// Has every call of `context` report to `heartbeat` between the nodes of its graph. Without it calls cannot be
/// interrupted, and nothing else changes.
pub fn watch(context: &LlamaContext<'_>, heartbeat: &'static Heartbeat) {
    let Some(raw) = raw(context) else {
        log::line(Level::Warn, "calls to llama.cpp cannot be interrupted", &[]);
        return;
    };
    let data: *const Heartbeat = heartbeat;
    // SAFETY: `raw` is the pointer of a live context. The callback lives as long as the process, and so does
    // what it is given.
    unsafe { llama_cpp_sys_2::llama_set_abort_callback(raw, Some(on_node), data.cast_mut().cast()) }
}

/// The context behind the wrapper, which has no accessor for it but prints it: `LlamaContext { context: 0x… }`.
/// The version of the wrapper is pinned, and a test sets a callback through it.
fn raw(context: &LlamaContext<'_>) -> Option<*mut llama_cpp_sys_2::llama_context> {
    let text = format!("{context:?}");
    let digits = text.strip_prefix("LlamaContext { context: 0x")?;
    let digits = digits.split(|c: char| !c.is_ascii_hexdigit()).next()?;
    let address = usize::from_str_radix(digits, 16).ok().filter(|address| *address != 0)?;
    Some(std::ptr::with_exposed_provenance_mut(address))
}

unsafe extern "C" fn on_node(data: *mut c_void) -> bool {
    // SAFETY: `data` is what `watch` gave: a heartbeat that lives as long as the process and is only shared.
    unsafe { &*data.cast_const().cast::<Heartbeat>() }.beat(clock::now())
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

/// The errors llama.cpp logged in this thread since the last call, oldest first.
pub fn take_errors() -> Vec<String> {
    LOG.with_borrow_mut(|state| std::mem::take(&mut state.errors)).into()
}

/// The buffers llama.cpp logged in this thread since the last call.
pub fn take_buffers() -> Buffers {
    LOG.with_borrow_mut(|state| std::mem::take(&mut state.buffers))
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
    LOG.with_borrow_mut(|state| {
        state.line.push_str(&text);
        if !state.line.ends_with('\n') {
            return;
        }
        let line = std::mem::take(&mut state.line);
        for line in line.lines().map(str::trim).filter(|line| !line.trim_matches('.').is_empty()) {
            buffers::add(&mut state.buffers, line);
            if level == llama_cpp_sys_2::GGML_LOG_LEVEL_ERROR {
                if state.errors.len() == KEPT_ERRORS {
                    state.errors.pop_front();
                }
                state.errors.push_back(line.to_owned());
            }
            log::line(Level::Debug, "llama.cpp", &[("line", line)]);
        }
    });
}
