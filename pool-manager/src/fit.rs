//! Whether a model fits the devices of the machine, estimated before it is loaded. Pure: what it needs and what
//! is free go in, and the devices of its replicas come out, with the arithmetic in words.
//!
//! Rules: ORCH-DEV-3, ORCH-DEV-4

use engine_api::Device;
use orchestrator_core::TokenCount;

/// Contexts are lowered in steps of this many tokens.
const CTX_STEP: u32 = 256;

/// The smallest context that a model is fitted to.
const CTX_LEAST: u32 = 512;

/// What one replica needs of its device.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Need {
    /// Bytes that do not depend on the context: weights and compute buffers.
    pub fixed_bytes: u64,
    /// Bytes of KV cache at `ctx`, all slots together.
    pub kv_bytes: u64,
    /// Tokens of context of each slot.
    pub ctx: TokenCount,
}

impl Need {
    /// All of it.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.fixed_bytes.saturating_add(self.kv_bytes)
    }

    /// The largest context whose KV cache fits so many bytes beside the rest; nothing where even the
    /// smallest does not. The cache grows evenly with the context.
    #[must_use]
    pub fn ctx_within(&self, free_bytes: u64) -> Option<TokenCount> {
        let room = u128::from(free_bytes.checked_sub(self.fixed_bytes)?);
        let fitting = room * u128::from(self.ctx.0) / u128::from(self.kv_bytes.max(1));
        let fitting = u32::try_from(fitting).unwrap_or(u32::MAX).min(self.ctx.0);
        let stepped = fitting / CTX_STEP * CTX_STEP;
        (stepped >= CTX_LEAST).then_some(TokenCount(stepped))
    }

    fn with_ctx(self, ctx: TokenCount) -> Self {
        let kv = u128::from(self.kv_bytes) * u128::from(ctx.0) / u128::from(self.ctx.0.max(1));
        Self { kv_bytes: u64::try_from(kv).unwrap_or(u64::MAX), ctx, ..self }
    }
}

/// A device that may take replicas.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceCandidate {
    /// The device.
    pub device: Device,
    /// What a replica needs there; nothing where the engine cannot say before it has loaded.
    pub need: Option<Need>,
    /// Bytes free there, less what other loads will take and the margin; nothing where it cannot be read.
    pub free_bytes: Option<u64>,
}

/// A question: which devices take the replicas of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct FitQuery {
    /// The devices, in the order in which they are to be taken.
    pub candidates: Vec<DeviceCandidate>,
    /// How many replicas; one on each device that fits when absent.
    pub replicas: Option<u16>,
    /// Whether a smaller context will do.
    pub may_lower_ctx: bool,
}

/// The estimate for one device.
#[derive(Clone, Debug, PartialEq)]
pub struct Placement {
    /// The device.
    pub device: Device,
    /// Whether a replica goes there.
    pub fits: bool,
    /// Bytes that one replica needs there.
    pub needs_bytes: Option<u64>,
    /// Bytes that were free there.
    pub free_bytes: Option<u64>,
    /// The arithmetic in words.
    pub why: String,
}

/// One replica's place.
#[derive(Clone, Debug, PartialEq)]
pub struct ReplicaSite {
    /// Its device.
    pub device: Device,
    /// Its context, where it was lowered to fit.
    pub lowered_ctx: Option<TokenCount>,
    /// Bytes it is estimated to take.
    pub expected_bytes: Option<u64>,
}

/// The answer to a [`FitQuery`].
#[derive(Clone, Debug, PartialEq)]
pub struct Fit {
    /// One for each replica; empty where none fits.
    pub sites: Vec<ReplicaSite>,
    /// The estimate for each device.
    pub placements: Vec<Placement>,
}

