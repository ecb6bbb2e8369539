//! What the command line relies on: its client against a pretend daemon that answers as the pact says. The
//! pact in the repository is what these interactions amount to; `cargo xtask regen-pact` writes it.
#![expect(clippy::unwrap_used, reason = "an unwrap in a test is an assertion")]

#[path = "orchqueue_pact/interactions.rs"]
mod interactions;

use std::collections::BTreeSet;
use std::path::PathBuf;

use consumer_tests::{PACT, canonical};
use interactions::{ALL, Interaction};
use openapi_client::Client;
use pact_consumer::prelude::*;
use pact_models::PactSpecification;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use serde_json::Value;

/// Set by `cargo xtask regen-pact`: the pact is written instead of compared.
const REGEN: &str = "LLAMA_ORCH_REGEN_PACT";

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn builder() -> PactBuilder {
    PactBuilder::new("cli-consumer", "orchestratord")
}

fn add(pact: &mut PactBuilder, interaction: &Interaction) {
    pact.interaction(interaction.description, "", |mut built| {
        built.given(interaction.given);
        (interaction.says)(&mut built);
        built
    });
}

/// The client as the command line sets it up.
fn client(url: &str, token: &str) -> Client {
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {token}")).unwrap());
    let http = openapi_client::http_client().default_headers(headers).no_proxy().build().unwrap();
    Client::new_with_client(url.trim_end_matches('/'), http)
}

/// The pact of everything that the client has been seen to do.
async fn driven() -> Value {
    assert_eq!(
        std::env::var("PACT_DO_NOT_TRACK").as_deref(),
        Ok("true"),
        "run this through cargo, which keeps the library from telling its makers of it"
    );
    let scratch = tempfile::tempdir().unwrap();
    let mut whole = builder();
    for interaction in ALL {
        let mut pact = builder();
        pact.with_output_dir(scratch.path());
        add(&mut pact, interaction);
        let server = pact.start_mock_server(None, None);
        let client = client(server.url().as_str(), interaction.token);
        (interaction.drive)(client).await;
        // Panics when the client did not send what the pact says.
        drop(server);
        add(&mut whole, interaction);
    }
    whole.build().to_json(PactSpecification::V3).unwrap()
}

/// ORCH-DOC-4, HOME-API-4
#[tokio::test]
async fn the_pact_in_the_repository_is_what_the_client_relies_on() {
    let fresh = canonical(driven().await);
    assert!(!fresh.to_lowercase().contains(concat!("correlation", "-id")), "{fresh}");
    let path = repository().join(PACT);
    if std::env::var_os(REGEN).is_some() {
        std::fs::write(&path, &fresh).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == fresh, "`{PACT}` is stale: run `cargo xtask regen-pact`");
}

/// The operations that the sources of the command line call on its client.
fn called() -> BTreeSet<String> {
    let mut called = BTreeSet::new();
    let mut folders = vec![repository().join("cli/llama-orch-cli/src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let clients = [".client.", ".patient."];
                let rests = clients.into_iter().flat_map(|client| text.split(client).skip(1));
                let calls = rests.filter_map(|rest| rest.split_once('('));
                called.extend(calls.map(|(name, _)| match name {
                    "events" => "stream_task".to_owned(),
                    name => name.to_owned(),
                }));
            }
        }
    }
    called
}

/// Method and path of an operation of the contract.
fn operation(id: &str) -> (String, String) {
    for name in ["data", "control"] {
        let path = repository().join(format!("contracts/openapi/{name}.yaml"));
        let document: Value = serde_saphyr::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                if operation["operationId"] == id {
                    return (method.to_uppercase(), path.clone());
                }
            }
        }
    }
    panic!("no contract has the operation `{id}`");
}

fn is_at(template: &str, path: &str) -> bool {
    let (ours, theirs): (Vec<_>, Vec<_>) = (template.split('/').collect(), path.split('/').collect());
    ours.len() == theirs.len()
        && ours.iter().zip(theirs).all(|(ours, theirs)| ours.starts_with('{') || *ours == theirs)
}

/// ORCH-DOC-4
#[test]
fn every_operation_that_the_command_line_calls_is_in_the_pact() {
    let pact: Value =
        serde_json::from_str(&std::fs::read_to_string(repository().join(PACT)).unwrap()).unwrap();
    let interactions = pact["interactions"].as_array().unwrap();
    let called = called();
    assert!(called.len() >= 7, "{called:?}");
    for id in &called {
        let (method, template) = operation(id);
        let there = interactions.iter().any(|interaction| {
            let request = &interaction["request"];
            request["method"] == method.as_str() && is_at(&template, request["path"].as_str().unwrap())
        });
        assert!(
            there,
            "the command line calls `{id}`, and no interaction of the pact is {method} {template}: add one to `cli/consumer-tests/tests/orchqueue_pact/interactions.rs`"
        );
    }
}
