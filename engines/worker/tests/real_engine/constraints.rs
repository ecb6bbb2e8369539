//! Output in a form: JSON schema and GBNF, and constraints that are none.

use generation::{Constraint, EngineError, Finish, Tool, ToolChoice, Tools};

use crate::harness::{Worker, job, prompt, user};

const SCHEMA: &str = r#"{
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 20},
        "age": {"type": "integer", "minimum": 0, "maximum": 120},
        "born": {"type": "string", "pattern": "^\\d{4}-[\\d]{2}$"},
        "likes": {"type": "array", "items": {"enum": ["tea", "coffee"]}, "minItems": 1, "maxItems": 3}
    },
    "required": ["name", "age", "born", "likes"],
    "additionalProperties": false
}"#;

/// ORCH-ENG-28
#[test]
fn output_by_a_json_schema_parses_and_conforms_at_any_temperature() {
    let mut worker = Worker::start(4, 512);
    let tasks: Vec<_> = (0..6u64)
        .map(|seed| {
            let mut job = job(user("Describe a person as JSON with name, age and likes."), 120);
            job.sampling.constraint = Some(Constraint::JsonSchema(SCHEMA.into()));
            job.sampling.params.temperature = Some(seed as f32 * 0.4);
            job.seed = seed;
            worker.submit(job)
        })
        .collect();
    worker.wait(&tasks);
    for task in tasks {
        let answer = &worker.answers[&task];
        assert_eq!(answer.finish(), &Finish::Stop, "{}", answer.text);
        let value: serde_json::Value = serde_json::from_str(&answer.text).expect(&answer.text);
        let object = value.as_object().expect("an object");
        assert_eq!(object.len(), 4, "{value}");
        assert!(object["name"].as_str().is_some_and(|name| name.chars().count() <= 20), "{value}");
        assert!(object["age"].as_u64().is_some_and(|age| age <= 120), "{value}");
        let born = object["born"].as_str().expect("a text");
        assert!(born.len() == 7 && born.bytes().filter(u8::is_ascii_digit).count() == 6, "{value}");
        let likes = object["likes"].as_array().expect("a list");
        assert!((1..=3).contains(&likes.len()) && likes.iter().all(|like| like == "tea" || like == "coffee"));
    }
}

#[test]
fn output_by_a_grammar_is_of_its_language() {
    let mut worker = Worker::start(2, 256);
    for seed in 0..4 {
        let mut job = job(prompt("The sky is blue, isn't it? Answer:"), 40);
        let grammar = "root ::= answer \" \" [0-9]{3} \"🦀\"\nanswer ::= \"yes\" | \"no\"\n";
        job.sampling.constraint = Some(Constraint::Grammar(grammar.into()));
        job.sampling.params.temperature = Some(1.5);
        job.seed = seed;
        let answer = worker.answer(job);
        assert_eq!(answer.finish(), &Finish::Stop);
        let digits = answer
            .text
            .strip_suffix('🦀')
            .and_then(|text| text.strip_prefix("yes ").or_else(|| text.strip_prefix("no ")));
        assert!(
            digits.is_some_and(|d| d.len() == 3 && d.bytes().all(|b| b.is_ascii_digit())),
            "{}",
            answer.text
        );
    }
}

