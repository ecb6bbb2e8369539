//! How much context a replica gets: what one request may take, and how many tokens the KV cache of all slots holds.
//!
//! A number that is asked for is kept, or refused. Where none is, a request may take what the model was trained with,
//! as far as the pool's part of the memory holds it. The cache holds at least one such request, and up to one for each
//! slot where that part allows it.
//!
//! The pool's part is what is free after the weights: on a card all of it, divided by the pools that are not loaded
//! yet, so that the first of several does not take what the others need. On the processor the cache competes with
//! everything else on the machine and is filled with zeros when it is made, so that it takes its memory at once: a
//! quarter of what is free, and no more than [`CPU_CTX`] tokens, of which a processor reads some hundreds a second.
//!
//! Rules: ORCH-DEV-4, ORCH-DEV-10

use engine_api::Device;
use orchestrator_core::TokenCount;

use super::{FitQuery, gib};

/// Contexts are sized in steps of this many tokens.
const STEP: u32 = 256;

/// The smallest context that a model is fitted to.
const CTX_LEAST: u32 = 512;

/// A context that nobody asked for takes more than the pool's part of the memory up to so many tokens.
const CTX_DECENT: u32 = 4096;

/// The largest context on the processor that nobody asked for.
pub const CPU_CTX: u32 = 32_768;

/// Tokens that the cache of all slots holds on the processor where one request may take no more.
const CPU_CELLS: u32 = 16_384;

/// The part of the free memory that a cache takes on the processor where nobody asked for more.
const CPU_PART: u64 = 4;

/// Tokens of a context where the memory cannot be read, and nobody asked for another number.
const UNREAD_CTX: u32 = 16_384;

/// What one replica needs of its device.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Need {
    /// Bytes that do not depend on the context: weights and compute buffers.
    pub fixed_bytes: u64,
    /// Bytes of a token of the KV cache, with what the buffers grow by.
    pub bytes_per_token: u64,
    /// The most tokens of a request: those asked for, or those the model was trained with.
    pub ctx: TokenCount,
}

impl Need {
    /// All of it, with a KV cache of so many tokens.
    #[must_use]
    pub fn bytes(&self, cells: TokenCount) -> u64 {
        self.fixed_bytes.saturating_add(self.bytes_per_token.saturating_mul(u64::from(cells.0)))
    }

    /// Tokens of a KV cache that fits so many bytes beside the rest; nothing where not even the rest fits.
    fn cells_within(&self, bytes: u64) -> Option<u32> {
        let room = bytes.checked_sub(self.fixed_bytes)?;
        let cells = room.checked_div(self.bytes_per_token).unwrap_or(u64::MAX);
        Some(u32::try_from(cells).unwrap_or(u32::MAX))
    }
}

/// How much context is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CtxRequest {
    /// As much as is sensible.
    Auto,
    /// That of [`Need`], or the model is refused.
    Exact,
    /// That of [`Need`], or as much of it as fits.
    AtMost,
}

/// The size of a replica's context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContextFit {
    /// The most tokens of a request.
    pub ctx: TokenCount,
    /// Tokens of the KV cache that all slots share.
    pub kv_cells: TokenCount,
}

impl FitQuery {
    /// The context of a replica on a device with so much free memory; nothing where none fits.
    pub(super) fn context_of(&self, device: &Device, need: Need, free: Option<u64>) -> Option<ContextFit> {
        let (largest, part) = match free {
            Some(free) => (need.cells_within(free)?, self.part_of(device, need, free)),
            None => (u32::MAX, UNREAD_CTX),
        };
        let ctx = match self.ctx {
            CtxRequest::Exact => need.ctx.0,
            CtxRequest::AtMost => lowered(need.ctx.0, largest)?,
            CtxRequest::Auto => {
                let most = match device {
                    Device::Cpu => need.ctx.0.min(CPU_CTX),
                    Device::Gpu { .. } => need.ctx.0,
                };
                lowered(most, part.max(CTX_DECENT).min(largest))?
            }
        };
        let all = ctx.saturating_mul(u32::from(self.slots.max(1)));
        let most = match device {
            Device::Cpu => part.min(CPU_CELLS),
            Device::Gpu { .. } => part,
        };
        let kv_cells = (most / STEP * STEP).min(all).max(ctx);
        (kv_cells <= largest).then_some(ContextFit { ctx: TokenCount(ctx), kv_cells: TokenCount(kv_cells) })
    }

