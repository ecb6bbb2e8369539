//! A daemon of a test's own: started, asked, signaled, killed when dropped.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use openapi_client::types::{Health, HealthStatus, TaskAccepted, TaskRequest};
use openapi_client::{Client, Events, Failure};
use uuid::Uuid;

use crate::metrics::Scrape;
use crate::stream::{Answer, read};
use crate::{executable, processes};

/// The API token of daemons under test.
pub const TOKEN: &str = "a-token-of-the-tests";

/// How long anything may take here that takes seconds on two busy cores.
pub const LIMIT: Duration = Duration::from_secs(120);

/// How often a state is asked for that is waited for.
const POLL: Duration = Duration::from_millis(20);

/// How a daemon is started.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    /// `--model`; none when absent, so that the configuration says.
    pub model: Option<String>,
    /// `--set`, each `option=value`.
    pub options: Vec<String>,
    /// The text of `llama-orch.yaml` in the working folder.
    pub config: Option<String>,
    /// Further arguments.
    pub args: Vec<String>,
    /// Further variables.
    pub env: Vec<(String, String)>,
}

impl Setup {
    /// The starter model, one thread (several that wait for each other on busy cores take many times as long), answers
    /// that go on although they repeat themselves, and these options.
    #[must_use]
    pub fn starter<S: AsRef<str>>(options: &[S]) -> Self {
        let model = Some(format!("file:{}", executable::model().display()));
        let given = options.iter().map(|option| option.as_ref().to_owned());
        let own = ["pools[0].threads=1", "pools[0].defaults.loop_tokens=0"].map(str::to_owned);
        let options = own.into_iter().chain(given).collect();
        Self { model, options, ..Self::default() }
    }

    /// The command, in a home folder of its own.
    fn command(&self, home: &Path) -> Command {
        let mut command = Command::new(executable::daemon());
        for name in std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()) {
            if name.starts_with("LLAMA_ORCH_") || name.starts_with("XDG_") {
                command.env_remove(name);
            }
        }
        if let Some(config) = &self.config {
            std::fs::write(home.join("llama-orch.yaml"), config).unwrap();
        }
        if let Some(model) = &self.model {
            command.args(["--model", model]);
        }
        for option in &self.options {
            command.args(["--set", option]);
        }
        command.args(&self.args).env("LLAMA_ORCH_TOKEN", TOKEN).env("HOME", home);
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command.current_dir(home).stdin(Stdio::null());
        command
    }

    /// Runs the command to its end: for what does not serve, such as `check-config`.
    #[must_use]
    pub fn run(&self) -> Output {
        let home = tempfile::tempdir().unwrap();
        self.command(home.path()).output().unwrap()
    }
}

/// A running daemon, killed when dropped.
#[derive(Debug)]
pub struct Daemon {
    /// Asks it with the token.
    pub client: Client,
    /// Asks it without the token, for what `client` cannot send.
    pub http: reqwest::Client,
    /// Where it listens, as `http://…`.
    pub url: String,
    child: Mutex<Child>,
    pid: u32,
    log: Arc<Mutex<Vec<String>>>,
    home: tempfile::TempDir,
}

impl Daemon {
    /// A daemon with the starter model and these options, which has become ready.
    pub async fn open<S: AsRef<str>>(options: &[S]) -> Self {
        let daemon = Self::start(&Setup::starter(options)).await;
        daemon.ready().await;
        daemon
    }

