//! How a pool has its model loaded and its conversations rendered, seen from outside.

use harness::tasks::chat;
use harness::{Daemon, Setup, TOKEN};
use openapi_client::types::PoolState;

const CONFIG: &str = "pools: [{id: default, model: 'STARTER', ctx: 512, slots: 1, kv_type: q8_0, chat_template: mine.jinja, \
                      template_kwargs: {mood: grim}}]\n";

const TEMPLATE: &str = "{% for m in messages %}{{ mood | default('calm') }}: {{ m.content }}{% endfor %}";

async fn post(daemon: &Daemon, path: &str, body: &str) -> String {
    let request = daemon.http.post(format!("{}{path}", daemon.url)).bearer_auth(TOKEN);
    let response =
        request.header("content-type", "application/json").body(body.to_owned()).send().await.unwrap();
    response.text().await.unwrap()
}

/// The prompt of "Hi".
async fn prompt_of(daemon: &Daemon) -> String {
    post(daemon, "/apply-template", r#"{"messages":[{"role":"user","content":"Hi"}]}"#).await
}

/// ORCH-ENG-32, ORCH-ENG-33, ORCH-DEV-12
#[tokio::test]
async fn a_template_holds_on_every_plane_and_a_changed_one_after_hup() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mine.jinja");
    std::fs::write(&file, TEMPLATE).unwrap();
    let starter = harness::executable::model();
    let config = CONFIG
        .replace("mine.jinja", file.to_str().unwrap())
        .replace("STARTER", &starter.display().to_string());
    let daemon = Daemon::start(&Setup { config: Some(config), ..Setup::default() }).await;
    daemon.ready().await;
    assert_eq!(prompt_of(&daemon).await, r#"{"prompt":"grim: Hi"}"#);
    let counted = post(
        &daemon,
        "/v1/messages/count_tokens",
        r#"{"model":"default","messages":[{"role":"user","content":"Hi"}]}"#,
    )
    .await;
    let answer = daemon.ask(&chat("Hi", 1)).await;
    assert_eq!(counted, format!(r#"{{"input_tokens":{}}}"#, answer.end.tokens_in));
    let own = r#"{"model":"default","messages":[{"role":"user","content":"Hi"}],"max_tokens":1,"chat_template_kwargs":{"mood":"x"}}"#;
    let completion = post(&daemon, "/v1/chat/completions", own).await;
    assert!(completion.contains(r#""finish_reason":"length""#), "{completion}");
    let health = daemon.health().await;
    let why = &health.pools.iter().flatten().next().unwrap().placement.as_ref().unwrap()[0].why;
    assert!(why.contains("with a KV cache in q8_0"), "{why}");

    std::fs::write(&file, TEMPLATE.replace("{{ m.", "+ {{ m.")).unwrap();
    daemon.signal("HUP");
    daemon.logged("pool reloaded").await;
    assert_eq!(prompt_of(&daemon).await, r#"{"prompt":"grim: + Hi"}"#);

    std::fs::write(&file, "{% for %}").unwrap();
    daemon.signal("HUP");
    daemon.logged("pool not changed: it is served as before").await;
    let log = daemon.log();
    assert!(log.contains("the chat template `") && log.contains("` is broken"), "{log}");
    assert_eq!(prompt_of(&daemon).await, r#"{"prompt":"grim: + Hi"}"#);
    std::fs::remove_file(&file).unwrap();
    daemon.signal("HUP");
    daemon.logged("which does not exist").await;
    let is_ready = |health: &openapi_client::types::Health| {
        health.pools.iter().flatten().all(|pool| pool.state == PoolState::Ready)
    };
    daemon.until("it serves on", is_ready).await;
}
