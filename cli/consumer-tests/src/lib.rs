//! The pact between the command line and the daemon: where it is kept, and the one way in which it is
//! written. What stands in it is said by the tests of this package, which drive the command line's own
//! client; the daemon's tests replay it.

use serde_json::Value;

/// Where the pact is kept, from the root of the repository.
pub const PACT: &str = "contracts/pacts/cli-consumer-orchestratord.json";

/// The pact as it is kept: keys in order, and without the versions of the library that wrote it.
#[must_use]
pub fn canonical(mut pact: Value) -> String {
    if let Some(metadata) = pact.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.retain(|key, _| key == "pactSpecification");
    }
    format!("{:#}\n", sorted(pact))
}

fn sorted(value: Value) -> Value {
    match value {
        Value::Object(object) => {
            let mut entries: Vec<(String, Value)> =
                object.into_iter().map(|(key, value)| (key, sorted(value))).collect();
            entries.sort_by(|a, b| a.0.cmp(&b.0));
            entries.into_iter().collect()
        }
        Value::Array(items) => items.into_iter().map(sorted).collect(),
        other => other,
    }
}
