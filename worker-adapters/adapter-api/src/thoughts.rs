//! How what a model thinks before it answers stands in the text of its answer: between the marks that most models
//! write themselves. An engine that tells thoughts apart has them put between the same marks by its adapter.

/// What stands before thoughts.
pub const THOUGHTS_BEGIN: &str = "<think>";

/// What stands behind them.
pub const THOUGHTS_END: &str = "</think>";

/// What is put before the answer to a conversation that was rendered as `prompt`: some templates write the first mark
/// themselves, so that the model does not, and nobody could tell its thoughts from its answer.
#[must_use]
pub fn opening(prompt: &str) -> Option<&'static str> {
    prompt.trim_end().ends_with(THOUGHTS_BEGIN).then_some("<think>\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_prompt_that_ends_inside_of_thoughts_opens_them() {
        assert_eq!(opening("<|im_start|>assistant\n<think>\n"), Some("<think>\n"));
        assert_eq!(opening("<｜Assistant｜><think>"), Some("<think>\n"));
        for prompt in ["<|im_start|>assistant\n", "<think>\n\n</think>\n\n", "What is <think>?", ""] {
            assert_eq!(opening(prompt), None, "{prompt}");
        }
    }
}
