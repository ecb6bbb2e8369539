//! Models that come and go: reload, rollback, retire, activate.

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
