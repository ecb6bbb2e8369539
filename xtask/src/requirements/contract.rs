//! Places in contracts: an operation or a schema of an OpenAPI file, or a pointer into JSON.

use serde_json::Value;

/// Reads a contract.
///
/// # Errors
/// What is wrong with it.
pub fn parse(file: &str, text: &str) -> Result<Value, String> {
    if file.ends_with(".json") {
        serde_json::from_str(text).map_err(|error| error.to_string())
    } else {
        serde_saphyr::from_str(text).map_err(|error| error.to_string())
    }
}

/// What `anchor` misses in the contract of `file`.
pub fn misses(file: &str, document: &Value, anchor: &str) -> Option<String> {
    let there = if anchor.starts_with('/') {
        document.pointer(anchor).is_some()
    } else {
        operations(document).any(|id| id == anchor)
            || document["components"]["schemas"].get(anchor).is_some()
            || document["components"]["responses"].get(anchor).is_some()
    };
    (!there).then(|| format!("`{file}` has no `{anchor}`"))
}

fn operations(document: &Value) -> impl Iterator<Item = &str> {
    let items = document["paths"].as_object().into_iter().flat_map(|paths| paths.values());
    let methods = items.filter_map(Value::as_object).flat_map(|item| item.values());
    methods.filter_map(|operation| operation["operationId"].as_str())
}
