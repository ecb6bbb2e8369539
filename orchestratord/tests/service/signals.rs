//! What signals do: none of them ends the daemon without an end for its streams.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use harness::engine::{APART, IN_BULK};
use harness::{Daemon, Setup, TOKEN};
use openapi_client::types::TaskRequest;

use super::{LIMIT, POOL, Unit, eventually};

pub fn logged(unit: &Unit, wanted: &str) -> String {
    let path = unit.path("daemon.log");
    eventually(wanted, || std::fs::read_to_string(&path).ok().filter(|text| text.contains(wanted)))
}

/// ORCH-STOP-4
#[test]
fn hup_and_usr1_reopen_a_log_file_that_was_moved_away() {
    let unit = Unit::with(&format!("pools: [{POOL}]\nlog: {{file: daemon.log}}\n"));
    unit.address();
    logged(&unit, "listening");
    for signal in ["HUP", "USR1"] {
        let old = unit.path(&format!("daemon.log.{signal}"));
        std::fs::rename(unit.path("daemon.log"), old).unwrap();
        unit.signal(signal);
        let new = logged(&unit, "log file reopened");
        assert!(!new.contains("listening"), "the old lines stay in the old file: {new}");
    }
}

/// ORCH-STOP-4
#[test]
fn signals_without_a_request_are_logged_and_end_nothing() {
    let mut unit = Unit::with(&format!("pools: [{POOL}]\nlog: {{file: daemon.log}}\n"));
    unit.address();
    for signal in ["USR2", "ALRM", "VTALRM", "PROF", "IO", "XFSZ", "PIPE"] {
        unit.signal(signal);
    }
    for name in ["USR2", "ALRM", "VTALRM", "PROF", "IO", "XFSZ"] {
        logged(&unit, &format!("signal ignored signal=\"SIG{name}\""));
    }
    unit.signal("TERM");
    assert_eq!(unit.ended().code(), Some(0), "it was still there to stop in order");
}

/// ORCH-STOP-4
#[tokio::test]
async fn quit_stops_at_once_and_every_stream_has_its_end() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let engine = listener.local_addr().unwrap();
    std::thread::spawn(move || harness::engine::serve(&listener));
    let config = format!(
        "shutdown: {{grace_s: 600}}\npools: [{{id: p, engine: vllm, model: m, slots: 1, server: {{url: 'http://{engine}'}}}}]\n"
    );
    let daemon = Daemon::start(&Setup { config: Some(config), ..Setup::default() }).await;
    daemon.ready().await;
    let task = harness::tasks::prompt(APART, 60_000);
    let task = daemon.submit(&task).await.unwrap().task_id;
    let mut events = daemon.events(task, None).await;
    harness::stream::read_tokens(&mut events, 1).await;
    daemon.signal("QUIT");
    let end = harness::stream::read_to_end(&mut events).await;
    assert_eq!(end.error.unwrap().code, openapi_client::types::ErrorCode::PoolUnavailable);
    let ended =
        tokio::time::timeout(Duration::from_secs(60), daemon.ended()).await.expect("long before the grace");
    assert_eq!(ended.code(), Some(130));
}

