//! The interactions of the pact: in which state of the daemon the client sends what, what it is answered,
//! and what it makes of that.

use std::pin::Pin;
use std::time::Duration;

use openapi_client::types::{
    FinishReason, Message, ModelFitRequest, ModelState, ModelStateRequest, Priority, ReloadRequest, Role,
    RollbackCode, RollbackStatus, TaskRequest, TaskState,
};
use openapi_client::{Client, Error, Event, Failure, Refusal};
use pact_consumer::builders::InteractionBuilder;
use pact_consumer::prelude::*;
use uuid::Uuid;

/// The task and the session that the interactions are about.
const TASK: &str = "6f1d2c3e-8a4b-4c5d-9e6f-0a1b2c3d4e5f";
const SESSION: &str = "0b7c1a52-3d44-4f0e-8b1a-5a6c7d8e9f01";

/// The model that a pool is given.
const MODEL: &str = "file:/models/other.gguf";

/// A token that the daemon of the tests takes, and one that it does not.
const RIGHT: &str = "0123456789abcdef0123456789abcdef";
const WRONG: &str = "fedcba9876543210fedcba9876543210";

/// What a client does.
type Drive = fn(Client) -> Pin<Box<dyn Future<Output = ()>>>;

/// One interaction.
pub struct Interaction {
    /// What it is called.
    pub description: &'static str,
    /// The state of the daemon.
    pub given: &'static str,
    /// The token that the client has.
    pub token: &'static str,
    /// Request and answer.
    pub says: fn(&mut InteractionBuilder),
    /// What the client does, and holds the answer to.
    pub drive: Drive,
}

