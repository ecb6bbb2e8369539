//! Runs a [`Program`] over the bytes of an answer. A state is the set of all threads that the text so far leaves:
//! where in the program, and with which return addresses. States and stacks are kept once and named by number, so
//! that a step that was taken before is a look-up; most tokens of JSON lead from a state to itself.
//!
//! An ambiguous grammar may double its threads with every character. Their number is bounded, and so is the work of
//! all steps for one token: what goes beyond is [`Stuck::TooCostly`].
//!
//! Rules: ORCH-WORKER-5

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::gbnf::CharSet;
use super::program::{Op, Program};

/// Threads of a state at most.
const MAX_THREADS: usize = 20_000;

/// Instructions run for one token at most: about a quarter of a second.
const MAX_WORK: usize = 4_000_000;

/// States and stacks kept, beside twice those that the place itself needs, before all others are forgotten.
const MAX_KEPT: usize = 20_000;

/// Cells of all tables of steps kept.
const MAX_CELLS: usize = 2_000_000;

/// The state without a thread.
const DEAD: u32 = 0;

/// A step that has not been taken yet.
const UNKNOWN: u32 = u32::MAX;

/// The stack without a return address.
const EMPTY: u32 = 0;

/// Why a text cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stuck {
    /// The grammar does not allow it.
    NotAllowed,
    /// To find out costs more than one token may.
    TooCostly,
}

/// Where in the program, and the stack of return addresses.
type Thread = (u32, u32);

/// A place in the text, which may be inside of a character.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    state: u32,
    /// Bits of a character whose other bytes are missing.
    bits: u32,
    /// How many are missing.
    missing: u8,
}

/// A grammar at some place of an answer.
#[derive(Debug)]
pub struct Matcher {
    program: Arc<Program>,
    alphabet: Alphabet,
    /// By number; the first is the empty one.
    stacks: Vec<(u32, u32)>,
    stack_numbers: HashMap<(u32, u32), u32>,
    states: Vec<State>,
    state_numbers: HashMap<Arc<[Thread]>, u32>,
    /// Tables of steps that exist.
    tables: usize,
    /// States and stacks that were left when others were forgotten.
    needed: usize,
    place: Place,
    work: usize,
}

#[derive(Debug)]
struct State {
    threads: Arc<[Thread]>,
    /// Whether the answer may end here.
    ends: bool,
    /// Where each class of characters leads.
    steps: Vec<u32>,
}

impl Matcher {
    /// At the start of an answer.
    ///
    /// # Errors
    /// [`Stuck::TooCostly`].
    pub fn new(program: Program) -> Result<Self, Stuck> {
        let program = Arc::new(program);
        let mut matcher = Self {
            alphabet: Alphabet::of(&program.sets),
            program,
            stacks: Vec::new(),
            stack_numbers: HashMap::new(),
            states: Vec::new(),
            state_numbers: HashMap::new(),
            tables: 0,
            needed: 0,
            place: Place { state: DEAD, bits: 0, missing: 0 },
            work: 0,
        };
        matcher.forget();
        let state = matcher.closure(vec![(0, EMPTY)])?;
        matcher.place.state = state;
        Ok(matcher)
    }

    /// Where the answer is.
    #[must_use]
    pub fn place(&self) -> Place {
        self.place
    }

    /// Goes on from `place`. Whether it forgot all other places, which it does when there are many: they are of no
    /// use then.
    pub fn set_place(&mut self, place: Place) -> bool {
        self.place = place;
        let cells = self.tables * self.alphabet.classes;
        let full = self.states.len() + self.stacks.len() > MAX_KEPT + 2 * self.needed || cells > MAX_CELLS;
        if full {
            self.keep_only_the_place();
        }
        full
    }

    /// Begins the work for a token.
    pub fn begin_token(&mut self) {
        self.work = 0;
    }

    /// Whether the answer may end at `place`.
    #[must_use]
    pub fn may_end(&self, place: Place) -> bool {
        place.missing == 0 && self.states[place.state as usize].ends
    }

    /// The place behind `byte`.
    ///
    /// # Errors
    /// [`Stuck`]
    pub fn byte(&mut self, place: Place, byte: u8) -> Result<Place, Stuck> {
        let (bits, missing) = match (place.missing, byte) {
            (0, 0) => return Err(Stuck::NotAllowed),
            (0, 1..=0x7F) => (u32::from(byte), 0),
            (0, 0xC2..=0xDF) => (u32::from(byte & 0x1F), 1),
            (0, 0xE0..=0xEF) => (u32::from(byte & 0x0F), 2),
            (0, 0xF0..=0xF4) => (u32::from(byte & 0x07), 3),
            // More bytes than the character takes, half of a pair of UTF-16, and beyond the last character.
            (2, 0x80..=0x9F) | (3, 0x80..=0x8F) if place.bits == 0 => return Err(Stuck::NotAllowed),
            (2, 0xA0..=0xBF) if place.bits == 0xD => return Err(Stuck::NotAllowed),
            (3, 0x90..=0xBF) if place.bits == 4 => return Err(Stuck::NotAllowed),
            (missing @ 1.., 0x80..=0xBF) => (place.bits << 6 | u32::from(byte & 0x3F), missing - 1),
            _ => return Err(Stuck::NotAllowed),
        };
        if missing > 0 {
            return Ok(Place { state: place.state, bits, missing });
        }
        match self.step(place.state, bits)? {
            DEAD => Err(Stuck::NotAllowed),
            state => Ok(Place { state, bits: 0, missing: 0 }),
        }
    }

