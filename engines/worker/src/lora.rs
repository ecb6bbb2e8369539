//! The LoRA adapters of a model: read before its contexts are made, and set on each of them.
//!
//! Rules: ORCH-ENG-34

use std::path::Path;

use engine_api::load_options::LoraAdapter;
use engine_api::{ReplicaSpec, StartError};
use llama_cpp_2::model::LlamaModel;

use crate::ffi::{self, lora::Adapter};
use crate::{load, model_file};

/// Reads the adapters of `spec`.
///
/// # Errors
/// The first one that is no adapter, or of another model, and why.
pub fn read(model: &mut LlamaModel, spec: &ReplicaSpec) -> Result<Vec<Adapter>, StartError> {
    spec.options.lora.iter().map(|adapter| read_one(model, adapter, spec)).collect()
}

fn read_one(
    model: &mut LlamaModel,
    LoraAdapter { file, scale }: &LoraAdapter,
    spec: &ReplicaSpec,
) -> Result<Adapter, StartError> {
    let refused = |why: &str| {
        let model = spec.model.display();
        StartError::Model(format!(
            "the LoRA adapter `{}` cannot be used with the model `{model}`: {why}",
            file.display()
        ))
    };
    check(file)?;
    ffi::take_errors();
    let adapter = Adapter::read(model, file, *scale)
        .ok_or_else(|| refused(&load::reason().unwrap_or_else(|| "llama.cpp gave no reason".into())))?;
    if adapter.is_activated() {
        return Err(refused(
            "it is an activated LoRA, which holds behind tokens of its own: that is not served",
        ));
    }
    Ok(adapter)
}

/// Bytes of the files of all adapters, which is what they take of memory.
///
/// # Errors
/// One of them is not there, or no GGUF file.
pub fn bytes(spec: &ReplicaSpec) -> Result<u64, StartError> {
    spec.options.lora.iter().try_fold(0_u64, |sum, LoraAdapter { file, .. }| {
        check(file)?;
        Ok(sum.saturating_add(std::fs::metadata(file).map_or(0, |file| file.len())))
    })
}

fn check(file: &Path) -> Result<(), StartError> {
    let named = |error| StartError::Model(format!("a LoRA adapter cannot be read: {error}"));
    model_file::check(file).map_err(named)
}