/// All interactions.
pub const ALL: &[Interaction] = &[
    Interaction {
        description: "a conversation is submitted",
        given: "a pool serves",
        token: RIGHT,
        says: |it| {
            submission(it);
            it.response.status(202).content_type("application/json").json_body(json_pattern!({
                "task_id": TASK,
                "queue_position": like!(0),
                "predicted_start_ms": like!(0),
                "backoff_ms": like!(0),
            }));
        },
        drive: |client| {
            Box::pin(async move {
                let accepted = client.create_task(&request()).await.unwrap().into_inner();
                assert_eq!((accepted.task_id, accepted.queue_position), (task(), 0));
            })
        },
    },
    Interaction {
        description: "a conversation is submitted to a full lane",
        given: "the interactive lane is full",
        token: RIGHT,
        says: |it| {
            submission(it);
            refusal(it, 429, "ADMISSION_REJECT");
            wait(it);
        },
        drive: |client| {
            Box::pin(async move {
                let refused = refused(client.create_task(&request()).await.unwrap_err());
                assert_eq!(
                    (refused.status.as_u16(), refused.wait()),
                    (429, Some(Duration::from_millis(2350)))
                );
                assert!(refused.envelope.retriable);
            })
        },
    },
    Interaction {
        description: "a conversation is submitted while the model loads",
        given: "no pool is ready yet",
        token: RIGHT,
        says: |it| {
            submission(it);
            refusal(it, 503, "POOL_UNREADY");
            wait(it);
        },
        drive: |client| {
            Box::pin(async move {
                let refused = refused(client.create_task(&request()).await.unwrap_err());
                assert_eq!(
                    (refused.status.as_u16(), refused.wait()),
                    (503, Some(Duration::from_millis(2350)))
                );
            })
        },
    },
    Interaction {
        description: "a task that cannot fit is submitted",
        given: "a pool serves",
        token: RIGHT,
        says: |it| {
            it.request.post().path("/v1/tasks").content_type("application/json");
            authorized(it);
            it.request.json_body(json_pattern!({"prompt": like!("one two three"), "max_tokens": 1_000_000}));
            it.response.status(400).content_type("application/json").json_body(json_pattern!({
                "code": "INVALID_PARAMS",
                "message": like!("`max_tokens` is 1000000"),
                "engine": null,
                "retriable": false,
                "retry_after_ms": null,
            }));
        },
        drive: |client| {
            Box::pin(async move {
                let request = TaskRequest {
                    prompt: Some("one two three".to_owned()),
                    max_tokens: Some(1_000_000),
                    ..TaskRequest::default()
                };
                let refused = refused(client.create_task(&request).await.unwrap_err());
                assert_eq!((refused.status.as_u16(), refused.wait()), (400, None));
                assert!(refused.envelope.message.contains("max_tokens"));
            })
        },
    },
    Interaction {
        description: "a conversation is submitted with a wrong token",
        given: "a pool serves",
        token: WRONG,
        says: |it| {
            it.request.post().path("/v1/tasks").content_type("application/json");
            it.request.header("Authorization", format!("Bearer {WRONG}").as_str());
            it.request.json_body(conversation());
            it.response.status(401).header("WWW-Authenticate", "Bearer");
            it.response.content_type("application/json").json_body(json_pattern!({
                "code": "INVALID_PARAMS",
                "message": like!("the API token is missing or wrong"),
                "engine": null,
                "retriable": false,
                "retry_after_ms": null,
            }));
        },
        drive: |client| {
            Box::pin(async move {
                let refused = refused(client.create_task(&request()).await.unwrap_err());
                assert_eq!(refused.status.as_u16(), 401);
            })
        },
    },
    Interaction {
        description: "a stream is read to its end",
        given: "a task of three tokens has ended",
        token: RIGHT,
        says: |it| {
            it.request.get().path(format!("/v1/tasks/{TASK}/stream"));
            authorized(it);
            stream(it, &[0, 1, 2]);
        },
        drive: |client| {
            Box::pin(async move {
                let events = read(&client, None).await;
                assert!(matches!(events[0], Event::Started(_)), "{events:?}");
                assert_eq!(text(&events), "word0word1word2");
                let Some(Event::End(end)) = events.last() else { panic!("{events:?}") };
                assert_eq!(
                    (end.finish_reason, end.tokens_out, end.error.is_none()),
                    (FinishReason::Stop, 3, true)
                );
            })
        },
    },
    Interaction {
        description: "a stream is gone on with after its first token",
        given: "a task of three tokens has ended",
        token: RIGHT,
        says: |it| {
            it.request.get().path(format!("/v1/tasks/{TASK}/stream")).header("Last-Event-ID", "0");
            authorized(it);
            stream(it, &[1, 2]);
        },
        drive: |client| {
            Box::pin(async move {
                let events = read(&client, Some(0)).await;
                assert_eq!(text(&events), "word1word2");
            })
        },
    },
    Interaction {
        description: "a stream of a task that nobody knows is read",
        given: "a pool serves",
        token: RIGHT,
        says: |it| {
            it.request.get().path(format!("/v1/tasks/{TASK}/stream"));
            authorized(it);
            not_found(it);
        },
        drive: |client| {
            Box::pin(async move {
                let Err(failure) = client.events(task(), None).await else { panic!("it is not there") };
                assert_eq!(refused(failure).status.as_u16(), 404);
            })
        },
    },
    Interaction {
        description: "a task is canceled",
        given: "a task is running",
        token: RIGHT,
        says: |it| {
            it.request.post().path(format!("/v1/tasks/{TASK}/cancel"));
            authorized(it);
            it.response.status(204);
        },
        drive: |client| {
            Box::pin(async move {
                assert_eq!(client.cancel_task(&task()).await.unwrap().status().as_u16(), 204);
            })
        },
    },
    Interaction {
        description: "a task that nobody knows is canceled",
        given: "a pool serves",
        token: RIGHT,
        says: |it| {
            it.request.post().path(format!("/v1/tasks/{TASK}/cancel"));
            authorized(it);
            not_found(it);
        },
        drive: |client| {
            Box::pin(async move {
                assert_eq!(refused(client.cancel_task(&task()).await.unwrap_err()).status.as_u16(), 404);
            })
        },
    },
    Interaction {
        description: "a session is given back",
        given: "a session has had a turn",
        token: RIGHT,
        says: |it| {
            it.request.delete().path(format!("/v1/sessions/{SESSION}"));
            authorized(it);
            it.response.status(204);
        },
        drive: |client| {
            Box::pin(async move {
                let session = Uuid::parse_str(SESSION).unwrap();
                assert_eq!(client.delete_session(&session).await.unwrap().status().as_u16(), 204);
            })
        },
    },
    Interaction {
        description: "the daemon that serves is asked how it is",
        given: "a pool serves",
        token: RIGHT,
        says: |it| {
            it.request.get().path("/health");
            authorized(it);
            it.response.status(200).content_type("application/json").json_body(json_pattern!({
                "status": "ok",
                "version": like!("0.1.0"),
                "pools": each_like!({
                    "id": like!("p"),
                    "model_ref": like!("starter"),
                    "engine": term!("^(llamacpp|vllm|tgi|triton)$", "llamacpp"),
                    "state": "ready",
                    "model_state": term!("^(Active|Retired)$", "Active"),
                    "queue": {
                        "interactive": {"depth": like!(0), "bound": like!(2)},
                        "batch": {"depth": like!(0), "bound": like!(2)},
                    },
                    "replicas": each_like!({
                        "id": term!("^[a-z0-9._-]+/[0-9]+$", "p/0"),
                        "state": "ready",
                        "device": like!("cpu"),
                        "slots": like!(1),
                        "slots_busy": like!(0),
                        "ctx": like!(4096),
                    }),
                }),
            }));
        },
        drive: |client| {
            Box::pin(async move {
                let health = client.get_health().await.unwrap().into_inner();
                let pools = health.pools.unwrap();
                assert_eq!((pools.len(), pools[0].replicas[0].id.as_str()), (1, "p/0"));
            })
        },
    },
    Interaction {
        description: "a pool is given another model",
        given: "a pool serves and the new model is good",
        token: RIGHT,
        says: |it| {
            reload(it);
            it.response.status(200).content_type("application/json").json_body(json_pattern!({
                "status": "reloaded",
                "model_ref": MODEL,
            }));
        },
        drive: |client| {
            Box::pin(async move {
                let reloaded = client.reload_pool("p", &new_model()).await.unwrap().into_inner();
                assert_eq!(reloaded.model_ref, MODEL);
            })
        },
    },
    Interaction {
        description: "a pool is given a model that is broken",
        given: "a pool serves and the new model is broken",
        token: RIGHT,
        says: |it| {
            reload(it);
            it.response.status(409).content_type("application/json").json_body(json_pattern!({
                "status": "rollback",
                "code": "MODEL_INVALID",
                "message": like!("it is no GGUF file"),
            }));
        },
        drive: |client| {
            Box::pin(async move {
                let Err(Error::ErrorResponse(back)) = client.reload_pool("p", &new_model()).await else {
                    panic!("409 is an answer with a body of its own")
                };
                let back = back.into_inner();
                assert_eq!((back.status, back.code), (RollbackStatus::Rollback, RollbackCode::ModelInvalid));
            })
        },
    },
    Interaction {
        description: "a model is taken out of service",
        given: "a pool serves",
        token: RIGHT,
        says: |it| {
            it.request.post().path("/v1/models/p/state").content_type("application/json");
            authorized(it);
            it.request.json_body(json_pattern!({"state": "Retired"}));
            it.response.status(200).content_type("application/json").json_body(json_pattern!({
                "model_id": "p",
                "state": "Retired",
            }));
        },
        drive: |client| {
            Box::pin(async move {
                let request =
                    ModelStateRequest { state: ModelState::Retired, pinned: None, keep_alive: None };
                let status = client.set_model_state("p", &request).await.unwrap().into_inner();
                assert_eq!((status.model_id.as_str(), status.state), ("p", ModelState::Retired));
            })
        },
    },
    Interaction {
        description: "the tasks are asked for",
        given: "a task is running",
        token: RIGHT,
        says: |it| {
            it.request.get().path("/v1/tasks").query_param("limit", "20");
            authorized(it);
            it.response.status(200).content_type("application/json").json_body(json_pattern!({
                "counts": {"running": 1, "waiting": 0, "ended": 0},
                "tasks": [{
                    "task_id": TASK,
                    "pool": "p",
                    "priority": "interactive",
                    "workload": "completion",
                    "state": "running",
                    "tokens_in": like!(3),
                    "tokens_out": like!(0),
                    "age_ms": like!(12),
                    "promised_start_ms": like!(0),
                    "placements": 1,
                }],
            }));
        },
        drive: |client| {
            Box::pin(async move {
                let list = client.list_tasks(Some(20)).await.unwrap().into_inner();
                let [running] = &list.tasks[..] else { panic!("one task: {list:?}") };
                assert_eq!((running.task_id, running.state), (task(), TaskState::Running));
            })
        },
    },
    Interaction {
        description: "a task is looked at",
        given: "a task is running",
        token: RIGHT,
        says: |it| {
            it.request.get().path(format!("/v1/tasks/{TASK}"));
            authorized(it);
            it.response.status(200).content_type("application/json").json_body(json_pattern!({
                "task": {
                    "task_id": TASK,
                    "pool": "p",
                    "priority": "interactive",
                    "workload": "completion",
                    "state": "running",
                    "tokens_in": like!(3),
                    "tokens_out": like!(0),
                    "age_ms": like!(12),
                    "promised_start_ms": like!(0),
                    "started_ms": like!(0),
                    "placements": 1,
                },
                "input": {"parts": each_like!({"text": like!("one two three")}), "bytes": like!(13), "cut": false},
                "answer": like!(""),
            }));
        },
        drive: |client| {
            Box::pin(async move {
                let detail = client.get_task(&task()).await.unwrap().into_inner();
                assert_eq!((detail.task.task_id, detail.task.state), (task(), TaskState::Running));
            })
        },
    },
    Interaction {
        description: "the log is asked for",
        given: "a pool serves",
        token: RIGHT,
        says: |it| {
            it.request.get().path("/v1/log").query_param("lines", "1");
            authorized(it);
            it.response.status(200).content_type("application/json").json_body(json_pattern!({
                "first": like!(0),
                "lines": each_like!("2026-01-01T00:00:00Z  INFO listening"),
            }));
        },
        drive: |client| {
            Box::pin(async move {
                let page = client.get_log(None, Some(1)).await.unwrap().into_inner();
                assert_eq!((page.first, page.lines.len()), (0, 1));
            })
        },
    },
    Interaction {
        description: "it is asked whether a model fits whose file is not here",
        given: "a pool serves",
        token: RIGHT,
        says: |it| {
            it.request.post().path("/v1/store/fit").content_type("application/json");
            authorized(it);
            it.request.json_body(json_pattern!({"model_ref": MODEL}));
            it.response.status(400).content_type("application/json").json_body(json_pattern!({
                "code": "INVALID_PARAMS",
                "message": like!("there is no file of it on this machine"),
                "engine": null,
                "retriable": false,
                "retry_after_ms": null,
            }));
        },
        drive: |client| {
            Box::pin(async move {
                let asked = ModelFitRequest { model_ref: MODEL.to_owned(), pool: None };
                assert_eq!(refused(client.create_fit(&asked).await.unwrap_err()).status.as_u16(), 400);
            })
        },
    },
    Interaction {
        description: "the daemon that does not serve yet is asked how it is",
        given: "no pool is ready yet",
        token: RIGHT,
        says: |it| {
            it.request.get().path("/health");
            authorized(it);
            it.response.status(503).content_type("application/json").json_body(json_pattern!({
                "status": "starting",
            }));
        },
        drive: |client| {
            Box::pin(async move {
                let Err(Error::ErrorResponse(answer)) = client.get_health().await else {
                    panic!("503 is an answer with a body of its own")
                };
                assert_eq!(answer.status().as_u16(), 503);
            })
        },
    },
];

