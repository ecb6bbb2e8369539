//! What a configuration may say, and the exact words about one that says it wrong.

use std::time::Duration;

use model_store::ModelRef;
use orchestrator_core::TokenCount;

use super::*;
use crate::{CtxChoice, DevicesChoice, Engine, LogFormat, LogLevel, PoolModel, WhenFull};

/// A machine with a working folder, a home and what a test puts into the environment.
struct Machine {
    root: tempfile::TempDir,
    request: LoadRequest,
}

impl Machine {
    fn new() -> Self {
        let root = tempfile::tempdir().expect("a folder");
        for folder in ["work", "home"] {
            std::fs::create_dir(root.path().join(folder)).expect("a folder");
        }
        let (cwd, home) = (root.path().join("work"), Some(root.path().join("home")));
        Self { root, request: LoadRequest { cwd, home, ..LoadRequest::default() } }
    }

    fn with_file(yaml: &str) -> Self {
        Self::new().file("work/llama-orch.yaml", yaml)
    }

    fn file(self, path: &str, yaml: &str) -> Self {
        let path = self.root.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        std::fs::write(path, yaml).expect("a file");
        self
    }

    fn env(mut self, name: &str, value: &str) -> Self {
        self.request.env.insert(name.to_owned(), value.to_owned());
        self
    }

    fn flag(mut self, flag: &str, path: &str, value: &str) -> Self {
        let [flag, path, value] = [flag, path, value].map(str::to_owned);
        self.request.overrides.push(Override { flag, path, value });
        self
    }

    fn load(&self) -> Loaded {
        load(&self.request).unwrap_or_else(|error| panic!("{error}"))
    }

    /// The message, with the machine's own folder left out.
    fn refusal(&self) -> String {
        let error = load(&self.request).expect_err("a refusal");
        let mut message = error.to_string();
        if let Some(source) = std::error::Error::source(&error) {
            message = format!("{message}: {source}");
        }
        message
            .replace(&format!("{}/", self.root.path().display()), "")
            .replace("work/llama-orch.yaml", "FILE")
    }
}

#[track_caller]
fn refuses(yaml: &str, message: &str) {
    assert_eq!(Machine::with_file(yaml).refusal(), message);
}

/// ORCH-CONF-1, HOME-BIND-1
#[test]
fn without_a_file_the_defaults_hold() {
    let machine = Machine::new();
    let Loaded { config, source, warnings } = machine.load();
    assert_eq!((source, warnings), (None, Vec::new()));
    assert_eq!(config.access.listen.to_string(), "127.0.0.1:6173");
    assert!(!config.access.allow_non_loopback);
    assert_eq!(config.access.token, None);
    assert_eq!(config.models_dir, machine.root.path().join("home/.cache/llama-orch/models"));
    let [pool] = config.pools.as_slice() else { panic!("one pool") };
    assert_eq!((pool.id.as_str(), &pool.model), ("default", &PoolModel::Reference(ModelRef::Starter)));
    assert_eq!((pool.slots, pool.replicas, &pool.devices), (4, None, &DevicesChoice::Auto));
    assert_eq!((pool.preload, pool.idle_unload, pool.fit_ctx), (true, None, false));
    assert_eq!((pool.engine, &pool.server), (Engine::Llamacpp, &None));
    assert_eq!(config.worker.memory_margin_bytes, 512 << 20);
    assert_eq!((pool.queue.interactive, pool.queue.batch), (256, 1024));
    assert_eq!(
        (pool.queue.when_full, pool.queue.batch_max_wait, pool.queue.batch_one_in),
        (WhenFull::Reject, Duration::from_secs(30), 8)
    );
    assert_eq!(pool.queue.outage_wait, Duration::from_secs(120));
    assert_eq!(config.limits.body_bytes, 16 << 20);
}

