//! What the grammars take and refuse; that models keep to them is tested with a real engine.

use constrained_decoding::gbnf;
use constrained_decoding::matcher::Matcher;
use constrained_decoding::program::Program;
use generation::Tool;

use super::*;

fn tools(names: &[&str]) -> Tools {
    let tool = |name: &&str| Tool { name: (*name).to_owned(), ..Tool::default() };
    Tools { offered: names.iter().map(tool).collect(), choice: ToolChoice::Required, single: false }
}

/// One tool `f` of these parameters.
fn one(parameters: &str) -> Tools {
    let mut tools = tools(&["f"]);
    tools.offered[0].parameters = Some(parameters.to_owned());
    tools
}

fn takes(grammar: &str, text: &str) -> bool {
    let tree = gbnf::parse(grammar, &|_| None).unwrap_or_else(|why| panic!("{why}: {grammar}"));
    let program = Program::compile(&tree).unwrap_or_else(|why| panic!("{why}: {grammar}"));
    let mut matcher = Matcher::new(program).expect("simple enough");
    let mut place = matcher.place();
    for byte in text.bytes() {
        matcher.begin_token();
        match matcher.byte(place, byte) {
            Ok(next) => place = next,
            Err(_) => return false,
        }
    }
    matcher.may_end(place)
}

/// Which of the arguments are taken, each in the frame of one call of `f`.
fn taken<'a>(format: ToolFormat, tools: &Tools, arguments: &[&'a str]) -> Vec<&'a str> {
    let grammar = force(format, tools, None).expect("good schemas");
    let (before, after) = frame(format, "f");
    let is_taken = |arguments: &&&str| takes(&grammar, &format!("{before}{arguments}{after}"));
    arguments.iter().filter(is_taken).copied().collect()
}

#[test]
fn calls_of_several_tools_stand_side_by_side() {
    let grammar = force(ToolFormat::Hermes, &tools(&["a", "b"]), None).expect("good schemas");
    let call =
        |name: &str| format!("<tool_call>\n{{\"name\": \"{name}\", \"arguments\": {{}}}}\n</tool_call>");
    assert!(takes(&grammar, &call("a")) && takes(&grammar, &format!("{}\n{}", call("a"), call("b"))));
    assert!(!takes(&grammar, &call("c")) && !takes(&grammar, "") && !takes(&grammar, "text"));
}

#[test]
fn one_that_is_named_is_the_only_one_and_is_called_once() {
    let named = Tools { choice: ToolChoice::Named("b".to_owned()), ..tools(&["a", "b"]) };
    let grammar = force(ToolFormat::Gemma, &named, None).expect("good schemas");
    let call = |name: &str| format!("<start_function_call>call:{name}{{}}<end_function_call>");
    assert!(takes(&grammar, &call("b")));
    assert!(!takes(&grammar, &call("a")) && !takes(&grammar, &call("b").repeat(2)));
}

#[test]
fn an_answer_of_another_form_may_stand_beside_the_calls() {
    let grammar = force(ToolFormat::Hermes, &tools(&["a"]), Some("root ::= \"x\"")).expect("good");
    assert!(takes(&grammar, "x") && !takes(&grammar, "y"));
}

