use super::*;
use crate::{LoadRequest, load};

fn differences(one: &str, other: &str) -> Vec<String> {
    compared(one, other).into_iter().map(|difference| difference.path).collect()
}

fn compared(one: &str, other: &str) -> Vec<Difference> {
    let dir = tempfile::tempdir().unwrap();
    let [one, other] = [one, other].map(|text| {
        let path = dir.path().join("llama-orch.yaml");
        std::fs::write(&path, text).unwrap();
        let request =
            LoadRequest { explicit: Some(path), cwd: dir.path().to_owned(), ..LoadRequest::default() };
        load(&request).unwrap().config
    });
    one.differences(&other)
}

/// ORCH-CONF-9
#[test]
fn options_that_differ_are_named_by_their_paths() {
    assert_eq!(differences("{}", "{}"), Vec::<String>::new());
    assert_eq!(
        differences("limits: {body_mb: 16}", "log: {level: debug}"),
        ["log.level"],
        "16 is the default"
    );
    assert_eq!(differences("token: 0123456789abcdef", "token: fedcba9876543210"), ["token"]);
    let profiles = "sampler_profiles: {calm: {temperature: 0.1}}";
    assert_eq!(differences("{}", profiles), ["sampler_profiles.calm"]);
}

/// ORCH-CONF-9
#[test]
fn pools_are_told_apart_by_name_wherever_they_stand() {
    let chat = "{id: chat, model: /m.gguf, slots: 2}";
    let other = "{id: other, model: /o.gguf}";
    assert_eq!(
        differences(&format!("pools: [{chat}]"), &format!("pools: [{other}, {chat}]")),
        ["pools[other]"]
    );
    let changed = "{id: chat, model: /n.gguf, slots: 4}";
    assert_eq!(
        differences(&format!("pools: [{chat}]"), &format!("pools: [{changed}]")),
        ["pools[chat].model", "pools[chat].slots"]
    );
    let keyed = |key: &str| {
        format!(
            "pools: [{{id: a, engine: vllm, model: m, server: {{url: 'http://127.0.0.1:1', api_key: {key}}}}}]"
        )
    };
    assert_eq!(differences(&keyed("one-key"), &keyed("two-key")), ["pools[a].server.api_key"]);
}

/// ORCH-CONF-9
#[test]
fn the_values_of_an_option_are_shown_and_those_of_a_secret_are_not() {
    let value = |one: &str, other: &str| {
        let difference = compared(one, other).remove(0);
        (difference.before, difference.after)
    };
    let shown = |one: &str, other: &str| (one.to_owned(), other.to_owned());
    assert_eq!(value("limits: {streams: 5}", "limits: {streams: 6}"), shown("5", "6"));
    assert_eq!(value("token: 0123456789abcdef", "{}"), shown("not shown", "not shown"));
    let keyed =
        "pools: [{id: a, engine: vllm, model: m, server: {url: 'http://127.0.0.1:1', api_key: secret}}]";
    for other in [
        "pools: [{id: a, model: /m.gguf}]",
        "pools: [{id: b, model: /m.gguf}]",
        &keyed.replace("secret", "s2"),
    ] {
        let differences = compared(keyed, other);
        assert!(differences.iter().all(|one| !one.before.contains("secret")), "{differences:?}");
    }
}
