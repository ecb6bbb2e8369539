//! Where a server is: the parts of its URL that a connection and a request need.

use std::fmt;

use http::Uri;

/// The ports of URLs that name none.
const HTTP_PORT: u16 = 80;
const HTTPS_PORT: u16 = 443;

/// The base of a server's URLs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    scheme: Scheme,
    host: String,
    port: u16,
    /// Empty, or a path that begins with a slash and does not end with one.
    path: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Http,
    Https,
}

/// Why a URL was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{url}` is not the URL of an engine: {why}; write it as `http://127.0.0.1:8080`")]
pub struct InvalidAddress {
    url: String,
    why: &'static str,
}

impl Address {
    /// Checks and takes apart `url`.
    ///
    /// # Errors
    /// [`InvalidAddress`] with the URL, what is wrong and what would be right.
    pub fn parse(url: &str) -> Result<Self, InvalidAddress> {
        let wrong = |why| InvalidAddress { url: url.to_owned(), why };
        let uri: Uri = url.parse().map_err(|_| wrong("it cannot be read"))?;
        let scheme = match uri.scheme_str() {
            Some("http") => Scheme::Http,
            Some("https") => Scheme::Https,
            Some(_) => return Err(wrong("its scheme is neither `http` nor `https`")),
            None => return Err(wrong("it has no scheme")),
        };
        let authority = uri.authority().ok_or_else(|| wrong("it has no host"))?;
        if authority.as_str().contains('@') {
            return Err(wrong("a user and password in it are not sent; give the engine's key as `api_key`"));
        }
        if url.contains(['?', '#']) {
            return Err(wrong("it has a query or a fragment"));
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() {
            return Err(wrong("it has no host"));
        }
        let rest = authority.as_str().strip_prefix(authority.host()).unwrap_or_default();
        let port = match (rest, authority.port_u16()) {
            ("", _) if scheme == Scheme::Https => HTTPS_PORT,
            ("", _) => HTTP_PORT,
            (_, Some(port)) if port > 0 => port,
            _ => return Err(wrong("its port is not a number from 1 to 65535")),
        };
        Ok(Self { scheme, host: host.to_owned(), port, path: uri.path().trim_end_matches('/').to_owned() })
    }

    /// This machine, at `port`.
    #[must_use]
    pub fn of_this_machine(port: u16) -> Self {
        Self { scheme: Scheme::Http, host: "127.0.0.1".to_owned(), port, path: String::new() }
    }

    /// The same address without `suffix` at the end of its path: clients write an API's base with or
    /// without its `/v1`.
    #[must_use]
    pub fn without(mut self, suffix: &str) -> Self {
        if let Some(shorter) = self.path.strip_suffix(suffix) {
            self.path.truncate(shorter.len());
        }
        self
    }

    /// Whether the server is asked over TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.scheme == Scheme::Https
    }

    /// The host, without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What every path begins with: empty, or `/some/path`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Host and port as the `Host` header has them.
    pub(crate) fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_tls() { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority(), self.path)
    }
}

#[cfg(test)]
mod tests;