#[test]
fn arguments_are_an_object_whatever_the_schema_leaves_open() {
    for parameters in [
        r#"{"properties": {"x": {"type": "integer"}}}"#,
        r##"{"$ref": "#/$defs/a", "$defs": {"a": {"properties": {"x": {"type": "integer"}}}}}"##,
        r#"{"type": ["object", "null"], "anyOf": [{"type": "string"}, {"properties": {"x": {"type": "integer"}}}]}"#,
    ] {
        let arguments = [r#"{"x":1}"#, r#"{"x":"a"}"#, "null", "\"a\""];
        assert_eq!(taken(ToolFormat::Hermes, &one(parameters), &arguments), [r#"{"x":1}"#], "{parameters}");
    }
}

/// ORCH-ENG-28
#[test]
fn a_schema_that_cannot_be_kept_is_named_with_its_tool_unless_it_is_no_promise() {
    let mut broken = tools(&["a", "b"]);
    broken.offered[1].parameters = Some("[]".to_owned());
    let told = force(ToolFormat::Hermes, &broken, None).expect_err("broken");
    assert_eq!(told, "`tools[1].parameters` (`b`) is not a JSON schema: it should be an object");
    let mut odd = one(
        r#"{"properties": {"x": {"type": "array", "items": {}, "uniqueItems": true}}, "required": ["x"]}"#,
    );
    for format in [ToolFormat::Hermes, ToolFormat::QwenXml, ToolFormat::Gemma] {
        let told = force(format, &odd, None).expect_err("odd");
        let expected = "`tools[0].parameters` (`f`) at `#/properties/x`: `uniqueItems` is not supported";
        assert!(told.starts_with(expected), "{told}");
    }
    odd.choice = ToolChoice::Auto;
    assert_eq!(taken(ToolFormat::Hermes, &odd, &[r#"{"x":[1,1]}"#, r#"{"x":1}"#]), [r#"{"x":[1,1]}"#]);
    odd.offered[0].strict = true;
    force(ToolFormat::Hermes, &odd, None).expect_err("a promise");
}

#[test]
fn gemmas_notation_keeps_the_schema() {
    let tools = one(
        r#"{"required": ["a"], "properties": {"a": {"enum": ["x", 1]}, "b": {"type": "array", "items": {"type": "integer", "maximum": 5}},
            "c": {"type": "string", "pattern": "^<?y+$"}, "d": {"type": "string", "maxLength": 2}}}"#,
    );
    let good =
        ["{a:<escape>x<escape>}", "{a:1,b:[5,-2]}", "{a:1,b:[],c:<escape><yy<escape>,d:<escape>éé<escape>}"];
    let bad = [
        "{}",
        "{a:2}",
        "{a:1,b:[6]}",
        "{a:1,c:<escape>x<escape>}",
        "{a:1,d:<escape>abc<escape>}",
        "{b:[],a:1}",
    ];
    assert_eq!(taken(ToolFormat::Gemma, &tools, &[&good[..], &bad[..]].concat()), good);
}

#[test]
fn texts_stand_as_they_are_and_everything_else_as_json_in_the_notation_of_qwens_coders() {
    let tools = one(r##"{"required": ["a"], "properties": {
            "a": {"type": "string"},
            "b": {"$ref": "#/$defs/n"},
            "c": {"enum": ["x", "y"], "type": "string"},
            "d": {"type": "string", "pattern": "^\\d+$"},
            "e": {"type": "string", "const": "fixed"},
            "f": {"anyOf": [{"type": "string", "maxLength": 2}, {"type": "null"}]},
            "g": {"const": "5"}}, "$defs": {"n": {"type": "integer"}}}"##);
    let value = |name: &str, text: &str| format!("<parameter={name}>\n{text}\n</parameter>\n");
    let first = value("a", "a < b </param>\n\"q\"");
    let with = |name: &str, text: &str| format!("{first}{}", value(name, text));
    let good = [
        first.clone(),
        with("b", "12"),
        with("c", "x"),
        with("d", "0123"),
        with("e", "fixed"),
        with("f", "é-"),
        with("f", "null"),
        with("g", "\"5\""),
    ];
    let bad = [
        String::new(),
        value("a", "</parameter>\n<parameter=b>"),
        with("b", "x"),
        with("c", "z"),
        with("d", "12a"),
        with("e", "other"),
        with("f", "abc"),
        with("g", "5"),
    ];
    let all: Vec<&str> = good.iter().chain(&bad).map(String::as_str).collect();
    assert_eq!(taken(ToolFormat::QwenXml, &tools, &all), good);
}
