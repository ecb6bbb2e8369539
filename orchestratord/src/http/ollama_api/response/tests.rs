use std::sync::Arc;

use generation::ToolCallStart;
use orchestrator_core::{Millis, TokenCount};
use serde_json::json;

use super::*;
use crate::task_log::{PromptProgress, TaskLog};

fn end(finish: FinishReason) -> TaskEnd {
    TaskEnd {
        tokens_out: TokenCount(5),
        tokens_reasoning: None,
        tokens_in: TokenCount(7),
        tokens_cached: TokenCount(0),
        decode_ms: Millis(40),
        queue_ms: Millis(10),
        finish,
        stop_text: None,
        failure: None,
        extra: None,
    }
}

fn lines(form: Form) -> Lines {
    let clock = Clock::start();
    Lines::new(ResponseMeta { model: "m".to_owned(), form, clock, begun: clock.now() })
}

fn written(encode: impl FnOnce(&mut Lines, &mut BytesMut), form: Form) -> Vec<Value> {
    let mut out = BytesMut::new();
    encode(&mut lines(form), &mut out);
    let text = std::str::from_utf8(&out).expect("text");
    text.split_terminator('\n').map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn delta(start: Option<&str>, arguments: &str) -> ToolCallDelta {
    let start = start.map(|name| ToolCallStart { id: String::new(), name: name.to_owned() });
    ToolCallDelta { index: 0, start, arguments: arguments.to_owned() }
}

/// ORCH-OLLAMA-6
#[test]
fn the_times_of_an_answer_add_up_to_its_whole() {
    let figures = Figures::of(&end(FinishReason::Stop), Duration::from_millis(100));
    let wanted = Figures {
        total_duration: 100_000_000,
        load_duration: 10_000_000,
        prompt_eval_count: 7,
        prompt_eval_duration: 50_000_000,
        eval_count: 5,
        eval_duration: 40_000_000,
    };
    assert_eq!(figures, wanted);
    let one = TaskEnd { tokens_out: TokenCount(1), decode_ms: Millis(0), ..end(FinishReason::Stop) };
    assert_eq!(Figures::of(&one, Duration::from_millis(20)).eval_duration, 1, "clients divide by it");
}

/// ORCH-OLLAMA-2
#[test]
fn a_call_is_told_whole_with_its_arguments_as_an_object() {
    let encode = |lines: &mut Lines, out: &mut BytesMut| {
        for delta in [delta(Some("a"), "{\"x\""), delta(None, ":1}"), delta(Some("b"), "")] {
            lines.tool_call(out, 0, delta, SegmentMetadata::default());
        }
        lines.end(out, 0, &end(FinishReason::Stop));
    };
    let lines = written(encode, Form::Chat);
    let function = |line: &Value| line["message"]["tool_calls"][0]["function"].clone();
    assert_eq!(function(&lines[0]), json!({"index": 0, "name": "a", "arguments": {"x": 1}}));
    assert_eq!(function(&lines[1]), json!({"index": 1, "name": "b", "arguments": {}}));
    assert_eq!((&lines[2]["done"], &lines[2]["done_reason"]), (&json!(true), &json!("stop")));
}

/// ORCH-OLLAMA-2
#[test]
fn a_call_that_was_cut_is_left_out() {
    let encode = |lines: &mut Lines, out: &mut BytesMut| {
        lines.tool_call(out, 0, delta(Some("a"), "{\"x\": \"ha"), SegmentMetadata::default());
        lines.end(out, 0, &end(FinishReason::Length));
    };
    let lines = written(encode, Form::Chat);
    assert_eq!((lines.len(), &lines[0]["done_reason"]), (1, &json!("length")));
}

/// ORCH-OLLAMA-2
#[test]
fn what_is_read_of_a_prompt_has_no_form_in_lines() {
    let log = Arc::new(TaskLog::new());
    log.reads_prompt(PromptProgress { read: TokenCount(1), of: TokenCount(2) });
    let encode = |lines: &mut Lines, out: &mut BytesMut| {
        lines.progress(out, &mut ReadingComments::of(&log));
    };
    assert_eq!(written(encode, Form::Chat), [] as [Value; 0]);
}

/// ORCH-OLLAMA-2
#[test]
fn a_prompt_is_answered_in_response_and_a_chat_in_message() {
    let encode = |lines: &mut Lines, out: &mut BytesMut| {
        lines.reasoning(out, 0, "hm", SegmentMetadata::default());
        lines.text(out, 0, "Hi", SegmentMetadata::default());
        lines.keepalive(out);
    };
    let text = written(encode, Form::Text);
    assert_eq!((&text[0]["thinking"], &text[0]["response"]), (&json!("hm"), &json!("")));
    assert_eq!((&text[1]["response"], &text[1]["done"]), (&json!("Hi"), &json!(false)));
    let chat = written(encode, Form::Chat);
    assert_eq!(chat[0]["message"], json!({"role": "assistant", "content": "", "thinking": "hm"}));
    assert_eq!(
        chat[2]["message"],
        json!({"role": "assistant", "content": ""}),
        "an idle stream says nothing"
    );
}
