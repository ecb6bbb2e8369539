//! A conversation with tools for a chat template that knows none: the tools in the system message, calls and
//! their results as text in Hermes' form, which instruct models follow without having been taught it.
//!
//! Rules: ORCH-ENG-10

use std::fmt::Write;

use generation::{Message, Role, Tool, Tools};
use serde_json::{Value, json};

/// The tools as the OpenAI API writes them, for a template or an instruction to show.
///
/// # Errors
/// The tool whose schema is not JSON.
pub fn functions(tools: &[Tool]) -> Result<Vec<Value>, String> {
    let function = |(at, tool): (usize, &Tool)| {
        let parameters = tool.parameters.as_deref().unwrap_or("{\"type\":\"object\",\"properties\":{}}");
        let parameters: Value = serde_json::from_str(parameters)
            .map_err(|error| format!("`tools[{at}].parameters` (`{}`) is not JSON: {error}", tool.name))?;
        let mut function = json!({ "name": tool.name });
        if let Some(description) = &tool.description {
            function["description"] = json!(description);
        }
        function["parameters"] = parameters;
        Ok(json!({ "type": "function", "function": function }))
    };
    tools.iter().enumerate().map(function).collect()
}

/// Whether a conversation holds what a template without tools cannot show.
#[must_use]
pub fn speaks_of_tools(messages: &[Message]) -> bool {
    messages.iter().any(|message| message.role == Role::Tool || !message.tool_calls.is_empty())
}

/// The conversation in words. Results that come one after the other are one turn of the user.
///
/// # Errors
/// The tool whose schema is not JSON.
pub fn in_words(messages: &[Message], tools: &Tools) -> Result<Vec<Message>, String> {
    let mut turns: Vec<Message> = Vec::with_capacity(messages.len() + 1);
    let mut after_result = false;
    for message in messages {
        let is_result = message.role == Role::Tool;
        if is_result {
            let text = format!("<tool_response>\n{}\n</tool_response>", message.content);
            match turns.last_mut() {
                Some(turn) if after_result => {
                    turn.content.push('\n');
                    turn.content.push_str(&text);
                }
                _ => turns.push(Message::new(Role::User, text)),
            }
        } else {
            turns.push(Message { content: with_calls(message), tool_calls: Vec::new(), ..message.clone() });
        }
        after_result = is_result;
    }
    if tools.are_shown() {
        let told = instruction(tools)?;
        match turns.first_mut() {
            Some(first) if first.role == Role::System => {
                first.content.push_str("\n\n");
                first.content.push_str(&told);
            }
            _ => turns.insert(0, Message::new(Role::System, told)),
        }
    }
    Ok(turns)
}

/// The system message moved into the first turn of the user, for a template that knows no system.
#[must_use]
pub fn without_system(mut turns: Vec<Message>) -> Vec<Message> {
    if turns.first().is_some_and(|turn| turn.role == Role::System) {
        let system = turns.remove(0);
        match turns.first_mut() {
            Some(turn) if turn.role == Role::User => {
                turn.content.insert_str(0, &format!("{}\n\n", system.content))
            }
            _ => turns.insert(0, Message::new(Role::User, system.content)),
        }
    }
    turns
}

fn with_calls(message: &Message) -> String {
    let mut text = message.content.clone();
    for call in &message.tool_calls {
        if !text.is_empty() {
            text.push('\n');
        }
        let name = Value::from(call.name.as_str());
        let arguments = if call.arguments.trim().is_empty() { "{}" } else { &call.arguments };
        let written =
            write!(text, "<tool_call>\n{{\"name\": {name}, \"arguments\": {arguments}}}\n</tool_call>");
        written.expect("writing to a string cannot fail");
    }
    text
}

fn instruction(tools: &Tools) -> Result<String, String> {
    let functions: Vec<String> = functions(&tools.offered)?.iter().map(Value::to_string).collect();
    let how_many = if tools.single { "one function" } else { "one or more functions" };
    Ok(format!(
        "You may call {how_many} to assist with the user query.\n\nYou are provided with function signatures within \
         <tools></tools> XML tags:\n<tools>\n{}\n</tools>\n\nFor each function call, return a json object with \
         function name and arguments within <tool_call></tool_call> XML tags:\n<tool_call>\n{{\"name\": \
         <function-name>, \"arguments\": <args-json-object>}}\n</tool_call>",
        functions.join("\n")
    ))
}

#[cfg(test)]
mod tests;