fn task() -> Uuid {
    Uuid::parse_str(TASK).unwrap()
}

/// A conversation as `llama-orch run` sends it.
fn request() -> TaskRequest {
    TaskRequest {
        task_id: Some(task()),
        messages: Some(vec![Message { role: Role::User, content: "one two three".to_owned() }]),
        priority: Some(Priority::Interactive),
        ..TaskRequest::default()
    }
}

fn conversation() -> JsonPattern {
    json_pattern!({
        "task_id": TASK,
        "messages": [{"role": "user", "content": "one two three"}],
        "priority": "interactive",
    })
}

/// Any token may be the right one; the daemon of the tests takes this one.
fn authorized(it: &mut InteractionBuilder) {
    it.request.header("Authorization", term!("^Bearer [!-~]+$", format!("Bearer {RIGHT}").as_str()));
}

fn submission(it: &mut InteractionBuilder) {
    it.request.post().path("/v1/tasks").content_type("application/json");
    authorized(it);
    it.request.json_body(conversation());
}

fn reload(it: &mut InteractionBuilder) {
    it.request.post().path("/v1/pools/p/reload").content_type("application/json");
    authorized(it);
    it.request.json_body(json_pattern!({"new_model_ref": MODEL}));
}

fn new_model() -> ReloadRequest {
    ReloadRequest { new_model_ref: MODEL.to_owned(), sha256: None }
}

