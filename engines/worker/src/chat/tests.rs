//! Templates as they come in models, and broken ones.

use generation::ToolCall;

use super::*;

fn render(source: &str, messages: &[(Role, &str)]) -> Result<String, String> {
    let special = SpecialTexts { bos: "<s>".into(), eos: "</s>".into() };
    let messages: Vec<Message> =
        messages.iter().map(|(role, content)| Message::new(*role, *content)).collect();
    let template = ChatTemplate::compile(source.to_owned(), &special)?;
    rendered(&template, &messages, &Tools::default()).map(|rendered| rendered.prompt)
}

fn rendered(template: &ChatTemplate, messages: &[Message], tools: &Tools) -> Result<Rendered, String> {
    rendered_with(template, messages, tools, &Arguments::default())
}

fn rendered_with(
    template: &ChatTemplate,
    messages: &[Message],
    tools: &Tools,
    arguments: &Arguments,
) -> Result<Rendered, String> {
    let grammar = WantsGrammar::Yes;
    let (reasoning, continues) = (&ReasoningOptions::default(), false);
    let asked = Conversation { messages, tools, schema: None, reasoning, continues, arguments, grammar };
    template.render(&asked).map_err(|refused| match refused {
        Refused::Template(why) | Refused::Field(why) => why,
    })
}

/// ORCH-TASK-11
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
fn a_broken_template_is_an_error() {
    let error = render("a\n{% if %}", &[]).expect_err("broken");
    assert!(error.contains("Unexpected token"), "{error}");
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
        ..Tool::default()
    };
    (messages, Tools { offered: vec![tool], ..Tools::default() })
}

fn compiled(source: &str) -> ChatTemplate {
    ChatTemplate::compile(source.to_owned(), &SpecialTexts::default()).expect("compiles")
}

/// ORCH-ENG-10
#[test]
fn a_template_that_knows_tools_shows_them_itself() {
    let template = compiled(HERMES);
    assert_eq!(template.tools, ShowsTools::Itself(Some(ToolFormat::Hermes)));
    let (messages, tools) = with_a_call();
    let text = rendered(&template, &messages, &tools).expect("rendered").prompt;
    assert_eq!(
        text,
        "<|im_start|>system\nWithin <tools></tools>:\n<tools>\n{\"type\": \"function\", \"function\": {\"name\": \
         \"weather\", \"description\": \"Weather <of> a city\", \"parameters\": {\"type\": \"object\", \
         \"properties\": {\"city\": {\"type\": \"string\"}}}}}\n</tools>, answer within \
         <tool_call></tool_call><|im_end|>\n<|im_start|>user\nHow is Paris?<|im_end|>\n<|im_start|>assistant\n\
         <tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Paris\", \"days\": 2}}\n</tool_call>\
         <|im_end|>\n<|im_start|>user\n<tool_response>\nsun\n</tool_response><|im_end|>\n<|im_start|>assistant\n"
    );
    let silent = Tools { choice: generation::ToolChoice::None, ..tools };
    assert!(!rendered(&template, &messages, &silent).expect("rendered").prompt.contains("<tools>"));
}

/// ORCH-ENG-10
#[test]
fn a_template_that_knows_no_tools_is_told_of_them_in_words() {
    let plain = "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}{% endfor %}<|assistant|>";
    let (messages, tools) = with_a_call();
    let template = compiled(plain);
    assert_eq!(template.tools, ShowsTools::InWords { calls_are_known: false });
    let text = rendered(&template, &messages, &tools).expect("rendered").prompt;
    assert!(text.starts_with("<|system|>You may call one or more functions"), "{text}");
    let rest = "<|user|>How is Paris?<|assistant|><tool_call>\n{\"name\": \"weather\", \"arguments\": \
                {\"city\":\"Paris\",\"days\":2}}\n</tool_call><|user|><tool_response>\nsun\n</tool_response><|assistant|>";
    assert!(text.ends_with(rest), "{text}");
    let none = "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system') }}{% endif %}\
                <|{{ m['role'] }}|>{{ m['content'] }}{% endfor %}<|assistant|>";
    let text =
        rendered(&compiled(none), &messages, &tools).expect("rendered without a system message").prompt;
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
    let (messages, _) = with_a_call();
    let told = messages::of(&messages, CallIds::Short);
    assert_eq!(told[1]["tool_calls"][0]["id"], "bcdefghij");
    assert_eq!(told[2]["tool_call_id"], "bcdefghij");
    assert_eq!(told[2]["name"], "weather");
}

