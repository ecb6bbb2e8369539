//! The buffers llama.cpp makes, in main memory and on a card, as it logs them or counts them beforehand.

use engine_api::{Device, MemoryEstimate};
use orchestrator_core::TokenCount;

/// Bytes in one kind of memory, by what they are for; laid out as `memory.cpp` declares it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Use {
    /// The weights.
    pub weights: u64,
    /// The keys and values of all sequences.
    pub kv_cache: u64,
    /// The buffers that a step computes in.
    pub compute: u64,
}

/// The size of a replica's context.
#[derive(Clone, Copy, Debug)]
pub struct ContextSize {
    /// The most tokens of a request.
    pub ctx: TokenCount,
    /// Tokens of the KV cache.
    pub kv_cells: TokenCount,
    /// What one more token takes.
    pub bytes_per_token: u64,
}

/// All buffers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Buffers {
    /// In main memory, that which is pinned for a card included.
    pub host: Use,
    /// On a card.
    pub card: Use,
}

impl Buffers {
    /// None.
    pub const NONE: Self = {
        let nothing = Use { weights: 0, kv_cache: 0, compute: 0 };
        Self { host: nothing, card: nothing }
    };

    /// The same with what was made anew since: the first call of a context that has adapters makes its buffers again.
    #[must_use]
    pub fn recomputed(self, since: Self) -> Self {
        let newest = |before: Use, since: Use| Use {
            weights: before.weights + since.weights,
            kv_cache: before.kv_cache + since.kv_cache,
            compute: if since.compute > 0 { since.compute } else { before.compute },
        };
        Self { host: newest(self.host, since.host), card: newest(self.card, since.card) }
    }

    /// As it is told of a replica on `device`.
    #[must_use]
    pub fn on(self, device: &Device, size: ContextSize) -> MemoryEstimate {
        let (here, beside) = match device {
            Device::Cpu => (self.host, Use::default()),
            Device::Gpu { .. } => (self.card, self.host),
        };
        let ContextSize { ctx, kv_cells, bytes_per_token } = size;
        MemoryEstimate {
            weights_bytes: here.weights,
            kv_bytes: here.kv_cache,
            compute_bytes: here.compute,
            host_bytes: beside.weights + beside.kv_cache + beside.compute,
            bytes_per_token,
            ctx,
            kv_cells,
        }
    }

    /// Bytes on `device` that depend on the context.
    #[must_use]
    pub fn context_bytes(&self, device: &Device) -> u64 {
        self.kv_bytes(device) + self.here(device).compute
    }

    /// Bytes of the KV cache on `device`.
    #[must_use]
    pub fn kv_bytes(&self, device: &Device) -> u64 {
        self.here(device).kv_cache
    }

    fn here(&self, device: &Device) -> Use {
        match device {
            Device::Cpu => self.host,
            Device::Gpu { .. } => self.card,
        }
    }

    /// With another context of the same model, whose weights are there once.
    #[must_use]
    pub fn beside(self, other: Self) -> Self {
        let both = |one: Use, other: Use| Use {
            weights: one.weights.max(other.weights),
            kv_cache: one.kv_cache + other.kv_cache,
            compute: one.compute + other.compute,
        };
        Self { host: both(self.host, other.host), card: both(self.card, other.card) }
    }
}

/// Adds the buffer that a line of the log tells of, if it does:
/// `load_tensors:   CPU_Mapped model buffer size =    94.50 MiB`.
pub fn add(to: &mut Buffers, line: &str) {
    let Some((head, size)) = line.split_once(" buffer size = ") else { return };
    let mut words = head.split_whitespace().rev();
    let (Some(kind), Some(name)) = (words.next(), words.next()) else { return };
    let Some(mib) = size.trim().strip_suffix(" MiB").and_then(|mib| mib.trim().parse::<f64>().ok()) else {
        return;
    };
    let of_host = name.starts_with("CPU") || name.ends_with("_Host");
    let place = if of_host { &mut to.host } else { &mut to.card };
    let sum = match kind {
        "model" | "LoRA" => &mut place.weights,
        "KV" | "RS" => &mut place.kv_cache,
        "compute" | "output" => &mut place.compute,
        _ => return,
    };
    *sum = sum.saturating_add((mib * 1024.0 * 1024.0) as u64);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_told_apart_by_place_and_purpose() {
        let mut all = Buffers::default();
        for line in [
            "load_tensors:   CPU_Mapped model buffer size =    94.50 MiB",
            "load_tensors:        CUDA0 model buffer size =  4096.00 MiB",
            "load_tensors:    CUDA_Host model buffer size =     1.00 MiB",
            "llama_kv_cache:      CUDA0 KV buffer size =   512.00 MiB",
            "llama_memory_recurrent: CUDA0 RS buffer size =     2.00 MiB",
            "llama_context:         CPU  output buffer size =     0.50 MiB",
            "sched_reserve:       CUDA0 compute buffer size =   100.00 MiB",
            "sched_reserve:   CUDA_Host compute buffer size =     8.00 MiB",
            "llama_adapter_lora_init_impl:        CPU LoRA buffer size =     0.50 MiB",
            "llama_kv_cache: size =   45.00 MiB (  2048 cells,  30 layers,  4/1 seqs)",
        ] {
            add(&mut all, line);
        }
        let mib = |mib: f64| (mib * 1024.0 * 1024.0) as u64;
        assert_eq!(all.host, Use { weights: mib(96.0), kv_cache: 0, compute: mib(8.5) });
        assert_eq!(all.card, Use { weights: mib(4096.0), kv_cache: mib(514.0), compute: mib(100.0) });
    }
}
