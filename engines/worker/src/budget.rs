//! What one step does beside the next tokens of the running streams: how many prompt tokens it reads, of
//! which lane, and whether the task of the strict lane goes on. While no stream is to be guarded: a full
//! batch, which reads prompts fastest; a cancel or a more urgent prompt interrupts the call. Where a call
//! cannot be interrupted, or batch streams share it: as much as fits a bound of time. Beside a stream that is
//! guarded: so much that the step stays within a multiple of what it takes without. The work of the strict
//! lane is calls of a fixed shape: where one is larger than a step's room, rooms are saved up for it.
//! Everything is measured; the clock is the caller's.
//!
//! Whose streams are guarded: all of them, unless the next prompt to read is interactive, which batch
//! streams do not hold up. Whose prompts are read: interactive ones first; batch prompts that hold a slot
//! always get a share, which a short one takes at once, and so does the strict lane.
//!
//! Rules: ORCH-WORKER-1

use std::time::Duration;

/// A step that decodes and reads takes at most this many times the step that only decodes. The promise is
/// twice; the rest is for what cannot be foreseen.
const STRETCH: f64 = 1.7;

/// The longest step that nothing interrupts, while no stream is guarded and nobody waits for it.
const BOUNDED_MS: f64 = 1_000.0;

/// The longest step after an interrupted one, which itself cannot be interrupted, so that cancels that follow
/// one another do not stop the reading; and the share of time that prompts and the strict lane divide.
const SHARED_MS: f64 = 250.0;

/// Prompt tokens of a step as long as nothing is known about their cost.
const FIRST_CHUNK: f64 = 2.0;

/// The smallest chunk of a guarded step, on average: what is read never stops altogether, and a machine whose
/// times are noisy does not starve it. A token takes no longer than a step that decodes one.
const LEAST_MIXED: f64 = 0.5;

/// The smallest chunk while nothing decodes: below it the work of a step itself would show.
const LEAST_ALONE: f64 = 32.0;

/// The part of the room that the lesser lane gets while the other wants all of it.
const LESSER_SHARE: f64 = 0.125;

/// After so many steps with prompt tokens one goes without, to measure what decoding alone takes.
const REFRESH: u32 = 24;

/// How much one measurement moves what is known.
const WEIGHT: f64 = 0.2;

/// Whether a call under way ends early for a cancel or a more urgent prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interrupts {
    /// Within milliseconds.
    AtOnce,
    /// Not at all: they wait for the end of the call.
    Never,
}

/// What waits to be done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wants {
    /// Sequences that decode a token in the common call.
    pub decoding: usize,
    /// Streams that run and are interactive, that of the strict lane included.
    pub interactive_streams: usize,
    /// Prompt tokens of interactive tasks that wait in slots.
    pub interactive: usize,
    /// Prompt tokens of batch tasks that wait in slots.
    pub batch: usize,
    /// The task of the strict lane.
    pub strict: Option<Strict>,
}

/// What the task of the strict lane is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strict {
    /// Whether its prompt is still being read.
    pub reading: bool,
    /// Whether it is interactive.
    pub interactive: bool,
}

/// What a step does beside decoding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Prompt tokens of interactive tasks.
    pub interactive: usize,
    /// Prompt tokens of batch tasks.
    pub batch: usize,
    /// Calls of the strict lane.
    pub strict: usize,
}

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepShape {
    /// Sequences that decoded a token.
    pub decoding: usize,
    /// Prompt tokens read.
    pub reading: usize,
}

/// Follows the step times and says what to do.
#[derive(Debug)]
pub struct StepBudget {
    most: usize,
    interrupts: Interrupts,
    /// Whether the last step was interrupted.
    interrupted: bool,
    /// Milliseconds of a step that only decodes, by the number of sequences; index 0 is not used.
    quiet: Vec<Option<f64>>,
    /// Prompt tokens of a guarded step, by the number of sequences.
    mixed: Vec<f64>,
    /// Milliseconds a prompt token takes while nothing decodes.
    alone: Option<f64>,
    /// Milliseconds of a call of the strict lane, while it writes and while it reads.
    strict: [Option<f64>; 2],
    /// Milliseconds saved up for the strict lane.
    saved: f64,
    /// Parts of prompt tokens that were left over.
    rest: f64,
    /// Prompt tokens that the batch lane is owed; less than none where it took some ahead.
    owed: f64,
    since_quiet: u32,
}

