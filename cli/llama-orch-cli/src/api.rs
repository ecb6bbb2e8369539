//! The daemon as the commands see it: the generated client behind a few verbs, and one error that says what
//! can be done about it.
//!
//! Rules: ORCH-CLI-5

use std::time::Duration;

use api_types::{
    ErrorEnvelope, Health, LogPage, ModelFit, ModelFitRequest, ModelState, ModelStateRequest, ModelStatus,
    ReloadRequest, Reloaded, RolledBack, TaskAccepted, TaskList, TaskRequest, TaskSummary,
};
pub use openapi_client::Event;
use openapi_client::{Client, Error, StreamError};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use uuid::Uuid;

use crate::connection::{Connection, Host};
use crate::exit::Exit;
use crate::failure::Failure;

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest silence of the daemon in the middle of an answer; its streams say something more often.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
/// After this long without a word the system asks whether the other side is still there.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// How long a courtesy may take, such as canceling a task before leaving.
const COURTESY_TIMEOUT: Duration = Duration::from_secs(2);

/// The daemon.
pub struct Api {
    client: Client,
    /// For what is answered when it is done, however long that takes.
    patient: Client,
    connection: Connection,
}

/// A task's stream, as far as one connection brings it.
pub struct Events(openapi_client::Events);

impl Events {
    /// Waits for the next event; nothing after `end` or the first error.
    pub async fn next(&mut self) -> Option<Result<Event, ApiError>> {
        self.0.next().await.map(|event| event.map_err(explain_stream))
    }
}

/// Why the daemon did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// There is no connection.
    #[error("not reachable: {0}")]
    Unreachable(String),
    /// There was a connection, and it ended too early.
    #[error("{0}")]
    Broken(String),
    /// The daemon says no.
    #[error("{}", envelope.message)]
    Refused {
        status: u16,
        envelope: Box<ErrorEnvelope>,
        /// How long to wait until it makes sense again, where the daemon says so.
        room_in: Option<Duration>,
    },
    /// What answers does not speak this protocol.
    #[error("{0}")]
    Protocol(String),
}

impl ApiError {
    /// How long to wait for room, where the daemon says that there will be some.
    pub fn room_in(&self) -> Option<Duration> {
        match self {
            Self::Refused { status: 429 | 503, room_in, .. } => *room_in,
            _ => None,
        }
    }

    /// Whether the daemon does not know what was named.
    pub const fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { status: 404, .. })
    }
}

impl Api {
    /// A client for `connection`. Connects to nothing yet.
    ///
    /// # Errors
    /// The TLS library or the token's header cannot be set up.
    pub fn new(connection: Connection) -> Result<Self, Failure> {
        let broken =
            |why: String| Failure::new(Exit::Failed, format!("the HTTP client cannot be set up: {why}"));
        let mut headers = HeaderMap::new();
        if let Some(secret) = connection.token.secret() {
            let mut value = HeaderValue::from_str(&format!("Bearer {secret}"))
                .map_err(|_| broken("the token fits no header".to_owned()))?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let client = |patience: RetryPolicy| {
            let mut builder = openapi_client::http_client()
                .user_agent(concat!("llama-orch/", env!("CARGO_PKG_VERSION")))
                .default_headers(headers.clone())
                .connect_timeout(CONNECT_TIMEOUT)
                .tcp_keepalive(KEEPALIVE)
                // The token goes where it was meant to go and nowhere else.
                .redirect(reqwest::redirect::Policy::none());
            if patience == RetryPolicy::Bounded {
                builder = builder.read_timeout(READ_TIMEOUT);
            }
            if connection.host == Host::This {
                // A proxy for the world outside does not reach this machine's loopback.
                builder = builder.no_proxy();
            }
            let http = builder.build().map_err(|error| broken(chain(&error)))?;
            Ok(Client::new_with_client(shown(&connection.url), http))
        };
        let (client, patient) = (client(RetryPolicy::Bounded)?, client(RetryPolicy::Endless)?);
        Ok(Self { client, patient, connection })
    }

    /// Puts a task into the queue, or asks where it stands when it is there already.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn submit(&self, request: &TaskRequest) -> Result<TaskAccepted, ApiError> {
        self.client.create_task(request).await.map(|accepted| accepted.into_inner()).map_err(explain)
    }