    /// Tokens that the pool's part of the free memory holds.
    fn part_of(&self, device: &Device, need: Need, free: u64) -> u32 {
        let share = free / self.shares();
        let bytes = match device {
            Device::Gpu { .. } => share,
            Device::Cpu => need.fixed_bytes + share.saturating_sub(need.fixed_bytes) / CPU_PART,
        };
        need.cells_within(bytes).unwrap_or(0)
    }

    /// The arithmetic of a replica that fits, and what would give it more context.
    pub(super) fn explain(&self, device: &Device, need: Need, fit: ContextFit, free: Option<u64>) -> String {
        let ContextFit { ctx, kv_cells } = fit;
        let memory = match free {
            Some(free) => format!("{} free on {device}", gib(free)),
            None => format!("the memory of {device} cannot be read"),
        };
        let mut text = format!(
            "needs {}, {memory}: {} for weights and buffers, {} for a KV cache of {kv_cells} tokens ({} a token)",
            gib(need.bytes(kv_cells)),
            gib(need.fixed_bytes),
            gib(need.bytes(kv_cells) - need.fixed_bytes),
            kib(need.bytes_per_token),
        );
        if ctx == need.ctx {
            text.push_str(&format!("\na request may take all {ctx} tokens of `ctx`"));
            if self.ctx == CtxRequest::Auto {
                text = text.replace("of `ctx`", "that the model was trained with");
            }
            return text;
        }
        let more =
            free.and_then(|free| lowered(need.ctx.0, need.cells_within(free)?)).filter(|more| *more > ctx.0);
        let more = match (self.ctx, more) {
            (CtxRequest::Auto, Some(more)) => format!("`ctx: {more}` would fit, too"),
            _ => "more needs free memory, or a smaller quantisation of the model".to_owned(),
        };
        let of = match self.ctx {
            CtxRequest::Auto => "that the model was trained with",
            CtxRequest::Exact | CtxRequest::AtMost => "of `ctx`",
        };
        text.push_str(&format!("\na request may take {ctx} of the {} tokens {of}; {more}", need.ctx));
        text
    }

    /// Why no replica goes to a device, and which context would fit there.
    pub(super) fn refusal_of(&self, device: &Device, need: Need, free: u64) -> String {
        let asked = match self.ctx {
            CtxRequest::Exact => need.ctx,
            CtxRequest::Auto | CtxRequest::AtMost => TokenCount(need.ctx.0.min(CTX_LEAST)),
        };
        let smaller = need.cells_within(free).and_then(|cells| lowered(need.ctx.0, cells));
        let smaller = smaller.filter(|ctx| *ctx < asked.0);
        let smaller = smaller.map_or(String::new(), |ctx| format!("; fits with ctx {ctx}"));
        format!(
            "needs {}, {} free on {device}: {} for weights and buffers, {} for a KV cache of {asked} tokens ({} a \
             token){smaller}",
            gib(need.bytes(asked)),
            gib(free),
            gib(need.fixed_bytes),
            gib(need.bytes(asked) - need.fixed_bytes),
            kib(need.bytes_per_token),
        )
    }
}

/// `most` tokens, or as many of them as `cells` hold; nothing where those are too few to be of use.
fn lowered(most: u32, cells: u32) -> Option<u32> {
    if cells >= most {
        return Some(most);
    }
    let stepped = cells / STEP * STEP;
    (stepped >= CTX_LEAST).then_some(stepped)
}

/// Bytes of a token for a person: KiB, of which there are a few to some hundreds.
fn kib(bytes: u64) -> String {
    let tenths = bytes.saturating_mul(10).div_ceil(1024);
    if tenths < 100 {
        format!("{}.{} KiB", tenths / 10, tenths % 10)
    } else {
        format!("{} KiB", tenths.div_ceil(10))
    }
}
