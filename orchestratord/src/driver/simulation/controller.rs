//! Controllers of pools in a simulation: they keep to the contract of [`crate::pool_protocol`], and their work fails as the
//! scenario has it. And the faults of engines.

use std::collections::VecDeque;
use std::time::Duration;

use engine_api::{Device, EngineKind, ExitReason, StartError};
use orchestrator_core::{Millis, PoolId, ReplicaId};
use pool_manager::{Breaker, DownReason, ReplicaEvent, ReplicaEventKind, SelfTest};
use tokio::sync::oneshot;

use super::engine::{EngineId, EngineMode, SimEngine};
use super::scenario::{LoadFate, Operation, ReloadFate};
use super::world::{Happening, World};
use crate::driver::Event;
use crate::pool_protocol::{Order, PoolEvent, PoolKey, Rollback, RollbackCode, Swapped};

/// A controller's next step. One of an earlier generation was canceled.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    /// The file is fetched; and then loaded, unless this is the start of a pool that is loaded on demand.
    Fetch { load: bool },
    /// There is room, or not.
    Room,
    /// The new model of a reload has been tried.
    Tried(ReloadFate),
    /// The models have changed places, or the old one gets its place back.
    InPlace(ReloadFate),
    /// All replicas are gone.
    Unloaded,
    /// A replica is started.
    Start(u16),
    /// The controller has ended, unless it waits for replicas.
    Closed,
}

/// Replicas of one controller have numbers of their own, so that none of a later pool of its name has the same.
const NUMBERS: u16 = 256;

/// How far its end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// It takes orders.
    Open,
    /// Its orders have ended.
    Closing,
    /// It has ended.
    Closed,
}

/// A controller.
pub(super) struct Controller {
    pub(super) key: PoolKey,
    pub(super) id: PoolId,
    pub(super) orders: VecDeque<Order>,
    pub(super) reload_fates: VecDeque<ReloadFate>,
    /// How the next load goes.
    load_fate: LoadFate,
    generation: u64,
    /// A reload that is under way, and whether a load was before it.
    reloading: Option<ReloadFate>,
    /// A load that has not begun to start replicas.
    loading: Option<bool>,
    /// An unload that is under way.
    unloading: bool,
    pub(super) phase: Phase,
    replicas: Vec<ReplicaId>,
    /// What tells that the replicas which give their place up are idle.
    held: Option<(oneshot::Receiver<()>, ReloadFate)>,
    /// Replicas that gave their place up, and get it back where the new model fails.
    displaced: Vec<ReplicaId>,
    /// What tells that replicas which others have taken the place of are idle.
    outgoing: Vec<(oneshot::Receiver<()>, Vec<ReplicaId>)>,
    count: u16,
    next_index: u16,
}

impl Controller {
    pub(super) fn new(key: PoolKey, id: PoolId, place: usize, count: u16) -> Self {
        Self {
            key,
            id,
            orders: VecDeque::new(),
            reload_fates: VecDeque::new(),
            load_fate: LoadFate::Good,
            generation: 0,
            reloading: None,
            loading: None,
            unloading: false,
            phase: Phase::Open,
            replicas: Vec::new(),
            held: None,
            displaced: Vec::new(),
            outgoing: Vec::new(),
            count,
            next_index: u16::try_from(place).expect("few pools") * NUMBERS,
        }
    }

    fn new_names(&mut self) -> Vec<ReplicaId> {
        let first = self.next_index;
        self.next_index += self.count;
        (first..self.next_index).map(|index| ReplicaId { pool: self.id.clone(), index }).collect()
    }
}

impl World {
    pub(super) fn begin_controller(&mut self, pool: usize) {
        let load = self.rng.bool();
        self.controllers[pool].loading = Some(load);
        self.step_within(pool, 3000, Step::Fetch { load });
    }

    fn step_within(&mut self, pool: usize, ms: u64, step: Step) {
        let generation = self.controllers[pool].generation;
        self.within(ms, Happening::Controller { pool, generation, step });
    }

    /// Takes up orders, and what replicas have been waited for.
    pub(super) fn poll_signals(&mut self) {
        for pool in 0..self.controllers.len() {
            // Orders wait while replicas end, as they do in a controller.
            while !self.controllers[pool].unloading
                && let Some(order) = self.controllers[pool].orders.pop_front()
            {
                self.order(pool, &order);
            }
            if let Some((mut idle, fate)) = self.controllers[pool].held.take() {
                match idle.try_recv() {
                    Ok(()) => {
                        let old = std::mem::take(&mut self.controllers[pool].replicas);
                        old.iter().for_each(|replica| self.end_replica(replica));
                        self.controllers[pool].displaced = old;
                        self.step_within(pool, 2000, Step::InPlace(fate));
                    }
                    Err(oneshot::error::TryRecvError::Empty) => {
                        self.controllers[pool].held = Some((idle, fate))
                    }
                    Err(oneshot::error::TryRecvError::Closed) => panic!("a signal was dropped"),
                }
            }
            for (mut idle, old) in std::mem::take(&mut self.controllers[pool].outgoing) {
                match idle.try_recv() {
                    Ok(()) => old.iter().for_each(|replica| self.end_replica(replica)),
                    Err(oneshot::error::TryRecvError::Empty) => {
                        self.controllers[pool].outgoing.push((idle, old))
                    }
                    Err(oneshot::error::TryRecvError::Closed) => panic!("a signal was dropped"),
                }
            }
        }
    }

