use serde_json::{Value, json};

use super::*;

/// A look with tasks in these states; the number is the task.
pub(in crate::top) fn look(tasks: &[(u128, &str)]) -> Look {
    let health = json!({
        "status": "ok", "version": "0.1.0", "build": "AVX2",
        "pools": [
            { "id": "chat", "model_ref": "file:/models/qwen2.5-14b.gguf", "engine": "llamacpp", "state": "ready",
              "model_state": "Active",
              "queue": { "interactive": { "depth": 1, "bound": 256 }, "batch": { "depth": 2, "bound": 1024 } },
              "replicas": [
                { "id": "chat/0", "state": "ready", "device": "gpu0", "slots": 4, "slots_busy": 2,
                  "decode_tokens_per_s": 38.25 },
                { "id": "chat/1", "state": "starting", "device": "gpu1", "slots_busy": 0, "load_progress": 0.4 } ] }
        ],
        "devices": [
            { "id": "cpu", "name": "A processor", "memory_total_bytes": 68_719_476_736_u64, "memory_used_bytes": 17_179_869_184_u64 },
            { "id": "gpu0", "name": "NVIDIA GeForce RTX 4090", "memory_total_bytes": 25_769_803_776_u64,
              "memory_used_bytes": 12_884_901_888_u64, "utilization": 0.93 }
        ],
    });
    let of_state = |state: &str| tasks.iter().filter(|(_, its)| *its == state).count();
    let counts =
        json!({ "running": of_state("running"), "waiting": of_state("waiting"), "ended": of_state("ended") });
    let list: Vec<Value> = tasks.iter().map(|(id, state)| task(*id, state)).collect();
    let tasks = json!({ "counts": counts, "tasks": list });
    Look {
        health: serde_json::from_value(health).expect("as the daemon answers"),
        tasks: serde_json::from_value(tasks).expect("as the daemon answers"),
    }
}

/// A task's id: what is shown of it is its beginning.
fn id_of(number: u128) -> Uuid {
    Uuid::from_u128(number << 96)
}

fn task(id: u128, state: &str) -> Value {
    let mut task = json!({
        "task_id": id_of(id), "pool": "chat", "priority": if id.is_multiple_of(2) { "batch" } else { "interactive" },
        "workload": "completion", "state": state, "tokens_in": 812, "tokens_out": 0, "age_ms": 1210,
        "promised_start_ms": 3000, "placements": 0,
    });
    match state {
        "reading" => {
            task["state"] = json!("running");
            task["tokens_in"] = json!(7491);
            task["tokens_read"] = json!(2048);
        }
        "running" => {
            task["tokens_out"] = json!(96);
            task["tokens_per_s"] = json!(38.25);
        }
        "waiting" => {
            task["queue_position"] = json!(id);
            task["predicted_start_ms"] = json!(1900 * id as u64);
            task["predicted_start_p90_ms"] = json!(2600 * id as u64);
        }
        _ => {}
    }
    task
}

pub(in crate::top) fn screen(tasks: &[(u128, &str)]) -> Screen {
    let mut screen = Screen::new("http://127.0.0.1:6173".to_owned(), Palette::Plain);
    screen.seen(Ok(look(tasks)));
    screen
}

pub(in crate::top) fn press(screen: &mut Screen, code: KeyCode) -> Action {
    screen.key(KeyEvent::new(code, KeyModifiers::NONE))
}

/// ORCH-CLI-16
#[test]
fn a_task_is_canceled_only_after_a_yes() {
    let mut screen = screen(&[(1, "running"), (2, "waiting"), (9, "ended")]);
    press(&mut screen, KeyCode::Down);
    assert_eq!(press(&mut screen, KeyCode::Char('c')), Action::Nothing);
    assert_eq!(screen.mode(), Mode::Asking(id_of(2)));
    assert_eq!(press(&mut screen, KeyCode::Char('n')), Action::Nothing);
    assert_eq!(screen.mode(), Mode::Watching);
    press(&mut screen, KeyCode::Char('c'));
    assert_eq!(press(&mut screen, KeyCode::Char('y')), Action::Cancel(id_of(2)));
}

#[test]
fn the_chosen_task_stays_chosen_while_others_come_and_go() {
    let mut screen = screen(&[(1, "running"), (2, "waiting"), (3, "waiting")]);
    press(&mut screen, KeyCode::End);
    assert_eq!(screen.chosen_place(), Some(2));
    screen.seen(Ok(look(&[(3, "running"), (4, "waiting")])));
    assert_eq!(screen.chosen_place(), Some(0));
    screen.seen(Ok(look(&[(4, "running"), (3, "ended")])));
    assert_eq!(screen.chosen_place(), Some(0), "it has ended: the first one is chosen");
    press(&mut screen, KeyCode::Char('c'));
    assert_eq!(screen.mode(), Mode::Asking(id_of(4)));
}

#[test]
fn what_was_seen_stays_when_the_daemon_does_not_answer() {
    let mut screen = screen(&[(1, "running")]);
    screen.seen(Err("no daemon can be reached".to_owned()));
    assert_eq!(screen.message(), Some("no daemon can be reached"));
    assert_eq!(screen.tasks().count(), 1);
    screen.seen(Ok(look(&[])));
    assert_eq!(screen.message(), None);
}

#[test]
fn keys_leave_pause_and_explain() {
    let mut screen = screen(&[]);
    assert_eq!(press(&mut screen, KeyCode::Char('q')), Action::Leave);
    assert_eq!(press(&mut screen, KeyCode::Esc), Action::Leave);
    let interrupt = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert_eq!(screen.key(interrupt), Action::Leave);
    assert_eq!(press(&mut screen, KeyCode::Char('p')), Action::Nothing);
    assert!(screen.is_paused());
    assert_eq!(press(&mut screen, KeyCode::Char('p')), Action::Look);
    press(&mut screen, KeyCode::Char('?'));
    assert_eq!(screen.mode(), Mode::Help);
    assert_eq!(press(&mut screen, KeyCode::Char('q')), Action::Nothing, "any key goes back");
    assert_eq!(press(&mut screen, KeyCode::Char('c')), Action::Nothing);
    assert_eq!(screen.message(), Some("there is no task to cancel"));
}
