//! What happens in a simulation: operations at random times, made from a seed.

use std::time::Duration;

use fastrand::Rng;
use orchestrator_core::{KeepAlive, Priority};

use crate::protocol::StayChange;

/// The last operation comes before this.
pub(super) const END_MS: u64 = 60_000;

/// A simulation from outside.
#[derive(Clone, Debug)]
pub(super) struct Scenario {
    /// What chance in the simulation itself is made from.
    pub(super) seed: u64,
    /// How many pools there are.
    pub(super) pools: usize,
    /// Replicas of each pool.
    pub(super) replicas: u16,
    /// Slots of each replica.
    pub(super) slots: u16,
    /// The operations, each at its time.
    pub(super) operations: Vec<(u64, Operation)>,
}

/// Something that somebody does, or that goes wrong.
#[derive(Clone, Debug)]
pub(super) enum Operation {
    /// A client submits a task.
    Submit(Submission),
    /// A client cancels the `nth` task from the last one, or has gone.
    Cancel { nth: usize },
    /// The engine of a replica dies.
    Crash { pool: usize, replica: usize },
    /// The engine of a replica stops, with all that is in it.
    Hang { pool: usize, replica: usize },
    /// One stream of a replica stops, and its neighbours go on.
    Stall { pool: usize, replica: usize },
    /// The engine of a replica takes twenty times as long for what is given to it from here on.
    Slow { pool: usize, replica: usize },
    /// The engine of a replica refuses work for so long.
    Refuse { pool: usize, replica: usize, ms: u64 },
    /// The engine of a replica fails with the next task that it gets.
    Fail { pool: usize, replica: usize },
    /// The next fetch or load of a pool goes so.
    Next { pool: usize, load: LoadFate },
    /// An operator changes the model.
    Reload { pool: usize, fate: ReloadFate },
    /// A new configuration has other options for a pool.
    ReloadByConfig { pool: usize, fate: ReloadFate },
    /// A newer one does not.
    CancelConfigReload { pool: usize },
    /// An operator takes the model out of service.
    Retire { pool: usize },
    /// An operator puts it back.
    Activate { pool: usize },
    /// A client or an operator says how long the model stays loaded.
    Stay { pool: usize, change: StayChange },
    /// The configuration is read again, without this pool.
    Remove { pool: usize },
    /// The configuration is read again, with this pool.
    Add { pool: usize },
    /// The daemon is told to stop.
    Stop,
    /// What runs is ended.
    EndRunning,
    /// For the test of the simulation itself.
    BreakAnInvariant,
}

/// A task as a client submits it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Submission {
    pub(super) pool: usize,
    pub(super) priority: Priority,
    /// The conversation that it belongs to.
    pub(super) session: Option<u8>,
    /// Tokens of its prompt.
    pub(super) prompt: u32,
    /// Tokens of its answer.
    pub(super) answer: u32,
    /// How long its prompt is measured.
    pub(super) measure_ms: u64,
}

/// How a load goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LoadFate {
    /// It is loaded.
    Good,
    /// Its file cannot be fetched, so often.
    FetchFails(u8),
    /// There is no room, so often.
    NoRoom(u8),
    /// Its replicas fail to start, so often.
    StartFails(u8),
    /// Its file is broken.
    Broken,
}

/// How a reload goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReloadFate {
    /// The new model takes over beside the old one.
    Beside,
    /// The new model takes the old one's place.
    InPlace,
    /// The new model fails before the old one is touched.
    Fails,
    /// The new model fails in the old one's place, which gets it back.
    FailsInPlace,
}

impl Scenario {
    /// The scenario of a seed.
    pub(super) fn of(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let pools = rng.usize(1..=2);
        let count = rng.usize(5..60);
        // In some, much happens in little time.
        let within_ms = END_MS / rng.u64(1..=10);
        let mut operations: Vec<_> =
            (0..count).map(|_| (rng.u64(0..within_ms), operation(&mut rng, pools))).collect();
        // Some daemons are stopped, and some operations come after that.
        if rng.u8(0..5) == 0 {
            let at = rng.u64(0..END_MS);
            operations.push((at, Operation::Stop));
            operations.push((at + rng.u64(0..END_MS), Operation::EndRunning));
        }
        operations.sort_by_key(|(at, _)| *at);
        Self { seed, pools, replicas: rng.u16(1..=2), slots: rng.u16(1..=3), operations }
    }
}

fn operation(rng: &mut Rng, pools: usize) -> Operation {
    let pool = rng.usize(0..pools);
    let replica = rng.usize(0..2);
    match rng.u8(0..108) {
        0..55 => Operation::Submit(Submission {
            pool,
            priority: if rng.bool() { Priority::Interactive } else { Priority::Batch },
            session: rng.bool().then(|| rng.u8(0..2)),
            prompt: rng.u32(1..2000),
            answer: rng.u32(0..60),
            measure_ms: rng.u64(0..500),
        }),
        55..62 => Operation::Cancel { nth: rng.usize(0..6) },
        62..66 => Operation::Crash { pool, replica },
        66..69 => Operation::Hang { pool, replica },
        69..72 => Operation::Stall { pool, replica },
        72..74 => Operation::Slow { pool, replica },
        74..78 => Operation::Refuse { pool, replica, ms: rng.u64(1..20_000) },
        78..81 => Operation::Fail { pool, replica },
        81..87 => Operation::Next { pool, load: load(rng) },
        87..91 => Operation::Reload { pool, fate: reload(rng) },
        91..94 => Operation::Retire { pool },
        94..96 => Operation::Activate { pool },
        96..98 => Operation::Remove { pool },
        100..102 => Operation::ReloadByConfig { pool, fate: reload(rng) },
        102..104 => Operation::CancelConfigReload { pool },
        104..108 => Operation::Stay { pool, change: stay(rng) },
        _ => Operation::Add { pool },
    }
}

fn stay(rng: &mut Rng) -> StayChange {
    let keep_alive = match rng.u8(0..4) {
        0 => None,
        1 => Some(KeepAlive::Forever),
        2 => Some(KeepAlive::For(Duration::ZERO)),
        _ => Some(KeepAlive::For(Duration::from_millis(rng.u64(0..END_MS)))),
    };
    let pinned = rng.bool().then(|| rng.bool());
    StayChange { keep_alive, pinned, load: rng.bool() }
}

fn load(rng: &mut Rng) -> LoadFate {
    let times = rng.u8(1..5);
    match rng.u8(0..5) {
        0 => LoadFate::Good,
        1 => LoadFate::FetchFails(times),
        2 => LoadFate::NoRoom(times),
        3 => LoadFate::StartFails(times),
        _ => LoadFate::Broken,
    }
}

fn reload(rng: &mut Rng) -> ReloadFate {
    match rng.u8(0..4) {
        0 => ReloadFate::Beside,
        1 => ReloadFate::InPlace,
        2 => ReloadFate::Fails,
        _ => ReloadFate::FailsInPlace,
    }
}
