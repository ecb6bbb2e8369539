//! Devices, servers, and what does not go together in a pool.

use super::*;
use crate::{DeviceChoice, PoolConfig, ServerSource};

fn pool(yaml: &str) -> PoolConfig {
    Machine::with_file(&format!("pools: [{yaml}]")).load().config.pools.remove(0)
}

#[test]
fn devices_are_one_or_several_by_name() {
    let listed = |yaml: &str| pool(&format!("{{devices: {yaml}}}")).devices;
    assert_eq!(listed("auto"), DevicesChoice::Auto);
    assert_eq!(listed("gpu1"), DevicesChoice::Listed(vec![DeviceChoice::GpuIndex(1)]));
    let all = [DeviceChoice::GpuIndex(0), DeviceChoice::GpuUuid("GPU-a-1".into()), DeviceChoice::Cpu];
    assert_eq!(listed("[gpu0, GPU-a-1, cpu]"), DevicesChoice::Listed(all.to_vec()));
}

#[test]
fn devices_come_from_a_variable_too() {
    let from = |text: &str| {
        Machine::new().env("LLAMA_ORCH_POOLS_0_DEVICES", text).load().config.pools.remove(0).devices
    };
    assert_eq!(from("auto"), DevicesChoice::Auto);
    assert_eq!(from("cpu"), DevicesChoice::Listed(vec![DeviceChoice::Cpu]));
    let both = [DeviceChoice::GpuIndex(0), DeviceChoice::Cpu];
    assert_eq!(from("gpu0, cpu"), DevicesChoice::Listed(both.to_vec()));
    assert_eq!(
        Machine::new().env("LLAMA_ORCH_POOLS_0_DEVICES", "cpu,gpu").refusal(),
        "LLAMA_ORCH_POOLS_0_DEVICES: `pools[0].devices[1]` is `gpu`; it must be `cpu`, `gpu0` (a card's place in \
         PCI order) or `GPU-…` (a card's UUID)"
    );
}

#[test]
fn devices_that_are_none_are_refused_by_name() {
    refuses(
        "pools: [{devices: gpu}]",
        "FILE:1:19: `pools[0].devices` is `gpu`; it must be `auto`, `cpu`, `gpu0` (a card's place in PCI order), \
         `GPU-…` (a card's UUID), or a list of devices",
    );
    refuses(
        "pools: [{devices: 0}]",
        "FILE:1:19: `pools[0].devices` is `0`; it must be `auto`, `cpu`, `gpu0` (a card's place in PCI order), \
         `GPU-…` (a card's UUID), or a list of devices",
    );
    refuses(
        "pools:\n  - devices:\n      - gpu0\n      - cuda:1\n",
        "FILE:4:9: `pools[0].devices[1]` is `cuda:1`; it must be `cpu`, `gpu0` (a card's place in PCI order) or \
         `GPU-…` (a card's UUID)",
    );
    refuses(
        "pools: [{devices: [auto, cpu]}]",
        "FILE:1:20: `pools[0].devices[0]` is `auto`; it must be `cpu`, `gpu0` (a card's place in PCI order) or \
         `GPU-…` (a card's UUID)\n  hint: `auto` stands alone: write `devices: auto`, or name the devices",
    );
    refuses("pools: [{devices: []}]", "FILE:1:19: `pools[0].devices` has 0 entries; it must have 1 to 16");
}

#[test]
fn a_device_is_named_once() {
    for (list, again) in [("[gpu1, cpu, gpu01]", "gpu01"), ("[GPU-1, gpu1, GPU-1]", "GPU-1")] {
        let refusal = Machine::with_file(&format!("pools: [{{devices: {list}}}]")).refusal();
        let expected = format!(
            "`pools[0].devices[2]` is `{again}`, a device that stands before it\n  hint: name each device once; \
             `replicas` says how many copies there are"
        );
        assert!(refusal.ends_with(&expected), "{refusal}");
    }
}

#[test]
fn a_server_that_runs_already_serves_a_model_by_its_name() {
    for engine in ["llamacpp", "vllm", "tgi", "triton"] {
        let pool = pool(&format!(
            "{{engine: {engine}, model: some model, server: {{url: 'http://box.lan:8000/v1/', api_key: k3y-of-it}}}}"
        ));
        assert_eq!((pool.engine.as_str(), &pool.model), (engine, &PoolModel::Served("some model".into())));
        let server = pool.server.expect("a server");
        assert_eq!(server.source, ServerSource::Urls(vec!["http://box.lan:8000/v1".into()]));
        assert_eq!(server.api_key.expect("a key").expose(), "k3y-of-it");
        assert_eq!((pool.slots, server.slots), (4, None));
        assert_eq!(
            (server.start_timeout, server.silence_timeout),
            (Duration::from_secs(900), Duration::from_secs(120))
        );
    }
}

