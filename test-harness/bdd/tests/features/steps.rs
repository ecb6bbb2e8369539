//! What the sentences of the features mean. Placeholders: `{text}` is a text in quotes, `{number}` a whole
//! number, `{word}` a word, `{json}` a value without spaces that is no text, `{method}` a method of HTTP.

use cucumber::step::{Collection, Context, Step};
use regex::Regex;

use crate::world::World;

mod answers;
mod asking;
mod commands;
mod daemons;
mod tasks;

/// Every step.
pub fn all() -> Collection<World> {
    let steps = Steps(Collection::new());
    let modules = [daemons::steps, asking::steps, answers::steps, tasks::steps, commands::steps];
    modules.into_iter().fold(steps, |steps, module| module(steps)).0
}

/// Steps by their sentences.
pub struct Steps(Collection<World>);

impl Steps {
    /// A sentence that may stand anywhere: what it does is the same as a premise, an action or a claim.
    pub fn step(self, sentence: &str, step: Step<World>) -> Self {
        let pattern = pattern(sentence);
        let steps = self.0.given(None, pattern.clone(), step).when(None, pattern.clone(), step);
        Self(steps.then(None, pattern, step))
    }
}

fn pattern(sentence: &str) -> Regex {
    let pattern = regex::escape(sentence)
        .replace(r"\{text\}", "\"([^\"]*)\"")
        .replace(r"\{number\}", r"(\d+)")
        .replace(r"\{a\}", "(?:an|a)")
        .replace(r"\{word\}", r"(\w+)")
        .replace(r"\{json\}", r#"([^"\s]\S*)"#)
        .replace(r"\{method\}", "(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS)");
    Regex::new(&format!("^{pattern}$")).unwrap()
}

/// What a step was given.
pub trait Said {
    /// The placeholder at a place, from 0.
    fn text(&self, place: usize) -> String;

    /// As [`Self::text`], as a number.
    fn number(&self, place: usize) -> u64;

    /// The text block below the step.
    fn block(&self) -> String;

    /// The rows of the table below the step.
    fn rows(&self) -> Vec<Vec<String>>;

    /// The first column of the table below the step.
    fn lines(&self) -> Vec<String> {
        self.rows().into_iter().map(|row| row[0].clone()).collect()
    }
}

impl Said for Context {
    fn text(&self, place: usize) -> String {
        self.matches[place + 1].1.clone()
    }

    fn number(&self, place: usize) -> u64 {
        self.text(place).parse().unwrap()
    }

    fn block(&self) -> String {
        self.step.docstring.clone().expect("a text block below the step").trim().to_owned()
    }

    fn rows(&self) -> Vec<Vec<String>> {
        self.step.table.clone().expect("a table below the step").rows
    }
}
