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
        tokens_read: None,
        model: None,
        client: None,
        preview: None,
    };
    assert_eq!(view.tokens_per_s(), None, "one token has no speed");
    view.tokens_out = TokenCount(21);
    assert_eq!(view.tokens_per_s(), Some(10.0));
    view.course.first_token = None;
    assert_eq!(view.tokens_per_s(), None);
}

/// ORCH-TASK-17
#[test]
fn a_preview_is_the_beginning_of_the_last_question_on_one_line() {
    let turns = [
        (Role::System, "Be brief."),
        (Role::User, "Hello"),
        (Role::Assistant, "Hi"),
        (Role::User, " Why is\n the   sky blue? "),
    ];
    let turns = turns.map(|(role, text)| Message::new(role, text)).to_vec();
    assert_eq!(preview_of(&Input::Messages(turns)).as_deref(), Some("Why is the sky blue?"));
    let long = preview_of(&Input::Prompt("ä".repeat(5000))).unwrap();
    assert_eq!(long.chars().count(), 120);
    assert_eq!(preview_of(&Input::Inputs(vec!["one".to_owned(), "two".to_owned()])).as_deref(), Some("one"));
    assert_eq!(preview_of(&Input::Prompt(" \n".to_owned())), None);
}

/// ORCH-TASK-17
#[test]
fn the_name_of_a_client_is_bounded_and_holds_no_control_character() {
    assert_eq!(ClientName::new(" curl/8.5\t.0 ").unwrap().as_str(), "curl/8.5.0");
    assert_eq!(ClientName::new(&"x".repeat(500)).unwrap().as_str().len(), 96);
    assert_eq!(ClientName::new("  "), None);
}
