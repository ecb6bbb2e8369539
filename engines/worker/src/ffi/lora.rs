//! The edge to llama.cpp's LoRA adapters: `llama-cpp-2` sets one on a context, and a pool may have several.

use std::mem;
use std::path::Path;
use std::ptr::NonNull;

use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::model::{LlamaLoraAdapter, LlamaModel};
use llama_cpp_sys_2::llama_adapter_lora;

/// An adapter that was read, and how much of it is added. It lives as long as its model.
#[derive(Clone, Copy, Debug)]
pub struct Adapter {
    raw: NonNull<llama_adapter_lora>,
    scale: f32,
}

// SAFETY: an adapter is only read once it is made.
unsafe impl Send for Adapter {}
// SAFETY: as above.
unsafe impl Sync for Adapter {}

impl Adapter {
    /// Reads an adapter of `model`; nothing when llama.cpp refuses, with its reasons in [`super::take_errors`].
    pub fn read(model: &mut LlamaModel, file: &Path, scale: f32) -> Option<Self> {
        let adapter = model.lora_adapter_init(file).ok()?;
        // SAFETY: the wrapper is `repr(transparent)` over a pointer that is `repr(transparent)` over a `NonNull`, and
        // frees nothing when it is dropped: llama.cpp frees adapters with their model.
        let raw = unsafe { mem::transmute::<LlamaLoraAdapter, NonNull<llama_adapter_lora>>(adapter) };
        Some(Self { raw, scale })
    }

    /// Whether it is to be used only behind some tokens of its own (an activated LoRA).
    #[must_use]
    pub fn is_activated(&self) -> bool {
        // SAFETY: the adapter is live.
        unsafe { llama_cpp_sys_2::llama_adapter_get_alora_n_invocation_tokens(self.raw.as_ptr()) > 0 }
    }
}

/// Has `context` compute with `adapters` of its model. Whether it does.
#[must_use]
pub fn set(context: &LlamaContext<'_>, adapters: &[Adapter]) -> bool {
    if adapters.is_empty() {
        return true;
    }
    let Some(raw) = super::raw(context) else { return false };
    let (mut pointers, mut scales): (Vec<_>, Vec<_>) =
        adapters.iter().map(|adapter| (adapter.raw.as_ptr(), adapter.scale)).unzip();
    // SAFETY: the context and the adapters are live; both lists are as long as is said and outlive the call, which
    // copies them.
    unsafe {
        llama_cpp_sys_2::llama_set_adapters_lora(
            raw,
            pointers.as_mut_ptr(),
            pointers.len(),
            scales.as_mut_ptr(),
        ) == 0
    }
}
