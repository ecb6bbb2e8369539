//! Asks what listens on the daemon's port: one small HTTP request, nothing kept open.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::exit::{self, Stop};

/// How long one question may take.
const LIMIT: Duration = Duration::from_secs(3);
/// The most of an answer that is read.
const MAX_ANSWER_BYTES: u64 = 1024 * 1024;

/// What `/health` said.
#[derive(Clone, Debug, PartialEq)]
pub struct Health {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: Value,
}

impl Health {
    /// Whether tasks can be served.
    pub fn is_ready(&self) -> bool {
        self.status == 200
    }

    /// Whether nothing that could serve is on its way either.
    pub fn is_hopeless(&self) -> bool {
        self.body["status"] == "unavailable"
    }

    /// Whether it has what only the holder of the token is told.
    fn knows_us(&self) -> bool {
        self.body["version"].is_string() && self.body["pools"].is_array()
    }

    /// The state in words: of the first replica, else of the pool, else of the daemon.
    pub fn in_words(&self) -> String {
        let pool = &self.body["pools"][0];
        let one = Some(&pool["replicas"][0]).filter(|replica| replica.is_object()).unwrap_or(pool);
        let name = one["id"].as_str().unwrap_or("daemon");
        let state = one["state"].as_str().or(self.body["status"].as_str()).unwrap_or("unknown");
        match one["reason"].as_str().or(pool["reason"].as_str()) {
            Some(reason) => format!("{name}: {state}: {reason}"),
            None => format!("{name}: {state}"),
        }
    }
}

/// Asks on one address.
pub struct Probe {
    address: SocketAddr,
}

impl Probe {
    /// Asks on this port of 127.0.0.1.
    pub const fn new(port: u16) -> Self {
        Self { address: SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), port) }
    }

    /// Asks on a port of 127.0.0.1 that nothing listens on.
    ///
    /// # Errors
    /// When there is none.
    pub fn on_a_free_port() -> anyhow::Result<Self> {
        let socket =
            std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("there is no free port")?;
        Ok(Self::new(socket.local_addr().context("a socket has no address")?.port()))
    }

    /// The address, as `IP:PORT`.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address, as clients write it.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What a shell puts where the token goes.
    pub fn token_for_shell(&self) -> String {
        if std::env::var_os("LLAMA_ORCH_TOKEN").is_some() {
            "$LLAMA_ORCH_TOKEN".to_owned()
        } else {
            format!("$(cat {})", token_file().display())
        }
    }

    /// Whether our own daemon listens there, with this user's token. Not when nothing does.
    ///
    /// # Errors
    /// [`exit::PORT_TAKEN`] when something else listens.
    pub async fn finds_ours(&self) -> anyhow::Result<bool> {
        if TcpStream::connect(self.address).await.is_err() {
            return Ok(false);
        }
        match self.health().await {
            Some(health) if health.knows_us() => Ok(true),
            answer => {
                let who = if answer.is_some() {
                    "something that does not take this user's token"
                } else {
                    "another program"
                };
                Err(Stop::error(
                    exit::PORT_TAKEN,
                    format!(
                        "{} is taken by {who}; stop it (`ss -ltnp 'sport = :{port}'` names it), or take another \
                         port: `cargo xtask demo --port {other}`",
                        self.address,
                        port = self.address.port(),
                        other = self.address.port().checked_add(1).unwrap_or(16_173),
                    ),
                ))
            }
        }
    }

    /// What `/health` says; nothing while nobody answers.
    pub async fn health(&self) -> Option<Health> {
        tokio::time::timeout(LIMIT, self.ask(token().as_deref())).await.ok().flatten()
    }

    async fn ask(&self, token: Option<&str>) -> Option<Health> {
        let mut stream = TcpStream::connect(self.address).await.ok()?;
        let authorization =
            token.map_or_else(String::new, |token| format!("Authorization: Bearer {token}\r\n"));
        let request = format!(
            "GET /health HTTP/1.1\r\nHost: {}\r\n{authorization}Connection: close\r\n\r\n",
            self.address
        );
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = Vec::new();
        stream.take(MAX_ANSWER_BYTES).read_to_end(&mut answer).await.ok()?;
        parse(&String::from_utf8_lossy(&answer))
    }
}

fn parse(answer: &str) -> Option<Health> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    let body = body.get(body.find('{')?..=body.rfind('}')?)?;
    Some(Health { status, body: serde_json::from_str(body).ok()? })
}

fn token() -> Option<String> {
    std::env::var("LLAMA_ORCH_TOKEN")
        .or_else(|_| std::fs::read_to_string(token_file()))
        .ok()
        .map(|text| text.trim().to_owned())
        .filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic()))
}

/// Where the daemon keeps the token that it made at its first start.
fn token_file() -> PathBuf {
    let config = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).filter(|folder| folder.is_absolute());
    let home = || std::env::home_dir().unwrap_or_default().join(".config");
    config.unwrap_or_else(home).join("llama-orch").join("token")
}

#[cfg(test)]
mod tests;