    fn order(&mut self, pool: usize, order: &Order) {
        let controller = &mut self.controllers[pool];
        match order {
            Order::SetDemand(_) => {}
            Order::Load | Order::Preload => {
                assert!(controller.replicas.is_empty() && !controller.unloading, "a load of what is loaded");
                controller.loading = Some(true);
                self.step_within(pool, 200, Step::Fetch { load: true });
            }
            Order::Unload => {
                controller.generation += 1;
                controller.unloading = true;
                controller.loading = None;
                controller.held = None;
                let canceled = controller.reloading.take().is_some();
                for replica in std::mem::take(&mut self.controllers[pool].replicas) {
                    self.end_replica(&replica);
                }
                self.step_within(pool, 500, Step::Unloaded);
                if canceled {
                    self.event(pool, PoolEvent::ReloadOver(Err(rollback())));
                }
            }
            Order::Reload(order) if order.options.is_some() && controller.replicas.is_empty() => {
                let adopted =
                    PoolEvent::Adopted { model_ref: "other".to_owned(), engine: EngineKind::Llamacpp };
                self.event(pool, adopted);
                self.event(pool, PoolEvent::ReloadOver(Ok("other".to_owned())));
            }
            Order::CancelReload => {
                if controller.reloading.is_some() {
                    controller.generation += 1;
                    controller.held = None;
                    let displaced = std::mem::take(&mut controller.displaced);
                    if !displaced.is_empty() {
                        self.open(pool, displaced);
                    }
                    self.reload_over(pool, false);
                }
            }
            Order::Reload(_) => {
                let fate = controller.reload_fates.pop_back().unwrap_or(ReloadFate::Beside);
                controller.reload_fates.clear();
                controller.generation += u64::from(controller.loading.is_some());
                controller.reloading = Some(fate);
                self.step_within(pool, 3000, Step::Tried(fate));
            }
        }
    }

    /// A pool is gone from the driver: its controller ends what it has.
    pub(super) fn close_controller(&mut self, pool: usize) {
        let controller = &mut self.controllers[pool];
        controller.generation += 1;
        controller.phase = Phase::Closing;
        controller.orders.clear();
        (controller.loading, controller.held) = (None, None);
        let canceled = controller.reloading.take().is_some();
        for replica in std::mem::take(&mut self.controllers[pool].replicas) {
            self.end_replica(&replica);
        }
        if canceled {
            self.event(pool, PoolEvent::ReloadOver(Err(rollback())));
        }
        self.step_within(pool, 500, Step::Closed);
    }

    /// What a controller reports goes through a channel.
    fn event(&mut self, pool: usize, event: PoolEvent) {
        self.at(self.now_ms, Happening::Event(Event::Pool(self.controllers[pool].key, event)));
    }

    fn replica_event(&mut self, replica: &ReplicaId, kind: ReplicaEventKind) {
        let event = PoolEvent::Replica(ReplicaEvent { replica: replica.clone(), kind });
        let key = self.controllers[self.pool_of(replica)].key;
        self.at(self.now_ms, Happening::Event(Event::Pool(key, event)));
    }

