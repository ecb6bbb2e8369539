//! How a call that an engine tells apart stands in the text of an answer, for people to read: as the models of
//! the Hermes family write calls.

/// What stands before the arguments of a call of `name`.
#[must_use]
pub fn beginning(name: &str) -> String {
    format!("<tool_call>\n{{\"name\": {}, \"arguments\": ", serde_json::Value::from(name))
}

/// What stands behind them.
pub const END: &str = "}\n</tool_call>";
