use api_types::TaskRequest;

use super::*;

/// What the writer of this body is told.
fn told(body: &[u8]) -> String {
    match parse::<TaskRequest>(body) {
        Err(Refusal::Invalid(message)) => message,
        other => panic!("the body is not refused as invalid: {other:?}"),
    }
}

/// ORCH-TASK-4
#[test]
fn an_unknown_field_is_named_with_the_nearest_known_one_or_all_of_them() {
    let message = told(br#"{"prompt": "p", "max_token": 1}"#);
    assert_eq!(message, "`max_token` is not a field: did you mean `max_tokens`? (line 1, column 27)");
    let message = told(br#"{"prompt": "p", "sampling": {"temprature": 1}}"#);
    assert!(
        message.starts_with("`sampling.temprature` is not a field: did you mean `temperature`?"),
        "{message}"
    );
    let message = told(br#"{"prompt": "p", "xyzzy": 1}"#);
    assert!(message.starts_with("`xyzzy` is not a field: use `task_id`, `session_id`"), "{message}");
    let message = told(br#"{"messages": [{"role": "user", "content": "c", "nam`e": 1}]}"#);
    assert!(message.starts_with("`messages[0].nam`e` is not a field"), "{message}");
}

#[test]
fn a_wrong_type_is_named_with_its_field_its_value_and_what_would_be_right() {
    let cases: [(&[u8], &str); 9] = [
        (br#"{"prompt": 5}"#, "`prompt` is integer `5`: use a string"),
        (br#"{"max_tokens": -1}"#, "`max_tokens` is integer `-1`: use a whole number from 0 to 4294967295"),
        (br#"{"max_tokens": 1.5}"#, "`max_tokens` is floating point `1.5`: use a whole number"),
        (br#"{"max_tokens": "5"}"#, "`max_tokens` is string \"5\": use a whole number"),
        (br#"{"seed": 18446744073709551616}"#, "`seed` is floating point"),
        (
            br#"{"sampling": {"temperature": "hot"}}"#,
            "`sampling.temperature` is string \"hot\": use a number",
        ),
        (
            br#"{"messages": [{"role": "user", "content": ["x"]}]}"#,
            "`messages[0].content` is sequence: use a string",
        ),
        (br#"{"sampling": {"json_schema": "x"}}"#, "`sampling.json_schema` is string \"x\": use an object"),
        (br#" ["p"]"#, "the body begins with `[`: send a JSON object"),
    ];
    for (body, message) in cases {
        let told = told(body);
        assert!(told.starts_with(message), "{} is answered with {told}", String::from_utf8_lossy(body));
    }
}

#[test]
fn a_wrong_word_is_named_with_the_right_ones() {
    let message = told(br#"{"priority": "urgent"}"#);
    assert!(message.starts_with("`priority` is `urgent`: use `interactive`, `batch`"), "{message}");
    let message = told(br#"{"priority": "Batch"}"#);
    assert!(message.starts_with("`priority` is `Batch`: did you mean `batch`?"), "{message}");
    let message = told(br#"{"messages": [{"role": "usr", "content": ""}]}"#);
    assert!(message.starts_with("`messages[0].role` is `usr`: did you mean `user`?"), "{message}");
}

#[test]
fn a_missing_and_a_repeated_field_are_named() {
    let message = told(br#"{"messages": [{"role": "user"}]}"#);
    assert!(message.starts_with("`messages[0].content` is missing"), "{message}");
    let message = told(br#"{"prompt": "a", "prompt": "b"}"#);
    assert!(message.starts_with("`prompt` is there more than once"), "{message}");
}

#[test]
fn an_id_that_is_no_uuid_is_named() {
    let message = told(br#"{"task_id": "42"}"#);
    assert!(message.starts_with("`task_id`"), "{message}");
    assert!(message.contains("UUID"), "{message}");
}

#[test]
fn what_is_not_json_is_told_with_its_place() {
    assert_eq!(told(b""), "the body is empty: send a JSON object");
    assert_eq!(told(b" \n "), "the body is empty: send a JSON object");
    assert_eq!(told(b"{\"prompt\": \"\xff\"}"), "the body is not UTF-8: byte 12 is 0xff");
    let message = told(b"{\n  \"prompt\": p}");
    assert!(
        message.starts_with("the body is not JSON: ") && message.ends_with("(line 2, column 13)"),
        "{message}"
    );
    let message = told(b"{\"prompt\": \"p\"");
    assert!(message.starts_with("the body is not JSON: EOF"), "{message}");
    let message = told(b"{\"prompt\": \"p\"} x");
    assert!(message.starts_with("something follows the JSON object"), "{message}");
    let message = told(b"{\"sampling\": {\"temperature\": NaN}}");
    assert!(message.starts_with("the body is not JSON"), "{message}");
    let deep = format!("{{\"sampling\": {{\"json_schema\": {}}}}}", "{\"a\":".repeat(100_000));
    assert!(told(deep.as_bytes()).contains("recursion"));
}

#[test]
fn a_long_value_is_not_repeated_in_full() {
    let body = format!("{{\"max_tokens\": \"{}\"}}", "x".repeat(1_000_000));
    let message = told(body.as_bytes());
    assert!(message.len() < 300 && message.contains('…'), "{message}");
}
