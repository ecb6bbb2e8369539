//! Which options of two configurations differ, by their paths. Pools are told apart by their names, so that one more
//! at the top of the list is one pool added and not every pool changed.
//!
//! Rules: ORCH-CONF-9

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use serde_json::{Map, Value};

use crate::config::Config;

/// An option whose value differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Its name, as `limits.body_mb` or `pools[chat].model`; a pool that only one configuration has is `pools[chat]`.
    pub path: String,
    /// Its value in the one configuration. A secret is not shown.
    pub before: String,
    /// Its value in the other.
    pub after: String,
}

impl Config {
    /// The options whose values differ.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<Difference> {
        let mut differences = Vec::new();
        differ(&comparable(self), &comparable(other), "", &mut differences);
        differences
    }
}

/// Whether the value of an option, or of one below it, is a secret.
fn is_secret(path: &str) -> bool {
    path == "token" || path.ends_with(".api_key") || path.ends_with(".server") || path.ends_with(']')
}

/// The options as they are written, with pools by name and the secrets that are not written.
fn comparable(config: &Config) -> Value {
    let mut options = serde_json::to_value(config.to_file()).expect("a configuration is data");
    let pools = options["pools"].take();
    let named = config.pools.iter().zip(pools.as_array().into_iter().flatten()).map(|(pool, options)| {
        let mut options = options.clone();
        if let Some(key) = pool.server.as_ref().and_then(|server| server.api_key.as_ref()) {
            options["server"]["api_key"] = key.expose().into();
        }
        // The same file may hold another template.
        if let Some(template) = &pool.options.chat_template {
            let mut hash = DefaultHasher::new();
            template.source.hash(&mut hash);
            options["chat_template"] = format!("{} ({:016x})", template.name(), hash.finish()).into();
        }
        (format!("[{}]", pool.id), options)
    });
    options["pools"] = Value::Object(named.collect());
    options["token"] = config.access.token.as_ref().map(|token| token.expose()).into();
    options
}

fn differ(one: &Value, other: &Value, path: &str, differences: &mut Vec<Difference>) {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            let names: std::collections::BTreeSet<&String> = one.keys().chain(other.keys()).collect();
            let value = |of: &Map<String, Value>, name: &str| of.get(name).cloned().unwrap_or_default();
            for name in names {
                let dot = if path.is_empty() || name.starts_with('[') { "" } else { "." };
                differ(&value(one, name), &value(other, name), &format!("{path}{dot}{name}"), differences);
            }
        }
        (one, other) if one != other => {
            let shown = |value: &Value| match value {
                _ if is_secret(path) => "not shown".to_owned(),
                Value::String(text) => text.clone(),
                value => value.to_string(),
            };
            differences.push(Difference { path: path.to_owned(), before: shown(one), after: shown(other) });
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests;
