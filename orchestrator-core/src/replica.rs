//! One replica as the scheduler sees it: its slots, who sits on them, how fast it is. It knows nothing of
//! the process behind it.

use crate::prediction::{Measurement, Speed, Tokens};
use crate::task::TaskSpec;
use crate::{Priority, ReplicaId, TaskId, Timestamp, TokenCount};

/// What is known of a replica when it is ready.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ReplicaProfile {
    /// Sequences it decodes at a time: the most tasks that are outstanding there.
    pub slots: u16,
    /// The most tokens of a task and its answer; nothing where that is not known.
    pub ctx: Option<TokenCount>,
    /// Tokens that the KV cache holds, which the slots share; nothing where each slot has a part of its own.
    pub kv_cells: Option<TokenCount>,
    /// Prompt tokens a second, as its self-test measured on one stream.
    pub prefill_tps: Option<f64>,
    /// Answer tokens a second, as its self-test measured on one stream.
    pub decode_tps: Option<f64>,
    /// What it measured with several streams at a time.
    pub batched: Option<BatchedThroughput>,
    /// Bytes of free VRAM on its device.
    pub free_vram: Option<u64>,
}

/// How fast streams are that run together. One stream alone says nothing of that: on a card the next stream
/// costs the others little, on a processor as much as it takes itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchedThroughput {
    /// Streams at a time.
    pub streams: u16,
    /// Answer tokens a second of each of them.
    pub decode_tps: f64,
}

/// What an engine reports when a task ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EndFigures {
    /// Prompt tokens, the cached ones included.
    pub tokens_in: crate::TokenCount,
    /// Of these, found in the KV cache and not computed.
    pub tokens_cached: crate::TokenCount,
    /// Tokens of the answer.
    pub tokens_out: crate::TokenCount,
    /// From the task's arrival at the engine to its first token.
    pub prefill: crate::Millis,
    /// From the first token to the end.
    pub decode: crate::Millis,
}

/// Whether a replica takes tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Availability {
    /// It takes tasks.
    Open,
    /// It finishes what it has and takes nothing more.
    Retiring,
}

/// One replica, as it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct ReplicaSnapshot {
    /// The replica.
    pub replica: ReplicaId,
    /// Whether it takes tasks.
    pub availability: Availability,
    /// Its slots.
    pub slots: u16,
    /// Slots with a task on them.
    pub busy: u16,
    /// Cells of the KV cache that tasks hold or keep for their answers; nothing where they are not counted.
    pub cells_kept: Option<TokenCount>,
    /// Prompt tokens a second, measured; nothing before any measurement.
    pub prefill_tps: Option<f64>,
    /// Answer tokens a second of one stream with all slots busy; nothing before any measurement.
    pub decode_tps: Option<f64>,
}

/// Prompt length that [`ReplicaSnapshot::prefill_tps`] speaks of.
pub(crate) const TYPICAL_PROMPT: f64 = 512.0;

/// A slot with a task on it.
#[derive(Clone, Debug)]
pub(crate) struct OccupiedSlot {
    pub(crate) task: TaskId,
    pub(crate) priority: Priority,
    /// What it is expected to cost here.
    pub(crate) tokens: Tokens,
    /// Cells of the KV cache that are kept for it.
    pub(crate) cells: TokenCount,
    started: Timestamp,
    first_token: Option<Timestamp>,
    /// The replica's stream time when it started, for the mean number of streams beside it.
    stream_ms_at_start: f64,
}

#[derive(Clone, Debug)]
pub(crate) struct Replica {
    pub(crate) id: ReplicaId,
    pub(crate) availability: Availability,
    pub(crate) slots: u16,
    ctx: Option<TokenCount>,
    kv_cells: Option<TokenCount>,
    pub(crate) free_vram: Option<u64>,
    pub(crate) occupied: Vec<OccupiedSlot>,
    pub(crate) speed: Speed,
    /// Busy slots, summed up over time, and up to when.
    stream_ms: f64,
    counted_until: Timestamp,
}

/// The time from one moment to a later one.
#[must_use]
pub(crate) fn ms_between(earlier: Timestamp, later: Timestamp) -> f64 {
    later.since(earlier).as_secs_f64() * 1000.0
}

impl Replica {
    pub(crate) fn new(id: ReplicaId, profile: ReplicaProfile, now: Timestamp) -> Self {
        Self {
            id,
            availability: Availability::Open,
            slots: profile.slots,
            ctx: profile.ctx,
            kv_cells: profile.kv_cells,
            free_vram: profile.free_vram,
            occupied: Vec::with_capacity(usize::from(profile.slots)),
            speed: Speed::from_self_test(&profile),
            stream_ms: 0.0,
            counted_until: now,
        }
    }

    /// Whether a task may take so many tokens, as far as that is known.
    pub(crate) fn holds(&self, ctx: Option<TokenCount>) -> bool {
        self.ctx.zip(ctx).is_none_or(|(has, needs)| needs <= has)
    }

    /// Slots a task could go to.
    pub(crate) fn free(&self) -> u16 {
        match self.availability {
            Availability::Open => self.slots.saturating_sub(self.busy()),
            Availability::Retiring => 0,
        }
    }

    /// Whether the KV cache has so many cells that no task is to have. A task that would not even fit an empty one goes
    /// there alone: the engine says what is wrong with it.
    pub(crate) fn has_room(&self, cells: TokenCount) -> bool {
        cells.0 == 0
            || self.occupied.is_empty()
            || self.free_cells().is_none_or(|free| u64::from(cells.0) <= free)
    }

