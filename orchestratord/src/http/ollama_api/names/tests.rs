use orchestrator_core::Millis;

use super::*;

fn pool(id: &str, model_ref: &str, aliases: &[&str]) -> PoolView {
    PoolView {
        aliases: aliases.iter().map(|alias| (*alias).to_owned()).collect(),
        ..PoolView::empty(id, model_ref)
    }
}

fn view() -> HealthView {
    let pools = vec![
        pool("chat", "starter", &["llama3.2", "qwen3:8b", "owner/name"]),
        pool("coder", "hf:Qwen/Coder-GGUF/coder-q4_k_m.gguf", &["mistral:latest"]),
    ];
    HealthView { ready: true, stopping: false, uptime: Millis(1), pools }
}

fn found(name: &str) -> Option<(String, String)> {
    let view = view();
    find(&view, name).ok().map(|named| (named.pool.id.to_string(), named.model_ref))
}

/// ORCH-OLLAMA-3
#[test]
fn a_name_is_found_with_and_without_its_tag() {
    for (name, pool, model_ref) in [
        ("chat", "chat", "chat"),
        ("chat:latest", "chat", "chat"),
        ("llama3.2", "chat", "llama3.2"),
        ("llama3.2:latest", "chat", "chat"),
        ("qwen3:8b", "chat", "qwen3:8b"),
        ("owner/name:latest", "chat", "chat"),
        ("starter", "chat", "starter"),
        ("mistral", "coder", "coder"),
        ("hf.co/qwen/coder-gguf", "coder", "coder"),
        ("hf.co/Qwen/Coder-GGUF:Q4_K_M", "coder", "coder"),
        ("huggingface.co/Qwen/Coder-GGUF:latest", "coder", "coder"),
    ] {
        assert_eq!(found(name), Some((pool.to_owned(), model_ref.to_owned())), "{name}");
    }
    for name in ["qwen3", "qwen3:latest", "hf.co/Qwen/Coder-GGUF:Q8_0", "llama3.2:3b", "", "latest"] {
        assert_eq!(found(name), None, "{name}");
    }
}

/// ORCH-OLLAMA-2
#[test]
fn a_name_that_ends_in_batch_is_of_the_other_lane() {
    let view = view();
    let Ok(named) = find(&view, "llama3.2@batch") else { panic!("it is there") };
    assert_eq!((named.lane, named.model_ref.as_str()), (Lane::Batch, "llama3.2"));
}

/// ORCH-OLLAMA-3
#[test]
fn each_name_of_a_pool_is_listed_with_a_tag() {
    let listed: Vec<String> = view().pools.iter().flat_map(listed).collect();
    let wanted =
        ["chat:latest", "llama3.2:latest", "qwen3:8b", "owner/name:latest", "coder:latest", "mistral:latest"];
    assert_eq!(listed, wanted);
}

/// ORCH-OLLAMA-4
#[test]
fn an_unknown_name_is_not_found_in_ollamas_words() {
    let view = view();
    let refused = find(&view, "gpt-4o").err().expect("it is not there");
    assert_eq!(refused.verdict.status, 404);
    assert!(refused.message.starts_with("model 'gpt-4o' not found: there is 'chat:latest', "), "{refused:?}");
}
