//! A schema of the contract, with the schemas that it refers to. It is compiled when a value is first held against it: that takes
//! a part of a second, and most tests use few of them.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use jsonschema::{Draft, Validator};
use serde_json::{Map, Value, json};

/// Where the schemas of a contract are.
const SCHEMAS: &str = "#/components/schemas/";

/// The schemas that a contract names, closed.
#[derive(Clone)]
pub struct Components(Arc<Map<String, Value>>);

/// A schema.
pub struct Schema {
    schema: Value,
    components: Components,
    compiled: OnceLock<Validator>,
}

impl Components {
    pub fn of(document: &Value) -> Self {
        let mut schemas = document["components"]["schemas"].clone();
        close(&mut schemas);
        Self(Arc::new(schemas.as_object().cloned().unwrap_or_default()))
    }

    /// One of them, or one that refers to them.
    pub fn schema(&self, schema: &Value) -> Schema {
        let mut schema = schema.clone();
        close(&mut schema);
        Schema { schema, components: self.clone(), compiled: OnceLock::new() }
    }

    /// Those that `schema` refers to, and those that these refer to.
    fn used_by(&self, schema: &Value) -> Map<String, Value> {
        let mut found = Map::new();
        let mut names = BTreeSet::new();
        collect_references(schema, &mut names);
        while let Some(name) = names.pop_first() {
            if found.contains_key(&name) {
                continue;
            }
            let schema = self.0.get(&name).unwrap_or_else(|| panic!("no schema `{name}`"));
            collect_references(schema, &mut names);
            found.insert(name, schema.clone());
        }
        found
    }
}

impl Schema {
    /// What the schema says against `value`.
    pub fn faults(&self, value: &Value) -> Vec<String> {
        let validator = self.compiled.get_or_init(|| {
            let schemas = self.components.used_by(&self.schema);
            let whole = json!({"allOf": [self.schema], "components": {"schemas": schemas}});
            jsonschema::options()
                .with_draft(Draft::Draft4)
                .should_validate_formats(true)
                .build(&whole)
                .expect("the contract's schemas are schemas")
        });
        let fault =
            |error: jsonschema::ValidationError<'_>| format!("{error} at `{}`", error.instance_path());
        validator.iter_errors(value).map(fault).collect()
    }

    /// Whether `value` is as the schema says.
    ///
    /// # Errors
    /// What is not.
    pub fn check(&self, value: &Value) -> Result<(), String> {
        let faults = self.faults(value);
        if faults.is_empty() { Ok(()) } else { Err(format!("{} in {value}", faults.join("; "))) }
    }
}

fn collect_references(schema: &Value, names: &mut BTreeSet<String>) {
    match schema {
        Value::Array(items) => items.iter().for_each(|item| collect_references(item, names)),
        Value::Object(fields) => {
            let name = fields.get("$ref").and_then(Value::as_str).and_then(|at| at.strip_prefix(SCHEMAS));
            names.extend(name.map(str::to_owned));
            fields.values().for_each(|below| collect_references(below, names));
        }
        _ => {}
    }
}

/// OpenAPI 3.0 as JSON Schema (draft 4, where `exclusiveMinimum` is a flag as well): `nullable` spelled out,
/// and objects closed.
fn close(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(close),
        Value::Object(fields) => {
            fields.values_mut().for_each(close);
            if fields.get("type") == Some(&json!("object")) && fields.contains_key("properties") {
                fields.entry("additionalProperties").or_insert(json!(false));
            }
            if fields.remove("nullable") == Some(json!(true)) {
                let inner = Value::Object(std::mem::take(fields));
                *fields = Map::from_iter([("anyOf".to_owned(), json!([{"type": "null"}, inner]))]);
            }
        }
        _ => {}
    }
}
