use axum::body::Body;
use http::Request;
use tower::ServiceExt as _;

use super::*;
use crate::http::tests::{TOKEN, router};

fn allow(origins: &[&str], origin: &'static str) -> bool {
    let origins: Vec<String> = origins.iter().map(|origin| (*origin).to_owned()).collect();
    Origins::new(&origins).allow(&HeaderValue::from_static(origin))
}

/// ORCH-SEC-9
#[test]
fn an_origin_is_allowed_as_a_whole_by_its_scheme_or_by_the_star() {
    let origins = ["https://Chat.example:8443", "app://*", "null"];
    for allowed in ["https://chat.example:8443", "HTTPS://CHAT.EXAMPLE:8443", "app://obsidian.md", "null"] {
        assert!(allow(&origins, allowed), "{allowed}");
    }
    for foreign in [
        "https://chat.example",
        "http://chat.example:8443",
        "https://chat.example:8443.evil.example",
        "https://evil.example",
        "app:",
        "",
    ] {
        assert!(!allow(&origins, foreign), "{foreign}");
        assert!(!allow(&[], foreign), "{foreign}: none is allowed by default");
    }
    assert!(allow(&["*"], "https://any.example"));
}

/// ORCH-SEC-9
#[test]
fn a_request_with_two_origins_has_none() {
    let origins = Origins::new(&["*".to_owned()]);
    let mut headers = HeaderMap::new();
    headers.append(ORIGIN, HeaderValue::from_static("https://one.example"));
    assert_eq!(origins.of(&headers).unwrap(), "https://one.example");
    headers.append(ORIGIN, HeaderValue::from_static("https://two.example"));
    assert_eq!(origins.of(&headers), None);
}

/// Asks the planes, where `https://chat.example` is allowed.
async fn ask(method: &str, headers: &[(&str, &str)]) -> Response {
    let request = Request::builder().method(method).uri("/v1/models").header("host", "localhost");
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    router().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
}

fn header<'r>(response: &'r Response, name: &str) -> Option<&'r str> {
    response.headers().get(name).map(|value| value.to_str().unwrap())
}

/// ORCH-SEC-9
#[tokio::test]
async fn a_preflight_of_an_allowed_page_is_answered_without_the_token() {
    let asked = [
        ("origin", "https://chat.example"),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "authorization,content-type"),
        ("access-control-request-private-network", "true"),
    ];
    let response = ask("OPTIONS", &asked).await;
    assert_eq!(response.status(), 204);
    for (name, value) in [
        ("access-control-allow-origin", Some("https://chat.example")),
        ("access-control-allow-headers", Some("authorization,content-type")),
        ("access-control-allow-methods", Some("GET, POST, DELETE")),
        ("access-control-allow-private-network", Some("true")),
        ("access-control-allow-credentials", None),
        ("vary", Some("origin")),
    ] {
        assert_eq!(header(&response, name), value, "{name}");
    }
}

/// ORCH-SEC-9
#[tokio::test]
async fn an_allowed_page_reads_answers_and_errors_alike() {
    let origin = ("origin", "https://chat.example");
    let authorized = format!("Bearer {TOKEN}");
    for (status, headers) in
        [(401, vec![origin]), (405, vec![origin, ("authorization", authorized.as_str())])]
    {
        let response = ask("PUT", &headers).await;
        assert_eq!(response.status(), status);
        assert_eq!(header(&response, "access-control-allow-origin"), Some("https://chat.example"));
        assert!(header(&response, "access-control-expose-headers").unwrap().contains("retry-after"));
    }
}

/// ORCH-SEC-9
#[tokio::test]
async fn a_page_that_is_not_listed_gets_no_header_and_is_told_what_to_add() {
    for origin in ["http://localhost:3000", "https://evil.example"] {
        let response = ask("OPTIONS", &[("origin", origin), ("access-control-request-method", "POST")]).await;
        assert_eq!(response.status(), 403);
        assert_eq!(header(&response, "access-control-allow-origin"), None);
        let bytes = http_body_util::BodyExt::collect(response.into_body()).await.unwrap().to_bytes();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        assert!(text.contains(&format!("add `{origin}` to `allowed_origins`")), "{text}");
    }
}