    /// Whether some character that begins with the bytes so far may stand at `place`.
    #[must_use]
    pub fn can_complete(&self, place: Place) -> bool {
        let shift = u32::from(place.missing) * 6;
        if place.missing == 0 {
            return true;
        }
        let low = place.bits << shift;
        let high = low | ((1 << shift) - 1);
        let low = match (low, place.missing) {
            (0, 2) => 1 << 11,
            (0, 3) => 1 << 16,
            (low, _) => low,
        };
        let touches = |thread: &Thread| match self.program.code[thread.0 as usize] {
            Op::Char(set) => self.program.sets[set as usize].touches(low, high),
            _ => false,
        };
        self.states[place.state as usize].threads.iter().any(touches)
    }

    /// Where in the program a text may go on at `place`, each with its return addresses, the last one first.
    #[cfg(any(test, feature = "walk"))]
    pub(crate) fn threads(&self, place: Place) -> Vec<(u32, Vec<u32>)> {
        let threads = self.states[place.state as usize].threads.iter();
        threads
            .map(|(at, stack)| {
                let mut back = Vec::new();
                let mut top = *stack;
                while top != EMPTY {
                    let (address, rest) = self.stacks[top as usize];
                    back.push(address);
                    top = rest;
                }
                (*at, back)
            })
            .collect()
    }

    /// Instructions run since the token began.
    #[cfg(test)]
    pub(crate) fn work(&self) -> usize {
        self.work
    }

    /// The program that it runs.
    #[cfg(any(test, feature = "walk"))]
    pub(crate) fn program(&self) -> &Program {
        &self.program
    }

    /// Whether the grammar names tokens at `place`, and `id` is one that may come.
    #[must_use]
    pub fn names_token(&self, place: Place, id: i32) -> bool {
        let fits = |thread: &Thread| self.program.code[thread.0 as usize].is_token(id);
        place.missing == 0 && self.states[place.state as usize].threads.iter().any(fits)
    }

    /// The place behind the whole token `id`.
    ///
    /// # Errors
    /// [`Stuck`]
    pub fn token(&mut self, place: Place, id: i32) -> Result<Place, Stuck> {
        let threads = Arc::clone(&self.states[place.state as usize].threads);
        let fits = |thread: &&Thread| self.program.code[thread.0 as usize].is_token(id);
        let next = threads.iter().filter(fits).map(|(at, stack)| (at + 1, *stack)).collect();
        match self.closure(next)? {
            DEAD => Err(Stuck::NotAllowed),
            state => Ok(Place { state, bits: 0, missing: 0 }),
        }
    }

    /// Whether the grammar names tokens at `place`.
    #[must_use]
    pub fn names_tokens(&self, place: Place) -> bool {
        let threads = &self.states[place.state as usize].threads;
        threads.iter().any(|(at, _)| matches!(self.program.code[*at as usize], Op::Token { .. }))
    }

    /// The state behind a character.
    fn step(&mut self, state: u32, code: u32) -> Result<u32, Stuck> {
        let class = self.alphabet.class_of(code);
        if let Some(known) = self.states[state as usize].steps.get(class).filter(|known| **known != UNKNOWN) {
            return Ok(*known);
        }
        let threads = Arc::clone(&self.states[state as usize].threads);
        let reads = |op| matches!(op, Op::Char(set) if self.program.sets[set as usize].contains(code));
        let next: Vec<Thread> = threads
            .iter()
            .filter(|(at, _)| reads(self.program.code[*at as usize]))
            .map(|(at, stack)| (at + 1, *stack))
            .collect();
        self.work += threads.len();
        let next = self.closure(next)?;
        let steps = &mut self.states[state as usize].steps;
        if steps.is_empty() {
            steps.resize(self.alphabet.classes, UNKNOWN);
            self.tables += 1;
            self.work += self.alphabet.classes / 4;
        }
        steps[class] = next;
        Ok(next)
    }

