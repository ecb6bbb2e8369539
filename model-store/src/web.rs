//! One HTTP request for a file or the rest of it, and what the answer means. Proxies come from the
//! environment; certificates are trusted as the system trusts them, and as `SSL_CERT_FILE` or one of the
//! variables below says.

use std::time::Duration;

use ureq::http::{HeaderMap, Response};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body};

use crate::aside::{self, Chunks};
use crate::error::FetchError;
use crate::progress::Watch;
use crate::surroundings::Env;

/// Variables that name a file of further certificates to trust, as requests and curl read them.
const CA_VARIABLES: [&str; 2] = ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"];

/// How patient a fetch is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RetryPolicy {
    /// To find a host and connect to it.
    pub(crate) connect: Duration,
    /// For the next bytes, once connected.
    pub(crate) stall: Duration,
    /// The wait before the second attempt; it doubles from there.
    pub(crate) backoff: Duration,
    /// Attempts in a row that bring nothing.
    pub(crate) attempts: u32,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            stall: Duration::from_secs(20),
            backoff: Duration::from_millis(500),
            attempts: 4,
        }
    }
}

/// Asks servers for files.
pub(crate) struct Web {
    agent: Agent,
}

/// A file somewhere on the web.
#[derive(Clone, Debug)]
pub(crate) struct Remote {
    /// The URL.
    pub(crate) url: String,
    /// What people call the place: a host.
    pub(crate) source_name: String,
    /// The `Authorization` it is asked for with; not sent on to where the server redirects.
    pub(crate) authorization: Option<String>,
    /// What to do when the server wants to know who asks.
    pub(crate) denied_hint: &'static str,
}

impl Remote {
    /// A file at a URL, for anyone.
    pub(crate) fn open(url: &str) -> Self {
        let host = url.split("://").nth(1).and_then(|rest| rest.split(['/', '?', '#']).next());
        Self {
            url: url.to_owned(),
            source_name: host.unwrap_or(url).to_owned(),
            authorization: None,
            denied_hint: "download the file yourself and use `file:PATH`",
        }
    }
}

/// The rest of a file is asked for from here on, if it is still the same file.
#[derive(Clone, Debug)]
pub(crate) struct From<'a> {
    pub(crate) offset: u64,
    pub(crate) validator: Option<&'a str>,
}

/// What a server answered.
pub(crate) enum Answer {
    /// The whole file, from its start.
    Whole(Content),
    /// The file from the offset that was asked for.
    Rest(Content),
    /// There is nothing from that offset on; the file's length, where the server says it.
    PastEnd(Option<u64>),
    /// The server has the version still that is not wanted.
    Unchanged,
    /// An error that will be the same the next time.
    Refused(u16),
    /// An error that may be gone the next time, and how long the server wants to be left alone.
    Unavailable(u16, Option<Duration>),
    /// A status that makes no sense here.
    Odd(u16),
}

/// A file that is being received.
pub(crate) struct Content {
    pub(crate) chunks: Chunks,
    /// The length of the whole file.
    pub(crate) total: Option<u64>,
    /// What tells this version of the file from another.
    pub(crate) validator: Option<String>,
}

/// Why there was no answer.
pub(crate) struct NoAnswer {
    pub(crate) reason: String,
    pub(crate) hint: &'static str,
    /// Whether asking again may help.
    pub(crate) may_pass: bool,
}

const OFFLINE_HINT: &str = "check the network and the proxy settings (HTTPS_PROXY) and start again";
const CERTIFICATE_HINT: &str = "if a proxy reads the traffic, name its certificates in SSL_CERT_FILE";
const URL_HINT: &str = "check the URL";

impl Web {
    pub(crate) fn new(surroundings: &Env, patience: RetryPolicy) -> Self {
        let tls = TlsConfig::builder().root_certs(root_certificates(surroundings)).build();
        let config = Agent::config_builder()
            .tls_config(tls)
            .http_status_as_error(false)
            .user_agent(concat!("llama-orch/", env!("CARGO_PKG_VERSION")))
            .timeout_resolve(Some(patience.connect))
            .timeout_connect(Some(patience.connect))
            .timeout_recv_response(Some(patience.stall))
            .timeout_per_read(Some(patience.stall))
            .build();
        Self { agent: config.new_agent() }
    }

    /// Asks for a file, or for the rest of it, and for nothing when it is the version `unless` still. The outer
    /// error is a cancel.
    pub(crate) fn get(
        &self,
        remote: &Remote,
        from: Option<&From<'_>>,
        unless: Option<&str>,
        watch: Watch<'_>,
    ) -> Result<Result<Answer, NoAnswer>, FetchError> {
        // Once asked over TLS, no redirect may lead out of it.
        let https_only = remote.url.starts_with("https://");
        let mut request = self.agent.get(&remote.url).config().https_only(https_only).build();
        request = request.header("Accept-Encoding", "identity");
        if let Some(authorization) = &remote.authorization {
            request = request.header("Authorization", authorization);
        }
        if let Some(from) = from {
            request = request.header("Range", format!("bytes={}-", from.offset));
            if let Some(validator) = from.validator {
                request = request.header("If-Range", validator);
            }
        }
        if let Some(validator) = unless {
            let is_tag = validator.starts_with('"');
            request = request.header(if is_tag { "If-None-Match" } else { "If-Modified-Since" }, validator);
        }
        let answer = aside::call(move || request.call(), watch)?;
        Ok(match answer {
            Ok(Ok(response)) => read_answer(response, from).map_err(|error| no_thread(&error)),
            Ok(Err(error)) => Err(no_answer(&error)),
            Err(error) => Err(no_thread(&error)),
        })
    }
}

