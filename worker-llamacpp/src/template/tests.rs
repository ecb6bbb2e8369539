//! Templates as they come in models, and broken ones.

use adapter_api::{Role, Tool, ToolCall};

use super::*;

fn render(source: &str, messages: &[(Role, &str)]) -> Result<String, String> {
    let special = SpecialTexts { bos: "<s>".into(), eos: "</s>".into() };
    let messages: Vec<Message> =
        messages.iter().map(|(role, content)| Message::new(*role, *content)).collect();
    ChatTemplate::compile(source.to_owned(), special)?.render(
        &messages,
        &Tools::default(),
        &Arguments::default(),
    )
}

#[test]
fn a_template_in_the_usual_form_is_rendered_with_the_start_of_the_answer() {
    let source = "{%- for message in messages %}
        {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
            {{- raise_exception('roles must alternate') }}
        {%- endif %}
        {{- '<|' + message.role + '|>' + message['content'].strip() + eos_token }}
    {%- endfor %}
    {% if add_generation_prompt %}
{{ bos_token }}<|assistant|>
    {% endif %}";
    let said = render(source, &[(Role::User, "  Hi \n"), (Role::Assistant, "Ho"), (Role::User, "?")]);
    assert_eq!(said.expect("rendered"), "<|user|>Hi</s><|assistant|>Ho</s><|user|>?</s><s><|assistant|>\n");
    let refused = render(source, &[(Role::Assistant, "Ho")]).expect_err("roles do not alternate");
    assert_eq!(refused, "roles must alternate (line 3 of the template)");
}

#[test]
fn json_is_written_as_python_does() {
    let source = "{{ {'a': [1, 'é<'], 'b': none} | tojson }}{{ [1] | tojson(indent=2) }}";
    assert_eq!(render(source, &[]).expect("rendered"), "{\"a\": [1, \"é<\"], \"b\": null}[\n  1\n]");
}

#[test]
fn loops_may_be_left_early_and_the_date_is_there() {
    let source = "{% for m in messages %}{% if m.role == 'user' %}{% break %}{% endif %}{{ m.content }}{% endfor %}{{ strftime_now('%Y') | int > 2020 }}";
    let said = render(source, &[(Role::System, "s"), (Role::User, "u")]);
    assert_eq!(said.expect("rendered").to_lowercase(), "strue");
}

#[test]
fn a_broken_template_is_an_error_with_its_line() {
    let error = render("a\n{% if %}", &[]).expect_err("broken");
    assert!(error.contains("line 2"), "{error}");
    let error = render("{{ missing.thing }}", &[]).expect_err("no such variable");
    assert!(error.contains("line 1"), "{error}");
}

#[test]
fn a_template_that_never_ends_runs_out_of_fuel() {
    let source = "{% for a in range(10000) %}{% for b in range(10000) %}{% for c in range(10000) %}{% endfor %}{% endfor %}{% endfor %}";
    assert!(render(source, &[]).is_err());
}

/// The main lines of Qwen's template.
const HERMES: &str = r#"{%- if tools %}
    {{- '<|im_start|>system\n' }}
    {%- if messages[0].role == 'system' %}
        {{- messages[0].content + '\n\n' }}
    {%- endif %}
    {{- "Within <tools></tools>:\n<tools>" }}
    {%- for tool in tools %}
        {{- "\n" }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- "\n</tools>, answer within <tool_call></tool_call><|im_end|>\n" }}
{%- endif %}
{%- for message in messages %}
    {%- if message.role == "user" or (message.role == "system" and not tools) or message.role == "assistant" and not message.tool_calls %}
        {{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>' + '\n' }}
    {%- elif message.role == "assistant" %}
        {{- '<|im_start|>' + message.role }}
        {%- if message.content %}
            {{- '\n' + message.content }}
        {%- endif %}
        {%- for tool_call in message.tool_calls %}
            {%- if tool_call.function is defined %}
                {%- set tool_call = tool_call.function %}
            {%- endif %}
            {{- '\n<tool_call>\n{"name": "' + tool_call.name + '", "arguments": ' }}
            {{- tool_call.arguments | tojson }}
            {{- '}\n</tool_call>' }}
        {%- endfor %}
        {{- '<|im_end|>\n' }}
    {%- elif message.role == "tool" %}
        {{- '<|im_start|>user\n<tool_response>\n' + message.content + '\n</tool_response><|im_end|>\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
{%- endif %}"#;

fn with_a_call() -> (Vec<Message>, Tools) {
    let arguments = "{\"city\":\"Paris\",\"days\":2}".to_owned();
    let call = ToolCall { id: "call_1-abcdefghij".into(), name: "weather".into(), arguments };
    let messages = vec![
        Message::new(Role::User, "How is Paris?"),
        Message { tool_calls: vec![call], ..Message::new(Role::Assistant, "") },
        Message { tool_call_id: Some("call_1-abcdefghij".into()), ..Message::new(Role::Tool, "sun") },
    ];
    let tool = Tool {
        name: "weather".into(),
        description: Some("Weather <of> a city".into()),
        parameters: Some("{\"type\":\"object\",\"properties\":{\"city\":{\"type\":\"string\"}}}".into()),
    };
    (messages, Tools { offered: vec![tool], ..Tools::default() })
}

fn compiled(source: &str) -> ChatTemplate {
    ChatTemplate::compile(source.to_owned(), SpecialTexts::default()).expect("compiles")
}

#[test]
fn a_template_that_knows_tools_shows_them_itself() {
    let template = compiled(HERMES);
    assert_eq!(template.tool_format(), ToolFormat::Hermes);
    let (messages, tools) = with_a_call();
    let text = template.render(&messages, &tools, &Arguments::default()).expect("rendered");
    assert_eq!(
        text,
        "<|im_start|>system\nWithin <tools></tools>:\n<tools>\n{\"type\": \"function\", \"function\": {\"name\": \
         \"weather\", \"description\": \"Weather <of> a city\", \"parameters\": {\"type\": \"object\", \
         \"properties\": {\"city\": {\"type\": \"string\"}}}}}\n</tools>, answer within \
         <tool_call></tool_call><|im_end|>\n<|im_start|>user\nHow is Paris?<|im_end|>\n<|im_start|>assistant\n\
         <tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Paris\", \"days\": 2}}\n</tool_call>\
         <|im_end|>\n<|im_start|>user\n<tool_response>\nsun\n</tool_response><|im_end|>\n<|im_start|>assistant\n"
    );
    let silent = Tools { choice: adapter_api::ToolChoice::None, ..tools };
    assert!(
        !template.render(&messages, &silent, &Arguments::default()).expect("rendered").contains("<tools>")
    );
}

#[test]
fn a_template_that_knows_no_tools_is_told_of_them_in_words() {
    let plain = "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}{% endfor %}<|assistant|>";
    let (messages, tools) = with_a_call();
    let template = compiled(plain);
    assert_eq!(template.tool_format(), ToolFormat::Hermes);
    let text = template.render(&messages, &tools, &Arguments::default()).expect("rendered");
    assert!(text.starts_with("<|system|>You may call one or more functions"), "{text}");
    let rest = "<|user|>How is Paris?<|assistant|><tool_call>\n{\"name\": \"weather\", \"arguments\": \
                {\"city\":\"Paris\",\"days\":2}}\n</tool_call><|user|><tool_response>\nsun\n</tool_response><|assistant|>";
    assert!(text.ends_with(rest), "{text}");
    let none = "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system') }}{% endif %}\
                <|{{ m['role'] }}|>{{ m['content'] }}{% endfor %}<|assistant|>";
    let text = compiled(none)
        .render(&messages, &tools, &Arguments::default())
        .expect("rendered without a system message");
    assert!(
        text.starts_with("<|user|>You may call") && text.contains("</tool_call>\n\nHow is Paris?"),
        "{text}"
    );
}

#[test]
fn a_template_that_wants_parts_gets_parts() {
    let parts = "{% for m in messages %}{% for part in m.content %}{% if part.type == 'text' %}{{ part.text }}{% endif %}\
                 {% endfor %}|{% endfor %}";
    assert_eq!(render(parts, &[(Role::User, "a"), (Role::Assistant, "b")]).expect("rendered"), "a|b|");
}

#[test]
fn mistral_gets_ids_of_nine_letters_and_results_know_their_tool() {
    let mistral = "{% for tool in tools %}{% endfor %}[TOOL_CALLS]{% for m in messages %}{% for call in m.tool_calls %}\
                   {% if call.id|length != 9 %}{{ raise_exception('nine') }}{% endif %}{{ call.id }}{% endfor %}\
                   {% if m.role == 'tool' %}={{ m.tool_call_id }}{{ m.name }}{% endif %}{% endfor %}";
    let (messages, tools) = with_a_call();
    let text = compiled(mistral).render(&messages, &tools, &Arguments::default()).expect("rendered");
    assert_eq!(text, "[TOOL_CALLS]bcdefghij=bcdefghijweather");
}

#[test]
fn a_template_takes_the_arguments_it_knows_and_refuses_others_by_name() {
    let thinks = "{%- set ns = namespace(a=1) %}{{- messages[0].content }}
        {%- if enable_thinking is defined and enable_thinking is false %}{{- '<think></think>' }}{%- endif %}
        {%- if add_generation_prompt %}{{- bos_token ~ effort | default('low') ~ ns.a ~ strftime_now('') }}{%- endif %}";
    let template = compiled(thinks);
    let messages = [Message::new(Role::User, "Hi")];
    let rendered = |arguments: &str| {
        let arguments = template.arguments(arguments)?;
        template.render(&messages, &Tools::default(), &arguments)
    };
    assert_eq!(rendered("{}").expect("rendered"), "Hilow1");
    let said = rendered(r#"{"enable_thinking": false, "effort": "high"}"#).expect("rendered");
    assert_eq!(said, "Hi<think></think>high1");
    for (arguments, named) in
        [(r#"{"enable_thinkin": false}"#, "enable_thinkin"), (r#"{"messages": []}"#, "messages")]
    {
        let refused = rendered(arguments).expect_err("it is not known");
        let knows = "is not known to the model's chat template; it knows `effort`, `enable_thinking`";
        assert_eq!(refused, format!("`chat_template_kwargs.{named}` {knows}"));
    }
    assert!(
        compiled("{{ messages }}").arguments(r#"{"a": 1}"#).expect_err("unknown").ends_with("it knows none")
    );
}