/// ORCH-CONF-1
#[test]
fn an_empty_file_and_empty_sections_are_the_defaults() {
    let defaults = Machine::new().load().config;
    for yaml in ["", "# nothing\n", "queue:\n", "queue:\n  batch:\npools:\n"] {
        let machine = Machine::with_file(yaml);
        let mut config = machine.load().config;
        config.models_dir.clone_from(&defaults.models_dir);
        assert_eq!(config, defaults, "{yaml:?}");
    }
}

#[test]
fn the_first_file_of_the_search_order_is_read() {
    let machine = Machine::new()
        .file("a.yaml", "listen: 127.0.0.1:1")
        .file("b.yaml", "listen: 127.0.0.1:2")
        .file("work/llama-orch.yaml", "listen: 127.0.0.1:3")
        .file("home/.config/llama-orch/llama-orch.yaml", "listen: 127.0.0.1:4");
    let port = |request: &LoadRequest| load(request).expect("a configuration").config.access.listen.port();
    let mut request = machine.request.clone();
    request.explicit = Some("../a.yaml".into());
    request.env.insert("LLAMA_ORCH_CONFIG".into(), "../b.yaml".into());
    assert_eq!(port(&request), 1);
    request.explicit = None;
    assert_eq!(port(&request), 2);
    request.env.clear();
    assert_eq!(port(&request), 3);
    request.cwd = machine.root.path().to_owned();
    assert_eq!(port(&request), 4);
    request.env.insert("XDG_CONFIG_HOME".into(), machine.root.path().join("elsewhere").display().to_string());
    assert_eq!(port(&request), 6173);
}

#[test]
fn a_file_that_was_named_must_be_there() {
    let machine = Machine::new().env("LLAMA_ORCH_CONFIG", "gone.yaml");
    assert_eq!(
        machine.refusal(),
        "cannot read the configuration `work/gone.yaml` (named by `LLAMA_ORCH_CONFIG`): No such file or \
         directory (os error 2)"
    );
}

#[test]
fn a_file_that_is_not_text_or_far_too_large_is_refused() {
    let machine = Machine::new();
    std::fs::write(machine.request.cwd.join(FILE_NAME), b"# text\nlisten: \xff\xfe").expect("a file");
    assert_eq!(
        machine.refusal(),
        "cannot read the configuration `FILE` (found by the search): line 2 is not UTF-8; save the file as UTF-8"
    );
    let machine = Machine::with_file(&"#".repeat(1024 * 1024 + 1));
    assert_eq!(
        machine.refusal(),
        "cannot read the configuration `FILE` (found by the search): it has 1048577 bytes; a configuration has \
         at most 1048576"
    );
}

/// ORCH-CONF-2
#[test]
fn the_command_line_beats_the_environment_which_beats_the_file() {
    let machine = Machine::with_file("queue: {interactive: 1, batch: 1}\nlisten: 127.0.0.1:1\n")
        .env("LLAMA_ORCH_QUEUE_BATCH", "2")
        .env("LLAMA_ORCH_LISTEN", "127.0.0.1:2")
        .flag("--listen", "listen", "127.0.0.1:3");
    let config = machine.load().config;
    let queue = config.pools[0].queue;
    assert_eq!((queue.interactive, queue.batch, config.access.listen.port()), (1, 2, 3));
}

#[test]
fn a_pool_of_a_list_is_set_from_the_environment() {
    let machine = Machine::with_file("pools: [{id: a}, {id: b, slots: 2}]")
        .env("LLAMA_ORCH_POOLS_1_SLOTS", "8")
        .env("LLAMA_ORCH_POOLS_2_ID", "c")
        .env("LLAMA_ORCH_POOLS_0_QUEUE_BATCH_MAX_WAIT_S", "1.5")
        .env("LLAMA_ORCH_ALLOWED_HOSTS", "box.lan, box")
        .env("LLAMA_ORCH_SAMPLER_PROFILES_FAST_TOP_K", "7");
    let config = machine.load().config;
    let slots: Vec<_> = config.pools.iter().map(|pool| (pool.id.as_str(), pool.slots)).collect();
    assert_eq!(slots, [("a", 4), ("b", 8), ("c", 4)]);
    assert_eq!(config.pools[0].queue.batch_max_wait, Duration::from_millis(1500));
    assert_eq!(config.access.allowed_hosts, ["box.lan", "box"]);
    assert_eq!(config.sampler_profiles["fast"].top_k, Some(7));
}

