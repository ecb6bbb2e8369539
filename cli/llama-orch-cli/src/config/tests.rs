use std::path::Path;

use config_schema::{Config, LoadRequest, load, raw};
use serde_json::Value;

use super::*;

fn read(text: &str) -> Config {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("llama-orch.yaml");
    std::fs::write(&path, text).unwrap();
    let request = LoadRequest {
        explicit: Some(path),
        cwd: dir.path().to_owned(),
        home: Some(Path::new("/home/somebody").to_owned()),
        ..LoadRequest::default()
    };
    let loaded = load(&request).unwrap_or_else(|error| panic!("{error}"));
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    loaded.config
}

/// The template with everything in it that is an option: what stands behind a `#` without a space, and what is
/// indented below that.
fn uncommented() -> String {
    let is_option = |rest: &str| !rest.is_empty() && (!rest.starts_with(' ') || rest.starts_with("  "));
    let lines = TEMPLATE.lines().map(|line| match line.split_once('#') {
        Some((indent, rest)) if indent.trim().is_empty() && is_option(rest) => format!("{indent}{rest}\n"),
        _ => format!("{line}\n"),
    });
    lines.collect()
}

/// ORCH-CLI-11
#[test]
fn the_template_changes_nothing_until_somebody_does() {
    assert_eq!(read(TEMPLATE), read("{}"));
}

/// ORCH-CLI-11
#[test]
fn every_option_of_the_template_is_one_and_shows_its_default() {
    let text = uncommented();
    let config = read(&text);
    assert_eq!(config.pools.len(), 3, "{text}");
    let shown: Value = serde_saphyr::from_str(&text).unwrap();
    let default = serde_json::to_value(raw::File::default()).unwrap();
    let mut compared = 0;
    for section in ["queue", "stream", "sessions", "shutdown", "worker", "log"] {
        for (key, value) in shown[section].as_object().unwrap() {
            let Some(default) = default[section].get(key) else { continue };
            let same = match (default.as_f64(), value.as_f64()) {
                (Some(a), Some(b)) => a == b,
                _ => default == value,
            };
            assert!(same, "{section}.{key} is {default} by default, and {value} is shown");
            compared += 1;
        }
    }
    assert!(compared > 10, "{compared} options were compared");
    for key in ["listen", "allow_non_loopback"] {
        assert_eq!(shown[key], default[key], "{key}");
    }
}
