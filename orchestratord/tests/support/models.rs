//! Which models are served: every answer of the control plane's two changes.

use orchestratord::pool_protocol::{Order, PoolEvent, Rollback, RollbackCode};
use serde_json::json;

use super::audit::{Audit, prompt, task};
use super::test_daemon::TestDaemon;
use super::wire::Ask;

const RELOAD: &str = "/v1/pools/p/reload";
const STATE: &str = "/v1/models/p/state";

fn reload(model: &str) -> Ask {
    Ask::post(RELOAD).json(&json!({"new_model_ref": model}))
}

fn state(state: &str) -> Ask {
    Ask::post(STATE).json(&json!({"state": state}))
}

/// Reloads that are made, that fail, and that are not tried.
pub async fn reloads(audit: &Audit, daemon: &mut TestDaemon) {
    let at = daemon.address;
    let ask = audit.expect(200, at, reload("file:/models/other.gguf"));
    let controller = async {
        let Some(Order::Reload(order)) = daemon.ordered.recv().await else { panic!("a reload is ordered") };
        assert_eq!(order.model.to_string(), "file:/models/other.gguf");
        // While this one is under way:
        let refused = audit.expect(409, at, reload("starter")).await.json();
        assert_eq!((&refused["status"], &refused["code"]), (&json!("refused"), &json!("RELOAD_IN_PROGRESS")));
        let health = audit.expect(200, at, Ask::get("/health")).await.json();
        assert_eq!(health["pools"][0]["reloading_to"], "file:/models/other.gguf");
        daemon.say(PoolEvent::ReloadOver(Ok("file:/models/other.gguf".to_owned()))).await;
    };
    let (answer, ()) = tokio::join!(ask, controller);
    assert_eq!(answer.json(), json!({"status": "reloaded", "model_ref": "file:/models/other.gguf"}));

    for code in [
        RollbackCode::ModelUnavailable,
        RollbackCode::ModelInvalid,
        RollbackCode::DoesNotFit,
        RollbackCode::SelfTestFailed,
        RollbackCode::EngineFailed,
    ] {
        let ask = audit.expect(409, at, reload("file:/models/broken.gguf"));
        let controller = async {
            let ordered = daemon.ordered.recv().await;
            assert!(matches!(ordered, Some(Order::Reload(_))), "a reload is ordered");
            let rollback = Rollback { code, message: "it is broken".to_owned() };
            daemon.say(PoolEvent::ReloadOver(Err(rollback))).await;
        };
        let (answer, ()) = tokio::join!(ask, controller);
        assert_eq!(answer.json()["status"], "rollback");
        assert_eq!(answer.json()["message"], "it is broken");
    }
    let stopping = audit.expect(409, at, reload("starter"));
    let controller = async {
        daemon.ordered.recv().await;
        let rollback =
            Rollback { code: RollbackCode::Stopping, message: "the daemon is stopping".to_owned() };
        daemon.say(PoolEvent::ReloadOver(Err(rollback))).await;
    };
    let (answer, ()) = tokio::join!(stopping, controller);
    assert_eq!(answer.json()["code"], "STOPPING");
}

/// Out of service and back.
pub async fn states(audit: &Audit, daemon: &mut TestDaemon) {
    let at = daemon.address;
    let retired = audit.expect(200, at, state("Retired")).await;
    assert_eq!(retired.json(), json!({"model_id": "p", "state": "Retired"}));
    audit.expect(200, at, state("Retired")).await;
    let refused = audit.expect(503, at, Ask::task(&prompt())).await.json();
    assert_eq!((&refused["code"], &refused["retriable"]), (&json!("POOL_UNAVAILABLE"), &json!(false)));
    assert!(refused["message"].as_str().unwrap().contains("llama-orch activate p"), "{refused}");
    let refused = audit.expect(409, at, reload("starter")).await.json();
    assert_eq!(refused["code"], "MODEL_RETIRED");
    let health = audit.expect(200, at, Ask::get("/health")).await.json();
    assert_eq!(health["pools"][0]["state"], "retired");
    assert_eq!(health["pools"][0]["model_state"], "Retired");
    let metrics = audit.expect(200, at, Ask::get("/metrics")).await;
    assert!(metrics.text().contains("model_state{model_id=\"p\",state=\"Retired\"} 1"), "{}", metrics.text());
    assert!(matches!(daemon.ordered.recv().await, Some(Order::Unload)), "its memory is given back");
    daemon.unload().await;

    audit.expect(200, at, state("Active")).await;
    assert!(matches!(daemon.ordered.recv().await, Some(Order::Load)));
    let health = audit.expect(200, at, Ask::get("/health")).await.json();
    assert_eq!(health["pools"][0]["state"], "starting");
    // A task waits for the model in the queue.
    let waiting = audit.submit(daemon, prompt()).await;
    daemon.bring_up().await;
    let stream = audit.expect(200, at, Ask::get(&task("stream", &waiting))).await;
    assert!(stream.text().contains("\"stop\""), "{}", stream.text());
}

/// Changes that must be refused.
pub async fn at_fault(audit: &Audit, daemon: &TestDaemon) {
    let at = daemon.address;
    for (path, good) in [(RELOAD, json!({"new_model_ref": "starter"})), (STATE, json!({"state": "Active"}))] {
        for body in [json!({}), json!([]), json!({"new_model_ref": 1, "state": 1})] {
            audit.expect(400, at, Ask::post(path).json(&body)).await;
        }
        let mut unknown = good.clone();
        unknown["nonsense"] = json!(1);
        let message = audit.expect(400, at, Ask::post(path).json(&unknown)).await.json()["message"].clone();
        assert!(message.as_str().unwrap().contains("nonsense"), "{message}");
        let elsewhere = path.replace("/p/", "/nobody/");
        let message =
            audit.expect(404, at, Ask::post(&elsewhere).json(&good)).await.json()["message"].clone();
        assert!(message.as_str().unwrap().contains("`p`"), "it says what there is: {message}");
        audit.expect(413, at, Ask::post(path).bytes(&vec![b' '; 20 * 1024 * 1024])).await;
    }
    for wrong in ["Paused", "active", ""] {
        let message = audit.expect(400, at, state(wrong)).await.json()["message"].clone();
        assert!(message.as_str().unwrap().contains("`Active`"), "it says what would be right: {message}");
    }
    for wrong in ["", "ftp://x", "hf:x", "a\0b"] {
        let message = audit.expect(400, at, reload(wrong)).await.json()["message"].clone();
        assert!(message.as_str().unwrap().contains("`new_model_ref`"), "{message}");
    }
    let checksum = Ask::post(RELOAD).json(&json!({"new_model_ref": "starter", "sha256": "abc"}));
    let message = audit.expect(400, at, checksum).await.json()["message"].clone();
    assert!(message.as_str().unwrap().contains("`sha256`"), "{message}");
}

/// What both answer when the driver cannot.
pub async fn without_a_driver(audit: &Audit, status: u16, at: std::net::SocketAddr) {
    audit.expect(status, at, reload("starter")).await;
    audit.expect(status, at, state("Active")).await;
}
