use serde_json::json;

use super::*;

fn asked(beyond: Value) -> Result<Option<ExtraBody>, String> {
    let Value::Object(beyond) = beyond else { panic!("an object") };
    fields(beyond, CHAT_FIELDS, &[]).map_err(|refusal| refusal.to_string())
}

#[test]
fn what_nobody_knows_goes_on_with_what_is_said_where_no_engine_takes_it() {
    assert_eq!(asked(json!({})), Ok(None));
    let own = asked(json!({"tempreature": 1, "top_a": {"b": [1.5, null]}})).expect("taken").expect("some");
    assert_eq!(own.fields, r#"{"tempreature":1,"top_a":{"b":[1.5,null]}}"#);
    assert_eq!(own.refusal, "`tempreature` is not a field: did you mean `temperature`?");
}

/// ORCH-OAI-15
#[test]
fn what_is_the_daemons_own_affair_or_of_another_endpoint_is_refused_by_name() {
    for (name, words) in [
        ("n_predict", "`n_predict` is set by the daemon alone: use `max_tokens`"),
        ("response_fields", "`response_fields` is set by the daemon alone"),
        ("prompt", "`prompt` is not a field"),
        ("echo", "`echo` is not a field"),
    ] {
        let refused = asked(json!({name: 1, "aaa": 1})).expect_err("refused");
        assert!(refused.starts_with(words), "{refused}");
    }
}

/// ORCH-ENG-16
#[test]
fn arguments_of_the_template_stand_apart_where_there_is_nothing_else() {
    let template = json!({"chat_template_kwargs": {"enable_thinking": false}});
    let own = asked(template).expect("taken").expect("some");
    assert_eq!(own.template.as_deref(), Some(r#"{"enable_thinking":false}"#));
    assert!(own.refusal.starts_with("`chat_template_kwargs` is not a field"), "{}", own.refusal);
    let both = asked(json!({"chat_template_kwargs": {}, "top_a": 1})).expect("taken").expect("some");
    assert_eq!((both.template, both.refusal.starts_with("`top_a` is not a field")), (None, true));
    assert_eq!(asked(json!({"chat_template_kwargs": null})), Ok(None));
    let refused = asked(json!({"chat_template_kwargs": [1]})).expect_err("refused");
    assert_eq!(
        refused,
        "`chat_template_kwargs` is [1]: an object with the template's own arguments would be right"
    );
}
