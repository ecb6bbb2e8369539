//! The OpenAPI files as they are at run time, and whether an answer is one they describe. What a file leaves
//! open is closed here: an object of the contract has the properties it lists and no others.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Map, Value, json};

use super::wire::{Answer, Ask};
use schema::{Components, Schema};

mod schema;

/// What HTTP itself puts into a response.
const OF_HTTP: [&str; 5] = ["content-type", "content-length", "transfer-encoding", "connection", "date"];

/// The media type of lines of JSON.
const LINES: &str = "application/x-ndjson";

/// The last events of streams whose events have names of their own.
const ENDS: [&str; 3] = ["message_stop", "response.completed", "response.incomplete"];

/// The files of one plane, or of the two that speak alike.
pub struct Contract {
    operations: Vec<Operation>,
    envelope: Schema,
    /// Of the streams of tasks.
    events: BTreeMap<&'static str, Schema>,
    /// Examples of requests: the path, the schema of the body, the examples.
    examples: Vec<(String, Schema, Map<String, Value>)>,
}

/// An example of a request.
#[derive(Clone, Debug)]
pub struct Example {
    pub path: String,
    pub name: String,
    pub body: Value,
    /// What the schema of the body says against it.
    pub faults: Vec<String>,
}

/// One method of one path.
pub struct Operation {
    pub method: String,
    pub path: String,
    responses: BTreeMap<u16, Response>,
}

struct Response {
    headers: Vec<Header>,
    /// By media type.
    content: BTreeMap<String, Schema>,
    /// What the data of an event may be, where the contract says it of a stream.
    event: Option<Schema>,
    /// What a line may be, where the contract says it of a stream of lines.
    line: Option<Schema>,
}

struct Header {
    name: String,
    required: bool,
    schema: Schema,
    /// Whether its values are JSON numbers.
    number: bool,
}