fn read_answer(response: Response<Body>, from: Option<&From<'_>>) -> std::io::Result<Answer> {
    let status = response.status().as_u16();
    Ok(match (status, from) {
        (200, _) => {
            let total = response.body().content_length();
            Answer::Whole(content(response, total)?)
        }
        (206, Some(from)) => match content_range(response.headers()) {
            Some((start, total)) if start == from.offset => Answer::Rest(content(response, total)?),
            _ => Answer::Odd(status),
        },
        (416, Some(_)) => Answer::PastEnd(
            header(response.headers(), "content-range")
                .and_then(|range| range.strip_prefix("bytes */")?.trim().parse().ok()),
        ),
        (304, None) => Answer::Unchanged,
        (408 | 425 | 429 | 500..=599, _) => Answer::Unavailable(status, told_wait(response.headers())),
        (400..=499, _) => Answer::Refused(status),
        _ => Answer::Odd(status),
    })
}

/// How long a server wants to be left alone: `Retry-After: 30`, else the reset of `RateLimit: "name";r=0;t=30`.
fn told_wait(headers: &HeaderMap) -> Option<Duration> {
    let after = header(headers, "retry-after").and_then(|value| value.trim().parse().ok());
    let reset = || {
        let fields = header(headers, "ratelimit")?;
        fields.split([';', ',']).find_map(|field| field.trim().strip_prefix("t=")?.parse().ok())
    };
    after.or_else(reset).map(Duration::from_secs)
}

fn content(response: Response<Body>, total: Option<u64>) -> std::io::Result<Content> {
    let validator = strong_validator(response.headers());
    let reader = response.into_body().into_with_config().limit(u64::MAX).reader();
    Ok(Content { chunks: Chunks::of(reader)?, total, validator })
}

/// What `If-Range` may carry: a strong entity tag, else the time of change.
fn strong_validator(headers: &HeaderMap) -> Option<String> {
    let tag = header(headers, "etag").filter(|tag| !tag.starts_with("W/"));
    tag.or_else(|| header(headers, "last-modified")).map(str::to_owned)
}

/// First byte and length of the whole, of `bytes 100-199/1000`.
fn content_range(headers: &HeaderMap) -> Option<(u64, Option<u64>)> {
    let range = header(headers, "content-range")?.strip_prefix("bytes ")?;
    let (span, total) = range.split_once('/')?;
    let (start, _) = span.split_once('-')?;
    Some((start.trim().parse().ok()?, total.trim().parse().ok()))
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// The system gave no thread to fetch with.
fn no_thread(error: &std::io::Error) -> NoAnswer {
    NoAnswer { reason: error.to_string(), hint: "start again", may_pass: true }
}

fn no_answer(error: &ureq::Error) -> NoAnswer {
    let (hint, may_pass) = match error {
        ureq::Error::Tls(_) | ureq::Error::Rustls(_) | ureq::Error::Pem(_) => (CERTIFICATE_HINT, false),
        ureq::Error::BadUri(_)
        | ureq::Error::Http(_)
        | ureq::Error::RequireHttpsOnly(_)
        | ureq::Error::TooManyRedirects
        | ureq::Error::RedirectFailed => (URL_HINT, false),
        ureq::Error::HostNotFound | ureq::Error::InvalidProxyUrl => (OFFLINE_HINT, false),
        ureq::Error::Io(error) if is_certificate_error(error) => (CERTIFICATE_HINT, false),
        _ => (OFFLINE_HINT, true),
    };
    let reason = match error {
        ureq::Error::Io(error) => error.to_string(),
        error => error.to_string(),
    };
    NoAnswer { reason, hint, may_pass }
}

/// TLS errors reach us inside an I/O error when they come up while reading.
fn is_certificate_error(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::InvalidData
}

/// The system's certificates; with those of a variable, when one is set.
fn root_certificates(surroundings: &Env) -> RootCerts {
    let bundles: Vec<Vec<u8>> = CA_VARIABLES
        .iter()
        .filter_map(|name| surroundings.var(name))
        .filter_map(|path| std::fs::read(path).ok())
        .collect();
    if bundles.is_empty() {
        return RootCerts::PlatformVerifier;
    }
    let mut certificates: Vec<Certificate<'static>> = rustls_native_certs::load_native_certs()
        .certs
        .iter()
        .map(|one| Certificate::from_der(one).to_owned())
        .collect();
    for bundle in &bundles {
        certificates.extend(parse_pem(bundle).filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        }));
    }
    certificates.sort_by(|a, b| a.der().cmp(b.der()));
    certificates.dedup_by(|a, b| a.der() == b.der());
    RootCerts::from(certificates)
}
