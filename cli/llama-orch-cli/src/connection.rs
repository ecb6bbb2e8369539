//! Finds the daemon: its address and its token, from what is typed, the environment and the files that the
//! daemon leaves.
//!
//! ```text
//! address   --url ► LLAMA_ORCH_URL ► LLAMA_ORCH_LISTEN ► `listen` of llama-orch.yaml ► 127.0.0.1:6173
//! token     --token ► LLAMA_ORCH_TOKEN ► `token` of llama-orch.yaml ► the daemon's token file
//! ```
//! What is in the files belongs to the daemon of this machine: it is never sent to an address of another
//! one. A token that is given by name is sent wherever the address says.

use std::cell::LazyCell;
use std::ffi::OsString;
use std::fmt;
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};

use reqwest::Url;

use crate::args::Global;
use crate::config_file::ConfigFile;
use crate::exit::Exit;
use crate::failure::Failure;

/// Where the daemon listens when nobody says otherwise.
const DEFAULT_URL: &str = "http://127.0.0.1:6173";
/// The most bytes of a token file.
const TOKEN_FILE_BYTES: u64 = 4096;

/// Where to connect to, and with what.
#[derive(Clone)]
pub struct Connection {
    /// The address, without a path.
    pub url: Url,
    pub token: Token,
    pub host: Host,
}

/// Whose machine the address is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    This,
    Other,
}

/// The token, or why there is none.
#[derive(Clone, PartialEq, Eq)]
pub enum Token {
    /// From `--token`.
    Flag(String),
    /// From `LLAMA_ORCH_TOKEN`.
    Environment(String),
    /// From the daemon's config file.
    Config(PathBuf, String),
    /// From the daemon's token file.
    File(PathBuf, String),
    /// The file is not there.
    Missing(PathBuf),
    /// The file cannot be used, for this reason.
    Unreadable(PathBuf, String),
    /// There was no need to look: the address is on another machine, to which the file does not belong.
    NotForThere,
    /// There is no home folder to look in.
    Homeless,
}

impl Token {
    /// The token itself, which goes into a header and nowhere else.
    pub fn secret(&self) -> Option<&str> {
        match self {
            Self::Flag(secret)
            | Self::Environment(secret)
            | Self::Config(_, secret)
            | Self::File(_, secret) => Some(secret),
            Self::Missing(_) | Self::Unreadable(..) | Self::NotForThere | Self::Homeless => None,
        }
    }

    /// What to say when the daemon does not take it.
    pub fn refused(&self, url: &str) -> Failure {
        let failure = |message: String| Failure::new(Exit::Unauthorised, message);
        let ask = "set LLAMA_ORCH_TOKEN to the token of that daemon: it is in `llama-orch/token` in the config folder of the user who runs it";
        match self {
            Self::Flag(_) => failure(format!("the daemon at {url} does not take the token from `--token`")).hint(ask),
            Self::Environment(_) => {
                failure(format!("the daemon at {url} does not take the token from LLAMA_ORCH_TOKEN")).hint(ask)
            }
            Self::Config(path, _) | Self::File(path, _) => failure(format!(
                "the daemon at {url} does not take the token from `{}`",
                path.display()
            ))
            .hint("it may run as another user or have its token from its config or environment: set LLAMA_ORCH_TOKEN to that one"),
            Self::Missing(path) => {
                failure(format!("the daemon at {url} asks for its token, and `{}` is not there", path.display())).hint(ask)
            }
            Self::Unreadable(path, why) => {
                failure(format!("the daemon at {url} asks for its token, and `{}` {why}", path.display())).hint(ask)
            }
            Self::NotForThere => failure(format!("the daemon at {url} asks for its token")).hint(format!(
                "{ask}; the token file of this machine is not sent to another one"
            )),
            Self::Homeless => {
                failure(format!("the daemon at {url} asks for its token, and neither XDG_CONFIG_HOME nor HOME says where to look")).hint(ask)
            }
        }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Flag(_) => "Token from --token",
            Self::Environment(_) => "Token from LLAMA_ORCH_TOKEN",
            Self::Config(..) | Self::File(..) => "Token from a file",
            Self::Missing(_) | Self::Unreadable(..) | Self::NotForThere | Self::Homeless => "no Token",
        })
    }
}

/// Where the command line is run.
pub struct Env<'a> {
    /// Looks an environment variable up; an empty one is one that is not set.
    pub variable: &'a dyn Fn(&str) -> Option<OsString>,
    /// The working folder.
    pub folder: PathBuf,
}

impl Connection {
    /// Finds address and token for this process.
    ///
    /// # Errors
    /// An address or a token that can never be right, by name.
    pub fn find(global: &Global) -> Result<Self, Failure> {
        Self::find_in(
            global,
            &Env {
                variable: &|name| std::env::var_os(name).filter(|value| !value.is_empty()),
                // A working folder that is gone holds no config file.
                folder: std::env::current_dir().unwrap_or_default(),
            },
        )
    }

    fn find_in(global: &Global, around: &Env<'_>) -> Result<Self, Failure> {
        let file = LazyCell::new(|| ConfigFile::find(around));
        let url = match named_url(global, around)? {
            Some(url) => url,
            None => file.listen().map_or_else(|| parse_url(DEFAULT_URL, "the address"), url_of_listen)?,
        };
        let host = host_of(&url);
        let token = match named_token(global, around)? {
            Some(token) => token,
            None if host == Host::Other => Token::NotForThere,
            None => kept_token(&file, around),
        };
        Ok(Self { url, token, host })
    }
}

