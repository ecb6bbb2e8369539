//! Whether a model fits the devices of the machine and how much context it gets there, estimated before it is loaded.
//! Pure: what it needs and what is free go in, and the devices of its replicas come out, with the arithmetic in words.
//! How the size of a context is chosen stands in `fit/context.rs`.
//!
//! Rules: ORCH-DEV-3, ORCH-DEV-4, ORCH-DEV-10

use engine_api::Device;
use orchestrator_core::TokenCount;

mod context;

pub use context::{ContextFit, CtxRequest, Need};

/// A device that may take replicas.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceCandidate {
    /// The device.
    pub device: Device,
    /// What a replica needs there; nothing where the engine cannot say before it has loaded.
    pub need: Option<Need>,
    /// Bytes free there, less what other loads will take and the margin; nothing where it cannot be read.
    pub free_bytes: Option<u64>,
    /// Bytes that could ever be free there: all it has, less the margin.
    pub usable_bytes: Option<u64>,
}

/// A question: which devices take the replicas of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct FitQuery {
    /// The devices, in the order in which they are to be taken.
    pub candidates: Vec<DeviceCandidate>,
    /// How many replicas; one on each device that fits when absent.
    pub replicas: Option<u16>,
    /// How much context is asked for.
    pub ctx: CtxRequest,
    /// Sequences that a replica decodes at a time.
    pub slots: u16,
    /// Pools that are not loaded and will want memory of the same devices.
    pub others: usize,
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
    /// The most tokens of a request there; nothing where it does not fit, or the engine does not say what it needs.
    pub ctx: Option<TokenCount>,
    /// The arithmetic in words.
    pub why: String,
}

/// One replica's place.
#[derive(Clone, Debug, PartialEq)]
pub struct ReplicaSite {
    /// Its device.
    pub device: Device,
    /// The size of its context; nothing where the engine does not say what it needs.
    pub context: Option<ContextFit>,
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
    /// Whether it would fit nowhere though nothing else were loaded.
    pub never: bool,
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
        let never = sites.is_empty() && !rooms.is_empty() && rooms.iter().all(Room::is_too_small);
        Fit { sites, placements: rooms.into_iter().map(|room| room.placement(self)).collect(), never }
    }

    /// Parts that the free memory of a device is divided into before a pool takes more of it than it must.
    fn shares(&self) -> u64 {
        let devices = self.candidates.len().max(1);
        let replicas = self.replicas.map_or(1, |replicas| usize::from(replicas).div_ceil(devices)).max(1);
        u64::try_from(replicas.saturating_mul(self.others.saturating_add(1))).unwrap_or(u64::MAX)
    }
}

/// One device while replicas are put on it.
struct Room<'a> {
    candidate: &'a DeviceCandidate,
    query: &'a FitQuery,
    context: Option<ContextFit>,
    left: Option<u64>,
    taken: u16,
}

impl<'a> Room<'a> {
    fn new(candidate: &'a DeviceCandidate, query: &'a FitQuery) -> Self {
        let context =
            candidate.need.and_then(|need| query.context_of(&candidate.device, need, candidate.free_bytes));
        Self { candidate, query, context, left: candidate.free_bytes, taken: 0 }
    }

    fn take(&mut self) -> Option<ReplicaSite> {
        let mut expected_bytes = None;
        if let Some(need) = self.candidate.need {
            let bytes = need.bytes(self.context?.kv_cells);
            // What is not known refuses nothing: the engine's own load is then the judge.
            if let Some(left) = &mut self.left {
                *left = left.checked_sub(bytes)?;
            }
            expected_bytes = Some(bytes);
        }
        self.taken += 1;
        Some(ReplicaSite { device: self.candidate.device.clone(), context: self.context, expected_bytes })
    }

    /// Whether the model would not fit though all of the device were free.
    fn is_too_small(&self) -> bool {
        let DeviceCandidate { device, need, usable_bytes, .. } = self.candidate;
        need.zip(*usable_bytes)
            .is_some_and(|(need, all)| self.query.context_of(device, need, Some(all)).is_none())
    }

    fn placement(self, query: &FitQuery) -> Placement {
        let DeviceCandidate { device, need, free_bytes, .. } = self.candidate;
        let needs_bytes =
            need.map(|need| need.bytes(self.context.map_or(need.ctx, |context| context.kv_cells)));
        let why = match (need, self.context) {
            (None, _) => "the engine does not say what it needs before it has loaded".to_owned(),
            (Some(need), Some(context)) if self.taken > 0 => {
                query.explain(device, *need, context, *free_bytes)
            }
            (Some(need), _) => query.refusal_of(device, *need, free_bytes.unwrap_or(0)),
        };
        let fits = self.taken > 0;
        let ctx = self.context.filter(|_| fits).map(|context| context.ctx);
        Placement { device: device.clone(), fits, needs_bytes, free_bytes: *free_bytes, ctx, why }
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
