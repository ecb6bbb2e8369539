//! How a response is told: whole, and in events. Its output is a list of items: what was thought, one message, and the
//! calls.

use bytes::BytesMut;
use generation::{TokenLogprob, ToolCallDelta, Transcript};
use orchestrator_core::TaskId;
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::request::Echo;
use crate::http::answer::Refused;
use crate::http::openai_api::collect::CollectedOutput;
use crate::http::openai_api::custom_input::{CustomInput, custom_input};
use crate::http::openai_api::error::Envelope;
use crate::http::openai_api::generation_params::ResponseOptions;
use crate::http::openai_api::generation_tasks::tool_call_id;
use crate::http::openai_api::logprobs::Token;
use crate::http::openai_api::offered_tools::{ClientTool, ToolNames};
use crate::http::openai_api::output::SegmentMetadata;
use crate::http::openai_api::stream::{self, StreamEncoder};
use crate::http::openai_api::unix_now;
use crate::task_log::{FinishReason, TaskEnd};

/// What all events of a response, and a whole one, say alike.
pub(super) struct ResponseMeta {
    options: ResponseOptions,
    echo: Echo,
    tool_names: ToolNames,
    id: String,
    created_at: u64,
}

impl ResponseMeta {
    /// The response that is `task`.
    pub(super) fn new(options: ResponseOptions, echo: Echo, tool_names: ToolNames, task: TaskId) -> Self {
        Self { options, echo, tool_names, id: format!("resp_{task}"), created_at: unix_now() }
    }

    /// The whole response.
    pub(super) fn whole(&self, output: &CollectedOutput) -> Response<'_> {
        let CollectedOutput { transcript, end, .. } = output;
        let Transcript { text, reasoning, tool_calls, .. } = transcript;
        let status = status_of(end);
        let tokens = self.options.logprobs.map(|_| tokens(&output.logprobs));
        let has_message = !text.is_empty() || tool_calls.is_empty() && reasoning.is_empty();
        let of_reasoning = if has_message || !tool_calls.is_empty() { "completed" } else { status };
        let reasoning =
            (!reasoning.is_empty()).then(|| reasoning_item(&item_id("rs"), of_reasoning, reasoning));
        let message = has_message.then(|| message(&item_id("msg"), status, part(text, tokens.as_deref())));
        let calls = tool_calls.iter().map(|called| {
            let item = Call::new(&self.tool_names, called.id.clone(), called.name.clone());
            match item.is_custom {
                true => item.value(status, &custom_input(&called.arguments)),
                false => item.value(status, &called.arguments),
            }
        });
        self.response(reasoning.into_iter().chain(message).chain(calls).collect(), Some(end))
    }

    /// About how many bytes the whole response takes to tell.
    pub(super) fn bytes(&self, output: &CollectedOutput) -> usize {
        output.bytes() + self.echo.bytes()
    }

    fn response(&self, output: Vec<Value>, end: Option<&TaskEnd>) -> Response<'_> {
        let status = end.map_or("in_progress", status_of);
        let incomplete = (status == "incomplete").then(|| json!({"reason": "max_output_tokens"}));
        let usage = end.map(|end| {
            json!({
                "input_tokens": end.tokens_in.0,
                "input_tokens_details": {"cached_tokens": end.tokens_cached.0, "cache_write_tokens": 0},
                "output_tokens": end.tokens_out.0,
                "output_tokens_details": {"reasoning_tokens": end.tokens_reasoning.unwrap_or_default().0},
                "total_tokens": end.tokens_in.0.saturating_add(end.tokens_out.0),
            })
        });
        Response {
            id: &self.id,
            object: "response",
            created_at: self.created_at,
            status,
            model: &self.options.model,
            service_tier: self.options.lane.tier(),
            output,
            echo: &self.echo,
            error: (),
            incomplete_details: incomplete,
            usage,
        }
    }
}

/// A response, as far as it is there.
#[derive(Serialize)]
pub(super) struct Response<'t> {
    id: &'t str,
    object: &'static str,
    created_at: u64,
    status: &'static str,
    model: &'t str,
    service_tier: &'static str,
    output: Vec<Value>,
    #[serde(flatten)]
    echo: &'t Echo,
    error: (),
    incomplete_details: Option<Value>,
    usage: Option<Value>,
}

/// An event about the response itself.
#[derive(Serialize)]
struct OfResponse<'t> {
    response: Response<'t>,
    r#type: &'t str,
    sequence_number: u64,
}

/// The response in events.
pub(super) struct Events {
    meta: ResponseMeta,
    /// Of the next event.
    sequence: u64,
    /// Items that are whole.
    output: Vec<Value>,
    open: Open,
    ended: Option<TaskEnd>,
}

/// The item that is being said.
enum Open {
    /// None, and the response itself has not begun.
    Nothing,
    Between,
    Reasoning {
        id: String,
        text: String,
    },
    Message {
        id: String,
        text: String,
        /// How probable its tokens were, where that was asked for.
        tokens: Option<Vec<Token>>,
    },
    Call {
        call: Call,
        arguments: String,
        /// What it says of its input, where it is one of a custom tool.
        custom: CustomInput,
    },
}

