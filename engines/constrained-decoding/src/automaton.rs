//! Sets of texts as deterministic automata over characters, and what several of them have in common. A `pattern` beside a
//! `maxLength`, a number between bounds, and a name that is none of those listed are such intersections.

pub mod number;
pub mod pattern;

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use number::{Bound, Digits, Multiple};
use pattern::Pattern;

/// States of one automaton at most.
const MAX_STATES: usize = 20_000;

/// Steps computed for one automaton at most.
const MAX_STEPS: usize = 4_000_000;

/// Characters of UTF-8: all code points without surrogates.
pub const CHARACTERS: [(u32, u32); 2] = [(0, 0xD7FF), (0xE000, 0x10_FFFF)];

/// Inclusive ranges of code points, ascending.
pub type Ranges = Vec<(u32, u32)>;

/// A set of texts.
#[derive(Clone, Debug)]
pub enum TextSet {
    /// Those in which a regular expression finds something.
    Pattern(Pattern),
    /// Those of `least` to `most` characters.
    Length {
        /// At least.
        least: u64,
        /// At most.
        most: Option<u64>,
    },
    /// These.
    Listed(Vec<String>),
    /// Those without this text in them.
    Without(Vec<char>),
    /// Numbers as JSON writes them, of limited length and without an exponent.
    Digits(Digits),
    /// Numbers on one side of a bound.
    Bound(Bound),
    /// Multiples of a number.
    Multiple(Multiple),
    /// All others.
    Not(Box<TextSet>),
}

/// The automaton is too large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLarge;

/// An automaton without states that lead nowhere. State 0 is the first.
#[derive(Debug)]
pub struct Dfa {
    /// Its states.
    pub states: Vec<State>,
}

/// A state.
#[derive(Debug)]
pub struct State {
    /// Whether a text may end here.
    pub accepts: bool,
    /// Characters, and the state behind them.
    pub steps: Vec<(Ranges, usize)>,
}

/// A state of a [`TextSet`] while it is run.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum At {
    /// No text goes on from here.
    Dead,
    Positions(Vec<u32>),
    Count(u64),
    /// Texts `from..to` of a sorted list begin as the text so far, of so many characters.
    Among(usize, usize, usize),
    Number(number::At),
    /// Outside of what is negated.
    Outside,
    Inside(Box<At>),
}

impl TextSet {
    fn start(&self) -> At {
        match self {
            Self::Pattern(pattern) => At::Positions(pattern.start()),
            Self::Length { .. } | Self::Without(_) => At::Count(0),
            Self::Listed(texts) => At::Among(0, texts.len(), 0),
            Self::Digits(_) | Self::Bound(_) | Self::Multiple(_) => At::Number(number::At::default()),
            Self::Not(inner) => At::Inside(Box::new(inner.start())),
        }
    }

    fn step(&self, at: &At, letter: u32) -> At {
        match (self, at) {
            (Self::Pattern(pattern), At::Positions(positions)) => {
                let next = pattern.step(positions, letter);
                if next.is_empty() { At::Dead } else { At::Positions(next) }
            }
            (Self::Length { least, most }, At::Count(count)) => match most {
                Some(most) if count == most => At::Dead,
                Some(_) => At::Count(count + 1),
                None => At::Count((count + 1).min(*least)),
            },
            (Self::Without(text), At::Count(count)) => {
                let count = usize::try_from(*count).expect("an index");
                match overlap(text, count, letter) {
                    whole if whole == text.len() => At::Dead,
                    part => At::Count(part as u64),
                }
            }
            (Self::Listed(texts), At::Among(from, to, bytes)) => among(texts, *from, *to, *bytes, letter),
            (Self::Digits(digits), At::Number(at)) => digits.step(*at, letter).map_or(At::Dead, At::Number),
            (Self::Bound(bound), At::Number(at)) => At::Number(bound.step(*at, letter)),
            (Self::Multiple(multiple), At::Number(at)) => {
                multiple.step(*at, letter).map_or(At::Dead, At::Number)
            }
            (Self::Not(_), At::Outside) => At::Outside,
            (Self::Not(inner), At::Inside(at)) => match inner.step(at, letter) {
                At::Dead => At::Outside,
                at => At::Inside(Box::new(at)),
            },
            _ => At::Dead,
        }
    }

