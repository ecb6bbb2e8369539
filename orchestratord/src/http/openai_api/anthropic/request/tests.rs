use generation::Constraint;
use http::HeaderMap;
use serde_json::json;

use super::*;

fn asked(output_config: &Value) -> Value {
    let turn = json!({"role": "user", "content": "Name a colour."});
    json!({"model": "starter", "max_tokens": 8, "messages": [turn], "output_config": output_config})
}

/// The form that the task of a request has to keep to.
fn constraint(body: Value) -> Result<Option<Constraint>, String> {
    let request: MessagesRequest = serde_json::from_value(body).map_err(|error| error.to_string())?;
    let (conversation, shared) =
        request.resolve(&ImageUrls::default()).map_err(|refusal| refusal.to_string())?;
    let plan = shared.plan(&HeaderMap::new()).map_err(|refusal| refusal.to_string())?;
    let tasks = conversation.tasks(&plan).map_err(|refusal| refusal.to_string())?;
    Ok(tasks[0].job.sampling.constraint.clone())
}

/// ORCH-OAI-14
#[test]
fn a_schema_becomes_the_form_that_the_answer_has_to_have() {
    let format = json!({"type": "json_schema", "schema": {"type": "string", "enum": ["red"]}});
    let asked_for = constraint(asked(&json!({"format": format, "effort": "low"})));
    let Ok(Some(Constraint::JsonSchema(schema))) = asked_for else { panic!("{asked_for:?}") };
    assert_eq!(serde_json::from_str::<Value>(&schema).unwrap(), format["schema"]);
    for none in [json!(null), json!({}), json!({"format": null}), json!({"effort": "high"})] {
        assert_eq!(constraint(asked(&none)), Ok(None), "{none}");
    }
}

/// ORCH-OAI-14
#[test]
fn what_is_no_form_of_this_endpoint_is_refused_by_name() {
    for (format, words) in [
        (json!({"type": "json_object"}), "`output_config.format.type` is `json_object`: use `json_schema`"),
        (json!({"type": "json_schema"}), "`output_config.format.schema` is missing"),
        (json!({"type": "json_schema", "schema": {}, "name": "x"}), "unknown field `name`"),
        (json!("json_schema"), "expected struct Format"),
    ] {
        let refused = constraint(asked(&json!({"format": format}))).expect_err("refused");
        assert!(refused.contains(words), "{refused}");
    }
    let refused = constraint(asked(&json!({"budget": 1}))).expect_err("refused");
    assert!(refused.contains("unknown field `budget`"), "{refused}");
}
