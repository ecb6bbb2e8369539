//! Models that come and go: reload, rollback, retire, activate.

use std::net::TcpListener;

use console_tests::PHONE;
use harness::executable;

use crate::{entered, keeps_to_itself};

/// ORCH-CON-4
#[tokio::test]
async fn a_model_is_reloaded_and_a_bad_one_leaves_the_old_one_in_its_place() {
    let Some((daemon, browser)) = entered(&[]).await else { return };
    let bad = daemon.home().join("bad.gguf");
    std::fs::write(&bad, "this is no model").unwrap();
    browser.press("Reload…").await;
    browser.shoot("reload").await;
    browser.write("#new-model", &format!("file:{}", bad.display())).await;
    browser.keys("#new-model", "\u{e007}").await;
    let said = browser.says(".course", "Rolled back").await;
    assert!(said.contains("MODEL_INVALID") && said.contains("serves as before"), "{said}");
    browser.shoot("rolled-back").await;
    browser.says(".pool", "Ready").await;
    browser.click(".course .icon").await;
    browser.gone(".course").await;

    let other = daemon.home().join("other.gguf");
    std::fs::copy(executable::model(), &other).unwrap();
    browser.press("Reload…").await;
    browser.write("#new-model", &format!("file:{}", other.display())).await;
    browser.keys("#new-model", "\u{e007}").await;
    browser.says(".course", "Changing to other.gguf").await;
    browser.shoot("reloading").await;
    browser.says(".course", "Reloaded").await;
    daemon
        .until("serves the other", |health| {
            health.pools.iter().flatten().any(|pool| pool.model_ref.ends_with("other.gguf"))
        })
        .await;
    keeps_to_itself(&browser).await;
}

/// ORCH-CON-4, ORCH-CON-9
#[tokio::test]
async fn a_model_is_retired_and_activated() {
    let Some((daemon, browser)) = entered(&[]).await else { return };
    browser.press("Retire…").await;
    browser.press("Not now").await;
    browser.gone("dialog").await;
    browser.says(".pool h3", "Ready").await;
    browser.press("Retire…").await;
    browser.says("dialog", "New tasks for it are refused").await;
    browser.shoot("retire").await;
    browser.press("Retire").await;
    browser.says(".pool h3", "Retired").await;
    browser.says(".notices", "is retired").await;
    daemon
        .until("unloaded", |health| health.pools.iter().flatten().all(|pool| pool.replicas.is_empty()))
        .await;
    browser.press("Activate").await;
    browser.says(".pool h3", "Ready").await;
    daemon.ready().await;
}

/// ORCH-CON-13
#[tokio::test]
async fn a_model_of_this_machine_is_found_and_served_by_choice() {
    let Some((daemon, browser)) = entered(&[]).await else { return };
    let models = daemon.home().join(".cache/llama-orch/models");
    std::fs::create_dir_all(&models).unwrap();
    std::fs::copy(executable::model(), models.join("lighthouse.gguf")).unwrap();
    std::fs::write(models.join("other.gguf"), "this is no model").unwrap();
    browser.press("Models").await;
    browser.says("#stored", "lighthouse").await;
    browser.says("#stored", "other").await;
    browser.write("#stored input", "light").await;
    browser
        .until("one of them has that in its name", async || {
            browser.run("return document.querySelectorAll('#stored li').length").await == 1
        })
        .await;
    browser.click("[aria-label='Serve lighthouse']").await;
    browser.says("dialog", "Reload default").await;
    browser.keys("#new-model", "\u{e007}").await;
    browser.says(".course", "Reloaded").await;
    browser.says("#stored", "served by default").await;
    browser.shoot("models").await;
    browser.theme("dark").await;
    browser.shoot("models-dark").await;
    browser.resize(PHONE).await;
    let wide = browser.run("return document.documentElement.scrollWidth - innerWidth").await;
    assert!(wide.as_i64().unwrap() <= 0, "it fits a phone: {wide}");
    keeps_to_itself(&browser).await;
}

/// ORCH-CON-13, ORCH-MODEL-14
#[tokio::test]
async fn a_model_is_fetched_with_its_progress_and_the_fetch_canceled() {
    let host = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = host.local_addr().unwrap();
    let Some((_daemon, browser)) = entered(&[]).await else { return };
    browser.press("Models").await;
    browser.write("#fetch-ref", "file:/models/mine.gguf").await;
    browser.press("Fetch").await;
    browser.says("#fetch-wrong", "nothing to fetch").await;
    let model = format!("http://{address}/far.gguf");
    browser.write("#fetch-ref", &model).await;
    browser.press("Fetch").await;
    browser.says(".fetches", "far.gguf").await;
    browser.click(&format!("[aria-label='Cancel {model}']")).await;
    browser.press("Cancel it").await;
    browser.says(".fetches", "canceled").await;
    browser.click(&format!("[aria-label='Dismiss {model}']")).await;
    browser.gone(".fetches").await;
    keeps_to_itself(&browser).await;
}
