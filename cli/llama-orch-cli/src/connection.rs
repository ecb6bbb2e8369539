//! Finds the daemon: its address and its token, from what is typed, the environment and the files that the
//! daemon leaves.
//!
//! The daemon's token file belongs to the daemon of this machine: it is never sent to an address of another
//! one. A token that is given by name is sent wherever the address says.

use std::ffi::OsString;
use std::fmt;
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};

use reqwest::Url;

use crate::args::Global;
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
    /// From the daemon's file.
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
            Self::Flag(secret) | Self::Environment(secret) | Self::File(_, secret) => Some(secret),
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
            Self::File(path, _) => failure(format!(
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
            Self::File(..) => "Token from a file",
            Self::Missing(_) | Self::Unreadable(..) | Self::NotForThere | Self::Homeless => "no Token",
        })
    }
}

/// Looks an environment variable up; an empty one is one that is not set.
type Environment<'a> = &'a dyn Fn(&str) -> Option<OsString>;

impl Connection {
    /// Finds address and token for this process.
    ///
    /// # Errors
    /// An address or a token that can never be right, by name.
    pub fn find(global: &Global) -> Result<Self, Failure> {
        Self::find_in(global, &|name| std::env::var_os(name).filter(|value| !value.is_empty()))
    }

    fn find_in(global: &Global, environment: Environment<'_>) -> Result<Self, Failure> {
        let url = find_url(global, environment)?;
        let host = host_of(&url);
        let token = find_token(global, environment, host)?;
        Ok(Self { url, token, host })
    }
}

fn find_url(global: &Global, environment: Environment<'_>) -> Result<Url, Failure> {
    if let Some(url) = &global.url {
        return parse_url(url, "--url");
    }
    if let Some(url) = variable(environment, "LLAMA_ORCH_URL")? {
        return parse_url(&url, "LLAMA_ORCH_URL");
    }
    if let Some(listen) = variable(environment, "LLAMA_ORCH_LISTEN")? {
        return url_of_listen(&listen);
    }
    parse_url(DEFAULT_URL, "the address")
}

fn variable(environment: Environment<'_>, name: &str) -> Result<Option<String>, Failure> {
    let Some(value) = environment(name) else { return Ok(None) };
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

/// The address that reaches a daemon which listens on `listen`.
fn url_of_listen(listen: &str) -> Result<Url, Failure> {
    let address: SocketAddr = listen.trim().parse().map_err(|_| {
        Failure::new(Exit::Usage, format!("LLAMA_ORCH_LISTEN is `{listen}`: this is not IP:PORT"))
            .hint("write it as 127.0.0.1:6173, or set LLAMA_ORCH_URL")
    })?;
    if address.port() == 0 {
        return Err(Failure::new(
            Exit::Usage,
            "LLAMA_ORCH_LISTEN has port 0, which the daemon replaces by a free one",
        )
        .hint("set LLAMA_ORCH_URL to the address that the daemon logs"));
    }
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    parse_url(&format!("http://{}", SocketAddr::new(ip, address.port())), "LLAMA_ORCH_LISTEN")
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

fn find_token(global: &Global, environment: Environment<'_>, host: Host) -> Result<Token, Failure> {
    if let Some(token) = &global.token {
        return check_token(token, "`--token`").map(Token::Flag);
    }
    if let Some(token) = variable(environment, "LLAMA_ORCH_TOKEN")? {
        return check_token(&token, "LLAMA_ORCH_TOKEN").map(Token::Environment);
    }
    if host == Host::Other {
        return Ok(Token::NotForThere);
    }
    let Some(folder) = config_folder(environment) else { return Ok(Token::Homeless) };
    Ok(read_token_file(folder.join("llama-orch").join("token")))
}

/// The user's config folder, as the XDG base directory specification has it: a relative path is none.
fn config_folder(environment: Environment<'_>) -> Option<PathBuf> {
    let absolute = |name: &str| environment(name).map(PathBuf::from).filter(|path| path.is_absolute());
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
