//! From what was written to what is meant: texts become addresses, references and paths, absent values
//! become their defaults, and what only shows when two options are seen together is checked.
//!
//! Rules: ORCH-CONF-1

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Component, Path as FilePath, PathBuf};
use std::time::Duration;

use crate::check::Check;
use crate::config::{
    Access, Config, LimitsConfig, LogConfig, SessionsConfig, StreamConfig, Token, WorkerConfig,
};
use crate::raw;
use crate::tree::{Node, Origin, Path};

mod engine_options;
mod ollama;
mod pool;
mod server;

pub use pool::DEFAULT_SLOTS;
pub use server::fill_variables;

const BYTES_PER_MB: u64 = 1024 * 1024;
const BYTES_PER_KB: u64 = 1024;

/// Where paths start from.
pub(crate) struct Places<'a> {
    /// The folder of the file, for paths written in it.
    pub(crate) file_dir: &'a FilePath,
    /// The working folder, for paths from the environment and the command line.
    pub(crate) cwd: &'a FilePath,
    /// The home folder, for `~/`.
    pub(crate) home: Option<&'a FilePath>,
    /// The environment, for variables in values.
    pub(crate) env: &'a BTreeMap<String, String>,
    /// Where models are kept when nothing says otherwise.
    pub(crate) default_models_dir: &'a FilePath,
}

/// Resolves a file that fits its shape; nothing when something was reported.
pub(crate) fn resolve(
    file: &raw::File,
    root: &Node,
    places: &Places<'_>,
    check: &mut Check<'_>,
) -> Option<Config> {
    let listen = listen(file, check);
    let ollama = ollama::resolve(&file.ollama, listen, check);
    let token = token(file, check);
    check_origins(file, check);
    let models_dir = models_dir(file, root, places, check);
    let log_file = log_file(file, root, places, check);
    let pools = pool::pools(file, root, places, check);
    if Duration::from_millis(file.worker.restart.min_ms) > span(file.worker.restart.max_s) {
        let restart = &file.worker.restart;
        let message = format!(
            "`worker.restart.min_ms` is `{}`, which is more than `worker.restart.max_s` (`{}`)",
            restart.min_ms, restart.max_s
        );
        check.report(&at("worker.restart.min_ms"), message, None);
    }
    for name in file.sampler_profiles.keys().filter(|name| name.is_empty()) {
        check.report(&at("sampler_profiles").key(name), "a sampler profile needs a name".to_owned(), None);
    }
    if !check.problems.is_empty() {
        return None;
    }
    Some(Config {
        access: Access {
            listen: listen?,
            allow_non_loopback: file.allow_non_loopback,
            allowed_hosts: file.allowed_hosts.clone(),
            allowed_origins: file.allowed_origins.clone(),
            image_hosts: file.image_hosts.clone(),
            token,
        },
        ollama: ollama?,
        models_dir: models_dir?,
        pools,
        sampler_profiles: file.sampler_profiles.clone(),
        stream: StreamConfig {
            keep_finished: span(file.stream.keep_finished_s),
            keep_finished_tasks: file.stream.keep_finished_tasks,
            keep_finished_bytes: u64::from(file.stream.keep_finished_mb) * BYTES_PER_MB,
            keepalive: span(file.stream.keepalive_s),
        },
        sessions: SessionsConfig { ttl: span(file.sessions.ttl_s), max: file.sessions.max },
        limits: LimitsConfig {
            body_bytes: u64::from(file.limits.body_mb) * BYTES_PER_MB,
            connections: file.limits.connections,
            streams: file.limits.streams,
            header_timeout: span(file.limits.header_timeout_s),
            authentication_timeout: span(file.limits.authentication_timeout_s),
            write_timeout: span(file.limits.write_timeout_s),
            header_bytes: u64::from(file.limits.header_kb) * BYTES_PER_KB,
        },
        shutdown_grace: span(file.shutdown.grace_s),
        worker: WorkerConfig {
            load_timeout: span(file.worker.load_timeout_s),
            memory_margin_bytes: u64::from(file.worker.memory_margin_mb) * BYTES_PER_MB,
            hang_after: span(file.worker.hang_after_s),
            restart_min: Duration::from_millis(file.worker.restart.min_ms),
            restart_max: span(file.worker.restart.max_s),
            restart_waiting_max: span(file.worker.restart.waiting_max_s),
        },
        log: LogConfig { level: file.log.level, format: file.log.format, file: log_file },
    })
}

