use serde_json::{Value, json};

use super::*;

fn candidate(bytes: &[u8], logprob: f32) -> TokenCandidate {
    TokenCandidate { token: 7, bytes: bytes.to_vec(), logprob }
}

fn token(bytes: &[u8], top: &[&[u8]]) -> TokenLogprob {
    TokenLogprob {
        chosen: candidate(bytes, -0.5),
        top: top.iter().map(|bytes| candidate(bytes, -0.25)).collect(),
    }
}

/// A llama in two tokens, the second of which has another letter behind it.
fn split() -> Vec<TokenLogprob> {
    let llama = "🦙".as_bytes();
    vec![
        token("a→".as_bytes(), &[b"x"]),
        token(&llama[..2], &[&llama[..2], b"y"]),
        token(&[llama[2], llama[3], b'!'], &[]),
        token(b"b", &[]),
    ]
}

/// ORCH-OAI-13
#[test]
fn a_token_has_its_bytes_and_a_name_that_can_be_read_where_it_is_a_part_of_a_character() {
    let told = json!(ChatLogprobs::from(split().as_slice()));
    assert_eq!(told["refusal"], Value::Null);
    let names: Vec<_> = told["content"].as_array().unwrap().iter().map(|token| &token["token"]).collect();
    assert_eq!(names, [r"a→", r"\xf0\x9f", r"\xa6\x99!", "b"]);
    assert_eq!(told["content"][1]["bytes"], json!([0xf0, 0x9f]));
    assert_eq!(told["content"][1]["top_logprobs"][0]["logprob"], -0.25);
    assert_eq!(told["content"][2]["top_logprobs"], json!([]));
}

#[test]
fn what_cannot_be_is_told_as_openai_does_and_not_as_null() {
    let never = TokenLogprob { chosen: candidate(b"a", f32::NEG_INFINITY), top: Vec::new() };
    let told = json!(ChatLogprobs::from([never.clone()].as_slice()));
    assert_eq!(told["content"][0]["logprob"], -9999.0);
    assert_eq!(json!(CompletionLogprobs::new(&[never], 0, &mut 0))["token_logprobs"], json!([-9999.0]));
}

/// ORCH-OAI-13
#[test]
fn offsets_count_characters_on_from_the_text_before() {
    let mut offset = 3;
    let told = json!(CompletionLogprobs::new(&split(), 1, &mut offset));
    assert_eq!(told["text_offset"], json!([3, 5, 5, 7]));
    assert_eq!(offset, 8, "a, an arrow, a llama, a mark and b");
    assert_eq!(told["tokens"], json!(["a→", r"bytes:\xf0\x9f", r"bytes:\xa6\x99\x21", "b"]));
    assert_eq!(told["top_logprobs"][0], json!({"x": -0.25, "a→": -0.5}), "the chosen one is always there");
    assert_eq!(told["top_logprobs"][1], json!({r"bytes:\xf0\x9f": -0.25, "y": -0.25}));
    assert_eq!(json!(CompletionLogprobs::new(&split(), 0, &mut 0))["top_logprobs"], Value::Null);
}

#[test]
fn how_many_are_asked_for_is_within_limits_and_goes_with_the_wish() {
    assert_eq!(asked(true, None, "x").unwrap(), Some(0));
    assert_eq!(asked(true, Some(20), "x").unwrap(), Some(20));
    assert_eq!(asked(false, Some(0), "x").unwrap(), None);
    let message = |refused: Refusal| refused.to_string();
    assert_eq!(message(asked(true, Some(21), "x").unwrap_err()), "`top_logprobs` is 21: use 0 to 20");
    assert!(
        message(asked(false, Some(3), "`logprobs` `true`").unwrap_err()).contains("goes with `logprobs`")
    );
}
