//! Calls of tools. The model is small and its template knows none: what holds its calls is the grammar.

use generation::{
    Constraint, EngineError, Finish, GenerateRequest, Input, Message, Role, Tool, ToolCall, ToolChoice, Tools,
};
use tool_calls::{ToolEvent, ToolFormat, ToolParser};

use crate::harness::{Worker, job, prompt, user};

const WEATHER: &str = r##"{
    "type": "object",
    "properties": {
        "city": {"type": "string", "maxLength": 20},
        "unit": {"enum": ["celsius", "fahrenheit"]},
        "days": {"$ref": "#/$defs/days"}
    },
    "required": ["city", "unit", "days"],
    "additionalProperties": false,
    "$defs": {"days": {"type": "integer", "minimum": 1, "maximum": 7}}
}"##;

fn tools(choice: ToolChoice) -> Tools {
    let tool = |name: &str, parameters: Option<&str>| Tool {
        name: name.to_owned(),
        description: Some(format!("The tool {name}.")),
        parameters: parameters.map(str::to_owned),
        ..Tool::default()
    };
    Tools { offered: vec![tool("get_time", None), tool("get_weather", Some(WEATHER))], choice, single: false }
}

fn asks(choice: ToolChoice) -> GenerateRequest {
    GenerateRequest { tools: tools(choice).into(), ..job(user("What is the weather in Paris?"), 160) }
}

/// The content of an answer and its calls.
fn read(text: &str) -> (String, Vec<(String, String)>) {
    let mut parser = ToolParser::new(ToolFormat::Hermes, &tools(ToolChoice::Auto).offered);
    let (mut content, mut calls) = (String::new(), Vec::new());
    for event in parser.push(text).into_iter().chain(parser.finish(true)) {
        match event {
            ToolEvent::Content(text) => content.push_str(&text),
            ToolEvent::Start { name } => calls.push((name, String::new())),
            ToolEvent::Arguments(text) => calls.last_mut().expect("begun").1.push_str(&text),
            ToolEvent::End => {}
        }
    }
    (content, calls)
}

/// ORCH-ENG-10
#[test]
fn a_forced_call_is_one_and_its_arguments_keep_to_the_schema_at_any_temperature() {
    let mut worker = Worker::start(4, 1024);
    assert!(worker.facts.as_ref().expect("loaded").abilities.tools);
    let tasks: Vec<_> = (0..6u64)
        .map(|seed| {
            let mut asked = asks(ToolChoice::Named("get_weather".to_owned()));
            asked.sampling.params.temperature = Some(seed as f32 * 0.4);
            asked.seed = seed;
            worker.submit(asked)
        })
        .collect();
    worker.wait(&tasks);
    for task in tasks {
        let answer = &worker.answers[&task];
        assert_eq!(answer.finish(), &Finish::Stop, "{}", answer.text);
        let (content, calls) = read(&answer.text);
        assert_eq!(content, "", "{}", answer.text);
        let [(name, arguments)] = &calls[..] else { panic!("one call: {}", answer.text) };
        assert_eq!(name, "get_weather");
        let arguments: serde_json::Value = serde_json::from_str(arguments).expect(arguments);
        assert!(arguments["city"].is_string(), "{arguments}");
        assert!(arguments["unit"] == "celsius" || arguments["unit"] == "fahrenheit", "{arguments}");
        assert!(arguments["days"].as_u64().is_some_and(|days| (1..=7).contains(&days)), "{arguments}");
    }
}

/// ORCH-ENG-10
#[test]
fn a_required_call_is_of_one_of_the_tools() {
    let mut worker = Worker::start(1, 1024);
    let answer = worker.answer(asks(ToolChoice::Required));
    assert_eq!(answer.finish(), &Finish::Stop, "{}", answer.text);
    let (content, calls) = read(&answer.text);
    assert_eq!((content.as_str(), calls.len()), ("", 1), "{}", answer.text);
    assert!(["get_time", "get_weather"].contains(&calls[0].0.as_str()), "{calls:?}");
}

