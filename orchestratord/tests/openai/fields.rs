//! Fields of requests, and of all that is in them: those that the daemon takes are those of the contract, by the daemon's
//! own word. It names them all where one is like no other.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;

use engine_api::Abilities;
use generation::Workload;
use serde_json::{Map, Value, json};

use crate::test_daemon::{MockOptions, TestDaemon};
use crate::wire::{self, Ask};

/// A field that is like no other.
const UNKNOWN: &str = "xyzzy";

/// Taken beside the fields of a request, as it goes to engines that take fields of their own.
const FOR_TEMPLATES: &str = "chat_template_kwargs";

/// A value that no field expects.
const ODD: &str = "{\"odd\": [1.5, true, null]}";

struct Contract(Value);

impl Contract {
    fn read() -> Self {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../contracts/openapi/openai.yaml");
        Self(serde_saphyr::from_str(&std::fs::read_to_string(file).unwrap()).unwrap())
    }

    fn resolved<'d>(&'d self, schema: &'d Value) -> &'d Value {
        match schema["$ref"].as_str() {
            Some(pointer) => self.resolved(self.0.pointer(pointer.trim_start_matches('#')).unwrap()),
            None => match schema["allOf"].as_array() {
                Some(all) => self.resolved(&all[0]),
                None => schema,
            },
        }
    }

    /// The schema of the body of `POST path`.
    fn of_body(&self, path: &str) -> &Value {
        self.resolved(&self.0["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"])
    }

    /// Every object with fields of its own in the bodies of requests.
    fn objects(&self) -> BTreeSet<Vec<&str>> {
        let mut found = BTreeSet::new();
        for path in self.0["paths"].as_object().unwrap().keys() {
            if !self.of_body(path).is_null() {
                self.collect(self.of_body(path), &mut found);
            }
        }
        found
    }

    fn collect<'d>(&'d self, schema: &'d Value, found: &mut BTreeSet<Vec<&'d str>>) {
        let schema = self.resolved(schema);
        if let Some(fields) = fields_of(schema)
            && !found.insert(fields.keys().map(String::as_str).collect())
        {
            return;
        }
        for below in fields_of(schema).into_iter().flat_map(Map::values) {
            self.collect(below, found);
        }
        for below in schema["anyOf"].as_array().into_iter().flatten().chain(schema.get("items")) {
            self.collect(below, found);
        }
    }
}

fn fields_of(schema: &Value) -> Option<&Map<String, Value>> {
    schema["properties"].as_object().filter(|fields| !fields.is_empty())
}

/// A place in a request that the contract describes.
struct Place<'d> {
    pointer: String,
    fields: &'d Map<String, Value>,
}

/// The places in `value` that are objects, at `pointer` and below.
fn places<'d>(contract: &'d Contract, schema: &'d Value, value: &Value, pointer: &str) -> Vec<Place<'d>> {
    let schema = contract.resolved(schema);
    let mut found = Vec::new();
    for either in schema["anyOf"].as_array().into_iter().flatten() {
        found.extend(places(contract, either, value, pointer));
    }
    if let (Some(items), Some(all)) = (schema.get("items"), value.as_array()) {
        for (i, item) in all.iter().enumerate() {
            found.extend(places(contract, items, item, &format!("{pointer}/{i}")));
        }
    }
    if let (Some(fields), Some(object)) = (fields_of(schema), value.as_object()) {
        found.push(Place { pointer: pointer.to_owned(), fields });
        for (name, value) in object {
            let below = fields.get(name).unwrap_or_else(|| panic!("`{name}` at {pointer} is not described"));
            found.extend(places(contract, below, value, &format!("{pointer}/{name}")));
        }
    }
    found
}

/// The same body with one more field at `pointer`.
fn with_field(body: &Value, pointer: &str, name: &str, value: &Value) -> Value {
    let mut body = body.clone();
    body.pointer_mut(pointer).unwrap()[name] = value.clone();
    body
}

fn picture() -> Value {
    json!({"url": "data:image/png;base64,AAAA"})
}

