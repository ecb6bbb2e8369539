//! The last hours, the tasks that have ended, and how far a prompt is read.

use console_tests::{DESK, PHONE};
use harness::tasks::{endless, prompt};

use crate::{entered, keeps_to_itself};

/// ORCH-CON-12
#[tokio::test]
async fn the_last_hours_and_what_has_ended_are_shown() {
    let Some((daemon, browser)) = entered(&["pools[0].slots=1"]).await else { return };
    browser.press("Activity").await;
    browser.says("#ended-tasks", "Nothing has ended lately").await;
    daemon.ask(&prompt("Once upon a time there was a lighthouse", 20)).await;
    let task = endless(24);
    tokio::join!(daemon.ask(&task), daemon.ask(&task), daemon.ask(&task));
    browser.press("Chat").await;
    browser.write("#max_tokens", "8").await;
    browser.write("#question", "Who keeps the light?").await;
    browser.press("Send").await;
    browser.says(".turn footer", "tokens").await;

    browser.press("Activity").await;
    let ended = browser.says("#ended-tasks", "Who keeps the light?").await;
    assert!(ended.contains("Once upon a time") && ended.contains("console"), "{ended}");
    browser.write("#ended-tasks input", "lighthouse").await;
    browser
        .until("one task has that in it", async || {
            browser.run("return document.querySelectorAll('#ended-tasks tbody tr').length").await == 1
        })
        .await;
    browser.write("#ended-tasks input", "no such words").await;
    browser.says("#ended-tasks", "No ended task has that in it").await;
    browser.write("#ended-tasks input", " ").await;

    browser.says("#figures .chart:nth-of-type(1)", "written up to").await;
    browser.says("#figures .chart:nth-of-type(2)", "longest up to").await;
    browser.says("#figures", "Memory of cpu").await;
    browser.keys("#figures .chart svg", "\u{e012}").await;
    browser
        .until("the value of a minute is read with the arrow keys", async || {
            !browser.text("#figures .chart:nth-of-type(1) .readout").await.contains("up to")
        })
        .await;
    browser.press("12 h").await;
    browser.shows("#figures [aria-pressed='true']").await;
    browser.press("1 h").await;
    browser.shoot("activity").await;
    browser.theme("dark").await;
    browser.shoot("activity-dark").await;
    browser.resize(PHONE).await;
    let wide = browser.run("return document.documentElement.scrollWidth - innerWidth").await;
    assert!(wide.as_i64().unwrap() <= 0, "it fits a phone: {wide}");
    browser.resize(DESK).await;
    keeps_to_itself(&browser).await;
}

/// ORCH-CON-5, ORCH-TASK-17
#[tokio::test]
async fn how_far_a_long_prompt_is_read_is_said_before_its_answer() {
    let Some((daemon, browser)) = entered(&["pools[0].slots=1"]).await else { return };
    browser.press("Chat").await;
    browser.write("#max_tokens", "4").await;
    // Pasted, as a person does with what is long.
    let paste = "const area = document.querySelector('#question'); area.value = arguments[0]; area.dispatchEvent(new Event('input', { bubbles: true })); return true";
    browser.run_with(paste, &"The keeper climbs the stairs and lights the lamp. ".repeat(100)).await;
    browser.press("Send").await;
    let said = browser.says(".standing", "of 1").await;
    assert!(said.starts_with("Reading the prompt: ") && said.contains("tokens"), "{said}");
    browser.says(".turn footer", "tokens").await;
    daemon.idle().await;
}
