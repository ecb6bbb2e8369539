//! Gaps, and what the vocabulary and the chat template make of text.

use std::path::Path;
use std::sync::Arc;

use engine_api::{TextAnswer, TextQuery};
use generation::{Finish, Infill, InfillFile, Input};

use crate::harness::{Worker, job, model, prompt, spec, user};

/// The starter model, some of whose special tokens are called as those of models that fill gaps.
fn with_marks(folder: &Path) -> std::path::PathBuf {
    let mut bytes = std::fs::read(model()).expect("read");
    for (from, to) in [
        ("<issue_closed>", "<|fim_prefix|>"),
        ("<jupyter_text>", "<|fim_suffix|>"),
        ("<jupyter_code>", "<|fim_middle|>"),
        ("<issue_start>", "<|repo_name|>"),
        ("<|im_start|>", "<|file_sep|>"),
    ] {
        // As an entry of the vocabulary: behind its length.
        let entry = |text: &str| [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat();
        let (from, to) = (entry(from), entry(to));
        let at = bytes.windows(from.len()).position(|part| part == from).expect("the vocabulary has it");
        bytes[at..at + to.len()].copy_from_slice(&to);
    }
    let path = folder.join("marks.gguf");
    std::fs::write(&path, bytes).expect("written");
    path
}

fn tokens(worker: &mut Worker, text: &str) -> usize {
    let query = TextQuery::Tokenize { text: text.to_owned(), add_special: false, parse_special: false };
    match worker.text(query).expect("it can be told") {
        TextAnswer::Tokens(tokens) => tokens.len(),
        TextAnswer::Text(text) => panic!("{text}"),
    }
}

/// ORCH-OAI-26
#[test]
fn a_gap_is_filled_and_what_does_not_fit_is_left_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut worker = Worker::spawn();
    worker.load(spec(&with_marks(folder.path()), 1, 256)).expect("it loads");
    assert!(worker.facts.as_ref().expect("loaded").abilities.infill);

    let (prefix, suffix) = ("def add(a, b):\n    return ", "\n\nprint(add(1, 2))\n");
    let gap = Infill { prefix: prefix.into(), suffix: suffix.into(), ..Infill::default() };
    let asked = job(Input::Infill(gap.clone()), 4);
    let measured = worker.measure(asked.clone()).expect("measured").tokens.0 as usize;
    assert_eq!(measured, tokens(&mut worker, prefix) + tokens(&mut worker, suffix) + 3);
    let answer = worker.answer(asked);
    assert!(matches!(answer.finish(), Finish::Length | Finish::Stop));
    assert_eq!(answer.report().tokens_in.0 as usize, measured);

    let file = InfillFile { name: "a.py".into(), text: "A = 1\n".into() };
    let with_file = job(Input::Infill(Infill { files: vec![file], ..gap }), 4);
    assert!(worker.measure(with_file).expect("measured").tokens.0 as usize > measured + 8);

    let long = Infill { prefix: "x = 1\n".repeat(500), suffix: "y = 2\n".repeat(500), ..Infill::default() };
    let asked = job(Input::Infill(long), 16);
    assert_eq!(worker.measure(asked.clone()).expect("measured").tokens.0, 256 - 16 - 1);
    assert!(matches!(worker.answer(asked).finish(), Finish::Length | Finish::Stop));
}

/// ORCH-OAI-26
#[test]
fn a_gap_is_refused_by_a_model_that_fills_none() {
    let mut worker = Worker::start(1, 256);
    let gap = Infill { prefix: "a".into(), suffix: "b".into(), ..Infill::default() };
    let refused = worker.measure(job(Input::Infill(gap), 4)).expect_err("it has no marks").to_string();
    assert!(refused.contains("`suffix`") && refused.contains("fill-in-the-middle"), "{refused}");
}

/// ORCH-OAI-27
#[test]
fn text_and_tokens_become_each_other_and_a_conversation_its_prompt() {
    let mut worker = Worker::start(1, 512);
    let text = "Why is the sky blue? \u{1f980}";
    let tokenize =
        |special| TextQuery::Tokenize { text: text.into(), add_special: false, parse_special: special };
    let TextAnswer::Tokens(pieces) = worker.text(tokenize(true)).expect("it can be told") else {
        panic!("tokens were asked for")
    };
    let bytes: Vec<u8> = pieces.iter().flat_map(|piece| piece.bytes.clone()).collect();
    assert_eq!(bytes, text.as_bytes());
    let ids = pieces.iter().map(|piece| piece.id).collect();
    assert_eq!(worker.text(TextQuery::Detokenize(ids)), Ok(TextAnswer::Text(text.into())));
    let refused = worker.text(TextQuery::Detokenize(vec![1, -1])).expect_err("no token").to_string();
    assert!(refused.starts_with("`tokens[1]` is -1; the tokens of this model are 0 to "), "{refused}");

    let template = |input| TextQuery::ApplyTemplate(Arc::new(job(input, 4)));
    let Ok(TextAnswer::Text(rendered)) = worker.text(template(user("Hello"))) else { panic!("no prompt") };
    assert!(rendered.ends_with("<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n"), "{rendered}");
    let read = worker.measure(job(user("Hello"), 4)).expect("measured").tokens.0 as usize;
    let query = TextQuery::Tokenize { text: rendered, add_special: false, parse_special: true };
    let Ok(TextAnswer::Tokens(pieces)) = worker.text(query) else { panic!("no tokens") };
    assert_eq!(pieces.len(), read, "the prompt is what a chat reads");
    worker.text(template(prompt("x"))).expect_err("a prompt has no template");
}
