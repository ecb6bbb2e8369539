//! The grammars as text; that llama.cpp takes them and models keep to them is tested with a real engine.

use generation::Tool;

use super::*;

fn tools(names: &[&str]) -> Tools {
    let tool = |name: &&str| Tool { name: (*name).to_owned(), ..Tool::default() };
    Tools { offered: names.iter().map(tool).collect(), choice: ToolChoice::Required, single: false }
}

fn any_object(_: &str) -> Result<String, String> {
    Ok("root ::= \"{\" space \"}\" # root\nspace ::= [ a-z\\]\"]?".to_owned())
}

#[test]
fn rules_of_several_grammars_stand_side_by_side() {
    let grammar = force(ToolFormat::Hermes, &tools(&["a", "b"]), None, any_object).expect("good schemas");
    assert_eq!(
        grammar,
        "t0-root ::= \"{\" t0-space \"}\" # root\nt0-space ::= [ a-z\\]\"]?\n\
         call-0 ::= \"<tool_call>\\n{\\\"name\\\": \\\"a\\\", \\\"arguments\\\": \" t0-root \"}\\n</tool_call>\"\n\
         t1-root ::= \"{\" t1-space \"}\" # root\nt1-space ::= [ a-z\\]\"]?\n\
         call-1 ::= \"<tool_call>\\n{\\\"name\\\": \\\"b\\\", \\\"arguments\\\": \" t1-root \"}\\n</tool_call>\"\n\
         call ::= call-0 | call-1\ncalls ::= call (\"\\n\" call){0,7}\nroot ::= calls"
    );
}

#[test]
fn one_that_is_named_is_the_only_one_and_is_called_once() {
    let named = Tools { choice: ToolChoice::Named("b".to_owned()), ..tools(&["a", "b"]) };
    let grammar = force(ToolFormat::Hermes, &named, None, any_object).expect("good schemas");
    assert!(!grammar.contains("call-0"), "{grammar}");
    assert!(grammar.ends_with("call ::= call-1\ncalls ::= call\nroot ::= calls"), "{grammar}");
}

#[test]
fn an_answer_of_another_form_may_stand_beside_the_calls() {
    let grammar =
        force(ToolFormat::Hermes, &tools(&["a"]), Some("root ::= \"x\""), any_object).expect("good");
    assert!(grammar.ends_with("\nanswer-root ::= \"x\"\nroot ::= calls | answer-root"), "{grammar}");
}

#[test]
fn arguments_are_an_object_whatever_the_schema_leaves_open() {
    let mut asked = Vec::new();
    let mut open = tools(&["a", "b", "c"]);
    open.offered[0].parameters = Some("{\"properties\":{\"x\":{}}}".to_owned());
    open.offered[1].parameters = Some("{\"$ref\":\"#/$defs/a\"}".to_owned());
    force(ToolFormat::Hermes, &open, None, |schema| {
        asked.push(schema.to_owned());
        any_object(schema)
    })
    .expect("good schemas");
    let types: Vec<bool> = asked.iter().map(|schema| schema.contains("\"type\":\"object\"")).collect();
    assert_eq!(types, [true, false, true]);
}

#[test]
fn a_schema_that_is_none_is_named_with_its_tool() {
    let mut broken = tools(&["a", "b"]);
    broken.offered[1].parameters = Some("[]".to_owned());
    let told = force(ToolFormat::Hermes, &broken, None, any_object).expect_err("broken");
    assert_eq!(told, "`tools[1].parameters` (`b`) is not a JSON schema: it should be an object");
    let told =
        force(ToolFormat::Hermes, &tools(&["a"]), None, |_| Err("is odd".to_owned())).expect_err("odd");
    assert_eq!(told, "`tools[0].parameters` (`a`): is odd");
}

