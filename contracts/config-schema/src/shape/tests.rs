//! The schema and the loader are one thing.

use std::path::PathBuf;

use super::*;
use crate::{LoadRequest, load};

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn load_text(yaml: &str) -> Result<crate::Loaded, crate::ConfigError> {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join(crate::FILE_NAME), yaml).expect("a file");
    let home = Some(folder.path().to_owned());
    load(&LoadRequest { cwd: folder.path().to_owned(), home, ..LoadRequest::default() })
}

fn editor_accepts(yaml: &str) -> bool {
    let validator = jsonschema::validator_for(&schema()).expect("a schema");
    validator.is_valid(&serde_saphyr::from_str(yaml).expect("YAML"))
}

/// ORCH-CONF-4, ORCH-DOC-1
#[test]
fn the_schema_in_the_repository_is_the_one_of_these_types() {
    let path = repository().join("contracts/schemas/config.schema.json");
    let kept = std::fs::read_to_string(&path).expect("the schema is in the repository");
    assert!(kept == json_schema(), "the schema is stale: run `cargo xtask regen-schema`");
}

/// ORCH-CONF-5
#[test]
fn every_example_is_accepted_by_the_loader_and_by_an_editor() {
    let folder = repository().join(".docs/examples");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).expect("the examples") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|end| end == "yaml") {
            let yaml = std::fs::read_to_string(&path).expect("an example");
            let loaded = load_text(&yaml).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
            assert!(editor_accepts(&yaml), "{} does not fit the schema", path.display());
            seen += 1;
        }
    }
    assert!(seen >= 3, "{seen} examples");
}

/// ORCH-CONF-5, HOME-PLACE-1
#[test]
fn the_full_example_names_every_option() {
    let yaml =
        std::fs::read_to_string(repository().join(".docs/examples/all-options.yaml")).expect("the example");
    let node = crate::tree::Node::from_yaml(&yaml).expect("YAML");
    let shape = Shape::of_file();
    // An option may stand in any of the pools: some exclude each other.
    let stands = |path: &[Step]| match path {
        [pools, Step::Index(_), rest @ ..] => (0..)
            .map_while(|place| node.at(&[pools.clone(), Step::Index(place)]))
            .any(|pool| pool.at(rest).is_some()),
        _ => node.at(path).is_some(),
    };
    let missing: Vec<String> = crate::env::names(&shape, None, crate::PREFIX)
        .into_iter()
        .filter(|name| {
            let path = crate::env::path_of(&shape, name).expect("a name leads to its option");
            !stands(&path.0)
        })
        .collect();
    assert_eq!(missing, Vec::<String>::new());
}

/// ORCH-CONF-4
#[test]
fn an_editor_and_the_loader_refuse_the_same() {
    for yaml in [
        "unknown: 1",
        "listen: 6173",
        "token: short",
        "queue: {batch: 0}",
        "queue: {batch: 1.5}",
        "queue: {batch_max_wait_s: -1}",
        "queue: {batch_one_in: 1}",
        "queue: {when_full: never}",
        "pools: []",
        "pools: [{id: A}]",
        "pools: [{device: gpu0}]",
        "pools: [{devices: gpu}]",
        "pools: [{devices: GPU-}]",
        "pools: [{devices: gpu1000}]",
        "pools: [{devices: 0}]",
        "pools: [{devices: []}]",
        "pools: [{devices: [gpu0, auto]}]",
        "pools: [{devices: [cpu, 1]}]",
        "pools: [{devices: [[cpu]]}]",
        "pools: [{devices: {cpu: 1}}]",
        "pools: [{replicas: 0}]",
        "pools: [{replicas: 17}]",
        "pools: [{preload: maybe}]",
        "pools: [{idle_unload_s: 0}]",
        "pools: [{engine: vlm}]",
        "pools: [{server: http://127.0.0.1:1}]",
        "pools: [{server: {url: ''}}]",
        "pools: [{server: {command: llama-server}}]",
        "pools: [{server: {command: []}}]",
        "pools: [{server: {command: [a], env: [A]}}]",
        "pools: [{server: {command: [a, '{port}'], env: {A: 1}}}]",
        "pools: [{server: {url: 'http://a', start_timeout_s: 0}}]",
        "pools: [{server: {url: 'http://a', api_key: ''}}]",
        "worker: {memory_margin_mb: -1}",
        "pools: [{sha256: 00}]",
        "pools: [{kv_type: q9_9}]",
        "pools: [{kv_type: {k: q8_0, w: f16}}]",
        "pools: [{kv_type: [q8_0]}]",
        "pools: [{flash_attention: true}]",
        "pools: [{batch: 63}]",
        "pools: [{ubatch: 16385}]",
        "pools: [{mmap: maybe}]",
        "pools: [{rope: {scale: 0.5}}]",
        "pools: [{rope: {scaling: ntk}}]",
        "pools: [{pooling: none}]",
        "pools: [{lora: a.gguf}]",
        "pools: [{lora: [{path: a.gguf}]}]",
        "pools: [{lora: [{file: a.gguf, scale: 101}]}]",
        "pools: [{experts_on_cpu: 0}]",
        "pools: [{experts_on_cpu: some}]",
        "pools: [{chat_template: ''}]",
        "pools: [{template_kwargs: [a]}]",
        "pools: [{llama_args: [-ngl, 99]}]",
        "pools: [{slots: 65}]",
        "pools: [{queue: {batch: x}}]",
        "sampler_profiles: {a: {top_k: -1}}",
        "sampler_profiles: {a: {tfs_z: 1}}",
        "log: {level: loud}",
    ] {
        assert!(load_text(yaml).is_err(), "the loader accepts {yaml}");
        assert!(!editor_accepts(yaml), "the schema accepts {yaml}");
    }
}