/// ORCH-ENG-16
#[test]
fn a_template_takes_the_arguments_it_knows_and_refuses_others_by_name() {
    let thinks = "{%- set ns = namespace(a=1) %}{{- messages[0].content }}
        {%- if enable_thinking %}{{- '<think>' }}{%- endif %}
        {%- if add_generation_prompt %}{{- bos_token ~ effort | default('low') ~ ns.a ~ strftime_now('%%') }}{%- endif %}";
    let template = compiled(thinks);
    let messages = [Message::new(Role::User, "Hi")];
    let rendered = |arguments: &str| {
        let (tools, arguments) = (Tools::default(), template.arguments(arguments)?);
        rendered_with(&template, &messages, &tools, &arguments).map(|rendered| rendered.prompt)
    };
    assert_eq!(rendered("{}").expect("rendered"), "Hilow1%");
    let said = rendered(r#"{"enable_thinking": true, "effort": "high"}"#).expect("rendered");
    assert_eq!(said, "Hi<think>high1%");
    for (arguments, named) in
        [(r#"{"enable_thinkin": false}"#, "enable_thinkin"), (r#"{"messages": []}"#, "messages")]
    {
        let refused = rendered(arguments).expect_err("it is not known");
        assert!(refused.starts_with(&format!("`chat_template_kwargs.{named}` is not known")), "{refused}");
    }
    let refused = rendered(r#"{"enable_thinking": "no"}"#).expect_err("no truth value");
    assert!(refused.contains("`true` or `false` would be right"), "{refused}");
    assert!(
        compiled("{{ messages }}").arguments(r#"{"enable_thinking": false}"#).is_ok(),
        "every template may"
    );
}

/// ORCH-ENG-27
#[test]
fn a_conversation_is_put_in_order_where_the_template_refuses_it() {
    let strict = "{%- for message in messages %}
        {%- if message.role == 'system' and not loop.first %}{{- raise_exception('system first') }}{%- endif %}
        {%- if not loop.first and message.role == loop.previtem.role %}{{- raise_exception('alternate') }}{%- endif %}
        {{- '<|' + message.role + '|>' + message.content }}
    {%- endfor %}
    {%- if add_generation_prompt %}{{- '<|assistant|>' }}{%- endif %}";
    let said = render(
        strict,
        &[
            (Role::System, "Be brief."),
            (Role::User, "Hi"),
            (Role::System, "Be kind."),
            (Role::User, "Well?"),
            (Role::Assistant, "Ho"),
            (Role::User, "!"),
        ],
    );
    let ordered = "<|system|>Be brief.\n\nBe kind.<|user|>Hi\n\nWell?<|assistant|>Ho<|user|>!<|assistant|>";
    assert_eq!(said.expect("rendered in order"), ordered);
}

/// ORCH-ENG-27
#[test]
fn arguments_of_the_past_that_are_no_object_are_shown_as_one() {
    let (mut messages, tools) = with_a_call();
    for (written, shown) in
        [("", "{}"), ("{\"city\": ", r#"{"arguments": "{\"city\":"}"#), ("[1]", r#"{"arguments": "[1]"}"#)]
    {
        messages[1].tool_calls[0].arguments = written.to_owned();
        let text = rendered(&compiled(HERMES), &messages, &tools).expect("rendered").prompt;
        assert!(text.contains(&format!("\"name\": \"weather\", \"arguments\": {shown}}}\n")), "{text}");
    }
}