impl FitQuery {
    /// Puts the replicas on the devices in turn, as many rounds as it takes, as far as each has room.
    #[must_use]
    pub fn answer(&self) -> Fit {
        let mut rooms: Vec<Room<'_>> =
            self.candidates.iter().map(|candidate| Room::new(candidate, self)).collect();
        let wanted = self.replicas.map_or(rooms.len(), usize::from);
        let mut sites = Vec::with_capacity(wanted);
        loop {
            let before = sites.len();
            for room in &mut rooms {
                if sites.len() < wanted
                    && let Some(site) = room.take()
                {
                    sites.push(site);
                }
            }
            let one_each = self.replicas.is_none();
            if one_each || sites.len() == before || sites.len() == wanted {
                break;
            }
        }
        Fit { sites, placements: rooms.into_iter().map(Room::placement).collect() }
    }
}

/// One device while replicas are put on it.
struct Room<'a> {
    candidate: &'a DeviceCandidate,
    need: Option<Need>,
    left: Option<u64>,
    taken: u16,
    lowered: bool,
}

impl<'a> Room<'a> {
    fn new(candidate: &'a DeviceCandidate, query: &FitQuery) -> Self {
        let mut room =
            Self { candidate, need: candidate.need, left: candidate.free_bytes, taken: 0, lowered: false };
        if let (Some(need), Some(free)) = (candidate.need, candidate.free_bytes)
            && need.bytes() > free
            && query.may_lower_ctx
            && let Some(ctx) = need.ctx_within(free)
        {
            room.need = Some(need.with_ctx(ctx));
            room.lowered = true;
        }
        room
    }

    fn take(&mut self) -> Option<ReplicaSite> {
        let bytes = self.need.map(|need| need.bytes());
        // What is not known refuses nothing: the engine's own load is then the judge.
        if let (Some(bytes), Some(left)) = (bytes, &mut self.left) {
            *left = left.checked_sub(bytes)?;
        }
        self.taken += 1;
        let lowered_ctx = self.need.filter(|_| self.lowered).map(|need| need.ctx);
        Some(ReplicaSite { device: self.candidate.device.clone(), lowered_ctx, expected_bytes: bytes })
    }

    fn placement(self) -> Placement {
        let Self { candidate, need, taken, lowered, .. } = self;
        let device = &candidate.device;
        let why = match (candidate.need, candidate.free_bytes) {
            (None, _) => "the engine does not say what it needs before it has loaded".to_owned(),
            (Some(needed), None) => {
                format!("needs {}; the memory of {device} cannot be read", gib(needed.bytes()))
            }
            (Some(asked), Some(free)) if taken == 0 => {
                let smaller = asked
                    .ctx_within(free)
                    .filter(|ctx| *ctx < asked.ctx)
                    .map_or(String::new(), |ctx| format!("; fits with ctx {}", ctx.0));
                format!("needs {}, {} free on {device}{smaller}", gib(asked.bytes()), gib(free))
            }
            (Some(asked), Some(free)) => {
                let needs = need.unwrap_or(asked);
                let ctx = if lowered {
                    format!(" with ctx lowered from {} to {}", asked.ctx.0, needs.ctx.0)
                } else {
                    String::new()
                };
                format!("needs {}{ctx}, {} free on {device}", gib(needs.bytes()), gib(free))
            }
        };
        Placement {
            device: candidate.device.clone(),
            fits: taken > 0,
            needs_bytes: need.map(|need| need.bytes()),
            free_bytes: candidate.free_bytes,
            why,
        }
    }
}

impl Fit {
    /// Why nothing fits, with the numbers.
    #[must_use]
    pub fn refusal(&self) -> String {
        let each: Vec<&str> = self.placements.iter().map(|placement| placement.why.as_str()).collect();
        if each.is_empty() { "there is no device for it".to_owned() } else { each.join("; ") }
    }
}

/// Bytes for a person: GiB with one digit, or MiB where that says nothing.
#[must_use]
pub fn gib(bytes: u64) -> String {
    const MIB: u64 = 1 << 20;
    if bytes < 1024 * MIB {
        return format!("{} MiB", bytes.div_ceil(MIB));
    }
    let tenths = bytes.div_ceil(MIB) * 10 / 1024;
    format!("{}.{} GiB", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests;