/// ORCH-WORKER-5
#[test]
fn a_constraint_that_is_none_is_refused_by_field_and_the_worker_goes_on() {
    let mut worker = Worker::start(1, 256);
    let grammar = |text: &str| Constraint::Grammar(text.to_owned());
    let schema = |text: &str| Constraint::JsonSchema(text.to_owned());
    let deep_schema = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
    for (said, constraint) in [
        (
            "`sampling.grammar` is no grammar that can be followed: there is no rule named `root`",
            grammar("answer ::= \"yes\""),
        ),
        ("`sampling.grammar` is no grammar", grammar("root ::= (\"a\"")),
        ("`sampling.grammar` is no grammar", grammar("root ::= missing")),
        ("`sampling.grammar` is no grammar", grammar("root ::= root \"a\"")),
        ("repetition `{5,2}` has a lower bound above the upper one", grammar("root ::= \"a\"{5,2}")),
        (
            "`sampling.json_schema` at `#/properties/a/items`: `minLength` 5 is above `maxLength` 2",
            schema(r#"{"properties": {"a": {"items": {"type": "string", "minLength": 5, "maxLength": 2}}}}"#),
        ),
        (
            "`sampling.json_schema` at `#`: `pattern` `^a{5,2}$`: invalid repetition",
            schema(r#"{"type": "string", "pattern": "^a{5,2}$"}"#),
        ),
        ("`sampling.grammar` holds a NUL", grammar("root ::= \"a\0\"")),
        ("`sampling.grammar` has 200011 bytes", grammar(&format!("root ::= \"{}\"", "a".repeat(200_000)))),
        ("`sampling.json_schema` is not JSON", schema("{\"type\": ")),
        ("`sampling.json_schema` is not JSON", schema(&deep_schema)),
        ("`sampling.json_schema` is JSON, but not a schema", schema("[1]")),
        (
            "`sampling.json_schema` at `#`: `pattern` `^a\\b$`: `\\b` and `\\B` are not supported",
            schema(r#"{"type": "string", "pattern": "^a\\b$"}"#),
        ),
        ("`sampling.json_schema` at `#`: unknown `type` \"nonsense\"", schema(r#"{"type": "nonsense"}"#)),
        (
            "`sampling.json_schema` at `#/properties/a`: `uniqueItems` is not supported",
            schema(r#"{"properties": {"a": {"type": "array", "items": {}, "uniqueItems": true}}}"#),
        ),
        ("`sampling.json_schema` at `#`: `$ref` leads back to itself", schema(r##"{"$ref": "#"}"##)),
    ] {
        let mut job = job(prompt("Hello"), 4);
        let shown: String = format!("{constraint:?}").chars().take(60).collect();
        job.sampling.constraint = Some(constraint);
        let found = worker.measure(job.clone()).expect_err(said).to_string();
        assert!(found.contains(said), "`{found}` should say `{said}`");
        let answer = worker.answer(job);
        let Finish::Failed(EngineError::Invalid(text)) = answer.finish() else {
            panic!("{shown} should be refused with {said}: {:?}", answer.finish())
        };
        assert!(text.contains(said), "`{text}` should say `{said}`");
    }
    assert_eq!(worker.answer(job(prompt("Hello"), 4)).tokens.len(), 4, "it still works");
}

/// ORCH-WORKER-5
#[test]
fn a_forced_tool_whose_parameters_contradict_themselves_is_refused_by_field() {
    let mut worker = Worker::start(1, 256);
    for parameters in [
        r#"{"type": "object", "properties": {"a": {"type": "array", "minItems": 5, "maxItems": 2}}}"#,
        r#"{"type": "object", "properties": {"a": {"type": "string", "pattern": "^(ab){5,2}$"}}}"#,
    ] {
        let mut job = job(user("Call it."), 4);
        let tool = Tool { name: "f".to_owned(), parameters: Some(parameters.to_owned()), ..Tool::default() };
        job.tools = Tools { offered: vec![tool], choice: ToolChoice::Required, ..Tools::default() }.into();
        let found = worker.measure(job.clone()).expect_err(parameters).to_string();
        assert!(found.starts_with("`tools[0].parameters` (`f`) at `#/properties/a`: "), "{found}");
        // A tool that is only offered is offered all the same, unless it is strict.
        let mut tools = Tools { choice: ToolChoice::Auto, ..(*job.tools).clone() };
        job.tools = tools.clone().into();
        worker.measure(job.clone()).expect("it is no promise");
        tools.offered[0].strict = true;
        job.tools = tools.into();
        let found = worker.measure(job).expect_err(parameters).to_string();
        assert!(found.starts_with("`tools[0].parameters` (`f`) at `#/properties/a`: "), "{found}");
    }
}

/// 884 bytes that double the readings of a text with every character.
/// ORCH-WORKER-5
#[test]
fn a_grammar_too_ambiguous_to_follow_ends_its_task_and_its_neighbours_go_on() {
    let mut worker = Worker::start(2, 512);
    let rule = |at: usize| format!("\"a\" r{} \"b\" | \"a\" r{} \"c\"", at + 1, at + 1);
    let rules: String = (1..18).map(|at| format!("r{at} ::= {}\n", rule(at))).collect();
    let grammar = format!("root ::= {}\n{rules}r18 ::= \"a\"\n", rule(0));
    let neighbour = worker.submit(job(prompt("Once upon a time"), 300));
    worker.until(|worker| worker.answers[&neighbour].pieces.len() >= 2);
    let mut hard = job(prompt("aaaa"), 100);
    hard.sampling.constraint = Some(Constraint::Grammar(grammar));
    worker.measure(hard.clone()).expect("it is a grammar");
    let hard = worker.submit(hard);
    worker.wait(&[hard]);
    let Finish::Failed(EngineError::Invalid(text)) = worker.answers[&hard].finish() else {
        panic!("{:?}", worker.answers[&hard].finish())
    };
    assert!(text.contains("`sampling.grammar`") && text.contains("too ambiguous"), "{text}");
    let longest = worker.answers[&neighbour].times.windows(2).map(|pair| pair[1] - pair[0]).max();
    assert!(longest < Some(std::time::Duration::from_secs(20)), "{longest:?}");
    let before = worker.answers[&neighbour].pieces.len();
    worker.until(|worker| {
        worker.answers[&neighbour].pieces.len() > before || worker.answers[&neighbour].end.is_some()
    });
}