impl Contract {
    pub fn load() -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../contracts/openapi");
        let documents = ["data.yaml", "control.yaml"].map(|name| {
            let text = std::fs::read_to_string(folder.join(name)).expect("the contract is in the repository");
            Document::new(serde_saphyr::from_str(&text).expect("the contract is YAML"))
        });
        let data = &documents[0];
        let named = |name: &str| data.schema(&json!({"$ref": format!("#/components/schemas/{name}")}));
        Self {
            operations: documents.iter().flat_map(Document::operations).collect(),
            envelope: named("ErrorEnvelope"),
            events: BTreeMap::from([
                ("started", named("StartedEvent")),
                ("token", named("TokenEvent")),
                ("end", named("EndEvent")),
            ]),
            examples: Vec::new(),
        }
    }

    /// That of a plane for clients, in this file.
    pub fn of_a_client_plane(file: &str) -> Self {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../contracts/openapi").join(file);
        let text = std::fs::read_to_string(file).expect("the contract is in the repository");
        let document = Document::new(serde_saphyr::from_str(&text).expect("the contract is YAML"));
        Self {
            operations: document.operations(),
            envelope: document.schema(&json!({"$ref": "#/components/schemas/Error"})),
            events: BTreeMap::new(),
            examples: document.examples(),
        }
    }

    /// Examples of requests.
    pub fn examples(&self) -> Vec<Example> {
        let of_body = |(path, schema, examples): &(String, Schema, Map<String, Value>)| {
            let example = |(name, example): (&String, &Value)| {
                let body = example["value"].clone();
                let faults = schema.faults(&body);
                Example { path: path.clone(), name: name.clone(), body, faults }
            };
            examples.iter().map(example).collect::<Vec<_>>()
        };
        self.examples.iter().flat_map(of_body).collect()
    }

    /// Every documented answer: method, path and status.
    pub fn documented(&self) -> BTreeSet<(String, String, u16)> {
        let all = self.operations.iter().flat_map(|operation| {
            let status = operation.responses.keys().copied();
            status.map(|status| (operation.method.clone(), operation.path.clone(), status))
        });
        all.collect()
    }

    /// Which documented answer this is.
    ///
    /// # Errors
    /// What the contract does not say.
    pub fn judge(&self, ask: &Ask, answer: &Answer) -> Result<Option<(String, String, u16)>, String> {
        let path = ask.path.split('?').next().unwrap_or_default();
        let on_path: Vec<_> = self.operations.iter().filter(|operation| operation.is_at(path)).collect();
        let method = if ask.method == "HEAD" { "GET" } else { &ask.method };
        let Some(operation) = on_path.iter().find(|operation| operation.method == method) else {
            let status = answer.status;
            return match status {
                // Before routing.
                401 | 403 => Ok(()),
                404 if on_path.is_empty() => Ok(()),
                405 if !on_path.is_empty() && answer.header("allow").is_some() => Ok(()),
                _ => Err(format!("{status} for what is not described")),
            }
            .and_then(|()| if ask.method == "HEAD" { empty(answer) } else { self.is_envelope(answer) })
            .map(|()| None);
        };
        let response = operation
            .responses
            .get(&answer.status)
            .ok_or_else(|| format!("{} is not described", answer.status))?;
        self.check(response, ask, answer)?;
        Ok(Some((operation.method.clone(), operation.path.clone(), answer.status)))
    }

    /// Whether a refusal that belongs to no path is one: an envelope and nothing else.
    pub fn is_envelope(&self, answer: &Answer) -> Result<(), String> {
        if answer.header("content-type") != Some("application/json") {
            return Err("an error that is not JSON".to_owned());
        }
        self.envelope.check(&answer.json())
    }

    fn check(&self, response: &Response, ask: &Ask, answer: &Answer) -> Result<(), String> {
        for header in &response.headers {
            match answer.header(&header.name) {
                None if header.required => return Err(format!("`{}` is missing", header.name)),
                None => {}
                Some(value) => {
                    let value =
                        if header.number { value.parse().unwrap_or(Value::Null) } else { json!(value) };
                    header.schema.check(&value).map_err(|error| format!("`{}`: {error}", header.name))?;
                }
            }
        }
        let described = |name: &String| {
            OF_HTTP.contains(&name.as_str()) || response.headers.iter().any(|header| header.name == *name)
        };
        if let Some((name, _)) = answer.headers.iter().find(|(name, _)| !described(name)) {
            return Err(format!("the header `{name}` is not described"));
        }
        if ask.method == "HEAD" || response.content.is_empty() {
            return empty(answer);
        }
        let media = answer.header("content-type").unwrap_or_default();
        let media = media.split(';').next().unwrap_or_default();
        let schema = response.content.get(media).ok_or_else(|| format!("`{media}` is not described"))?;
        match media {
            "application/json" => schema.check(&answer.json()),
            "text/event-stream" => match &response.event {
                Some(schema) => self.check_data(answer.text(), schema),
                None => self.check_events(answer.text()),
            },
            LINES => {
                self.check_lines(answer.text(), response.line.as_ref().ok_or("lines are not described")?)
            }
            _ => schema.check(&json!(answer.text())),
        }
    }

    /// Objects of one form, each on its line, the last of which may be an error.
    fn check_lines(&self, text: &str, schema: &Schema) -> Result<(), String> {
        let lines: Vec<&str> = text.split_terminator('\n').collect();
        for (i, line) in lines.iter().enumerate() {
            let value = serde_json::from_str(line).map_err(|error| format!("{error}: {line:?}"))?;
            let is_last = i + 1 == lines.len();
            schema.check(&value).or_else(|error| match self.envelope.check(&value) {
                Ok(()) if is_last => Ok(()),
                _ => Err(error),
            })?;
        }
        if lines.is_empty() { Err("an empty stream".to_owned()) } else { Ok(()) }
    }

    /// Data of one form, then perhaps an error, then `[DONE]`.
    fn check_data(&self, text: &str, schema: &Schema) -> Result<(), String> {
        if text.contains("\nevent: ") || text.starts_with("event: ") {
            return self.check_named(text, schema);
        }
        let data = data(text)?;
        let Some((done, data)) = data.split_last() else { return Err("an empty stream".to_owned()) };
        if done != "[DONE]" {
            return Err(format!("the last event is {done}"));
        }
        for (i, text) in data.iter().enumerate() {
            let value = serde_json::from_str(text).map_err(|error| format!("{error}: {text:?}"))?;
            let last = i + 1 == data.len();
            schema.check(&value).or_else(|error| match self.envelope.check(&value) {
                Ok(()) if last => Ok(()),
                _ => Err(error),
            })?;
        }
        Ok(())
    }

    /// Data of one form under its own name, and at the end that there is no more, or an error.
    fn check_named(&self, text: &str, schema: &Schema) -> Result<(), String> {
        let events = events(text)?;
        for (i, event) in events.iter().enumerate() {
            let (last, failed) = (i + 1 == events.len(), event.name == "error");
            (if failed { &self.envelope } else { schema }).check(&event.data)?;
            if event.data["type"] != event.name.as_str() {
                return Err(format!("`{}` is named `{}`", event.data["type"], event.name));
            }
            let ends = failed || ENDS.contains(&event.name.as_str());
            if ends != last {
                return Err(format!("`{}` is event {i} of {}", event.name, events.len()));
            }
        }
        Ok(())
    }

    /// `started` first, tokens without gaps, `end` last, each with the data it is described with.
    fn check_events(&self, text: &str) -> Result<(), String> {
        let events = events(text)?;
        let names: Vec<&str> = events.iter().map(|event| event.name.as_str()).collect();
        let tokens = names.len().saturating_sub(2);
        if names.len() < 2 || names[0] != "started" || names[names.len() - 1] != "end" {
            return Err(format!("not from `started` to `end`: {names:?}"));
        }
        let mut expected = None;
        for event in &events {
            let schema = self.events.get(event.name.as_str()).ok_or(format!("an event `{}`", event.name))?;
            schema.check(&event.data).map_err(|error| format!("`{}`: {error}", event.name))?;
            let index = (event.name == "token").then(|| event.data["i"].as_u64().unwrap_or(u64::MAX));
            if event.id != index {
                return Err(format!("the id of `{}` is {:?}", event.name, event.id));
            }
            if let Some(index) = index {
                if expected.is_some_and(|expected| expected != index) {
                    return Err(format!("token {index} after {}", expected.unwrap_or(1) - 1));
                }
                expected = Some(index + 1);
            }
        }
        if names.iter().filter(|name| **name == "token").count() != tokens {
            return Err(format!("an event stands in the wrong place: {names:?}"));
        }
        let end = &events[events.len() - 1].data;
        if (end["finish_reason"] == "error") != end.get("error").is_some() {
            return Err(format!("`error` and `finish_reason` do not agree: {end}"));
        }
        Ok(())
    }
}

