use super::*;

fn text(text: &str) -> OutputEvent {
    OutputEvent::Text(text.to_owned())
}

#[test]
fn raw_text_waits_for_what_it_is_and_comes_with_all_of_its_tokens() {
    let mut pending = PendingOutput::default();
    pending.push(OutputChunk::text("<thi", vec![1]));
    assert_eq!(pending.take(Vec::new()), None);
    pending.push(OutputChunk::text("nk>a", vec![2, 3]));
    let reasoning = vec![OutputEvent::Reasoning("a".to_owned())];
    let chunk = pending.take(reasoning.clone()).expect("it is decided");
    assert_eq!((chunk.text.as_str(), &*chunk.tokens), ("<think>a", &[1, 2, 3][..]));
    assert!(chunk.is_reasoning());
    assert_eq!(chunk.events, Some(reasoning));
    assert_eq!(pending.finish(Vec::new()), None, "nothing is sent twice");
}

#[test]
fn raw_text_that_is_the_answer_has_no_events() {
    let mut pending = PendingOutput::default();
    pending.push(OutputChunk::text("Hi.", vec![1]));
    assert_eq!(pending.take(vec![text("Hi"), text(".")]), Some(OutputChunk::text("Hi.", vec![1])));
}

#[test]
fn markup_at_the_end_and_text_that_was_held_back_are_sent() {
    let mut pending = PendingOutput::default();
    pending.push(OutputChunk::text("</tool_call>", vec![1]));
    let markup = pending.finish(Vec::new()).expect("raw text");
    assert_eq!((markup.text.as_str(), markup.events), ("</tool_call>", Some(Vec::new())));
    let held = pending.finish(vec![text("<th")]).expect("an event");
    assert_eq!((held.text.as_str(), held.events), ("", Some(vec![text("<th")])));
}

#[test]
fn chunks_that_are_joined_are_what_they_were() {
    let mut joined = OutputChunk::text("a", vec![1]);
    joined.append(OutputChunk::text("b", vec![2]));
    assert_eq!(joined, OutputChunk::text("ab", vec![1, 2]));
    let reasoning = OutputEvent::Reasoning("c".to_owned());
    joined.append(OutputChunk { events: Some(vec![reasoning.clone()]), ..OutputChunk::text("<c>", vec![3]) });
    assert_eq!(joined.text, "ab<c>");
    assert_eq!(joined.events, Some(vec![text("ab"), reasoning]));
}
