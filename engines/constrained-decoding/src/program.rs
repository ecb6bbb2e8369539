//! A grammar as a program of a machine with a stack of return addresses. Loops are jumps, so that only rules
//! that call each other grow the stack, and not a repetition. What a grammar costs is known when it is
//! compiled: its size is bounded, and a rule that calls itself before it has read anything is an error.

use std::collections::HashMap;

use super::gbnf::{CharSet, Node, Tree};

/// Instructions of a program at most: 16 bytes each.
const MAX_INSTRUCTIONS: usize = 300_000;

/// A grammar that can be run.
#[derive(Debug)]
pub struct Program {
    /// The instructions; the first is where the rule `root` begins.
    pub code: Vec<Op>,
    /// The sets of characters it reads, by number.
    pub sets: Vec<CharSet>,
}

/// An instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Reads a character of the set of this number.
    Char(u32),
    /// Reads a whole token, this one, or any but this one.
    Token {
        /// Which.
        id: i32,
        /// Whether it is any but this one.
        negated: bool,
    },
    /// Goes on here and there.
    Split(u32, u32),
    /// Goes on there.
    Jump(u32),
    /// Goes on at a rule, and behind this instruction when the rule has ended.
    Call(u32),
    /// The end of a rule.
    Return,
}

impl Op {
    /// Whether it reads the whole token `id`.
    #[must_use]
    pub fn is_token(self, id: i32) -> bool {
        matches!(self, Self::Token { id: wanted, negated } if (wanted == id) != negated)
    }
}

impl Program {
    /// Compiles `tree`.
    ///
    /// # Errors
    /// What makes it impossible or too large.
    pub fn compile(tree: &Tree) -> Result<Self, String> {
        reject_left_recursion(tree)?;
        let mut compiler = Compiler { code: Vec::new(), sets: Vec::new(), known: HashMap::new(), visits: 0 };
        let mut starts = vec![0; tree.rules.len()];
        for rule in reached(tree) {
            starts[rule] = compiler.here();
            compiler.node(&tree.rules[rule])?;
            compiler.emit(Op::Return)?;
        }
        // Calls hold the numbers of rules until all rules have a place.
        for op in &mut compiler.code {
            if let Op::Call(rule) = op {
                *rule = starts[*rule as usize];
            }
        }
        Ok(Self { code: compiler.code, sets: compiler.sets })
    }
}

struct Compiler {
    code: Vec<Op>,
    sets: Vec<CharSet>,
    known: HashMap<CharSet, u32>,
    /// Parts of the tree visited: an empty one that is repeated takes time and no instruction.
    visits: usize,
}

impl Compiler {
    fn here(&self) -> u32 {
        u32::try_from(self.code.len()).expect("bounded by `emit`")
    }

    fn emit(&mut self, op: Op) -> Result<usize, String> {
        if self.code.len() >= MAX_INSTRUCTIONS {
            return Err(too_large());
        }
        self.code.push(op);
        Ok(self.code.len() - 1)
    }

    fn node(&mut self, node: &Node) -> Result<(), String> {
        self.visits += 1;
        if self.visits > 4 * MAX_INSTRUCTIONS {
            return Err(too_large());
        }
        match node {
            Node::Sequence(items) => items.iter().try_for_each(|item| self.node(item)),
            Node::Choice(branches) => self.choice(branches),
            Node::Char(set) => {
                let next = u32::try_from(self.sets.len()).expect("fewer than instructions");
                let number = *self.known.entry(set.clone()).or_insert(next);
                if number == next {
                    self.sets.push(set.clone());
                }
                self.emit(Op::Char(number)).map(drop)
            }
            Node::Token { id, negated } => self.emit(Op::Token { id: *id, negated: *negated }).map(drop),
            Node::Rule(rule) => {
                let rule = u32::try_from(*rule).expect("fewer than bytes of a grammar");
                self.emit(Op::Call(rule)).map(drop)
            }
            Node::Repeat { item, least, most } => self.repeat(item, *least, *most),
        }
    }

    fn choice(&mut self, branches: &[Node]) -> Result<(), String> {
        let mut ends = Vec::new();
        for (at, branch) in branches.iter().enumerate() {
            if at + 1 == branches.len() {
                self.node(branch)?;
                break;
            }
            let split = self.emit(Op::Split(0, 0))?;
            self.node(branch)?;
            ends.push(self.emit(Op::Jump(0))?);
            self.code[split] = Op::Split(u32::try_from(split + 1).expect("bounded"), self.here());
        }
        let end = self.here();
        ends.into_iter().for_each(|jump| self.code[jump] = Op::Jump(end));
        Ok(())
    }

