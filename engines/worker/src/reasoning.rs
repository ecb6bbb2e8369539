//! The budget of reasoning: counts its tokens and, where they are used up, has the end tag written, so that the answer
//! follows.
//!
//! ```text
//! Outside ── start tag ──► Inside ── budget used up ──► Closing ─┐
//!    ▲                       │ end tag                           │ end tag is written
//!    └───────────────────────┴───────────────────────────────────┘
//! ```
//!
//! Rules: ORCH-ENG-31

/// The tags of a model's reasoning.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReasoningTags {
    /// The tag before it.
    pub start: String,
    /// The tags that end it; the first is the one to write.
    pub ends: Vec<String>,
    /// Whether the prompt ends within reasoning.
    pub is_prefilled: bool,
}

/// Counts the reasoning of one output.
#[derive(Clone, Debug)]
pub struct ReasoningBudget {
    tags: ReasoningTags,
    /// The tokens of the end tag.
    closing: Vec<i32>,
    /// Tokens of reasoning that may still come.
    left: usize,
    state: State,
    /// The last bytes of the output, as many as a tag may have.
    tail: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Outside,
    Inside,
    /// So many tokens of the end tag are written.
    Closing(usize),
}

impl ReasoningBudget {
    /// A budget of so many tokens; nothing for a model whose reasoning has no tags. `closing` is the end tag in tokens.
    #[must_use]
    pub fn new(tags: ReasoningTags, closing: Vec<i32>, tokens: usize) -> Option<Self> {
        if tags.start.is_empty() || closing.is_empty() {
            return None;
        }
        let state = if tags.is_prefilled { State::Inside } else { State::Outside };
        let mut budget = Self { tags, closing, left: tokens, state, tail: Vec::new() };
        budget.close_if_used_up();
        Some(budget)
    }

    /// The token that comes next, where the end tag is due.
    #[must_use]
    pub fn forced(&self) -> Option<i32> {
        match self.state {
            State::Closing(written) => self.closing.get(written).copied(),
            State::Outside | State::Inside => None,
        }
    }

    /// Takes note of a token that was written, with the bytes of its text.
    pub fn accept(&mut self, bytes: &[u8]) {
        if let State::Closing(written) = self.state {
            self.state =
                if written + 1 < self.closing.len() { State::Closing(written + 1) } else { State::Outside };
            self.tail.clear();
            return;
        }
        self.tail.extend_from_slice(bytes);
        match self.state {
            State::Outside if ends_with_tag(&self.tail, &self.tags.start) => {
                self.state = State::Inside;
                self.tail.clear();
            }
            State::Inside if self.tags.ends.iter().any(|end| ends_with_tag(&self.tail, end)) => {
                self.state = State::Outside;
                self.tail.clear();
            }
            State::Inside => self.left = self.left.saturating_sub(1),
            State::Outside | State::Closing(_) => {}
        }
        let longest = self.tags.ends.iter().chain([&self.tags.start]).map(String::len).max().unwrap_or(0);
        let kept = (longest + bytes.len()).min(self.tail.len());
        self.tail = self.tail.split_off(self.tail.len() - kept);
        self.close_if_used_up();
    }

    /// Not within a character, which would be cut in two.
    fn close_if_used_up(&mut self) {
        let is_whole =
            std::str::from_utf8(&self.tail).map_or_else(|error| error.error_len().is_some(), |_| true);
        if self.state == State::Inside && self.left == 0 && is_whole {
            self.state = State::Closing(0);
        }
    }
}

/// Whether the last token of `tail` completes `tag`. White space around a tag is the model's own.
fn ends_with_tag(tail: &[u8], tag: &str) -> bool {
    let tag = tag.trim().as_bytes();
    !tag.is_empty() && tail.windows(tag.len()).any(|window| window == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLOSING: [i32; 2] = [90, 91];

    fn budget(tokens: usize, is_prefilled: bool) -> ReasoningBudget {
        let tags =
            ReasoningTags { start: "<think>\n".to_owned(), ends: vec!["</think>".to_owned()], is_prefilled };
        ReasoningBudget::new(tags, CLOSING.to_vec(), tokens).expect("tags")
    }

    /// What is written where the model would write `texts`, one token each.
    fn written(mut budget: ReasoningBudget, texts: &[&str]) -> Vec<String> {
        let mut written = Vec::new();
        for text in texts {
            while let Some(forced) = budget.forced() {
                written.push(forced.to_string());
                budget.accept(b"?");
            }
            written.push((*text).to_owned());
            budget.accept(text.as_bytes());
        }
        written
    }

    /// ORCH-ENG-31
    #[test]
    fn reasoning_is_closed_once_its_tokens_are_used_up_and_the_answer_follows() {
        let all = written(budget(2, false), &["<thi", "nk>", "\na", "b", "c"]);
        assert_eq!(all, ["<thi", "nk>", "\na", "b", "90", "91", "c"]);
        let prefilled = written(budget(1, true), &["a", "b"]);
        assert_eq!(prefilled, ["a", "90", "91", "b"]);
        assert_eq!(written(budget(0, true), &["a"]), ["90", "91", "a"]);
    }

    #[test]
    fn reasoning_within_its_budget_and_answers_are_left_alone() {
        let texts = ["<think>", "a", "</thi", "nk>", "b", "c", "d"];
        assert_eq!(written(budget(3, false), &texts), texts);
        let answer = ["a", "b", "c"];
        assert_eq!(written(budget(0, false), &answer), answer);
    }

    #[test]
    fn reasoning_that_begins_again_has_what_is_left() {
        let texts = ["<think>", "a", "</think>", "b", "<think>", "c", "d"];
        let all = written(budget(2, false), &texts);
        assert_eq!(all, ["<think>", "a", "</think>", "b", "<think>", "c", "90", "91", "d"]);
    }

    #[test]
    fn a_character_is_not_cut_in_two() {
        let mut budget = budget(1, true);
        let llama = "🦙".as_bytes();
        budget.accept(&llama[..2]);
        assert_eq!(budget.forced(), None);
        budget.accept(&llama[2..]);
        assert_eq!(budget.forced(), Some(90));
    }

    #[test]
    fn a_model_without_tags_has_no_budget() {
        assert!(ReasoningBudget::new(ReasoningTags::default(), CLOSING.to_vec(), 1).is_none());
    }
}