#[test]
fn without_a_file_the_environment_changes_the_default_pool() {
    let pool = Machine::new().env("LLAMA_ORCH_POOLS_0_SLOTS", "2").load().config.pools.remove(0);
    let model = PoolModel::Reference(ModelRef::Starter);
    assert_eq!((pool.id.as_str(), pool.model, pool.slots), ("default", model, 2));
}

#[test]
fn wrong_values_of_the_environment_and_the_command_line_name_the_variable_and_the_flag() {
    let machine = Machine::new()
        .env("LLAMA_ORCH_POOLS_0_SLOTS", "many")
        .env("LLAMA_ORCH_ALLOW_NON_LOOPBACK", "yes")
        .env("LLAMA_ORCH_POOLS_2_ID", "far")
        .flag("--listen", "listen", "nowhere");
    assert_eq!(
        machine.refusal(),
        "LLAMA_ORCH_POOLS_2_ID: `pools[2].id` leaves a gap: the next entry has the index 1\n\
         LLAMA_ORCH_ALLOW_NON_LOOPBACK: `allow_non_loopback` is `yes`; it must be `true` or `false`\n\
         LLAMA_ORCH_POOLS_0_SLOTS: `pools[0].slots` is `many`; it must be a whole number from 1 to 64"
    );
    assert_eq!(
        Machine::new().flag("--listen", "listen", "nowhere").refusal(),
        "--listen: `listen` is `nowhere`; it must be an IP address and a port\n  \
         hint: write it as `127.0.0.1:6173`, or `[::1]:6173` for IPv6"
    );
}

#[test]
fn an_unknown_variable_is_a_warning_with_the_nearest_name() {
    let machine = Machine::new()
        .env("LLAMA_ORCH_QUEUE_BACH", "1")
        .env("LLAMA_ORCH_NONSENSE_ALTOGETHER", "1")
        .env("LLAMA_ORCH_URL", "http://127.0.0.1:6173")
        .env("LLAMA_ORCH_TEST_ANYTHING", "1")
        .env("LLAMA_ORCH_LISTEN", "")
        .env("PATH", "/bin");
    let warnings: Vec<String> = machine.load().warnings.iter().map(Problem::to_string).collect();
    assert_eq!(
        warnings,
        [
            "LLAMA_ORCH_NONSENSE_ALTOGETHER: no option has this name; it is ignored",
            "LLAMA_ORCH_QUEUE_BACH: no option has this name; it is ignored\n  hint: did you mean \
             `LLAMA_ORCH_QUEUE_BATCH`?",
        ]
    );
}

/// ORCH-CONF-3
#[test]
fn everything_that_is_wrong_is_said_at_once_with_its_place() {
    refuses(
        "listen: 127.0.0.1:6173\nqueu:\n  batch: 1\npools:\n  - id: a\n    slot: 1\n    slots: 100\n",
        "FILE:2:1: `queu` is not an option\n  hint: did you mean `queue`? known here: allow_non_loopback, \
         allowed_hosts, allowed_origins, image_hosts, limits, listen, log, models_dir, ollama, pools, queue, sampler_profiles, sessions, shutdown, stream, \
         token, worker\n\
         FILE:6:5: `pools[0].slot` is not an option\n  hint: did you mean `slots`? known here: aliases, batch, chat_template, ctx, defaults, devices, engine, experts_on_cpu, fit_ctx, \
         flash_attention, gpu_layers, id, idle_unload_s, kv_cache, kv_type, lora, mlock, mmap, model, \
         pooling, preload, queue, replicas, rope, server, sha256, slots, template_kwargs, threads, \
         threads_batch, ubatch\n\
         FILE:7:12: `pools[0].slots` is `100`; it must be a whole number from 1 to 64",
    );
}

