use std::sync::{Arc, Mutex};

use generation::{EndReport, Message, Role, Tool, ToolCallStart, Tools, Transcript};

use super::*;

#[derive(Clone, Default)]
struct Recorder(Arc<Mutex<Vec<OutputChunk>>>);

impl TaskSink for Recorder {
    fn output(&mut self, chunk: OutputChunk) {
        self.0.lock().expect("not poisoned").push(chunk);
    }

    fn end(self: Box<Self>, _: EndReport) {}
}

/// What comes of `events` in answer to a chat, with or without tools: the raw text, and what it was parsed into.
fn delivered(with_tools: bool, events: Vec<Event<'_>>) -> (String, Transcript) {
    let recorder = Recorder::default();
    let chat = Input::Messages(vec![Message::new(Role::User, "x")]);
    let mut request = GenerateRequest::new(orchestrator_core::TaskId(uuid::Uuid::nil()), chat);
    let offered = if with_tools { vec![Tool { name: "f".into(), ..Tool::default() }] } else { Vec::new() };
    request.tools = Tools { offered, ..Tools::default() }.into();
    let mut delivery =
        Delivery::new(Box::new(recorder.clone()), EventsRead::default()).of(&request, TokenCount(9));
    events.into_iter().for_each(|event| delivery.event(event));
    delivery.finish(String::new());
    let chunks = std::mem::take(&mut *recorder.0.lock().expect("not poisoned"));
    (chunks.iter().map(|chunk| chunk.text.as_str()).collect(), Transcript::of(chunks))
}

fn text(text: &str) -> Event<'_> {
    Event { text: text.into(), tokens: vec![1], ..Event::default() }
}

/// ORCH-ENG-15
#[test]
fn reasoning_that_an_engine_leaves_in_the_text_is_parsed_out_of_it() {
    let (raw, transcript) = delivered(false, ["<th", "ink>a", "</think>", "\nb"].map(text).into());
    assert_eq!(raw, "<think>a</think>\nb");
    assert_eq!((transcript.reasoning.as_str(), transcript.text.as_str()), ("a", "b"));
    let (raw, transcript) = delivered(false, vec![text("<thi")]);
    assert_eq!(
        (raw.as_str(), transcript.text.as_str()),
        ("<thi", "<thi"),
        "what was held back is sent at the end"
    );
}

/// ORCH-ENG-15
#[test]
fn tags_in_the_text_of_an_engine_that_sends_reasoning_apart_are_text() {
    let reasoning = Event { reasoning: "a".into(), tokens: vec![1], ..Event::default() };
    let (raw, transcript) = delivered(false, vec![reasoning, text("<think>"), text("b")]);
    assert_eq!(raw, "<think>a</think><think>b");
    assert_eq!((transcript.reasoning.as_str(), transcript.text.as_str()), ("a", "<think>b"));
}

/// ORCH-ENG-15
#[test]
fn calls_that_the_request_offers_no_tools_for_are_text() {
    let call = || {
        let start = Some(ToolCallStart { id: "c".into(), name: "f".into() });
        let delta = ToolCallDelta { index: 0, start, arguments: "{}".into() };
        Event { tool_calls: vec![delta], tokens: vec![1], ..Event::default() }
    };
    let written = "<tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n</tool_call>";
    let (raw, transcript) = delivered(true, vec![text("a"), call()]);
    assert_eq!((raw, transcript.text.as_str()), (format!("a{written}"), "a"));
    assert_eq!(transcript.tool_calls[0].arguments, "{}");
    let (raw, transcript) = delivered(false, vec![text("a"), call()]);
    assert!(transcript.tool_calls.is_empty());
    assert_eq!(raw, format!("a{written}"));
    assert!(transcript.text.starts_with("a<tool_call>"), "{}", transcript.text);
    let (_, together) = delivered(false, vec![Event { text: "a".into(), ..call() }]);
    assert_eq!(together.text, transcript.text, "text beside a call is sent once");
}
