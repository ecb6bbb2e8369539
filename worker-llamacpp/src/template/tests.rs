//! Templates as they come in models, and broken ones.

use adapter_api::Role;

use super::*;

fn render(source: &str, messages: &[(Role, &str)]) -> Result<String, String> {
    let special = SpecialTexts { bos: "<s>".into(), eos: "</s>".into() };
    let messages: Vec<Message> =
        messages.iter().map(|(role, content)| Message::new(*role, *content)).collect();
    ChatTemplate::compile(source.to_owned(), special)?.render(&messages)
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