/// ORCH-CONF-3
#[test]
fn a_key_like_no_other_gets_the_list_without_a_guess() {
    refuses(
        "log: {colour: true}",
        "FILE:1:7: `log.colour` is not an option\n  hint: known here: file, format, level",
    );
}

/// ORCH-SEC-9
#[test]
fn wrong_types_are_refused() {
    refuses(
        "queue: {batch: lots}",
        "FILE:1:16: `queue.batch` is `lots`; it must be a whole number from 1 to 100000",
    );
    refuses(
        "queue: {batch: 1.5}",
        "FILE:1:16: `queue.batch` is `1.5`; it must be a whole number from 1 to 100000",
    );
    refuses(
        "queue: {batch: -1}",
        "FILE:1:16: `queue.batch` is `-1`; it must be a whole number from 1 to 100000",
    );
    refuses(
        "queue: {batch: 99999999999}",
        "FILE:1:16: `queue.batch` is `99999999999`; it must be a whole number from 1 to 100000",
    );
    refuses(
        "allow_non_loopback: yes",
        "FILE:1:21: `allow_non_loopback` is `yes`; it must be `true` or `false`",
    );
    refuses("listen: 6173", "FILE:1:9: `listen` is `6173`; it must be text\n  hint: put the value in quotes");
    refuses(
        "allowed_origins: ['https://chat.example/']",
        "FILE:1:19: `allowed_origins[0]` is `https://chat.example/`; it must be an origin\n  hint: write scheme, host and port \
         as the browser sends them: `https://chat.example:8443`, without a path; or `app://*`, `null`, `*`",
    );
    refuses(
        "allowed_hosts: box",
        "FILE:1:16: `allowed_hosts` is `box`; it must be a list, each entry on its own line after `- `",
    );
    refuses(
        "log: info",
        "FILE:1:6: `log` is `info`; it must be a section with options (file, format, level)",
    );
    refuses(
        "sampler_profiles: [a]",
        "FILE:1:19: `sampler_profiles` is a list; it must be a section of names, each with its own options",
    );
    refuses(
        "pools: [~]",
        "FILE:1:9: `pools[0]` is empty; it must be a section with options (aliases, batch, chat_template, ctx, defaults, devices, engine, experts_on_cpu, fit_ctx, \
         flash_attention, gpu_layers, id, idle_unload_s, kv_cache, kv_type, lora, mlock, mmap, model, \
         pooling, preload, queue, replicas, rope, server, sha256, slots, template_kwargs, threads, \
         threads_batch, ubatch)",
    );
    refuses("pools: []", "FILE:1:8: `pools` has 0 entries; it must have 1 to 512");
    refuses(
        "just text",
        "FILE:1:1: the file is `just text`; it must be a section with options (allow_non_loopback, allowed_hosts, allowed_origins, image_hosts, limits, listen, log, models_dir, ollama, pools, queue, sampler_profiles, sessions, shutdown, stream, token, worker)",
    );
    refuses(
        "stream: {keepalive_s: 0}",
        "FILE:1:23: `stream.keepalive_s` is `0`; it must be a number from 0.1 to 3600",
    );
}

