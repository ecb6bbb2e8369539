//! Walks a configuration along its shape and writes down everything that does not fit.
//!
//! Rules: ORCH-SEC-1, ORCH-CONF-7

use std::fmt::Write as _;
use std::path::Path as FilePath;

use crate::error::{Problem, nearest};
use crate::shape::Shape;
use crate::tree::{Entry, Node, Origin, Path, Step, Value};

/// The most characters of a wrong value that a message repeats.
const MAX_SHOWN_CHARS: usize = 80;

/// Names of options whose value a message must not repeat.
const SECRETS: [&str; 2] = ["token", "api_key"];

/// Collects what is wrong with one configuration.
pub(crate) struct Check<'a> {
    root: &'a Node,
    file: Option<&'a FilePath>,
    pub(crate) problems: Vec<Problem>,
}

impl<'a> Check<'a> {
    pub(crate) fn new(root: &'a Node, file: Option<&'a FilePath>) -> Self {
        Self { root, file, problems: Vec::new() }
    }

    /// Writes down a problem with the option at a path.
    pub(crate) fn report(&mut self, path: &Path, message: String, hint: Option<String>) {
        let origin = self.root.origin_of(path).clone();
        self.report_at(&origin, path, message, hint);
    }

    fn report_at(&mut self, origin: &Origin, path: &Path, message: String, hint: Option<String>) {
        self.problems.push(Problem {
            file: self.file.map(FilePath::to_owned),
            origin: origin.clone(),
            path: path.to_string(),
            message,
            hint,
        });
    }

    /// Holds a node against a shape.
    pub(crate) fn walk(&mut self, node: &Node, shape: &Shape, path: &Path) {
        match (shape, &node.value) {
            (_, Value::Null) | (Shape::Any, _) => {}
            (Shape::Fields(fields) | Shape::WordOrFields { fields, .. }, Value::Map(entries)) => {
                for entry in entries {
                    match fields.get(&entry.key) {
                        Some(field) => self.walk(&entry.node, field, &path.key(&entry.key)),
                        None => self.unknown_key(entry, fields.keys().map(String::as_str), path),
                    }
                }
            }
            (Shape::Named(item), Value::Map(entries)) => {
                for entry in entries {
                    self.walk_present(&entry.node, item, &path.key(&entry.key));
                }
            }
            (Shape::List { item, min_len, max_len }, Value::List(items)) => {
                if !(*min_len..=*max_len).contains(&items.len()) {
                    let message =
                        format!("`{path}` has {} entries; it must have {min_len} to {max_len}", items.len());
                    self.report_at(&node.origin, path, message, None);
                }
                for (place, one) in items.iter().enumerate() {
                    self.walk_present(one, item, &path.index(place));
                }
            }
            (Shape::LoneOrList { list, .. }, Value::List(_)) => self.walk(node, list, path),
            _ => {
                if let Some((message, hint)) = misfit(&node.value, shape, path) {
                    self.report_at(&node.origin, path, message, hint);
                }
            }
        }
    }

    /// As [`Self::walk`], where nothing is not an answer: an entry of a list, a named section.
    fn walk_present(&mut self, node: &Node, shape: &Shape, path: &Path) {
        if node.value != Value::Null {
            self.walk(node, shape, path);
        } else if let Some((message, hint)) = misfit(&node.value, shape, path) {
            self.report_at(&node.origin, path, message, hint);
        }
    }

    fn unknown_key<'k>(&mut self, entry: &Entry, known: impl Iterator<Item = &'k str> + Clone, path: &Path) {
        let mut hint = String::new();
        if let Some(near) = nearest(&entry.key, known.clone()) {
            write!(hint, "did you mean `{near}`? ").expect("a string takes it");
        }
        let known: Vec<&str> = known.collect();
        write!(hint, "known here: {}", known.join(", ")).expect("a string takes it");
        let path = path.key(&entry.key);
        self.report_at(&entry.key_origin, &path, format!("`{path}` is not an option"), Some(hint));
    }
}

