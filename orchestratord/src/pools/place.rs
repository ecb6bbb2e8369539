//! Where a pool's replicas go, and how much context they get there: the devices it may use, what the model needs, what
//! is free.
//!
//! Rules: ORCH-DEV-1, ORCH-DEV-3, ORCH-DEV-9, ORCH-DEV-10

use std::path::Path;

use config_schema::{CtxChoice, DeviceChoice, DevicesChoice, PoolConfig, PoolModel};
use engine_api::{Device, EngineFactory, MemoryEstimate, ReplicaSpec};
use orchestrator_core::{PoolId, ReplicaId, TokenCount};
use pool_manager::fit::{CtxRequest, DeviceCandidate, FitQuery, Need, ReplicaSite};
use pool_manager::{Fit, Holding, LedgerView, Placement, Reservation, Snapshot};

use super::PoolContext;
use super::fetch::ModelFile;
use super::load_options;
use super::resources::PoolResources;
use crate::engine::Offload;

/// Replicas that have been promised their memory.
pub(super) struct Plan {
    pub(super) specs: Vec<ReplicaSpec>,
    pub(super) reservation: Reservation,
    pub(super) placements: Vec<Placement>,
}

/// No device has room.
pub(super) struct Short {
    pub(super) fit: Fit,
    pub(super) devices: Vec<Device>,
}

impl PoolResources {
    /// The devices the pool may use, the emptiest first, with what the model needs on each.
    pub(super) async fn candidates(&self, model: &PoolModel, file: &ModelFile) -> Vec<DeviceCandidate> {
        let devices = if self.is_attached() {
            vec![Device::Cpu]
        } else {
            devices(&self.config.devices, &(self.context.memory.devices)(), self.context.offload)
        };
        let engines = self.engines(model);
        let mut candidates = Vec::with_capacity(devices.len());
        for device in devices {
            let need = self.need(&*engines, file, &device).await;
            candidates.push(DeviceCandidate { device, need, free_bytes: None, usable_bytes: None });
        }
        candidates
    }

    /// Finds a place for each replica, and notes in the ledger what they will take; as if the replicas `ending`
    /// had given their memory back already.
    pub(super) fn plan(
        &self,
        file: &ModelFile,
        candidates: Vec<DeviceCandidate>,
        ending: &[ReplicaId],
    ) -> Result<Plan, Short> {
        let PoolContext { memory, pool, .. } = &self.context;
        let (mut specs, mut placements) = (Vec::new(), Vec::new());
        let taken = memory.ledger.reserve(&(memory.devices)(), ending, |view| {
            let fit = self.fit(candidates, view);
            if fit.sites.is_empty() {
                return Err(fit);
            }
            let names = new_names(pool, view);
            let holdings = names.zip(fit.sites).map(|(replica, site)| {
                let mut spec = self.spec(replica.clone(), &file.path, site.device.clone());
                if let Some(context) = site.context {
                    spec.ctx = Some(context.ctx);
                    spec.kv_cells = Some(context.kv_cells);
                }
                specs.push(spec);
                let ReplicaSite { device, expected_bytes, .. } = site;
                Holding { replica, device, expected_bytes, measured_bytes: None }
            });
            let holdings = holdings.collect();
            placements = fit.placements;
            Ok((holdings, ()))
        });
        let (reservation, ()) = taken.map_err(|fit| {
            let devices = fit.placements.iter().map(|placement| placement.device.clone()).collect();
            Short { fit, devices }
        })?;
        for placement in &placements {
            let (device, reason) = (&placement.device, &placement.why);
            if placement.fits {
                tracing::info!(%pool, %device, reason, "replica placed");
            } else {
                tracing::warn!(%pool, %device, reason, "no replica");
            }
        }
        if self.is_attached() {
            placements.clear();
        }
        Ok(Plan { specs, reservation, placements })
    }

    /// Whether the model would have at least twice the context if the replicas `ending` had given their memory back.
    pub(super) fn gains_context(&self, candidates: &[DeviceCandidate], ending: &[ReplicaId]) -> bool {
        let memory = &self.context.memory;
        let least = |ending: &[ReplicaId]| {
            let fit =
                memory.ledger.look(&(memory.devices)(), ending, |view| self.fit(candidates.to_vec(), view));
            fit.sites.iter().filter_map(|site| site.context).map(|context| context.ctx.0).min()
        };
        !ending.is_empty() && least(&[]).zip(least(ending)).is_some_and(|(beside, alone)| alone / 2 >= beside)
    }

    fn fit(&self, mut candidates: Vec<DeviceCandidate>, view: &LedgerView<'_>) -> Fit {
        let PoolContext { memory, pool, residents, .. } = &self.context;
        memory.note_room(&mut candidates, view);
        let ctx = ctx_request(&self.config);
        let others = residents.others(pool, |other| view.holds(other));
        let query =
            FitQuery { candidates, replicas: self.config.replicas, ctx, slots: self.config.slots, others };
        let mut fit = query.answer();
        if let Some(note) = load_options::note(&self.config.options) {
            for placement in &mut fit.placements {
                placement.why.push_str(&format!("\n{note}"));
            }
        }
        fit
    }

    fn spec(&self, replica: ReplicaId, file: &Path, device: Device) -> ReplicaSpec {
        spec_of(&self.config, replica, file, device)
    }

