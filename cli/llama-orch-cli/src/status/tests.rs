use super::*;

/// The example of `contracts/openapi/control.yaml`, with a pool that is on its way.
fn health() -> Health {
    serde_json::from_value(serde_json::json!({
        "status": "ok",
        "version": "0.1.0",
        "build": "native: AVX2, FMA, F16C",
        "pools": [
            {
                "id": "starter", "model_ref": "starter", "engine": "llamacpp", "state": "ready",
                "model_state": "Active",
                "model": {
                    "name": "SmolLM2 135M Instruct", "architecture": "llama", "parameters": 134_515_008,
                    "size_bytes": 91_734_272, "ctx_train": 8192
                },
                "queue": { "interactive": { "depth": 0, "bound": 256 }, "batch": { "depth": 12, "bound": 1024 } },
                "replicas": [
                    {
                        "id": "starter/0", "state": "ready", "device": "cpu", "engine_version": "b11434",
                        "slots": 4, "slots_busy": 4, "ctx": 8192, "kv_cells": 16384, "kv_cells_used": 5120,
                        "prefill_tokens_per_s": 812.5, "decode_tokens_per_s": 118.2
                    },
                    {
                        "id": "starter/1", "state": "backing_off", "device": "gpu0", "slots_busy": 0,
                        "reason": "ended by signal 9:\nstarts again in 4 s"
                    }
                ]
            },
            {
                "id": "big", "model_ref": "hf:owner/repo/big.gguf", "engine": "llamacpp", "state": "starting",
                "model_state": "Active", "reloading_to": "hf:owner/repo/bigger.gguf",
                "reload": { "stage": "loading", "load_progress": 0.424 },
                "queue": { "interactive": { "depth": 1, "bound": 256 }, "batch": { "depth": 0, "bound": 1024 } },
                "replicas": [
                    { "id": "big/0", "state": "starting", "device": "gpu0", "slots_busy": 0, "reason": "loading: 42 %" }
                ]
            },
            {
                "id": "old", "model_ref": "file:/models/old.gguf", "engine": "llamacpp", "state": "retired",
                "model_state": "Retired",
                "queue": { "interactive": { "depth": 0, "bound": 256 }, "batch": { "depth": 0, "bound": 1024 } },
                "replicas": []
            }
        ],
        "ledger": [
            { "device": "gpu0", "replica": "starter/1", "expected_bytes": 300_000_000 },
            { "device": "cpu", "replica": "starter/0", "expected_bytes": 310_000_000, "measured_bytes": 290_000_000 },
            { "device": "gpu0", "replica": "big/0" }
        ],
        "devices": [
            { "id": "cpu", "name": "AMD Ryzen 7 5800X", "memory_total_bytes": 67_447_029_760_u64, "memory_used_bytes": 9_126_805_504_u64 },
            { "id": "gpu0", "name": "NVIDIA GeForce RTX 3060", "memory_total_bytes": 12_884_901_888_u64, "memory_used_bytes": 1_073_741_824, "utilization": 0.37 }
        ]
    }))
    .unwrap()
}

fn waiting() -> Vec<TaskSummary> {
    let task = |id: u32, position: u32| {
        serde_json::from_value(serde_json::json!({
            "task_id": format!("6f1d2c3e-8a4b-4c5d-9e6f-0a1b2c3d4e{id:02}"), "pool": "starter",
            "priority": "batch", "workload": "completion", "state": "waiting",
            "queue_position": position, "predicted_start_ms": 1900 * (position + 1),
            "predicted_start_p90_ms": 2600 * (position + 1), "tokens_in": 12, "tokens_out": 0, "age_ms": 250,
            "promised_start_ms": 1840, "placements": 0
        }))
        .unwrap()
    };
    vec![task(1, 0), task(2, 1)]
}

#[test]
fn a_page_shows_pools_queues_replicas_and_devices() {
    insta::assert_snapshot!(render(&health(), &[], "http://127.0.0.1:6173", Palette::Plain));
}

/// ORCH-CLI-19
#[test]
fn tasks_that_wait_are_shown_with_their_start_and_its_upper_estimate() {
    insta::assert_snapshot!(render_waiting(&waiting(), Palette::Plain).unwrap(), @r"
    WAITING                               POOL     LANE   PLACE  STARTS IN  P90
    6f1d2c3e-8a4b-4c5d-9e6f-0a1b2c3d4e01  starter  batch  1.     1.9 s      2.6 s
    6f1d2c3e-8a4b-4c5d-9e6f-0a1b2c3d4e02  starter  batch  2.     3.8 s      5.2 s
    ");
}

/// ORCH-CLI-23
#[test]
fn tasks_whose_prompt_is_read_are_shown_with_how_much_of_it_is() {
    let mut task = waiting().remove(0);
    (task.state, task.tokens_in, task.tokens_read) = (TaskState::Running, 7491, Some(2048));
    insta::assert_snapshot!(render_reading(&[task.clone()], Palette::Plain).unwrap(), @r"
    READING                               POOL     LANE   PROMPT
    6f1d2c3e-8a4b-4c5d-9e6f-0a1b2c3d4e01  starter  batch  2048 of 7491 tokens
    ");
    task.tokens_out = 1;
    assert_eq!(render_reading(&[task], Palette::Plain), None);
}

#[test]
fn colours_change_nothing_but_the_colour() {
    let plain = render(&health(), &waiting(), "http://127.0.0.1:6173", Palette::Plain);
    let coloured = render(&health(), &waiting(), "http://127.0.0.1:6173", Palette::Colour);
    let mut stripped = String::new();
    let mut rest = coloured.as_str();
    while let Some((before, after)) = rest.split_once("\x1b[") {
        stripped.push_str(before);
        rest = after.split_once('m').unwrap().1;
    }
    stripped.push_str(rest);
    assert_eq!(stripped, plain);
    assert!(coloured.contains("\x1b[31mbacking off\x1b[0m"));
}

#[test]
fn parameters_are_said_as_people_say_them() {
    assert_eq!(parameters(134_515_008), "135 M");
    assert_eq!(parameters(7_241_732_096), "7.2 B");
}