/// The address that somebody named.
fn named_url(global: &Global, around: &Env<'_>) -> Result<Option<Url>, Failure> {
    if let Some(url) = &global.url {
        return parse_url(url, "--url").map(Some);
    }
    if let Some(url) = variable(around, "LLAMA_ORCH_URL")? {
        return parse_url(&url, "LLAMA_ORCH_URL").map(Some);
    }
    let Some(listen) = variable(around, "LLAMA_ORCH_LISTEN")? else { return Ok(None) };
    let address: SocketAddr = listen.trim().parse().map_err(|_| {
        Failure::new(Exit::Usage, format!("LLAMA_ORCH_LISTEN is `{listen}`: this is not IP:PORT"))
            .hint("write it as 127.0.0.1:6173, or set LLAMA_ORCH_URL")
    })?;
    url_of_listen(address).map(Some)
}

fn variable(around: &Env<'_>, name: &str) -> Result<Option<String>, Failure> {
    let Some(value) = (around.variable)(name) else { return Ok(None) };
    value.into_string().map(Some).map_err(|_| Failure::new(Exit::Usage, format!("{name} is not valid UTF-8")))
}

fn parse_url(text: &str, name: &str) -> Result<Url, Failure> {
    let refuse = |why: &str| {
        Failure::new(Exit::Usage, format!("{name} is `{text}`: {why}"))
            .hint("write it as http://HOST:PORT, for example http://127.0.0.1:6173")
    };
    let text = text.trim();
    let with_scheme = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let mut url = Url::parse(&with_scheme).map_err(|_| refuse("this is not a URL"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(refuse("use http or https"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        // The text is not repeated: there is a password in it.
        return Err(Failure::new(Exit::Usage, format!("{name} holds a user name or a password"))
            .hint("write it as http://HOST:PORT; the daemon takes a token, from LLAMA_ORCH_TOKEN"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(refuse("nothing may follow the port but a path"));
    }
    let path = url.path().trim_end_matches('/');
    let path = path.strip_suffix("/v1").unwrap_or(path).to_owned();
    url.set_path(&path);
    Ok(url)
}

/// The address that reaches a daemon which listens on `address`.
fn url_of_listen(address: SocketAddr) -> Result<Url, Failure> {
    if address.port() == 0 {
        return Err(Failure::new(Exit::Usage, "the daemon is to listen on port 0, which means any free one")
            .hint("set LLAMA_ORCH_URL to the address that the daemon logs when it starts"));
    }
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    parse_url(&format!("http://{}", SocketAddr::new(ip, address.port())), "the address")
}

/// An address is this machine's when it is a loopback one or when a socket can be bound to it.
fn host_of(url: &Url) -> Host {
    let name = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let this = match name.parse::<IpAddr>() {
        Ok(ip) => ip.is_loopback() || UdpSocket::bind((ip, 0)).is_ok(),
        Err(_) => name == "localhost" || name.ends_with(".localhost"),
    };
    if this { Host::This } else { Host::Other }
}

/// The token that somebody named.
fn named_token(global: &Global, around: &Env<'_>) -> Result<Option<Token>, Failure> {
    if let Some(token) = &global.token {
        return check_token(token, "`--token`").map(Token::Flag).map(Some);
    }
    let Some(token) = variable(around, "LLAMA_ORCH_TOKEN")? else { return Ok(None) };
    check_token(&token, "LLAMA_ORCH_TOKEN").map(Token::Environment).map(Some)
}

/// The token in the files of a daemon on this machine.
fn kept_token(file: &ConfigFile, around: &Env<'_>) -> Token {
    if let ConfigFile::Read { path, token: Some(token), .. } = file {
        return Token::Config(path.clone(), token.clone());
    }
    match config_folder(around) {
        Some(folder) => read_token_file(folder.join("llama-orch").join("token")),
        None => Token::Homeless,
    }
}

/// The user's config folder, as the XDG base directory specification has it: a relative path is none.
fn config_folder(around: &Env<'_>) -> Option<PathBuf> {
    let absolute = |name: &str| (around.variable)(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_CONFIG_HOME").or_else(|| absolute("HOME").map(|home| home.join(".config")))
}

fn read_token_file(path: PathBuf) -> Token {
    match read_bounded(&path) {
        Ok(text) => match check_token(&text, "") {
            Ok(token) => Token::File(path, token),
            Err(_) => Token::Unreadable(path, "holds no token".to_owned()),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Token::Missing(path),
        Err(error) => Token::Unreadable(path, format!("cannot be read: {error}")),
    }
}

fn read_bounded(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    std::fs::File::open(path)?.take(TOKEN_FILE_BYTES).read_to_string(&mut text)?;
    Ok(text)
}

/// A token that can go into a header. What is wrong with it is said without it.
fn check_token(token: &str, name: &str) -> Result<String, Failure> {
    let token = token.trim();
    if token.is_empty() {
        return Err(Failure::new(Exit::Usage, format!("{name} is empty")));
    }
    if token.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(token.to_owned())
    } else {
        Err(Failure::new(
            Exit::Usage,
            format!("{name} holds characters that no token has: spaces, line ends or beyond ASCII"),
        ))
    }
}

#[cfg(test)]
mod tests;
