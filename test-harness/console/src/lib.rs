//! A headless Chromium of a test's own, driven as a person would: by what is on the page.
//!
//! The browser is `chromium` with its `chromedriver`; `cargo xtask browser` installs both where apt is there.
//! Where they are missing the tests say that they are skipped, unless `LLAMA_ORCH_TEST_BROWSER=required`, which
//! CI sets. With `LLAMA_ORCH_CONSOLE_SHOTS=FOLDER` they leave pictures of the views there.
#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test that cannot go on fails and says where; one that is skipped says so"
)]

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};

/// `required`: a missing browser fails the test.
const BROWSER_VARIABLE: &str = "LLAMA_ORCH_TEST_BROWSER";

/// Where pictures go.
const SHOTS_VARIABLE: &str = "LLAMA_ORCH_CONSOLE_SHOTS";

/// How long anything on the page may take: it asks the daemon once a second, and models load meanwhile.
pub const LIMIT: Duration = Duration::from_secs(90);

/// How often the page is looked at for what is waited for.
const POLL: Duration = Duration::from_millis(50);

/// The window of a person at a desk, and of one with a phone.
pub const DESK: (u32, u32) = (1440, 1000);
/// See [`DESK`].
pub const PHONE: (u32, u32) = (390, 844);

/// A browser with one window, ended when dropped.
pub struct Browser {
    client: Client,
    driver: Child,
    url: String,
    _profile: tempfile::TempDir,
}

