use super::*;

fn health(state: &str) -> Health {
    let lane = serde_json::json!({ "depth": 0, "bound": 1 });
    serde_json::from_value(serde_json::json!({
        "status": "ok", "version": "0",
        "pools": [{
            "id": "chat", "model_ref": "hf:o/r/f.gguf", "engine": "llamacpp", "state": state,
            "model_state": "Active", "queue": { "interactive": lane, "batch": lane },
            "placement": [
                { "device": "gpu0", "fits": true, "needs_bytes": 10_500_000_000_u64, "free_bytes": 11_000_000_000_u64,
                  "why": "needs 9.8 GiB, 10.2 GiB free" },
                { "device": "gpu1", "fits": false, "why": "needs 9.8 GiB, 5.0 GiB free\nfits with ctx 4096" }
            ],
            "replicas": [
                { "id": "chat/0", "state": "ready", "device": "gpu0", "slots_busy": 0 },
                { "id": "chat/1", "state": "backing_off", "device": "gpu1", "slots_busy": 0, "reason": "no memory" }
            ]
        }],
        "devices": [{ "id": "gpu0", "name": "A card", "memory_total_bytes": 1, "memory_used_bytes": 0 }],
        "ledger": [{
            "device": "gpu0", "replica": "chat/0", "expected_bytes": 10_500_000_000_u64,
            "measured_bytes": 10_200_000_000_u64
        }]
    }))
    .unwrap()
}

fn page(state: &str) -> String {
    let health = health(state);
    render(&health, pools::find(&health, "chat").unwrap(), Palette::Plain)
}

/// ORCH-CLI-7
#[test]
fn the_reckoning_of_each_device_is_shown_with_what_came_of_it() {
    assert_eq!(
        page("ready"),
        "\
pool chat serves hf:o/r/f.gguf
it is ready, 1 replica of it

where it could go, as reckoned before its last load:
  gpu0 (A card): fits
    needs 9.8 GiB, 10.2 GiB free
  gpu1: does not fit
    needs 9.8 GiB, 5.0 GiB free
    fits with ctx 4096

what it holds:
  chat/0 on gpu0: 9.5 GiB, reckoned with 9.8 GiB
"
    );
}

/// ORCH-CLI-7
#[test]
fn every_state_is_said_in_a_sentence() {
    for (state, sentence) in [
        ("starting", "it is loading: no memory"),
        ("unloaded", "it is not loaded: the first task that needs it loads it"),
        ("retired", "it is retired: `llama-orch activate chat` puts it back into service"),
        ("unavailable", "it cannot serve: no memory"),
    ] {
        assert_eq!(page(state).lines().nth(1), Some(sentence));
    }
}
