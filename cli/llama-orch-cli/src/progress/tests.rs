use serde_json::{Value, json};

use super::*;

fn pool(extra: &Value) -> Pool {
    let lane = json!({"depth": 0, "bound": 1});
    let mut pool = json!({"id": "p", "model_ref": "starter", "engine": "llamacpp", "state": "starting", "model_state": "Active",
        "queue": {"interactive": lane, "batch": lane}, "replicas": []});
    pool.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    serde_json::from_value(pool).unwrap()
}

fn replica(extra: &Value) -> Replica {
    let mut replica =
        json!({"id": "p/0", "state": "starting", "model_state": "Active", "device": "cpu", "slots_busy": 0});
    replica.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    serde_json::from_value(replica).unwrap()
}

#[test]
fn a_fetch_is_shown_with_its_share_where_the_size_is_known() {
    let said = |fetch: Value| of_pool(&pool(&json!({ "fetch": fetch }))).unwrap();
    assert_eq!(
        said(json!({"done_bytes": 1_048_576, "total_bytes": 4_194_304})),
        "fetching its model: 1.0 MiB of 4.0 MiB (25 %)"
    );
    assert_eq!(said(json!({"done_bytes": 512})), "fetching its model: 512 B");
    assert_eq!(of_pool(&pool(&json!({}))), None);
    assert_eq!(of_pool(&pool(&json!({"reason": "no network"}))).unwrap(), "no network");
}

/// ORCH-MODEL-10
#[test]
fn a_reload_says_what_it_brings_and_how_far_that_is() {
    let said = |reload: Value| of_reload(&pool(&json!({ "reloading_to": "m", "reload": reload }))).unwrap();
    assert_eq!(said(json!({"stage": "loading", "load_progress": 0.424})), "reloading to m: loading it, 42 %");
    assert_eq!(
        said(json!({"stage": "fetching", "fetch": {"done_bytes": 1_048_576, "total_bytes": 4_194_304}})),
        "reloading to m: fetching it, 1.0 MiB of 4.0 MiB (25 %)"
    );
    assert_eq!(said(json!({"stage": "fetching"})), "reloading to m: looking for it");
    assert_eq!(said(json!({"stage": "waiting"})), "reloading to m: waiting for the tasks at work");
    assert_eq!(said(json!({"stage": "testing"})), "reloading to m: testing it");
    // A daemon of an earlier version says no more.
    assert_eq!(of_reload(&pool(&json!({"reloading_to": "m"}))).unwrap(), "reloading to m");
    assert_eq!(of_reload(&pool(&json!({}))), None);
}

#[test]
fn a_replica_says_why_or_how_far() {
    assert_eq!(of_replica(&replica(&json!({"load_progress": 0.42}))), "loading its model: 42 %");
    assert_eq!(of_replica(&replica(&json!({"reason": "it crashed", "load_progress": 0.1}))), "it crashed");
    assert_eq!(of_replica(&replica(&json!({}))), "");
}