/// One server-sent event.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub name: String,
    pub id: Option<u64>,
    pub data: Value,
}

/// The events of a stream; comments are left out.
pub fn events(text: &str) -> Result<Vec<Event>, String> {
    let mut events = Vec::new();
    for block in text.split_terminator("\n\n").filter(|block| !block.starts_with(':')) {
        let field = |name: &str| {
            let mut lines = block.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            (lines.next(), lines.next())
        };
        let (Some(name), None) = field("event") else { return Err(format!("not one event: {block:?}")) };
        let (Some(data), None) = field("data") else {
            return Err(format!("not one line of data: {block:?}"));
        };
        events.push(Event {
            name: name.to_owned(),
            id: field("id").0.map(|id| id.parse().map_err(|_| format!("an id of {id}"))).transpose()?,
            data: serde_json::from_str(data).map_err(|error| format!("{error}: {data:?}"))?,
        });
    }
    Ok(events)
}

/// The data of a stream whose events have no names; comments are left out.
pub fn data(text: &str) -> Result<Vec<String>, String> {
    let blocks = text.split_terminator("\n\n").filter(|block| !block.starts_with(':'));
    let of_block = |block: &str| match block.strip_prefix("data: ") {
        Some(data) if !data.contains('\n') => Ok(data.to_owned()),
        _ => Err(format!("not one line of data: {block:?}")),
    };
    blocks.map(of_block).collect()
}

