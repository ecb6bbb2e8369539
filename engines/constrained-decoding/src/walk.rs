//! Random texts of a grammar, for tests: whatever it leads to must be what it was made for.

use crate::gbnf;
use crate::matcher::Matcher;
use crate::program::{Op, Program};

/// Bytes after which a text takes the shortest way to its end.
const ENOUGH: usize = 120;

/// Random numbers: xorshift.
#[derive(Debug)]
pub struct Random(pub u64);

impl Random {
    /// A number below `count`.
    pub fn below(&mut self, count: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % count as u64).expect("below a count")
    }
}

/// A matcher at the start of a grammar.
///
/// # Panics
/// Where it is none.
#[must_use]
pub fn matcher(grammar: &str) -> Matcher {
    let tree = gbnf::parse(grammar, &|_| None).unwrap_or_else(|why| panic!("{why}\n{grammar}"));
    let program = Program::compile(&tree).unwrap_or_else(|why| panic!("{why}\n{grammar}"));
    Matcher::new(program).unwrap_or_else(|stuck| panic!("{stuck:?}"))
}

/// Characters from each instruction to the end of its rule, at least.
fn distances(program: &Program) -> Vec<usize> {
    let code = &program.code;
    let mut far = vec![usize::MAX / 4; code.len()];
    loop {
        let mut changed = false;
        for (at, op) in code.iter().enumerate().rev() {
            let next = match *op {
                Op::Return => 0,
                Op::Char(_) | Op::Token { .. } => far[at + 1] + 1,
                Op::Jump(to) => far[to as usize],
                Op::Split(here, there) => far[here as usize].min(far[there as usize]),
                Op::Call(rule) => far[rule as usize] + far[at + 1],
            };
            if next < far[at] {
                far[at] = next;
                changed = true;
            }
        }
        if !changed {
            return far;
        }
    }
}

/// A text of the grammar.
///
/// # Panics
/// Where the grammar leads into a dead end.
pub fn walk(grammar: &str, matcher: &mut Matcher, random: &mut Random) -> String {
    walk_on(grammar, "", ENOUGH, matcher, random)
}

/// What follows `begun` in a text of the grammar, which takes the shortest way to its end behind `enough` bytes.
///
/// # Panics
/// Where the grammar leads into a dead end, or has no text that begins like that.
pub fn walk_on(
    grammar: &str,
    begun: &str,
    enough: usize,
    matcher: &mut Matcher,
    random: &mut Random,
) -> String {
    let far = distances(matcher.program());
    let mut place = matcher.place();
    for byte in begun.bytes() {
        matcher.begin_token();
        place =
            matcher.byte(place, byte).unwrap_or_else(|stuck| panic!("{stuck:?} in `{begun}` of\n{grammar}"));
    }
    let mut text = String::new();
    loop {
        let threads = matcher.threads(place);
        if matcher.may_end(place) && (threads.is_empty() || text.len() >= enough || random.below(3) == 0) {
            return text;
        }
        assert!(!threads.is_empty(), "a dead end behind `{text}` of\n{grammar}");
        let left = |(at, back): &(u32, Vec<u32>)| {
            far[*at as usize] + back.iter().map(|back| far[*back as usize]).sum::<usize>()
        };
        let thread = if text.len() >= enough {
            threads.iter().min_by_key(|thread| left(thread)).expect("there are some")
        } else {
            &threads[random.below(threads.len())]
        };
        let letter = match matcher.program().code[thread.0 as usize] {
            Op::Char(set) => letter(&matcher.program().sets[set as usize], random),
            other => panic!("{other:?}"),
        };
        text.push(letter);
        matcher.begin_token();
        for byte in letter.to_string().bytes() {
            place = matcher.byte(place, byte).unwrap_or_else(|stuck| panic!("{stuck:?} `{text}`"));
        }
    }
}

fn letter(set: &gbnf::CharSet, random: &mut Random) -> char {
    const SOME: [char; 14] = ['a', 'Z', '0', '9', ' ', '-', '_', '.', ',', 'é', '🦀', '~', '\u{7F}', '/'];
    for _ in 0..1000 {
        let letter = if set.negated {
            SOME[random.below(SOME.len())]
        } else {
            let (low, high) = set.ranges[random.below(set.ranges.len())];
            let width = usize::try_from((high - low).min(4000)).expect("small") + 1;
            let Some(letter) = char::from_u32(low + u32::try_from(random.below(width)).expect("small"))
            else {
                continue;
            };
            letter
        };
        if set.contains(u32::from(letter)) {
            return letter;
        }
    }
    panic!("no character of {set:?}")
}
