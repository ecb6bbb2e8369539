//! Which family a chat template is of, told from the marks in its text.

use adapter_api::ToolFormat;

/// The marks that frame calls in any format. Where a model has one as a special token, its text belongs to
/// the answer all the same.
pub const MARKERS: [&str; 11] = [
    "<tool_call>",
    "</tool_call>",
    "<|python_tag|>",
    "[TOOL_CALLS]",
    "[CALL_ID]",
    "[ARGS]",
    "<start_function_call>",
    "<end_function_call>",
    "<escape>",
    "<tool_response>",
    "</tool_response>",
];

/// The format in which the model of `template` was taught to write calls; nothing where the template knows no
/// tools, or writes them in a way that is not read here. Such a model is told of its tools in words
/// ([`crate::plain`]) and answers as [`ToolFormat::Hermes`].
#[must_use]
pub fn detect(template: &str) -> Option<ToolFormat> {
    let has = |mark: &str| template.contains(mark);
    if !has("tools") {
        return None;
    }
    if has("<start_function_call>") {
        Some(ToolFormat::Gemma)
    } else if has("[TOOL_CALLS]") {
        Some(if has("[ARGS]") { ToolFormat::MistralNamed } else { ToolFormat::MistralArray })
    } else if has("<tool_call>") {
        // GLM puts an XML of its own between the same marks.
        match (has("<function="), has("<arg_key>")) {
            (true, _) => Some(ToolFormat::QwenXml),
            (false, true) => None,
            (false, false) => Some(ToolFormat::Hermes),
        }
    } else if has("<|start_header_id|>") && (has("<|python_tag|>") || has("\"parameters\"")) {
        Some(ToolFormat::Llama3)
    } else {
        None
    }
}

#[cfg(test)]
mod tests;