    fn repeat(&mut self, item: &Node, least: u32, most: Option<u32>) -> Result<(), String> {
        for _ in 0..least {
            self.node(item)?;
        }
        let mut splits = Vec::new();
        match most {
            None => {
                let split = self.emit(Op::Split(0, 0))?;
                self.node(item)?;
                self.emit(Op::Jump(u32::try_from(split).expect("bounded")))?;
                splits.push(split);
            }
            Some(most) => {
                for _ in least..most {
                    splits.push(self.emit(Op::Split(0, 0))?);
                    self.node(item)?;
                }
            }
        }
        let end = self.here();
        for split in splits {
            self.code[split] = Op::Split(u32::try_from(split + 1).expect("bounded"), end);
        }
        Ok(())
    }
}

fn too_large() -> String {
    format!("it is too large: its rules and counted repetitions take more than {MAX_INSTRUCTIONS} steps")
}

/// The rules that are of use, the root first.
fn reached(tree: &Tree) -> Vec<usize> {
    let mut seen = vec![false; tree.rules.len()];
    let mut order = Vec::new();
    let mut todo = vec![tree.root];
    while let Some(rule) = todo.pop() {
        if !std::mem::replace(&mut seen[rule], true) {
            order.push(rule);
            called(&tree.rules[rule], &mut todo);
        }
    }
    order
}

/// Rules that `node` calls.
fn called(node: &Node, found: &mut Vec<usize>) {
    match node {
        Node::Sequence(parts) | Node::Choice(parts) => parts.iter().for_each(|part| called(part, found)),
        Node::Char(_) | Node::Token { .. } => {}
        Node::Rule(rule) => found.push(*rule),
        Node::Repeat { item, .. } => called(item, found),
    }
}

/// Finds a rule that calls itself before it has read anything: its run would never end.
fn reject_left_recursion(tree: &Tree) -> Result<(), String> {
    let mut empties = vec![false; tree.rules.len()];
    while {
        let before = empties.iter().filter(|empty| **empty).count();
        for (at, rule) in tree.rules.iter().enumerate() {
            empties[at] = empties[at] || may_be_empty(rule, &empties);
        }
        before != empties.iter().filter(|empty| **empty).count()
    } {}
    let firsts: Vec<Vec<usize>> = tree
        .rules
        .iter()
        .map(|rule| {
            let mut found = Vec::new();
            first_rules(rule, &empties, &mut found);
            found.sort_unstable();
            found.dedup();
            found
        })
        .collect();
    // Depth first, without recursion: a chain of rules may be as long as a grammar. 0: new, 1: above, 2: done.
    let mut seen = vec![0u8; tree.rules.len()];
    for start in 0..tree.rules.len() {
        let mut path = vec![(start, 0)];
        while let Some((rule, next)) = path.pop() {
            if next == 0 {
                if seen[rule] == 2 {
                    continue;
                }
                seen[rule] = 1;
            }
            let Some(callee) = firsts[rule].get(next) else {
                seen[rule] = 2;
                continue;
            };
            if seen[*callee] == 1 {
                return Err("left recursion: a rule begins with itself".to_owned());
            }
            path.push((rule, next + 1));
            path.push((*callee, 0));
        }
    }
    Ok(())
}

fn may_be_empty(node: &Node, empties: &[bool]) -> bool {
    match node {
        Node::Sequence(items) => items.iter().all(|item| may_be_empty(item, empties)),
        Node::Choice(branches) => branches.iter().any(|branch| may_be_empty(branch, empties)),
        Node::Char(_) | Node::Token { .. } => false,
        Node::Rule(rule) => empties[*rule],
        Node::Repeat { item, least, most } => *least == 0 || *most == Some(0) || may_be_empty(item, empties),
    }
}

/// Rules that `node` may begin with.
fn first_rules(node: &Node, empties: &[bool], found: &mut Vec<usize>) {
    match node {
        Node::Sequence(items) => {
            for item in items {
                first_rules(item, empties, found);
                if !may_be_empty(item, empties) {
                    break;
                }
            }
        }
        Node::Choice(branches) => branches.iter().for_each(|branch| first_rules(branch, empties, found)),
        Node::Char(_) | Node::Token { .. } => {}
        Node::Rule(rule) => found.push(*rule),
        Node::Repeat { item, most, .. } => {
            if *most != Some(0) {
                first_rules(item, empties, found);
            }
        }
    }
}
