use engine_http::testing::{Replayed, chunked, replay_every_split, sse};
use engine_http::{Ending, Fault, Last, Reading, Stopped};
use orchestrator_core::TokenCount;

use super::TgiAnswer;

async fn replay(bytes: &[u8], stops: &[String]) -> Replayed {
    replay_every_split(bytes, || Reading::Stream(Stopped::new(TgiAnswer::Generate, stops))).await
}

/// TGI 2.4, `POST /generate_stream`: events without a space behind `data:`, as its documentation shows them,
/// the last one with the end of turn as a token of its own.
fn generated(reason: &str) -> Vec<u8> {
    let mut bytes = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\n\
        x-accel-buffering: no\r\ntransfer-encoding: chunked\r\n\r\n"
        .to_vec();
    let token = |index: u32, id: u32, text: &str, special: bool, rest: &str| {
        format!(
            "data:{{\"index\":{index},\"token\":{{\"id\":{id},\"text\":\"{text}\",\"logprob\":-0.61816406,\"special\":{special}}},{rest}}}\n\n"
        )
    };
    let nothing = r#""generated_text":null,"details":null"#;
    let end = format!(
        r#""generated_text":" Deep Löwe","details":{{"finish_reason":"{reason}","generated_tokens":4,"seed":7,"input_length":9}}"#
    );
    for event in [
        token(1, 18183, " Deep", false, nothing),
        token(2, 445, " L", false, nothing),
        token(3, 3334, "öwe", false, nothing),
        token(4, 2, "</s>", true, &end),
    ] {
        bytes.extend(chunked(event.as_bytes()));
    }
    bytes.extend(chunked(b""));
    bytes
}

#[tokio::test]
async fn a_prompt_reads_the_same_under_every_split() {
    let replayed = replay(&generated("eos_token"), &[]).await;
    assert_eq!(replayed.text(), " Deep Löwe", "a special token is no text");
    assert_eq!(replayed.pieces[2].tokens, [3334]);
    let last = Last {
        ending: Ending::Stop,
        tokens_in: Some(TokenCount(9)),
        tokens_out: Some(TokenCount(4)),
        ..Last::default()
    };
    assert_eq!(replayed.end, Ok(last));
    assert_eq!(replay(&generated("length"), &[]).await.end.expect("an end").ending, Ending::Length);
}

#[tokio::test]
async fn the_stop_string_that_it_leaves_in_the_text_is_taken_out() {
    let replayed = replay(&generated("stop_sequence"), &["Löwe".to_owned()]).await;
    assert_eq!(replayed.text(), " Deep ");
    assert_eq!(replayed.end.expect("an end").ending, Ending::Stop);
}

#[tokio::test]
async fn an_error_and_a_cut_are_told() {
    let good = r#"{"index":1,"token":{"id":1,"text":"a","logprob":-1.0,"special":false},"generated_text":null,"details":null}"#;
    let error = r#"{"error":"Request failed during generation: CUDA error","error_type":"generation"}"#;
    let failed = replay(&sse(&[good, error]), &[]).await;
    assert_eq!(failed.text(), "a");
    let wanted = "the engine reports an error: Request failed during generation: CUDA error";
    assert_eq!(failed.end, Err(Fault::Failed(wanted.to_owned())));
    let refused = r#"{"error":"`inputs` must have less than 9 tokens","error_type":"validation"}"#;
    assert!(matches!(replay(&sse(&[refused]), &[]).await.end, Err(Fault::Refused(_))));
    assert!(matches!(replay(&sse(&[good]), &[]).await.end, Err(Fault::Transport(_))));
    assert!(matches!(replay(&sse(&["[]"]), &[]).await.end, Err(Fault::Protocol(_))));
}
