//! The log-in, and how to connect.

use console_tests::PHONE;
use harness::TOKEN;

use crate::{entered, house, keeps_to_itself};

/// ORCH-CON-2
#[tokio::test]
async fn nobody_gets_in_without_the_token() {
    let Some((_daemon, browser)) = house(&[]).await else { return };
    browser.shows("#token").await;
    browser.shoot("log-in").await;
    assert_eq!(browser.text(".figures").await, "", "nothing is shown to anyone");

    browser.press("Log in").await;
    browser.says("#token-error", "Paste the token first").await;
    browser.write("#token", "not-the-token-of-it").await;
    browser.press("Log in").await;
    browser.says("#token-error", "not the token of this daemon").await;
    browser.shoot("log-in-wrong").await;

    browser.write("#token", TOKEN).await;
    browser.keys("#token", "\u{e007}").await;
    browser.says(".figures", "Slots busy").await;
    let cookies = browser.run("return document.cookie").await;
    assert_eq!(cookies, "", "no script can read the log-in");
    let kept = browser.run("return JSON.stringify(localStorage) + JSON.stringify(sessionStorage)").await;
    assert!(!kept.as_str().unwrap().contains(TOKEN), "the token is kept nowhere");

    browser.go("/").await;
    browser.says(".figures", "Slots busy").await;
    browser.press("Log out").await;
    browser.shows("#token").await;
    browser.go("/").await;
    browser.shows("#token").await;
    keeps_to_itself(&browser).await;
}

/// ORCH-CON-6
#[tokio::test]
async fn a_daemon_that_goes_away_is_said_and_seen_again() {
    let Some((daemon, browser)) = entered(&[]).await else { return };
    daemon.signal("STOP");
    browser.says(".banner", "did not answer in time").await;
    browser.shoot("not-reached").await;
    daemon.signal("CONT");
    browser.gone(".banner").await;
    browser.says(".top", "Serving").await;
}

/// ORCH-CON-1
#[tokio::test]
async fn clients_are_told_how_to_connect() {
    let Some((daemon, browser)) = entered(&[]).await else { return };
    browser.press("Connect").await;
    browser.says("#recipe", &format!("{}/v1/tasks", daemon.url)).await;
    browser.says("#recipe", "YOUR_TOKEN").await;
    browser.shoot("connect").await;
    browser.write("#fill", TOKEN).await;
    let filled = browser.says("#recipe", TOKEN).await;
    assert!(!filled.contains("YOUR_TOKEN"), "{filled}");
    let context = browser.run("return fetch('/health').then((health) => health.json()).then((health) => health.pools[0].replicas[0].ctx)").await;
    browser.press("opencode").await;
    browser.says("#recipe", &format!("\"context\": {context}")).await;
    browser.press("Claude Code").await;
    browser.says("#recipe", "ANTHROPIC_MODEL=default").await;
    browser.press("Prometheus").await;
    browser.says("#recipe", "scrape_configs").await;
    browser.resize(PHONE).await;
    browser.shoot("connect-phone").await;
    let wide = browser.run("return document.documentElement.scrollWidth - innerWidth").await;
    assert!(wide.as_i64().unwrap() <= 0, "it fits a phone: {wide}");
    keeps_to_itself(&browser).await;
}