#[test]
fn tools_that_are_not_to_be_called_are_not_shown_and_those_that_are_take_room_in_the_prompt() {
    let mut worker = Worker::start(1, 1024);
    let plain = worker.measure(job(user("What is the weather in Paris?"), 1)).expect("measured").tokens;
    let silent = worker.measure(asks(ToolChoice::None)).expect("measured").tokens;
    assert_eq!(silent, plain);
    let shown = worker.measure(asks(ToolChoice::Auto)).expect("measured").tokens;
    assert!(shown.0 > plain.0 + 100, "{shown} tokens, {plain} without tools");
    let answer = worker.answer(GenerateRequest {
        max_tokens: Some(orchestrator_core::TokenCount(8)),
        ..asks(ToolChoice::Auto)
    });
    assert_eq!(answer.report().tokens_in, shown);
}

#[test]
fn a_conversation_with_a_call_and_its_result_goes_on() {
    let mut worker = Worker::start(1, 1024);
    let call =
        ToolCall { id: "c1".into(), name: "get_weather".into(), arguments: "{\"city\": \"Paris\"}".into() };
    let messages = vec![
        Message::new(Role::User, "What is the weather in Paris?"),
        Message { tool_calls: vec![call], ..Message::new(Role::Assistant, "") },
        Message { tool_call_id: Some("c1".into()), ..Message::new(Role::Tool, "Sunny, 24 degrees.") },
    ];
    let answer = worker.answer(job(Input::Messages(messages), 16));
    assert!(!answer.text.is_empty());
}

#[test]
fn an_answer_by_a_schema_may_be_a_call_instead() {
    let mut worker = Worker::start(1, 1024);
    let mut asked = asks(ToolChoice::Auto);
    asked.sampling.constraint = Some(Constraint::JsonSchema(
        "{\"type\":\"object\",\"properties\":{\"sky\":{\"enum\":[\"blue\"]}},\"required\":[\"sky\"]}".into(),
    ));
    let answer = worker.answer(asked);
    let (content, calls) = read(&answer.text);
    let blue = serde_json::from_str::<serde_json::Value>(&content).is_ok_and(|value| value["sky"] == "blue");
    assert!(blue != (calls.len() == 1), "either the schema or a call: {}", answer.text);
}

/// ORCH-ENG-9
#[test]
fn what_does_not_go_with_tools_is_refused_by_name() {
    let mut worker = Worker::start(1, 1024);
    let mut told = |asked: GenerateRequest, expected: &str| match worker.measure(asked) {
        Err(engine_api::MeasureError::Invalid(text)) => assert!(text.starts_with(expected), "{text}"),
        other => panic!("{expected}: {other:?}"),
    };
    told(
        GenerateRequest { input: prompt("x").into(), ..asks(ToolChoice::Auto) },
        "`tools` are shown to the model by its chat template",
    );
    let mut asked = asks(ToolChoice::Auto);
    asked.sampling.constraint = Some(Constraint::Grammar("root ::= \"x\"".into()));
    told(asked, "`sampling.grammar` holds the whole answer");
    let mut asked = asks(ToolChoice::Required);
    std::sync::Arc::make_mut(&mut asked.tools).offered[0].parameters =
        Some("{\"properties\": {\"a\": {\"type\": \"odd\"}}}".into());
    told(asked, "`tools[0].parameters` (`get_time`) at `#/properties/a`: unknown `type`");
    let mut asked = asks(ToolChoice::Auto);
    std::sync::Arc::make_mut(&mut asked.tools).offered[0].parameters = Some("{\"type\": \"integer\"}".into());
    told(asked, "`tools[0].parameters` (`get_time`) is a schema of `type` \"integer\"");
    told(asks(ToolChoice::Named("nothing".into())), "`tool_choice` names `nothing`");
    let seen = Message { images: vec!["data:,".into()], ..Message::new(Role::User, "what?") };
    told(job(Input::Messages(vec![seen]), 1), "`messages[0]` holds an image");
    let asked = GenerateRequest { logprobs: Some(21), ..job(prompt("x"), 1) };
    let answer = worker.answer(asked);
    assert!(
        matches!(answer.finish(), Finish::Failed(EngineError::Invalid(text)) if text.starts_with("`top_logprobs`"))
    );
}
