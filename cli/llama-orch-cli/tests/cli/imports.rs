//! `import`: another server's models, in a configuration that the daemon takes.

use std::path::Path;

use serde_json::Value;

use crate::program::{program, run};

const DIGEST: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

fn put(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
    std::fs::write(path, text).expect("a file");
}

/// A home with Ollama's store in it.
fn home_with_ollama() -> tempfile::TempDir {
    let home = tempfile::tempdir().expect("a folder");
    let store = home.path().join(".ollama/models");
    put(&store.join(format!("blobs/sha256-{DIGEST}")), "GGUF and so on");
    let manifest = format!(
        r#"{{"layers":[{{"mediaType":"application/vnd.ollama.image.model","digest":"sha256:{DIGEST}","size":14}},
            {{"mediaType":"application/vnd.ollama.image.template","digest":"sha256:t","size":1}}]}}"#
    );
    put(&store.join("manifests/registry.ollama.ai/library/qwen3/8b"), &manifest);
    home
}

/// ORCH-CLI-14
#[test]
fn import_ollama_writes_a_configuration_that_names_the_files_where_they_are() {
    let home = home_with_ollama();
    let import = |arguments: &[&str]| {
        let mut command = program(&[&["import", "ollama"], arguments].concat());
        command.env("HOME", home.path());
        run(command)
    };
    let done = import(&[]);
    let path = home.path().join(".config/llama-orch/llama-orch.yaml");
    assert_eq!((done.code, done.out.trim_end()), (Some(0), path.to_str().unwrap()), "{done:?}");
    assert!(done.err.contains("qwen3:8b: its prompt template"), "{done:?}");
    let blob = home.path().join(format!(".ollama/models/blobs/sha256-{DIGEST}"));
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains(&format!("model: \"file:{}\"", blob.display())), "{text}");
    assert_eq!(import(&["--print"]).out, text);
    let again = import(&[]);
    assert_eq!(again.code, Some(5), "{again:?}");
    let json: Value = serde_json::from_str(&import(&["--force", "--json"]).out).unwrap();
    assert_eq!(
        (&json["pools"][0], &json["left_out"][0]["of"]),
        (&"qwen3-8b".into(), &"qwen3:8b".into()),
        "{json}"
    );
}

/// ORCH-CLI-14
#[test]
fn import_llama_swap_writes_a_configuration_that_the_daemon_takes() {
    let home = tempfile::tempdir().unwrap();
    put(
        &home.path().join(".config/llama-swap/config.yaml"),
        "models:\n  a:\n    cmd: llama-server --port ${PORT} -m /m/a.gguf -c 4096\n    ttl: 60\n  b:\n    cmd: vllm serve Qwen/Qwen3-8B --port ${PORT}\n",
    );
    let mut command = program(&["import", "llama-swap", "--json"]);
    command.env("HOME", home.path());
    let done = run(command);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_eq!(done.lines()[0]["pools"], serde_json::json!(["a", "b"]));
    assert!(home.path().join(".config/llama-orch/llama-orch.yaml").exists());
}

#[test]
fn import_says_where_it_looked_when_there_is_nothing() {
    for (from, expected) in [("ollama", "OLLAMA_MODELS"), ("llama-swap", "llama-swap's `config.yaml`")] {
        let home = tempfile::tempdir().unwrap();
        let mut command = program(&["import", from]);
        command.env("HOME", home.path()).current_dir(home.path());
        let done = run(command);
        assert_eq!(done.code, Some(5), "{done:?}");
        assert!(done.err.contains(expected) && done.err.contains(&format!("import {from} PATH")), "{done:?}");
    }
}
