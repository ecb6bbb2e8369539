use super::*;

/// Reasoning and answer of an output that comes in these pieces.
fn parse<'p>(
    mut parser: InlineReasoningParser,
    pieces: impl IntoIterator<Item = &'p str>,
) -> (String, String) {
    let mut events: Vec<OutputEvent> = pieces.into_iter().flat_map(|piece| parser.push(piece)).collect();
    events.extend(parser.finish());
    let (mut reasoning, mut answer) = (String::new(), String::new());
    for event in events {
        assert!(!event.is_empty());
        match event {
            OutputEvent::Reasoning(more) => {
                assert!(answer.is_empty(), "reasoning comes first");
                reasoning.push_str(&more);
            }
            OutputEvent::Text(more) => answer.push_str(&more),
            other => panic!("{other:?}"),
        }
    }
    (reasoning, answer)
}

fn assert_at_every_split(prefilled: bool, output: &str, reasoning: &str, answer: &str) {
    let expected = (reasoning.to_owned(), answer.to_owned());
    let parser = || InlineReasoningParser::new(prefilled);
    assert_eq!(parse(parser(), [output]), expected, "{output}");
    let letters = output.char_indices().map(|(at, letter)| &output[at..at + letter.len_utf8()]);
    assert_eq!(parse(parser(), letters), expected, "{output}");
    for (at, _) in output.char_indices() {
        assert_eq!(parse(parser(), [&output[..at], &output[at..]]), expected, "{output} at {at}");
    }
}

/// ORCH-OAI-17
#[test]
fn what_stands_between_the_tags_is_reasoning_at_every_split() {
    for (output, reasoning, answer) in [
        ("<think>\nIt is <b> é.\n\nSo.\n</think>\n\nYes. </think>", "It is <b> é.\n\nSo.", "Yes. </think>"),
        (" \n<think>a</think>b", "a", "b"),
        ("<think>\n\n</think>\n\nYes.", "", "Yes."),
        ("<think>cut </thi", "cut </thi", ""),
        ("<think>cut \n", "cut", ""),
        ("<think>", "", ""),
        ("<think>all</think>\n", "all", ""),
    ] {
        assert_at_every_split(false, output, reasoning, answer);
    }
}

/// ORCH-OAI-17
#[test]
fn an_output_after_a_prefilled_tag_begins_with_reasoning() {
    assert_at_every_split(true, "\nIt is.\n</think>\n\nYes.", "It is.", "Yes.");
    assert_at_every_split(true, "cut", "cut", "");
}

/// ORCH-OAI-17
#[test]
fn an_output_that_does_not_begin_with_the_tag_is_all_answer() {
    for output in
        ["Yes <think>no</think>", "  plain", "<thin", " \n", "<thinking>a</thinking>", "{\"a\": 1}", ""]
    {
        assert_at_every_split(false, output, "", output);
    }
    let mut plain = InlineReasoningParser::default();
    assert_eq!(plain.push("Yes"), [OutputEvent::Text("Yes".to_owned())], "nothing is held back for it");
    assert!(plain.is_done());
}

/// ORCH-ENG-15
#[test]
fn only_a_prompt_that_ends_within_reasoning_is_prefilled() {
    assert!(is_prefilled("<|im_start|>assistant\n<think>\n"));
    assert!(is_prefilled("<｜Assistant｜><think>"));
    for prompt in ["<|im_start|>assistant\n", "<think>\n\n</think>\n\n", "What is <think>?", ""] {
        assert!(!is_prefilled(prompt), "{prompt}");
    }
}