/// ORCH-ENG-25
#[test]
fn a_list_of_urls_is_a_replica_for_each() {
    let urls = ["http://a:8080", "http://b:8080"].map(str::to_owned).to_vec();
    for replicas in ["", "replicas: 2, "] {
        let listed = pool(&format!("{{{replicas}server: {{url: ['http://a:8080/', 'http://b:8080']}}}}"));
        assert_eq!(listed.replicas, Some(2));
        assert_eq!(listed.server.expect("a server").source, ServerSource::Urls(urls.clone()));
    }
    let refuses = |pool: &str, message: &str| {
        let refusal = Machine::with_file(&format!("pools: [{pool}]")).refusal();
        assert!(refusal.contains(message), "{refusal}");
    };
    let twice = "`pools[0].server.url[1]` is `http://a`, a server that stands before it\n  hint: name each server once";
    refuses("{server: {url: ['http://a', 'http://a/']}}", twice);
    refuses(
        "{server: {url: ['http://a', 'ftp://b']}}",
        "`pools[0].server.url[1]` is `ftp://b`, which is not the URL",
    );
    refuses(
        "{replicas: 3, server: {url: ['http://a', 'http://b']}}",
        "`pools[0].replicas` is 3, and `pools[0].server.url` has 2: each server is one replica",
    );
}

/// ORCH-ENG-24
#[test]
fn a_stop_command_is_for_servers_that_are_started() {
    let managed =
        pool("{server: {command: [docker, run, -p, '{port}:8000'], stop_command: [docker, stop, x]}}");
    assert_eq!(managed.server.expect("a server").stop_command, ["docker", "stop", "x"]);
    let refusal = Machine::with_file("pools: [{server: {url: 'http://a', stop_command: [a]}}]").refusal();
    assert!(refusal.contains("`pools[0].server.stop_command` has no effect without"), "{refusal}");
    let refusal =
        Machine::with_file("pools: [{server: {command: [a, '{port}'], stop_command: ['']}}]").refusal();
    assert!(refusal.contains("`pools[0].server.stop_command[0]` is empty"), "{refusal}");
}

/// ORCH-ENG-36
#[test]
fn a_fixed_port_is_for_one_replica_of_a_server_that_is_started() {
    let fixed = pool("{server: {command: [/opt/run.sh], port: 9000}}");
    let Some(ServerSource::Command { port, .. }) = fixed.server.map(|server| server.source) else { panic!() };
    assert_eq!((port, fixed.replicas), (Some(9000), Some(1)));
    let refuses = |pool: &str, message: &str| {
        let refusal = Machine::with_file(&format!("pools: [{pool}]")).refusal();
        assert!(refusal.contains(message), "{refusal}");
    };
    refuses(
        "{server: {url: 'http://a', port: 9000}}",
        "`pools[0].server.port` has no effect without `pools[0].server.command`",
    );
    refuses(
        "{replicas: 2, server: {command: [a], port: 9000}}",
        "`pools[0].server.port` is 9000, at which one replica can listen, and there are to be more",
    );
}

/// ORCH-ENG-35
#[test]
fn a_server_that_is_started_is_one_unless_devices_or_replicas_say_more() {
    let replicas =
        |options: &str| pool(&format!("{{{options}server: {{command: [a, '{{port}}']}}}}")).replicas;
    assert_eq!(replicas(""), Some(1));
    assert_eq!(replicas("replicas: 2, "), Some(2));
    assert_eq!(replicas("devices: [gpu0, gpu1], "), None);
}

/// ORCH-ENG-37
#[test]
fn variables_of_a_server_are_filled_from_the_daemons_own() {
    let file = "pools: [{server: {command: [a, '{port}'], env: {KEY: 'x-${MY_KEY}', PLAIN: '$${MY_KEY}'}}}]";
    let refusal = Machine::with_file(file).refusal();
    assert!(
        refusal.contains("`pools[0].server.env.KEY` has `${MY_KEY}` in it, and the daemon has no such"),
        "{refusal}"
    );
    // What is printed of the configuration has the name, not the value.
    let pool = Machine::with_file(file).env("MY_KEY", "secret").load().config.pools.remove(0);
    let Some(ServerSource::Command { env, .. }) = pool.server.map(|server| server.source) else { panic!() };
    assert_eq!(env["KEY"], "x-${MY_KEY}");

    let own = |name: &str| ["MY_KEY", "LLAMA_ORCH_TOKEN"].contains(&name).then(|| "secret".to_owned());
    assert_eq!(
        crate::fill_variables("a-${MY_KEY}-$${MY_KEY}-$MY_KEY", own).as_deref(),
        Ok("a-secret-${MY_KEY}-$MY_KEY")
    );
    assert_eq!(crate::fill_variables("${LLAMA_ORCH_TOKEN}", own), Err("LLAMA_ORCH_TOKEN".to_owned()));
}

