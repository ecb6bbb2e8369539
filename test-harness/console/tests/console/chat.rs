//! Conversations: kept in the browser, changed, exported and deleted; what models write, as it is shown.

use std::net::TcpListener;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use console_tests::{Browser, PHONE};
use harness::{Daemon, Setup};
use serde_json::Value;

use crate::{enter, entered, keeps_to_itself};

/// The Enter key.
const ENTER: &str = "\u{e007}";

/// Asks in the conversation that is open, for so many tokens of an answer.
async fn ask(browser: &Browser, question: &str, max_tokens: u32) {
    browser.write("#max_tokens", &max_tokens.to_string()).await;
    browser.write("#question", question).await;
    browser.keys("#question", ENTER).await;
}

/// Chooses something of the conversation's menu.
async fn choose(browser: &Browser, item: &str) {
    browser.click(".menu summary").await;
    browser.press(item).await;
}

/// ORCH-CON-8, ORCH-CON-9
#[tokio::test]
async fn conversations_are_kept_in_the_browser_renamed_exported_and_deleted() {
    let Some((_daemon, browser)) = entered(&[]).await else { return };
    browser.press("Chat").await;
    ask(&browser, "What is a lighthouse?", 16).await;
    browser.says(".turn footer", "tokens").await;
    browser.press("New conversation").await;
    ask(&browser, "And what is a harbour?", 16).await;
    browser.says(".turn footer", "tokens").await;

    browser.go("/#/chat").await;
    browser.says(".chats li:nth-child(1)", "harbour").await;
    browser.click(".chats li:nth-child(2) a").await;
    browser.says(".turns", "What is a lighthouse?").await;
    let answer = browser.text(".said.model .markdown").await;
    choose(&browser, "Rename…").await;
    browser.write("#title", "Of lights").await;
    browser.keys("#title", ENTER).await;
    browser.says(".chats", "Of lights").await;

    browser.run("window.saved = []; URL.createObjectURL = (blob) => { void blob.text().then((text) => saved.push(text)); return 'blob:saved'; }").await;
    choose(&browser, "Export as Markdown").await;
    choose(&browser, "Export as JSON").await;
    browser.until("both are exported", async || browser.run("return saved.length").await == 2).await;
    let saved = browser.run("return saved.sort()").await;
    let markdown = saved[0].as_str().unwrap();
    assert!(markdown.starts_with("# Of lights\n\n## You\n\nWhat is a lighthouse?"), "{markdown}");
    assert!(markdown.contains(answer.split('\n').next().unwrap()), "{markdown} has {answer}");
    let json: Value = serde_json::from_str(saved[1].as_str().unwrap()).unwrap();
    assert_eq!(json["conversations"][0]["turns"][0]["question"], "What is a lighthouse?");

    choose(&browser, "Delete…").await;
    browser.press("Not now").await;
    browser.says(".turns", "What is a lighthouse?").await;
    choose(&browser, "Delete…").await;
    browser.press("Delete").await;
    browser.says(".hello", "Ask the model something").await;
    browser.go("/#/chat").await;
    let left = browser.says(".chats", "harbour").await;
    assert!(!left.contains("Of lights"), "{left}");
    browser.press("Delete all").await;
    browser.press("Delete 1").await;
    browser.gone(".chats li").await;
    keeps_to_itself(&browser).await;
}

/// ORCH-CON-8
#[tokio::test]
async fn an_answer_goes_on_while_its_page_is_closed() {
    let Some((daemon, browser)) = entered(&[]).await else { return };
    browser.press("Chat").await;
    ask(&browser, "Tell me a very long story about a lighthouse.", 2000).await;
    browser.says(".times", "Between tokens").await;
    let begun = browser.text(".said.model .markdown").await;
    browser.go("/console/icon.svg").await;
    browser.go("/#/chat").await;
    browser.click(".chats li a").await;
    browser
        .until("the answer is there, and more of it", async || {
            browser.text(".said.model .markdown").await.len() > begun.len() + 20
        })
        .await;
    let counts = browser
        .run("return fetch('/v1/tasks').then((list) => list.json()).then((list) => list.counts)")
        .await;
    assert_eq!((&counts["running"], &counts["ended"]), (&1.into(), &0.into()), "it is the same task");
    browser.press("Stop").await;
    browser.says(".turn footer", "stopped").await;
    daemon.idle().await;
}