    /// Slots that tasks could go to which need so many cells each, on average.
    pub(crate) fn free_for(&self, cells: f64) -> u16 {
        match self.free_cells() {
            #[expect(clippy::cast_precision_loss, reason = "a KV cache is far smaller than 2^53")]
            Some(free) if cells > 0.0 => {
                let tasks = (free as f64 / cells) as u16;
                self.free().min(if self.occupied.is_empty() { tasks.max(1) } else { tasks })
            }
            _ => self.free(),
        }
    }

    /// Tasks that run at a time where each needs so many cells, on average.
    pub(crate) fn slots_for(&self, cells: f64) -> f64 {
        let slots = f64::from(self.slots);
        match self.kv_cells {
            Some(all) if cells > 0.0 => slots.min((f64::from(all.0) / cells).floor().max(1.0)),
            _ => slots,
        }
    }

    /// Cells that no task is to have; nothing where they are not counted.
    fn free_cells(&self) -> Option<u64> {
        Some(u64::from(self.kv_cells?.0).saturating_sub(self.cells_kept()))
    }

    fn cells_kept(&self) -> u64 {
        self.occupied.iter().map(|held| u64::from(held.cells.0)).sum()
    }

    /// How many of the tasks that run have to end before there is room for `cells`, where they end in this order.
    pub(crate) fn ends_before_room(
        &self,
        order: impl Iterator<Item = TokenCount>,
        cells: TokenCount,
    ) -> usize {
        let Some(mut free) = self.free_cells() else { return 1 };
        let ends = order.take_while(|held| {
            let waits = free < u64::from(cells.0);
            free += u64::from(held.0);
            waits
        });
        ends.count()
    }

    pub(crate) fn busy(&self) -> u16 {
        u16::try_from(self.occupied.len()).expect("no more slots are occupied than there are")
    }

    pub(crate) fn occupy(&mut self, spec: &TaskSpec, tokens: Tokens, now: Timestamp) {
        self.count_streams(now);
        let stream_ms_at_start = self.stream_ms;
        let TaskSpec { id: task, priority, cells, .. } = *spec;
        let held = OccupiedSlot {
            task,
            priority,
            tokens,
            cells,
            started: now,
            first_token: None,
            stream_ms_at_start,
        };
        self.occupied.push(held);
    }

    pub(crate) fn first_token(&mut self, task: TaskId, now: Timestamp) {
        if let Some(held) = self.occupied.iter_mut().find(|held| held.task == task) {
            held.first_token.get_or_insert(now);
        }
    }

    /// Frees the slot of a task. Returns how long the task had it and how many streams ran meanwhile.
    pub(crate) fn release(&mut self, task: TaskId, now: Timestamp) -> Option<(f64, f64)> {
        self.count_streams(now);
        let place = self.occupied.iter().position(|held| held.task == task)?;
        let held = self.occupied.swap_remove(place);
        let held_ms = ms_between(held.started, now);
        let streams = if held_ms > 0.0 { (self.stream_ms - held.stream_ms_at_start) / held_ms } else { 1.0 };
        Some((held_ms, streams.max(1.0)))
    }

    pub(crate) fn learn(&mut self, figures: &EndFigures, streams: f64) {
        #[expect(clippy::cast_precision_loss, reason = "times stay far below 2^53 ms")]
        self.speed.learn(&Measurement {
            read: f64::from(figures.tokens_in.0.saturating_sub(figures.tokens_cached.0)),
            prefill_ms: figures.prefill.0 as f64,
            written: f64::from(figures.tokens_out.0),
            decode_ms: figures.decode.0 as f64,
            streams,
        });
    }

    /// How long the slot stays occupied. A task that takes longer than expected is expected to take
    /// as long again as it is late by.
    pub(crate) fn remaining_ms(&self, held: &OccupiedSlot, streams: f64, now: Timestamp) -> Option<f64> {
        let decode = held.tokens.write
            * self.speed.token_ms(streams).or_else(|| {
                // An engine that was never seen to decode: what the prefill says is all there is.
                self.speed.prefill_ms(held.tokens.read).map(|_| 0.0)
            })?;
        let left = match held.first_token {
            Some(first) => decode - ms_between(first, now),
            None => {
                self.speed.prefill_ms(held.tokens.read).unwrap_or(0.0) + decode
                    - ms_between(held.started, now)
            }
        };
        Some(left.abs())
    }

    /// How long the slot's task has been writing its answer; nothing before its first token.
    pub(crate) fn answering_ms(&self, held: &OccupiedSlot, now: Timestamp) -> Option<f64> {
        held.first_token.map(|first| ms_between(first, now))
    }

    /// How long the slot's task has been running.
    pub(crate) fn age_ms(&self, held: &OccupiedSlot, now: Timestamp) -> f64 {
        ms_between(held.started, now)
    }

    pub(crate) fn snapshot(&self) -> ReplicaSnapshot {
        let per_second = |ms: f64| (ms > 0.0).then(|| 1000.0 / ms);
        ReplicaSnapshot {
            replica: self.id.clone(),
            availability: self.availability,
            slots: self.slots,
            busy: self.busy(),
            cells_kept: self.kv_cells.map(|all| {
                let kept = self.cells_kept().min(all.0.into());
                TokenCount(u32::try_from(kept).unwrap_or(u32::MAX))
            }),
            prefill_tps: self.speed.prefill_ms(TYPICAL_PROMPT).and_then(|ms| per_second(ms / TYPICAL_PROMPT)),
            decode_tps: self.speed.token_ms(f64::from(self.slots)).and_then(per_second),
        }
    }

    fn count_streams(&mut self, now: Timestamp) {
        self.stream_ms += f64::from(self.busy()) * ms_between(self.counted_until, now);
        self.counted_until = self.counted_until.max(now);
    }
}
