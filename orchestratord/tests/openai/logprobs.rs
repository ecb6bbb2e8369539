//! How probable the tokens of an answer were.

use engine_api::Abilities;
use engine_mock::Answer as Says;
use generation::{OutputChunk, TokenCandidate, TokenLogprob};
use serde_json::{Value, json};

use crate::contract;
use crate::test_daemon::{MockOptions, TestDaemon};
use crate::tools::{call_of_rome, weather};
use crate::wire::Ask;
use crate::{Audit, chat, completion, events, with};

/// A daemon whose model tells, and answers `says`.
async fn telling(says: Says) -> TestDaemon {
    let abilities = Abilities { logprobs: Some(20), tools: true, ..Abilities::default() };
    let daemon = TestDaemon::with(MockOptions { says, abilities, ..MockOptions::default() });
    daemon.bring_up().await;
    daemon
}

/// What the tokens of a list spell.
fn spelled<'t>(tokens: impl IntoIterator<Item = &'t Value>) -> String {
    let bytes = |token: &Value| -> Vec<u8> { serde_json::from_value(token["bytes"].clone()).unwrap() };
    String::from_utf8(tokens.into_iter().flat_map(bytes).collect()).unwrap()
}

fn items(list: &Value) -> &Vec<Value> {
    list.as_array().unwrap_or_else(|| panic!("{list} is no list"))
}

/// ORCH-OAI-13
#[tokio::test]
async fn a_chat_tells_the_same_of_its_tokens_whole_and_in_chunks() {
    let (audit, daemon) = (Audit::new(), telling(Says::Echo).await);
    let asked = json!({"logprobs": true, "top_logprobs": 2, "n": 2});
    let whole = audit.expect(200, daemon.address, chat("Grüße an alle", &asked)).await.json();
    let choice = &whole["choices"][1];
    assert_eq!(choice["message"]["content"], "user Grüße an alle assistant");
    let tokens = items(&choice["logprobs"]["content"]);
    assert_eq!(spelled(tokens), "user Grüße an alle assistant");
    assert_eq!(tokens[1]["token"], " Grüße");
    // The pretend engine is certain of what it says.
    assert_eq!(
        tokens[1]["top_logprobs"],
        json!([{"token": " Grüße", "logprob": 0.0, "bytes": tokens[1]["bytes"]}])
    );

    let stream = with(asked, &json!({"stream": true}));
    let stream = audit.expect(200, daemon.address, chat("Grüße an alle", &stream)).await;
    let events = events(&stream);
    let of_choice = events.iter().map(|event| &event["choices"][0]).filter(|choice| choice["index"] == 1);
    let mut streamed = Vec::new();
    for choice in of_choice {
        match choice["delta"]["content"].as_str() {
            Some(text) if !text.is_empty() => {
                let tokens = items(&choice["logprobs"]["content"]);
                assert_eq!(spelled(tokens), text, "a chunk has the tokens of its own text");
                streamed.extend(tokens.clone());
            }
            _ => assert_eq!(choice["logprobs"], Value::Null),
        }
    }
    assert_eq!(&streamed, tokens);
}

/// ORCH-OAI-13
#[tokio::test]
async fn nobody_who_does_not_ask_is_told_and_no_alternatives_are_none() {
    let (audit, daemon) = (Audit::new(), telling(Says::Echo).await);
    for silent in [json!({}), json!({"logprobs": false, "top_logprobs": 0})] {
        let whole = audit.expect(200, daemon.address, chat("one", &silent)).await.json();
        assert_eq!(whole["choices"][0]["logprobs"], Value::Null);
    }
    let whole = audit.expect(200, daemon.address, chat("one", &json!({"logprobs": true}))).await.json();
    assert_eq!(whole["choices"][0]["logprobs"]["content"][0]["top_logprobs"], json!([]));
}

/// ORCH-OAI-13
#[tokio::test]
async fn a_completion_tells_them_in_lists_with_offsets_that_go_on_from_chunk_to_chunk() {
    let (audit, daemon) = (Audit::new(), telling(Says::Echo).await);
    let asked = json!({"logprobs": 1});
    let whole = audit.expect(200, daemon.address, completion("für alle da", &asked)).await.json();
    let told = json!({
        "tokens": ["für", " alle", " da"],
        "token_logprobs": [0.0, 0.0, 0.0],
        "top_logprobs": [{"für": 0.0}, {" alle": 0.0}, {" da": 0.0}],
        "text_offset": [0, 3, 8],
    });
    assert_eq!(whole["choices"][0]["logprobs"], told);
    let stream = with(asked, &json!({"stream": true}));
    let stream = audit.expect(200, daemon.address, completion("für alle da", &stream)).await;
    let events = events(&stream);
    let lists = events.iter().map(|event| &event["choices"][0]["logprobs"]).filter(|told| !told.is_null());
    let offsets: Vec<Value> = lists.flat_map(|told| items(&told["text_offset"]).clone()).collect();
    assert_eq!(offsets, [0, 3, 8]);

    let none = audit.expect(200, daemon.address, completion("one", &json!({"logprobs": 0}))).await.json();
    assert_eq!(none["choices"][0]["logprobs"]["top_logprobs"], Value::Null);
    assert_eq!(none["choices"][0]["logprobs"]["tokens"], json!(["one"]));
}

