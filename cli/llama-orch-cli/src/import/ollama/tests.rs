use super::*;

/// A store of Ollama's, as it lies on the disk.
struct Shelf(tempfile::TempDir);

impl Shelf {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::create_dir_all(dir.path().join("manifests")).expect("a folder");
        std::fs::create_dir_all(dir.path().join("blobs")).expect("a folder");
        Self(dir)
    }

    fn blob(&self, digest: &str, content: &str) {
        std::fs::write(self.0.path().join("blobs").join(format!("sha256-{digest}")), content)
            .expect("a file");
    }

    fn model(&self, path: &str, layers: &[(&str, &str)]) {
        let layer = |(kind, digest): &(&str, &str)| serde_json::json!({ "mediaType": format!("{MEDIA}{kind}"), "digest": format!("sha256:{digest}"), "size": 1 });
        let manifest = serde_json::json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
            "config": { "mediaType": "application/vnd.docker.container.image.v1+json", "digest": "sha256:c", "size": 1 },
            "layers": layers.iter().map(layer).collect::<Vec<_>>(),
        });
        let path = self.0.path().join("manifests").join(path);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        std::fs::write(path, manifest.to_string()).expect("a file");
    }
}

const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

fn filled() -> Shelf {
    let shelf = Shelf::new();
    shelf.blob(A, "GGUF and so on");
    shelf.blob(B, "GGUF and so on");
    shelf.blob("p", r#"{"num_ctx":8192,"temperature":0.6,"top_k":20,"stop":["<|im_end|>"],"num_gpu":-1}"#);
    shelf.blob("s", "Be brief.\n");
    shelf.blob("x", "PK zip");
    let llama = [("model", A), ("template", "t"), ("params", "p"), ("license", "l")];
    shelf.model("registry.ollama.ai/library/llama3.2/3b", &llama);
    shelf.model("registry.ollama.ai/library/llama3.2/latest", &llama);
    shelf.model("hf.co/bartowski/Qwen3-GGUF/Q4_K_M", &[("model", B), ("projector", "v"), ("system", "s")]);
    shelf.model("registry.ollama.ai/me/tuned/latest", &[("model", A), ("adapter", "d")]);
    shelf.model("registry.ollama.ai/library/gone/latest", &[("model", "dddd")]);
    shelf.model("registry.ollama.ai/library/zip/latest", &[("model", "x")]);
    shelf.model("registry.ollama.ai/library/cloud/latest", &[]);
    shelf
}

/// ORCH-CLI-14
#[test]
fn models_are_used_where_they_are_with_their_checksum_and_parameters() {
    let shelf = filled();
    let (dir, carried) = read(Some(shelf.0.path())).unwrap();
    assert_eq!(dir, shelf.0.path());
    let pools: Vec<&str> = carried.pools.iter().map(|one| one.pool.id.as_str()).collect();
    assert_eq!(pools, ["hf.co-bartowski-qwen3-gguf-q4_k_m", "llama3.2-3b"]);
    let llama = &carried.pools[1].pool;
    assert_eq!(llama.model, format!("file:{}/blobs/sha256-{A}", dir.display()));
    assert_eq!(llama.sha256.as_deref(), Some(A));
    assert_eq!(
        (llama.ctx, llama.idle_unload_s, llama.preload),
        (Some(Ctx::Tokens(8192)), Some(300.0), false)
    );
    let sampling = &llama.defaults.sampling;
    assert_eq!((sampling.temperature, sampling.top_k), (Some(0.6), Some(20)));
    assert_eq!(llama.aliases, ["llama3.2:3b", "llama3.2", "llama3.2:latest"], "the names that clients have");
    let qwen = &carried.pools[0].pool;
    assert_eq!(qwen.aliases, ["hf.co/bartowski/Qwen3-GGUF:Q4_K_M"]);
    assert_eq!(qwen.defaults.system_prompt.as_deref(), Some("Be brief."));
}

/// ORCH-CLI-14
#[test]
fn what_ollama_has_alone_is_named() {
    let (_, carried) = read(Some(filled().0.path())).unwrap();
    let left: Vec<String> = carried.left_out.iter().map(ToString::to_string).collect();
    for expected in [
        "llama3.2:3b: its prompt template",
        "llama3.2:3b: its parameter `stop` ([\"<|im_end|>\"])",
        "hf.co/bartowski/Qwen3-GGUF:Q4_K_M: its projector",
        "me/tuned:latest: it has an adapter",
        "gone:latest: `",
        "zip:latest: its file is no GGUF file",
        "cloud:latest: it has no model file",
        "Ollama: the settings of its service",
    ] {
        assert!(left.iter().any(|one| one.starts_with(expected)), "{expected}: {left:#?}");
    }
    assert_eq!(left.len(), 8, "{left:#?}");
}

/// A header of a GGUF file with an architecture, a context and one tensor beside that of a language model.
fn header(architecture: &str, context: u32, tensor: &str) -> Vec<u8> {
    let text = |text: &str| [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat();
    let mut bytes =
        [b"GGUF".as_slice(), &3_u32.to_le_bytes(), &2_u64.to_le_bytes(), &2_u64.to_le_bytes()].concat();
    bytes.extend([text("general.architecture"), 8_u32.to_le_bytes().to_vec(), text(architecture)].concat());
    let key = text(&format!("{architecture}.context_length"));
    bytes.extend([key, 4_u32.to_le_bytes().to_vec(), context.to_le_bytes().to_vec()].concat());
    for name in ["blk.0.attn_k.weight", tensor] {
        bytes.extend([text(name), 1_u32.to_le_bytes().to_vec(), vec![0; 20]].concat());
    }
    bytes
}

/// ORCH-CLI-14
#[test]
fn what_llama_cpp_does_not_load_is_named_and_a_context_beyond_the_models_own_is_lowered() {
    let shelf = Shelf::new();
    for (digest, bytes) in [
        ("oss", header("gptoss", 8192, "output.weight")),
        ("eyes", header("gemma3", 8192, "v.blk.0.attn_k.weight")),
        ("plain", header("llama", 8192, "output.weight")),
    ] {
        std::fs::write(shelf.0.path().join(format!("blobs/sha256-{digest}")), bytes).expect("a file");
    }
    shelf.blob("p", r#"{"num_ctx":131072,"num_predict":512,"num_gpu":-1,"mirostat":0}"#);
    shelf.model("registry.ollama.ai/library/gpt-oss/20b", &[("model", "oss")]);
    shelf.model("registry.ollama.ai/library/gemma3/4b", &[("model", "eyes")]);
    shelf.model("registry.ollama.ai/library/big/latest", &[("model", "plain"), ("params", "p")]);
    let (_, carried) = read(Some(shelf.0.path())).unwrap();
    let [big] = carried.pools.as_slice() else { panic!("{carried:?}") };
    assert_eq!((big.pool.ctx, big.pool.defaults.max_tokens), (Some(Ctx::Tokens(8192)), 512));
    let left: Vec<String> = carried.left_out.iter().map(ToString::to_string).collect();
    for expected in [
        "big:latest: its parameter `num_ctx` (131072): lowered to 8192",
        "gemma3:4b: the parts that see are in the same file",
        "gpt-oss:20b: its architecture `gptoss` is loaded by Ollama's own engine alone",
    ] {
        assert!(left.iter().any(|one| one.starts_with(expected)), "{expected}: {left:#?}");
    }
    assert_eq!(left.len(), 4, "{left:#?}");
}

#[test]
fn the_folder_above_the_store_is_the_store_too_and_any_other_is_refused() {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(home.path().join("models/manifests")).unwrap();
    assert_eq!(find(Some(home.path())).unwrap(), home.path().join("models"));
    let refused = find(Some(&home.path().join("models/manifests"))).unwrap_err();
    assert!(refused.message.contains("is no store of Ollama's"), "{refused:?}");
}