#[test]
fn wrong_words_are_refused_with_the_right_ones() {
    refuses(
        "queue: {when_full: drop_lru}",
        "FILE:1:20: `queue.when_full` is `drop_lru`; it must be `reject` or `drop-lru`\n  hint: did you mean `drop-lru`?",
    );
    refuses(
        "pools: [{engine: vlm}]",
        "FILE:1:18: `pools[0].engine` is `vlm`; it must be `llamacpp`, `vllm`, `tgi` or `triton`\n  hint: did you \
         mean `vllm`?",
    );
    refuses(
        "pools: [{id: Big Pool}]",
        "FILE:1:14: `pools[0].id` is `Big Pool`; it must be 1 to 63 characters of a-z, 0-9, `-`, `_` and `.`, of \
         which the first is a letter or digit",
    );
    refuses(
        "pools: [{sha256: abc}]",
        "FILE:1:18: `pools[0].sha256` is `abc`; it must be 64 hexadecimal digits",
    );
    refuses(
        "pools: [{model: llama3}]",
        "FILE:1:17: `pools[0].model` is `llama3`, which is not a model: it has none of the known forms\n  hint: use \
         `starter`, `file:PATH`, a path that ends in `.gguf`, `hf:OWNER/REPO/FILE.gguf`, `hf:OWNER/REPO:QUANT` or \
         `https://HOST/FILE.gguf`",
    );
    refuses("models_dir: ''", "FILE:1:13: `models_dir` is empty; leave it out or give it a value");
}

#[test]
fn two_pools_cannot_share_a_name() {
    refuses(
        "pools:\n  - {id: a}\n  - {id: a}\n",
        "FILE:3:10: `pools[1].id` is `a`, the name of a pool before it\n  hint: give each pool a name of its own",
    );
    refuses(
        "pools: [{}, {}]",
        "FILE:1:13: `pools[1].id` is `default`, the name of a pool before it\n  hint: give each pool a name of its own",
    );
}

/// ORCH-SEC-1
#[test]
fn an_address_that_others_can_reach_needs_it_written() {
    for listen in ["0.0.0.0:6173", "[::]:6173", "192.168.1.5:80"] {
        refuses(
            &format!("listen: '{listen}'"),
            &format!(
                "FILE:1:9: `listen` is `{listen}`, an address that other machines can reach\n  hint: set \
                 `allow_non_loopback: true` (LLAMA_ORCH_ALLOW_NON_LOOPBACK=true) if that is meant, or listen on \
                 127.0.0.1"
            ),
        );
        Machine::with_file(&format!("{{listen: '{listen}', allow_non_loopback: true}}")).load();
    }
    for listen in ["127.0.0.1:0", "127.8.8.8:1", "[::1]:6173", "[::ffff:127.0.0.1]:1"] {
        Machine::with_file(&format!("listen: '{listen}'")).load();
    }
    refuses(
        "listen: localhost:80",
        "FILE:1:9: `listen` is `localhost:80`; it must be an IP address and a port\n  hint: write `127.0.0.1:80`",
    );
}

/// ORCH-SEC-4
#[test]
fn a_token_is_long_enough_and_never_shown() {
    let refuses = |token: &str, message: &str| {
        let refusal = Machine::with_file(&format!("token: {token}")).refusal();
        assert_eq!(refusal, message);
    };
    refuses("hunter2", "FILE:1:8: `token` has 7 characters; it must have 16 to 512");
    refuses(
        "1234567890123456",
        "FILE:1:8: `token` is not text; it must be text\n  hint: put the value in quotes",
    );
    refuses(
        "'a token with spaces in it'",
        "FILE:1:8: `token` has characters in it that an HTTP header cannot carry\n  hint: use letters, digits and \
         punctuation of ASCII, no spaces",
    );
    let config = Machine::new().env("LLAMA_ORCH_TOKEN", "correct-horse-battery").load().config;
    assert_eq!(config.access.token.as_ref().expect("a token").expose(), "correct-horse-battery");
    assert!(!format!("{config:?}{}", config.to_yaml()).contains("horse"));
}

#[test]
fn the_waits_between_restarts_are_in_order() {
    refuses(
        "worker:\n  restart: {min_ms: 2000, max_s: 1}\n",
        "FILE:2:21: `worker.restart.min_ms` is `2000`, which is more than `worker.restart.max_s` (`1`)",
    );
}

