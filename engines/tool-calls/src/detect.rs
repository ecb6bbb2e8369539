//! Which family a chat template is of, told from the marks in its text.
//!
//! Rules: ORCH-ENG-10

use crate::ToolFormat;

/// The format in which the model of `template` was taught to write calls, where it is one of those that are read here:
/// of Hermes, of the coders of Qwen, or of Gemma's function models.
#[must_use]
pub fn detect(template: &str) -> Option<ToolFormat> {
    let has = |mark: &str| template.contains(mark);
    if !has("tools") {
        return None;
    }
    if has("<start_function_call>") {
        return Some(ToolFormat::Gemma);
    }
    if !has("<tool_call>") {
        return None;
    }
    // GLM puts an XML of its own between the same marks.
    match (has("<function="), has("<arg_key>")) {
        (true, _) => Some(ToolFormat::QwenXml),
        (false, true) => None,
        (false, false) => Some(ToolFormat::Hermes),
    }
}

/// The marks that frame its calls. Where a model has one as a special token, its text belongs to the answer all the
/// same.
#[must_use]
pub fn marks(format: ToolFormat) -> &'static [&'static str] {
    match format {
        ToolFormat::Hermes | ToolFormat::QwenXml => {
            &["<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>"]
        }
        ToolFormat::Gemma => &["<start_function_call>", "<end_function_call>", "<escape>"],
    }
}

#[cfg(test)]
mod tests;