impl Operation {
    fn is_at(&self, path: &str) -> bool {
        let (ours, theirs): (Vec<_>, Vec<_>) = (self.path.split('/').collect(), path.split('/').collect());
        let fits =
            |(ours, theirs): (&&str, &&str)| ours == theirs || (ours.starts_with('{') && !theirs.is_empty());
        ours.len() == theirs.len() && ours.iter().zip(&theirs).all(fits)
    }
}

struct Document {
    text: Value,
    components: Components,
}

impl Document {
    fn new(text: Value) -> Self {
        Self { components: Components::of(&text), text }
    }

    fn schema(&self, schema: &Value) -> Schema {
        self.components.schema(schema)
    }

    fn operations(&self) -> Vec<Operation> {
        let paths = self.text["paths"].as_object().expect("a contract has paths");
        let methods = paths.iter().flat_map(|(path, item)| {
            item.as_object().into_iter().flatten().map(move |(method, operation)| (path, method, operation))
        });
        let operations = methods.filter(|(_, method, _)| *method != "parameters");
        operations.map(|(path, method, operation)| self.operation(path, method, operation)).collect()
    }

    fn examples(&self) -> Vec<(String, Schema, Map<String, Value>)> {
        let paths = self.text["paths"].as_object().expect("a contract has paths");
        let bodies = paths.iter().filter_map(|(path, item)| {
            let content = &item.get("post")?["requestBody"]["content"]["application/json"];
            let examples = content["examples"].as_object()?.clone();
            Some((path.clone(), self.schema(&content["schema"]), examples))
        });
        bodies.collect()
    }

    fn operation(&self, path: &str, method: &str, operation: &Value) -> Operation {
        let responses = operation["responses"].as_object().expect("an operation has responses");
        Operation {
            method: method.to_uppercase(),
            path: path.to_owned(),
            responses: responses
                .iter()
                .map(|(status, response)| (status.parse().expect("a status"), self.response(response)))
                .collect(),
        }
    }

    fn response(&self, response: &Value) -> Response {
        let response = self.resolve(response);
        let entries = |name: &str| response[name].as_object().cloned().unwrap_or_default();
        let header = |(name, header): (&String, &Value)| {
            let header = self.resolve(header);
            Header {
                name: name.to_ascii_lowercase(),
                required: header["required"] == true,
                schema: self.schema(&header["schema"]),
                number: header["schema"]["type"] == "integer",
            }
        };
        Response {
            headers: entries("headers").iter().map(header).collect(),
            content: entries("content")
                .iter()
                .map(|(media, content)| (media.clone(), self.schema(&content["schema"])))
                .collect(),
            event: response["content"]["text/event-stream"].get("x-event").map(|event| self.schema(event)),
            line: response["content"][LINES].get("x-line").map(|line| self.schema(line)),
        }
    }

    fn resolve<'a>(&'a self, value: &'a Value) -> &'a Value {
        match value["$ref"].as_str() {
            Some(pointer) => {
                let pointer = pointer.strip_prefix('#').expect("a reference within the file");
                self.resolve(self.text.pointer(pointer).expect("what is referred to is there"))
            }
            None => value,
        }
    }
}

fn empty(answer: &Answer) -> Result<(), String> {
    if answer.body.is_empty() { Ok(()) } else { Err("a body where none is described".to_owned()) }
}
