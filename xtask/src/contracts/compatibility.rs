//! What one version of an OpenAPI contract takes back of an earlier one: what a client of the earlier one
//! may send that is now refused, and what it may rely on that no longer comes. Additions are free.
//!
//! Rules: ORCH-DOC-3

use std::collections::BTreeSet;

use serde_json::Value;

/// How deep schemas may be nested before the comparison takes the rest for equal: ours are not recursive.
const DEPTH: usize = 32;

/// Who writes a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    /// The client: asking for more, or taking less, breaks it.
    Request,
    /// The daemon: giving less breaks the client.
    Answer,
}

/// What `new` takes back of `old`, a line each.
pub fn taken_back(old: &Value, new: &Value) -> Vec<String> {
    let mut diff = Diff { old, new, found: BTreeSet::new() };
    diff.paths();
    diff.named_schemas();
    diff.found.into_iter().collect()
}

struct Diff<'a> {
    old: &'a Value,
    new: &'a Value,
    found: BTreeSet<String>,
}

/// A value of both documents.
#[derive(Clone, Copy)]
struct Pair<'a> {
    old: &'a Value,
    new: &'a Value,
}

impl<'a> Diff<'a> {
    fn lost(&mut self, what: String) {
        self.found.insert(what);
    }

    fn resolve(&self, pair: Pair<'a>) -> Pair<'a> {
        Pair { old: resolve(self.old, pair.old), new: resolve(self.new, pair.new) }
    }

    fn paths(&mut self) {
        for (path, item) in entries(&self.old["paths"]) {
            for (method, operation) in entries(item).filter(|(method, _)| *method != "parameters") {
                let name = format!("{} {path}", method.to_uppercase());
                match self.new["paths"].get(path).and_then(|item| item.get(method)) {
                    None => self.lost(format!("`{name}` is gone")),
                    Some(after) => {
                        let items = Pair { old: item, new: &self.new["paths"][path] };
                        self.parameters(&name, items);
                        self.operation(&name, Pair { old: operation, new: after });
                    }
                }
            }
        }
    }

    fn operation(&mut self, name: &str, operation: Pair<'a>) {
        self.parameters(name, operation);
        let bodies = Pair { old: &operation.old["requestBody"], new: &operation.new["requestBody"] };
        let bodies = self.resolve(bodies);
        if bodies.new["required"] == true && bodies.old["required"] != true {
            self.lost(format!("`{name}` now needs a body"));
        }
        if !bodies.old.is_null() {
            self.content(name, bodies, Side::Request);
        }
        for (status, response) in entries(&operation.old["responses"]) {
            let place = format!("{name} {status}");
            match operation.new["responses"].get(status) {
                None => self.lost(format!("`{place}` is gone")),
                Some(after) => {
                    let pair = self.resolve(Pair { old: response, new: after });
                    self.headers(&place, pair);
                    self.content(&place, pair, Side::Answer);
                }
            }
        }
    }

    fn parameters(&mut self, name: &str, owner: Pair<'a>) {
        let (old_root, new_root) = (self.old, self.new);
        let all = |owner: &'a Value, root: &'a Value| {
            items(&owner["parameters"]).map(move |parameter| resolve(root, parameter)).collect::<Vec<_>>()
        };
        let (old, new) = (all(owner.old, old_root), all(owner.new, new_root));
        let same = |a: &Value, b: &Value| a["name"] == b["name"] && a["in"] == b["in"];
        for before in &old {
            let place = format!("{name} {}", word(&before["name"]));
            match new.iter().find(|after| same(before, after)) {
                None => self.lost(format!("`{place}` is gone")),
                Some(after) => {
                    if after["required"] == true && before["required"] != true {
                        self.lost(format!("`{place}` is now required"));
                    }
                    let schemas = Pair { old: &before["schema"], new: &after["schema"] };
                    self.schema(&place, schemas, Side::Request, DEPTH);
                }
            }
        }
        for after in new.iter().filter(|after| !old.iter().any(|before| same(before, after))) {
            if after["required"] == true {
                self.lost(format!("`{name} {}` is new and required", word(&after["name"])));
            }
        }
    }

    fn headers(&mut self, place: &str, response: Pair<'a>) {
        for (header, before) in entries(&response.old["headers"]) {
            let name = format!("{place} {header}");
            match response.new["headers"].get(header) {
                None => self.lost(format!("`{name}` is gone")),
                Some(after) => {
                    let pair = self.resolve(Pair { old: before, new: after });
                    if pair.old["required"] == true && pair.new["required"] != true {
                        self.lost(format!("`{name}` may now be missing"));
                    }
                    let schemas = Pair { old: &pair.old["schema"], new: &pair.new["schema"] };
                    self.schema(&name, schemas, Side::Answer, DEPTH);
                }
            }
        }
    }

    fn content(&mut self, place: &str, owner: Pair<'a>, side: Side) {
        for (media, before) in entries(&owner.old["content"]) {
            match owner.new["content"].get(media) {
                None => self.lost(format!("`{place}` is no longer `{media}`")),
                Some(after) => {
                    let schemas = Pair { old: &before["schema"], new: &after["schema"] };
                    self.schema(place, schemas, side, DEPTH);
                }
            }
        }
    }

    /// Schemas by name: a stream's events are described by name only, and clients are generated with
    /// these names.
    fn named_schemas(&mut self) {
        for (name, before) in entries(&self.old["components"]["schemas"]) {
            match self.new["components"]["schemas"].get(name) {
                None => self.lost(format!("the schema `{name}` is gone")),
                Some(after) if name.ends_with("Event") => {
                    self.schema(name, Pair { old: before, new: after }, Side::Answer, DEPTH);
                }
                Some(_) => {}
            }
        }
    }

    fn schema(&mut self, place: &str, schemas: Pair<'a>, side: Side, depth: usize) {
        if depth == 0 {
            return;
        }
        let pair = self.resolve(schemas);
        let parts = (items(&pair.old["allOf"]), items(&pair.new["allOf"]));
        for (before, after) in parts.0.zip(parts.1) {
            self.schema(place, Pair { old: before, new: after }, side, depth - 1);
        }
        for key in ["type", "format", "oneOf", "anyOf", "not"] {
            if pair.old[key] != pair.new[key] {
                self.lost(format!("`{place}` has another `{key}`"));
            }
        }
        self.words(place, pair);
        self.nullable(place, pair, side);
        if side == Side::Request {
            self.limits(place, pair);
        }
        self.properties(place, pair, side, depth);
        if !pair.old["items"].is_null() {
            let of_items = Pair { old: &pair.old["items"], new: &pair.new["items"] };
            self.schema(&format!("{place}[]"), of_items, side, depth - 1);
        }
    }

    fn words(&mut self, place: &str, pair: Pair<'a>) {
        if pair.new["enum"].is_null() && !pair.old["enum"].is_null() {
            self.lost(format!("`{place}` has no list of words any more"));
            return;
        }
        if pair.old["enum"].is_null() && !pair.new["enum"].is_null() {
            self.lost(format!("`{place}` now has a list of words"));
        }
        for gone in items(&pair.old["enum"]).filter(|word| !items(&pair.new["enum"]).any(|new| new == *word))
        {
            self.lost(format!("`{place}` no longer has the word `{}`", word(gone)));
        }
    }

    fn nullable(&mut self, place: &str, pair: Pair<'a>, side: Side) {
        let (before, now) = (pair.old["nullable"] == true, pair.new["nullable"] == true);
        match side {
            Side::Request if before && !now => self.lost(format!("`{place}` may no longer be null")),
            Side::Answer if now && !before => self.lost(format!("`{place}` may now be null")),
            _ => {}
        }
    }

    /// Limits of what a client sends may widen and not narrow.
    fn limits(&mut self, place: &str, pair: Pair<'a>) {
        for (key, lower_is_wider) in [
            ("minimum", true),
            ("minLength", true),
            ("minItems", true),
            ("maximum", false),
            ("maxLength", false),
            ("maxItems", false),
        ] {
            let narrower = match (pair.old[key].as_f64(), pair.new[key].as_f64()) {
                (None, Some(_)) => true,
                (Some(before), Some(now)) if lower_is_wider => now > before,
                (Some(before), Some(now)) => now < before,
                (_, None) => false,
            };
            if narrower {
                self.lost(format!("`{place}` has a narrower `{key}`"));
            }
        }
        for key in ["pattern", "exclusiveMinimum", "exclusiveMaximum", "additionalProperties"] {
            let narrows = match key {
                "additionalProperties" => pair.new[key] == false && pair.old[key] != false,
                _ => !pair.new[key].is_null() && pair.new[key] != false && pair.new[key] != pair.old[key],
            };
            if narrows {
                self.lost(format!("`{place}` has a narrower `{key}`"));
            }
        }
    }

    fn properties(&mut self, place: &str, pair: Pair<'a>, side: Side, depth: usize) {
        let required =
            |schema: &'a Value| items(&schema["required"]).filter_map(Value::as_str).collect::<BTreeSet<_>>();
        let (before, now) = (required(pair.old), required(pair.new));
        match side {
            Side::Request => {
                for name in now.difference(&before) {
                    self.lost(format!("`{place}.{name}` is now required"));
                }
            }
            Side::Answer => {
                for name in before.difference(&now) {
                    self.lost(format!("`{place}.{name}` may now be missing"));
                }
            }
        }
        for (name, old) in entries(&pair.old["properties"]) {
            let place = format!("{place}.{name}");
            match pair.new["properties"].get(name) {
                None => self.lost(format!("`{place}` is gone")),
                Some(new) => self.schema(&place, Pair { old, new }, side, depth - 1),
            }
        }
    }
}

fn entries(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value.as_object().into_iter().flatten().map(|(key, value)| (key.as_str(), value))
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// What a reference of `document` stands for; the value itself where it is none, or leads nowhere.
fn resolve<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    let mut value = value;
    for _ in 0..DEPTH {
        let target = value["$ref"].as_str().and_then(|at| document.pointer(at.strip_prefix('#')?));
        match target {
            Some(target) => value = target,
            None => break,
        }
    }
    value
}

fn word(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
