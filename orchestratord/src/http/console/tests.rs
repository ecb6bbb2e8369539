use axum::body::Body;
use axum::response::Response;
use http::header::{AUTHORIZATION, COOKIE, HOST, ORIGIN};
use http_body_util::BodyExt;
use orchestrator_core::Timestamp;
use tower::ServiceExt;

use super::session::SESSIONS_MAX;
use super::*;
use crate::http::tests::{TOKEN, router};

const TASK: &str = "/v1/tasks/6f1d2c3e-8a4b-4c5d-9e6f-0a1b2c3d4e5f/cancel";
const PAGE: [(&str, &str); 2] = [("origin", "http://localhost:6173"), ("x-llama-orch-console", "1")];

struct Browser {
    router: Router,
    cookie: Option<String>,
}

impl Browser {
    fn new() -> Self {
        Self { router: router(), cookie: None }
    }

    async fn logged_in() -> Self {
        let mut browser = Self::new();
        let response = browser.log_in(TOKEN).await;
        assert_eq!(response.status(), 204);
        let cookie = response.headers()[SET_COOKIE].to_str().unwrap();
        for part in ["; Path=/", "; HttpOnly", "; SameSite=Strict", "; Max-Age="] {
            assert!(cookie.contains(part), "{cookie}");
        }
        assert!(!cookie.contains(TOKEN));
        browser.cookie = cookie.split(';').next().map(str::to_owned);
        browser
    }

    async fn log_in(&self, token: &str) -> Response {
        self.send("POST", "/console/session", &PAGE, &format!("{{\"token\":\"{token}\"}}")).await
    }

    async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Response {
        let mut request = http::Request::builder().method(method).uri(path).header(HOST, "localhost:6173");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(cookie) = &self.cookie {
            request = request.header(COOKIE, format!("other=1; {cookie}"));
        }
        self.router.clone().oneshot(request.body(Body::from(body.to_owned())).unwrap()).await.unwrap()
    }
}

async fn bytes(response: Response) -> Vec<u8> {
    response.into_body().collect().await.unwrap().to_bytes().to_vec()
}

/// ORCH-CON-1
#[tokio::test]
async fn the_page_is_there_for_anyone_and_lets_nothing_but_its_own_files_run() {
    let browser = Browser::new();
    for asset in &ASSETS {
        let response = browser.send("GET", &format!("/console/{}", asset.name), &[], "").await;
        assert_eq!(response.status(), 200, "{}", asset.name);
        assert_eq!(response.headers()[CONTENT_TYPE], asset.media);
        let policy = response.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap().to_owned();
        assert!(policy.starts_with("default-src 'self';") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(bytes(response).await, asset.bytes);
    }
    let page = bytes(browser.send("GET", "/", &[], "").await).await;
    let page = String::from_utf8(page).unwrap();
    assert!(!page.contains("http://") && !page.contains("https://"), "it asks nobody else for anything");
    assert!(!page.contains("<style") && !page.contains("<script>"), "nothing inline");
    assert_eq!(browser.send("GET", "/console/none", &[], "").await.status(), 404);
}

/// ORCH-CON-1
#[tokio::test]
async fn a_file_that_has_not_changed_is_not_sent_again() {
    let browser = Browser::new();
    let first = browser.send("GET", "/", &[], "").await;
    let tag = first.headers()[ETAG].to_str().unwrap().to_owned();
    let again = browser.send("GET", "/", &[("if-none-match", &tag)], "").await;
    assert_eq!(again.status(), 304);
    assert!(bytes(again).await.is_empty());
    let other = browser.send("GET", "/", &[("if-none-match", "\"other\"")], "").await;
    assert_eq!(other.status(), 200);
}

/// ORCH-CON-2
#[tokio::test]
async fn a_log_in_with_the_token_opens_what_the_token_opens() {
    let browser = Browser::logged_in().await;
    let site = [("sec-fetch-site", "same-origin")];
    assert_eq!(browser.send("GET", "/v1/sessions/x", &site, "").await.status(), 400, "let in, and read");
    assert_eq!(browser.send("POST", TASK, &PAGE, "").await.status(), 204);
    assert_eq!(browser.send("DELETE", "/console/session", &PAGE, "").await.status(), 204);
    assert_eq!(browser.send("POST", TASK, &PAGE, "").await.status(), 401, "logged out");
}

/// ORCH-CON-2
#[tokio::test]
async fn a_wrong_token_logs_nobody_in() {
    let browser = Browser::new();
    let response = browser.log_in("0123456789abcdeF").await;
    assert_eq!(response.status(), 401);
    assert!(!response.headers().contains_key(SET_COOKIE));
    let made_up = Browser { cookie: Some("llama-orch-6173=0000".to_owned()), ..Browser::new() };
    assert_eq!(made_up.send("POST", TASK, &PAGE, "").await.status(), 401);
    let basic = [(AUTHORIZATION.as_str(), "Bearer wrong")];
    assert_eq!(Browser::logged_in().await.send("GET", TASK, &basic, "").await.status(), 401);
}

/// ORCH-CON-3
#[tokio::test]
async fn the_cookie_counts_for_the_page_alone() {
    let browser = Browser::logged_in().await;
    let mark = ("x-llama-orch-console", "1");
    let other_port = (ORIGIN.as_str(), "http://localhost:3000");
    let own = (ORIGIN.as_str(), "http://localhost:6173");
    for forged in [
        &[][..],
        &[mark],
        &[own],
        &[mark, other_port],
        &[mark, own, ("sec-fetch-site", "same-site")],
        &[mark, own, ("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-origin")],
    ] {
        assert_eq!(browser.send("POST", TASK, forged, "").await.status(), 403, "{forged:?}");
    }
    for site in ["same-site", "cross-site"] {
        let read = browser.send("GET", "/v1/sessions/x", &[("sec-fetch-site", site)], "").await;
        assert_eq!(read.status(), 403, "{site}");
    }
    let page = "{\"token\":\"x\"}";
    assert_eq!(browser.send("POST", "/console/session", &[mark, other_port], page).await.status(), 403);
    assert_eq!(browser.send("DELETE", "/console/session", &[own], "").await.status(), 403);
}

/// ORCH-CON-2
#[test]
fn a_log_in_runs_out_and_the_oldest_makes_room() {
    let sessions = Sessions::default();
    let with = |name: &str| {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static("[::1]:6173"));
        headers.insert(COOKIE, HeaderValue::from_str(&format!("llama-orch-6173={name}")).unwrap());
        headers
    };
    let check = |name: &str, now| sessions.check(&http::Method::GET, &with(name), now);
    let start = Timestamp::from_millis(5);
    let first = sessions.open(start);
    assert_eq!(check(&first, start), Cookie::Right);
    assert_eq!(check(&first, start.after(session::TTL)), Cookie::Stale);
    let second = sessions.open(start);
    for _ in 1..SESSIONS_MAX {
        sessions.open(start);
    }
    assert_eq!(check(&first, start), Cookie::Stale, "the oldest made room");
    assert_eq!(check(&second, start), Cookie::Right);
}
