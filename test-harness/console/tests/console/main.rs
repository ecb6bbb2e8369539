//! The console in headless Chromium, in front of the real daemon with the real engine and model. Where there is
//! no browser, each test says so and does nothing.

mod activity;
mod chat;
mod entry;
mod models;
mod work;

use console_tests::Browser;
use harness::{Daemon, TOKEN};

/// A daemon with the starter model, and a browser in front of it; nothing where there is no browser.
async fn house(options: &[&str]) -> Option<(Daemon, Browser)> {
    let daemon = Daemon::open(options).await;
    let browser = Browser::open(&daemon.url).await?;
    Some((daemon, browser))
}

/// The same with its user logged in.
async fn entered(options: &[&str]) -> Option<(Daemon, Browser)> {
    let (daemon, browser) = house(options).await?;
    enter(&browser).await;
    Some((daemon, browser))
}

/// Logs in.
async fn enter(browser: &Browser) {
    browser.write("#token", TOKEN).await;
    browser.press("Log in").await;
    browser.says(".figures", "Slots busy").await;
}

/// Whatever was done, the page has asked nobody but its daemon.
async fn keeps_to_itself(browser: &Browser) {
    let strangers = browser.strangers().await;
    assert!(strangers.is_empty(), "{strangers:?}");
}
