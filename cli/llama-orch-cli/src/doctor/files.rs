//! What the configuration speaks of: the token, the models, the disk they are on, the engines to start.
//!
//! Rules: ORCH-CLI-12

use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::time::Duration;

use config_schema::{Config, LoadRequest, PoolConfig, PoolModel, ServerSource};
use model_store::{Cancel, Env, ModelRef, Presence, Silent, Store};
use reqwest::Url;
use rustix::fs::{Access, access, statvfs};
use tokio::net::TcpStream;

use super::{Finding, Verdict};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::text;

/// With less than this a model of usual size cannot be fetched.
const LITTLE_DISK_BYTES: u64 = 10 << 30;
/// How long a server may take to accept a connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);
/// What a GGUF file begins with.
const GGUF_MAGIC: &[u8] = b"GGUF";

/// Where the token is, and who may read it.
pub fn token(config: &Config) -> Vec<Finding> {
    const CHECK: &str = "token";
    let Ok(request) = LoadRequest::of_process(None, Vec::new()) else { return Vec::new() };
    if request.env.get("LLAMA_ORCH_TOKEN").is_some_and(|token| !token.is_empty()) {
        return vec![Finding::ok(CHECK, "from LLAMA_ORCH_TOKEN")];
    }
    if config.access.token.is_some() {
        return vec![Finding::ok(CHECK, "from the configuration")];
    }
    let Some(dir) = request.user_config_dir() else {
        let hint = "set HOME, XDG_CONFIG_HOME or LLAMA_ORCH_TOKEN";
        return vec![Finding::fail(CHECK, "there is no home folder to keep it in", hint)];
    };
    vec![token_file(&dir.join("token"))]
}

fn token_file(path: &Path) -> Finding {
    const CHECK: &str = "token";
    let said = path.display().to_string();
    match path.metadata() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Finding::ok(CHECK, format!("{said}: not there yet, the daemon makes it at its first start"))
        }
        Err(error) => {
            Finding::fail(CHECK, format!("{said}: {error}"), "make its folder readable for this user")
        }
        Ok(_) if access(path, Access::READ_OK).is_err() => Finding::fail(
            CHECK,
            format!("{said}: this user may not read it"),
            "run as the user who runs the daemon, or set LLAMA_ORCH_TOKEN to the token",
        ),
        Ok(state) if is_open_to_others(&state) => Finding::warn(
            CHECK,
            format!("{said}: other users of this machine can read it"),
            format!("`chmod 600 {said}`; remove it and start the daemon anew if they may have"),
        ),
        Ok(_) => Finding::ok(CHECK, format!("{said}, readable by its owner alone")),
    }
}

#[cfg(unix)]
fn is_open_to_others(state: &Metadata) -> bool {
    std::os::unix::fs::PermissionsExt::mode(&state.permissions()) & 0o077 != 0
}

#[cfg(not(unix))]
fn is_open_to_others(_: &Metadata) -> bool {
    false
}

/// The file of each pool's model.
pub async fn models(config: &Config) -> Vec<Finding> {
    let config = config.clone();
    let looked = tokio::task::spawn_blocking(move || {
        let store = Store::new(config.models_dir.clone(), Env::of_process());
        config.pools.iter().filter_map(|pool| model(&store, pool)).collect()
    });
    looked.await.unwrap_or_default()
}

fn model(store: &Store, pool: &PoolConfig) -> Option<Finding> {
    const CHECK: &str = "model";
    let PoolModel::Reference(model) = &pool.model else { return None };
    let who = format!("pool {}: {model}", pool.id);
    let failed = |why: &str| {
        Finding::of(CHECK, Verdict::Fail, Failure::of_text(Exit::Failed, &format!("{who}: {why}")))
    };
    Some(match store.check(model, pool.sha256.as_deref(), &Silent, &Cancel::default()) {
        Err(error) => failed(&error.to_string()),
        Ok(Presence::Absent) => match model {
            ModelRef::File(_) => Finding::fail(
                CHECK,
                format!("{who} is not there"),
                "correct `model` in the configuration, or put the file there",
            ),
            _ => Finding::warn(
                CHECK,
                format!("{who} is not on this machine: the daemon fetches it when it is needed"),
                format!("`llama-orch models pull {model}` fetches it now"),
            ),
        },
        Ok(Presence::Wrong { path, found }) => Finding::fail(
            CHECK,
            format!("{who}: {} has the SHA-256 {found}, not the one in the configuration", path.display()),
            "fetch it anew, or correct the pool's `sha256`",
        ),
        Ok(Presence::Unchecked(path) | Presence::Right(path)) if !is_gguf(&path) => Finding::fail(
            CHECK,
            format!("{who}: {} is no GGUF file", path.display()),
            "the built-in engine reads GGUF: fetch the model in that format",
        ),
        Ok(Presence::Unchecked(path)) => {
            Finding::ok(CHECK, format!("{who}, {} (no checksum given)", size(&path)))
        }
        Ok(Presence::Right(path)) => Finding::ok(CHECK, format!("{who}, {}, checksum right", size(&path))),
    })
}

