use jsonschema::{Draft, Validator};
use serde_json::{Map, Value, json};

use super::*;

fn documents() -> Vec<Value> {
    FILES.iter().map(|file| load_yaml(&repository_root().join(file)).expect("the YAML is read")).collect()
}

/// An OpenAPI 3.0 schema as a JSON schema of draft 4, which it is but for `nullable`.
fn as_json_schema(value: &Value) -> Value {
    match value {
        Value::Object(object) => {
            let mut object: Map<String, Value> =
                object.iter().map(|(key, value)| (key.clone(), as_json_schema(value))).collect();
            match object.remove("nullable") {
                Some(Value::Bool(true)) => json!({ "anyOf": [{ "type": "null" }, object] }),
                _ => object.into(),
            }
        }
        Value::Array(array) => array.iter().map(as_json_schema).collect(),
        other => other.clone(),
    }
}

fn validator(document: &Value, schema: &Value) -> Validator {
    let root =
        json!({ "allOf": [as_json_schema(schema)], "components": as_json_schema(&document["components"]) });
    jsonschema::options().with_draft(Draft::Draft4).build(&root).expect("the schema is one")
}

fn component(document: &Value, name: &str) -> Validator {
    assert!(document["components"]["schemas"][name].is_object(), "`{name}` is a schema");
    validator(document, &json!({ "$ref": format!("#/components/schemas/{name}") }))
}

/// Every example below `value`, with the schema it is an example of.
fn examples<'a>(value: &'a Value, found: &mut Vec<(&'a Value, &'a Value)>) {
    match value {
        Value::Object(object) => {
            let holder = object.get("schema").unwrap_or(value);
            found.extend(object.get("example").map(|example| (holder, example)));
            if let Some(named) = object.get("examples").and_then(Value::as_object) {
                found.extend(named.values().map(|example| (holder, &example["value"])));
            }
            object.values().for_each(|value| examples(value, found));
        }
        Value::Array(array) => array.iter().for_each(|value| examples(value, found)),
        _ => {}
    }
}

/// ORCH-DOC-1
#[test]
fn the_generated_files_are_what_the_yaml_says() {
    let stale = regen(&repository_root(), Mode::Check);
    assert!(stale.is_ok(), "{}", stale.expect_err("just checked"));
}

#[test]
fn a_stale_file_is_named_and_not_written_by_a_check() {
    let root = repository_root();
    let fresh = generate(&root).expect("the YAML generates");
    let elsewhere = tempfile::tempdir().expect("a folder is made");
    for file in FILES.iter().copied().chain(fresh.iter().map(|file| file.path)) {
        let copy = elsewhere.path().join(file);
        std::fs::create_dir_all(copy.parent().expect("a file lies in a folder")).expect("a folder is made");
        std::fs::copy(root.join(file), copy).expect("a file is copied");
    }
    let client = elsewhere.path().join("tools/openapi-client/src/generated.rs");
    std::fs::write(&client, "// by hand").expect("a file is written");

    let error = regen(elsewhere.path(), Mode::Check).expect_err("one file is stale").to_string();
    assert!(error.contains("tools/openapi-client/src/generated.rs"), "{error}");
    assert!(!error.contains("api-types"), "{error}");
    assert_eq!(std::fs::read_to_string(&client).expect("a file is read"), "// by hand");

    let written = regen(elsewhere.path(), Mode::Write).expect("the files are written");
    assert_eq!(written, ["tools/openapi-client/src/generated.rs"]);
    assert_eq!(regen(elsewhere.path(), Mode::Check).expect("nothing is stale"), Vec::<&str>::new());
}

/// ORCH-DOC-2
#[test]
fn every_example_is_valid_against_its_schema() {
    for document in documents() {
        let mut found = Vec::new();
        examples(&document, &mut found);
        assert!(found.len() > 10, "only {} examples were found", found.len());
        for (schema, example) in found {
            let errors: Vec<_> =
                validator(&document, schema).iter_errors(example).map(|error| error.to_string()).collect();
            assert!(errors.is_empty(), "{example} is no example: {errors:?}");
        }
    }
}

