//! The console: a page for people, which the daemon serves itself. Its files are in the executable; they are
//! made from `console/` by `cargo xtask console`. What the page shows it asks of the same planes as everyone
//! else; of its own it has the log-in alone, which is no interface for programs.
//!
//! | path | what |
//! |---|---|
//! | `GET /`, `GET /console/FILE` | the page, for anyone |
//! | `POST /console/session` | `{token}`: log in, answered with a cookie |
//! | `DELETE /console/session` | log out |
//!
//! Rules: ORCH-CON-1, ORCH-CON-2

use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, REFERRER_POLICY, SET_COOKIE,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::Api;
use super::answer::{self, Refused};
use super::body;
use crate::backpressure::Refusal;

pub(super) mod session;

use session::{Cookie, Sessions, cookie_name, is_own_page};

/// Nothing that the page does leaves the daemon, and nothing but its own files runs in it. `data:` is for the images
/// that its user has put into a conversation.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
     object-src 'none'",
);

/// The most bytes of a log-in.
const LOG_IN_BYTES: u64 = 4096;

/// One file of the page.
struct Asset {
    name: &'static str,
    media: &'static str,
    bytes: &'static [u8],
}

/// The page first.
const ASSETS: [Asset; 4] = [
    Asset {
        name: "index.html",
        media: "text/html; charset=utf-8",
        bytes: include_bytes!("console/assets/index.html"),
    },
    Asset {
        name: "console.js",
        media: "text/javascript; charset=utf-8",
        bytes: include_bytes!("console/assets/console.js"),
    },
    Asset {
        name: "console.css",
        media: "text/css; charset=utf-8",
        bytes: include_bytes!("console/assets/console.css"),
    },
    Asset { name: "icon.svg", media: "image/svg+xml", bytes: include_bytes!("console/assets/icon.svg") },
];

/// What tells one version of each file from another.
static TAGS: LazyLock<[HeaderValue; ASSETS.len()]> = LazyLock::new(|| {
    ASSETS.each_ref().map(|asset| {
        let digest = Sha256::digest(asset.bytes);
        let hex: String = digest.iter().take(12).map(|byte| format!("{byte:02x}")).collect();
        HeaderValue::from_str(&format!("\"{hex}\"")).expect("hexadecimal stands in a header")
    })
});

/// Whether anyone may ask for a path: the page has to be there before its user can log in.
pub(super) fn is_open(path: &str) -> bool {
    path == "/" || path.starts_with("/console/")
}

/// The page's own paths.
pub(super) fn routes() -> Router<Arc<Api>> {
    Router::new()
        .route("/", get(index).fallback(answer::only_get))
        .route("/console/session", post(log_in).delete(log_out).fallback(answer::only_post_or_delete))
        .route("/console/{file}", get(file).fallback(answer::only_get))
}

async fn index(headers: HeaderMap) -> Response {
    serve(0, &headers)
}

async fn file(Path(name): Path<String>, headers: HeaderMap, request: Request) -> Response {
    match ASSETS.iter().position(|asset| asset.name == name) {
        Some(index) => serve(index, &headers),
        None => answer::unknown_path(request).await.into_response(),
    }
}

fn serve(index: usize, headers: &HeaderMap) -> Response {
    let (asset, tag) = (&ASSETS[index], &TAGS[index]);
    let known = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let known = known.flat_map(|value| value.split(',')).any(|one| {
        let one = one.trim();
        one == "*" || one.trim_start_matches("W/").as_bytes() == tag.as_bytes()
    });
    let common = [
        (ETAG, tag.clone()),
        (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
        (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
    ];
    if known {
        return (StatusCode::NOT_MODIFIED, common).into_response();
    }
    (common, [(CONTENT_TYPE, HeaderValue::from_static(asset.media))], asset.bytes).into_response()
}

/// What a log-in says.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LogIn {
    token: String,
}

async fn log_in(State(api): State<Arc<Api>>, request: Request) -> Result<Response, Refused> {
    let name = own_page(request.headers())?;
    let given: LogIn = body::read_json(request, LOG_IN_BYTES).await?;
    if !api.settings().token.matches(&given.token) {
        return Err(Refusal::Unauthorized(WRONG).into());
    }
    let id = api.console.open(api.clock.now());
    let age = session::TTL.as_secs();
    Ok(with_cookie(&format!("{name}={id}; Path=/; HttpOnly; SameSite=Strict; Max-Age={age}")))
}

async fn log_out(State(api): State<Arc<Api>>, request: Request) -> Result<Response, Refused> {
    let name = own_page(request.headers())?;
    api.console.close(request.headers());
    Ok(with_cookie(&format!("{name}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0")))
}

/// The name of the cookie of whoever asks, which has to be the page itself.
fn own_page(headers: &HeaderMap) -> Result<String, Refusal> {
    if is_own_page(headers) { Ok(cookie_name(headers)) } else { Err(Refusal::Forbidden(FORGED.to_owned())) }
}

fn with_cookie(cookie: &str) -> Response {
    let cookie = HeaderValue::from_str(cookie).expect("a port and hexadecimal stand in a header");
    (StatusCode::NO_CONTENT, [(SET_COOKIE, cookie), (CACHE_CONTROL, HeaderValue::from_static("no-store"))])
        .into_response()
}

/// Whether the cookie of a request makes it its user's own.
///
/// # Errors
/// [`Refusal::Forbidden`] where the cookie is right and the request does not come from the page;
/// [`Refusal::Unauthorized`] where the cookie is none any more.
pub(super) fn signed_in(api: &Api, request: &Request) -> Result<bool, Refusal> {
    match api.console.check(request.method(), request.headers(), api.clock.now()) {
        Cookie::Absent => Ok(false),
        Cookie::Right => Ok(true),
        Cookie::Stale => Err(Refusal::Unauthorized(STALE)),
        Cookie::Forged => Err(Refusal::Forbidden(FORGED.to_owned())),
    }
}

/// The log-ins there are, none at first.
pub(super) fn sessions() -> Sessions {
    Sessions::default()
}

const WRONG: &str = "that is not the token of this daemon: it is the one of `LLAMA_ORCH_TOKEN`, of the config, or of \
                     `llama-orch/token` in the config folder of the daemon's user";
const STALE: &str = "the console's log-in has run out, or the daemon was started anew: log in again";
const FORGED: &str = "the console's log-in counts for requests of the console's own page alone: programs send the \
                      API token instead";

#[cfg(test)]
mod tests;
