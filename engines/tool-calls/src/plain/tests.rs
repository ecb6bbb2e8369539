//! Conversations in words.

use generation::ToolCall;

use super::*;

fn weather() -> Tools {
    let tool = Tool {
        name: "weather".to_owned(),
        description: Some("Says how it is outside.".to_owned()),
        parameters: Some("{\"type\":\"object\",\"properties\":{\"city\":{\"type\":\"string\"}}}".to_owned()),
        ..Tool::default()
    };
    Tools { offered: vec![tool], ..Tools::default() }
}

fn call(city: &str) -> ToolCall {
    let arguments = format!("{{\"city\":\"{city}\"}}");
    ToolCall { id: format!("call_{city}"), name: "weather".to_owned(), arguments }
}

#[test]
fn tools_are_told_in_the_system_message_and_calls_and_results_are_text() {
    let messages = [
        Message::new(Role::System, "Be brief."),
        Message::new(Role::User, "Rome or Oslo?"),
        Message {
            tool_calls: vec![call("Rome"), call("Oslo")],
            ..Message::new(Role::Assistant, "Let me see.")
        },
        Message { tool_call_id: Some("call_Rome".into()), ..Message::new(Role::Tool, "sun") },
        Message { tool_call_id: Some("call_Oslo".into()), ..Message::new(Role::Tool, "rain") },
    ];
    let turns = in_words(&messages, &weather()).expect("good tools");
    let system = &turns[0].content;
    assert!(system.starts_with("Be brief.\n\nYou may call one or more functions"), "{system}");
    assert!(system.contains("\"name\":\"weather\""), "{system}");
    assert_eq!(
        turns[2],
        Message::new(
            Role::Assistant,
            "Let me see.\n<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\":\"Rome\"}}\n</tool_call>\n\
             <tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\":\"Oslo\"}}\n</tool_call>"
        )
    );
    let results = "<tool_response>\nsun\n</tool_response>\n<tool_response>\nrain\n</tool_response>";
    assert_eq!(turns[3..], [Message::new(Role::User, results)]);
}

#[test]
fn tools_that_are_not_shown_are_not_told_of() {
    let messages = [Message::new(Role::User, "hi")];
    let silent = Tools { choice: generation::ToolChoice::None, ..weather() };
    assert_eq!(in_words(&messages, &silent).expect("good tools"), messages);
    let told = in_words(&messages, &weather()).expect("good tools");
    assert_eq!(told.iter().map(|turn| turn.role).collect::<Vec<_>>(), [Role::System, Role::User]);
    let merged = without_system(told.clone());
    assert_eq!(merged, [Message::new(Role::User, format!("{}\n\nhi", told[0].content))]);
}

#[test]
fn a_schema_that_is_no_json_is_named() {
    let mut tools = weather();
    tools.offered[0].parameters = Some("{".to_owned());
    let told = in_words(&[], &tools).expect_err("broken");
    assert!(told.starts_with("`tools[0].parameters` (`weather`) is not JSON"), "{told}");
}