/// ORCH-CON-8, ORCH-CON-9
#[tokio::test]
async fn a_message_is_edited_and_an_answer_regenerated() {
    let Some((_daemon, browser)) = entered(&[]).await else { return };
    browser.press("Chat").await;
    ask(&browser, "Say hello.", 8).await;
    browser.says(".turn footer", "tokens").await;
    browser.press("Regenerate").await;
    browser.says(".variants", "2 of 2").await;
    browser.says(".turn footer", "tokens").await;
    browser.click("[aria-label='Earlier answer']").await;
    browser.says(".variants", "1 of 2").await;
    ask(&browser, "Say goodbye.", 8).await;
    browser.says(".turn:nth-of-type(2) footer", "tokens").await;

    browser.press("Edit").await;
    browser.write(".editing textarea", "Say good morning.").await;
    browser.keys(".editing textarea", ENTER).await;
    browser.press("Not now").await;
    browser.says(".turns", "Say goodbye.").await;
    browser.press("Edit").await;
    browser.write(".editing textarea", "Say good morning.").await;
    browser.keys(".editing textarea", ENTER).await;
    browser.press("Edit and send").await;
    browser.gone(".turn:nth-of-type(2)").await;
    browser.says(".turns", "Say good morning.").await;
    browser.says(".turn footer", "tokens").await;
}

/// ORCH-CON-11
#[tokio::test]
async fn a_raw_text_is_continued_and_taken_back() {
    let Some((_daemon, browser)) = entered(&[]).await else { return };
    browser.press("Chat").await;
    browser.write("#max_tokens", "12").await;
    browser.press("Continue a raw text instead").await;
    browser.write("#raw-text", "The sky is blue because").await;
    browser.press("Continue").await;
    browser.says(".raw-state", "12 tokens").await;
    let text = || async { browser.run("return document.querySelector('#raw-text').value").await };
    let continued = text().await.as_str().unwrap().to_owned();
    assert!(continued.starts_with("The sky is blue because") && continued.len() > 30, "{continued}");
    browser.shoot("raw-text").await;
    let asked = browser.run("return fetch('/v1/tasks').then((list) => list.json()).then(({ tasks }) => fetch(`/v1/tasks/${tasks[0].task_id}`)).then((one) => one.json()).then(({ input }) => input.parts)").await;
    assert_eq!(asked, serde_json::json!([{ "text": "The sky is blue because" }]), "no template is around it");
    browser.press("Undo").await;
    assert_eq!(text().await, "The sky is blue because");
}

/// What stands in the browser's database of conversations, with this answer.
const KEPT: &str = r"
    const answer = { text: arguments[0], reasoning: 'The user asks.', calls: [{ name: 'get_weather', arguments: '{\'city\':\'Paris\'}'.replaceAll('\'', '\x22') }], pool: 'default', task: null, asked_at: 1, timings: { asked: 0, tokens: [] }, end: { tokens_out: 9, decode_ms: 9, tokens_in: 9, queue_ms: 9, finish_reason: 'stop' }, problem: null };
    const chat = { id: 'kept', kind: 'chat', title: 'Kept', named: true, created: 1, updated: 1, session: '0b7c1a52-3d44-4f0e-8b1a-5a6c7d8e9f01', settings: { pool: '', priority: 'interactive', system: '', max_tokens: '', temperature: '', top_p: '', top_k: '', min_p: '', repeat_penalty: '', seed: '', stop: '', json_schema: '' }, turns: [{ id: 'turn', question: 'Show me.', images: [], answers: [answer], chosen: 0 }], text: '', last: null };
    return new Promise((resolve) => {
        const opening = indexedDB.open('llama-orch', 1);
        opening.onsuccess = () => {
            const writing = opening.result.transaction(['heads', 'chats'], 'readwrite');
            writing.objectStore('chats').put(chat);
            writing.objectStore('heads').put({ id: 'kept', kind: 'chat', title: 'Kept', updated: 1 });
            writing.oncomplete = () => (opening.result.close(), resolve(true));
        };
    });