#[test]
fn the_schema_of_a_task_refuses_what_the_text_says_is_refused() {
    let [data, _] = &documents()[..] else { panic!("there are two files") };
    let task = component(data, "TaskRequest");
    assert!(task.is_valid(&json!({ "prompt": "a" })));
    for wrong in [
        json!({}),
        json!({ "prompt": "" }),
        json!({ "prompt": "a", "messages": [{ "role": "user", "content": "b" }] }),
        json!({ "messages": [] }),
        json!({ "messages": [{ "role": "robot", "content": "b" }] }),
        json!({ "prompt": "a", "promt": "b" }),
        json!({ "prompt": "a", "seed": -1 }),
        json!({ "prompt": "a", "seed": 0.5 }),
        json!({ "prompt": "a", "max_tokens": 0 }),
        json!({ "prompt": "a", "max_tokens": 1_048_577 }),
        json!({ "prompt": "a", "sampling": { "temperature": 5.5 } }),
        json!({ "prompt": "a", "sampling": { "top_p": 0 } }),
        json!({ "prompt": "a", "sampling": { "grammar": "root ::= \"a\"", "json_schema": {} } }),
        json!({ "prompt": "a", "sampling": { "stop": vec!["x"; 17] } }),
    ] {
        assert!(!task.is_valid(&wrong), "{wrong} is valid");
    }
}

/// The events of an example stream: name, id, data.
fn events(stream: &str) -> Vec<(&str, Option<&str>, Value)> {
    let blocks = stream.split("\n\n").filter(|block| !block.is_empty() && !block.starts_with(':'));
    blocks
        .map(|block| {
            let field =
                |name: &str| block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            let data = serde_json::from_str(field("data").expect("an event has data")).expect("data is JSON");
            (field("event").expect("an event has a name"), field("id"), data)
        })
        .collect()
}

/// ORCH-DOC-2
#[test]
fn every_example_stream_keeps_the_rules_of_a_stream() {
    let [data, _] = &documents()[..] else { panic!("there are two files") };
    let content =
        &data["paths"]["/v1/tasks/{id}/stream"]["get"]["responses"]["200"]["content"]["text/event-stream"];
    let examples = content["examples"].as_object().expect("there are examples");
    assert!(examples.contains_key("answer") && examples.contains_key("failed"));
    let [started, token, end] = ["StartedEvent", "TokenEvent", "EndEvent"].map(|name| component(data, name));
    for (name, example) in examples {
        let events = events(example["value"].as_str().expect("a stream is text"));
        let [(first, None, standing), tokens @ .., (last, None, verdict)] = &events[..] else {
            panic!("`{name}` has neither begin nor end: {events:?}");
        };
        assert_eq!((*first, *last), ("started", "end"), "`{name}`");
        assert!(started.is_valid(standing) && end.is_valid(verdict), "`{name}`: {standing} {verdict}");
        assert_eq!(
            verdict["finish_reason"] == "error",
            verdict.get("error").is_some(),
            "`{name}`: {verdict}"
        );
        for (i, (event, id, data)) in tokens.iter().enumerate() {
            assert_eq!((*event, *id), ("token", Some(i.to_string().as_str())), "`{name}`");
            assert!(token.is_valid(data) && data["i"] == i, "`{name}`: {data}");
        }
    }
}

