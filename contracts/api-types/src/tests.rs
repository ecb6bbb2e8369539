use super::*;

fn read(text: &str) -> Result<TaskRequest, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

#[test]
fn a_seed_is_read_exactly_up_to_the_last_of_64_bits() {
    for seed in [0, 1, (1 << 53) + 1, u64::MAX - 1, u64::MAX] {
        let task = read(&format!(r#"{{"prompt":"a","seed":{seed}}}"#)).expect("a seed reads");
        assert_eq!(task.seed, Some(seed));
        let text = serde_json::to_string(&task).expect("a task is JSON");
        assert_eq!(text, format!(r#"{{"prompt":"a","seed":{seed}}}"#));
    }
    for seed in ["-1", "18446744073709551616", "1.5", "1e3", "\"7\""] {
        assert!(read(&format!(r#"{{"prompt":"a","seed":{seed}}}"#)).is_err(), "{seed}");
    }
}

/// ORCH-TASK-4
#[test]
fn an_unknown_field_is_named_wherever_it_stands() {
    for text in [
        r#"{"prompt":"a","odd":1}"#,
        r#"{"prompt":"a","sampling":{"odd":1}}"#,
        r#"{"messages":[{"role":"user","content":"a","odd":1}]}"#,
        r#"{"prompt":"a","sampling":{"logit_bias":[{"token":1,"bias":1,"odd":1}]}}"#,
    ] {
        let error = read(text).expect_err("`odd` is no field");
        assert!(error.contains("unknown field `odd`"), "{error}");
    }
}

#[test]
fn a_word_that_is_none_of_an_enum_is_told_which_there_are() {
    let read = read(r#"{"prompt":"a","priority":"urgent"}"#).expect_err("there are two lanes");
    assert!(read.contains("`urgent`") && read.contains("`interactive` or `batch`"), "{read}");
    let parsed = "urgent".parse::<Priority>().expect_err("there are two lanes").to_string();
    assert_eq!(parsed, "`urgent` is not one of `interactive`, `batch`");
}

#[test]
fn a_field_left_out_null_or_empty_is_told_from_one_given() {
    let bare = read(r#"{"prompt":"a"}"#).expect("a prompt is enough");
    assert_eq!(read(r#"{"prompt":"a","messages":null,"priority":null}"#), Ok(bare.clone()));
    assert_eq!((&bare.messages, bare.priority, &bare.sampling), (&None, None, &None));
    let empty =
        read(r#"{"messages":[],"sampling":{"stop":[],"json_schema":{}}}"#).expect("the limits are no types");
    assert_eq!(empty.messages, Some(Vec::new()));
    let sampling = empty.sampling.expect("it is given");
    assert_eq!((sampling.stop, sampling.json_schema), (Some(Vec::new()), Some(serde_json::Map::new())));
}

#[test]
fn what_is_left_out_has_the_defaults_of_the_contract() {
    assert_eq!(Workload::default(), Workload::Completion);
    assert_eq!(Priority::default(), Priority::Interactive);
    assert_eq!(Determinism::default(), Determinism::BestEffort);
    assert_eq!(KvHint::default(), KvHint::Reuse);
}

#[test]
fn a_json_schema_keeps_the_order_of_its_properties() {
    let text = r#"{"prompt":"a","sampling":{"json_schema":{"properties":{"z":{},"a":{},"m":{}}}}}"#;
    let task = read(text).expect("a schema reads");
    assert_eq!(serde_json::to_string(&task).expect("a task is JSON"), text);
}

/// ORCH-ERR-1
#[test]
fn an_error_has_all_five_keys_and_none_of_them_may_miss() {
    let envelope = ErrorEnvelope {
        code: ErrorCode::InvalidParams,
        message: "no".to_owned(),
        engine: None,
        retriable: false,
        retry_after_ms: None,
    };
    let text = serde_json::to_string(&envelope).expect("an error is JSON");
    let whole =
        r#"{"code":"INVALID_PARAMS","message":"no","engine":null,"retriable":false,"retry_after_ms":null}"#;
    assert_eq!(text, whole);
    let short = whole.replace(r#""engine":null,"#, "");
    assert!(serde_json::from_str::<ErrorEnvelope>(&short).is_err());
}

#[test]
fn events_are_written_in_the_order_the_contract_lists() {
    let started = StartedEvent { queue_position: 1, predicted_start_ms: 2 };
    assert_eq!(
        serde_json::to_string(&started).expect("JSON"),
        r#"{"queue_position":1,"predicted_start_ms":2}"#
    );
    let token = TokenEvent { t: "a".to_owned(), i: 0, output: None };
    assert_eq!(serde_json::to_string(&token).expect("JSON"), r#"{"t":"a","i":0}"#);
    let end = EndEvent {
        tokens_out: 1,
        decode_ms: 2,
        tokens_in: 3,
        queue_ms: 4,
        finish_reason: FinishReason::Stop,
        error: None,
    };
    assert_eq!(
        serde_json::to_string(&end).expect("JSON"),
        r#"{"tokens_out":1,"decode_ms":2,"tokens_in":3,"queue_ms":4,"finish_reason":"stop"}"#
    );
}
