//! The client.
//! Generated from `contracts/openapi` by `cargo xtask regen-openapi`; changes belong there.

pub use progenitor_client::{ByteStream, ClientInfo, Error, ResponseValue};
use progenitor_client::{encode_path, ClientHooks, OperationInfo, RequestBuilderExt};
#[derive(Clone, Debug)]
/**Client for llama-orch

Version: 1.0.0*/
pub struct Client {
    pub(crate) baseurl: String,
    pub(crate) client: reqwest::Client,
}
impl Client {
    /// Construct a new client with an existing `reqwest::Client`,
    /// allowing more control over its configuration.
    ///
    /// `baseurl` is the base URL provided to the internal
    /// `reqwest::Client`, and should include a scheme and hostname,
    /// as well as port and a path stem if applicable.
    pub fn new_with_client(baseurl: &str, client: reqwest::Client) -> Self {
        Self {
            baseurl: baseurl.to_string(),
            client,
        }
    }
}
impl ClientInfo<()> for Client {
    fn api_version() -> &'static str {
        "1.0.0"
    }
    fn baseurl(&self) -> &str {
        self.baseurl.as_str()
    }
    fn client(&self) -> &reqwest::Client {
        &self.client
    }
    fn inner(&self) -> &() {
        &()
    }
}
impl ClientHooks<()> for &Client {}
impl Client {
    /**Say which tasks there are, where each stands and how far it is

Tasks that run, the one that started first at the head; then tasks that wait, in the order in which
they will start; then tasks that have ended and are still readable, the last one first. Of each kind
at most `limit` are named; `counts` has all of them.


Sends a `GET` request to `/v1/tasks`

Arguments:
- `limit`: How many tasks of each kind are named.*/
    pub async fn list_tasks<'a>(
        &'a self,
        limit: Option<u32>,
    ) -> Result<
        ResponseValue<::api_types::TaskList>,
        Error<::api_types::ErrorEnvelope>,
    > {
        let url = format!("{}/v1/tasks", self.baseurl,);
        let mut header_map = ::reqwest::header::HeaderMap::with_capacity(1usize);
        header_map
            .append(
                ::reqwest::header::HeaderName::from_static("api-version"),
                ::reqwest::header::HeaderValue::from_static(Self::api_version()),
            );
        let mut request = self
            .client
            .get(url)
            .header(
                ::reqwest::header::ACCEPT,
                ::reqwest::header::HeaderValue::from_static("application/json"),
            )
            .query(&progenitor_client::QueryParam::new("limit", &limit))
            .headers(header_map)
            .build()?;
        let info = OperationInfo {
            operation_id: "list_tasks",
        };
        self.pre(&mut request, &info).await?;
        let result = self.exec(request, &info).await;
        self.post(&result, &info).await?;
        let response = result?;
        match response.status().as_u16() {
            200u16 => ResponseValue::from_response(response).await,
            400u16 => {
                Err(Error::ErrorResponse(ResponseValue::from_response(response).await?))
            }
            401u16 => {
                Err(Error::ErrorResponse(ResponseValue::from_response(response).await?))
            }
            403u16 => {
                Err(Error::ErrorResponse(ResponseValue::from_response(response).await?))
            }
            503u16 => {
                Err(Error::ErrorResponse(ResponseValue::from_response(response).await?))
            }
            _ => Err(Error::UnexpectedResponse(response)),
        }
    }
    /**Submit a task

Checks the task against the pool it goes to and puts it into the queue. The answer comes at once and
says where the task stands; its tokens are read at `/v1/tasks/{id}/stream`.

Sending the same body with the same `task_id` again is the same task: the answer is 202 with its
present place. The same `task_id` with another body is refused with 400.


Sends a `POST` request to `/v1/tasks`

Arguments:
- `body`: The task. 16 MiB at most, unless the config says otherwise.*/
    pub async fn create_task<'a>(
        &'a self,
        body: &'a ::api_types::TaskRequest,
    ) -> Result<
        ResponseValue<::api_types::TaskAccepted>,
        Error<::api_types::ErrorEnvelope>,
    > {
        let url = format!("{}/v1/tasks", self.baseurl,);
        let mut header_map = ::reqwest::header::HeaderMap::with_capacity(1usize);
        header_map
            .append(
                ::reqwest::header::HeaderName::from_static("api-version"),
                ::reqwest::header::HeaderValue::from_static(Self::api_version()),
            );
        let mut request = self
            .client
            .post(url)
            .header(
                ::reqwest::header::ACCEPT,
                ::reqwest::header::HeaderValue::from_static("application/json"),
            )
            .json(&body)
            .headers(header_map)
            .build()?;
        let info = OperationInfo {
            operation_id: "create_task",
        };
        self.pre(&mut request, &info).await?;
        let result = self.exec(request, &info).await;
        self.post(&result, &info).await?;
        let response = result?;
        match response.status().as_u16() {
            202u16 => ResponseValue::from_response(response).await,
            400u16 => {
                Err(Error::ErrorResponse(ResponseValue::from_response(response).await?))
            }
            401u16 => {
                Err(Error::ErrorResponse(ResponseValue::from_response(response).await?))
            }
            403u16 => {
                Err(Error::ErrorResponse(ResponseValue::from_response(response).await?))
            }
            413u16 => {
                Err(Error::ErrorResponse(ResponseValue::from_response(response).await?))
            }
            429u16 => {
                Err(Error::ErrorResponse(ResponseValue::from_response(response).await?))
            }
            500u16 => {
                Err(Error::ErrorResponse(ResponseValue::from_response(response).await?))
            }
            503u16 => {
                Err(Error::ErrorResponse(ResponseValue::from_response(response).await?))
            }
            _ => Err(Error::UnexpectedResponse(response)),
        }
    }
    /**Show one task, with what it was asked and what it has said so far

What was asked and what was said are kept in memory only, and forgotten with the task. A long input is
shown from its beginning.


Sends a `GET` request to `/v1/tasks/{id}`

Arguments:
- `id`: The task's UUID. Anything but a UUID is refused with 400.*/
    pub async fn get_task<'a>(
        &'a self,
        id: &'a ::uuid::Uuid,
    ) -> Result<
        ResponseValue<::api_types::TaskDetail>,
        Error<::api_types::ErrorEnvelope>,
    > {
        let url = format!(
            "{}/v1/tasks/{}", self.baseurl, encode_path(& id.to_string()),
        );
        let mut header_map = ::reqwest::header::HeaderMap::with_capacity(1usize);
        header_map
            .append(
                ::reqwest::header::HeaderName::from_static("api-version"),
                ::reqwest::header::HeaderValue::from_static(Self::api_version()),
            );
        let mut request = self
            .client
            .get(url)
            .header(
                ::reqwest::header::ACCEPT,
                ::reqwest::header::HeaderValue::from_static("application/json"),
            )
            .headers(header_map)
            .build()?;
        let info = OperationInfo {
            operation_id: "get_task",
        };
        self.pre(&mut request, &info).await?;
        let result = self.exec(request, &info).await;
        self.post(&result, &info).await?;
        let response = result?;
        match response.status().as_u16() {
            200u16 => ResponseValue::from_response(response).await,
            400u16 => {
                Err(Error::ErrorResponse(ResponseValue::from_response(response).await?))
            }
            401u16 => {
                Err(Error::ErrorResponse(ResponseValue::from_response(response).await?))
            }
            403u16 => {
                Err(Error::ErrorResponse(ResponseValue::from_response(response).await?))
            }
            404u16 => {
                Err(Error::ErrorResponse(ResponseValue::from_response(response).await?))
            }
            500u16 => {
                Err(Error::ErrorResponse(ResponseValue::from_response(response).await?))
            }
            503u16 => {
                Err(Error::ErrorResponse(ResponseValue::from_response(response).await?))
            }
            _ => Err(Error::UnexpectedResponse(response)),
        }
    }
    /**Read a task's tokens as they come

Server-sent events, with exactly three event names; the `data` of each is one line of JSON.

| event | data | when |
|---|---|---|
| `started` | `StartedEvent` | first, at once: says where the task stands |
| `token` | `TokenEvent` | for every stretch of the answer; the event's `id` is `i` |
| `end` | `EndEvent` | last, exactly once |

The stream begins with the first token for anyone who asks, and with token `Last-Event-ID` + 1 for
one who comes back; `started` comes first either way. Any number of readers may read one task, and
closing a stream does not cancel the task. The tokens stay readable for a configured time after the
end, then the answer is 404. Lines that begin with `:` are comments that keep an idle connection
alive, or say about once a second how many tokens of the prompt are read: `: prompt 2048/7491`.

A task of workload `embedding` gives one `token` event for each text of `inputs`, in order; `t` is
the JSON array of the vector's numbers. One of workload `rerank` gives one `token` event for each
document, in order; `t` is its score as a JSON number.


Sends a `GET` request to `/v1/tasks/{id}/stream`

Arguments:
- `id`: The task's UUID. Anything but a UUID is refused with 400.
- `last_event_id`: The `id` of the last `token` event the caller has; empty where it has none. Anything else is refused with 400.*/
    pub async fn stream_task<'a>(
        &'a self,
        id: &'a ::uuid::Uuid,
        last_event_id: Option<u64>,
    ) -> Result<ResponseValue<ByteStream>, Error<::api_types::ErrorEnvelope>> {
        let url = format!(
            "{}/v1/tasks/{}/stream", self.baseurl, encode_path(& id.to_string()),
        );
        let mut header_map = ::reqwest::header::HeaderMap::with_capacity(2usize);
        header_map
            .append(
                ::reqwest::header::HeaderName::from_static("api-version"),
                ::reqwest::header::HeaderValue::from_static(Self::api_version()),
            );
        if let Some(value) = last_event_id {
            header_map.append("Last-Event-ID", value.to_string().try_into()?);
        }
        let mut request = self.client.get(url).headers(header_map).build()?;
        let info = OperationInfo {
            operation_id: "stream_task",
        };
        self.pre(&mut request, &info).await?;
        let result = self.exec(request, &info).await;
        self.post(&result, &info).await?;
        let response = result?;
        match response.status().as_u16() {
            200u16 => Ok(ResponseValue::stream(response)),
            400u16 => {
                Err(Error::ErrorResponse(ResponseValue::from_response(response).await?))
            }
            401u16 => {
                Err(Error::ErrorResponse(ResponseValue::from_response(response).await?))
            }
            403u16 => {
                Err(Error::ErrorResponse(ResponseValue::from_response(response).await?))
            }
            404u16 => {
                Err(Error::ErrorResponse(ResponseValue::from_response(response).await?))
            }
            500u16 => {
                Err(Error::ErrorResponse(ResponseValue::from_response(response).await?))
            }
            503u16 => {
                Err(Error::ErrorResponse(ResponseValue::from_response(response).await?))
            }
            _ => Err(Error::UnexpectedResponse(response)),
        }
    }
    /**Cancel a task, wherever it stands

No token comes after the answer; the stream ends with `finish_reason` `canceled`. A repeated cancel,
and a cancel of a task that has ended, change nothing and answer 204 too. A body is not needed and
not read.


Sends a `POST` request to `/v1/tasks/{id}/cancel`

Arguments:
- `id`: The task's UUID. Anything but a UUID is refused with 400.*/
    pub async fn cancel_task<'a>(
        &'a self,
        id: &'a ::uuid::Uuid,
    ) -> Result<ResponseValue<()>, Error<::api_types::ErrorEnvelope>> {
        let url = format!(
            "{}/v1/tasks/{}/cancel", self.baseurl, encode_path(& id.to_string()),
        );
        let mut header_map = ::reqwest::header::HeaderMap::with_capacity(1usize);
        header_map
            .append(
                ::reqwest::header::HeaderName::from_static("api-version"),
                ::reqwest::header::HeaderValue::from_static(Self::api_version()),
            );
        let mut request = self
            .client
            .post(url)
            .header(
                ::reqwest::header::ACCEPT,
                ::reqwest::header::HeaderValue::from_static("application/json"),
            )
            .headers(header_map)
            .build()?;
        let info = OperationInfo {
            operation_id: "cancel_task",
        };
        self.pre(&mut request, &info).await?;
        let result = self.exec(request, &info).await;
        self.post(&result, &info).await?;
        let response = result?;
        match response.status().as_u16() {
            204u16 => Ok(ResponseValue::empty(response)),
            400u16 => {
                Err(Error::ErrorResponse(ResponseValue::from_response(response).await?))
            }
            401u16 => {
                Err(Error::ErrorResponse(ResponseValue::from_response(response).await?))
            }
            403u16 => {
                Err(Error::ErrorResponse(ResponseValue::from_response(response).await?))
            }
            404u16 => {
                Err(Error::ErrorResponse(ResponseValue::from_response(response).await?))
            }
            500u16 => {
                Err(Error::ErrorResponse(ResponseValue::from_response(response).await?))
            }
            503u16 => {
                Err(Error::ErrorResponse(ResponseValue::from_response(response).await?))
            }
            _ => Err(Error::UnexpectedResponse(response)),
        }
    }
    /**Say how warm a session is

A session is known from its first task until its time to live has passed without another.

Sends a `GET` request to `/v1/sessions/{id}`

Arguments:
- `id`: The session's UUID. Anything but a UUID is refused with 400.*/
    pub async fn get_session<'a>(
        &'a self,
        id: &'a ::uuid::Uuid,
    ) -> Result<ResponseValue<::api_types::Session>, Error<::api_types::ErrorEnvelope>> {
        let url = format!(
            "{}/v1/sessions/{}", self.baseurl, encode_path(& id.to_string()),
        );
        let mut header_map = ::reqwest::header::HeaderMap::with_capacity(1usize);
        header_map
            .append(
                ::reqwest::header::HeaderName::from_static("api-version"),
                ::reqwest::header::HeaderValue::from_static(Self::api_version()),
            );
        let mut request = self
            .client
            .get(url)
            .header(
                ::reqwest::header::ACCEPT,
                ::reqwest::header::HeaderValue::from_static("application/json"),
            )
            .headers(header_map)
            .build()?;
        let info = OperationInfo {
            operation_id: "get_session",
        };
        self.pre(&mut request, &info).await?;
        let result = self.exec(request, &info).await;
        self.post(&result, &info).await?;
        let response = result?;
        match response.status().as_u16() {
            200u16 => ResponseValue::from_response(response).await,
            400u16 => {
                Err(Error::ErrorResponse(ResponseValue::from_response(response).await?))
            }
            401u16 => {
                Err(Error::ErrorResponse(ResponseValue::from_response(response).await?))
            }
            403u16 => {
                Err(Error::ErrorResponse(ResponseValue::from_response(response).await?))
            }
            404u16 => {
                Err(Error::ErrorResponse(ResponseValue::from_response(response).await?))
            }
            500u16 => {
                Err(Error::ErrorResponse(ResponseValue::from_response(response).await?))
            }
            503u16 => {
                Err(Error::ErrorResponse(ResponseValue::from_response(response).await?))
            }
            _ => Err(Error::UnexpectedResponse(response)),
        }
    }
    /**Forget a session and give its KV cache back

Tasks of the session that wait or run go on; a later task of the same session starts it anew.

Sends a `DELETE` request to `/v1/sessions/{id}`

Arguments:
- `id`: The session's UUID. Anything but a UUID is refused with 400.*/
    pub async fn delete_session<'a>(
        &'a self,
        id: &'a ::uuid::Uuid,
    ) -> Result<ResponseValue<()>, Error<::api_types::ErrorEnvelope>> {
        let url = format!(
            "{}/v1/sessions/{}", self.baseurl, encode_path(& id.to_string()),
        );
        let mut header_map = ::reqwest::header::HeaderMap::with_capacity(1usize);
        header_map
            .append(
                ::reqwest::header::HeaderName::from_static("api-version"),
                ::reqwest::header::HeaderValue::from_static(Self::api_version()),
            );
        let mut request = self
            .client
            .delete(url)
            .header(
                ::reqwest::header::ACCEPT,
                ::reqwest::header::HeaderValue::from_static("application/json"),
            )
            .headers(header_map)
            .build()?;
        let info = OperationInfo {
            operation_id: "delete_session",
        };
        self.pre(&mut request, &info).await?;
        let result = self.exec(request, &info).await;
        self.post(&result, &info).await?;
        let response = result?;
        match response.status().as_u16() {
            204u16 => Ok(ResponseValue::empty(response)),
            400u16 => {
                Err(Error::ErrorResponse(ResponseValue::from_response(response).await?))
            }
            401u16 => {
                Err(Error::ErrorResponse(ResponseValue::from_response(response).await?))
            }
            403u16 => {
                Err(Error::ErrorResponse(ResponseValue::from_response(response).await?))
            }
            404u16 => {
                Err(Error::ErrorResponse(ResponseValue::from_response(response).await?))
            }
            500u16 => {
                Err(Error::ErrorResponse(ResponseValue::from_response(response).await?))
            }
            503u16 => {
                Err(Error::ErrorResponse(ResponseValue::from_response(response).await?))
            }
            _ => Err(Error::UnexpectedResponse(response)),
        }
    }
    /**Serve another model in a pool, or the same one read anew

The new model is fetched, loaded and tested while the old one serves, where memory allows it;
otherwise the queue waits while the models change places. Tasks that run finish on the model they
started on; tasks that wait are served by the new one. The answer comes when the change is made, or
when it has failed and everything is as before.

The change is not written to the configuration: after a restart the pool serves what that names.


Sends a `POST` request to `/v1/pools/{id}/reload`

Arguments:
- `id`: The pool's name.
- `body`: What the pool is to serve. 16 MiB at most, unless the config says otherwise.*/
    pub async fn reload_pool<'a>(
        &'a self,
        id: &'a str,
        body: &'a ::api_types::ReloadRequest,
    ) -> Result<ResponseValue<::api_types::Reloaded>, Error<::api_types::RolledBack>> {
        let url = format!(
            "{}/v1/pools/{}/reload", self.baseurl, encode_path(& id.to_string()),
        );
        let mut header_map = ::reqwest::header::HeaderMap::with_capacity(1usize);
        header_map
            .append(
                ::reqwest::header::HeaderName::from_static("api-version"),
                ::reqwest::header::HeaderValue::from_static(Self::api_version()),
            );
        let mut request = self
            .client
            .post(url)
            .header(
                ::reqwest::header::ACCEPT,
                ::reqwest::header::HeaderValue::from_static("application/json"),
            )
            .json(&body)
            .headers(header_map)
            .build()?;
        let info = OperationInfo {
            operation_id: "reload_pool",
        };
        self.pre(&mut request, &info).await?;
        let result = self.exec(request, &info).await;
        self.post(&result, &info).await?;
        let response = result?;
        match response.status().as_u16() {
            200u16 => ResponseValue::from_response(response).await,
            409u16 => {
                Err(Error::ErrorResponse(ResponseValue::from_response(response).await?))
            }
            _ => Err(Error::UnexpectedResponse(response)),
        }
    }
    /**Take a model out of service, or back into it

`Retired`: new tasks are refused with 503 `POOL_UNAVAILABLE`, tasks that wait end with the same code,
those that run finish, and then the model is unloaded, so that its memory is free for something else.
`Active`: the model is loaded again and takes tasks at once. The answer comes at once; `/health` says
how far it is. Setting the state that a model has changes nothing. Not kept over a restart.


Sends a `POST` request to `/v1/models/{id}/state`

Arguments:
- `id`: The name of its pool.
- `body`: The state. 16 MiB at most, unless the config says otherwise.*/
    pub async fn set_model_state<'a>(
        &'a self,
        id: &'a str,
        body: &'a ::api_types::ModelStateRequest,
    ) -> Result<
        ResponseValue<::api_types::ModelStatus>,
        Error<::api_types::ErrorEnvelope>,
    > {
        let url = format!(
            "{}/v1/models/{}/state", self.baseurl, encode_path(& id.to_string()),
        );
        let mut header_map = ::reqwest::header::HeaderMap::with_capacity(1usize);
        header_map
            .append(
                ::reqwest::header::HeaderName::from_static("api-version"),
                ::reqwest::header::HeaderValue::from_static(Self::api_version()),
            );
        let mut request = self
            .client
            .post(url)
            .header(
                ::reqwest::header::ACCEPT,
                ::reqwest::header::HeaderValue::from_static("application/json"),
            )
            .json(&body)
            .headers(header_map)
            .build()?;
        let info = OperationInfo {
            operation_id: "set_model_state",
        };
        self.pre(&mut request, &info).await?;
        let result = self.exec(request, &info).await;
        self.post(&result, &info).await?;
        let response = result?;
        match response.status().as_u16() {
            200u16 => ResponseValue::from_response(response).await,
            400u16 => {
                Err(Error::ErrorResponse(ResponseValue::from_response(response).await?))
            }
            401u16 => {
                Err(Error::ErrorResponse(ResponseValue::from_response(response).await?))
            }
            403u16 => {
                Err(Error::ErrorResponse(ResponseValue::from_response(response).await?))
            }
            404u16 => {
                Err(Error::ErrorResponse(ResponseValue::from_response(response).await?))
            }
            413u16 => {
                Err(Error::ErrorResponse(ResponseValue::from_response(response).await?))
            }
            500u16 => {
                Err(Error::ErrorResponse(ResponseValue::from_response(response).await?))
            }
            503u16 => {
                Err(Error::ErrorResponse(ResponseValue::from_response(response).await?))
            }
            _ => Err(Error::UnexpectedResponse(response)),
        }
    }
    /**Say whether tasks can be served

Anyone gets `status`, with a wrong token too; with the token the answer holds everything else. The
status code is 200 when at least one pool is ready, or would be for the first task that needs it, else
503, with the same body either way.


Sends a `GET` request to `/health`*/
    pub async fn get_health<'a>(
        &'a self,
    ) -> Result<ResponseValue<::api_types::Health>, Error<::api_types::Health>> {
        let url = format!("{}/health", self.baseurl,);
        let mut header_map = ::reqwest::header::HeaderMap::with_capacity(1usize);
        header_map
            .append(
                ::reqwest::header::HeaderName::from_static("api-version"),
                ::reqwest::header::HeaderValue::from_static(Self::api_version()),
            );
        let mut request = self
            .client
            .get(url)
            .header(
                ::reqwest::header::ACCEPT,
                ::reqwest::header::HeaderValue::from_static("application/json"),
            )
            .headers(header_map)
            .build()?;
        let info = OperationInfo {
            operation_id: "get_health",
        };
        self.pre(&mut request, &info).await?;
        let result = self.exec(request, &info).await;
        self.post(&result, &info).await?;
        let response = result?;
        match response.status().as_u16() {
            200u16 => ResponseValue::from_response(response).await,
            503u16 => {
                Err(Error::ErrorResponse(ResponseValue::from_response(response).await?))
            }
            _ => Err(Error::UnexpectedResponse(response)),
        }
    }
    /**The models of this machine, and those on their way to it

What is in the folder of models of the daemon, whole or not, with the pools that serve each file, and the fetches
that `POST /v1/store/fetches` began. What pools fetch for themselves is in `/health`.


Sends a `GET` request to `/v1/store`*/
    pub async fn get_store<'a>(
        &'a self,
    ) -> Result<ResponseValue<::api_types::Store>, Error<::api_types::ErrorEnvelope>> {
        let url = format!("{}/v1/store", self.baseurl,);
        let mut header_map = ::reqwest::header::HeaderMap::with_capacity(1usize);
        header_map
            .append(
                ::reqwest::header::HeaderName::from_static("api-version"),
                ::reqwest::header::HeaderValue::from_static(Self::api_version()),
            );
        let mut request = self
            .client
            .get(url)
            .header(
                ::reqwest::header::ACCEPT,
                ::reqwest::header::HeaderValue::from_static("application/json"),
            )
            .headers(header_map)
            .build()?;
        let info = OperationInfo {
            operation_id: "get_store",
        };
        self.pre(&mut request, &info).await?;
        let result = self.exec(request, &info).await;
        self.post(&result, &info).await?;
        let response = result?;
        match response.status().as_u16() {
            200u16 => ResponseValue::from_response(response).await,
            401u16 => {
                Err(Error::ErrorResponse(ResponseValue::from_response(response).await?))
            }
            403u16 => {
                Err(Error::ErrorResponse(ResponseValue::from_response(response).await?))
            }
            503u16 => {
                Err(Error::ErrorResponse(ResponseValue::from_response(response).await?))
            }
            _ => Err(Error::UnexpectedResponse(response)),
        }
    }
    /**Fetch a model, without serving it

The answer comes at once; `GET /v1/store` says how far it is. Two fetches run at a time, and the others wait. A
model that is being fetched already is not fetched twice. A transfer that breaks off is resumed by the next fetch.


Sends a `POST` request to `/v1/store/fetches`

Arguments:
- `body`: What to fetch. 16 MiB at most, unless the config says otherwise.*/
    pub async fn create_fetch<'a>(
        &'a self,
        body: &'a ::api_types::StoreFetchRequest,
    ) -> Result<
        ResponseValue<::api_types::StoreFetch>,
        Error<::api_types::ErrorEnvelope>,
    > {
        let url = format!("{}/v1/store/fetches", self.baseurl,);
        let mut header_map = ::reqwest::header::HeaderMap::with_capacity(1usize);
        header_map
            .append(
                ::reqwest::header::HeaderName::from_static("api-version"),
                ::reqwest::header::HeaderValue::from_static(Self::api_version()),
            );
        let mut request = self
            .client
            .post(url)
            .header(
                ::reqwest::header::ACCEPT,
                ::reqwest::header::HeaderValue::from_static("application/json"),
            )
            .json(&body)
            .headers(header_map)
            .build()?;
        let info = OperationInfo {
            operation_id: "create_fetch",
        };
        self.pre(&mut request, &info).await?;
        let result = self.exec(request, &info).await;
        self.post(&result, &info).await?;
        let response = result?;
        match response.status().as_u16() {
            202u16 => ResponseValue::from_response(response).await,
            400u16 => {
                Err(Error::ErrorResponse(ResponseValue::from_response(response).await?))
            }
            401u16 => {
                Err(Error::ErrorResponse(ResponseValue::from_response(response).await?))
            }
            403u16 => {
                Err(Error::ErrorResponse(ResponseValue::from_response(response).await?))
            }
            413u16 => {
                Err(Error::ErrorResponse(ResponseValue::from_response(response).await?))
            }
            _ => Err(Error::UnexpectedResponse(response)),
        }
    }
    /**Say whether a model would fit this machine

For a model whose file is on this machine: on which devices it would fit beside what is loaded now, what it needs
there for weights and for a token of the KV cache, and how much context it would get, with the options of a pool
that is named or with the defaults of a pool. Nothing is loaded.


Sends a `POST` request to `/v1/store/fit`

Arguments:
- `body`: The model. 16 MiB at most, unless the config says otherwise.*/
    pub async fn create_fit<'a>(
        &'a self,
        body: &'a ::api_types::ModelFitRequest,
    ) -> Result<
        ResponseValue<::api_types::ModelFit>,
        Error<::api_types::ErrorEnvelope>,
    > {
        let url = format!("{}/v1/store/fit", self.baseurl,);
        let mut header_map = ::reqwest::header::HeaderMap::with_capacity(1usize);
        header_map
            .append(
                ::reqwest::header::HeaderName::from_static("api-version"),
                ::reqwest::header::HeaderValue::from_static(Self::api_version()),
            );
        let mut request = self
            .client
            .post(url)
            .header(
                ::reqwest::header::ACCEPT,
                ::reqwest::header::HeaderValue::from_static("application/json"),
            )
            .json(&body)
            .headers(header_map)
            .build()?;
        let info = OperationInfo {
            operation_id: "create_fit",
        };
        self.pre(&mut request, &info).await?;
        let result = self.exec(request, &info).await;
        self.post(&result, &info).await?;
        let response = result?;
        match response.status().as_u16() {
            200u16 => ResponseValue::from_response(response).await,
            400u16 => {
                Err(Error::ErrorResponse(ResponseValue::from_response(response).await?))
            }
            401u16 => {
                Err(Error::ErrorResponse(ResponseValue::from_response(response).await?))
            }
            403u16 => {
                Err(Error::ErrorResponse(ResponseValue::from_response(response).await?))
            }
            413u16 => {
                Err(Error::ErrorResponse(ResponseValue::from_response(response).await?))
            }
            _ => Err(Error::UnexpectedResponse(response)),
        }
    }
    /**Cancel a fetch, or take one that is over off the list

What is here of a file that was canceled stays, and the next fetch of it goes on from there.


Sends a `DELETE` request to `/v1/store/fetches/{id}`

Arguments:
- `id`: The number of the fetch.*/
    pub async fn delete_fetch<'a>(
        &'a self,
        id: &'a str,
    ) -> Result<ResponseValue<()>, Error<::api_types::ErrorEnvelope>> {
        let url = format!(
            "{}/v1/store/fetches/{}", self.baseurl, encode_path(& id.to_string()),
        );
        let mut header_map = ::reqwest::header::HeaderMap::with_capacity(1usize);
        header_map
            .append(
                ::reqwest::header::HeaderName::from_static("api-version"),
                ::reqwest::header::HeaderValue::from_static(Self::api_version()),
            );
        let mut request = self
            .client
            .delete(url)
            .header(
                ::reqwest::header::ACCEPT,
                ::reqwest::header::HeaderValue::from_static("application/json"),
            )
            .headers(header_map)
            .build()?;
        let info = OperationInfo {
            operation_id: "delete_fetch",
        };
        self.pre(&mut request, &info).await?;
        let result = self.exec(request, &info).await;
        self.post(&result, &info).await?;
        let response = result?;
        match response.status().as_u16() {
            204u16 => Ok(ResponseValue::empty(response)),
            401u16 => {
                Err(Error::ErrorResponse(ResponseValue::from_response(response).await?))
            }
            403u16 => {
                Err(Error::ErrorResponse(ResponseValue::from_response(response).await?))
            }
            404u16 => {
                Err(Error::ErrorResponse(ResponseValue::from_response(response).await?))
            }
            _ => Err(Error::UnexpectedResponse(response)),
        }
    }
    /**The figures of the last hours

What each pool has read and written, how long its tasks waited, how good its predictions were, and the memory in
use, a minute at a time for the last twelve hours. Kept in memory only: a restart begins anew.


Sends a `GET` request to `/v1/figures`*/
    pub async fn get_figures<'a>(
        &'a self,
    ) -> Result<ResponseValue<::api_types::Figures>, Error<::api_types::ErrorEnvelope>> {
        let url = format!("{}/v1/figures", self.baseurl,);
        let mut header_map = ::reqwest::header::HeaderMap::with_capacity(1usize);
        header_map
            .append(
                ::reqwest::header::HeaderName::from_static("api-version"),
                ::reqwest::header::HeaderValue::from_static(Self::api_version()),
            );
        let mut request = self
            .client
            .get(url)
            .header(
                ::reqwest::header::ACCEPT,
                ::reqwest::header::HeaderValue::from_static("application/json"),
            )
            .headers(header_map)
            .build()?;
        let info = OperationInfo {
            operation_id: "get_figures",
        };
        self.pre(&mut request, &info).await?;
        let result = self.exec(request, &info).await;
        self.post(&result, &info).await?;
        let response = result?;
        match response.status().as_u16() {
            200u16 => ResponseValue::from_response(response).await,
            401u16 => {
                Err(Error::ErrorResponse(ResponseValue::from_response(response).await?))
            }
            403u16 => {
                Err(Error::ErrorResponse(ResponseValue::from_response(response).await?))
            }
            503u16 => {
                Err(Error::ErrorResponse(ResponseValue::from_response(response).await?))
            }
            _ => Err(Error::UnexpectedResponse(response)),
        }
    }
    /**The last lines of the log

What the daemon has logged, as it stands in its log, wherever that goes. The last 2,000 lines are kept in memory, as
long as they are no more than 512 KiB: a restart begins anew. To go on from here, ask with `from` = `first` + the
number of lines; an answer that begins later has lost those between.


Sends a `GET` request to `/v1/log`

Arguments:
- `from`: The number of the first line. When absent, the last lines are sent.
- `lines`: The most lines.*/
    pub async fn get_log<'a>(
        &'a self,
        from: Option<u64>,
        lines: Option<u32>,
    ) -> Result<ResponseValue<::api_types::LogPage>, Error<::api_types::ErrorEnvelope>> {
        let url = format!("{}/v1/log", self.baseurl,);
        let mut header_map = ::reqwest::header::HeaderMap::with_capacity(1usize);
        header_map
            .append(
                ::reqwest::header::HeaderName::from_static("api-version"),
                ::reqwest::header::HeaderValue::from_static(Self::api_version()),
            );
        let mut request = self
            .client
            .get(url)
            .header(
                ::reqwest::header::ACCEPT,
                ::reqwest::header::HeaderValue::from_static("application/json"),
            )
            .query(&progenitor_client::QueryParam::new("from", &from))
            .query(&progenitor_client::QueryParam::new("lines", &lines))
            .headers(header_map)
            .build()?;
        let info = OperationInfo {
            operation_id: "get_log",
        };
        self.pre(&mut request, &info).await?;
        let result = self.exec(request, &info).await;
        self.post(&result, &info).await?;
        let response = result?;
        match response.status().as_u16() {
            200u16 => ResponseValue::from_response(response).await,
            400u16 => {
                Err(Error::ErrorResponse(ResponseValue::from_response(response).await?))
            }
            401u16 => {
                Err(Error::ErrorResponse(ResponseValue::from_response(response).await?))
            }
            403u16 => {
                Err(Error::ErrorResponse(ResponseValue::from_response(response).await?))
            }
            _ => Err(Error::UnexpectedResponse(response)),
        }
    }
    /**The metrics, for Prometheus

In the OpenMetrics text format, which Prometheus reads. The series are those that
`ci/metrics.lint.json` lists, and no other.


Sends a `GET` request to `/metrics`*/
    pub async fn get_metrics<'a>(
        &'a self,
    ) -> Result<ResponseValue<ByteStream>, Error<::api_types::ErrorEnvelope>> {
        let url = format!("{}/metrics", self.baseurl,);
        let mut header_map = ::reqwest::header::HeaderMap::with_capacity(1usize);
        header_map
            .append(
                ::reqwest::header::HeaderName::from_static("api-version"),
                ::reqwest::header::HeaderValue::from_static(Self::api_version()),
            );
        let mut request = self.client.get(url).headers(header_map).build()?;
        let info = OperationInfo {
            operation_id: "get_metrics",
        };
        self.pre(&mut request, &info).await?;
        let result = self.exec(request, &info).await;
        self.post(&result, &info).await?;
        let response = result?;
        match response.status().as_u16() {
            200u16 => Ok(ResponseValue::stream(response)),
            401u16 => {
                Err(Error::ErrorResponse(ResponseValue::from_response(response).await?))
            }
            403u16 => {
                Err(Error::ErrorResponse(ResponseValue::from_response(response).await?))
            }
            503u16 => {
                Err(Error::ErrorResponse(ResponseValue::from_response(response).await?))
            }
            _ => Err(Error::UnexpectedResponse(response)),
        }
    }
}
