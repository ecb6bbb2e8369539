//! Where a pool's replicas go: the devices it may use, what the model needs there, what is free.

use std::path::Path;

use adapter_api::{Device, EngineFactory, MemoryEstimate, ReplicaSpec};
use config_schema::{DeviceChoice, DevicesChoice, PoolModel, ServerSource};
use orchestrator_core::ReplicaId;
use pool_manager::fit::{FitQuery, Need, Site};
use pool_manager::{Fit, Holding, Placement, Reservation, Snapshot};

use super::keep::Keeper;
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

impl Keeper {
    /// Finds a place for each replica, and notes in the ledger what they will take.
    pub(super) async fn plan(&self, model: &PoolModel, file: &Path) -> Result<Plan, Short> {
        self.plan_beside(model, file, &[]).await
    }

    /// The same, as if `ending` had given its memory back already.
    pub(super) async fn plan_beside(
        &self,
        model: &PoolModel,
        file: &Path,
        ending: &[Holding],
    ) -> Result<Plan, Short> {
        let engines = (self.means.engines)(model);
        let devices = if self.is_attached() {
            vec![Device::Cpu]
        } else {
            devices(&self.pool.devices, &(self.means.devices)(), self.means.offload)
        };
        let mut sites = Vec::with_capacity(devices.len());
        for device in &devices {
            let need = self.need(&*engines, file, device).await;
            sites.push(Site { device: device.clone(), need, free_bytes: None });
        }
        let _turn = std::sync::Arc::clone(&self.means.reckoning).lock_owned().await;
        let snapshot = (self.means.devices)();
        for site in &mut sites {
            site.free_bytes = self.free_bytes(&site.device, &snapshot, ending);
        }
        let fit = FitQuery { sites, replicas: self.pool.replicas, may_lower_ctx: self.pool.fit_ctx }.answer();
        if fit.seats.is_empty() {
            return Err(Short { fit, devices });
        }
        let names = self.new_names(fit.seats.len());
        let seats = names.into_iter().zip(fit.seats);
        let (mut specs, mut holdings) = (Vec::new(), Vec::new());
        for (replica, seat) in seats {
            let mut spec = self.spec(replica.clone(), file, seat.device.clone());
            spec.ctx = seat.lowered_ctx.or(spec.ctx);
            holdings.push(Holding {
                replica,
                device: seat.device,
                expected_bytes: seat.expected_bytes,
                measured_bytes: None,
            });
            specs.push(spec);
        }
        for placement in fit.placements.iter().filter(|placement| !placement.fits) {
            tracing::warn!(pool = %self.pool.id, device = %placement.device, reason = placement.why, "no replica");
        }
        let placements = if self.is_attached() { Vec::new() } else { fit.placements };
        Ok(Plan { specs, reservation: self.means.ledger.hold(holdings), placements })
    }

    /// Whether its server is started and ended by somebody else: then its memory is no concern of this one.
    fn is_attached(&self) -> bool {
        let source = self.pool.server.as_ref().map(|server| &server.source);
        matches!(source, Some(ServerSource::Urls(_)))
    }

    fn spec(&self, replica: ReplicaId, file: &Path, device: Device) -> ReplicaSpec {
        ReplicaSpec {
            replica,
            model: file.to_owned(),
            ctx: self.pool.ctx,
            slots: self.pool.slots,
            threads: self.pool.threads,
            device,
            gpu_layers: self.pool.gpu_layers,
        }
    }

    /// What a replica needs on a device. A model that cannot be reckoned is loaded all the same: its load
    /// says better what is wrong with it.
    async fn need(&self, engines: &dyn EngineFactory, file: &Path, device: &Device) -> Option<Need> {
        let replica = ReplicaId { pool: self.pool.id.clone(), index: 0 };
        match engines.estimate(self.spec(replica, file, device.clone())).await {
            Ok(estimate) => estimate.map(need_of),
            Err(error) => {
                tracing::debug!(pool = %self.pool.id, %error, "the model's need could not be reckoned");
                None
            }
        }
    }

    fn free_bytes(&self, device: &Device, snapshot: &Snapshot, ending: &[Holding]) -> Option<u64> {
        let free = snapshot.of(device)?.memory?.free_bytes;
        let back = ending.iter().filter(|holding| holding.device == *device);
        let back: u64 = back.filter_map(|holding| holding.measured_bytes.or(holding.expected_bytes)).sum();
        let unseen = self.means.ledger.unseen_bytes(device, snapshot.readings);
        Some((free + back).saturating_sub(unseen).saturating_sub(self.means.margin_bytes))
    }
}

fn need_of(estimate: MemoryEstimate) -> Need {
    Need {
        fixed_bytes: estimate.weights_bytes + estimate.compute_bytes,
        kv_bytes: estimate.kv_bytes,
        ctx: estimate.ctx,
    }
}

/// The devices a pool may use, the one with the most free memory first. A card that is named and not there
/// is still named: the engine's start says so, and goes on trying.
pub(super) fn devices(choice: &DevicesChoice, found: &Snapshot, offload: Offload) -> Vec<Device> {
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