/// ORCH-STOP-5
#[expect(
    clippy::disallowed_methods,
    reason = "how long the process of the daemon takes is on no other clock"
)]
#[tokio::test]
async fn a_stop_ends_within_its_limit_though_a_client_reads_nothing_and_a_task_runs_on() {
    let engine = pretend_server();
    let pool = format!("{{id: p, engine: vllm, model: m, slots: 1, server: {{url: 'http://{engine}'}}}}");
    let config = format!("shutdown: {{grace_s: 2}}\npools: [{pool}]\n");
    let daemon = Daemon::start(&Setup { config: Some(config), ..Setup::default() }).await;
    daemon.ready().await;
    // More than the buffers of both ends of a connection hold.
    let unread = daemon.submit(&harness::tasks::prompt(IN_BULK, 200_000)).await.unwrap().task_id;
    daemon.idle().await;
    let mut stalled = TcpStream::connect(daemon.address()).unwrap();
    stalled
        .write_all(
            format!(
                "GET /v1/tasks/{unread}/stream HTTP/1.1\r\nHost: localhost\r\nx-api-key: {TOKEN}\r\n\r\n"
            )
            .as_bytes(),
        )
        .unwrap();
    stalled.read_exact(&mut [0; 1024]).unwrap();
    let running = daemon.submit(&harness::tasks::prompt(APART, 60_000)).await.unwrap().task_id;
    let mut events = daemon.events(running, None).await;
    harness::stream::read_tokens(&mut events, 1).await;

    let begun = Instant::now();
    daemon.signal("TERM");
    let end = harness::stream::read_to_end(&mut events).await;
    assert_eq!(end.error.unwrap().code, openapi_client::types::ErrorCode::PoolUnavailable);
    assert_eq!(daemon.ended().await.code(), Some(0));
    // With a limit for tasks and another one for connections it took 7 s.
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

/// The status of a request with this token, and its head.
fn ask(address: &str, head: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream.write_all(format!("{head}\r\nHost: localhost\r\nConnection: close\r\n\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    (answer.split(' ').nth(1).unwrap().parse().unwrap(), answer)
}

fn with_token(address: &str, token: &str) -> u16 {
    ask(address, &format!("GET /v1/models HTTP/1.1\r\nx-api-key: {token}")).0
}

/// ORCH-CONF-9
#[test]
fn hup_takes_over_what_can_change_and_names_what_takes_a_restart() {
    let log = "log: {file: daemon.log}";
    let unit = Unit::with(&format!("pools: [{POOL}]\n{log}\ntoken: the-first-token-of-all\n"));
    let address = unit.address();
    assert_eq!(with_token(&address, "the-first-token-of-all"), 200);
    let changed = "token: another-token-than-that\nallowed_origins: ['app://*']\nqueue: {batch: 7}\nlimits: {streams: 9}\n\
                   worker: {load_timeout_s: 77}\nmodels_dir: /elsewhere\nstream: {keep_finished_s: 5}";
    unit.write_config(&format!("pools: [{POOL}]\n{log}\n{changed}\n"));
    unit.signal("HUP");
    logged(
        &unit,
        "configuration read again changed=\"allowed_origins, limits.streams, pools[far].queue.batch, \
         stream.keep_finished_s, token, worker.load_timeout_s\"",
    );
    let line = logged(&unit, "this option takes a restart");
    assert!(line.contains("option=\"models_dir\" value=\"/elsewhere\" running="), "{line}");
    assert_eq!(line.matches("takes a restart").count(), 1, "{line}");
    assert_eq!(with_token(&address, "the-first-token-of-all"), 401);
    assert_eq!(with_token(&address, "another-token-than-that"), 200);
    let preflight =
        "OPTIONS /v1/models HTTP/1.1\r\nOrigin: app://obsidian.md\r\nAccess-Control-Request-Method: GET";
    assert_eq!(ask(&address, preflight).0, 204);
}

/// ORCH-CONF-9
#[test]
fn a_broken_configuration_changes_nothing_and_is_told_with_its_place() {
    let log = "log: {file: daemon.log}";
    let unit = Unit::with(&format!("pools: [{POOL}]\n{log}\ntoken: the-first-token-of-all\n"));
    let address = unit.address();
    unit.write_config(&format!(
        "pools: [{POOL}]\n{log}\ntoken: another-token-than-that\nlimits: {{bodymb: 1}}\n"
    ));
    unit.signal("HUP");
    let text = logged(&unit, "configuration not changed");
    assert!(text.contains("llama-orch.yaml:5:10: `limits.bodymb` is not an option"), "{text}");
    // What an editor leaves for a moment.
    std::fs::write(unit.path("llama-orch.yaml"), "").unwrap();
    unit.signal("HUP");
    logged(&unit, "it is empty, as a file is for a moment");
    assert_eq!(with_token(&address, "the-first-token-of-all"), 200);
}

/// A server of its own, and a pool of it by this name and with these options.
fn pretend_server() -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || harness::engine::serve(&listener));
    address
}

fn reread(daemon: &Daemon, config: &str) {
    std::fs::write(daemon.home().join("llama-orch.yaml"), config).unwrap();
    daemon.signal("HUP");
}

/// ORCH-CONF-12
#[tokio::test]
async fn a_changed_pool_is_a_reload_and_one_that_fails_leaves_the_old_one() {
    let engine = pretend_server();
    let pool = |id: &str, model: &str, slots: u16| {
        format!(
            "{{id: {id}, engine: vllm, model: {model}, slots: {slots}, server: {{url: 'http://{engine}'}}}}"
        )
    };
    let config = |p: String, q: String| format!("pools: [{p}, {q}]\n");
    let before = config(pool("p", "m", 1), pool("q", "m", 1));
    let daemon = Daemon::start(&Setup { config: Some(before), ..Setup::default() }).await;
    daemon.until("both are ready", |health| ready(health, 2)).await;
    reread(&daemon, &config(pool("p", "not-served", 5), pool("q", "m", 7)));
    daemon.logged("pool not changed: it is served as before").await;
    daemon.until("the other pool is not held up", |health| slots_of(health, "q") == Some(7)).await;
    let health = daemon.health().await;
    let old = health.pools.iter().flatten().find(|pool| pool.id == "p").unwrap();
    assert_eq!((old.model_ref.as_str(), slots_of(&health, "p")), ("m", Some(1)), "the old model serves on");
    let answer = daemon.ask(&harness::tasks::prompt(APART, 3)).await;
    assert_eq!(answer.tokens.len(), 3);
}

/// Slots of the replica of a pool that is ready.
fn slots_of(health: &openapi_client::types::Health, pool: &str) -> Option<u32> {
    let pool = health.pools.iter().flatten().find(|known| known.id == pool)?;
    let is_ready = |state| state == openapi_client::types::ReplicaState::Ready;
    pool.replicas.iter().find(|replica| is_ready(replica.state)).and_then(|replica| replica.slots)
}

/// ORCH-CONF-13
#[tokio::test]
async fn a_configuration_takes_effect_while_the_reload_of_an_earlier_one_goes_on() {
    let engine = pretend_server();
    // Accepts connections and answers nothing, so that a reload to it lasts.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let never = silent.local_addr().unwrap();
    let pool = |id: &str, slots: u16, url| {
        format!("{{id: {id}, engine: vllm, model: m, slots: {slots}, server: {{url: 'http://{url}'}}}}")
    };
    let config = |pools: &[String]| format!("pools: [{}]\n", pools.join(", "));
    let before = config(&[pool("a", 1, engine), pool("b", 1, engine)]);
    let daemon = Daemon::start(&Setup { config: Some(before), ..Setup::default() }).await;
    daemon.until("both are ready", |health| ready(health, 2)).await;
    let is_reloading = |health: &openapi_client::types::Health| {
        health.pools.iter().flatten().any(|pool| pool.id == "a" && pool.reloading_to.is_some())
    };
    reread(&daemon, &config(&[pool("a", 2, never), pool("b", 1, engine)]));
    daemon.until("the reload goes on", is_reloading).await;

    reread(&daemon, &config(&[pool("a", 2, never), pool("c", 4, engine)]));
    daemon.until("another pool serves", |health| slots_of(health, "c") == Some(4)).await;
    daemon.logged("pool removed").await;
    let health = daemon.health().await;
    assert!(is_reloading(&health), "the same reload goes on: {health:?}");
    assert_eq!(slots_of(&health, "a"), Some(1));

    reread(&daemon, &config(&[pool("a", 1, engine), pool("c", 4, engine)]));
    daemon.logged("reload given up").await;
    daemon.until("the reload is given up", |health| !is_reloading(health)).await;
    assert_eq!(slots_of(&daemon.health().await, "a"), Some(1));

    reread(&daemon, &config(&[pool("a", 2, never), pool("c", 4, engine)]));
    daemon.until("it is tried again", is_reloading).await;
    reread(&daemon, &config(&[pool("a", 3, engine), pool("c", 4, engine)]));
    daemon.until("the newest options are served", |health| slots_of(health, "a") == Some(3)).await;
}

fn ready(health: &openapi_client::types::Health, pools: usize) -> bool {
    let ready = health.pools.iter().flatten();
    ready.filter(|pool| pool.state == openapi_client::types::PoolState::Ready).count() == pools
}

/// ORCH-CONF-10, ORCH-CONF-11
#[tokio::test]
async fn pools_come_and_go_with_hup_and_no_task_is_lost() {
    let engine = pretend_server();
    let pool = |id: &str| {
        format!("{{id: {id}, engine: vllm, model: m, slots: 1, server: {{url: 'http://{engine}'}}}}")
    };
    let task = |answer: u32| TaskRequest {
        model_ref: Some("b".to_owned()),
        ..harness::tasks::prompt(APART, answer)
    };
    let config = format!("pools: [{}]\n", pool("a"));
    let daemon = Daemon::start(&Setup { config: Some(config.clone()), ..Setup::default() }).await;
    daemon.ready().await;
    assert!(daemon.submit(&task(1)).await.is_err(), "there is no `b` yet");

    reread(&daemon, &format!("pools: [{}, {}]\n", pool("a"), pool("b")));
    daemon.until("the new pool serves", |health| ready(health, 2)).await;
    let running = daemon.submit(&task(3000)).await.unwrap().task_id;
    let mut events = daemon.events(running, None).await;
    harness::stream::read_tokens(&mut events, 1).await;
    let waiting = daemon.submit(&task(5)).await.unwrap().task_id;

    reread(&daemon, &config);
    daemon.logged("pool takes no new tasks").await;
    assert!(daemon.submit(&task(1)).await.is_err(), "it takes nothing new");
    let end = harness::stream::read_to_end(&mut events).await;
    assert_eq!((end.tokens_out, end.error.is_none()), (3000, true), "what runs is served to its end");
    assert_eq!(daemon.read(waiting, None).await.tokens.len(), 5, "and so is what waits");
    let is_gone =
        |health: &openapi_client::types::Health| health.pools.iter().flatten().all(|pool| pool.id != "b");
    daemon.until("the pool is gone", is_gone).await;
    daemon.logged("pool removed").await;
    let scrape = daemon.metrics().await;
    assert!(scrape.series.iter().all(|series| series.labels.get("pool_id").is_none_or(|pool| pool == "a")));
    assert_eq!(daemon.read(waiting, None).await.tokens.len(), 5, "its answers stay readable");
}
