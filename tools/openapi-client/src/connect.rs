//! Makes a [`Client`] that carries the token and is fit for streams.

use std::net::IpAddr;
use std::time::Duration;

use reqwest::Url;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};

use crate::Client;

/// How long a connection may take to come about. A daemon on the same machine answers at once or not at all.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Why no client could be made. Nothing was sent.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The URL is none, or not one of HTTP.
    #[error("`{url}` is not the URL of a daemon: use one like `http://127.0.0.1:6173`")]
    Url {
        /// What was given.
        url: String,
    },
    /// The token cannot stand in a header.
    #[error("the API token holds characters that a header cannot carry")]
    Token,
    /// The HTTP client could not be set up.
    #[error("the HTTP client could not be set up")]
    Setup(#[source] reqwest::Error),
}

/// Makes a client of the daemon at `url`, which sends `token` with every request. Connects only when used.
/// There is no limit on how long an answer takes, because a stream takes as long as its task; a loopback
/// address is never reached through a proxy.
///
/// # Errors
/// [`ConnectError`]
pub fn connect(url: &str, token: Option<&str>) -> Result<Client, ConnectError> {
    let parsed =
        Url::parse(url).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    let parsed = parsed.ok_or_else(|| ConnectError::Url { url: url.to_owned() })?;

    let mut headers = HeaderMap::new();
    if let Some(token) = token {
        let mut value = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| ConnectError::Token)?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    let mut builder = reqwest::Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .default_headers(headers);
    if is_loopback(&parsed) {
        builder = builder.no_proxy();
    }
    let client = builder.build().map_err(ConnectError::Setup)?;
    Ok(Client::new_with_client(url.trim_end_matches('/'), client))
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}
