use engine_http::testing::{Replayed, chunked, replay_every_split, sse};
use engine_http::{Ending, Fault, Last, Reading, Stopped, UNKNOWN_TOKEN};
use orchestrator_core::TokenCount;

use super::TritonAnswer;

async fn replay(events: &[&str], stops: &[String]) -> Replayed {
    let mut bytes = sse(events);
    bytes.extend(chunked(b""));
    replay_every_split(&bytes, || Reading::Stream(Stopped::new(TritonAnswer::default(), stops))).await
}

/// Triton 24.10 with the vLLM back end: the outputs are those that its `model.py` declares.
#[tokio::test]
async fn the_vllm_back_end_reads_the_same_under_every_split() {
    let events = [
        r#"{"finish_reason":"None","model_name":"vllm_model","model_version":"1","num_input_tokens":5,"num_output_tokens":1,"text_output":" Gr"}"#,
        r#"{"finish_reason":"None","model_name":"vllm_model","model_version":"1","num_output_tokens":3,"text_output":"üße 🦙"}"#,
        r#"{"finish_reason":"length","model_name":"vllm_model","model_version":"1","num_output_tokens":1,"text_output":"!\n"}"#,
    ];
    let replayed = replay(&events, &[]).await;
    assert_eq!(replayed.text(), " Grüße 🦙!\n");
    assert_eq!(replayed.pieces[1].tokens, [UNKNOWN_TOKEN; 3]);
    let last = Last {
        ending: Ending::Length,
        tokens_in: Some(TokenCount(5)),
        tokens_out: Some(TokenCount(5)),
        ..Last::default()
    };
    assert_eq!(replayed.end, Ok(last));
}

/// Triton with TensorRT-LLM's `ensemble`: the events that its own documentation shows.
#[tokio::test]
async fn tensorrt_llm_reads_the_same_under_every_split_and_stops_before_its_stop_word() {
    let event = |text: &str| {
        format!(
            r#"{{"context_logits":0.0,"cum_log_probs":0.0,"generation_logits":0.0,"model_name":"ensemble","model_version":"1","output_log_probs":0.0,"sequence_end":false,"sequence_id":0,"sequence_start":false,"text_output":"{text}"}}"#
        )
    };
    let events: Vec<_> = ["I", " am", " a", " mo", "del. U", "ser: more"].map(event).into();
    let events: Vec<_> = events.iter().map(String::as_str).collect();
    let plain = replay(&events, &[]).await;
    assert_eq!(plain.text(), "I am a model. User: more");
    assert_eq!(plain.end.expect("an end").ending, Ending::Unsaid);
    let stopped = replay(&events, &[" User:".to_owned()]).await;
    assert_eq!(stopped.text(), "I am a model.");
    assert_eq!(stopped.end.expect("an end").ending, Ending::Stop);
    let almost = replay(&events[..5], &[" User:".to_owned()]).await;
    assert_eq!(almost.text(), "I am a model. U", "what only began like a stop word is told at the end");
}

#[tokio::test]
async fn an_error_and_what_is_no_event_are_told() {
    let good = r#"{"text_output":"a"}"#;
    let failed = replay(&[good, r#"{"error":"failed to generate"}"#], &[]).await;
    assert_eq!(failed.text(), "a");
    assert_eq!(failed.end, Err(Fault::Failed("the engine reports an error: failed to generate".to_owned())));
    assert!(matches!(replay(&[good, "{}"], &[]).await.end, Err(Fault::Protocol(_))));
    assert!(matches!(replay(&[], &[]).await.end, Err(Fault::Transport(_))), "an answer without an event");
}