    /// Opens a task's stream after token `after`.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn stream(&self, id: Uuid, after: Option<u64>) -> Result<Events, ApiError> {
        self.client.events(id, after).await.map(Events).map_err(explain)
    }

    /// Cancels a task.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn cancel(&self, id: Uuid) -> Result<(), ApiError> {
        self.client.cancel_task(&id).await.map(|_| ()).map_err(explain)
    }

    /// Cancels a task on the way out: what goes wrong is of no use to anybody any more.
    pub async fn cancel_quietly(&self, id: Uuid) {
        drop(tokio::time::timeout(COURTESY_TIMEOUT, self.client.cancel_task(&id)).await);
    }

    /// Gives a session's KV cache back on the way out.
    pub async fn forget_quietly(&self, session: Uuid) {
        drop(tokio::time::timeout(COURTESY_TIMEOUT, self.client.delete_session(&session)).await);
    }

    /// How the daemon is, ready or not.
    ///
    /// # Errors
    /// See [`ApiError`]; that no pool is ready is none.
    pub async fn health(&self) -> Result<Health, ApiError> {
        match self.client.get_health().await {
            Ok(health) => Ok(health.into_inner()),
            Err(Error::ErrorResponse(not_ready)) => Ok(not_ready.into_inner()),
            Err(other) => Err(explain_untyped(other).await),
        }
    }

    /// Which tasks there are: of each kind at most `limit`.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn tasks(&self, limit: u32) -> Result<TaskList, ApiError> {
        self.client.list_tasks(Some(limit)).await.map(|tasks| tasks.into_inner()).map_err(explain)
    }

    /// One task, with where it stands.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn task(&self, id: Uuid) -> Result<TaskSummary, ApiError> {
        self.client.get_task(&id).await.map(|detail| detail.into_inner().task).map_err(explain)
    }

    /// Lines of its log: from number `from` on, or the last ones.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn log(&self, from: Option<u64>, lines: u32) -> Result<LogPage, ApiError> {
        self.client.get_log(from, Some(lines)).await.map(|page| page.into_inner()).map_err(explain)
    }

    /// Whether a model would fit the daemon's machine.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn fit(&self, model: String, pool: Option<String>) -> Result<ModelFit, ApiError> {
        let request = ModelFitRequest { model_ref: model, pool };
        self.client.create_fit(&request).await.map(|fit| fit.into_inner()).map_err(explain)
    }

    /// The client itself, for what measures it.
    pub const fn client(&self) -> &Client {
        &self.client
    }

    /// Has a pool serve another model. Resolves when it does, or when it was taken back.
    ///
    /// # Errors
    /// See [`ApiError`]; that it was taken back is none.
    pub async fn reload(
        &self,
        pool: &str,
        request: &ReloadRequest,
    ) -> Result<Result<Reloaded, RolledBack>, ApiError> {
        match self.patient.reload_pool(pool, request).await {
            Ok(reloaded) => Ok(Ok(reloaded.into_inner())),
            Err(Error::ErrorResponse(back)) => Ok(Err(back.into_inner())),
            Err(other) => Err(explain_untyped(other).await),
        }
    }

    /// Takes a pool's model out of service, or back into it.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn set_state(&self, pool: &str, state: ModelState) -> Result<ModelStatus, ApiError> {
        self.change_state(pool, ModelStateRequest { state, pinned: None, keep_alive: None }).await
    }

    /// Sets a model's state, and how long it stays loaded.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn change_state(
        &self,
        pool: &str,
        request: ModelStateRequest,
    ) -> Result<ModelStatus, ApiError> {
        self.client.set_model_state(pool, &request).await.map(|status| status.into_inner()).map_err(explain)
    }

    /// Whose machine the daemon is on.
    pub const fn host(&self) -> Host {
        self.connection.host
    }

    /// That the daemon told of itself only what it tells anyone.
    pub fn unauthorised(&self) -> Failure {
        self.connection.token.refused(self.url())
    }

    /// The token, where there is one.
    pub fn token(&self) -> Option<&str> {
        self.connection.token.secret()
    }

    /// The address, for messages.
    pub fn url(&self) -> &str {
        shown(&self.connection.url)
    }

    /// What to tell a person.
    pub fn failure(&self, error: ApiError) -> Failure {
        let url = self.url();
        match error {
            ApiError::Unreachable(why) => {
                let failure =
                    Failure::new(Exit::Unreachable, format!("no daemon can be reached at {url}: {why}"));
                failure.hint(match self.connection.host {
                    Host::This => "start it with `orchestratord`, or in a checkout with `cargo xtask demo`; if it is elsewhere, set LLAMA_ORCH_URL",
                    Host::Other => "is `orchestratord` running there, does it listen on that address (`listen` in its config), does a firewall let it through?",
                })
            }
            ApiError::Broken(why) => {
                Failure::new(Exit::Unreachable, format!("the connection to {url} broke: {why}"))
                    .hint("`llama-orch health` says whether the daemon is there")
            }
            ApiError::Protocol(why) => {
                Failure::new(Exit::Unreachable, format!("what answers at {url} is not orchestratord: {why}"))
                    .hint("set LLAMA_ORCH_URL to the address that the daemon logs when it starts")
            }
            ApiError::Refused { status: 401, .. } => self.unauthorised(),
            ApiError::Refused { status, envelope, .. } => {
                let failure = Failure::of_envelope(exit_of(status), &envelope);
                if status == 403 {
                    failure.hint(
                        "the daemon answers only to names it knows: use its address, or add the name to `allowed_hosts` in its config",
                    )
                } else {
                    failure
                }
            }
        }
    }
}

