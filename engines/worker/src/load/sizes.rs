//! How much context, cache and main memory a model is loaded with, where nobody decided it.
//!
//! Rules: ORCH-MODEL-4, ORCH-KV-3

use engine_api::{ReplicaSpec, StartError};
use generation::Workload;
use host_memory::HostMemory;
use orchestrator_core::TokenCount;

use super::Weights;
use crate::log::{self, Level};

/// Tokens of context where nobody has compared what the model could have with the memory there is.
const UNMEASURED_CTX: u32 = 4096;

/// The part of the free main memory for conversations that are out of the slots, where nobody says how much, and the most
/// it is then.
const KV_RAM_SHARE: u64 = 8;
const KV_RAM_MOST: u64 = 8 << 30;

/// The most tokens of a request: what is asked for, and never more than the model was trained with.
pub(super) fn ctx_of(
    spec: &ReplicaSpec,
    weights: Weights,
    workload: Workload,
    trained: u32,
) -> Result<u32, StartError> {
    match spec.ctx {
        // A model that pools reads an input in one call, whose buffers grow with the square of its length.
        None if weights == Weights::Read || workload != Workload::Completion => {
            Ok(trained.min(UNMEASURED_CTX))
        }
        None => Ok(trained),
        Some(TokenCount(0)) => Err(StartError::Model(format!(
            "`ctx` is 0; the model `{}` was trained with {trained} tokens of context, so 1 to {trained} would be right",
            spec.model.display()
        ))),
        Some(TokenCount(asked)) => {
            if asked > trained && weights == Weights::Read {
                let (asked, trained) = (asked.to_string(), trained.to_string());
                log::line(Level::Warn, "`ctx` lowered", &[("asked", &asked), ("trained_with", &trained)]);
            }
            Ok(asked.min(trained))
        }
    }
}

/// Tokens of the KV cache. A model that pools has one input in it at a time.
pub(super) fn cells_of(
    spec: &ReplicaSpec,
    weights: Weights,
    workload: Workload,
    ctx: TokenCount,
) -> TokenCount {
    match spec.kv_cells {
        _ if workload != Workload::Completion => ctx,
        Some(cells) => cells.max(ctx),
        None if weights == Weights::Skip => ctx,
        None => TokenCount(ctx.0.saturating_mul(u32::from(spec.slots.max(1)))),
    }
}

/// Bytes of main memory for conversations that are out of the slots. A model that pools keeps none.
pub(super) fn kv_ram_of(spec: &ReplicaSpec, workload: Workload) -> u64 {
    if workload != Workload::Completion {
        return 0;
    }
    spec.options.kv_ram_bytes.unwrap_or_else(|| {
        let free = HostMemory::new().read().map_or(0, |memory| memory.available);
        (free / KV_RAM_SHARE).min(KV_RAM_MOST)
    })
}
