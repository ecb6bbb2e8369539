//! Output in a form: JSON schema and GBNF, and constraints that are none.

use adapter_api::{Constraint, EngineError, Finish};

use crate::harness::{Worker, job, prompt, user};

const SCHEMA: &str = r#"{
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 20},
        "age": {"type": "integer", "minimum": 0, "maximum": 120},
        "likes": {"type": "array", "items": {"enum": ["tea", "coffee"]}, "minItems": 1, "maxItems": 3}
    },
    "required": ["name", "age", "likes"],
    "additionalProperties": false
}"#;

#[test]
fn output_by_a_json_schema_parses_and_conforms_at_any_temperature() {
    let mut worker = Worker::start(4, 512);
    let tasks: Vec<_> = (0..6u64)
        .map(|seed| {
            let mut job = job(user("Describe a person as JSON with name, age and likes."), 120);
            job.sampling.constraint = Some(Constraint::JsonSchema(SCHEMA.into()));
            job.sampling.temperature = seed as f32 * 0.4;
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
        assert_eq!(object.len(), 3, "{value}");
        assert!(object["name"].as_str().is_some_and(|name| name.chars().count() <= 20), "{value}");
        assert!(object["age"].as_u64().is_some_and(|age| age <= 120), "{value}");
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
        job.sampling.temperature = 1.5;
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

#[test]
fn a_constraint_that_is_none_is_refused_by_field_and_the_worker_goes_on() {
    let mut worker = Worker::start(1, 256);
    let grammar = |text: &str| Constraint::Grammar(text.to_owned());
    let schema = |text: &str| Constraint::JsonSchema(text.to_owned());
    let deep_schema = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
    for (said, constraint) in [
        ("`sampling.grammar` has no rule named `root`", grammar("answer ::= \"yes\"")),
        ("`sampling.grammar` has no rule named `root`", grammar("")),
        ("`sampling.grammar` is no grammar", grammar("root ::= (\"a\"")),
        ("`sampling.grammar` is no grammar", grammar("root ::= missing")),
        ("`sampling.grammar` is no grammar", grammar("root ::= root \"a\"")),
        ("`sampling.grammar` is no grammar", grammar("root ::= \"a\"{999999999}")),
        (
            "`sampling.grammar` nests brackets",
            grammar(&format!("root ::= {}\"a\"{}", "(".repeat(5000), ")".repeat(5000))),
        ),
        ("`sampling.grammar` holds a NUL", grammar("root ::= \"a\0\"")),
        ("`sampling.grammar` has 200011 bytes", grammar(&format!("root ::= \"{}\"", "a".repeat(200_000)))),
        ("`sampling.json_schema` is not JSON", schema("{\"type\": ")),
        ("`sampling.json_schema` is not JSON", schema(&deep_schema)),
        ("`sampling.json_schema` is JSON, but not a schema", schema("[1]")),
        ("`sampling.json_schema` uses what cannot", schema(r#"{"type": "nonsense"}"#)),
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