/// ORCH-OAI-13
#[tokio::test]
async fn tokens_of_a_call_are_not_among_those_of_the_text() {
    let token = |text: &str| TokenLogprob {
        chosen: TokenCandidate { token: 7, bytes: text.as_bytes().to_vec(), logprob: -0.5 },
        top: Vec::new(),
    };
    let weighed =
        |piece: OutputChunk| OutputChunk { logprobs: vec![token(&piece.text)], tokens: vec![7], ..piece };
    let text = OutputChunk { text: "Let me see.".to_owned(), ..OutputChunk::default() };
    let pieces = [text].into_iter().chain(call_of_rome()).map(weighed).collect();
    let (audit, daemon) = (Audit::new(), telling(Says::Chunks(pieces)).await);
    let asked = json!({"logprobs": true, "tools": weather()});
    let whole = audit.expect(200, daemon.address, chat("Rome?", &asked)).await.json();
    let choice = &whole["choices"][0];
    assert_eq!(choice["message"]["content"], "Let me see.");
    assert_eq!(spelled(items(&choice["logprobs"]["content"])), "Let me see.");
    assert_eq!(choice["finish_reason"], "tool_calls");
    let stream = with(asked, &json!({"stream": true}));
    let stream = audit.expect(200, daemon.address, chat("Rome?", &stream)).await;
    let events = events(&stream);
    let lists = events.iter().filter_map(|event| event["choices"][0]["logprobs"]["content"].as_array());
    assert_eq!(spelled(lists.flatten()), "Let me see.");
}

/// ORCH-OAI-13
#[tokio::test]
async fn a_response_includes_them_where_it_is_asked_to() {
    let (audit, daemon) = (Audit::new(), telling(Says::Echo).await);
    let asked = json!({"model": "starter", "input": "one two", "top_logprobs": 1,
        "include": ["message.output_text.logprobs", "reasoning.encrypted_content"]});
    let whole = audit.expect(200, daemon.address, Ask::post("/v1/responses").json(&asked)).await.json();
    let part = &whole["output"][0]["content"][0];
    assert_eq!(spelled(items(&part["logprobs"])), part["text"].as_str().unwrap());
    let body = with(asked, &json!({"stream": true}));
    let stream = audit.expect(200, daemon.address, Ask::post("/v1/responses").json(&body)).await;
    let events = contract::events(stream.text()).unwrap();
    let named =
        |name: &'static str| events.iter().filter(move |event| event.name == name).map(|event| &event.data);
    let deltas: Vec<Value> =
        named("response.output_text.delta").flat_map(|delta| items(&delta["logprobs"]).clone()).collect();
    assert_eq!(&deltas, items(&part["logprobs"]));
    let done = named("response.output_text.done").next().unwrap();
    assert_eq!(done["logprobs"], part["logprobs"]);
    let last = named("response.completed").next().unwrap();
    assert_eq!(last["response"]["output"][0]["content"][0], *part);
}

/// ORCH-OAI-13
#[tokio::test]
async fn a_character_in_several_tokens_is_told_with_all_of_them_beside_its_text() {
    let llama = "🦙".as_bytes();
    let token = |bytes: &[u8]| {
        let chosen = TokenCandidate { token: 7, bytes: bytes.to_vec(), logprob: -0.5 };
        TokenLogprob { top: vec![chosen.clone()], chosen }
    };
    let piece = |text: &str, tokens: &[&[u8]]| OutputChunk {
        text: text.to_owned(),
        tokens: vec![7; tokens.len()],
        logprobs: tokens.iter().map(|bytes| token(bytes)).collect(),
        ..OutputChunk::default()
    };
    let pieces = vec![piece("a", &[b"a"]), piece("🦙!", &[&llama[..1], &llama[1..3], &[llama[3], b'!']])];
    let (audit, daemon) = (Audit::new(), telling(Says::Chunks(pieces)).await);
    let more = json!({"logprobs": true, "top_logprobs": 1, "stream": true});
    let stream = audit.expect(200, daemon.address, chat("one", &more)).await;
    let events = events(&stream);
    let of_llama = events.iter().find(|event| event["choices"][0]["delta"]["content"] == "🦙!").unwrap();
    let tokens = items(&of_llama["choices"][0]["logprobs"]["content"]);
    assert_eq!(spelled(tokens), "🦙!");
    let names: Vec<_> = tokens.iter().map(|token| token["token"].as_str().unwrap()).collect();
    assert_eq!(names, [r"\xf0", r"\x9f\xa6", r"\x99!"]);
    let whole = audit.expect(200, daemon.address, completion("one", &json!({"logprobs": 1}))).await.json();
    assert_eq!(whole["choices"][0]["logprobs"]["text_offset"], json!([0, 1, 1, 1]));
}
