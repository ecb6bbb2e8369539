use serde_json::{Map, Value, json};

use super::*;

fn fields(of: Value) -> Map<String, Value> {
    serde_json::from_value(of).unwrap()
}

fn own(chunk: Value, choice: Value, delta: Value) -> ExtraFields {
    ExtraFields { chunk: fields(chunk), choice: fields(choice), delta: fields(delta) }
}

/// ORCH-OAI-16
#[test]
fn fields_of_an_answer_go_on_as_its_pieces_do() {
    let mut all =
        own(json!({"a": [1], "b": "x", "c": 1}), json!({"a": [1], "b": "x"}), json!({"a": [1], "b": "x"}));
    all.go_on(&own(
        json!({"a": [2], "b": "y", "d": 2}),
        json!({"a": [2], "b": "y"}),
        json!({"a": [2, 3], "b": "y"}),
    ));
    let expected = own(
        json!({"a": [2], "b": "y", "c": 1, "d": 2}),
        json!({"a": [1, 2], "b": "y"}),
        json!({"a": [1, 2, 3], "b": "xy"}),
    );
    assert_eq!(all, expected);
    assert!(!all.is_empty());
    assert!(ExtraFields::default().is_empty());
}