impl StepBudget {
    /// For at most `slots` sequences and `most` prompt tokens a step.
    #[must_use]
    pub fn new(slots: usize, most: usize, interrupts: Interrupts) -> Self {
        Self {
            most: most.max(1),
            interrupts,
            interrupted: false,
            quiet: vec![None; slots + 1],
            mixed: vec![FIRST_CHUNK; slots + 1],
            alone: None,
            strict: [None; 2],
            saved: 0.0,
            rest: 0.0,
            owed: 0.0,
            since_quiet: 0,
        }
    }

    /// What the next step does.
    pub fn plan(&mut self, wants: Wants) -> Plan {
        let decoding = wants.decoding.min(self.mixed.len() - 1);
        let waiting = wants.interactive + wants.batch;
        let writes = wants.strict.is_some_and(|strict| !strict.reading);
        let urgent =
            wants.interactive > 0 || wants.strict.is_some_and(|strict| strict.reading && strict.interactive);
        let guarded = (decoding > 0 || writes) && (!urgent || wants.interactive_streams > 0);
        let call = wants.strict.and_then(|strict| self.strict[usize::from(strict.reading)]);
        let room = match (guarded, decoding) {
            (false, _) => Some(self.unguarded_room(wants)),
            (true, 0) => call.map(|call| call * (STRETCH - 1.0)),
            (true, _) => self.quiet[decoding].map(|quiet| quiet * (STRETCH - 1.0)),
        };
        let calls = match wants.strict {
            None => {
                self.saved = 0.0;
                0
            }
            // It is the running stream itself, or all there is.
            Some(_) if decoding == 0 && (writes || waiting == 0) => 1,
            Some(strict) => {
                let share = share_of(strict, wants);
                let call = call.unwrap_or(0.0);
                if guarded {
                    self.save(room.unwrap_or(0.0) * share, call, room.is_some())
                } else {
                    ((SHARED_MS * share / call.max(0.01)) as usize).clamp(1, self.most)
                }
            }
        };
        let spent = if decoding == 0 && writes { 0.0 } else { calls as f64 * call.unwrap_or(0.0) };
        let fits = match room {
            _ if waiting == 0 => 0.0,
            // What it takes without must be known first, and be measured again.
            None => 0.0,
            Some(_) if guarded && decoding > 0 && self.since_quiet >= REFRESH => 0.0,
            Some(room) if guarded && decoding > 0 => {
                self.mixed[decoding] * ((room - spent) / room).clamp(0.0, 1.0)
            }
            Some(room) => match self.alone {
                None if guarded => FIRST_CHUNK,
                None if room.is_infinite() => room,
                None => LEAST_ALONE,
                Some(cost) => ((room - spent).max(0.0) / cost).max(if guarded { LEAST_MIXED } else { 1.0 }),
            },
        };
        let fits = fits.min(self.most as f64);
        // Parts of tokens are saved up only where no whole one fits. Added to whole ones they would make some
        // steps a token longer than the room, and its longest steps are what a stream notices.
        let saves = waiting > 0 && (!guarded || fits < 1.0);
        let fits = if saves { fits + self.rest } else { fits };
        let tokens = fits as usize;
        self.rest = if saves { fits - tokens as f64 } else { 0.0 };
        let (interactive, batch) = self.split(tokens.min(waiting), wants);
        Plan { interactive, batch, strict: calls }
    }

    /// Milliseconds of a step beside which no stream is guarded.
    fn unguarded_room(&self, wants: Wants) -> f64 {
        if self.interrupted || wants.strict.is_some() {
            return SHARED_MS;
        }
        match self.interrupts {
            Interrupts::AtOnce if wants.decoding == 0 => f64::INFINITY,
            _ => BOUNDED_MS,
        }
    }

