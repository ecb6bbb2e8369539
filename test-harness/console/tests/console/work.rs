//! Tasks: asked in a chat, seen live, canceled, and looked at one by one.

use console_tests::PHONE;
use harness::executable;
use harness::tasks::{batch, endless};

use crate::{entered, keeps_to_itself};

/// ORCH-CON-5
#[tokio::test]
async fn a_chat_streams_is_stopped_and_has_its_page() {
    let Some((daemon, browser)) = entered(&["pools[0].slots=2"]).await else { return };
    browser.press("Chat").await;
    browser.write("#max_tokens", "48").await;
    browser.write("#temperature", "0").await;
    browser.write("#question", "Why is the sky blue?").await;
    browser.press("Send").await;
    browser.says(".turn footer", "tokens").await;
    let figures = browser.says(".timing figcaption", "Tokens/s").await;
    assert!(figures.contains("First token"), "{figures}");
    browser.shows(".timing svg rect").await;
    assert!(browser.text(".said.model .markdown").await.len() > 20, "it has answered");
    browser.shoot("chat").await;

    browser.write("#max_tokens", "2000").await;
    browser.write("#question", "Tell me a very long story about a lighthouse.").await;
    browser.keys("#question", "\u{e007}").await;
    browser.says(".turn:nth-of-type(2) .timing", "Between tokens").await;
    browser.press("Stop").await;
    browser.says(".turn:nth-of-type(2) footer", "stopped").await;
    daemon.idle().await;

    browser.click(".turn:nth-of-type(1) footer a").await;
    browser.says(".timeline", "Reading the prompt").await;
    browser.says(".texts", "Why is the sky blue?").await;
    browser.says(".head", "cut at its limit").await;
    browser.shoot("task").await;
    browser.theme("dark").await;
    browser.shoot("task-dark").await;
    browser.press("Chat").await;
    browser.click(".chats li a").await;
    browser.says(".turns", "lighthouse").await;
    browser.shoot("chat-dark").await;
    keeps_to_itself(&browser).await;
}

#[tokio::test]
async fn what_a_model_thinks_before_it_answers_is_folded() {
    let Some((daemon, browser)) = entered(&[]).await else { return };
    // A template that begins the thoughts itself, as those of many models do.
    let mut model = std::fs::read(executable::model()).unwrap();
    let (from, to) = (b"<|im_start|>assistant", b"<|im_start|>ai<think>");
    let at = model.windows(from.len()).position(|part| part == from).unwrap();
    model[at..at + to.len()].copy_from_slice(to);
    let thinks = daemon.home().join("thinks.gguf");
    std::fs::write(&thinks, model).unwrap();
    browser.press("Reload…").await;
    browser.write("#new-model", &format!("file:{}", thinks.display())).await;
    browser.keys("#new-model", "\u{e007}").await;
    browser.says(".course", "Reloaded").await;

    browser.press("Chat").await;
    browser.write("#max_tokens", "24").await;
    browser.write("#temperature", "0").await;
    browser.write("#question", "Say hello.").await;
    browser.press("Send").await;
    browser.says(".turn footer", "tokens").await;
    browser.says(".reasoning summary", "Reasoning").await;
    browser.click(".reasoning summary").await;
    let reasoning = browser.text(".reasoning .text").await;
    assert!(reasoning.len() > 10 && !reasoning.contains("<think>"), "{reasoning}");
    browser.gone(".said.model .markdown").await;
}

/// ORCH-CON-4, ORCH-CON-9
#[tokio::test]
async fn who_runs_and_who_waits_is_seen_and_can_be_canceled() {
    let Some((daemon, browser)) = entered(&["pools[0].slots=2"]).await else { return };
    browser.says("#running", "Nothing runs").await;
    for words in [24, 16, 40] {
        daemon.ask(&endless(words)).await;
    }
    browser.says("#ended", "cut at its limit").await;
    let mut tasks = Vec::new();
    for task in
        [endless(3000), endless(3000), endless(500), batch(endless(500)), batch(endless(500)), endless(500)]
    {
        tasks.push(daemon.submit(&task).await.unwrap().task_id);
    }
    let queue = browser.says("#queue", "4 waiting").await;
    assert!(queue.contains("≈"), "each is told when it starts: {queue}");
    browser.until("both slots are busy and their speed is known", async || {
        browser.run("return [...document.querySelectorAll('#running .strong')].filter((one) => parseFloat(one.textContent) > 0).length").await == 2
    })
    .await;
    // Enough of them for a line.
    browser
        .until("there is a history", async || {
            browser.run("return document.querySelector('.throughput .line')?.getAttribute('d').split('L').length > 14").await
                == true
        })
        .await;
    browser.theme("light").await;
    browser.shoot("live").await;
    browser.theme("dark").await;
    browser.shoot("live-dark").await;
    browser.resize(PHONE).await;
    let wide = browser.run("return document.documentElement.scrollWidth - innerWidth").await;
    assert!(wide.as_i64().unwrap() <= 0, "it fits a phone: {wide}");
    browser.shoot("live-phone").await;
    browser.resize(console_tests::DESK).await;

    // ORCH-CON-9: the question can be answered with no.
    browser.click(&format!("[aria-label='Cancel task {}']", tasks[0])).await;
    browser.press("Leave it").await;
    browser.gone("dialog").await;
    browser.shows(&format!("[aria-label='Cancel task {}']", tasks[0])).await;
    for task in &tasks {
        browser.click(&format!("[aria-label='Cancel task {task}']")).await;
        browser.press("Cancel the task").await;
        browser.gone(&format!("[aria-label='Cancel task {task}']")).await;
    }
    browser.says("#running", "Nothing runs").await;
    browser.says("#queue", "Nobody waits").await;
    browser.says("#ended", "canceled").await;
    daemon.idle().await;
    keeps_to_itself(&browser).await;
}
