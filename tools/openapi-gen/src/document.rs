//! Reads the OpenAPI files and puts them together as one document.

use std::path::Path;

use anyhow::{Context, bail, ensure};
use serde_json::{Map, Value};

/// The OpenAPI files, from the root of the repository.
pub const FILES: [&str; 2] = ["contracts/openapi/data.yaml", "contracts/openapi/control.yaml"];

/// All OpenAPI files as one.
#[derive(Debug, Clone)]
pub struct Document {
    value: Value,
}

/// Reads one YAML file as JSON.
///
/// # Errors
/// The file cannot be read or is no YAML.
pub fn load_yaml(path: &Path) -> anyhow::Result<Value> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    serde_saphyr::from_str(&text).with_context(|| format!("`{}` is no YAML", path.display()))
}

impl Document {
    /// Reads [`FILES`] and puts them together. What has the same name in two files has to be the same.
    ///
    /// # Errors
    /// A file cannot be read, is no OpenAPI 3.0.3, or contradicts another.
    pub fn load(root: &Path) -> anyhow::Result<Self> {
        let mut merged = Value::Null;
        for file in FILES {
            let value = load_yaml(&root.join(file))?;
            ensure!(value["openapi"] == "3.0.3", "`{file}` says openapi {}: use 3.0.3", value["openapi"]);
            serde_json::from_value::<openapiv3::OpenAPI>(value.clone())
                .with_context(|| format!("`{file}` is no OpenAPI 3.0.3"))?;
            merge(&mut merged, value, file)?;
        }
        merged["info"] = serde_json::json!({ "title": "llama-orch", "version": "1.0.0" });
        Ok(Self { value: merged })
    }

    /// The component schemas by name.
    pub(crate) fn schemas(&self) -> &Map<String, Value> {
        self.value["components"]["schemas"].as_object().expect("both files have schemas")
    }

    /// The fields of the component schema `name`, in the order of the YAML; none where it is no schema.
    pub(crate) fn field_order(&self, name: &str) -> Vec<&str> {
        let properties = self.schemas().get(name).and_then(|schema| schema["properties"].as_object());
        properties.into_iter().flat_map(Map::keys).map(String::as_str).collect()
    }

    /// The document as the generators take it: what limits a value is left out, because a type that cannot
    /// be built from a bad value cannot say which limit it broke. The limits are emitted beside the types
    /// and checked there.
    pub(crate) fn for_generators(&self) -> anyhow::Result<openapiv3::OpenAPI> {
        let mut value = self.value.clone();
        defaults_to_types(&mut value["components"]["schemas"]);
        relax(&mut value);
        one_error_type(&mut value);
        serde_json::from_value(value).context("the document without its limits is no OpenAPI 3.0.3")
    }
}

/// Puts `from` into `into`: objects join, equal values stay, anything else is a contradiction.
fn merge(into: &mut Value, from: Value, file: &str) -> anyhow::Result<()> {
    if into.is_null() {
        *into = from;
        return Ok(());
    }
    for section in ["paths", "components"] {
        let Some(Value::Object(entries)) = from.get(section).cloned() else { continue };
        for (name, entry) in entries {
            let target = &mut into[section][name.as_str()];
            match (target.as_object_mut(), entry) {
                (Some(known), Value::Object(new)) if section == "components" => {
                    join(known, new, &name, file)?;
                }
                (None, entry) => *target = entry,
                (Some(_), _) => bail!("`{file}` describes `{name}`, which another file describes too"),
            }
        }
    }
    Ok(())
}

fn join(
    known: &mut Map<String, Value>,
    new: Map<String, Value>,
    kind: &str,
    file: &str,
) -> anyhow::Result<()> {
    for (name, value) in new {
        match known.get(&name) {
            Some(other) => {
                ensure!(*other == value, "`{file}` has another `{kind}/{name}` than a file before it")
            }
            None => {
                known.insert(name, value);
            }
        }
    }
    Ok(())
}

/// What says which values are allowed, and not which type they have.
const LIMITS: [&str; 11] = [
    "minLength",
    "maxLength",
    "pattern",
    "minItems",
    "maxItems",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "not",
    "example",
];

/// Takes limits out of every schema below `value`, and defaults too: a field that was left out has to be
/// told from one that was given its default, so that a sampler profile can stand in between.
fn relax(value: &mut Value) {
    match value {
        Value::Object(object) => {
            if object.contains_key("type") {
                object.retain(|key, _| !LIMITS.contains(&key.as_str()));
            }
            if let Some(Value::Array(required)) = object.get("required").cloned()
                && let Some(Value::Object(properties)) = object.get_mut("properties")
            {
                optional_is_option(properties, &required);
            } else if let Some(Value::Object(properties)) = object.get_mut("properties") {
                optional_is_option(properties, &[]);
                object.remove("oneOf");
            }
            object.values_mut().for_each(relax);
        }
        Value::Array(array) => array.iter_mut().for_each(relax),
        _ => {}
    }
}

/// Makes every property that may be absent an `Option`, lists and maps among them, so that an empty list
/// is told from none.
fn optional_is_option(properties: &mut Map<String, Value>, required: &[Value]) {
    for (name, property) in properties {
        let Some(property) = property.as_object_mut() else { continue };
        property.remove("default");
        let collection = matches!(property.get("type").and_then(Value::as_str), Some("array" | "object"));
        if collection && !required.iter().any(|required| required == name) {
            property.insert("nullable".to_owned(), Value::Bool(true));
        }
    }
}

/// The client generator gives an operation one type of error. Where an operation answers one status with a
/// body of its own (`/health` its 503), the shared errors beside it are left to the client's catch-all.
fn one_error_type(document: &mut Value) {
    let operations = document["paths"].as_object_mut().expect("a document has paths").values_mut();
    for operation in operations.flat_map(|path| path.as_object_mut().into_iter().flat_map(Map::values_mut)) {
        let Some(responses) = operation.get_mut("responses").and_then(Value::as_object_mut) else { continue };
        let is_error = |status: &str| status.starts_with(['4', '5']);
        let own = |response: &Value| response.get("content").is_some();
        if responses.iter().any(|(status, response)| is_error(status) && own(response)) {
            responses.retain(|status, response| !is_error(status) || own(response));
        }
    }
}

/// Gives the default of a field to the type of the field, which then has it as its `Default`.
fn defaults_to_types(schemas: &mut Value) {
    let fields =
        schemas.as_object().into_iter().flat_map(Map::values).filter_map(|schema| schema.get("properties"));
    let defaults: Vec<(String, Value)> = fields
        .filter_map(Value::as_object)
        .flat_map(Map::values)
        .filter_map(|field| {
            let target = field["allOf"][0]["$ref"].as_str()?.strip_prefix("#/components/schemas/")?;
            Some((target.to_owned(), field.get("default")?.clone()))
        })
        .collect();
    for (target, default) in defaults {
        schemas[target]["default"] = default;
    }
}