/// The address as a person writes it.
pub fn shown(url: &reqwest::Url) -> &str {
    url.as_str().trim_end_matches('/')
}

const fn exit_of(status: u16) -> Exit {
    match status {
        429 | 503 => Exit::Busy,
        400..=499 => Exit::Refused,
        _ => Exit::Failed,
    }
}

/// How long the daemon may be silent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum RetryPolicy {
    Bounded,
    Endless,
}

/// What a failure means whose own answer is no error envelope.
async fn explain_untyped<T>(error: Error<T>) -> ApiError {
    match error {
        Error::UnexpectedResponse(refused) => {
            let status = refused.status().as_u16();
            match refused.json::<ErrorEnvelope>().await {
                Ok(envelope) => ApiError::Refused { status, envelope: Box::new(envelope), room_in: None },
                Err(_) => ApiError::Protocol(format!("status {status}")),
            }
        }
        Error::ErrorResponse(response) => ApiError::Protocol(format!("status {}", response.status())),
        Error::CommunicationError(error) | Error::ResponseBodyError(error) => of_transport(&error),
        Error::InvalidResponsePayload(_, error) => ApiError::Protocol(error.to_string()),
        Error::InvalidRequest(what) | Error::Custom(what) => ApiError::Protocol(what),
        Error::InvalidUpgrade(error) => of_transport(&error),
    }
}

/// What the client's failure means here.
pub fn explain(error: impl Into<openapi_client::Failure>) -> ApiError {
    match error.into() {
        openapi_client::Failure::Refused(refusal) => ApiError::Refused {
            status: refusal.status.as_u16(),
            room_in: refusal.wait(),
            envelope: Box::new(refusal.envelope),
        },
        openapi_client::Failure::Connection(error) => of_transport(&error),
        openapi_client::Failure::Foreign(what) => ApiError::Protocol(what),
    }
}

fn explain_stream(error: StreamError) -> ApiError {
    match error {
        StreamError::Connection(error) => of_transport(&error),
        cut @ StreamError::Cut => ApiError::Broken(cut.to_string()),
        StreamError::Unknown(_) | StreamError::Data { .. } | StreamError::TooLarge => {
            ApiError::Protocol(chain(&error))
        }
    }
}

fn of_transport(error: &reqwest::Error) -> ApiError {
    if error.is_connect() {
        ApiError::Unreachable(chain(error))
    } else if error.is_timeout() {
        ApiError::Broken(format!("nothing came for {} s", READ_TIMEOUT.as_secs()))
    } else {
        ApiError::Broken(chain(error))
    }
}

/// The innermost cause: what is around it only says that there was a request.
fn chain(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
