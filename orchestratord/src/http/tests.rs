use std::cell::RefCell;
use std::io;
use std::sync::Once;

use axum::body::Body;
use axum::response::Response;
use http::Request;
use http_body_util::BodyExt;
use tower::ServiceExt;

use super::*;
use crate::handle::Command;
use crate::health_view::HealthView;
use orchestrator_core::Millis;

pub(super) const TOKEN: &str = "0123456789abcdef";

/// The planes in front of a driver that knows no task, on a machine whose devices cannot be read.
pub(super) fn router() -> Router {
    let metrics = Arc::new(Metrics::new());
    let (driver, mut commands) = DriverHandle::new(Arc::clone(&metrics));
    crate::tasks::spawn(async move {
        while let Some(command) = commands.recv().await {
            match command {
                Command::Health(reply) => {
                    let view =
                        HealthView { ready: true, stopping: false, uptime: Millis(1), pools: Vec::new() };
                    reply.send(view);
                }
                Command::Cancel(_, reply) => reply.send(Ok(())),
                Command::AskedBy(..) => {}
                other => panic!("nobody asks for {other:?}"),
            }
        }
    });
    let settings = HttpSettings {
        models: BTreeMap::new(),
        token: ApiToken::new(TOKEN),
        ollama_needs_token: false,
        hosts: HostRules::new("127.0.0.1:6173".parse().unwrap(), &[]),
        origins: Origins::new(&["https://chat.example".to_owned()]),
        image_urls: ImageUrls::default(),
        body_bytes: 1024,
        streams: 1,
        keepalive: Duration::from_secs(1),
        sampler_profiles: BTreeMap::new(),
        engines: BTreeMap::new(),
        defaults: BTreeMap::new(),
        pools: BTreeMap::new(),
        build: "none".to_owned(),
    };
    let devices: ReadDevices = Arc::new(|| panic!("the driver of the cards is of another version"));
    let store = model_store::Store::new("/none".into(), model_store::Env::default());
    let store = Arc::new(store);
    let (engines, _) = engine_mock::MockFactory::new(engine_mock::MockConfig::default());
    let fit = ModelFit::with(Arc::new(engines), Arc::clone(&store));
    let models = ModelFolder::new(store);
    Api::new(
        driver,
        settings,
        Instruments {
            metrics,
            devices,
            ledger: Arc::default(),
            clock: Clock::start(),
            models,
            log: Arc::default(),
            fit,
        },
    )
    .router()
}

async fn ask(method: &str, path: &str) -> Response {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "localhost")
        .header("authorization", format!("Bearer {TOKEN}"));
    router().oneshot(request.body(Body::from("{\"prompt\": 17}")).unwrap()).await.unwrap()
}

/// ORCH-SEC-10
#[tokio::test]
async fn an_answer_before_the_end_of_the_body_closes_the_connection_and_any_other_keeps_it() {
    let ask = async |method: &str, path: &str, token: &str, bytes: usize| {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "localhost")
            .header("authorization", format!("Bearer {token}"))
            .body(Body::from(" ".repeat(bytes)))
            .unwrap();
        let response = router().oneshot(request).await.unwrap();
        let connection = response.headers().get("connection").map(|value| value.to_str().unwrap().to_owned());
        (response.status().as_u16(), connection)
    };
    let close = || Some("close".to_owned());
    assert_eq!(ask("POST", "/v1/tasks", TOKEN, 2048).await, (413, close()), "over the limit");
    assert_eq!(ask("POST", "/v1/tasks", "wrong", 17).await, (401, close()), "nobody's");
    assert_eq!(ask("POST", "/metrics", TOKEN, 17).await, (405, close()), "a wrong method");
    assert_eq!(ask("POST", "/v1/tasks", "wrong", 0).await, (401, None), "without a body");
    assert_eq!(ask("POST", "/v1/tasks", TOKEN, 17).await, (400, None), "read, and refused");
}

async fn text(response: Response) -> String {
    let body = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

/// ORCH-ERR-5
#[tokio::test]
async fn a_handler_that_panics_answers_500_and_keeps_the_reason_to_the_log() {
    let response = ask("GET", "/metrics").await;
    assert_eq!(response.status(), 500);
    let body = text(response).await;
    assert!(body.contains("INTERNAL") && !body.contains("of another version"), "{body}");
}

thread_local! {
    /// What this test has logged: each runs on a thread of its own.
    static LINES: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

struct Lines;

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LINES.with_borrow_mut(|lines| lines.extend_from_slice(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What is logged while `method path` is answered. The subscriber is that of the whole process: with one
/// for each test, whether a place in the code logs at all would depend on which test came there first.
async fn logged(method: &str, path: &str) -> String {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .with_writer(|| Lines)
            .finish();
        tracing::subscriber::set_global_default(subscriber).expect("no other test sets one");
    });
    LINES.take();
    ask(method, path).await;
    String::from_utf8(LINES.take()).unwrap()
}

/// ORCH-SEC-4
#[tokio::test]
async fn a_request_is_one_log_line_with_its_task_and_without_secrets() {
    let id = "6f1d2c3e-8a4b-4c5d-9e6f-0a1b2c3d4e5f";
    let log = logged("POST", &format!("/v1/tasks/{id}/cancel?token={TOKEN}")).await;
    assert_eq!(log.lines().count(), 1, "{log}");
    assert!(
        log.contains("DEBUG") && log.contains(&format!("task_id={id}")) && log.contains("status=204"),
        "{log}"
    );
    assert!(!log.contains(TOKEN), "{log}");

    let log = logged("POST", "/v1/tasks").await;
    assert!(log.contains("INFO") && log.contains("status=400") && log.contains("field=\"prompt\""), "{log}");
    assert!(!log.contains("`17`"), "what was asked is not logged: {log}");
}

/// ORCH-ERR-5
#[tokio::test]
async fn the_reason_of_a_panic_is_logged() {
    let log = logged("GET", "/metrics").await;
    assert!(log.contains("ERROR") && log.contains("of another version"), "{log}");
}
