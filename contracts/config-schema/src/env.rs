//! The environment's and the command line's layers over the file. A variable's name is `LLAMA_ORCH_` and
//! the option's path in upper case, joined by `_`; because keys have `_` in them too, a name is read by
//! walking the shape, and every option has exactly one name.
//!
//! Rules: ORCH-CONF-2

use std::collections::BTreeMap;

use crate::error::{Problem, nearest};
use crate::shape::Shape;
use crate::tree::{Node, Origin, Path, Step, Value};

/// What every variable of ours starts with.
pub const PREFIX: &str = "LLAMA_ORCH_";

/// Variables that are no options of the file: which file to read, where the command line finds the
/// daemon, and another name for `LLAMA_ORCH_MODELS_DIR`.
pub const OTHER_VARIABLES: [&str; 3] = ["LLAMA_ORCH_CONFIG", "LLAMA_ORCH_URL", MODELS_ALIAS];

/// Variables that start with this belong to the tests.
pub const TEST_PREFIX: &str = "LLAMA_ORCH_TEST_";

const MODELS_ALIAS: &str = "LLAMA_ORCH_MODELS";

/// An option set on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// The flag as the user wrote it, for messages: `--listen`.
    pub flag: String,
    /// The option's path: `listen`, `pools[0].model`.
    pub path: String,
    /// The value, as text.
    pub value: String,
}

/// Lays the environment and the command line over a file's tree.
pub(crate) struct Layers<'a> {
    root: &'a mut Node,
    shape: &'a Shape,
    pub(crate) problems: Vec<Problem>,
    pub(crate) warnings: Vec<Problem>,
}

impl<'a> Layers<'a> {
    pub(crate) fn over(root: &'a mut Node, shape: &'a Shape) -> Self {
        Self { root, shape, problems: Vec::new(), warnings: Vec::new() }
    }

    /// Sets every variable that names an option over the file.
    pub(crate) fn apply_env(&mut self, env: &BTreeMap<String, String>) {
        let mut found: BTreeMap<Path, (&str, &str)> = BTreeMap::new();
        if let Some(dir) = env.get(MODELS_ALIAS).filter(|dir| !dir.is_empty()) {
            found.insert(Path::default().key("models_dir"), (MODELS_ALIAS, dir));
        }
        for (name, value) in env {
            let Some(rest) = name.strip_prefix(PREFIX) else { continue };
            if OTHER_VARIABLES.contains(&name.as_str()) || name.starts_with(TEST_PREFIX) || value.is_empty() {
                continue;
            }
            match find(self.shape, rest, Some(self.root), &Path::default()) {
                Some(path) => {
                    found.insert(path, (name, value));
                }
                None => self.warnings.push(unknown_variable(name, self.shape, self.root)),
            }
        }
        for (path, (name, value)) in found {
            self.set(&path, value, &Origin::Env(name.to_owned()));
        }
    }

    /// Sets the options of the command line over everything else.
    pub(crate) fn apply_flags(&mut self, overrides: &[Override]) {
        for one in overrides {
            let origin = Origin::Flag(one.flag.clone());
            match Path::parse(&one.path) {
                Some(path) => self.set(&path, &one.value, &origin),
                None => {
                    let message = format!("`{}` is not an option", one.path);
                    self.problems.push(problem(&origin, &one.path, message, None));
                }
            }
        }
    }

    fn set(&mut self, path: &Path, text: &str, origin: &Origin) {
        let leaf = self.shape.at(&path.0);
        let value = leaf.map_or_else(|| Value::Text(text.to_owned()), |leaf| read(leaf, text, origin));
        if let Err(len) = self.root.set(&path.0, value, origin) {
            let message = format!("`{path}` leaves a gap: the next entry has the index {len}");
            self.problems.push(problem(origin, &path.to_string(), message, None));
        }
    }
}

fn problem(origin: &Origin, path: &str, message: String, hint: Option<String>) -> Problem {
    Problem { file: None, origin: origin.clone(), path: path.to_owned(), message, hint }
}

fn unknown_variable(name: &str, shape: &Shape, root: &Node) -> Problem {
    let known = names(shape, Some(root), PREFIX);
    let hint = nearest(name, known.iter().map(String::as_str).chain(OTHER_VARIABLES))
        .map(|near| format!("did you mean `{near}`?"));
    problem(&Origin::Env(name.to_owned()), "", "no option has this name; it is ignored".to_owned(), hint)
}