fn refusal(it: &mut InteractionBuilder, status: u16, code: &str) {
    it.response.status(status).content_type("application/json").json_body(json_pattern!({
        "code": code,
        "message": like!("what happened"),
        "engine": like!("llamacpp"),
        "retriable": true,
        "retry_after_ms": like!(2350),
    }));
}

/// Both headers that say when to come back.
fn wait(it: &mut InteractionBuilder) {
    it.response.header("Retry-After", term!("^([1-9]|[1-5][0-9]|60)$", "3"));
    it.response.header("X-Backoff-Ms", term!("^[1-9][0-9]*$", "2350"));
}

fn not_found(it: &mut InteractionBuilder) {
    it.response.status(404).content_type("application/json").json_body(json_pattern!({
        "code": "INVALID_PARAMS",
        "message": like!("no such task"),
        "engine": null,
        "retriable": false,
        "retry_after_ms": null,
    }));
}

/// A stream of these tokens: the form of each event, and nothing of what differs from run to run.
fn stream(it: &mut InteractionBuilder, tokens: &[u32]) {
    let mut form = r"\A(: ping\n\n)*event: started\ndata: \{[^\n]+\}\n\n".to_owned();
    let mut example = "event: started\ndata: {\"queue_position\":0,\"predicted_start_ms\":0}\n\n".to_owned();
    for i in tokens {
        form.push_str(&format!(
            r#"(: ping\n\n)*event: token\nid: {i}\ndata: \{{[^\n]*"i": ?{i}[^\n]*\}}\n\n"#
        ));
        example.push_str(&format!("event: token\nid: {i}\ndata: {{\"t\":\"word{i}\",\"i\":{i}}}\n\n"));
    }
    form.push_str(r#"(: ping\n\n)*event: end\ndata: \{[^\n]*"finish_reason": ?"stop"[^\n]*\}\n\n\z"#);
    example.push_str(
        "event: end\ndata: {\"tokens_out\":3,\"decode_ms\":21,\"tokens_in\":5,\"queue_ms\":0,\"finish_reason\":\"stop\"}\n\n",
    );
    it.response.status(200).content_type("text/event-stream");
    it.response.body_matching2(term!(form.as_str(), example.as_str()), "text/event-stream");
}

async fn read(client: &Client, after: Option<u64>) -> Vec<Event> {
    let mut stream = client.events(task(), after).await.unwrap_or_else(|failure| panic!("{failure:?}"));
    let mut events = Vec::new();
    while let Some(event) = stream.next().await {
        events.push(event.unwrap());
    }
    events
}

fn text(events: &[Event]) -> String {
    let texts = events.iter().filter_map(|event| match event {
        Event::Token(token) => Some(token.t.as_str()),
        _ => None,
    });
    texts.collect()
}

fn refused(failure: impl Into<Failure>) -> Box<Refusal> {
    match failure.into() {
        Failure::Refused(refusal) => refusal,
        other => panic!("no refusal: {other:?}"),
    }
}