    pub(super) fn controller_step(&mut self, pool: usize, generation: u64, step: Step) {
        if let Step::Start(index) = step {
            return self.start_replica(&ReplicaId { pool: self.controllers[pool].id.clone(), index });
        }
        let controller = &mut self.controllers[pool];
        if controller.generation != generation {
            return;
        }
        match step {
            Step::Fetch { load } => {
                if let LoadFate::FetchFails(times @ 1..) = controller.load_fate {
                    controller.load_fate = LoadFate::FetchFails(times - 1);
                    let retry_in = Duration::from_secs(1);
                    self.event(pool, PoolEvent::FetchFailed { why: "no network".to_owned(), retry_in });
                    return self.step_within(pool, 2000, Step::Fetch { load });
                }
                if load {
                    return self.step_within(pool, 100, Step::Room);
                }
                controller.loading = None;
                self.event(pool, PoolEvent::Unloaded);
            }
            Step::Room => {
                if let LoadFate::NoRoom(times @ 1..) = controller.load_fate {
                    controller.load_fate = LoadFate::NoRoom(times - 1);
                    let devices = vec![Device::Cpu];
                    self.event(
                        pool,
                        PoolEvent::NoRoom { why: "too large".to_owned(), devices, never: false },
                    );
                    return self.step_within(pool, 1000, Step::Room);
                }
                controller.loading = None;
                let names = controller.new_names();
                self.open(pool, names);
            }
            Step::Tried(fate) => self.tried(pool, fate),
            Step::InPlace(ReloadFate::InPlace) => self.swap(pool),
            Step::InPlace(_) => {
                let names = std::mem::take(&mut controller.displaced);
                self.open(pool, names);
                self.reload_over(pool, false);
            }
            Step::Unloaded => {
                controller.unloading = false;
                self.event(pool, PoolEvent::Unloaded);
            }
            Step::Closed if controller.outgoing.is_empty() => {
                controller.phase = Phase::Closed;
                self.event(pool, PoolEvent::Closed);
            }
            Step::Closed => self.step_within(pool, 500, Step::Closed),
            Step::Start(_) => unreachable!("handled before"),
        }
    }

    fn open(&mut self, pool: usize, names: Vec<ReplicaId>) {
        let started = names.iter().map(|name| (name.clone(), Device::Cpu)).collect();
        self.event(pool, PoolEvent::Starting(started));
        for name in &names {
            self.step_within(pool, 2000, Step::Start(name.index));
        }
        self.controllers[pool].replicas = names;
    }

    fn tried(&mut self, pool: usize, fate: ReloadFate) {
        let loaded = !self.controllers[pool].replicas.is_empty();
        match fate {
            ReloadFate::Fails => self.reload_over(pool, false),
            ReloadFate::FailsInPlace if !loaded => self.reload_over(pool, false),
            ReloadFate::Beside => self.swap(pool),
            ReloadFate::InPlace if !loaded => self.swap(pool),
            ReloadFate::InPlace | ReloadFate::FailsInPlace => {
                let (signal, idle) = oneshot::channel();
                self.controllers[pool].held = Some((idle, fate));
                self.event(pool, PoolEvent::PauseDispatch(signal));
            }
        }
    }

    fn swap(&mut self, pool: usize) {
        let names = self.controllers[pool].new_names();
        let (old_idle, idle) = oneshot::channel();
        let replicas = names
            .iter()
            .map(|replica| {
                let id = self.new_engine(replica);
                let engine = self.engines[&id].handle.clone();
                Swapped { replica: replica.clone(), device: Device::Cpu, engine, self_test: self_test() }
            })
            .collect();
        let old = std::mem::replace(&mut self.controllers[pool].replicas, names);
        self.controllers[pool].outgoing.push((idle, old));
        self.controllers[pool].loading = None;
        self.controllers[pool].displaced.clear();
        self.event(
            pool,
            PoolEvent::Swapped {
                model_ref: "other".to_owned(),
                engine: EngineKind::Llamacpp,
                replicas,
                old_idle,
            },
        );
        self.reload_over(pool, true);
    }

    fn reload_over(&mut self, pool: usize, good: bool) {
        self.controllers[pool].reloading = None;
        let outcome = if good { Ok("other".to_owned()) } else { Err(rollback()) };
        self.event(pool, PoolEvent::ReloadOver(outcome));
        // What the reload interrupted goes on.
        if !good && let Some(load) = self.controllers[pool].loading {
            self.step_within(pool, 1000, Step::Fetch { load });
        }
    }

    fn new_engine(&mut self, replica: &ReplicaId) -> EngineId {
        let id = EngineId::try_from(self.engines.len()).expect("few engines");
        self.engines.insert(id, SimEngine::new(id, replica.clone(), self.slots));
        id
    }

    /// A supervisor starts its replica, unless that was ended meanwhile.
    fn start_replica(&mut self, replica: &ReplicaId) {
        let pool = self.pool_of(replica);
        let controller = &mut self.controllers[pool];
        if !controller.replicas.contains(replica) || self.engine_of(replica).is_some() {
            return;
        }
        let controller = &mut self.controllers[pool];
        match controller.load_fate {
            LoadFate::StartFails(times @ 1..) => {
                controller.load_fate = LoadFate::StartFails(times - 1);
                self.back_off(replica, DownReason::LoadTimeout(Duration::from_secs(1)));
            }
            LoadFate::Broken => {
                controller.load_fate = LoadFate::Good;
                let error = StartError::Model("the file is broken".to_owned());
                self.replica_event(
                    replica,
                    ReplicaEventKind::Failed { error, retry_in: Duration::from_secs(5) },
                );
                self.step_within(pool, 5000, Step::Start(replica.index));
            }
            _ => {
                self.replica_event(replica, ReplicaEventKind::Starting { progress: 0.5 });
                let id = self.new_engine(replica);
                let engine = self.engines[&id].handle.clone();
                self.replica_event(replica, ReplicaEventKind::Ready { engine, self_test: self_test() });
            }
        }
    }