#[derive(Clone)]
struct Call {
    id: String,
    call_id: String,
    name: String,
    namespace: Option<String>,
    is_custom: bool,
}

impl Call {
    /// A call of what the model knows as `offered`, in the words of the client.
    fn new(tool_names: &ToolNames, call_id: String, offered: String) -> Self {
        match tool_names.of(&offered) {
            Some(ClientTool { name, namespace, is_custom, .. }) => {
                let (name, namespace, is_custom) = (name.clone(), namespace.clone(), *is_custom);
                let id = item_id(if is_custom { "ctc" } else { "fc" });
                Self { id, call_id, name, namespace, is_custom }
            }
            None => Self { id: item_id("fc"), call_id, name: offered, namespace: None, is_custom: false },
        }
    }

    /// The item, with its arguments or its input.
    fn value(&self, status: &str, content: &str) -> Value {
        let Self { id, call_id, name, namespace, is_custom } = self;
        let (kind, field) =
            if *is_custom { ("custom_tool_call", "input") } else { ("function_call", "arguments") };
        let mut item = json!({"id": id, "type": kind, "status": status, "call_id": call_id, "name": name,
            field: content});
        if let Some(namespace) = namespace {
            item["namespace"] = Value::from(namespace.as_str());
        }
        item
    }
}

impl Events {
    /// Of one response.
    pub(super) fn new(meta: ResponseMeta) -> Self {
        Self { meta, sequence: 0, output: Vec::new(), open: Open::Nothing, ended: None }
    }

    fn event(&mut self, out: &mut BytesMut, name: &str, mut event: Value) {
        event["type"] = Value::from(name);
        event["sequence_number"] = Value::from(self.sequence);
        self.sequence += 1;
        stream::event(out, name, &event);
    }

