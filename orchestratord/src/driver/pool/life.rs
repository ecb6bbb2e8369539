//! The life of a pool's model: fetched, loaded, held back, unloaded.
//!
//! ```text
//! Fetching ──► Unloaded ──a task, preload──► Ordered ──► Started ──hold, idle──► Unloaded
//!    │ ▲                                       │  ▲
//!    ▼ │                                       ▼  │ room
//! FetchFailed                                 NoRoom ──nobody can give any──► NoFit
//! ```
//!
//! A hold keeps new tasks out of every replica. When none is in one any more, the hold is *clear*, and what
//! it was for happens: the keeper unloads, or puts another model in.

use adapter_api::Device;
use orchestrator_core::{Eviction, ReplicaId, Resident, Timestamp};
use std::time::Duration;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::oneshot;

use super::{Phase, Pool};
use crate::health_view::{FetchView, ReloadStage, ReloadView};
use crate::keeper::{Order, PoolEvent, ReloadOrder, ReloadOutcome};
use crate::state::ModelState;

/// What does not fit though nothing else could make room is tried again after this, in case another
/// program has given memory back.
const NO_FIT_RETRY: Duration = Duration::from_secs(30);

/// How often in a row a keeper has to find no room, while nothing else changes, until nobody is taken to be
/// able to give any: the first may have looked before another gave its memory back, and the second at a
/// reading from before that.
const LOOKS_IN_VAIN: u32 = 3;

/// A reload that is under way.
#[derive(Debug)]
pub struct Reloading {
    /// What is shown of it.
    pub view: ReloadView,
    asked: oneshot::Sender<ReloadOutcome>,
}

/// How far a pool has come.
#[derive(Debug)]
pub enum Stage {
    /// The model's file is on its way.
    Fetching {
        /// How far.
        view: FetchView,
        /// Since when.
        since: Timestamp,
    },
    /// It is not, and is tried again.
    FetchFailed {
        /// Why.
        why: String,
        /// When.
        retry_at: Timestamp,
    },
    /// Its file is here, and nothing is loaded.
    Unloaded,
    /// The keeper was told to load it.
    Ordered {
        /// When.
        since: Timestamp,
    },
    /// It waits for others to make room.
    NoRoom {
        /// The reckoning.
        why: String,
        /// Where it could go.
        devices: Vec<Device>,
        /// Since when it was ordered.
        since: Timestamp,
        /// How often in a row there was none.
        looks: u32,
    },
    /// It does not fit, and nobody could make room.
    NoFit {
        /// The reckoning.
        why: String,
        /// When it may be tried again.
        retry_at: Timestamp,
    },
    /// It has replicas.
    Started,
}

/// Why tasks are kept out of the replicas.
#[derive(Debug)]
pub enum Hold {
    /// The model is unloaded once it is idle.
    Unload,
    /// The keeper was told to unload it.
    Unloading,
    /// Another model takes its place once it is idle.
    Swap(oneshot::Sender<()>),
    /// The keeper was told that it is idle.
    Swapping,
}

/// Replicas that finish what they have, and who is told when they have.
#[derive(Debug)]
pub(super) struct Leaving {
    pub(super) replicas: Vec<ReplicaId>,
    pub(super) idle: oneshot::Sender<()>,
}

impl Pool {
    /// Notes news of its life. What is said of a replica is the driver's to hear.
    pub fn heard(&mut self, event: PoolEvent, now: Timestamp) {
        match event {
            PoolEvent::Fetching(view) => {
                let since = match &self.stage {
                    Stage::Fetching { since, .. } => *since,
                    _ => now,
                };
                self.stage = Stage::Fetching { view, since };
            }
            PoolEvent::FetchFailed { why, retry_in } => {
                self.stage = Stage::FetchFailed { why, retry_at: now.after(retry_in) };
            }
            PoolEvent::Unloaded => {
                if !matches!(self.stage, Stage::NoFit { .. }) {
                    self.stage = Stage::Unloaded;
                }
                self.hold = None;
                self.forget_replicas();
                if std::mem::take(&mut self.load_again) && self.state == ModelState::Active {
                    self.order_load(now);
                }
            }
            PoolEvent::Placed(placement) => self.placement = placement,
            PoolEvent::NoRoom { why, devices } => {
                let since = self.load_began().unwrap_or(now);
                let looks = match self.stage {
                    Stage::NoRoom { looks, .. } => looks + 1,
                    _ => 1,
                };
                self.stage = Stage::NoRoom { why, devices, since, looks };
            }
            PoolEvent::Starting(replicas) => self.starting(replicas, now),
            PoolEvent::Swapped { model_ref, replicas, old_idle } => {
                self.setup.model_ref = model_ref;
                self.swapped(replicas, old_idle, now);
            }
            PoolEvent::Hold(idle) => self.begin_hold(Hold::Swap(idle)),
            PoolEvent::Reloading(stage) => {
                if let Some(reload) = &mut self.reloading {
                    reload.view.stage = stage;
                }
            }
            PoolEvent::ReloadOver(outcome) => {
                if let Some(reload) = self.reloading.take() {
                    // Whoever asked may have gone.
                    let _ = reload.asked.send(outcome);
                }
            }
            PoolEvent::Replica(_) => unreachable!("the driver takes news of replicas"),
        }
    }