/// The text of a variable or flag as a value of the shape; text where it is none, which the check reports.
fn read(shape: &Shape, text: &str, origin: &Origin) -> Value {
    let value = match shape {
        Shape::Bool => match text {
            "true" | "1" => Some(Value::Bool(true)),
            "false" | "0" => Some(Value::Bool(false)),
            _ => None,
        },
        Shape::Integer { .. } | Shape::IntegerOrWord { .. } => text.parse().ok().map(Value::Integer),
        Shape::Number { .. } => text.parse().ok().map(Value::Number),
        Shape::List { .. } => {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            let node = |item: &str| Node { value: Value::Text(item.to_owned()), origin: origin.clone() };
            Some(Value::List(items.map(node).collect()))
        }
        Shape::LoneOrList { list, .. } if text.contains(',') => return read(list, text, origin),
        Shape::Any => text
            .parse()
            .map(Value::Bool)
            .or_else(|_| text.parse().map(Value::Integer))
            .or_else(|_| text.parse().map(Value::Number))
            .ok(),
        Shape::LoneOrList { .. }
        | Shape::Text { .. }
        | Shape::OneOf(_)
        | Shape::WordOrFields { .. }
        | Shape::Fields(_)
        | Shape::Named(_) => None,
    };
    value.unwrap_or_else(|| Value::Text(text.to_owned()))
}

/// The path of the option that a variable stands for, where no file says otherwise.
pub(crate) fn path_of(shape: &Shape, name: &str) -> Option<Path> {
    find(shape, name.strip_prefix(PREFIX)?, None, &Path::default())
}

/// The path of the option that a variable's name without the prefix stands for.
fn find(shape: &Shape, rest: &str, node: Option<&Node>, path: &Path) -> Option<Path> {
    match shape {
        Shape::Fields(fields) | Shape::WordOrFields { fields, .. } => {
            fields.iter().find_map(|(key, field)| {
                let after = rest.strip_prefix(key.to_uppercase().as_str())?;
                step(field, after, below(node, &Step::Key(key.clone())), &path.key(key))
            })
        }
        Shape::List { item, .. } if matches!(**item, Shape::Fields(_)) => {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let index = rest[..digits].parse().ok()?;
            step(item, &rest[digits..], below(node, &Step::Index(index)), &path.index(index))
        }
        // A name in front of a plain value is all that is left: written as it is, as an environment
        // variable's is.
        Shape::Named(item) if is_leaf(item) => {
            let name = existing_name(node, rest).unwrap_or_else(|| rest.to_owned());
            (!rest.is_empty()).then(|| path.key(&name))
        }
        Shape::Named(item) => {
            let ends = rest.match_indices('_').map(|(end, _)| end).filter(|end| *end > 0);
            ends.filter_map(|end| {
                let name = existing_name(node, &rest[..end]).unwrap_or_else(|| rest[..end].to_lowercase());
                step(item, &rest[end..], None, &path.key(&name))
            })
            .next()
        }
        _ => None,
    }
}

fn step(shape: &Shape, after: &str, node: Option<&Node>, path: &Path) -> Option<Path> {
    match after.strip_prefix('_') {
        Some(rest) => find(shape, rest, node, path),
        None => (after.is_empty() && is_leaf(shape)).then(|| path.clone()),
    }
}

fn below<'a>(node: Option<&'a Node>, step: &Step) -> Option<&'a Node> {
    node?.at(std::slice::from_ref(step))
}

/// A name of the file that is written like `upper` in a variable: `my-profile` is `MY_PROFILE` there.
fn existing_name(node: Option<&Node>, upper: &str) -> Option<String> {
    let Value::Map(entries) = &node?.value else { return None };
    let in_upper = |key: &str| key.to_uppercase().replace(|c: char| !c.is_alphanumeric(), "_");
    entries.iter().map(|entry| &entry.key).find(|key| in_upper(key) == upper).cloned()
}

fn is_leaf(shape: &Shape) -> bool {
    match shape {
        Shape::Bool
        | Shape::Integer { .. }
        | Shape::IntegerOrWord { .. }
        | Shape::Number { .. }
        | Shape::Text { .. }
        | Shape::OneOf(_)
        | Shape::Any
        | Shape::WordOrFields { .. }
        | Shape::LoneOrList { .. } => true,
        Shape::List { item, .. } => matches!(**item, Shape::Text { .. }),
        Shape::Fields(_) | Shape::Named(_) => false,
    }
}

/// The variable of every option; those of a list's entries as often as there are entries, at least once.
pub(crate) fn names(shape: &Shape, node: Option<&Node>, prefix: &str) -> Vec<String> {
    let deeper = |shape: &Shape, node: Option<&Node>, name: String| {
        if is_leaf(shape) { vec![name] } else { names(shape, node, &format!("{name}_")) }
    };
    match shape {
        Shape::Fields(fields) => fields
            .iter()
            .flat_map(|(key, field)| {
                let node = below(node, &Step::Key(key.clone()));
                deeper(field, node, format!("{prefix}{}", key.to_uppercase()))
            })
            .collect(),
        Shape::List { item, .. } => {
            let entries = match node.map(|node| &node.value) {
                Some(Value::List(items)) => items.len().max(1),
                _ => 1,
            };
            (0..entries).flat_map(|index| deeper(item, None, format!("{prefix}{index}"))).collect()
        }
        Shape::Named(item) => match node.map(|node| &node.value) {
            Some(Value::Map(entries)) => entries
                .iter()
                .flat_map(|entry| deeper(item, None, format!("{prefix}{}", entry.key.to_uppercase())))
                .collect(),
            _ => deeper(item, None, format!("{prefix}NAME")),
        },
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests;
