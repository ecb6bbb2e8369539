//! What is told of a model: its names, its size, what it can do. An engine says it when it has loaded the model; before,
//! what its file and its name say.
//!
//! Rules: ORCH-OLLAMA-3

use engine_api::EngineKind;
use engine_api::redact::without_folders;
use generation::Workload;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::health_view::PoolView;
use crate::model_folder::ModelFile;

/// Quantizations as file names have them, the longer ones first.
const QUANTIZATIONS: [&str; 34] = [
    "IQ2_XXS", "IQ3_XXS", "IQ2_XS", "IQ3_XS", "Q3_K_XL", "Q4_K_XL", "Q5_K_XL", "Q6_K_XL", "Q2_K_L", "Q3_K_S",
    "Q3_K_M", "Q3_K_L", "Q4_K_S", "Q4_K_M", "Q5_K_S", "Q5_K_M", "IQ1_S", "IQ1_M", "IQ2_S", "IQ2_M", "IQ3_S",
    "IQ3_M", "IQ4_NL", "IQ4_XS", "MXFP4", "Q2_K", "Q6_K", "Q8_0", "Q5_0", "Q5_1", "Q4_0", "Q4_1", "BF16",
    "F16",
];

/// What Ollama says where a quantization has no name.
const UNKNOWN: &str = "unknown";

/// A short description.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Details {
    parent_model: &'static str,
    format: &'static str,
    family: String,
    families: Vec<String>,
    parameter_size: String,
    quantization_level: &'static str,
}

impl Details {
    /// Of the model of a pool, whose file is this.
    pub(super) fn of(pool: &PoolView, file: Option<&ModelFile>) -> Self {
        let model = pool.facts.as_ref().map(|facts| &facts.model);
        let family = model.map(|model| model.architecture.clone()).unwrap_or_default();
        let file = file.map(|file| file.name.as_str()).unwrap_or_default();
        let quantization = quantization_of(file).or_else(|| quantization_of(&pool.model_ref));
        Self {
            parent_model: "",
            format: if pool.engine == EngineKind::Llamacpp { "gguf" } else { "safetensors" },
            families: Some(family.clone()).into_iter().filter(|family| !family.is_empty()).collect(),
            family,
            parameter_size: model.map(|model| count(model.parameters)).unwrap_or_default(),
            quantization_level: quantization.unwrap_or(UNKNOWN),
        }
    }
}

/// What a model can do, in Ollama's words.
pub(super) fn capabilities(pool: &PoolView) -> Vec<&'static str> {
    let Some(facts) = &pool.facts else { return capabilities_by_name(pool) };
    let (offers, abilities) = (|workload| facts.workloads.contains(&workload), &facts.abilities);
    let all = [
        ("completion", offers(Workload::Completion)),
        ("tools", abilities.tools),
        ("thinking", abilities.reasoning),
        ("vision", abilities.images),
        ("insert", abilities.infill),
        ("embedding", offers(Workload::Embedding)),
    ];
    all.into_iter().filter(|(_, can)| *can).map(|(name, _)| name).collect()
}

/// What the name of a model says that it can do, as long as no engine has loaded it.
fn capabilities_by_name(pool: &PoolView) -> Vec<&'static str> {
    if is_of_embeddings(&pool.model_ref) || is_of_embeddings(pool.id.as_str()) {
        return vec!["embedding"];
    }
    // The built-in engine takes tools with every chat.
    if pool.engine == EngineKind::Llamacpp { vec!["completion", "tools"] } else { vec!["completion"] }
}

/// Whether a model is named as those that make embeddings are.
fn is_of_embeddings(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let name = name.rsplit('/').next().unwrap_or(&name);
    name.contains("embed")
        || ["bge-", "e5-", "gte-", "all-minilm"].iter().any(|begin| name.starts_with(begin))
}

/// Stands for the model as it is served, under all names of its pool: clients keep what they know of a model by it. It
/// is no checksum of a file.
pub(super) fn digest(pool: &PoolView) -> String {
    let mut hash = Sha256::new();
    let facts = pool.facts.as_ref();
    let model = facts.map(|facts| format!("{} {}", facts.model.architecture, facts.model.size_bytes));
    let ctx = facts.map(|facts| facts.ctx.to_string()).unwrap_or_default();
    let can = capabilities(pool).join(" ");
    for part in [pool.id.as_str(), &pool.model_ref, &model.unwrap_or_default(), &ctx, &can] {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Bytes of a model's weights.
pub(super) fn size(pool: &PoolView, file: Option<&ModelFile>) -> u64 {
    let of_engine = pool.facts.as_ref().map_or(0, |facts| facts.model.size_bytes);
    of_engine.max(file.map_or(0, |file| file.bytes))
}

/// The reference of a model, without the folders of this machine.
pub(super) fn reference(pool: &PoolView) -> String {
    without_folders(&pool.model_ref)
}

/// The quantization that a name has in it.
fn quantization_of(name: &str) -> Option<&'static str> {
    let name = name.to_ascii_uppercase();
    QUANTIZATIONS.into_iter().find(|quantization| name.contains(quantization))
}

/// Parameters as Ollama writes them: `8B`, `7.6B`, `134.52M`.
fn count(parameters: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "it is shown with four digits")]
    let number = parameters as f64;
    let (scaled, unit, digits) = match parameters {
        1_000_000_000.. => (number / 1e9, "B", 1),
        1_000_000.. => (number / 1e6, "M", 2),
        1_000.. => (number / 1e3, "K", 0),
        _ => (number, "", 0),
    };
    let digits = if scaled.fract() == 0.0 { 0 } else { digits };
    format!("{scaled:.digits$}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ORCH-OLLAMA-3
    #[test]
    fn a_model_of_embeddings_is_known_by_its_name_before_it_is_loaded() {
        for name in
            ["nomic-embed-text", "hf:o/r/Qwen3-Embedding-0.6B-Q8_0.gguf", "~/models/bge-m3.gguf", "e5-large"]
        {
            assert!(is_of_embeddings(name), "{name}");
        }
        for name in ["starter", "hf:embed/r/qwen3-4b.gguf", "qwen2.5-7b"] {
            assert!(!is_of_embeddings(name), "{name}");
        }
    }

    /// ORCH-OLLAMA-3
    #[test]
    fn parameters_and_quantizations_are_written_as_ollama_does() {
        for (parameters, text) in [
            (8_000_000_000, "8B"),
            (7_615_616_512, "7.6B"),
            (134_515_008, "134.52M"),
            (22_700, "23K"),
            (9, "9"),
        ] {
            assert_eq!(count(parameters), text);
        }
        for (name, quantization) in [
            ("qwen2.5-7b-instruct-q4_k_m.gguf", Some("Q4_K_M")),
            ("SmolLM2-135M-Instruct.Q4_1.gguf", Some("Q4_1")),
            ("gpt-oss-20b-MXFP4.gguf", Some("MXFP4")),
            ("model-bf16.gguf", Some("BF16")),
            ("Qwen/Qwen3-8B", None),
        ] {
            assert_eq!(quantization_of(name), quantization, "{name}");
        }
    }
}