    /// When the load that is under way began.
    pub(super) fn load_began(&self) -> Option<Timestamp> {
        match &self.stage {
            Stage::Ordered { since } | Stage::NoRoom { since, .. } => Some(*since),
            Stage::Started => {
                let began = self.replicas.values().filter_map(|replica| match replica.phase {
                    Phase::Starting { since, .. } => Some(since),
                    _ => None,
                });
                began.min()
            }
            _ => None,
        }
    }

    /// A task of it has started or ended.
    pub fn used(&mut self, now: Timestamp) {
        self.last_used = now;
    }

    /// Whether it is unloaded and serves whoever asks.
    #[must_use]
    pub fn is_on_demand(&self) -> bool {
        self.state == ModelState::Active
            && matches!(self.stage, Stage::Unloaded | Stage::Ordered { .. } | Stage::NoRoom { .. })
    }

    /// The life's part of what is done after each event.
    pub fn settle_life(&mut self, now: Timestamp) {
        self.settle_leaving();
        self.settle_hold();
        if self.hold.is_some() || self.reloading.is_some() {
            return;
        }
        match (self.state, &self.stage) {
            (ModelState::Retired, Stage::Started) => self.begin_hold(Hold::Unload),
            (ModelState::Retired, Stage::Ordered { .. } | Stage::NoRoom { .. })
                if self.order(Order::Unload) =>
            {
                self.hold = Some(Hold::Unloading);
            }
            (ModelState::Active, Stage::Unloaded) if self.wanted() => self.order_load(now),
            (ModelState::Active, Stage::NoFit { retry_at, .. }) if self.wanted() && *retry_at <= now => {
                self.order_load(now);
            }
            (ModelState::Active, Stage::Started) if self.idle_until().is_some_and(|until| until <= now) => {
                tracing::info!(pool = %self.setup.id, "unloaded: nobody has used it for `idle_unload_s`");
                self.begin_hold(Hold::Unload);
            }
            _ => {}
        }
    }

    /// When its life has something due though nothing happens.
    #[must_use]
    pub fn life_wake(&self) -> Option<Timestamp> {
        match &self.stage {
            Stage::Started if self.hold.is_none() && self.reloading.is_none() => self.idle_until(),
            Stage::NoFit { retry_at, .. } if self.wanted() => Some(*retry_at),
            _ => None,
        }
    }

    fn wanted(&self) -> bool {
        orchestrator_core::Priority::ALL.iter().any(|lane| self.scheduler.depth(*lane) > 0)
    }

    /// When it has been idle long enough to be unloaded; nothing while it is in use.
    fn idle_until(&self) -> Option<Timestamp> {
        let idle = self.any_engine().is_some() && self.scheduler.running() == 0 && !self.wanted();
        let after = self.setup.idle_unload?;
        idle.then(|| self.last_used.max(self.ready_since).after(after))
    }

    /// Loads the model, unless it is loaded.
    pub fn order_load(&mut self, now: Timestamp) {
        if matches!(self.stage, Stage::Unloaded | Stage::NoFit { .. }) && self.order(Order::Load) {
            self.stage = Stage::Ordered { since: now };
        }
    }

    /// Changes the model, and tells `asked` how it went. Whoever hears of it may ask for the next change.
    pub fn order_reload(&mut self, reload: ReloadOrder, asked: oneshot::Sender<ReloadOutcome>) {
        let to = reload.model.to_string();
        if self.order(Order::Reload(reload)) {
            let view = ReloadView { to, stage: ReloadStage::Fetching(None) };
            self.reloading = Some(Reloading { view, asked });
        }
    }

    /// Gives the room back that it waits for, and says why.
    pub fn give_up_room(&mut self, now: Timestamp) {
        if let Stage::NoRoom { why, .. } = &self.stage
            && self.order(Order::Unload)
        {
            self.stage = Stage::NoFit { why: why.clone(), retry_at: now.after(NO_FIT_RETRY) };
        }
    }

    /// Whether it has looked for room often enough to be sure that there is none.
    fn has_looked(&self) -> bool {
        matches!(self.stage, Stage::NoRoom { looks, .. } if looks >= LOOKS_IN_VAIN)
    }