    /// An event about the response itself.
    fn of_response(&mut self, out: &mut BytesMut, name: &str, output: Vec<Value>) {
        let response = self.meta.response(output, self.ended.as_ref());
        stream::event(out, name, &OfResponse { response, r#type: name, sequence_number: self.sequence });
        self.sequence += 1;
    }

    /// An event about the item that is being said.
    fn of_item(&mut self, out: &mut BytesMut, name: &str, mut event: Value) {
        event["output_index"] = Value::from(self.output.len());
        self.event(out, name, event);
    }

    /// Begins the response, and ends the item that is open.
    fn between_items(&mut self, out: &mut BytesMut, status: &'static str) {
        match std::mem::replace(&mut self.open, Open::Between) {
            Open::Nothing => {
                for name in ["response.created", "response.in_progress"] {
                    self.of_response(out, name, Vec::new());
                }
            }
            Open::Between => {}
            Open::Reasoning { id, text } => {
                let said = json!({"item_id": id, "content_index": 0, "text": text});
                self.of_item(out, "response.reasoning_text.done", said);
                self.item_done(out, reasoning_item(&id, status, &text));
            }
            Open::Message { id, text, tokens } => {
                let logprobs = tokens.as_deref().unwrap_or_default();
                let said = json!({"item_id": id, "content_index": 0, "text": text, "logprobs": logprobs});
                self.of_item(out, "response.output_text.done", said);
                let part = part(&text, tokens.as_deref());
                let done = json!({"item_id": id, "content_index": 0, "part": part});
                self.of_item(out, "response.content_part.done", done);
                self.item_done(out, message(&id, status, part));
            }
            Open::Call { call, custom, .. } if call.is_custom => {
                let (rest, input) = custom.finish();
                if !rest.is_empty() {
                    let delta = json!({"item_id": call.id, "delta": rest});
                    self.of_item(out, "response.custom_tool_call_input.delta", delta);
                }
                let said = json!({"item_id": call.id, "input": input});
                self.of_item(out, "response.custom_tool_call_input.done", said);
                self.item_done(out, call.value(status, &input));
            }
            Open::Call { call, arguments, .. } => {
                let said = json!({"item_id": call.id, "name": call.name, "arguments": arguments});
                self.of_item(out, "response.function_call_arguments.done", said);
                self.item_done(out, call.value(status, &arguments));
            }
        }
    }

    fn item_done(&mut self, out: &mut BytesMut, item: Value) {
        self.of_item(out, "response.output_item.done", json!({"item": item}));
        self.output.push(item);
    }
}

impl StreamEncoder for Events {
    fn text(&mut self, out: &mut BytesMut, _choice: usize, text: &str, metadata: SegmentMetadata) {
        if !matches!(self.open, Open::Message { .. }) {
            self.between_items(out, "completed");
            let id = item_id("msg");
            let item = json!({"id": id, "type": "message", "status": "in_progress", "role": "assistant",
                "content": []});
            self.of_item(out, "response.output_item.added", json!({"item": item}));
            let tokens = self.meta.options.logprobs.map(|_| Vec::new());
            let part = json!({"item_id": id, "content_index": 0, "part": part("", tokens.as_deref())});
            self.of_item(out, "response.content_part.added", part);
            self.open = Open::Message { id, text: String::new(), tokens };
        }
        if let Open::Message { id, text: whole, tokens: all } = &mut self.open {
            whole.push_str(text);
            let tokens = tokens(&metadata.logprobs.unwrap_or_default());
            let delta = json!({"item_id": id, "content_index": 0, "delta": text, "logprobs": tokens});
            all.iter_mut().for_each(|all| all.extend_from_slice(&tokens));
            self.of_item(out, "response.output_text.delta", delta);
        }
    }

    fn reasoning(&mut self, out: &mut BytesMut, _choice: usize, text: &str, _metadata: SegmentMetadata) {
        if !matches!(self.open, Open::Reasoning { .. }) {
            self.between_items(out, "completed");
            let id = item_id("rs");
            let item =
                json!({"id": id, "type": "reasoning", "status": "in_progress", "summary": [], "content": []});
            self.of_item(out, "response.output_item.added", json!({"item": item}));
            self.open = Open::Reasoning { id, text: String::new() };
        }
        if let Open::Reasoning { id, text: whole } = &mut self.open {
            whole.push_str(text);
            let delta = json!({"item_id": id, "content_index": 0, "delta": text});
            self.of_item(out, "response.reasoning_text.delta", delta);
        }
    }

    fn tool_call(
        &mut self,
        out: &mut BytesMut,
        _choice: usize,
        delta: ToolCallDelta,
        _metadata: SegmentMetadata,
    ) {
        let ToolCallDelta { start, arguments: more, .. } = delta;
        if let Some(start) = start {
            self.between_items(out, "completed");
            let call = Call::new(&self.meta.tool_names, tool_call_id(start.id), start.name);
            let item = call.value("in_progress", "");
            self.of_item(out, "response.output_item.added", json!({"item": item}));
            self.open = Open::Call { call, arguments: String::new(), custom: CustomInput::default() };
        }
        if let Open::Call { call, arguments, custom } = &mut self.open {
            let (name, more) = match call.is_custom {
                true => ("response.custom_tool_call_input.delta", custom.push(&more)),
                false => ("response.function_call_arguments.delta", more),
            };
            if !more.is_empty() {
                arguments.push_str(&more);
                let delta = json!({"item_id": call.id, "delta": more});
                self.of_item(out, name, delta);
            }
        }
    }

    fn end(&mut self, out: &mut BytesMut, _choice: usize, end: &TaskEnd) {
        self.between_items(out, status_of(end));
        self.ended = Some(end.clone());
    }

    fn failure(&mut self, out: &mut BytesMut, refused: &Refused) {
        let envelope = Envelope::of(refused);
        let (code, message, param) = envelope.parts();
        // Some clients look at the response that failed, others at the event, in either of two forms.
        let output = std::mem::take(&mut self.output);
        let mut response = json!(self.meta.response(output, None));
        response["status"] = "failed".into();
        response["error"] = json!({"code": code, "message": message});
        self.event(out, "response.failed", json!({"response": response}));
        let error = json!({"code": code, "message": message, "param": param, "error": envelope.error()});
        self.event(out, "error", error);
    }

    fn done(&mut self, out: &mut BytesMut) {
        let name = match self.ended.as_ref().map(status_of) {
            Some("incomplete") => "response.incomplete",
            _ => "response.completed",
        };
        let output = std::mem::take(&mut self.output);
        self.of_response(out, name, output);
    }
}

fn message(id: &str, status: &str, part: Value) -> Value {
    json!({"id": id, "type": "message", "status": status, "role": "assistant", "content": [part]})
}

/// Reasoning. There is no summary of it.
fn reasoning_item(id: &str, status: &str, text: &str) -> Value {
    let content = [json!({"type": "reasoning_text", "text": text})];
    json!({"id": id, "type": "reasoning", "status": status, "summary": [], "content": content})
}

/// A text, with its tokens where they were asked for.
fn part(text: &str, tokens: Option<&[Token]>) -> Value {
    let mut part = json!({"type": "output_text", "text": text, "annotations": []});
    if let Some(tokens) = tokens {
        part["logprobs"] = json!(tokens);
    }
    part
}

fn tokens(logprobs: &[TokenLogprob]) -> Vec<Token> {
    logprobs.iter().map(Token::from).collect()
}

/// A new name of an item of this `kind`.
fn item_id(kind: &str) -> String {
    format!("{kind}_{}", Uuid::new_v4().simple())
}

/// One that somebody canceled is cut off, as one that reached its limit.
fn status_of(end: &TaskEnd) -> &'static str {
    match end.finish {
        FinishReason::Stop => "completed",
        FinishReason::Length | FinishReason::Canceled | FinishReason::Error => "incomplete",
    }
}