#[test]
fn a_server_to_start_gets_the_file_of_llamacpp_and_the_name_of_others() {
    let pool_of = |engine: &str, model: &str| {
        pool(&format!(
            "{{engine: {engine}, model: {model}, slots: 8, server: {{command: [serve, '{{port}}'], env: {{A: b}}}}}}"
        ))
    };
    let pool = pool_of("llamacpp", "/m/a.gguf");
    assert_eq!(pool.model, PoolModel::Reference(ModelRef::File("/m/a.gguf".into())));
    let server = pool.server.expect("a server");
    assert_eq!(server.slots, Some(8));
    let command = ["serve", "{port}"].map(str::to_owned).to_vec();
    let env = [("A".to_owned(), "b".to_owned())].into();
    assert_eq!(server.source, ServerSource::Command { command, env, port: None });
    assert_eq!(pool_of("vllm", "Qwen/Qwen3-8B").model, PoolModel::Served("Qwen/Qwen3-8B".into()));
    let refusal = Machine::with_file("pools: [{model: x, server: {command: [a, '{port}']}}]").refusal();
    assert!(refusal.contains("`pools[0].model` is `x`, which is not a model"), "{refusal}");
}

#[test]
fn an_engine_that_is_not_built_in_needs_a_server() {
    refuses(
        "pools: [{model: m, engine: triton}]",
        "FILE:1:28: `pools[0].engine` is `triton`, which is not built in: it needs a `server`\n  hint: add `server: \
         {url: http://127.0.0.1:8000}` for one that runs already, or `server: {command: [PROGRAM, ...]}` for one to \
         start",
    );
}

/// ORCH-ENG-2
#[test]
fn a_server_has_a_url_or_a_command() {
    let refuses = |server: &str, message: &str| {
        let refusal = Machine::with_file(&format!("pools: [{{model: m, server: {server}}}]")).refusal();
        assert!(refusal.contains(message), "{refusal}");
    };
    refuses("{}", "`pools[0].server` has neither `url` nor `command`\n  hint: give `url` for");
    refuses(
        "{url: 'http://a', command: [b]}",
        "`pools[0].server` has both `url` and `command`\n  hint: keep",
    );
    refuses(
        "{url: 'http://a', env: {A: b}}",
        "`pools[0].server.env` has no effect with `pools[0].server.url`",
    );
    refuses("{command: [serve, '8080']}", "`pools[0].server.command` does not say `{port}`");
    refuses("{command: ['', '{port}']}", "`pools[0].server.command[0]` is empty; it must be the program");
    refuses("{command: [a, '{port}'], env: {'A=B': c}}", "`pools[0].server.env.A=B` is not a name");
    refuses("{command: ~}", "has neither");
    pool("{server: {command: [serve], env: {PORT: '{port}'}}}");
}

/// ORCH-ENG-30
#[test]
fn certificates_are_named_where_a_url_is_https() {
    let yaml = "{server: {url: 'https://box:8443/v1', tls: {ca_file: ca.pem}}}";
    let machine = Machine::with_file(&format!("pools: [{yaml}]"));
    let server = machine.load().config.pools.remove(0).server.expect("a server");
    assert_eq!(server.source, ServerSource::Urls(vec!["https://box:8443/v1".to_owned()]));
    let ca_file = server.ca_file.expect("a file");
    assert!(ca_file.is_absolute() && ca_file.ends_with("ca.pem"), "{}", ca_file.display());
    for other in ["url: 'http://box'", "command: [serve, '{port}']"] {
        let refusal =
            Machine::with_file(&format!("pools: [{{server: {{{other}, tls: {{ca_file: ca.pem}}}}}}]"))
                .refusal();
        assert!(
            refusal.contains("`pools[0].server.tls` has no effect without an `https://` URL"),
            "{refusal}"
        );
    }
}

