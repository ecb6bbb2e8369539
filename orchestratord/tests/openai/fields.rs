//! Fields of requests: those that the daemon takes are those of the contract, by the daemon's own word. It names them
//! all where one is like no other.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::test_daemon::TestDaemon;
use crate::wire::{self, Ask};

/// A field that is like no other.
const UNKNOWN: &str = "xyzzy";

/// Taken beside the fields of a request, as it goes to engines that take fields of their own.
const FOR_TEMPLATES: &str = "chat_template_kwargs";

pub async fn are_those_of_the_contract(daemon: &TestDaemon) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../contracts/openapi/openai.yaml");
    let document: Value = serde_saphyr::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let mut endpoints = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        let Some(content) = item.pointer("/post/requestBody/content/application~1json") else { continue };
        let schema = &content["schema"];
        // Some endpoints look at fields that they do not know last.
        let example = content["examples"].as_object().and_then(|all| all.values().next());
        let mut body = example.map_or(json!({}), |example| example["value"].clone());
        body[UNKNOWN] = json!(1);
        body["model"] = json!("starter");
        let answer = wire::send(daemon.address, &Ask::post(path).json(&body)).await;
        let told = answer.json();
        let message = told["error"]["message"].as_str().unwrap_or_default();
        let (_, list) =
            message.split_once("is not a field: use ").unwrap_or_else(|| panic!("{path}: {answer:?}"));
        let taken: BTreeSet<&str> = list.split('`').skip(1).step_by(2).collect();
        let described = properties(&document, schema).keys().map(String::as_str);
        let described: BTreeSet<&str> = described.filter(|name| *name != FOR_TEMPLATES).collect();
        assert_eq!(taken, described, "{path}: what the daemon takes, and what the contract describes");
        endpoints += 1;
    }
    assert!(endpoints >= 7, "{endpoints} endpoints take a body");
}

fn properties<'d>(document: &'d Value, schema: &'d Value) -> &'d Map<String, Value> {
    let schema = match schema["$ref"].as_str() {
        Some(pointer) => document.pointer(pointer.trim_start_matches('#')).unwrap(),
        None => schema,
    };
    schema["properties"].as_object().unwrap()
}