    /// Something has changed: it may find room now.
    fn look_anew(&mut self) {
        if let Stage::NoRoom { looks, .. } = &mut self.stage {
            *looks = 0;
        }
    }

    /// Makes room for another.
    pub fn evict(&mut self) {
        tracing::info!(pool = %self.setup.id, "makes room for another model");
        self.begin_hold(Hold::Unload);
    }

    fn begin_hold(&mut self, hold: Hold) {
        for replica in self.replicas.keys() {
            self.scheduler.replica_retiring(replica);
        }
        self.hold = Some(hold);
        self.settle_hold();
    }

    /// Takes tasks again: at once when nobody was told yet that it does not, else after another load.
    pub fn end_hold(&mut self) {
        self.load_again = matches!(self.hold, Some(Hold::Unloading));
        if matches!(self.hold, Some(Hold::Unload)) {
            self.hold = None;
            for (id, replica) in &self.replicas {
                if matches!(replica.phase, Phase::Ready(_)) {
                    self.scheduler.replica_open(id);
                }
            }
        }
    }

    fn settle_hold(&mut self) {
        if self.scheduler.running() > 0 {
            return;
        }
        self.hold = match self.hold.take() {
            Some(Hold::Unload) if self.order(Order::Unload) => Some(Hold::Unloading),
            Some(Hold::Swap(idle)) => {
                // A keeper that waits no more has ended, and with it the pool.
                let _ = idle.send(());
                Some(Hold::Swapping)
            }
            other => other,
        };
    }

    fn settle_leaving(&mut self) {
        for leaving in std::mem::take(&mut self.leaving) {
            let busy = leaving.replicas.iter().any(|id| self.scheduler.running_on(id).next().is_some());
            if busy {
                self.leaving.push(leaving);
            } else {
                // As above.
                let _ = leaving.idle.send(());
            }
        }
    }

    /// Whether the keeper has got the order. One that has no room is asked again at the next event.
    fn order(&self, order: Order) -> bool {
        match self.orders.try_send(order) {
            Ok(()) => true,
            Err(TrySendError::Full(_)) => {
                tracing::warn!(pool = %self.setup.id, "the pool's keeper is busy: its order waits");
                false
            }
            Err(TrySendError::Closed(_)) => false,
        }
    }

    /// The devices on which it waits for room.
    #[must_use]
    pub fn needs_room(&self) -> Option<&[Device]> {
        match &self.stage {
            Stage::NoRoom { devices, .. } => Some(devices),
            _ => None,
        }
    }

    /// It as one that could make room on one of `devices`.
    #[must_use]
    pub fn as_resident(&self, key: usize, devices: &[Device]) -> Option<Resident<usize>> {
        if self.reloading.is_some() || self.any_engine().is_none() {
            return None;
        }
        let there = self.replicas.values().any(|replica| devices.contains(&replica.device));
        there.then(|| Resident {
            key,
            ready_since: self.ready_since,
            load: self.last_load.unwrap_or(Duration::ZERO),
            last_used: self.last_used,
            in_use: self.scheduler.running() > 0 || self.wanted(),
        })
    }

    /// Whether tasks are kept out of it.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.hold.is_some()
    }

    /// Whether it is about to give memory back, or to take what it has been given.
    fn is_changing(&self) -> bool {
        let loading = self.load_began().is_some() && self.needs_room().is_none();
        self.hold.is_some() || !self.leaving.is_empty() || loading
    }
}

/// Makes room for the pools that wait for it. Returns when the next one can be made, and which pools wait
/// in vain.
pub fn make_room(pools: &mut [Pool], now: Timestamp) -> (Option<Timestamp>, Vec<usize>) {
    let (mut wake, mut in_vain) = (None::<Timestamp>, Vec::new());
    for index in 0..pools.len() {
        let Some(devices) = pools[index].needs_room().map(<[Device]>::to_vec) else { continue };
        let on_its_way = pools.iter().enumerate().any(|(other, pool)| other != index && pool.is_changing());
        if on_its_way {
            pools[index].look_anew();
            continue;
        }
        let residents: Vec<_> = pools
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != index)
            .filter_map(|(other, pool)| pool.as_resident(other, &devices))
            .collect();
        match orchestrator_core::residency::choose(&residents, now) {
            Eviction::Evict(victim) => pools[victim].evict(),
            Eviction::NotBefore(then) => wake = Some(wake.map_or(then, |wake| wake.min(then))),
            Eviction::Nobody if pools[index].has_looked() => in_vain.push(index),
            Eviction::Nobody => {}
        }
    }
    (wake, in_vain)
}