/// ORCH-DOC-2
#[test]
fn every_example_reads_into_its_type_and_comes_back_unchanged() {
    fn check<T: serde::de::DeserializeOwned + serde::Serialize>(example: &Value) {
        let read: T =
            serde_json::from_value(example.clone()).unwrap_or_else(|error| panic!("{example}: {error}"));
        // Through text, as on the wire: there a 32-bit 0.7 is `0.7`.
        let text = serde_json::to_string(&read).expect("a type of the wire is JSON");
        assert_eq!(serde_json::from_str::<Value>(&text).expect("what was written is JSON"), *example);
    }
    let mut checked = 0;
    for document in documents() {
        let mut found = Vec::new();
        examples(&document, &mut found);
        for (schema, example) in found {
            let Some(name) = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) else {
                continue;
            };
            match name {
                "TaskRequest" => check::<api_types::TaskRequest>(example),
                "TaskAccepted" => check::<api_types::TaskAccepted>(example),
                "TaskList" => check::<api_types::TaskList>(example),
                "TaskDetail" => check::<api_types::TaskDetail>(example),
                "ErrorEnvelope" => check::<api_types::ErrorEnvelope>(example),
                "Session" => check::<api_types::Session>(example),
                "Health" => check::<api_types::Health>(example),
                "Store" => check::<api_types::Store>(example),
                "StoreFetchRequest" => check::<api_types::StoreFetchRequest>(example),
                "StoreFetch" => check::<api_types::StoreFetch>(example),
                "LogPage" => check::<api_types::LogPage>(example),
                "ModelFitRequest" => check::<api_types::ModelFitRequest>(example),
                "ModelFit" => check::<api_types::ModelFit>(example),
                "Figures" => check::<api_types::Figures>(example),
                "ReloadRequest" => check::<api_types::ReloadRequest>(example),
                "Reloaded" => check::<api_types::Reloaded>(example),
                "RolledBack" => check::<api_types::RolledBack>(example),
                "ModelStateRequest" => check::<api_types::ModelStateRequest>(example),
                "ModelStatus" => check::<api_types::ModelStatus>(example),
                other => panic!("`{other}` has an example and is not read here"),
            }
            checked += 1;
        }
    }
    assert!(checked > 15, "only {checked} examples were read");
}

#[test]
fn every_schema_and_field_says_what_it_is() {
    for document in documents() {
        for (name, schema) in document["components"]["schemas"].as_object().expect("there are schemas") {
            assert!(schema["description"].is_string(), "`{name}` has no description");
            for (field, property) in schema["properties"].as_object().into_iter().flatten() {
                let told = property["description"].is_string() || property["$ref"].is_string();
                assert!(told, "`{name}.{field}` has no description");
            }
        }
    }
}

/// ORCH-SEC-2
#[test]
fn every_plane_but_health_asks_for_the_token_and_says_so() {
    for document in documents() {
        assert_eq!(document["security"], json!([{ "bearer": [] }, { "api_key": [] }]));
        for (path, item) in document["paths"].as_object().expect("there are paths") {
            for method in ["get", "post", "delete"] {
                let Some(operation) = item.get(method) else { continue };
                let open = path == "/health";
                assert_eq!(operation["responses"].get("401").is_none(), open, "{method} {path}");
                assert_eq!(operation.get("security").is_some(), open, "{method} {path}");
                assert!(operation["responses"].get("403").is_some(), "{method} {path}");
            }
        }
    }
}

#[test]
fn one_name_with_two_meanings_is_refused() {
    let elsewhere = tempfile::tempdir().expect("a folder is made");
    for file in FILES {
        let copy = elsewhere.path().join(file);
        std::fs::create_dir_all(copy.parent().expect("a file lies in a folder")).expect("a folder is made");
        let text = std::fs::read_to_string(repository_root().join(file)).expect("the YAML is read");
        let text = if file.ends_with("control.yaml") {
            text.replace("[llamacpp, vllm,", "[llamacpp,")
        } else {
            text
        };
        std::fs::write(copy, text).expect("a file is written");
    }
    let error = generate(elsewhere.path()).expect_err("`Engine` has two meanings").to_string();
    assert!(error.contains("control.yaml") && error.contains("schemas/Engine"), "{error}");
}
