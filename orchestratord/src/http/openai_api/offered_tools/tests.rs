use super::*;

fn function(name: &str) -> Tool {
    Tool { name: name.to_owned(), ..Tool::default() }
}

fn custom(name: &str, format: Option<serde_json::Value>) -> CustomTool {
    let format = format.map(|format| serde_json::from_value(format).expect("its shape"));
    CustomTool { name: name.to_owned(), description: Some("Does it.".to_owned()), format }
}

fn set() -> ToolSet {
    let mut set = ToolSet::default();
    set.add(None, function("shell"));
    set.add(Some("mcp__files"), function("read"));
    set.add(Some("mcp__web__"), function("read"));
    set.add_custom("tools[3]", None, custom("apply_patch", None)).expect("any text");
    set.leave_out("web_search", None);
    set.leave_out("web_fetch_20250910", Some("web_fetch"));
    set
}

/// ORCH-OAI-23
#[test]
fn each_tool_is_a_function_of_its_own_name_and_its_client_has_its_own_words_back() {
    let (tools, names) = set().choose(ClientChoice::Auto, false).expect("valid");
    let offered: Vec<_> = tools.offered.iter().map(|tool| tool.name.as_str()).collect();
    assert_eq!(offered, ["shell", "mcp__files__read", "mcp__web__read", "apply_patch"]);
    assert_eq!(tools.check(), Ok(()));
    assert_eq!(names.of("shell"), None);
    let read = names.of("mcp__web__read").expect("of a namespace");
    assert_eq!(
        (read.name.as_str(), read.namespace.as_deref(), read.is_custom),
        ("read", Some("mcp__web__"), false)
    );
    assert!(names.is_custom("apply_patch"));
    let parameters: serde_json::Value =
        serde_json::from_str(tools.offered[3].parameters.as_deref().unwrap_or_default()).expect("JSON");
    assert_eq!(parameters["required"], json!(["input"]));
}

/// ORCH-OAI-23
#[test]
fn a_choice_finds_a_tool_by_its_clients_words_and_one_that_was_left_out_is_refused_by_name() {
    let named = |kind: &str, namespace: Option<&str>, name: Option<&str>| {
        let (kind, name) = (kind.to_owned(), name.map(str::to_owned));
        let choice = ClientChoice::Named { kind, namespace: namespace.map(str::to_owned), name };
        set().choose(choice, false).map(|(tools, _)| tools.choice).map_err(|refusal| refusal.to_string())
    };
    let of = |name: &str| Ok(ToolChoice::Named(name.to_owned()));
    assert_eq!(named("function", None, Some("shell")), of("shell"));
    assert_eq!(named("function", Some("mcp__web__"), Some("read")), of("mcp__web__read"));
    assert_eq!(named("custom", None, Some("apply_patch")), of("apply_patch"));
    for (kind, name) in [("web_search", None), ("tool", Some("web_fetch"))] {
        let refusal = named(kind, None, name).expect_err("left out");
        assert!(refusal.starts_with(&format!("`tool_choice` names `{}`", name.unwrap_or(kind))), "{refusal}");
    }
    let other = named("code_interpreter", None, None).expect_err("not there");
    assert!(other.contains("is of the type `code_interpreter`"), "{other}");
}

/// ORCH-OAI-23
#[test]
fn allowed_tools_are_those_that_are_offered() {
    let names = vec!["shell".to_owned(), "read".to_owned()];
    let (tools, _) = set().choose(ClientChoice::Allowed { required: true, names }, false).expect("valid");
    let offered: Vec<_> = tools.offered.iter().map(|tool| tool.name.as_str()).collect();
    assert_eq!(
        (offered, tools.choice),
        (vec!["shell", "mcp__files__read", "mcp__web__read"], ToolChoice::Required)
    );
}

/// ORCH-OAI-23
#[test]
fn the_model_reads_the_grammar_of_a_custom_tool() {
    let grammar = json!({"type": "grammar", "syntax": "regex", "definition": "a+"});
    let wrapped = json!({"type": "grammar", "grammar": {"syntax": "regex", "definition": "a+"}});
    for format in [grammar, wrapped] {
        let tool = custom("t", Some(format)).into_function("tools[0]").expect("valid");
        assert_eq!(
            tool.description.as_deref(),
            Some("Does it.\n\n`input` must match this regex grammar:\na+")
        );
    }
    let refusal = custom("t", Some(json!({"type": "grammar"}))).into_function("tools[0]").expect_err("empty");
    assert!(refusal.to_string().starts_with("`tools[0].format.definition` is missing"), "{refusal}");
    let refusal = custom("t", Some(json!({"type": "xml"}))).into_function("tools[0]").expect_err("unknown");
    assert!(refusal.to_string().starts_with("`tools[0].format.type` is `xml`"), "{refusal}");
}