    /// What a replica needs on a device. A model that cannot be estimated is loaded all the same: its load
    /// says better what is wrong with it.
    async fn need(&self, engines: &dyn EngineFactory, file: &ModelFile, device: &Device) -> Option<Need> {
        if let Some(need) = self.estimates.of(file, device) {
            return need;
        }
        match engines.estimate(spec_to_estimate(&self.config, &file.path, device.clone())).await {
            Ok(estimate) => {
                let need = estimate.map(need_of);
                self.warn_of_lowered_ctx(need);
                self.estimates.keep(file, device, need);
                need
            }
            Err(error) => {
                tracing::debug!(pool = %self.config.id, %error, "the model's need could not be estimated");
                None
            }
        }
    }
}

impl PoolResources {
    /// Says that the model was trained with less context than the configuration asks for.
    fn warn_of_lowered_ctx(&self, need: Option<Need>) {
        let asked = self.config.ctx.and_then(CtxChoice::tokens);
        if let (Some(asked), Some(Need { ctx: trained, .. })) = (asked, need)
            && trained < asked
        {
            tracing::warn!(
                pool = %self.config.id, asked = asked.0, trained_with = trained.0,
                "`ctx` lowered to what the model was trained with"
            );
        }
    }
}

fn spec_of(config: &PoolConfig, replica: ReplicaId, file: &Path, device: Device) -> ReplicaSpec {
    ReplicaSpec {
        replica,
        model: file.to_owned(),
        ctx: config.ctx.and_then(CtxChoice::tokens),
        kv_cells: None,
        slots: config.slots,
        threads: config.threads,
        device,
        gpu_layers: config.gpu_layers,
        options: load_options::of(&config.options),
    }
}

/// A replica of the pool as the engine is asked what it would need. It is never started.
pub(crate) fn spec_to_estimate(config: &PoolConfig, file: &Path, device: Device) -> ReplicaSpec {
    let mut spec = spec_of(config, ReplicaId { pool: config.id.clone(), index: 0 }, file, device);
    if config.ctx == Some(CtxChoice::Max) {
        spec.ctx = Some(TokenCount(u32::MAX));
    }
    spec
}

/// How much context the pool asks for.
pub(crate) const fn ctx_request(config: &PoolConfig) -> CtxRequest {
    match config.ctx {
        None => CtxRequest::Auto,
        Some(_) if config.fit_ctx => CtxRequest::AtMost,
        Some(_) => CtxRequest::Exact,
    }
}

/// Names that no replica of the pool bears: the lowest numbers.
fn new_names<'a>(pool: &'a PoolId, view: &'a LedgerView<'_>) -> impl Iterator<Item = ReplicaId> + 'a {
    let names = (0..=u16::MAX).map(|index| ReplicaId { pool: pool.clone(), index });
    names.filter(|name| !view.knows(name))
}

pub(crate) fn need_of(estimate: MemoryEstimate) -> Need {
    let all = estimate.weights_bytes + estimate.compute_bytes + estimate.kv_bytes;
    let growing = estimate.bytes_per_token.saturating_mul(u64::from(estimate.kv_cells.0));
    Need {
        fixed_bytes: all.saturating_sub(growing),
        bytes_per_token: estimate.bytes_per_token,
        ctx: estimate.ctx,
    }
}

/// The devices a pool may use, the one with the most free memory first. A card that is named and not there
/// is still named: the engine's start says so, and goes on trying.
pub(crate) fn devices(choice: &DevicesChoice, found: &Snapshot, offload: Offload) -> Vec<Device> {
    match choice {
        DevicesChoice::Listed(devices) => devices.iter().map(|device| named(device, found)).collect(),
        DevicesChoice::Auto => match offload {
            Offload::None => vec![Device::Cpu],
            Offload::Own => vec![Device::Gpu { uuid: String::new(), index: 0 }],
            Offload::Nvidia => by_free_memory(found),
        },
    }
}

fn named(choice: &DeviceChoice, found: &Snapshot) -> Device {
    let find = |wanted: &dyn Fn(&str, u32) -> bool| {
        found.devices.iter().map(|reading| &reading.device).find_map(|device| match device {
            Device::Gpu { uuid, index } if wanted(uuid, *index) => Some(device.clone()),
            Device::Gpu { .. } | Device::Cpu => None,
        })
    };
    match choice {
        DeviceChoice::Cpu => Device::Cpu,
        DeviceChoice::GpuIndex(wanted) => find(&|_, index| index == *wanted)
            .unwrap_or_else(|| Device::Gpu { uuid: String::new(), index: *wanted }),
        DeviceChoice::GpuUuid(wanted) => {
            find(&|uuid, _| uuid == wanted).unwrap_or_else(|| Device::Gpu { uuid: wanted.clone(), index: 0 })
        }
    }
}

/// The cards, the one with the most free memory first; the processor where there is none.
fn by_free_memory(found: &Snapshot) -> Vec<Device> {
    let mut cards: Vec<_> =
        found.devices.iter().filter(|card| card.device != Device::Cpu && card.memory.is_some()).collect();
    cards.sort_by_key(|card| std::cmp::Reverse(card.memory.map_or(0, |memory| memory.free_bytes)));
    let cards: Vec<Device> = cards.into_iter().map(|card| card.device.clone()).collect();
    if cards.is_empty() { vec![Device::Cpu] } else { cards }
}

#[cfg(test)]
mod tests;