";

/// ORCH-CON-10
#[tokio::test]
async fn what_a_model_writes_is_drawn_and_nothing_of_it_runs_or_is_fetched() {
    let Some((_daemon, browser)) = entered(&[]).await else { return };
    browser.press("Chat").await;
    browser.says(".chats", "Conversations appear here").await;
    let text = "# A *title*\n\n1. one\n   - nested\n2. two\n\n| a | b |\n|--|--:|\n| 1 | 2 |\n\n```python\nprint('<b>')\n```\n\n\
                <script>window.ran = 1</script>\n\nAn <img src=x onerror='window.ran = 2'> and ![picture](https://example.org/p.png), \
                [good](https://example.org/page) and [bad](javascript:window.ran=3). AT&amp;T\n";
    browser.run_with(KEPT, text).await;
    browser.go("/#/chat/kept").await;
    browser.says(".markdown h4 em", "title").await;
    assert_eq!(browser.text(".markdown ol > li > ul > li").await, "nested");
    assert_eq!(browser.text(".markdown td.align-right").await, "2");
    assert_eq!(browser.text(".code-block code").await.lines().next(), Some("print('<b>')"));
    let shown = browser.text(".markdown").await;
    assert!(shown.contains("<script>window.ran = 1</script>") && shown.contains("AT&T"), "{shown}");
    let links =
        browser.run("return [...document.querySelectorAll('.markdown a')].map((one) => one.href)").await;
    assert_eq!(links, serde_json::json!(["https://example.org/p.png", "https://example.org/page"]));
    assert_eq!(browser.run("return window.ran ?? 'nothing'").await, "nothing");
    assert_eq!(browser.run("return document.querySelectorAll('.turns img, .turns script').length").await, 0);
    browser.says(".call", "get_weather").await;
    browser.says(".call code", "\"city\": \"Paris\"").await;
    browser.says(".reasoning summary", "Reasoning").await;
    browser.click(".code-block .copy").await;
    browser.says(".code-block .copy", "Copied").await;
    browser.shoot("markdown").await;
    browser.resize(PHONE).await;
    let wide = browser.run("return document.documentElement.scrollWidth - innerWidth").await;
    assert!(wide.as_i64().unwrap() <= 0, "it fits a phone: {wide}");
    browser.shoot("chat-phone").await;
    keeps_to_itself(&browser).await;
}

/// ORCH-CON-5
#[tokio::test]
async fn an_image_goes_with_a_message_to_a_model_that_takes_images() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let engine = listener.local_addr().unwrap();
    std::thread::spawn(move || harness::engine::serve(&listener));
    let config = format!(
        "pools: [{{id: sees, engine: vllm, model: m, slots: 1, server: {{url: 'http://{engine}'}}}}]\n"
    );
    let daemon = Daemon::start(&Setup { config: Some(config), ..Setup::default() }).await;
    daemon.ready().await;
    let Some(browser) = Browser::open(&daemon.url).await else { return };
    enter(&browser).await;
    browser.press("Chat").await;
    let picture = daemon.home().join("dot.png");
    let dot = browser.run("const canvas = document.createElement('canvas'); canvas.width = 40; canvas.height = 30; canvas.getContext('2d').fillRect(0, 0, 40, 30); return canvas.toDataURL('image/png').split(',')[1]").await;
    std::fs::write(&picture, BASE64_STANDARD.decode(dot.as_str().unwrap()).unwrap()).unwrap();
    browser.shows("#image-files").await;
    browser.keys("#image-files", &picture.display().to_string()).await;
    browser.shows(".composer .images img").await;
    ask(&browser, "What is in it?", 5).await;
    browser.says(".turn footer", "tokens").await;
    assert_eq!(browser.text(".said.model .markdown").await.trim(), "token token token token token");
    browser
        .until("the image is shown", async || {
            browser.run("return document.querySelector('.said.user img')?.naturalWidth").await == 40
        })
        .await;
    keeps_to_itself(&browser).await;
}
