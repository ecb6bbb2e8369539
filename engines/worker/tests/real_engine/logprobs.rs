//! How probable the tokens of an answer were.

use generation::{Finish, GenerateRequest, TokenLogprob};

use crate::harness::{Worker, job, prompt};

fn asks(most: Option<u8>) -> GenerateRequest {
    GenerateRequest { logprobs: most, ..job(prompt("The capital of France is"), 12) }
}

/// ORCH-ENG-12
#[test]
fn each_token_of_a_greedy_answer_is_the_best_of_those_that_are_told() {
    let mut worker = Worker::start(1, 256);
    let answer = worker.answer(asks(Some(5)));
    assert_eq!(answer.finish(), &Finish::Length);
    let told: Vec<&TokenLogprob> = answer.pieces.iter().flat_map(|piece| &piece.logprobs).collect();
    let tokens: Vec<i32> = answer.pieces.iter().flat_map(|piece| piece.tokens.iter().copied()).collect();
    assert_eq!(told.iter().map(|one| one.chosen.token).collect::<Vec<_>>(), tokens, "one of each, in order");
    let bytes: Vec<u8> = told.iter().flat_map(|one| one.chosen.bytes.iter().copied()).collect();
    assert_eq!(String::from_utf8_lossy(&bytes), answer.text);
    for one in told {
        assert_eq!(one.top.len(), 5);
        assert_eq!(one.top[0], one.chosen);
        assert!(one.top.is_sorted_by(|a, b| a.logprob >= b.logprob));
        let sum: f32 = one.top.iter().map(|candidate| candidate.logprob.exp()).sum();
        assert!(one.chosen.logprob < 0.0 && (0.0..=1.0001).contains(&sum), "{one:?}");
    }
}

/// ORCH-ENG-12
#[test]
fn they_change_nothing_of_the_answer_and_are_told_only_where_asked_for() {
    let mut worker = Worker::start(1, 256);
    let (asked, silent) = (worker.answer(asks(Some(0))), worker.answer(asks(None)));
    assert_eq!(asked.text, silent.text);
    assert!(asked.pieces.iter().all(|piece| piece.logprobs.len() == piece.tokens.len()));
    assert!(asked.pieces.iter().flat_map(|piece| &piece.logprobs).all(|one| one.top.is_empty()));
    assert!(silent.pieces.iter().all(|piece| piece.logprobs.is_empty()));
}