/// What is wrong with a value that is not of the shape's own kind of collection; nothing when it fits.
fn misfit(value: &Value, shape: &Shape, path: &Path) -> Option<(String, Option<String>)> {
    let name = if path.0.is_empty() { "the file".to_owned() } else { format!("`{path}`") };
    let is = |what: &str| Some((format!("{name} is {}; it must be {what}", shown(value, path)), None));
    match (shape, value) {
        (Shape::Bool, Value::Bool(_)) => None,
        (Shape::Bool, _) => is("`true` or `false`"),
        (Shape::Integer { min, max }, Value::Integer(number)) if (min..=max).contains(&number) => None,
        (Shape::Integer { min, max }, _) => is(&format!("a whole number from {min} to {max}")),
        (Shape::IntegerOrWord { min, max, .. }, Value::Integer(number)) if (min..=max).contains(&number) => {
            None
        }
        (Shape::IntegerOrWord { words, .. }, Value::Text(word)) if words.contains(word) => None,
        (Shape::IntegerOrWord { min, max, words }, _) => {
            is(&format!("a whole number from {min} to {max}, or {}", choices(words)))
        }
        (Shape::WordOrFields { words, .. }, Value::Text(word)) if words.contains(word) => None,
        (Shape::WordOrFields { words, fields }, _) => {
            let known: Vec<&str> = fields.keys().map(String::as_str).collect();
            is(&format!("{}, or a section with options ({})", choices(words), known.join(", ")))
        }
        (Shape::Number { min, max }, Value::Integer(number)) if (*min..=*max).contains(&(*number as f64)) => {
            None
        }
        (Shape::Number { min, max }, Value::Number(number)) if (*min..=*max).contains(number) => None,
        (Shape::Number { min, max }, _) => is(&format!("a number from {min} to {max}")),
        (Shape::OneOf(words), Value::Text(word)) if words.contains(word) => None,
        (Shape::OneOf(words), _) => {
            let (message, _) = is(&choices(words))?;
            let near = match value {
                Value::Text(word) => nearest(word, words.iter().map(String::as_str)),
                _ => None,
            };
            Some((message, near.map(|near| format!("did you mean `{near}`?"))))
        }
        (Shape::Text { form: Some(form), .. }, Value::Text(text)) => {
            if form.fits(text) {
                None
            } else {
                let (message, _) = is(form.in_words())?;
                Some((message, form.hint(text).map(str::to_owned)))
            }
        }
        (Shape::Text { min_len, max_len, .. }, Value::Text(text)) => {
            let len = text.chars().count();
            if (*min_len..=*max_len).contains(&len) {
                None
            } else if len == 0 {
                Some((format!("`{path}` is empty; leave it out or give it a value"), None))
            } else {
                let must = format!("it must have {min_len} to {max_len}");
                Some((format!("`{path}` has {len} characters; {must}"), None))
            }
        }
        (Shape::LoneOrList { one, .. }, Value::Text(_)) => misfit(value, one, path),
        (Shape::LoneOrList { one, .. }, _) => match one.as_ref() {
            Shape::Text { form: Some(form), .. } => is(form.in_words()),
            _ => is("text, or a list of texts"),
        },
        (Shape::Text { .. }, Value::List(_) | Value::Map(_)) => is("text"),
        (Shape::Text { .. }, _) => {
            let (message, _) = is("text")?;
            Some((message, Some("put the value in quotes".to_owned())))
        }
        (Shape::List { .. }, _) => is("a list, each entry on its own line after `- `"),
        (Shape::Fields(fields), _) => {
            let known: Vec<&str> = fields.keys().map(String::as_str).collect();
            is(&format!("a section with options ({})", known.join(", ")))
        }
        (Shape::Any, _) => is("a value"),
        (Shape::Named(item), _) if **item == Shape::Any => is("a section of names and values"),
        (Shape::Named(_), _) => is("a section of names, each with its own options"),
    }
}

fn choices(words: &[String]) -> String {
    match words {
        [one] => format!("`{one}`"),
        [most @ .., last] => {
            let most: Vec<String> = most.iter().map(|word| format!("`{word}`")).collect();
            format!("{} or `{last}`", most.join(", "))
        }
        [] => String::new(),
    }
}

fn is_secret(path: &Path) -> bool {
    matches!(path.0.last(), Some(Step::Key(key)) if SECRETS.contains(&key.as_str()))
}

fn shown(value: &Value, path: &Path) -> String {
    let quoted = |text: String| {
        let cut: String = text.chars().take(MAX_SHOWN_CHARS).collect();
        if cut.len() < text.len() { format!("`{cut}…`") } else { format!("`{cut}`") }
    };
    match value {
        Value::Null => "empty".to_owned(),
        Value::List(_) => "a list".to_owned(),
        Value::Map(_) => "a section".to_owned(),
        Value::Bool(_) | Value::Integer(_) | Value::Number(_) if is_secret(path) => "not text".to_owned(),
        Value::Bool(value) => quoted(value.to_string()),
        Value::Integer(value) => quoted(value.to_string()),
        Value::Number(value) => quoted(value.to_string()),
        Value::Text(text) if text.is_empty() => "empty".to_owned(),
        Value::Text(text) => quoted(text.escape_debug().to_string()),
    }
}