fn size(path: &Path) -> String {
    path.metadata().map(|state| text::bytes(state.len())).unwrap_or_default()
}

fn is_gguf(path: &Path) -> bool {
    let mut head = [0; GGUF_MAGIC.len()];
    let read = std::fs::File::open(path).and_then(|mut file| std::io::Read::read_exact(&mut file, &mut head));
    read.is_ok() && head == GGUF_MAGIC
}

/// The room for models.
pub fn disk(config: &Config) -> Finding {
    const CHECK: &str = "disk";
    let dir = &config.models_dir;
    let Some(there) = dir.ancestors().find(|path| path.exists()) else {
        return Finding::fail(
            CHECK,
            format!("`{}` has no folder above it", dir.display()),
            "correct `models_dir`",
        );
    };
    if access(there, Access::WRITE_OK).is_err() {
        let message = format!("`{}` cannot be written to", there.display());
        return Finding::fail(CHECK, message, "set `models_dir` (LLAMA_ORCH_MODELS) to a folder of your own");
    }
    match statvfs(there) {
        Ok(state) => {
            let free = state.f_bavail.saturating_mul(state.f_frsize);
            let said = format!("{} free for models in {}", text::bytes(free), dir.display());
            if free < LITTLE_DISK_BYTES {
                Finding::warn(
                    CHECK,
                    said,
                    "`llama-orch models` shows what is there, `models remove` gives it back",
                )
            } else {
                Finding::ok(CHECK, said)
            }
        }
        Err(error) => {
            Finding::warn(CHECK, format!("`{}`: {error}", there.display()), "look whether the disk is well")
        }
    }
}

/// The programs that pools are served by.
pub async fn engines(config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    for pool in &config.pools {
        match pool.server.as_ref().map(|server| &server.source) {
            Some(ServerSource::Command { command, .. }) => {
                findings.extend(command.first().map(|program| started(pool, program)));
            }
            Some(ServerSource::Urls(urls)) => {
                for url in urls {
                    findings.push(attached(pool, url).await);
                }
            }
            None => {}
        }
    }
    findings
}

fn started(pool: &PoolConfig, program: &str) -> Finding {
    let who = format!("pool {}: `{program}`", pool.id);
    match find_program(program, std::env::var_os("PATH").as_deref()) {
        Some(path) => Finding::ok("engine", format!("{who} is {}", path.display())),
        None => Finding::fail(
            "engine",
            format!("{who} is not found"),
            "install it, or write its whole path into `server.command`; a service has another PATH than a terminal",
        ),
    }
}

fn find_program(program: &str, path: Option<&std::ffi::OsStr>) -> Option<PathBuf> {
    let runs = |path: &PathBuf| path.is_file() && access(path, Access::EXEC_OK).is_ok();
    if program.contains('/') {
        return Some(PathBuf::from(program)).filter(runs);
    }
    std::env::split_paths(path?).map(|dir| dir.join(program)).find(runs)
}

async fn attached(pool: &PoolConfig, url: &str) -> Finding {
    let who = format!("pool {}: {} at {url}", pool.id, pool.engine.as_str());
    let hint = "start that server, or correct `server.url`; the pool is served as soon as it is there";
    let Some((host, port)) = host_and_port(url) else {
        return Finding::fail("engine", format!("{who}: this is no address"), hint);
    };
    match tokio::time::timeout(CONNECT_LIMIT, TcpStream::connect((host.as_str(), port))).await {
        Ok(Ok(_)) => Finding::ok("engine", format!("{who} listens")),
        Ok(Err(error)) => Finding::warn("engine", format!("{who} cannot be reached: {error}"), hint),
        Err(_) => {
            Finding::warn("engine", format!("{who} has not answered in {}", text::span(CONNECT_LIMIT)), hint)
        }
    }
}

fn host_and_port(url: &str) -> Option<(String, u16)> {
    let url = Url::parse(url).ok()?;
    let host = url.host_str()?.trim_start_matches('[').trim_end_matches(']').to_owned();
    Some((host, url.port_or_known_default()?))
}

#[cfg(test)]
mod tests;