    fn accepts(&self, at: &At) -> bool {
        match (self, at) {
            (Self::Pattern(pattern), At::Positions(positions)) => pattern.accepts(positions),
            (Self::Length { least, .. }, At::Count(count)) => count >= least,
            (Self::Without(_), At::Count(_)) | (Self::Not(_), At::Outside) => true,
            (Self::Listed(texts), At::Among(from, to, bytes)) => {
                texts[*from..*to].iter().any(|text| text.len() == *bytes)
            }
            (Self::Digits(digits), At::Number(at)) => digits.accepts(*at),
            (Self::Bound(bound), At::Number(at)) => bound.accepts(*at),
            (Self::Multiple(multiple), At::Number(at)) => multiple.accepts(*at),
            (Self::Not(inner), At::Inside(at)) => !inner.accepts(at),
            _ => false,
        }
    }

    /// The sets of characters that it tells apart.
    fn sets(&self, found: &mut Vec<Ranges>) {
        let one = |letter: char| found.push(vec![(u32::from(letter), u32::from(letter))]);
        match self {
            Self::Pattern(pattern) => found.extend(pattern.sets().cloned()),
            Self::Length { .. } => {}
            Self::Listed(texts) => {
                let mut letters: Vec<char> = texts.iter().flat_map(|text| text.chars()).collect();
                letters.sort_unstable();
                letters.dedup();
                letters.into_iter().for_each(one);
            }
            Self::Without(text) => text.iter().copied().for_each(one),
            Self::Digits(_) | Self::Bound(_) | Self::Multiple(_) => "-.0123456789".chars().for_each(one),
            Self::Not(inner) => inner.sets(found),
        }
    }

    /// Whether `text` is in it.
    #[must_use]
    pub fn contains(&self, text: &str) -> bool {
        let end = text.chars().fold(self.start(), |at, letter| self.step(&at, u32::from(letter)));
        self.accepts(&end)
    }

    /// These texts.
    #[must_use]
    pub fn listed(mut texts: Vec<String>) -> Self {
        texts.sort_unstable();
        texts.dedup();
        Self::Listed(texts)
    }
}

/// How many letters at the start of `text` stand at the end of what was read, when `count` did before `letter`.
fn overlap(text: &[char], count: usize, letter: u32) -> usize {
    let Some(letter) = char::from_u32(letter) else { return 0 };
    let read: Vec<char> = text[..count].iter().copied().chain([letter]).collect();
    (0..=read.len().min(text.len())).rev().find(|len| read.ends_with(&text[..*len])).unwrap_or(0)
}

fn among(texts: &[String], from: usize, to: usize, bytes: usize, letter: u32) -> At {
    let Some(letter) = char::from_u32(letter) else { return At::Dead };
    let next = |text: &String| text[bytes..].chars().next();
    let first = from + texts[from..to].partition_point(|text| next(text) < Some(letter));
    let last = from + texts[from..to].partition_point(|text| next(text) <= Some(letter));
    if first == last { At::Dead } else { At::Among(first, last, bytes + letter.len_utf8()) }
}

/// The texts that are in all of `sets`; nothing where there is none.
///
/// # Errors
/// [`TooLarge`]
pub fn intersection(sets: &[TextSet]) -> Result<Option<Dfa>, TooLarge> {
    let letters = letters(sets);
    let mut numbers: HashMap<Vec<At>, usize> = HashMap::new();
    let mut states: Vec<(bool, Vec<(usize, usize)>)> = Vec::new();
    let mut todo = vec![sets.iter().map(TextSet::start).collect::<Vec<_>>()];
    numbers.insert(todo[0].clone(), 0);
    states.push((false, Vec::new()));
    let mut work = 0;
    while let Some(at) = todo.pop() {
        let number = numbers[&at];
        states[number].0 = sets.iter().zip(&at).all(|(set, at)| set.accepts(at));
        for (letter, ranges) in letters.iter().enumerate() {
            work += sets.len();
            let next: Vec<At> = sets.iter().zip(&at).map(|(set, at)| set.step(at, ranges[0].0)).collect();
            if next.contains(&At::Dead) {
                continue;
            }
            let count = states.len();
            let target = match numbers.entry(next.clone()) {
                Entry::Occupied(known) => *known.get(),
                Entry::Vacant(new) => {
                    new.insert(count);
                    states.push((false, Vec::new()));
                    todo.push(next);
                    count
                }
            };
            states[number].1.push((letter, target));
        }
        if states.len() > MAX_STATES || work > MAX_STEPS {
            return Err(TooLarge);
        }
    }
    Ok(trimmed(&states).map(|states| merged(&states, &letters)))
}

