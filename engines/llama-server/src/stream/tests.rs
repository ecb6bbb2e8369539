use std::sync::Arc;

use engine_http::testing::{Replayed, chunked, job, replay_every_split, sse};
use engine_http::{Ending, Fault, Last, Reading};
use generation::Input;
use orchestrator_core::TokenCount;

use super::LlamaAnswer;
use crate::sessions::Sessions;

async fn replay(bytes: &[u8]) -> Replayed {
    let sessions = Arc::new(Sessions::default());
    let asked = job(Input::Prompt("x".to_owned()));
    replay_every_split(bytes, || {
        Reading::Stream(LlamaAnswer::of_completion(sessions.begin(None, ""), &asked, false))
    })
    .await
}

/// `llama-server` b11434, `POST /completion` with `stream` and `return_tokens`: the fields and their order are
/// those of `server_task_result_cmpl_partial` and `…_final` (`tools/server/server-task.cpp`), the headers
/// those of its HTTP library.
fn completion(stop_type: &str) -> Vec<u8> {
    let mut bytes =
        b"HTTP/1.1 200 OK\r\nKeep-Alive: timeout=5, max=100\r\nContent-Type: text/event-stream\r\n\
        Server: llama.cpp\r\nTransfer-Encoding: chunked\r\nAccess-Control-Allow-Origin: \r\n\r\n"
            .to_vec();
    let events = [
        r#"{"index":0,"content":"","tokens":[0],"stop":false,"id_slot":-1,"tokens_predicted":0,"tokens_evaluated":6,"prompt_progress":{"total":6,"cache":4,"processed":6,"time_ms":19}}"#,
        r#"{"index":0,"content":" Gr","tokens":[2219],"stop":false,"id_slot":1,"tokens_predicted":1,"tokens_evaluated":6}"#,
        r#"{"index":0,"content":"ü\"n\"","tokens":[195,188,9],"stop":false,"id_slot":1,"tokens_predicted":4,"tokens_evaluated":6}"#,
        r#"{"index":0,"content":"","tokens":[240],"stop":false,"id_slot":1,"tokens_predicted":5,"tokens_evaluated":6}"#,
        r#"{"index":0,"content":"🦙","tokens":[159,166,153],"stop":false,"id_slot":1,"tokens_predicted":8,"tokens_evaluated":6}"#,
    ];
    for event in events {
        bytes.extend(chunked(format!("data: {event}\n\n").as_bytes()));
    }
    bytes.extend(chunked(b":\n\n"));
    let last = format!(
        r#"{{"index":0,"content":"","tokens":[],"id_slot":1,"stop":true,"model":"smol","tokens_predicted":9,"tokens_evaluated":6,"generation_settings":{{"n_predict":9,"seed":7,"temperature":0.0,"stop":[],"samplers":["penalties","top_k"],"lora":[]}},"prompt":"<s>The \"n\"","has_new_line":false,"truncated":false,"stop_type":"{stop_type}","stopping_word":"","tokens_cached":14,"timings":{{"cache_n":4,"prompt_n":2,"prompt_ms":19.5,"prompt_per_token_ms":9.75,"prompt_per_second":102.5,"predicted_n":9,"predicted_ms":71.25,"predicted_per_token_ms":7.9,"predicted_per_second":126.3}}}}"#
    );
    bytes.extend(chunked(format!("data: {last}\n\n").as_bytes()));
    bytes.extend(chunked(b""));
    bytes
}

/// ORCH-ENG-5
#[tokio::test]
async fn a_completion_reads_the_same_under_every_split() {
    let replayed = replay(&completion("eos")).await;
    let told: Vec<_> =
        replayed.pieces.iter().map(|piece| (piece.text.as_str(), piece.tokens.clone())).collect();
    let wanted = [(" Gr", vec![2219]), ("ü\"n\"", vec![195, 188, 9]), ("🦙", vec![240, 159, 166, 153])];
    assert_eq!(told, wanted, "a token without text of its own goes with the next");
    let last = Last {
        ending: Ending::Stop,
        tokens_in: Some(TokenCount(6)),
        tokens_cached: Some(TokenCount(4)),
        tokens_out: Some(TokenCount(9)),
        ..Last::default()
    };
    assert_eq!(replayed.end, Ok(last));
}

#[tokio::test]
async fn a_limit_is_told_from_an_end() {
    assert_eq!(replay(&completion("limit")).await.end.expect("an end").ending, Ending::Length);
    assert_eq!(replay(&completion("word")).await.end.expect("an end").ending, Ending::Stop);
}

#[tokio::test]
async fn an_error_in_the_stream_is_told_with_its_words() {
    let good = r#"{"index":0,"content":"a","tokens":[1],"stop":false}"#;
    let error = r#"{"error":{"code":500,"message":"Context size has been exceeded.","type":"server_error"}}"#;
    let replayed = replay(&sse(&[good, error])).await;
    assert_eq!(replayed.text(), "a");
    let wanted = "`llama-server` reports an error: Context size has been exceeded.".to_owned();
    assert_eq!(replayed.end, Err(Fault::Failed(wanted)));
}

#[tokio::test]
async fn a_stream_without_a_last_event_was_cut_off() {
    let mut bytes = sse(&[r#"{"index":0,"content":"a","tokens":[1],"stop":false}"#]);
    bytes.extend(chunked(b""));
    assert!(matches!(replay(&bytes).await.end, Err(Fault::Transport(_))));
    assert!(matches!(replay(&sse(&["{\"content\":7}"])).await.end, Err(Fault::Protocol(_))));
}
