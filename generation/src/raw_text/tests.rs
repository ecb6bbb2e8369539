use super::*;
use crate::output::ToolCallStart;

fn call(index: u32, name: Option<&str>, arguments: &str) -> OutputEvent {
    let start = name.map(|name| ToolCallStart { id: String::new(), name: name.to_owned() });
    OutputEvent::ToolCall(ToolCallDelta { index, start, arguments: arguments.to_owned() })
}

#[test]
fn reasoning_and_calls_stand_between_tags_however_they_come() {
    let events = [
        OutputEvent::Reasoning("a".to_owned()),
        OutputEvent::Reasoning("b".to_owned()),
        OutputEvent::Text("c".to_owned()),
        call(0, Some("f"), ""),
        call(0, None, "{\"x\":"),
        call(0, None, "1}"),
        call(1, Some("g"), "{}"),
    ];
    let expected = "<think>ab</think>c<tool_call>\n{\"name\": \"f\", \"arguments\": {\"x\":1}}\n</tool_call>\
                    <tool_call>\n{\"name\": \"g\", \"arguments\": {}}\n</tool_call>";
    let mut whole = RawTextWriter::default();
    assert_eq!(whole.write(&events) + &whole.finish(), expected);
    let mut single = RawTextWriter::default();
    let pieces: String = events.chunks(1).map(|event| single.write(event)).collect();
    assert_eq!(pieces + &single.finish(), expected);
}

#[test]
fn reasoning_that_was_cut_off_has_no_end_tag() {
    let mut raw = RawTextWriter::default();
    assert_eq!(raw.write(&[OutputEvent::Reasoning("a".to_owned())]) + &raw.finish(), "<think>a");
}
