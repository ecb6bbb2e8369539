//! A daemon of a test's own: started, asked, killed.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use openapi_client::types::{
    EndEvent, Health, HealthStatus, LogitBias, Message, Priority, Role, Sampling, TaskAccepted, TaskRequest,
};
use openapi_client::{Client, Event, Events, Failure};
use uuid::Uuid;

const TOKEN: &str = "a-token-of-the-tests";

/// How long anything may take here that takes seconds on two busy cores.
pub const LIMIT: Duration = Duration::from_secs(120);

/// A running daemon, killed when dropped.
pub struct House {
    pub client: Client,
    pub url: String,
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
    _home: tempfile::TempDir,
}

/// All that a task said.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    pub text: String,
    pub tokens: Vec<String>,
    pub end: EndEvent,
}

/// The starter model's file.
pub fn model() -> PathBuf {
    let named = std::env::var_os("LLAMA_ORCH_TEST_MODEL").map(PathBuf::from);
    let path = named.or_else(|| {
        let surroundings = model_store::Surroundings::of_process();
        let folder = model_store::default_models_dir(&surroundings)?;
        model_store::Store::new(folder, surroundings).locate(&model_store::ModelRef::Starter)
    });
    let path = path.filter(|path| path.is_file());
    path.expect("the starter model is not on this machine: run `cargo xtask fetch-starter`")
}

impl House {
    /// A daemon with the starter model and these options, which has become ready.
    pub async fn open(options: &[&str]) -> Self {
        let model = format!("file:{}", model().display());
        // One thread: several that wait for each other on busy cores take many times as long.
        let options = [&["pools[0].threads=1"], options].concat();
        let house = Self::start(&model, &options).await;
        house.ready().await;
        house
    }