#[test]
fn a_url_that_is_none_is_refused_with_the_reason() {
    for (url, why) in [
        ("ftp://box", "its scheme is neither `http` nor `https`"),
        ("box", "it does not start with `http://` or `https://`"),
        ("127.0.0.1:8000", "it does not start with `http://`"),
        ("http://", "it cannot be read"),
        ("http:///v1", "it cannot be read"),
        ("http://:80", "it has no host"),
        ("http://me:secret@box", "a user and password in it are not sent"),
        ("https://me:secret@box", "a user and password in it are not sent"),
        ("http://box:0", "its port is not a number from 1 to 65535"),
        ("http://box:99999", "its port is not a number from 1 to 65535"),
        ("http://box/?a=b", "it has a query or a fragment"),
    ] {
        let refusal = Machine::with_file(&format!("pools: [{{server: {{url: '{url}'}}}}]")).refusal();
        let place = "FILE:1:24: `pools[0].server.url` is `";
        assert!(refusal.starts_with(place) && refusal.contains(why), "{url}: {refusal}");
        assert!(!refusal.contains("secret"), "{refusal}");
        assert!(refusal.ends_with("write it as `http://127.0.0.1:8080`"), "{refusal}");
    }
}

/// ORCH-CONF-7
#[test]
fn an_option_that_would_change_nothing_is_refused_by_name() {
    let url = "server: {url: 'http://a'}";
    for option in [
        "ctx: 4096",
        "threads: 4",
        "gpu_layers: 1",
        "devices: auto",
        "idle_unload_s: 60",
        "fit_ctx: true",
        "sha256: B179C9523D0E6A0F98A330C7562B682750A6F8C8C15E5BC70EA373728110DB53",
    ] {
        let name = option.split(':').next().expect("a name");
        let refusal = Machine::with_file(&format!("pools: [{{{option}, {url}}}]")).refusal();
        assert!(refusal.contains(&format!("`pools[0].{name}` has no effect")), "{refusal}");
        assert_eq!(refusal.lines().count(), 2, "one problem and its hint: {refusal}");
    }
    let command = "server: {command: [a, '{port}']}";
    for option in ["ctx: 4096", "threads: 4", "devices: cpu", "replicas: 2", "idle_unload_s: 60"] {
        pool(&format!("{{{option}, {command}}}"));
    }
    for (engine, option) in [("vllm", "sha256"), ("llamacpp", "fit_ctx")] {
        let value = if option == "sha256" { "0".repeat(64) } else { "true".to_owned() };
        let yaml = format!("pools: [{{engine: {engine}, {option}: '{value}', {command}}}]")
            .replace("'true'", "true");
        let refusal = Machine::with_file(&yaml).refusal();
        assert!(refusal.contains(&format!("`pools[0].{option}` has no effect")), "{refusal}");
    }
}

/// ORCH-ENG-8
#[test]
fn the_key_of_a_server_is_never_shown() {
    let with_key =
        |key: &str| Machine::with_file(&format!("pools: [{{server: {{url: 'http://a', api_key: {key}}}}}]"));
    for bad in ["'pass phrase of mine'", "1234567890", "''", "[secret-one]"] {
        let refusal = with_key(bad).refusal();
        assert!(refusal.contains("`pools[0].server.api_key`"), "{refusal}");
        assert!(
            !["phrase", "1234567890", "secret-one"].iter().any(|part| refusal.contains(part)),
            "{refusal}"
        );
    }
    let config = with_key("sk-very-secret").load().config;
    let shown = format!("{config:?}{}", config.to_yaml());
    assert!(!shown.contains("very"), "{shown}");
    assert!(config.to_yaml().starts_with("# pools[0].server.api_key: set, not shown\n"));
}

/// ORCH-CONF-14
#[test]
fn a_further_name_is_one_that_a_request_can_say_and_that_no_other_pool_has() {
    let named = pool("{aliases: [gpt-4o-mini, 'qwen3:8b', org/model]}");
    assert_eq!(named.aliases, ["gpt-4o-mini", "qwen3:8b", "org/model"]);
    let refused = |yaml: &str| Machine::with_file(yaml).refusal();
    let twice = refused("pools: [{id: a, aliases: [b]}, {id: b}]");
    assert!(twice.contains("`pools[0].aliases[0]` is `b`, the name of another pool"), "{twice}");
    let same = refused("pools: [{id: a, aliases: [x]}, {id: b, aliases: [x]}]");
    assert!(same.contains("`pools[1].aliases[0]` is `x`"), "{same}");
    let lane = refused("pools: [{id: a, aliases: ['x@batch']}]");
    assert!(lane.contains("which no request can name"), "{lane}");
}

/// ORCH-WORKER-8
#[test]
fn a_loop_is_many_tokens_or_none() {
    assert_eq!(pool("{defaults: {loop_tokens: 0}}").defaults.loop_tokens, Some(0));
    assert_eq!(pool("{defaults: {loop_tokens: 64}}").defaults.loop_tokens, Some(64));
    refuses(
        "pools: [{defaults: {loop_tokens: 63}}]",
        "FILE:1:34: `pools[0].defaults.loop_tokens` is 63; it must be 0 or at least 64\n  hint: answers that are right \
         repeat a few tokens; 0 ends none for repeating itself",
    );
}