    fn back_off(&mut self, replica: &ReplicaId, reason: DownReason) {
        let delay = Duration::from_millis(self.rng.u64(100..8000));
        let breaker = if self.rng.bool() { Breaker::Open } else { Breaker::Closed };
        let pool = self.pool_of(replica);
        self.replica_event(replica, ReplicaEventKind::BackingOff { delay, attempt: 1, breaker, reason });
        let generation = self.controllers[pool].generation;
        let at = self.now_ms + u64::try_from(delay.as_millis()).expect("short");
        self.at(at, Happening::Controller { pool, generation, step: Step::Start(replica.index) });
    }

    /// A supervisor has seen its engine die.
    pub(super) fn replica_died(&mut self, replica: &ReplicaId) {
        self.replica_event(replica, ReplicaEventKind::Gone { reason: ExitReason::Signal(9) });
        let pool = self.pool_of(replica);
        if self.controllers[pool].replicas.contains(replica) {
            self.back_off(replica, DownReason::Gone(ExitReason::Signal(9)));
        }
    }

    /// A supervisor ends its replica.
    fn end_replica(&mut self, replica: &ReplicaId) {
        let Some(id) = self.engine_of(replica) else { return };
        let engine = self.engines.get_mut(&id).expect("just found");
        let works = engine.mode != EngineMode::Hung;
        assert!(engine.busy() == 0 || !works || self.stopping, "{replica} is ended with tasks in it");
        engine.mode = EngineMode::Dead;
        self.replica_event(replica, ReplicaEventKind::Gone { reason: ExitReason::Stopped });
    }

    fn engine_of(&self, replica: &ReplicaId) -> Option<EngineId> {
        let alive = |engine: &SimEngine| engine.replica == *replica && engine.mode != EngineMode::Dead;
        self.engines.iter().find(|(_, engine)| alive(engine)).map(|(id, _)| *id)
    }

    fn pool_of(&self, replica: &ReplicaId) -> usize {
        (replica.index / NUMBERS).into()
    }

    /// Something goes wrong.
    pub(super) fn fault(&mut self, fault: &Operation) {
        if let Operation::Next { pool, load } = fault {
            let pool = self.last(*pool);
            self.controllers[pool].load_fate = *load;
            return;
        }
        let (Operation::Crash { pool, replica }
        | Operation::Hang { pool, replica }
        | Operation::Stall { pool, replica }
        | Operation::Slow { pool, replica }
        | Operation::Refuse { pool, replica, .. }
        | Operation::Fail { pool, replica }) = fault
        else {
            unreachable!("no fault: {fault:?}")
        };
        let Some(name) = self.controllers[self.last(*pool)].replicas.get(*replica).cloned() else { return };
        let Some(id) = self.engine_of(&name) else { return };
        let engine = self.engines.get_mut(&id).expect("just found");
        match fault {
            Operation::Crash { .. } => self.die(id, false),
            Operation::Hang { .. } => engine.mode = EngineMode::Hung,
            Operation::Stall { .. } => {
                if let Some(run) = engine.runs.values_mut().next() {
                    run.stalled_at = Some(self.now_ms);
                }
            }
            Operation::Slow { .. } => engine.slowness = 20,
            Operation::Refuse { ms, .. } if engine.mode == EngineMode::Working => {
                engine.mode = EngineMode::Refusing;
                let reason = "answers 503".to_owned();
                self.replica_event(&name, ReplicaEventKind::Suspended { reason });
                let at = self.now_ms + ms;
                self.at(at, Happening::Resumes(id));
            }
            Operation::Fail { .. } => engine.fails_next = true,
            _ => {}
        }
    }

    pub(super) fn resume(&mut self, id: EngineId) {
        let engine = self.engines.get_mut(&id).expect("an engine stays in the world");
        if engine.mode == EngineMode::Refusing {
            engine.mode = EngineMode::Working;
            let replica = engine.replica.clone();
            self.replica_event(&replica, ReplicaEventKind::Resumed);
        }
    }
}

fn rollback() -> Rollback {
    Rollback { code: RollbackCode::EngineFailed, message: "it did not work".to_owned() }
}

fn self_test() -> SelfTest {
    SelfTest {
        prefill_tps: 1000.0,
        decode_tps: Some(30.0),
        batched: None,
        first_token_ms: Millis(10),
        took: Duration::from_millis(600),
    }
}
