//! The formats in which models write calls in their text.

/// How a model writes a call in its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToolFormat {
    /// `<tool_call>{"name": …, "arguments": …}</tool_call>`: Hermes, Qwen, and every model whose template knows
    /// no tools and is told of them in the system message.
    Hermes,
    /// `<tool_call><function=name><parameter=key>value</parameter></function></tool_call>`: the coders of Qwen,
    /// and Qwen since 3.5.
    QwenXml,
    /// `<start_function_call>call:name{key:<escape>text<escape>}<end_function_call>`: Gemma's function models.
    Gemma,
}