    /// A daemon that listens, on a free port; whether it will serve is another matter.
    ///
    /// # Panics
    /// When it ends instead, with its log.
    pub async fn start(setup: &Setup) -> Self {
        let home = tempfile::tempdir().unwrap();
        let mut command = setup.command(home.path());
        command.args(["--listen", "127.0.0.1:0", "--set", "log.format=json"]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let pid = child.id();
        let log = Arc::new(Mutex::new(Vec::new()));
        let (tell, told) = tokio::sync::oneshot::channel();
        let lines = BufReader::new(child.stderr.take().expect("standard error is piped")).lines();
        std::thread::spawn({
            let log = Arc::clone(&log);
            let mut tell = Some(tell);
            move || {
                for line in lines.map_while(Result::ok) {
                    if let Some(url) = listening(&line)
                        && let Some(tell) = tell.take()
                    {
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
        let with_token = openapi_client::http_client().default_headers(headers).no_proxy().build().unwrap();
        let http = openapi_client::http_client().no_proxy().build().unwrap();
        let client = Client::new_with_client(&url, with_token);
        Self { client, http, url, child: Mutex::new(child), pid, log, home }
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
                tokio::time::sleep(POLL).await;
            }
        };
        let came = tokio::time::timeout(LIMIT, waiting).await;
        came.unwrap_or_else(|_| panic!("never {what}:\n{}", self.log()))
    }

    /// Its health, with the token, whether it serves or not.
    ///
    /// # Panics
    /// When it does not answer.
    pub async fn health(&self) -> Health {
        let answer = self.http.get(format!("{}/health", self.url)).bearer_auth(TOKEN).send().await.unwrap();
        answer.json().await.unwrap()
    }

    /// Waits until no task runs or waits.
    pub async fn idle(&self) {
        let is_idle = |health: &Health| {
            health.pools.iter().flatten().all(|pool| {
                pool.queue.interactive.depth == 0
                    && pool.queue.batch.depth == 0
                    && pool.replicas.iter().all(|replica| replica.slots_busy == 0)
            })
        };
        self.until("idle", is_idle).await;
    }

    /// Its metrics.
    ///
    /// # Panics
    /// When it does not give them.
    pub async fn metrics(&self) -> Scrape {
        let answer = self.http.get(format!("{}/metrics", self.url)).bearer_auth(TOKEN).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        Scrape::parse(&answer.text().await.unwrap())
    }

    /// Waits until its log says so.
    pub async fn logged(&self, wanted: &str) {
        let waiting = async {
            while !self.log().contains(wanted) {
                tokio::time::sleep(POLL).await;
            }
        };
        let came = tokio::time::timeout(LIMIT, waiting).await;
        came.unwrap_or_else(|_| panic!("`{wanted}` is never logged:\n{}", self.log()));
    }

    /// Its log so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }

    /// Submits a task.
    ///
    /// # Errors
    /// What the daemon says instead.
    pub async fn submit(&self, task: &TaskRequest) -> Result<TaskAccepted, Failure> {
        let accepted = self.client.create_task(task).await;
        accepted.map(openapi_client::ResponseValue::into_inner).map_err(Failure::from)
    }

    /// Opens a task's stream.
    pub async fn events(&self, task: Uuid, last: Option<u64>) -> Events {
        self.client.events(task, last).await.unwrap()
    }

    /// Reads a task to its end, and checks what every stream has to keep.
    pub async fn read(&self, task: Uuid, last: Option<u64>) -> Answer {
        read(self.events(task, last).await, last).await
    }

    /// Submits a task and reads all of it.
    pub async fn ask(&self, task: &TaskRequest) -> Answer {
        let accepted = self.submit(task).await.unwrap();
        self.read(accepted.task_id, None).await
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.url.trim_start_matches("http://").parse().expect("it has said an address")
    }

    /// The processes of its replicas.
    #[must_use]
    pub fn workers(&self) -> Vec<u32> {
        processes::children_of(self.pid)
    }

    /// Its home and working folder.
    #[must_use]
    pub fn home(&self) -> PathBuf {
        self.home.path().to_owned()
    }

    /// Sends it a signal by its name (`TERM`).
    pub fn signal(&self, name: &str) {
        processes::signal(self.pid, name);
    }

    /// Whether its process has not ended.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.child.lock().unwrap().try_wait().unwrap().is_none()
    }

    /// Waits until its process has ended.
    pub async fn ended(&self) -> ExitStatus {
        let waiting = async {
            loop {
                let status = self.child.lock().unwrap().try_wait().unwrap();
                if let Some(status) = status {
                    return status;
                }
                tokio::time::sleep(POLL).await;
            }
        };
        let came = tokio::time::timeout(LIMIT, waiting).await;
        came.unwrap_or_else(|_| panic!("it does not end:\n{}", self.log()))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let child = self.child.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        let _ = child.kill();
        let _ = child.wait();
        if std::thread::panicking() {
            // Standard error may be closed: then there is nobody to tell.
            let _ = std::io::Write::write_fmt(
                &mut std::io::stderr(),
                format_args!("the daemon's log:\n{}\n", self.log()),
            );
        }
    }
}

/// The address that a line of the log tells.
fn listening(line: &str) -> Option<String> {
    let event = serde_json::from_str::<serde_json::Value>(line).ok()?;
    (event["message"] == "listening").then(|| event["url"].as_str().map(str::to_owned))?
}
