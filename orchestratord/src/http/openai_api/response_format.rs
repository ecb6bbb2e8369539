//! A form that an answer must have, where and as each API says it.
//!
//! Rules: ORCH-OAI-4, ORCH-OAI-14

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use crate::backpressure::Refusal;
use crate::http::answer::shown;
use crate::http::problem;

/// A form that the answer must have.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ResponseFormat {
    #[serde(rename = "type")]
    kind: FormatKind,
    json_schema: Option<Map<String, Value>>,
    /// The schema without its wrapper, as `llama-server` and the Responses API have it.
    schema: Option<Map<String, Value>>,
    #[serde(default, rename = "name")]
    _name: IgnoredAny,
    #[serde(default, rename = "description")]
    _description: IgnoredAny,
    #[serde(default, rename = "strict")]
    _strict: IgnoredAny,
    /// Where its endpoint has it.
    #[serde(skip)]
    at: FormatAt,
}

/// Where an endpoint has the form of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum FormatAt {
    /// `response_format`, with its schema wrapped once more.
    #[default]
    Request,
    /// `text.format`
    Text,
    /// `output_config.format`
    OutputConfig,
}

impl FormatAt {
    /// The field, and that of its schema.
    const fn fields(self) -> (&'static str, &'static str) {
        match self {
            Self::Request => ("response_format", "response_format.json_schema.schema"),
            Self::Text => ("text.format", "text.format.schema"),
            Self::OutputConfig => ("output_config.format", "output_config.format.schema"),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum FormatKind {
    Text,
    JsonObject,
    JsonSchema,
}

/// A schema as OpenAI wraps it. A schema is always kept to, so `strict` has no effect.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NamedSchema {
    schema: Option<Map<String, Value>>,
    #[serde(default, rename = "name")]
    _name: IgnoredAny,
    #[serde(default, rename = "description")]
    _description: IgnoredAny,
    #[serde(default, rename = "strict")]
    _strict: IgnoredAny,
}

/// Keywords of JSON schemas by which one without its wrapper is known.
const KEYWORDS: [&str; 10] =
    ["type", "properties", "items", "enum", "const", "anyOf", "oneOf", "allOf", "$ref", "$defs"];

impl ResponseFormat {
    /// The form that is named so, with its schema, at an endpoint that has it elsewhere.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] for a name that is not known.
    pub(super) fn new(at: FormatAt, kind: &str, schema: Option<Map<String, Value>>) -> Result<Self, Refusal> {
        let kind = match (kind, at) {
            ("json_schema", _) => FormatKind::JsonSchema,
            ("text", FormatAt::Request | FormatAt::Text) => FormatKind::Text,
            ("json_object", FormatAt::Request | FormatAt::Text) => FormatKind::JsonObject,
            (other, at) => {
                let known = match at {
                    FormatAt::OutputConfig => "`json_schema`",
                    FormatAt::Request | FormatAt::Text => "`text`, `json_object` or `json_schema`",
                };
                let (field, other) = (at.fields().0, shown(other.as_bytes()));
                return Err(Refusal::Invalid(format!("`{field}.type` is `{other}`: use {known}")));
            }
        };
        let none = IgnoredAny;
        Ok(Self { kind, json_schema: None, schema, _name: none, _description: none, _strict: none, at })
    }

    /// The schema that the answer must satisfy.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] naming the field, its value and what would be right.
    pub(super) fn into_schema(self) -> Result<Option<Map<String, Value>>, Refusal> {
        let wrapped = self.json_schema.map(unwrapped).transpose()?.flatten();
        let field = self.at.fields().1;
        match (self.kind, wrapped.or(self.schema)) {
            (FormatKind::JsonSchema | FormatKind::JsonObject, Some(schema)) => Ok(Some(schema)),
            (FormatKind::JsonSchema, None) => {
                Err(Refusal::Invalid(format!("`{field}` is missing: with `type` `json_schema` send one")))
            }
            (FormatKind::Text, Some(_)) => {
                let field = field.strip_suffix(".schema").filter(|_| self.at == FormatAt::Request);
                let field = field.unwrap_or(self.at.fields().1);
                Err(Refusal::Invalid(format!("`{field}` does not go with `type` `text`: leave it out")))
            }
            (FormatKind::JsonObject, None) => {
                Ok(Some(Map::from_iter([("type".to_owned(), Value::from("object"))])))
            }
            (FormatKind::Text, None) => Ok(None),
        }
    }
}

/// The schema in `json_schema`, which some clients send without its wrapper.
fn unwrapped(json_schema: Map<String, Value>) -> Result<Option<Map<String, Value>>, Refusal> {
    let is_wrapped = json_schema.contains_key("schema");
    if !is_wrapped && KEYWORDS.iter().any(|keyword| json_schema.contains_key(*keyword)) {
        return Ok(Some(json_schema));
    }
    let named: NamedSchema = problem::parse_part("response_format.json_schema", Value::Object(json_schema))?;
    Ok(named.schema)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema(format: Value) -> Result<Option<Map<String, Value>>, String> {
        let format: ResponseFormat = serde_json::from_value(format).map_err(|error| error.to_string())?;
        format.into_schema().map_err(|refusal| refusal.to_string())
    }

    /// ORCH-OAI-4
    #[test]
    fn a_schema_is_found_in_each_form_that_clients_send() {
        let wanted = json!({"type": "object", "properties": {"a": {"type": "string"}}});
        for format in [
            json!({"type": "json_schema", "json_schema": {"name": "x", "strict": true, "schema": wanted}}),
            json!({"type": "json_schema", "json_schema": wanted}),
            json!({"type": "json_schema", "name": "x", "strict": true, "schema": wanted}),
            json!({"type": "json_object", "schema": wanted}),
        ] {
            let found = schema(format.clone()).map(|found| found.map(Value::Object));
            assert_eq!(found, Ok(Some(wanted.clone())), "{format}");
        }
        let any = schema(json!({"type": "json_object"})).map(|found| found.map(Value::Object));
        assert_eq!(any, Ok(Some(json!({"type": "object"}))));
        assert_eq!(schema(json!({"type": "text"})), Ok(None));
    }

    /// ORCH-OAI-4
    #[test]
    fn a_form_without_its_schema_and_a_text_with_one_are_rejected() {
        for (format, words) in [
            (json!({"type": "json_schema"}), "`response_format.json_schema.schema` is missing"),
            (json!({"type": "json_schema", "json_schema": {"name": "x"}}), "schema` is missing"),
            (
                json!({"type": "json_schema", "json_schema": {"schma": {}}}),
                "`response_format.json_schema.schma` is not a field: did you mean `schema`?",
            ),
            (
                json!({"type": "text", "schema": {}}),
                "`response_format.json_schema` does not go with `type` `text`",
            ),
        ] {
            let refused = schema(format).expect_err("rejected");
            assert!(refused.contains(words), "{refused}");
        }
    }
}
