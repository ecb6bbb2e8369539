//! Figures of the last hours, a minute at a time: what each pool has read and written, how long its tasks waited, how good
//! its predictions were, and how much memory was in use. In memory, and bounded. The driver notes things as they happen;
//! nothing here decides anything.
//!
//! Rules: ORCH-FIG-1

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use orchestrator_core::{Millis, PoolId, Timestamp};
use pool_manager::Snapshot;

/// What one entry stands for.
pub const STEP: Duration = Duration::from_secs(60);

/// Entries that are kept: twelve hours.
pub const MINUTES_KEPT: usize = 720;

/// The minutes there are, the oldest first.
#[derive(Debug, Default)]
pub struct History {
    minutes: VecDeque<Minute>,
}

/// One minute.
#[derive(Clone, Debug, PartialEq)]
struct Minute {
    /// When it began.
    began: Timestamp,
    /// The pools that had something to do.
    pools: BTreeMap<PoolId, PoolMinute>,
    /// The devices whose memory can be read, in their order.
    devices: Vec<DeviceMinute>,
}

/// One pool in one minute.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PoolMinute {
    /// Tokens of prompts whose answer began.
    pub tokens_in: u64,
    /// Tokens of answers.
    pub tokens_out: u64,
    /// Tasks that were given to an engine for the first time.
    pub started: u32,
    /// Tasks that ended with an answer.
    pub ended: u32,
    /// Tasks that failed.
    pub failed: u32,
    /// How long those that started had waited, in all.
    pub waited: Millis,
    /// The longest of these waits.
    pub longest_wait: Millis,
    /// The median error of predicted starts at the last start, as a fraction of the real wait.
    pub prediction_error: Option<f64>,
}

/// One device in one minute.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceMinute {
    /// Its name (`cpu`, `gpu0`).
    pub device: String,
    /// The most bytes of its memory in use.
    pub used_bytes: u64,
    /// Bytes of memory it has.
    pub total_bytes: u64,
}

/// The last hours at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct FiguresView {
    /// The oldest first.
    pub minutes: Vec<MinuteView>,
}

/// One minute at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct MinuteView {
    /// How long ago it began.
    pub age: Millis,
    /// The pools that had something to do.
    pub pools: Vec<(PoolId, PoolMinute)>,
    /// The devices whose memory can be read.
    pub devices: Vec<DeviceMinute>,
}

impl History {
    /// The minutes as they are now.
    pub fn view(&self, now: Timestamp) -> FiguresView {
        let view = |minute: &Minute| MinuteView {
            age: Millis::from_duration(now.since(minute.began)),
            pools: minute.pools.iter().map(|(pool, figures)| (pool.clone(), figures.clone())).collect(),
            devices: minute.devices.clone(),
        };
        FiguresView { minutes: self.minutes.iter().map(view).collect() }
    }

    /// A task was given to an engine for the first time.
    pub fn started(&mut self, pool: &PoolId, waited: Millis, prediction_error: Option<f64>, now: Timestamp) {
        let entry = self.pool(pool, now);
        entry.started += 1;
        entry.waited = Millis(entry.waited.0.saturating_add(waited.0));
        entry.longest_wait = entry.longest_wait.max(waited);
        entry.prediction_error = prediction_error.or(entry.prediction_error);
    }

    /// The prompt of a task has been read.
    pub fn read(&mut self, pool: &PoolId, tokens: u64, now: Timestamp) {
        self.pool(pool, now).tokens_in += tokens;
    }

    /// So many more tokens of an answer are there.
    pub fn wrote(&mut self, pool: &PoolId, tokens: u64, now: Timestamp) {
        if tokens > 0 {
            self.pool(pool, now).tokens_out += tokens;
        }
    }

    /// A task has ended.
    pub fn ended(&mut self, pool: &PoolId, outcome: Outcome, now: Timestamp) {
        let entry = self.pool(pool, now);
        match outcome {
            Outcome::Answered => entry.ended += 1,
            Outcome::Failed => entry.failed += 1,
        }
    }

    /// The devices have been read.
    pub fn devices(&mut self, snapshot: &Snapshot, now: Timestamp) {
        let minute = self.minute(now);
        for reading in &snapshot.devices {
            let Some(memory) = reading.memory else { continue };
            let device = reading.device.to_string();
            match minute.devices.iter_mut().find(|known| known.device == device) {
                Some(known) => known.used_bytes = known.used_bytes.max(memory.used_bytes),
                None => minute.devices.push(DeviceMinute {
                    device,
                    used_bytes: memory.used_bytes,
                    total_bytes: memory.total_bytes,
                }),
            }
        }
    }

    fn pool(&mut self, pool: &PoolId, now: Timestamp) -> &mut PoolMinute {
        let pools = &mut self.minute(now).pools;
        if !pools.contains_key(pool) {
            pools.insert(pool.clone(), PoolMinute::default());
        }
        pools.get_mut(pool).expect("it has just been put there")
    }

    /// The entry of this moment.
    fn minute(&mut self, now: Timestamp) -> &mut Minute {
        let is_over = self.minutes.back().is_none_or(|last| now >= last.began.after(STEP));
        if is_over {
            if self.minutes.len() == MINUTES_KEPT {
                self.minutes.pop_front();
            }
            let began = self.minutes.back().map_or(now, |last| whole_steps_after(last.began, now));
            self.minutes.push_back(Minute { began, pools: BTreeMap::new(), devices: Vec::new() });
        }
        self.minutes.back_mut().expect("one is there now")
    }
}

/// How a task ended, as far as figures tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// With an answer.
    Answered,
    /// With an error.
    Failed,
}

/// The last moment up to `now` that is whole steps after `began`, so that entries do not drift.
fn whole_steps_after(began: Timestamp, now: Timestamp) -> Timestamp {
    let steps = now.since(began).as_secs() / STEP.as_secs();
    began.after(STEP * u32::try_from(steps).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests;
