use config_schema::raw::{Ctx, CtxWord, FlashAttention, KvType, KvTypes};
use config_schema::{LoadRequest, load};

use super::*;

/// A file as people have it: one plain llama-server, one with options of its own, vLLM in a container, and what
/// cannot be carried over.
const CONFIG: &str = r#"
healthCheckTimeout: 500
logLevel: debug
startPort: 5800
macros:
  server: /opt/llama.cpp/llama-server --port ${PORT} -ngl 99
groups:
  both: {swap: false, members: [qwen, embed]}
hooks:
  on_startup:
    preload: [qwen]
models:
  qwen:
    cmd: |
      ${server}
      -m /models/qwen3-8b-q4_k_m.gguf -c 32768 -np 4 -fa on --jinja
    aliases: [gpt-4o-mini]
    ttl: 600
    env: ["CUDA_VISIBLE_DEVICES=1"]
  vision:
    cmd: ${server} -m models/gemma.gguf --mmproj models/mmproj.gguf -c 8192
    ttl: 0
    filters: {strip_params: temperature}
  vllm:
    cmd: docker run --init --rm -p ${PORT}:8000 vllm/vllm-openai --model Qwen/Qwen3-8B
    cmdStop: docker stop vllm
    useModelName: Qwen/Qwen3-8B
  fixed:
    cmd: my-server --listen 9999 --bind 0
    proxy: http://127.0.0.1:9999
  nowhere:
    cmd: my-server
  unknown:
    cmd: ${other} --port ${PORT}
  broken:
    cmd: llama-server --port ${PORT} -m 'a.gguf
"#;

fn carried_of(config: &str, built_in: BuiltIn, dir: &Path) -> Carried {
    carry(parse(config).expect("it is llama-swap's"), dir, built_in)
}

fn carried() -> Carried {
    of(CONFIG)
}

fn of(text: &str) -> Carried {
    carried_of(text, BuiltIn::Plain, Path::new("/home/somebody/swap"))
}

/// The pool of a file whose one model `a` has these lines.
fn one(lines: &str) -> Pool {
    pool(&of(&format!("models:\n  a:\n    {}\n", lines.replace('\n', "\n    "))), "a")
}

fn command(pool: Pool) -> (String, Option<u16>) {
    let server = pool.server.expect("a server");
    (server.command.expect("a command").join(" "), server.port)
}