    /// Whether the next step may be interrupted.
    #[must_use]
    pub fn may_interrupt(&self) -> bool {
        self.interrupts == Interrupts::AtOnce && !self.interrupted
    }

    /// Notes that a step was interrupted: nothing is learnt from it.
    pub fn interrupted(&mut self) {
        self.interrupted = true;
    }

    /// Saves `room` up for the strict lane; 1 when a call can be paid.
    fn save(&mut self, room: f64, call: f64, known: bool) -> usize {
        self.saved = (self.saved + room).min(room + call);
        if !known || self.saved < call {
            return 0;
        }
        self.saved -= call;
        1
    }

    /// Which lane `tokens` go to, of which not more wait. Batch prompts that their share holds before the interactive ones
    /// are read go first: these are done no later for it, and a short prompt does not wait for a long one.
    fn split(&mut self, tokens: usize, wants: Wants) -> (usize, usize) {
        if wants.interactive == 0 {
            self.owed = 0.0;
            return (0, tokens.min(wants.batch));
        }
        self.owed += tokens as f64 * LESSER_SHARE;
        if wants.batch == 0 {
            // A share that nobody wants is not saved, and one that was taken ahead is paid back.
            self.owed = self.owed.min(0.0);
            return (tokens.min(wants.interactive), 0);
        }
        let share_of_all = (wants.interactive + wants.batch).saturating_sub(tokens) as f64 * LESSER_SHARE;
        let fits = wants.batch as f64 <= self.owed + share_of_all;
        let owed = if fits { wants.batch } else { self.owed.max(0.0) as usize };
        let owed = owed.min(tokens).min(wants.batch);
        self.owed -= owed as f64;
        let interactive = (tokens - owed).min(wants.interactive);
        (interactive, tokens - interactive)
    }

    /// Learns from the common call of a step, which took `took`.
    pub fn observe(&mut self, shape: StepShape, took: Duration) {
        self.interrupted = false;
        let took = took.as_secs_f64() * 1e3;
        let decoding = shape.decoding.min(self.mixed.len() - 1);
        match (decoding, shape.reading) {
            (0, 0) => {}
            (0, tokens) => move_towards(&mut self.alone, took / tokens as f64),
            (_, 0) => {
                move_towards(&mut self.quiet[decoding], took);
                self.since_quiet = 0;
            }
            (_, tokens) => {
                self.since_quiet += 1;
                let Some(quiet) = self.quiet[decoding] else { return };
                let room = quiet * (STRETCH - 1.0);
                let used = (took - quiet).max(room / 8.0);
                // What would have filled the room, if the cost of the tokens alone decided.
                let fitting = (tokens as f64 * room / used).min(tokens as f64 * 2.0);
                let next = &mut self.mixed[decoding];
                *next += (fitting - *next) * if fitting < *next { 2.0 * WEIGHT } else { WEIGHT };
                *next = next.clamp(LEAST_MIXED, self.most as f64);
            }
        }
    }

    /// Learns from a call of the strict lane, which took `took`.
    pub fn observe_strict(&mut self, reading: bool, took: Duration) {
        move_towards(&mut self.strict[usize::from(reading)], took.as_secs_f64() * 1e3);
    }
}

/// The strict lane's part of the room.
fn share_of(strict: Strict, wants: Wants) -> f64 {
    match (strict.interactive, wants.interactive > 0, wants.batch > 0) {
        (_, false, false) => 1.0,
        (true, true, _) | (false, false, true) => 0.5,
        (true, false, true) => 1.0 - LESSER_SHARE,
        (false, true, _) => LESSER_SHARE,
    }
}

fn move_towards(known: &mut Option<f64>, measured: f64) {
    *known = Some(known.map_or(measured, |known| known + (measured - known) * WEIGHT));
}

#[cfg(test)]
mod tests;
