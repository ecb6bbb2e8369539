use super::*;

/// The thoughts and the text of an answer that comes in these pieces.
fn read<'p>(pieces: impl IntoIterator<Item = &'p str>) -> (String, String) {
    let mut thoughts = ThoughtReader::default();
    let mut said: Vec<Said> = pieces.into_iter().flat_map(|piece| thoughts.push(piece.to_owned())).collect();
    said.extend(thoughts.finish());
    let (mut thought, mut text) = (String::new(), String::new());
    for said in said {
        match said {
            Said::Thought(more) => {
                assert!(text.is_empty() && !more.is_empty(), "thoughts come first");
                thought.push_str(&more);
            }
            Said::Text(more) => {
                assert!(!more.is_empty());
                text.push_str(&more);
            }
        }
    }
    (thought, text)
}

#[test]
fn what_stands_between_the_marks_is_thought_under_every_split() {
    for (answer, thought, text) in [
        ("<think>\nIt is <b> é.\n\nSo.\n</think>\n\nYes. </think>", "It is <b> é.\n\nSo.", "Yes. </think>"),
        (" \n<think>a</think>b", "a", "b"),
        ("<think>\n\n</think>\n\nYes.", "", "Yes."),
        ("<think>cut </thi", "cut </thi", ""),
        ("<think>cut \n", "cut", ""),
        ("<think>", "", ""),
        ("<think>all</think>\n", "all", ""),
    ] {
        assert_eq!(read([answer]), (thought.to_owned(), text.to_owned()), "{answer}");
        let letters = answer.char_indices().map(|(at, letter)| &answer[at..at + letter.len_utf8()]);
        assert_eq!(read(letters), (thought.to_owned(), text.to_owned()), "{answer}");
        for (at, _) in answer.char_indices() {
            assert_eq!(
                read([&answer[..at], &answer[at..]]),
                (thought.to_owned(), text.to_owned()),
                "{answer} at {at}"
            );
        }
    }
}

#[test]
fn an_answer_that_does_not_begin_with_thoughts_comes_out_as_it_went_in() {
    for answer in
        ["Yes <think>no</think>", "  plain", "<thin", " \n", "<thinking>a</thinking>", "{\"a\": 1}", ""]
    {
        assert_eq!(read([answer]), (String::new(), answer.to_owned()));
        let letters = answer.char_indices().map(|(at, letter)| &answer[at..at + letter.len_utf8()]);
        assert_eq!(read(letters), (String::new(), answer.to_owned()), "{answer}");
    }
    let mut plain = ThoughtReader::default();
    assert_eq!(plain.push("Yes".to_owned()), [Said::Text("Yes".to_owned())], "nothing is held back for it");
    assert!(plain.is_over());
}

#[test]
fn only_a_prompt_that_ends_inside_of_thoughts_opens_them() {
    assert_eq!(opening("<|im_start|>assistant\n<think>\n"), Some("<think>\n"));
    assert_eq!(opening("<｜Assistant｜><think>"), Some("<think>\n"));
    for prompt in ["<|im_start|>assistant\n", "<think>\n\n</think>\n\n", "What is <think>?", ""] {
        assert_eq!(opening(prompt), None, "{prompt}");
    }
}
