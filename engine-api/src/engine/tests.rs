//! What an engine cannot do is refused by name.

use super::*;
use generation::{ExtraBody, Message, Role, Tool, ToolChoice, Tools};

fn job() -> GenerateRequest {
    GenerateRequest::new(TaskId(uuid::Uuid::nil()), Input::Messages(vec![Message::new(Role::User, "hi")]))
}

fn tool(name: &str) -> Tool {
    Tool { name: name.to_owned(), ..Tool::default() }
}

fn all() -> Abilities {
    Abilities {
        tools: true,
        logprobs: Some(20),
        images: true,
        infill: false,
        continues: false,
        reasoning: true,
        extra_body: ExtraBodySupport::All,
    }
}

fn told(job: &GenerateRequest, abilities: Abilities) -> String {
    abilities.check(job, EngineKind::Llamacpp).expect_err("refused")
}

#[test]
fn a_plain_job_asks_for_nothing_beside_text() {
    assert_eq!(Abilities::default().check(&job(), EngineKind::Tgi), Ok(()));
}

/// ORCH-ENG-9
#[test]
fn tools_logprobs_and_images_are_refused_by_name_where_the_engine_has_none() {
    let mut asked = job();
    asked.tools = Tools { offered: vec![tool("a")], ..Tools::default() }.into();
    assert_eq!(all().check(&asked, EngineKind::Llamacpp), Ok(()));
    assert!(told(&asked, Abilities::default()).starts_with("`tools` are sent"));
    Arc::make_mut(&mut asked.tools).choice = ToolChoice::None;
    assert_eq!(Abilities::default().check(&asked, EngineKind::Llamacpp), Ok(()), "they are not shown");

    let asked = GenerateRequest { logprobs: Some(20), ..job() };
    assert_eq!(all().check(&asked, EngineKind::Llamacpp), Ok(()));
    assert!(told(&asked, Abilities::default()).starts_with("`logprobs` are asked for"));
    let asked = GenerateRequest { logprobs: Some(21), ..job() };
    assert_eq!(told(&asked, all()), "`top_logprobs` is 21; 0 to 20 would be right");

    let seen = Message { images: vec!["data:,".to_owned()], ..Message::new(Role::User, "what is it?") };
    let asked = GenerateRequest {
        input: Input::Messages(vec![Message::new(Role::System, "s"), seen]).into(),
        ..job()
    };
    assert_eq!(all().check(&asked, EngineKind::Llamacpp), Ok(()));
    assert!(told(&asked, Abilities::default()).starts_with("`messages[1]` holds an image"));
}

/// ORCH-ENG-9
#[test]
fn a_tool_that_cannot_be_called_is_named() {
    let tools = |offered: &[&str], choice| Tools {
        offered: offered.iter().map(|name| tool(name)).collect(),
        choice,
        single: false,
    };
    let told = |tools: Tools| tools.check().expect_err("refused");
    assert!(told(tools(&["a", "b c"], ToolChoice::Auto)).starts_with("`tools[1]` is named `b c`"));
    assert!(told(tools(&["a", "a"], ToolChoice::Auto)).starts_with("`tools[1]` is named `a`, as one before"));
    assert!(told(tools(&[], ToolChoice::Required)).starts_with("`tool_choice` is `required`"));
    assert_eq!(
        told(tools(&["a", "b"], ToolChoice::Named("c".to_owned()))),
        "`tool_choice` names `c`, which is not among the `tools`: they are `a`, `b`"
    );
    let names: Vec<String> = (0..1025).map(|i| format!("f{i}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    assert_eq!(told(tools(&names, ToolChoice::Auto)), "`tools` holds 1025: send at most 1024");
    assert_eq!(tools(&names[..1024], ToolChoice::Auto).check(), Ok(()));
    assert_eq!(tools(&["a.b-c_D1"], ToolChoice::Required).check(), Ok(()));
}

#[test]
fn fields_of_its_own_are_refused_in_the_given_words_where_an_engine_takes_none() {
    let own = |template: Option<&str>| ExtraBody {
        fields: r#"{"mirostat":2}"#.to_owned(),
        template: template.map(str::to_owned),
        refusal: "`mirostat` is not a field".to_owned(),
    };
    let asked = GenerateRequest { extra_body: Some(own(None)), ..job() };
    assert_eq!(all().check(&asked, EngineKind::Llamacpp), Ok(()));
    let template = Abilities { extra_body: ExtraBodySupport::Template, ..Abilities::default() };
    for abilities in [Abilities::default(), template] {
        assert_eq!(told(&asked, abilities), "`mirostat` is not a field");
    }
    let asked = GenerateRequest { extra_body: Some(own(Some("{}"))), ..job() };
    assert_eq!(template.check(&asked, EngineKind::Llamacpp), Ok(()));
    assert_eq!(told(&asked, Abilities::default()), "`mirostat` is not a field");
}
