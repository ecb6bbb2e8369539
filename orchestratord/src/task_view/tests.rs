use generation::{Message, ToolCall};

use super::*;

/// ORCH-TASK-14
#[test]
fn a_long_input_is_kept_from_its_beginning_and_counted_in_full() {
    let turn = |content: String| Message::new(Role::User, content);
    let half = "ä".repeat(ASKED_BYTES_MAX / 4);
    let input = Input::Messages(vec![turn(half.clone()), turn(format!("x{half}")), turn("last".to_owned())]);
    let asked = PromptPreview::of(&input);
    assert_eq!(asked.bytes, ASKED_BYTES_MAX + 5);
    assert!(asked.is_cut());
    let kept: usize = asked.parts.iter().map(|(_, text)| text.len()).sum();
    assert_eq!(kept, ASKED_BYTES_MAX - 1, "no character is kept by half");
    assert!(asked.parts[1].1.starts_with("xä"));
    assert!(!PromptPreview::of(&Input::Prompt("short".to_owned())).is_cut());
}

#[test]
fn what_a_turn_calls_is_shown_in_words() {
    let call = ToolCall { id: "1".to_owned(), name: "look".to_owned(), arguments: "{\"at\":2}".to_owned() };
    let turn = Message { tool_calls: vec![call], ..Message::new(Role::Assistant, "I look.") };
    let asked = PromptPreview::of(&Input::Messages(vec![turn]));
    assert_eq!(asked.parts, [(Some(Role::Assistant), "I look.\nlook({\"at\":2})".to_owned())]);
}

/// ORCH-TASK-13
#[test]
fn the_speed_of_an_answer_counts_from_its_first_token() {
    let mut view = TaskView {
        task: TaskId(uuid::Uuid::nil()),
        session: None,
        pool: PoolId::new("p").unwrap(),
        engine: EngineKind::Llamacpp,
        priority: Priority::Batch,
        workload: Workload::Completion,
        phase: TaskPhase::Running,
        tokens_in: TokenCount(3),
        tokens_out: TokenCount(1),
        max_tokens: None,
        age: Millis(3000),
        promised_start: Millis(0),
        course: Timeline { first_token: Some(Millis(1000)), ..Timeline::default() },
    };
    assert_eq!(view.tokens_per_s(), None, "one token has no speed");
    view.tokens_out = TokenCount(21);
    assert_eq!(view.tokens_per_s(), Some(10.0));
    view.course.first_token = None;
    assert_eq!(view.tokens_per_s(), None);
}