/// Bodies with everything in them that has fields of its own.
fn full() -> Vec<(&'static str, Value)> {
    let parameters = json!({"type": "object"});
    let grammar = json!({"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: /a/"}});
    let chat = json!({"model": "starter", "max_tokens": 8,
        "stream_options": {"include_usage": true},
        "reasoning": {"effort": "low"}, "thinking": {"type": "enabled"},
        "response_format": {"type": "json_schema", "json_schema": {"schema": parameters}},
        "tools": [
            {"type": "function", "function": {"name": "a", "parameters": parameters}},
            {"type": "custom", "custom": {"name": "b", "format": grammar}}],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "one"}, {"type": "image_url", "image_url": picture()}]},
            {"role": "assistant", "content": null, "tool_calls": [
                {"function": {"name": "a", "arguments": {}}},
                {"type": "custom", "custom": {"name": "b", "input": "c"}}]},
            {"role": "tool", "content": "two"}]});
    let source = json!({"type": "text", "data": "three"});
    let anthropic = json!({"model": "starter",
        "thinking": {"type": "enabled"},
        "output_config": {"format": {"type": "json_schema", "schema": parameters}},
        "tools": [{"name": "a", "input_schema": parameters}], "tool_choice": {"type": "auto"},
        "messages": [
            {"role": "user", "content": [{"type": "document", "source": source}]},
            {"role": "assistant", "content": [{"type": "tool_use", "name": "a", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "x", "content": "b"}]}]});
    let mut message = anthropic.clone();
    message["max_tokens"] = json!(8);
    let choice = |choice: Value| {
        let tool = json!({"type": "function", "function": {"name": "a"}});
        json!({"model": "starter", "messages": [{"role": "user", "content": "one"}], "tools": [tool],
            "max_tokens": 8, "tool_choice": choice})
    };
    let allowed = json!({"mode": "auto", "tools": [{"type": "function", "function": {"name": "a"}}]});
    let responses = json!({"model": "starter", "max_output_tokens": 8,
        "reasoning": {"effort": "low"},
        "text": {"format": {"type": "json_schema", "schema": parameters}},
        "tools": [
            {"type": "function", "name": "a", "parameters": parameters},
            {"type": "custom", "name": "b", "format": {"type": "grammar", "definition": "start: /a/"}},
            {"type": "namespace", "name": "c", "tools": [{"type": "function", "name": "d"}]}],
        "input": [
            {"role": "user", "content": [{"type": "input_text", "text": "one"}]},
            {"type": "function_call", "call_id": "x", "name": "d", "namespace": "c", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "x", "output": [{"type": "input_text", "text": "two"}]}]});
    vec![
        ("/v1/chat/completions", chat),
        ("/v1/chat/completions", choice(json!({"type": "allowed_tools", "allowed_tools": allowed}))),
        ("/v1/messages", message),
        ("/v1/messages/count_tokens", anthropic),
        ("/v1/responses", responses),
        ("/v1/completions", json!({"model": "starter", "prompt": "one", "max_tokens": 8})),
        ("/v1/embeddings", json!({"model": "starter", "input": "one"})),
        (
            "/infill",
            json!({"input_prefix": "one", "input_suffix": "two", "input_extra": [{"text": "three"}]}),
        ),
        ("/tokenize", json!({"content": "one"})),
        ("/detokenize", json!({"tokens": [1]})),
        ("/v1/rerank", json!({"model": "starter", "query": "one", "documents": [{"text": "two"}]})),
    ]
}

/// A daemon that takes whatever a request may have in it.
async fn able() -> TestDaemon {
    let abilities = Abilities { tools: true, images: true, infill: true, ..Abilities::default() };
    let workloads = vec![Workload::Completion, Workload::Embedding, Workload::Rerank];
    let options = MockOptions { abilities, workloads, lane_bound: 16, ..MockOptions::default() };
    let daemon = TestDaemon::with(options);
    daemon.bring_up().await;
    daemon
}

async fn refusal(at: SocketAddr, path: &str, body: &Value) -> Option<String> {
    let answer = wire::send(at, &Ask::post(path).json(body)).await;
    (answer.status != 200).then(|| answer.text().to_owned())
}

/// ORCH-OAI-4, ORCH-OAI-15, ORCH-OAI-22
#[tokio::test]
async fn the_fields_of_a_request_and_of_all_that_is_in_it_are_those_of_the_contract() {
    let (contract, daemon) = (Contract::read(), able().await);
    let mut seen = BTreeSet::new();
    for (path, body) in full() {
        assert_eq!(refusal(daemon.address, path, &body).await, None, "{path}");
        for Place { pointer, fields } in places(&contract, contract.of_body(path), &body, "") {
            seen.insert(fields.keys().map(String::as_str).collect::<Vec<_>>());
            let asked = with_field(&body, &pointer, UNKNOWN, &json!(1));
            let refused = refusal(daemon.address, path, &asked).await.unwrap_or_default();
            let (_, list) = refused
                .split_once("is not a field: use ")
                .unwrap_or_else(|| panic!("{path} {pointer}: {refused}"));
            let taken: BTreeSet<&str> = list.split('`').skip(1).step_by(2).collect();
            let described = fields.keys().map(String::as_str).filter(|name| *name != FOR_TEMPLATES);
            assert_eq!(taken, described.collect(), "{path} {pointer}: taken, and described");
        }
    }
    let unseen: Vec<_> = contract.objects().into_iter().filter(|object| !seen.contains(object)).collect();
    assert!(unseen.is_empty(), "no body of this test has: {unseen:#?}");
}

/// ORCH-OAI-22
#[tokio::test]
async fn a_field_without_effect_is_accepted_with_any_value_and_its_name_is_listed() {
    let (contract, daemon) = (Contract::read(), able().await);
    let odd: Value = serde_json::from_str(ODD).unwrap();
    let mut names = BTreeSet::new();
    for (path, body) in full() {
        let mut asked = body.clone();
        for Place { pointer, fields } in places(&contract, contract.of_body(path), &body, "") {
            for (name, _) in fields.iter().filter(|(_, schema)| schema["x-no-effect"] == true) {
                names.insert(name.as_str());
                asked = with_field(&asked, &pointer, name, &odd);
            }
        }
        assert_eq!(refusal(daemon.address, path, &asked).await, None, "{path}: {asked}");
    }
    let text = contract.0["info"]["description"].as_str().unwrap();
    let (_, list) = text.split_once("Ignored are:").unwrap();
    let (list, _) = list.split_once("each in the places").unwrap();
    let listed: BTreeSet<&str> = list.split('`').skip(1).step_by(2).collect();
    assert_eq!(names, listed, "the fields without effect, and those that the introduction lists");
}