    /// The state of all places that `todo` leads to without reading.
    fn closure(&mut self, mut todo: Vec<Thread>) -> Result<u32, Stuck> {
        let mut seen: HashSet<Thread> = todo.iter().copied().collect();
        let mut found = Vec::new();
        let mut ends = false;
        while let Some((at, stack)) = todo.pop() {
            self.work += 1;
            if seen.len() > MAX_THREADS || self.work > MAX_WORK {
                return Err(Stuck::TooCostly);
            }
            let mut go = |thread: Thread| {
                if seen.insert(thread) {
                    todo.push(thread);
                }
            };
            match self.program.code[at as usize] {
                Op::Char(_) | Op::Token { .. } => found.push((at, stack)),
                Op::Jump(to) => go((to, stack)),
                Op::Split(here, there) => {
                    go((here, stack));
                    go((there, stack));
                }
                Op::Call(rule) => {
                    // A call at the end of a rule returns where that rule would: right recursion keeps its stack.
                    let back = self.skip_jumps(at + 1);
                    let stack = match self.program.code[back as usize] {
                        Op::Return => stack,
                        _ => self.push(back, stack),
                    };
                    go((rule, stack));
                }
                Op::Return if stack == EMPTY => ends = true,
                Op::Return => {
                    let (back, rest) = self.stacks[stack as usize];
                    go((back, rest));
                }
            }
        }
        found.sort_unstable();
        Ok(self.number_of(found, ends))
    }

    fn skip_jumps(&self, mut at: u32) -> u32 {
        while let Op::Jump(to) = self.program.code[at as usize] {
            at = to;
        }
        at
    }

    fn push(&mut self, back: u32, rest: u32) -> u32 {
        let next = u32::try_from(self.stacks.len()).expect("bounded by the work for a token");
        let number = *self.stack_numbers.entry((back, rest)).or_insert(next);
        if number == next {
            self.stacks.push((back, rest));
        }
        number
    }

    fn number_of(&mut self, threads: Vec<Thread>, ends: bool) -> u32 {
        if threads.is_empty() && !ends {
            return DEAD;
        }
        // An end beside threads is told by one more, which is no instruction.
        let mut key = threads;
        if ends {
            key.push((u32::MAX, EMPTY));
        }
        let key: Arc<[Thread]> = key.into();
        if let Some(known) = self.state_numbers.get(&key) {
            return *known;
        }
        let number = u32::try_from(self.states.len()).expect("bounded by the work for a token");
        let threads = if ends { key[..key.len() - 1].into() } else { Arc::clone(&key) };
        self.states.push(State { threads, ends, steps: Vec::new() });
        self.state_numbers.insert(key, number);
        number
    }

    /// Forgets all states and stacks.
    fn forget(&mut self) {
        self.stacks = vec![(0, 0)];
        self.stack_numbers.clear();
        self.states = vec![State { threads: Arc::new([]), ends: false, steps: Vec::new() }];
        self.state_numbers.clear();
        self.tables = 0;
    }

    /// Forgets all states and stacks but those of the place.
    fn keep_only_the_place(&mut self) {
        let old = std::mem::take(&mut self.stacks);
        let State { threads, ends, .. } = &self.states[self.place.state as usize];
        let (threads, ends) = (Arc::clone(threads), *ends);
        self.forget();
        let mut renamed: HashMap<u32, u32> = HashMap::from([(EMPTY, EMPTY)]);
        let mut kept = Vec::with_capacity(threads.len());
        for (at, stack) in threads.iter() {
            let mut chain = Vec::new();
            let mut top = *stack;
            while !renamed.contains_key(&top) {
                chain.push(top);
                top = old[top as usize].1;
            }
            for number in chain.into_iter().rev() {
                let (back, rest) = old[number as usize];
                let new = self.push(back, renamed[&rest]);
                renamed.insert(number, new);
            }
            kept.push((*at, renamed[stack]));
        }
        kept.sort_unstable();
        self.place.state = self.number_of(kept, ends);
        self.needed = self.states.len() + self.stacks.len();
    }
}

/// Characters that no set of a grammar tells apart, as classes.
#[derive(Debug)]
struct Alphabet {
    /// Where each class begins.
    starts: Vec<u32>,
    ascii: [u16; 128],
    classes: usize,
}

impl Alphabet {
    fn of(sets: &[CharSet]) -> Self {
        let edges =
            sets.iter().flat_map(|set| &set.ranges).flat_map(|(low, high)| [*low, high.saturating_add(1)]);
        let mut starts: Vec<u32> = std::iter::once(0).chain(edges).collect();
        starts.sort_unstable();
        starts.dedup();
        let mut alphabet = Self { classes: starts.len(), starts, ascii: [0; 128] };
        for code in 0..128u8 {
            let class = alphabet.search(u32::from(code));
            alphabet.ascii[usize::from(code)] = u16::try_from(class).expect("at most 129 begin below 128");
        }
        alphabet
    }

    fn class_of(&self, code: u32) -> usize {
        match usize::try_from(code).ok().and_then(|code| self.ascii.get(code)) {
            Some(class) => usize::from(*class),
            None => self.search(code),
        }
    }

    fn search(&self, code: u32) -> usize {
        self.starts.partition_point(|start| *start <= code) - 1
    }
}
