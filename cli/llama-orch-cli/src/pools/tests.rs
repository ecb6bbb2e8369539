use super::*;

fn health() -> Health {
    let pool = |id: &str, model: &str| {
        let lane = serde_json::json!({ "depth": 0, "bound": 1 });
        serde_json::json!({
            "id": id, "model_ref": model, "engine": "llamacpp", "state": "ready", "model_state": "Active",
            "queue": { "interactive": lane, "batch": lane }, "replicas": []
        })
    };
    serde_json::from_value(serde_json::json!({
        "status": "ok", "version": "0",
        "pools": [pool("a", "starter"), pool("starter", "hf:o/r/f.gguf"), pool("c", "x.gguf"), pool("d", "x.gguf")],
        "ledger": [
            { "device": "cpu", "replica": "a/0", "expected_bytes": 2048 },
            { "device": "cpu", "replica": "a/0/0" },
            { "device": "gpu0", "replica": "a/11", "expected_bytes": 1, "measured_bytes": 1024 },
            { "device": "gpu0", "replica": "c/0" }
        ]
    }))
    .unwrap()
}

#[test]
fn a_name_is_a_pool_before_it_is_a_model() {
    let health = health();
    let found = |name: &str| find(&health, name).map(|pool| pool.id.as_str());
    assert_eq!(found("starter").unwrap(), "starter");
    assert_eq!(found("hf:o/r/f.gguf").unwrap(), "starter");
    let several = found("x.gguf").unwrap_err();
    assert_eq!(several.message, "several pools serve `x.gguf`");
    assert_eq!(several.hint.unwrap(), "name one of them: `c` (x.gguf), `d` (x.gguf)");
    let none = found("b").unwrap_err();
    assert_eq!(none.message, "no pool has the name `b` or serves it");
    assert!(none.hint.unwrap().starts_with("there are: `a` (starter), `starter` (hf:o/r/f.gguf)"));
}

#[test]
fn a_pool_holds_what_its_own_replicas_hold() {
    let health = health();
    let of = |name: &str| -> Vec<String> {
        let pool = find(&health, name).unwrap();
        holdings(&health, pool)
            .map(|one| format!("{} {}", one.replica, held(one).unwrap_or("?".into())))
            .collect()
    };
    assert_eq!(of("a"), ["a/0 about 2.0 KiB", "a/11 1.0 KiB"]);
    assert_eq!(of("c"), ["c/0 ?"]);
    assert_eq!(of("d"), Vec::<String>::new());
}
