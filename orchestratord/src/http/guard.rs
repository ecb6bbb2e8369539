//! Who may ask: the names the daemon goes by (`Host`), the pages that may use it (`Origin`), the token, and
//! in its place the log-in of the console.
//! A web page that resolves its own name to this machine (DNS rebinding) sends that name as `Host`, which
//! is how it is told from a client; an address in numbers cannot be rebound.
//!
//! Rules: ORCH-SEC-5, ORCH-SEC-7, ORCH-SEC-9, ORCH-CON-2, ORCH-OLLAMA-1

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{HOST, ORIGIN};
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Uri, Version};

use super::access::Listener;
use super::answer::{Refused, shown};
use super::cors::Origins;
use super::{Api, console, cors, ollama_api};
use crate::auth::Presented;
use crate::backpressure::Refusal;
use crate::server::Authenticated;

/// The path that anyone may ask.
const OPEN_PATH: &str = "/health";

/// The names by which clients may call the daemon.
#[derive(Clone, Debug)]
pub struct HostRules {
    listen: IpAddr,
    names: Vec<String>,
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Somebody with the token.
    Owner,
    /// Somebody without it, on the one path that is open.
    Anyone,
}

impl HostRules {
    /// The rules of a daemon that listens on `listen` and is also called `names` (`allowed_hosts`).
    #[must_use]
    pub fn new(listen: SocketAddr, names: &[String]) -> Self {
        Self { listen: listen.ip().to_canonical(), names: names.iter().map(|name| bare(name)).collect() }
    }

    /// Checks where a request was sent and where it comes from.
    ///
    /// # Errors
    /// [`Refusal::Forbidden`] with the name and where to allow it; [`Refusal::Invalid`] without a host.
    pub fn check(
        &self,
        origins: &Origins,
        version: Version,
        uri: &Uri,
        headers: &HeaderMap,
    ) -> Result<(), Refusal> {
        let mut hosts = headers.get_all(HOST).iter();
        let host = hosts.next();
        if hosts.next().is_some() {
            return Err(Refusal::Invalid("there is more than one `Host` header: send one".to_owned()));
        }
        match host {
            Some(host) => {
                let named = Authority::try_from(host.as_bytes()).ok();
                if !named.as_ref().is_some_and(|named| self.is_ours(named)) {
                    return Err(Refusal::Forbidden(format!(
                        "`Host` is `{}`, which is not a name of this daemon: if it is meant to be, add it to \
                         `allowed_hosts`",
                        shown(host.as_bytes())
                    )));
                }
            }
            // Before HTTP/1.1 there was no such header, and no browser speaks that.
            None if version < Version::HTTP_11 => {}
            None => return Err(Refusal::Invalid("there is no `Host` header: send one".to_owned())),
        }
        // A request line with a host in it goes before the header (RFC 9112, section 3.2.2).
        if let Some(named) = uri.authority().filter(|named| !self.is_ours(named)) {
            return Err(Refusal::Forbidden(format!(
                "the request line names the host `{}`, which is not a name of this daemon: if it is meant to be, \
                 add it to `allowed_hosts`",
                shown(named.as_str().as_bytes())
            )));
        }
        for origin in headers.get_all(ORIGIN) {
            let named = origin.to_str().ok().and_then(|text| text.split_once("://"));
            let named = named.and_then(|(_, rest)| rest.parse::<Authority>().ok());
            if !named.is_some_and(|named| self.is_ours(&named)) && !origins.allow(origin) {
                return Err(foreign(origin));
            }
        }
        Ok(())
    }

    fn is_ours(&self, named: &Authority) -> bool {
        if named.as_str().contains('@') {
            return false;
        }
        let host = bare(named.host());
        let number = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(&host);
        if let Ok(ip) = number.parse::<IpAddr>() {
            let ip = ip.to_canonical();
            return ip.is_loopback() || ip == self.listen || self.listen.is_unspecified();
        }
        host == "localhost" || host.ends_with(".localhost") || self.names.contains(&host)
    }
}

/// The refusal of a page that is not allowed.
fn foreign(origin: &HeaderValue) -> Refusal {
    let origin = shown(origin.as_bytes());
    Refusal::Forbidden(format!(
        "`Origin` is `{origin}`: pages of other sites may not use this daemon; to allow this one, add `{origin}` to \
         `allowed_origins` of the configuration"
    ))
}

/// A name as it is compared: lower case, without the dot of the root.
fn bare(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

/// Lets a request through that may ask what it asks.
pub(super) async fn guarded(
    api: &Arc<Api>,
    listener: Listener,
    mut request: Request,
    next: Next,
) -> Response {
    let settings = api.settings();
    let (uri, headers) = (request.uri(), request.headers());
    if let Err(refusal) = settings.hosts.check(&settings.origins, request.version(), uri, headers) {
        return Refused::from(refusal).into_response();
    }
    if cors::is_preflight(request.method(), headers)
        && let Some(origin) = headers.get(ORIGIN)
    {
        // Without the token, which a browser does not send with it.
        return match settings.origins.allow(origin) {
            true => cors::preflight(headers),
            false => Refused::from(foreign(origin)).into_response(),
        };
    }
    let path = request.uri().path();
    let open = match listener {
        Listener::Main => path == OPEN_PATH || console::is_open(path),
        Listener::Ollama => path == ollama_api::OPEN_PATH,
    };
    let caller = match (listener, settings.token.check(request.headers())) {
        // Clients of Ollama send no token, or one that says nothing.
        (Listener::Ollama, _) if !settings.ollama_needs_token => Ok(Caller::Owner),
        (_, Presented::Right) => Ok(Caller::Owner),
        (_, Presented::Wrong) => Err(Refusal::Unauthorized(WRONG)),
        (Listener::Ollama, Presented::Nothing) => Err(Refusal::Unauthorized(MISSING)),
        (Listener::Main, Presented::Nothing) => match console::signed_in(api, &request) {
            Ok(true) => Ok(Caller::Owner),
            Ok(false) => Err(Refusal::Unauthorized(MISSING)),
            Err(refusal) => Err(refusal),
        },
    };
    let caller = match caller {
        Ok(caller) => caller,
        Err(_) if open => Caller::Anyone,
        Err(refusal) => return Refused::from(refusal).into_response(),
    };
    if caller == Caller::Owner
        && let Some(connection) = request.extensions().get::<Authenticated>()
    {
        connection.set();
    }
    request.extensions_mut().insert(caller);
    next.run(request).await
}

const WRONG: &str = "the API token is wrong: send the one of `LLAMA_ORCH_TOKEN`, of the config, or of \
                     `llama-orch/token` in the config folder of the daemon's user";
const MISSING: &str = "the API token is missing: send `Authorization: Bearer TOKEN`; it is that of \
                       `LLAMA_ORCH_TOKEN`, of the config, or of `llama-orch/token` in the config folder of the \
                       daemon's user";

#[cfg(test)]
mod tests;
