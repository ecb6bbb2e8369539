//! Fields that may have more than one form, and fields that may not be there.
//!
//! Rules: ORCH-OAI-4

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use crate::backpressure::Refusal;
use crate::http::answer::shown;

/// A text, or an array of something.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::http) enum TextOr<T> {
    Text(String),
    Many(Vec<T>),
}

impl TextOr<String> {
    /// One text as an array of one.
    pub(in crate::http) fn into_texts(self) -> Vec<String> {
        match self {
            Self::Text(text) => vec![text],
            Self::Many(texts) => texts,
        }
    }
}

/// A text or an object, of which the type says what it is called.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::http) enum TextOrObject<T> {
    Text(String),
    Object(T),
}

// An untagged enum would lose which field it was and what would have been right.
impl<'de, T: Deserialize<'de>> Deserialize<'de> for TextOr<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Forms<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Forms<T> {
            type Value = TextOr<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or an array")
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(TextOr::Text(text.to_owned()))
            }

            fn visit_string<E>(self, text: String) -> Result<Self::Value, E> {
                Ok(TextOr::Text(text))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Self::Value, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(items)).map(TextOr::Many)
            }
        }

        from.deserialize_any(Forms(PhantomData))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for TextOrObject<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Forms<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Forms<T> {
            type Value = TextOrObject<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or an object")
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(TextOrObject::Text(text.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(fields)).map(TextOrObject::Object)
            }
        }

        from.deserialize_any(Forms(PhantomData))
    }
}

/// A field that is known and not served: taken where it asks for nothing, refused by name where it asks for
/// something.
pub(in crate::http) struct Unserved<'r> {
    pub(in crate::http) field: &'r str,
    pub(in crate::http) value: &'r Option<Value>,
    /// The values that ask for nothing, beside `null`.
    pub(in crate::http) nothing: &'static [Nothing],
    /// What to do instead.
    pub(in crate::http) instead: &'static str,
}

impl Unserved<'_> {
    /// What is said of it, where it asks for something.
    pub(in crate::http) fn refusal(&self) -> Option<String> {
        let Self { field, value, nothing, instead } = self;
        let value =
            value.as_ref().filter(|value| !nothing.iter().any(|nothing| nothing.is(value)))?.to_string();
        Some(format!("`{field}` is {}, {NOT_SERVED}: {instead}", shown(value.as_bytes())))
    }
}

/// What is said of such a field.
pub(in crate::http) const NOT_SERVED: &str = "which is not served here";

/// A value that asks for nothing.
#[derive(Clone, Copy, Debug)]
pub(in crate::http) enum Nothing {
    False,
    One,
    Text(&'static str),
    /// An empty text, array or object.
    Empty,
    /// `["text"]`
    OnlyText,
}

impl Nothing {
    fn is(self, value: &Value) -> bool {
        match self {
            Self::False => value == &Value::Bool(false),
            Self::One => value.as_f64() == Some(1.0),
            Self::Text(text) => value.as_str() == Some(text),
            Self::Empty => match value {
                Value::String(text) => text.is_empty(),
                Value::Array(items) => items.is_empty(),
                Value::Object(fields) => fields.is_empty(),
                _ => false,
            },
            Self::OnlyText => matches!(value, Value::Array(items) if items.len() == 1 && items[0] == "text"),
        }
    }
}

/// Refuses the first of `fields` that asks for something.
///
/// # Errors
/// [`Refusal::Invalid`] naming the field, its value and what to do instead.
pub(in crate::http) fn refuse_unserved(fields: &[Unserved<'_>]) -> Result<(), Refusal> {
    match fields.iter().find_map(Unserved::refusal) {
        Some(refusal) => Err(Refusal::Invalid(refusal)),
        None => Ok(()),
    }
}

/// What to do about a field that nothing takes the permit of.
pub(in crate::http) const LEAVE_IT_OUT: &str = "leave it out";
