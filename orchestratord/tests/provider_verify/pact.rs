//! The pact of the command line (`contracts/pacts`), replayed against the running daemon: each interaction
//! against one that is in the state which the interaction is about.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use orchestratord::pool_protocol::{Order, PoolEvent, Rollback, RollbackCode};
use pact_verifier::callback_executors::HttpRequestProviderStateExecutor;
use pact_verifier::{
    FilterInfo, NullRequestFilterExecutor, PactSource, ProviderInfo, ProviderTransport, VerificationOptions,
    verify_provider_async,
};
use serde_json::{Value, json};

use super::audit::{Audit, prompt, task};
use super::test_daemon::{LANE_BOUND, TestDaemon};
use super::wire::Ask;
use engine_mock::Phase;

/// The task and the session that the pact is about.
const TASK: &str = "6f1d2c3e-8a4b-4c5d-9e6f-0a1b2c3d4e5f";
const SESSION: &str = "0b7c1a52-3d44-4f0e-8b1a-5a6c7d8e9f01";

/// States that the pool's controller is in, not the daemon.
const GOOD_MODEL: &str = "a pool serves and the new model is good";
const BROKEN_MODEL: &str = "a pool serves and the new model is broken";

/// Does what the pool's controller is ordered, as the state has it. Never ends.
async fn keep(daemon: &mut TestDaemon, state: &str) {
    while let Some(order) = daemon.ordered.recv().await {
        let Order::Reload(order) = order else { continue };
        let outcome = match state {
            GOOD_MODEL => Ok(order.model.to_string()),
            _ => Err(Rollback { code: RollbackCode::ModelInvalid, message: "it is no GGUF file".to_owned() }),
        };
        daemon.say(PoolEvent::ReloadOver(outcome)).await;
    }
    std::future::pending().await
}

fn pact() -> String {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../contracts/pacts/cli-consumer-orchestratord.json");
    std::fs::read_to_string(path).expect("the pact is in the repository")
}

/// A daemon in the state of that name.
async fn house_in(state: &str, audit: &Audit) -> TestDaemon {
    if state == "no pool is ready yet" {
        return TestDaemon::empty();
    }
    let daemon = TestDaemon::new().await;
    let own = |mut body: Value| {
        body["task_id"] = json!(TASK);
        body
    };
    match state {
        "a pool serves" | GOOD_MODEL | BROKEN_MODEL => {}
        "the interactive lane is full" => {
            daemon.control.hold(Phase::Decode);
            audit.submit(&daemon, prompt()).await;
            daemon.control.until(|counts| counts.running == 1).await;
            for _ in 0..LANE_BOUND {
                audit.submit(&daemon, prompt()).await;
            }
        }
        "a task of three tokens has ended" => {
            audit.submit(&daemon, own(prompt())).await;
            audit.expect(200, daemon.address, Ask::get(&task("stream", TASK))).await;
        }
        "a task is running" => {
            daemon.control.hold(Phase::Decode);
            audit.submit(&daemon, own(prompt())).await;
            daemon.control.until(|counts| counts.running == 1).await;
        }
        "a session has had a turn" => {
            let id = audit.submit(&daemon, json!({"prompt": "one two", "session_id": SESSION})).await;
            audit.expect(200, daemon.address, Ask::get(&task("stream", &id))).await;
        }
        other => panic!("the pact names the state {other:?}, which nobody makes here"),
    }
    daemon
}

/// Replays the interaction of this description.
async fn replay(at: SocketAddr, pact: &str, description: &str) -> Result<(), String> {
    let transport = ProviderTransport {
        transport: "http".to_owned(),
        port: Some(at.port()),
        path: None,
        scheme: Some("http".to_owned()),
    };
    let provider = ProviderInfo {
        name: "orchestratord".to_owned(),
        host: "127.0.0.1".to_owned(),
        transports: vec![transport],
        ..ProviderInfo::default()
    };
    let options: VerificationOptions<NullRequestFilterExecutor> =
        VerificationOptions { coloured_output: false, ..VerificationOptions::default() };
    let outcome = verify_provider_async(
        provider,
        vec![PactSource::String(pact.to_owned())],
        FilterInfo::Description(format!("^{description}$")),
        Vec::new(),
        &options,
        None,
        &Arc::new(HttpRequestProviderStateExecutor::default()),
        None,
    )
    .await
    .map_err(|error| error.to_string())?;
    if outcome.result { Ok(()) } else { Err(format!("{:#?}\n{}", outcome.errors, outcome.output.join("\n"))) }
}

/// Description and state of each interaction.
fn interactions(pact: &str) -> Vec<(String, String)> {
    let read: Value = serde_json::from_str(pact).expect("the pact is JSON");
    let word = |value: &Value| value.as_str().expect("a text").to_owned();
    let each = read["interactions"].as_array().expect("a pact has interactions").iter();
    each.map(|it| (word(&it["description"]), word(&it["providerStates"][0]["name"]))).collect()
}

/// ORCH-DOC-4
#[tokio::test]
async fn the_daemon_keeps_the_pact_of_the_command_line() {
    assert_eq!(
        std::env::var("PACT_DO_NOT_TRACK").as_deref(),
        Ok("true"),
        "run this through cargo, which keeps the library from telling its makers of it"
    );
    let (audit, pact) = (Audit::new(), pact());
    let all = interactions(&pact);
    assert!(all.len() >= 10, "{all:?}");
    for (description, state) in all {
        let mut daemon = house_in(&state, &audit).await;
        let at = daemon.address;
        let kept = tokio::select! {
            kept = replay(at, &pact, &description) => kept,
            () = keep(&mut daemon, &state) => unreachable!("it never ends"),
        };
        assert_eq!(kept, Ok(()), "{description}, where {state}");
    }
}

/// The replay is no formality.
#[tokio::test]
async fn a_pact_that_asks_for_something_else_is_not_kept() {
    let (audit, pact) = (Audit::new(), pact());
    for (description, from, to) in [
        ("a conversation is submitted", "\"status\": 202", "\"status\": 201"),
        ("a task is canceled", "\"status\": 204", "\"status\": 200"),
        ("a stream is read to its end", "event: started", "event: begun"),
        ("a conversation is submitted to a full lane", "ADMISSION_REJECT", "QUEUE_FULL"),
    ] {
        let (_, state) = interactions(&pact).into_iter().find(|(known, _)| known == description).unwrap();
        let changed = pact.replace(from, to);
        assert_ne!(changed, pact);
        let daemon = house_in(&state, &audit).await;
        assert!(replay(daemon.address, &changed, description).await.is_err(), "{description} with {to}");
    }
}