#[test]
fn gemmas_notation_has_its_own_rules() {
    let mut one = tools(&["f"]);
    one.offered[0].parameters = Some(
        "{\"type\":\"object\",\"required\":[\"a\"],\"properties\":{\"a\":{\"enum\":[\"x\",1]},\"b\":{\"type\":\"array\",\
         \"items\":{\"type\":\"integer\"}}}}"
            .to_owned(),
    );
    let grammar = force(ToolFormat::Gemma, &one, None, |_| Err("not asked".to_owned())).expect("good schema");
    assert!(
        grammar.contains(
            "t0-root ::= (\"{\" \"a:\" (\"<escape>x<escape>\" | \"1\") (\",\" \"b:\" (\"[\" (t0-integer (\",\" \
             t0-integer)*)? \"]\"))? \"}\")"
        ),
        "{grammar}"
    );
}

#[test]
fn parameters_in_xml_are_texts_as_they_are_and_json_by_their_schema() {
    let mut one = tools(&["f"]);
    one.offered[0].parameters = Some(
        "{\"type\":\"object\",\"required\":[\"a\"],\"properties\":{\"a\":{\"type\":\"string\"},\"b\":{\"$ref\":\"#/$defs/n\"},\
         \"c\":{\"enum\":[\"x\",\"y\"]}},\"$defs\":{\"n\":{\"type\":\"integer\"}}}"
            .to_owned(),
    );
    let mut asked = Vec::new();
    let grammar = force(ToolFormat::QwenXml, &one, None, |schema| {
        asked.push(schema.to_owned());
        Ok("root ::= [0-9]+".to_owned())
    });
    let grammar = grammar.expect("good schema");
    assert!(grammar.contains("t0-p1-root ::= [0-9]+"), "{grammar}");
    assert!(
        grammar.contains(
            "t0-root ::= (\"<parameter=a>\\n\" t0-text \"\\n</parameter>\\n\") (\"<parameter=b>\\n\" t0-p1-root \
             \"\\n</parameter>\\n\")? (\"<parameter=c>\\n\" (\"x\" | \"y\") \"\\n</parameter>\\n\")? \"\""
        ),
        "{grammar}"
    );
    assert!(asked.len() == 1 && asked[0].contains("$defs"), "{asked:?}");
}

#[test]
fn texts_are_as_long_as_their_schema_allows_in_the_notations_that_are_not_json() {
    let mut one = tools(&["f"]);
    one.offered[0].parameters = Some(
        "{\"properties\":{\"a\":{\"type\":\"string\",\"maxLength\":20},\"b\":{\"type\":\"string\",\"minLength\":2},\
         \"c\":{\"type\":\"string\",\"minLength\":3,\"maxLength\":4000000}}}"
            .to_owned(),
    );
    for (format, uncounted) in [(ToolFormat::QwenXml, "t0-text"), (ToolFormat::Gemma, "t0-letters")] {
        let grammar = force(format, &one, None, any_object).expect("good schema");
        for text in ["[^<]{0,20} ", &format!("[^<]{{2}} {uncounted} "), &format!("[^<]{{3}} {uncounted} ")] {
            assert!(grammar.contains(text), "{format:?}: `{text}` in {grammar}");
        }
    }
}

#[test]
fn a_text_of_a_fixed_form_keeps_it_in_xml_or_is_refused() {
    let mut one = tools(&["f"]);
    one.offered[0].parameters = Some(
        "{\"properties\":{\"a\":{\"type\":\"string\",\"const\":\"fixed\"},\"b\":{\"type\":\"string\",\"pattern\":\"^x+$\"}}}"
            .to_owned(),
    );
    let pattern = "root ::= \"\\\"\" (\"x\"+) \"\\\"\" space\nspace ::= \" \"?";
    let grammar =
        force(ToolFormat::QwenXml, &one, None, |_| Ok(pattern.to_owned())).expect("the form is kept");
    assert!(grammar.contains("<parameter=a>\\n\" \"fixed\" \"\\n"), "{grammar}");
    assert!(grammar.contains("t0-p1-root ::= (\"x\"+)\n"), "{grammar}");
    let other = "root ::= date\ndate ::= \"\\\"\" [0-9]+ \"\\\"\" space";
    let refused = force(ToolFormat::QwenXml, &one, None, |_| Ok(other.to_owned())).expect_err("not kept");
    assert!(refused.contains("`b` has a form that a forced call cannot be held to"), "{refused}");
}