fn listen(file: &raw::File, check: &mut Check<'_>) -> Option<SocketAddr> {
    let text = &file.listen;
    let address = address("listen", text, "127.0.0.1:6173", check)?;
    if !is_loopback(address) && !file.allow_non_loopback {
        let message = format!("`listen` is `{text}`, an address that other machines can reach");
        let hint = "set `allow_non_loopback: true` (LLAMA_ORCH_ALLOW_NON_LOOPBACK=true) if that is meant, or \
                    listen on 127.0.0.1";
        check.report(&at("listen"), message, Some(hint.to_owned()));
        return None;
    }
    Some(address)
}

/// The address that an option says, as in `example`.
fn address(option: &str, text: &str, example: &str, check: &mut Check<'_>) -> Option<SocketAddr> {
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    let hint = match text.strip_prefix("localhost") {
        Some(rest) if rest.starts_with(':') => format!("write `127.0.0.1{rest}`"),
        _ => format!("write it as `{example}`, or `{}` for IPv6", example.replace("127.0.0.1", "[::1]")),
    };
    let message = format!("`{option}` is `{text}`; it must be an IP address and a port");
    check.report(&at(option), message, Some(hint));
    None
}

fn is_loopback(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

fn token(file: &raw::File, check: &mut Check<'_>) -> Option<Token> {
    let token = Token::new(file.token.as_ref()?);
    if token.is_none() {
        let message = "`token` has characters in it that an HTTP header cannot carry".to_owned();
        check.report(
            &at("token"),
            message,
            Some("use letters, digits and punctuation of ASCII, no spaces".to_owned()),
        );
    }
    token
}

/// An origin has a scheme and a host, perhaps a port, and nothing else: browsers send it so.
fn check_origins(file: &raw::File, check: &mut Check<'_>) {
    for (place, origin) in file.allowed_origins.iter().enumerate() {
        let named = origin.split_once("://").is_some_and(|(scheme, host)| {
            let of_scheme = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
            let of_host = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
            !scheme.is_empty()
                && scheme.chars().all(of_scheme)
                && !host.is_empty()
                && (host == "*" || host.chars().all(of_host))
        });
        if !named && origin != "*" && origin != "null" {
            let message = format!("`allowed_origins[{place}]` is `{origin}`; it must be an origin");
            let hint = "write scheme, host and port as the browser sends them: `https://chat.example:8443`, without a \
                        path; or `app://*`, `null`, `*`";
            check.report(&at("allowed_origins").index(place), message, Some(hint.to_owned()));
        }
    }
}

fn models_dir(file: &raw::File, root: &Node, places: &Places<'_>, check: &mut Check<'_>) -> Option<PathBuf> {
    match &file.models_dir {
        Some(dir) => places.absolute(FilePath::new(dir), &at("models_dir"), root, check),
        None => Some(places.default_models_dir.to_owned()),
    }
}

fn log_file(file: &raw::File, root: &Node, places: &Places<'_>, check: &mut Check<'_>) -> Option<PathBuf> {
    places.absolute(FilePath::new(file.log.file.as_ref()?), &at("log.file"), root, check)
}

impl Places<'_> {
    /// A path made absolute: from the home folder, from the folder of the file it is written in, or from
    /// the working folder.
    fn absolute(
        &self,
        path: &FilePath,
        option: &Path,
        root: &Node,
        check: &mut Check<'_>,
    ) -> Option<PathBuf> {
        let base = if let Ok(rest) = path.strip_prefix("~") {
            let Some(home) = self.home else {
                let message = format!("`{option}` is `{}`, but there is no home folder", path.display());
                check.report(option, message, Some("write the path out, or set HOME".to_owned()));
                return None;
            };
            return Some(tidy(&home.join(rest)));
        } else if matches!(root.origin_of(option), Origin::File { .. }) {
            self.file_dir
        } else {
            self.cwd
        };
        Some(tidy(&base.join(path)))
    }
}

/// The path without `.` parts. `..` stays: what it means depends on links.
fn tidy(path: &FilePath) -> PathBuf {
    path.components().filter(|part| *part != Component::CurDir).collect()
}

fn at(path: &str) -> Path {
    Path::parse(path).expect("a path of this crate's own")
}

fn span(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}