#[test]
fn every_option_is_described_and_every_plain_one_has_its_default() {
    fn visit(schema: &Json, path: &str, wrong: &mut Vec<String>) {
        for (key, field) in schema.get("properties").and_then(Json::as_object).into_iter().flatten() {
            let path = format!("{path}.{key}");
            if field.get("description").and_then(Json::as_str).is_none_or(str::is_empty) {
                wrong.push(path.clone());
            }
            visit(field, &path, wrong);
        }
        for (key, definition) in schema.get("$defs").and_then(Json::as_object).into_iter().flatten() {
            visit(definition, key, wrong);
        }
    }
    let schema = schema();
    let mut wrong = Vec::new();
    visit(&schema, "", &mut wrong);
    assert_eq!(wrong, Vec::<String>::new(), "without a description");
    assert_eq!(schema["properties"]["listen"]["default"], "127.0.0.1:6173");
    assert_eq!(schema["$defs"]["Pool"]["properties"]["preload"]["default"], true);
}

#[test]
fn an_editor_and_the_loader_accept_the_same() {
    for yaml in [
        "pools: [{devices: auto}]",
        "pools: [{devices: gpu1}]",
        "pools: [{devices: GPU-5fd0c2a1-7b8e}]",
        "pools: [{devices: [cpu]}]",
        "pools: [{devices: [gpu0, GPU-1, cpu], replicas: 3}]",
        "pools: [{engine: vllm, model: any name, server: {url: 'http://box:8000/v1/'}}]",
        "pools: [{server: {command: [s, '{port}'], env: {CUDA_VISIBLE_DEVICES: '0'}}}]",
        "pools: [{preload: false, idle_unload_s: 1.5, fit_ctx: true}]",
        "pools: [{kv_type: q8_0, flash_attention: auto, batch: 2048, ubatch: 1024, threads_batch: 8}]",
        "pools: [{kv_type: {v: q4_0}, kv_cache: {ram_mb: 4096}, mmap: false, mlock: true, experts_on_cpu: all}]",
        "pools: [{rope: {scaling: yarn, scale: 4, freq_base: 1000000, yarn_orig_ctx: 32768}, experts_on_cpu: 12}]",
        "pools: [{pooling: mean, lora: [{file: a.gguf}, {file: b.gguf, scale: -0.5}]}]",
        "pools: [{chat_template: chatml, template_kwargs: {a: 1, b: [x, {c: true}], d: text, e: 0.5}}]",
    ] {
        if let Err(error) = load_text(yaml) {
            panic!("the loader refuses {yaml}: {error}");
        }
        assert!(editor_accepts(yaml), "the schema refuses {yaml}");
    }
}