    /// A daemon that listens; its model may be anything.
    pub async fn start(model: &str, options: &[&str]) -> Self {
        let home = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_orchestratord"));
        command.args(["--listen", "127.0.0.1:0", "--set", "log.format=json", "--model", model]);
        for option in options {
            command.args(["--set", option]);
        }
        command.env("LLAMA_ORCH_TOKEN", TOKEN).env("HOME", home.path()).env_remove("XDG_CONFIG_HOME");
        command.current_dir(home.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let log = Arc::new(Mutex::new(Vec::new()));
        let (tell, told) = tokio::sync::oneshot::channel();
        std::thread::spawn({
            let log = Arc::clone(&log);
            let mut tell = Some(tell);
            move || {
                for line in lines.map_while(Result::ok) {
                    let url = serde_json::from_str::<serde_json::Value>(&line)
                        .ok()
                        .filter(|event| event["message"] == "listening")
                        .and_then(|event| event["url"].as_str().map(str::to_owned));
                    if let (Some(url), Some(tell)) = (url, tell.take_if(|_| line.contains("listening"))) {
                        let _ = tell.send(url);
                    }
                    log.lock().unwrap().push(line);
                }
            }
        });
        let url = tokio::time::timeout(LIMIT, told).await.expect("it listens in time").unwrap_or_else(|_| {
            panic!("it ended before it listened:\n{}", log.lock().unwrap().join("\n"));
        });
        let mut headers = reqwest::header::HeaderMap::new();
        headers.insert("authorization", format!("Bearer {TOKEN}").parse().unwrap());
        let http = reqwest::Client::builder().default_headers(headers).no_proxy().build().unwrap();
        let client = Client::new_with_client(&url, http);
        Self { client, url, child, log, _home: home }
    }

    /// Waits until it serves.
    pub async fn ready(&self) {
        self.until("ready", |health| health.status == HealthStatus::Ok).await;
    }

    /// Waits until its health is so.
    pub async fn until(&self, what: &str, wanted: impl Fn(&Health) -> bool) -> Health {
        let waiting = async {
            loop {
                let health = self.health().await;
                if wanted(&health) {
                    return health;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let came = tokio::time::timeout(LIMIT, waiting).await;
        came.unwrap_or_else(|_| panic!("never {what}:\n{}", self.log()))
    }

    /// Its health, with the token, whether it serves or not.
    pub async fn health(&self) -> Health {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let answer = http.get(format!("{}/health", self.url)).bearer_auth(TOKEN).send().await.unwrap();
        answer.json().await.unwrap()
    }

    /// Waits until its log says so.
    pub async fn logged(&self, wanted: &str) {
        let waiting = async {
            while !self.log().contains(wanted) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let came = tokio::time::timeout(LIMIT, waiting).await;
        came.unwrap_or_else(|_| panic!("`{wanted}` is never logged:\n{}", self.log()));
    }

    pub fn log(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }

    pub async fn submit(&self, task: &TaskRequest) -> Result<TaskAccepted, Failure> {
        self.client
            .create_task(task)
            .await
            .map(openapi_client::ResponseValue::into_inner)
            .map_err(Failure::from)
    }

    pub async fn events(&self, task: Uuid, last: Option<u64>) -> Events {
        self.client.events(task, last).await.unwrap()
    }

    /// Submits a task and reads all of it.
    pub async fn ask(&self, task: &TaskRequest) -> Answer {
        let accepted = self.submit(task).await.unwrap();
        self.read(accepted.task_id, None).await
    }

    /// Reads a task to its end, and checks what every stream has to keep.
    pub async fn read(&self, task: Uuid, last: Option<u64>) -> Answer {
        read(self.events(task, last).await, last).await
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The processes of its replicas.
    pub fn workers(&self) -> Vec<u32> {
        children_of(self.pid())
    }

    pub fn signal(&self, signal: &str) {
        signal_process(self.pid(), signal);
    }

    /// Waits until the process has ended.
    pub async fn ended(&mut self) -> ExitStatus {
        let waiting = async {
            loop {
                if let Some(status) = self.child.try_wait().unwrap() {
                    return status;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(LIMIT, waiting).await.expect("it ends in time")
    }
}

impl Drop for House {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("the daemon's log:\n{}", self.log.lock().unwrap().join("\n"));
        }
    }
}

/// Reads a stream to its end: `started` first, tokens without a gap, one `end`, nothing after it.
pub async fn read(mut events: Events, last: Option<u64>) -> Answer {
    let mut tokens = Vec::new();
    let first = events.next().await.expect("something comes").unwrap();
    assert!(matches!(first, Event::Started(_)), "{first:?}");
    loop {
        match events.next().await.expect("the end comes").unwrap() {
            Event::Started(_) => panic!("`started` comes once"),
            Event::Token(token) => {
                let expected = last.map_or(0, |last| last + 1) + tokens.len() as u64;
                assert_eq!(token.i, expected, "indices have no gap");
                tokens.push(token.t);
            }
            Event::End(end) => {
                assert!(events.next().await.is_none(), "nothing comes after the end");
                return Answer { text: tokens.concat(), tokens, end };
            }
        }
    }
}

/// A greedy task with one user message.
pub fn chat(text: &str, max_tokens: u32) -> TaskRequest {
    let message = Message { role: Role::User, content: text.to_owned() };
    TaskRequest { messages: Some(vec![message]), ..greedy(max_tokens) }
}

/// A greedy task that goes on from a text.
pub fn prompt(text: &str, max_tokens: u32) -> TaskRequest {
    TaskRequest { prompt: Some(text.to_owned()), ..greedy(max_tokens) }
}

/// A task that does not end by itself: the tokens that end an answer (0 and 2 of the starter model) are banned.
pub fn endless(max_tokens: u32) -> TaskRequest {
    let mut task = prompt("Count: one two three", max_tokens);
    let ban = |token| LogitBias { token, bias: -100.0 };
    task.sampling.get_or_insert_default().logit_bias = Some(vec![ban(0), ban(2)]);
    task
}

/// The same task in the batch lane.
pub fn batch(task: TaskRequest) -> TaskRequest {
    TaskRequest { priority: Some(Priority::Batch), ..task }
}

/// A text of about so many tokens.
pub fn text_of(tokens: usize) -> String {
    "The quick brown fox jumps over the lazy dog. ".repeat(tokens / 10)
}

fn greedy(max_tokens: u32) -> TaskRequest {
    let sampling = Sampling { temperature: Some(0.0), ..Sampling::default() };
    TaskRequest { max_tokens: Some(max_tokens), sampling: Some(sampling), ..TaskRequest::default() }
}

/// The processes whose parent is `pid`.
pub fn children_of(pid: u32) -> Vec<u32> {
    let processes = std::fs::read_dir("/proc").unwrap();
    let pids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|child| stat(*child).is_some_and(|(state, parent)| parent == pid && state != 'Z')).collect()
}

/// Whether a process is there and no zombie.
pub fn is_alive(pid: u32) -> bool {
    stat(pid).is_some_and(|(state, _)| state != 'Z')
}

/// A process's state and parent.
fn stat(pid: u32) -> Option<(char, u32)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in brackets and may hold anything, so the fields are counted from behind it.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

/// Resident memory of a process in KiB.
pub fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Open files of a process.
pub fn open_files(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

pub fn signal_process(pid: u32, signal: &str) {
    let sent = Command::new("kill").args([&format!("-{signal}"), &pid.to_string()]).status().unwrap();
    assert!(sent.success());
}