#[test]
fn yaml_that_is_none_is_refused_with_its_place() {
    refuses("queue: {batch: 1\n", "FILE:1:8: unclosed bracket '{'");
    refuses("a: b: c\n", "FILE:1:5: mapping values are not allowed in this context");
    refuses("listen: x\nlisten: y\n", "FILE:2:1: duplicate mapping key `listen` is not allowed here");
    refuses("a: 1\n---\nb: 2\n", "FILE:3:1: only single YAML document expected but multiple found");
    refuses("stream: {keepalive_s: .nan}", "FILE:1:23: value `.nan` is not a finite number");
    refuses("? [a]\n: 2\n", "FILE:1:3: expected string scalar");
    refuses("token: \"a\0b\"\n", "FILE:1:10: unexpected character: `\\u{0}'");
}

#[test]
fn paths_start_from_where_they_are_written() {
    let machine = Machine::new()
        .file(
            "home/.config/llama-orch/llama-orch.yaml",
            "models_dir: m\npools: [{model: ./a.gguf}, {id: b, model: ~/b.gguf}]",
        )
        .env("LLAMA_ORCH_POOLS_2_MODEL", "file:c.gguf")
        .env("LLAMA_ORCH_POOLS_2_ID", "c");
    let config = machine.load().config;
    let at = |path: &str| machine.root.path().join(path);
    assert_eq!(config.models_dir, at("home/.config/llama-orch/m"));
    let models: Vec<_> = config.pools.into_iter().map(|pool| pool.model).collect();
    let expected = ["home/.config/llama-orch/a.gguf", "home/b.gguf", "work/c.gguf"];
    assert_eq!(models, expected.map(|path| PoolModel::Reference(ModelRef::File(at(path)))));
}

#[test]
fn the_models_folder_has_a_short_variable() {
    let dir = |machine: Machine| machine.load().config.models_dir;
    let machine = || Machine::with_file("models_dir: /file").env("LLAMA_ORCH_MODELS", "/short");
    assert_eq!(dir(machine()), PathBuf::from("/short"));
    assert_eq!(dir(machine().env("LLAMA_ORCH_MODELS_DIR", "/long")), PathBuf::from("/long"));
    assert_eq!(dir(Machine::new().env("XDG_CACHE_HOME", "/c")), PathBuf::from("/c/llama-orch/models"));
}

/// ORCH-CONF-6
#[test]
fn a_printed_configuration_reads_back_as_the_same() {
    let machine = Machine::with_file(
        "listen: '[::1]:1'\nallowed_hosts: [box]\nimage_hosts: [nas.lan]\nmodels_dir: /m\nqueue: {batch: 5, batch_max_wait_s: 0.25, batch_one_in: 5}\n\
         pools: [{id: a, ctx: 2048, devices: gpu1, sha256: B179C9523D0E6A0F98A330C7562B682750A6F8C8C15E5BC70EA373728110DB53}, \
         {id: b, model: hf:o/r/f.gguf, ctx: max, queue: {when_full: drop-lru, outage_wait_s: 0}}, \
         {id: c, devices: [cpu, GPU-1], replicas: 3, preload: false, idle_unload_s: 2.5, fit_ctx: true}, \
         {id: d, engine: tgi, model: a name, server: {url: 'http://box/', silence_timeout_s: 7}}, \
         {id: e, slots: 9, server: {command: [s, '{port}'], env: {A: b}, start_timeout_s: 6}}]\n\
         worker: {memory_margin_mb: 7}\n\
         sampler_profiles: {precise: {temperature: 0.1, top_k: 1}}\nlog: {level: debug, format: json}\n\
         ollama: {listen: '127.0.0.1:11434', require_token: true}\n",
    );
    let config = machine.load().config;
    assert_eq!(config.pools[0].ctx, Some(CtxChoice::Tokens(TokenCount(2048))));
    assert_eq!(config.pools[1].ctx, Some(CtxChoice::Max));
    assert_eq!((config.log.level, config.log.format), (LogLevel::Debug, LogFormat::Json));
    let again = Machine::with_file(&config.to_yaml()).load().config;
    assert_eq!(again, config);
}

mod engine_options;
mod ollama;
mod pools;
mod yaml;