impl Browser {
    /// A browser at the page of the daemon at `url`; nothing, said aloud, where there is no browser.
    pub async fn open(url: &str) -> Option<Self> {
        let (Some(driver), Some(browser)) = (find("chromedriver"), find("chromium")) else {
            assert!(
                std::env::var(BROWSER_VARIABLE).as_deref() != Ok("required"),
                "there is no `chromium` with `chromedriver`, and {BROWSER_VARIABLE} says that it is required"
            );
            eprintln!("SKIPPED: no `chromium` with `chromedriver`; `cargo xtask browser` installs them");
            return None;
        };
        let mut driver = Command::new(driver)
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(driver.stdout.take().expect("it is piped")).lines();
        let port = lines.map_while(Result::ok).find_map(|line| port_of(&line));
        let port = port.expect("chromedriver says on which port it listens");
        let profile = tempfile::tempdir().unwrap();
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities(&browser, profile.path()))
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .unwrap();
        let page = Self { client, driver, url: url.to_owned(), _profile: profile };
        page.resize(DESK).await;
        page.go("/").await;
        Some(page)
    }

    /// Opens a path of the daemon.
    pub async fn go(&self, path: &str) {
        self.client.goto(&format!("{}{path}", self.url)).await.unwrap();
    }

    /// Makes the window so large.
    pub async fn resize(&self, (width, height): (u32, u32)) {
        self.client.set_window_size(width, height).await.unwrap();
    }

    /// Clicks on what `css` selects, once it can be.
    pub async fn click(&self, css: &str) {
        self.until(&format!("`{css}` can be clicked"), async || {
            let Ok(element) = self.client.find(Locator::Css(css)).await else { return false };
            element.click().await.is_ok()
        })
        .await;
    }

    /// Clicks on the first button, or link, that says `text`.
    pub async fn press(&self, text: &str) {
        let path = format!("//*[self::button or self::a][normalize-space()='{text}']");
        self.until(&format!("`{text}` can be pressed"), async || {
            let Ok(element) = self.client.find(Locator::XPath(&path)).await else { return false };
            element.click().await.is_ok()
        })
        .await;
    }

    /// Writes into a field, in place of what is there.
    pub async fn write(&self, css: &str, text: &str) {
        // As a person does it: the page hears each key. It may draw the field anew meanwhile.
        self.until(&format!("`{css}` can be written into"), async || {
            let Ok(field) = self.client.find(Locator::Css(css)).await else { return false };
            field.click().await.is_ok()
                && field.send_keys("\u{e009}a\u{e000}\u{e017}").await.is_ok()
                && field.send_keys(text).await.is_ok()
        })
        .await;
    }

    /// Presses keys in a field.
    pub async fn keys(&self, css: &str, keys: &str) {
        self.client.find(Locator::Css(css)).await.unwrap().send_keys(keys).await.unwrap();
    }

    /// Waits until what `css` selects says `text`, and answers all that it says.
    pub async fn says(&self, css: &str, text: &str) -> String {
        let said = std::cell::RefCell::new(String::new());
        self.until(&format!("`{css}` says `{text}`"), async || {
            *said.borrow_mut() = self.text(css).await;
            said.borrow().contains(text)
        })
        .await;
        said.into_inner()
    }

    /// Waits until nothing is selected by `css`.
    pub async fn gone(&self, css: &str) {
        self.until(&format!("`{css}` is gone"), async || {
            self.client.find_all(Locator::Css(css)).await.is_ok_and(|found| found.is_empty())
        })
        .await;
    }

    /// Waits until something is selected by `css`.
    pub async fn shows(&self, css: &str) {
        self.until(&format!("`{css}` is there"), async || self.client.find(Locator::Css(css)).await.is_ok())
            .await;
    }

    /// What the elements that `css` selects say.
    pub async fn text(&self, css: &str) -> String {
        let script =
            "return [...document.querySelectorAll(arguments[0])].map((one) => one.innerText).join('\\n')";
        let said = self.client.execute(script, vec![json!(css)]).await.unwrap();
        said.as_str().unwrap_or_default().to_owned()
    }

    /// Runs a script in the page.
    pub async fn run(&self, script: &str) -> Value {
        self.client.execute(script, Vec::new()).await.unwrap()
    }

    /// Runs a script in the page with an argument; what it promises is awaited.
    pub async fn run_with(&self, script: &str, argument: &str) -> Value {
        self.client.execute(script, vec![json!(argument)]).await.unwrap()
    }

    /// Waits until `wanted`.
    ///
    /// # Panics
    /// When it does not come within [`LIMIT`], with what the page says instead.
    pub async fn until(&self, what: &str, mut wanted: impl AsyncFnMut() -> bool) {
        let waiting = async {
            while !wanted().await {
                tokio::time::sleep(POLL).await;
            }
        };
        if tokio::time::timeout(LIMIT, waiting).await.is_err() {
            panic!("never: {what}; the page says:\n{}", self.text("body").await);
        }
    }

    /// The theme that a person has chosen, as the page keeps it.
    pub async fn theme(&self, theme: &str) {
        self.run(&format!("document.documentElement.dataset.theme = '{theme}'")).await;
    }

    /// A picture of the window, where pictures are wanted.
    pub async fn shoot(&self, name: &str) {
        let Some(folder) = std::env::var_os(SHOTS_VARIABLE).map(PathBuf::from) else { return };
        std::fs::create_dir_all(&folder).unwrap();
        let picture = self.client.screenshot().await.unwrap();
        std::fs::write(folder.join(format!("{name}.png")), picture).unwrap();
    }

    /// Every address that the page has asked for something, but for the daemon's own.
    pub async fn strangers(&self) -> Vec<String> {
        let script = "return performance.getEntriesByType('resource').map((one) => one.name)";
        let asked = self.run(script).await;
        let asked = asked.as_array().unwrap().iter().map(|one| one.as_str().unwrap().to_owned());
        asked.filter(|one| !one.starts_with(&self.url)).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The browser would outlive its driver.
        for browser in harness::processes::children_of(self.driver.id()) {
            harness::processes::signal(browser, "KILL");
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

fn capabilities(browser: &std::path::Path, profile: &std::path::Path) -> serde_json::Map<String, Value> {
    let profile = format!("--user-data-dir={}", profile.display());
    let options = json!({
        "binary": browser,
        "args": [
            "--headless=new",
            // Tests run as root in containers, where the browser's own sandbox cannot.
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--disable-gpu",
            "--hide-scrollbars",
            "--force-color-profile=srgb",
            "--lang=en-US",
            profile,
        ],
    });
    serde_json::Map::from_iter([("goog:chromeOptions".to_owned(), options)])
}

fn port_of(line: &str) -> Option<u16> {
    line.strip_prefix("ChromeDriver was started successfully on port ")?.trim_end_matches('.').parse().ok()
}

fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}
