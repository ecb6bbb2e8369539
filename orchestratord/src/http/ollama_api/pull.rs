//! `POST /api/pull`: fetches a model into the models folder, with its progress. What is served already is there, whatever
//! name it has. A model that was fetched is served once a pool names it: the last lines say so.
//!
//! Rules: ORCH-OLLAMA-8

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use futures_util::stream::unfold;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};
use model_store::ModelRef;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use super::names;
use super::response::{Lines, put_line};
use crate::backpressure::{Code, Refusal, Verdict};
use crate::http::answer::{Refused, shown};
use crate::http::generate::stream::{OpenStream, StreamEncoder};
use crate::http::{Api, body};
use crate::model_folder::{FETCHES_MAX, Fetch, FetchState, ModelFolder};

/// How often the progress is looked at.
const LOOK: Duration = Duration::from_millis(250);

/// The body; `name` is what Ollama called the model before.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PullRequest {
    model: Option<String>,
    name: Option<String>,
    stream: Option<bool>,
    /// Nothing is fetched without TLS, but from this machine.
    #[serde(default, rename = "insecure")]
    _insecure: IgnoredAny,
    /// For Ollama's own registry.
    #[serde(default, rename = "username")]
    _username: IgnoredAny,
    #[serde(default, rename = "password")]
    _password: IgnoredAny,
}

/// A fetch that somebody waits for.
struct Pull {
    folder: Arc<ModelFolder>,
    model: ModelRef,
    id: u64,
    /// Whether it was started here, and ends with the one who waits.
    is_own: bool,
    is_over: bool,
}

/// Where a pull is.
enum Step {
    Progress(Value),
    Done,
    Failed(String),
}

/// Fetches a model.
pub(super) async fn create(State(api): State<Arc<Api>>, request: Request) -> Result<Response, Refused> {
    let request: PullRequest = body::read_json(request, api.settings().body_bytes).await?;
    let missing = || Refusal::Invalid("`model` is missing: name the model to fetch".to_owned());
    let name = request.model.or(request.name).ok_or_else(missing)?;
    let streams = request.stream != Some(false);
    let view = api.pools().await?;
    if names::find(&view, &name).is_ok() {
        let success = json!({ "status": "success" });
        return Ok(if streams { lines(vec![success]) } else { Json(success).into_response() });
    }
    let permit = streams.then(|| OpenStream::take(&api)).transpose()?;
    let mut pull = Pull::start(&api.models, fetchable(&name)?)?;
    if let Some(permit) = permit {
        return Ok(pull.stream(permit));
    }
    loop {
        match pull.next().await {
            Step::Progress(_) => {}
            Step::Done => return Ok(Json(json!({ "status": "success" })).into_response()),
            Step::Failed(why) => return Err(failed(why)),
        }
    }
}

/// A fetch that failed, for whatever reason of its host: another try may succeed.
fn failed(message: String) -> Refused {
    let (status, code) = (StatusCode::SERVICE_UNAVAILABLE.as_u16(), Code::PoolUnavailable);
    Refused { verdict: Verdict { status, code, retriable: true, retry_after: None }, message, engine: None }
}

/// What a client names, as far as it can be fetched.
fn fetchable(name: &str) -> Result<ModelRef, Refusal> {
    const INSTEAD: &str = "the library of Ollama is not reached from here; use `hf:OWNER/REPO:QUANT`, `hf:OWNER/REPO/FILE.gguf`, \
                           `https://HOST/FILE.gguf` or `starter`";
    match ModelRef::parse(name) {
        Ok(ModelRef::File(_)) => Err(Refusal::Invalid(format!(
            "`model` is `{}`, a file of this machine: there is nothing to fetch; a pool in llama-orch.yaml serves it",
            shown(name.as_bytes())
        ))),
        Ok(model) => Ok(model),
        Err(_) => {
            let name = shown(name.as_bytes());
            Err(Refusal::Invalid(format!("model '{name}' cannot be fetched under this name: {INSTEAD}")))
        }
    }
}

impl Pull {
    fn start(folder: &Arc<ModelFolder>, model: ModelRef) -> Result<Self, Refusal> {
        let is_own = !folder.fetches().iter().any(|fetch| fetch.model == model && !fetch.state.is_over());
        let id = folder.fetch(model.clone(), None).map_err(|_| {
            Refusal::Invalid(format!("{FETCHES_MAX} models are being fetched already: wait for one of them"))
        })?;
        Ok(Self { folder: Arc::clone(folder), model, id, is_own, is_over: false })
    }

    /// What is to be told next, after a while.
    async fn next(&mut self) -> Step {
        tokio::time::sleep(LOOK).await;
        let fetches = self.folder.fetches();
        let step = match fetches.iter().find(|fetch| fetch.id == self.id) {
            Some(fetch) => self.step(fetch),
            None => Step::Failed("the fetch was taken off the list".to_owned()),
        };
        self.is_over = !matches!(step, Step::Progress(_));
        step
    }

    fn step(&self, fetch: &Fetch) -> Step {
        let layer = self.model.to_string();
        match fetch.state {
            FetchState::Waiting => Step::Progress(json!({ "status": "pulling manifest" })),
            FetchState::Fetching => {
                let status = format!("pulling {layer}");
                let mut progress =
                    json!({ "status": status, "digest": layer, "completed": fetch.done_bytes });
                if let Some(total) = fetch.total_bytes {
                    progress["total"] = total.into();
                }
                Step::Progress(progress)
            }
            FetchState::Checking => Step::Progress(json!({ "status": "verifying sha256 digest" })),
            FetchState::Done => Step::Done,
            FetchState::Failed => {
                Step::Failed(fetch.message.clone().unwrap_or_else(|| "the model was not fetched".to_owned()))
            }
            FetchState::Canceled => Step::Failed("the fetch was canceled".to_owned()),
        }
    }

    /// The lines of the progress, while somebody reads them.
    fn stream(self, permit: OpenStream) -> Response {
        let first = vec![json!({ "status": "pulling manifest" })];
        let lines = unfold((Some(self), first, permit), async |(pull, ready, permit)| {
            if !ready.is_empty() {
                return Some((Ok::<_, Infallible>(written(&ready)), (pull, Vec::new(), permit)));
            }
            let mut pull = pull?;
            let lines = match pull.next().await {
                Step::Progress(line) => return Some((Ok(written(&[line])), (Some(pull), ready, permit))),
                Step::Done => {
                    let serve =
                        format!("fetched: `model: {}` of a pool in llama-orch.yaml serves it", pull.model);
                    vec![json!({ "status": serve }), json!({ "status": "success" })]
                }
                Step::Failed(why) => vec![json!({ "error": why })],
            };
            Some((Ok(written(&lines)), (None, Vec::new(), permit)))
        });
        respond(Body::from_stream(lines))
    }
}

impl Drop for Pull {
    fn drop(&mut self) {
        if self.is_own && !self.is_over {
            self.folder.cancel(self.id);
        }
    }
}

fn lines(lines: Vec<Value>) -> Response {
    respond(Body::from(written(&lines)))
}

fn written(lines: &[Value]) -> Bytes {
    let mut out = BytesMut::new();
    lines.iter().for_each(|line| put_line(&mut out, line));
    out.freeze()
}

fn respond(body: Body) -> Response {
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static(Lines::MEDIA_TYPE)),
        (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    (headers, body).into_response()
}