/// Characters that no set tells apart, as ranges.
fn letters(sets: &[TextSet]) -> Vec<Ranges> {
    let mut told_apart = Vec::new();
    sets.iter().for_each(|set| set.sets(&mut told_apart));
    told_apart.sort_unstable();
    told_apart.dedup();
    let edges = told_apart.iter().flatten().flat_map(|(low, high)| [*low, *high + 1]);
    let mut starts: Vec<u32> = CHARACTERS.iter().map(|(low, _)| *low).chain(edges).collect();
    starts.sort_unstable();
    starts.dedup();
    let mut numbers: HashMap<Vec<usize>, usize> = HashMap::new();
    let mut letters: Vec<Ranges> = Vec::new();
    for (low, high) in CHARACTERS {
        let first = starts.partition_point(|start| *start < low);
        for (at, start) in starts.iter().enumerate().skip(first).take_while(|(_, start)| **start <= high) {
            let end = starts.get(at + 1).map_or(high, |next| (next - 1).min(high));
            let is_in = |set: &Ranges| {
                let behind = set.partition_point(|(low, _)| low <= start);
                behind > 0 && set[behind - 1].1 >= *start
            };
            let of: Vec<usize> = (0..told_apart.len()).filter(|set| is_in(&told_apart[*set])).collect();
            let count = letters.len();
            let number = *numbers.entry(of).or_insert(count);
            if number == count {
                letters.push(Vec::new());
            }
            letters[number].push((*start, end));
        }
    }
    letters
}

type Numbered = Vec<(bool, Vec<(usize, usize)>)>;

/// Without states from which nothing can be accepted; nothing where that is the first.
fn trimmed(states: &Numbered) -> Option<Numbered> {
    let mut before = vec![Vec::new(); states.len()];
    for (number, (_, steps)) in states.iter().enumerate() {
        steps.iter().for_each(|(_, target)| before[*target].push(number));
    }
    let mut lives = vec![false; states.len()];
    let mut todo: Vec<usize> = (0..states.len()).filter(|number| states[*number].0).collect();
    todo.iter().for_each(|number| lives[*number] = true);
    while let Some(number) = todo.pop() {
        for before in &before[number] {
            if !std::mem::replace(&mut lives[*before], true) {
                todo.push(*before);
            }
        }
    }
    let mut renamed = vec![usize::MAX; states.len()];
    for (next, number) in (0..states.len()).filter(|number| lives[*number]).enumerate() {
        renamed[number] = next;
    }
    let kept = states.iter().enumerate().filter(|(number, _)| lives[*number]).map(|(_, (accepts, steps))| {
        let steps = steps.iter().filter(|(_, target)| lives[*target]);
        (*accepts, steps.map(|(letter, target)| (*letter, renamed[*target])).collect())
    });
    lives[0].then(|| kept.collect())
}

/// With states that cannot be told apart as one.
fn merged(states: &Numbered, letters: &[Ranges]) -> Dfa {
    let mut classes: Vec<usize> = states.iter().map(|(accepts, _)| usize::from(*accepts)).collect();
    let mut count = 0;
    loop {
        let mut numbers = HashMap::new();
        let next: Vec<usize> = states
            .iter()
            .zip(&classes)
            .map(|((_, steps), class)| {
                let steps: Vec<(usize, usize)> =
                    steps.iter().map(|(letter, target)| (*letter, classes[*target])).collect();
                let count = numbers.len();
                *numbers.entry((*class, steps)).or_insert(count)
            })
            .collect();
        classes = next;
        if numbers.len() == count {
            break;
        }
        count = numbers.len();
    }
    // Numbers are given in order of appearance, so that the first state is class 0.
    let mut merged: Vec<State> = Vec::with_capacity(count);
    for (number, class) in classes.iter().enumerate() {
        if *class != merged.len() {
            continue;
        }
        let (accepts, steps) = &states[number];
        let mut by_target: Vec<(usize, Ranges)> = Vec::new();
        for (letter, target) in steps {
            let target = classes[*target];
            let at = by_target.iter().position(|(known, _)| *known == target).unwrap_or_else(|| {
                by_target.push((target, Vec::new()));
                by_target.len() - 1
            });
            by_target[at].1.extend(&letters[*letter]);
        }
        let steps = by_target.into_iter().map(|(target, ranges)| (joined(ranges), target)).collect();
        merged.push(State { accepts: *accepts, steps });
    }
    Dfa { states: merged }
}

/// Sorted, with ranges that touch as one.
pub(crate) fn joined(mut ranges: Ranges) -> Ranges {
    ranges.sort_unstable();
    let mut out: Ranges = Vec::with_capacity(ranges.len());
    for (low, high) in ranges {
        match out.last_mut() {
            Some(last) if low <= last.1.saturating_add(1) => last.1 = last.1.max(high),
            _ => out.push((low, high)),
        }
    }
    out
}
