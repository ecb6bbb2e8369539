//! Pieces of the templates that models carry.

use super::*;

/// ORCH-ENG-10
#[test]
fn each_family_is_told_by_its_marks() {
    for (template, format) in [
        (
            "{%- if tools %}{{- '<|im_start|>system\\n' }}{{- \"within <tools></tools>\" }}{%- for tool in tools %}\
             {{- \"return a json object within <tool_call></tool_call> XML tags\" }}",
            Some(ToolFormat::Hermes),
        ),
        (
            "{%- if not tools_in_user_message is defined %}{{- '<|start_header_id|>user<|end_header_id|>' }}\
             {{- '{\"name\": \"' + tool_call.name + '\", ' }}{{- '\"parameters\": ' }}{{- \"<|python_tag|>\" + x }}",
            None,
        ),
        ("{{- \"[AVAILABLE_TOOLS] [\" }}{% for tool in tools %}{{- \"[TOOL_CALLS] [\" }}", None),
        ("{%- for tool in tools %}{{- '[TOOL_CALLS]' + tool.function.name + '[ARGS]' + arguments }}", None),
        (
            "{%- if tools %}{{ '<start_function_declaration>' }}{{ '<start_function_call>call:' + name }}",
            Some(ToolFormat::Gemma),
        ),
        ("{% for tool in tools %}{{ '<tool_call>\\n<function=' + name + '>' }}", Some(ToolFormat::QwenXml)),
        ("{% for tool in tools %}{{ '<tool_call>' + name + '<arg_key>' }}", None),
        ("{{ '<start_of_turn>' + role }}", None),
        ("{% for message in messages %}{{'<|im_start|>' + message['role'] }}", None),
    ] {
        assert_eq!(detect(template), format, "{template}");
    }
}