fn left(carried: &Carried) -> String {
    carried.left_out.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

const PLAIN: &str = "cmd: llama-server --port ${PORT} -m /m/a.gguf";

/// ORCH-CLI-14
#[test]
fn sections_that_are_empty_and_long_comments_are_read() {
    let comments: String = (0..60).map(|line| format!("#  old{line}:\n")).collect();
    for text in [
        format!("hooks:\n  on_startup:\n    # preload: [a]\nmodels:\n  a:\n    {PLAIN}\n"),
        format!("macros:\nmodels:\n  a:\n    aliases:\n    env:\n    {PLAIN}\n"),
        format!("models:\n{comments}  a:\n    {PLAIN}\n"),
    ] {
        assert_eq!(pool(&of(&text), "a").model, "file:/m/a.gguf");
    }
}

/// ORCH-CLI-14
#[test]
fn a_time_to_live_of_all_models_holds_where_a_model_has_none() {
    let idle = |lines: &str| {
        pool(&of(&format!("globalTTL: 300\nmodels:\n  a:\n    {PLAIN}\n{lines}")), "a").idle_unload_s
    };
    assert_eq!(idle(""), Some(300.0));
    assert_eq!(idle("    ttl: -1\n"), Some(300.0));
    assert_eq!(idle("    ttl: 60\n"), Some(60.0));
    assert_eq!(idle("    ttl: 0\n"), None);
}

/// ORCH-CLI-14
#[test]
fn variables_of_the_environment_are_filled_in_or_named() {
    // Every process of a test has a PATH.
    let path = std::env::var("PATH").expect("a PATH");
    let a = one("cmd: llama-server --port ${PORT} -m \"/m/${env.PATH}/a.gguf\"");
    assert_eq!(a.model, format!("file:/m/{path}/a.gguf"));
    let carried = of("models:\n  a:\n    cmd: serve --port ${PORT} ${env.NO_SUCH_VARIABLE_HERE}\n");
    assert!(left(&carried).contains("needs the variable `NO_SUCH_VARIABLE_HERE`"), "{carried:?}");
    // A server's own variables stay names: a key is no part of a file.
    let a = one("cmd: serve --port ${PORT}\nenv: ['KEY=${env.MY_KEY}', 'PLAIN=${x}']");
    let env = a.server.expect("a server").env;
    assert_eq!((env["KEY"].as_str(), env["PLAIN"].as_str()), ("${MY_KEY}", "$${x}"));
}

/// ORCH-CLI-14
#[test]
fn fixed_ports_are_found_in_every_spelling() {
    let proxy = "proxy: http://127.0.0.1:9000\n";
    for (lines, command_is) in [
        (format!("{proxy}cmd: my-server --port=9000"), ("my-server --port={port}", None)),
        (format!("{proxy}cmd: my-server --listen 9000"), ("my-server --listen {port}", None)),
        ("cmd: my-server --port 9000".to_owned(), ("my-server --port {port}", None)),
        (format!("{proxy}cmd: /opt/run.sh"), ("/opt/run.sh", Some(9000))),
        (
            "proxy: http://localhost:9797\ncmd: docker run -p 9797:8080 image --port 8080".to_owned(),
            ("docker run -p 9797:8080 image --port 8080", Some(9797)),
        ),
    ] {
        let (text, port) = command(one(&lines));
        assert_eq!((text.as_str(), port), command_is, "{lines}");
    }
    let a = one(&format!("{proxy}cmd: bash -c \"exec llama-server --port 9000 -m /m/a.gguf --mlock\""));
    assert_eq!((a.model.as_str(), a.engine), ("file:/m/a.gguf", Engine::Llamacpp));
    assert_eq!(command(a).1, Some(9000));
    let carried = of("models:\n  a:\n    proxy: http://10.0.0.2:9000\n    cmd: my-server\n");
    assert!(left(&carried).contains("nobody knows where it listens"), "{carried:?}");
}

/// ORCH-CLI-14
#[test]
fn a_server_on_several_cards_stays_one_server() {
    let cards = "env: ['CUDA_VISIBLE_DEVICES=0,1']\n";
    let a = one(&format!("{cards}cmd: vllm serve x --port ${{PORT}} --tensor-parallel-size 2"));
    assert_eq!(a.devices, None);
    assert_eq!(a.server.expect("a server").env["CUDA_VISIBLE_DEVICES"], "0,1");
    let a = one(&format!("{cards}{PLAIN}"));
    let both = ["gpu0", "gpu1"].map(str::to_owned).to_vec();
    assert_eq!((a.devices, a.replicas, a.server), (Some(OneOrMany::Many(both)), Some(1), None));
}

/// ORCH-CLI-14
#[test]
fn repositories_keys_and_what_is_left_to_the_program_are_carried() {
    let a =
        one("cmd: llama-server --port ${PORT} -hf unsloth/Qwen3-8B-GGUF:Q4_K_M -ngl all -np -1 -t -1 -c 0");
    assert_eq!((a.model.as_str(), a.gpu_layers), ("hf:unsloth/Qwen3-8B-GGUF:Q4_K_M", Some(10_000)));
    assert_eq!((a.ctx, a.slots, a.threads), (Some(Ctx::Word(CtxWord::Max)), None, None));
    let a = one("cmd: ./llama-server --port ${PORT} -hf o/r -hff m.gguf --lora lora/x.gguf --api-key sk-1");
    assert_eq!(a.model, "hf:o/r/m.gguf");
    let server = a.server.expect("a server");
    assert_eq!(server.api_key.as_deref(), Some("sk-1"));
    assert_eq!(
        server.command.expect("a command").join(" "),
        "/home/somebody/swap/./llama-server --port {port} -m {model} --lora /home/somebody/swap/lora/x.gguf --api-key sk-1"
    );
    assert_eq!(one("cmd: llama-server --port ${PORT} -m ~/a.gguf").model, "file:~/a.gguf");
}

fn pool(carried: &Carried, id: &str) -> Pool {
    let found = carried.pools.iter().find(|one| one.pool.id == id);
    found.unwrap_or_else(|| panic!("{id} in {carried:#?}")).pool.clone()
}

/// ORCH-CLI-14
#[test]
fn a_plain_llama_server_becomes_a_pool_of_the_built_in_engine() {
    let expected = Pool {
        id: "qwen".to_owned(),
        aliases: vec!["gpt-4o-mini".to_owned()],
        model: "file:/models/qwen3-8b-q4_k_m.gguf".to_owned(),
        ctx: Some(Ctx::Tokens(8192)),
        slots: Some(4),
        gpu_layers: Some(99),
        flash_attention: Some(FlashAttention::On),
        devices: Some(OneOrMany::Many(vec!["gpu1".to_owned()])),
        preload: true,
        idle_unload_s: Some(600.0),
        ..Pool::default()
    };
    assert_eq!(pool(&carried(), "qwen"), expected);
}

#[test]
fn a_llama_server_with_options_of_its_own_is_started_with_its_replica() {
    let vision = pool(&carried(), "vision");
    assert_eq!(vision.model, "file:/home/somebody/swap/models/gemma.gguf");
    assert_eq!((vision.ctx, vision.idle_unload_s, vision.preload), (None, None, false));
    let server = vision.server.unwrap();
    let command = "/opt/llama.cpp/llama-server --port {port} -ngl 99 -m {model} --mmproj \
                   /home/somebody/swap/models/mmproj.gguf -c 8192";
    assert_eq!(server.command.unwrap().join(" "), command);
    assert_eq!(server.start_timeout_s, 500.0);
}

#[test]
fn another_server_is_started_and_asked_for_its_model_by_name() {
    let carried = carried();
    let vllm = pool(&carried, "vllm");
    assert_eq!((vllm.engine, vllm.model.as_str()), (Engine::Vllm, "Qwen/Qwen3-8B"));
    let server = vllm.server.unwrap();
    assert_eq!(server.command.unwrap()[5], "{port}:8000");
    assert_eq!(server.stop_command.unwrap(), ["docker", "stop", "vllm"]);
    let fixed = pool(&carried, "fixed");
    assert_eq!(fixed.server.unwrap().command.unwrap(), ["my-server", "--listen", "{port}", "--bind", "0"]);
}

/// ORCH-CLI-14
#[test]
fn what_llama_swap_has_alone_is_named() {
    let carried = carried();
    let left: Vec<String> = carried.left_out.iter().map(ToString::to_string).collect();
    for expected in [
        "vision: `filters`",
        "vision: the built-in engine: it has nothing like `--mmproj models/mmproj.gguf`",
        "nowhere: it has neither `${PORT}` in its command nor a port",
        "unknown: its command has `${other}` in it",
        "broken: its command has a quote without an end",
        "llama-swap: `groups`",
        "llama-swap: `logLevel`",
    ] {
        assert!(left.iter().any(|one| one.starts_with(expected)), "{expected}: {left:#?}");
    }
    assert_eq!((left.len(), carried.pools.len()), (7, 4), "{left:#?}");
}

/// Servers with options that a pool has, and one with an option that it has not.
const TUNED: &str = r#"
models:
  tuned:
    cmd: llama-server --port ${PORT} -m qwen.gguf -c 8192 -ctk q8_0 -ctv q8_0 -fa on --no-warmup --temp 0.7
    ttl: 300
  spoken:
    cmd: llama-server --port ${PORT} -m qwen.gguf --chat-template-file chat.jinja --lora style.gguf
  seeing:
    cmd: llama-server --port ${PORT} -m gemma.gguf -ctk q8_0 --mmproj mmproj.gguf
  placed:
    cmd: llama-server --port ${PORT} -m qwen.gguf -ctk q8_0
    env: [GGML_CUDA_ENABLE_UNIFIED_MEMORY=1]
"#;

/// ORCH-CLI-14
#[test]
fn options_that_a_pool_has_are_carried_when_that_is_asked_for_and_all_others_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("chat.jinja"), "{{ messages }}").expect("written");
    let asked = carried_of(TUNED, BuiltIn::WherePossible, folder.path());
    let tuned = pool(&asked, "tuned");
    assert_eq!((tuned.kv_type, tuned.server.is_none()), (Some(KvTypes::Both(KvType::Q8_0)), true));
    assert_eq!((tuned.ctx, tuned.idle_unload_s), (Some(Ctx::Tokens(8192)), Some(300.0)));
    assert_eq!(tuned.defaults.sampling.temperature, Some(0.7));
    let spoken = pool(&asked, "spoken");
    assert_eq!(spoken.chat_template, Some(folder.path().join("chat.jinja").display().to_string()));
    assert_eq!(spoken.lora[0].file, folder.path().join("style.gguf").display().to_string());
    assert!(["seeing", "placed"].iter().all(|id| pool(&asked, id).server.is_some()));
    let left = |carried: &Carried| carried.left_out.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(
        left(&asked),
        [
            "placed: the built-in engine: `GGML_CUDA_ENABLE_UNIFIED_MEMORY` of its environment is for that program; \
             llama-server is started for it",
            "seeing: the built-in engine: it has nothing like `--mmproj mmproj.gguf`; llama-server is started for it",
            "tuned: `--no-warmup`: a model is tried before it serves",
        ]
    );
    let file = folder.path().join("llama-orch.yaml");
    std::fs::write(&file, asked.to_yaml("a test")).expect("written");
    let request = LoadRequest { explicit: Some(file), ..LoadRequest::default() };
    let loaded = load(&request).unwrap_or_else(|error| panic!("{error}: {}", asked.to_yaml("a test")));
    assert_eq!(loaded.config.pools.len(), 4);

    let plain = carried_of(TUNED, BuiltIn::Plain, folder.path());
    assert!(plain.pools.iter().all(|one| one.pool.server.is_some()), "nobody asked");
    let tuned = left(&plain).into_iter().find(|one| one.starts_with("tuned")).expect("it is named");
    let expected = "tuned: the built-in engine: `--built-in` carries `-ctk q8_0 -ctv q8_0 --temp 0.7 --no-warmup` over to it; \
                    llama-server is started for it";
    assert_eq!(tuned, expected);
}
