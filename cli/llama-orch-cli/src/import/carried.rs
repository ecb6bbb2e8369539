//! What is carried over from another server, and what is not; as a configuration of ours.

use std::fmt;

use config_schema::raw::{Pool, Server};
use serde::Serialize;
use serde_json::{Map, Value};

/// The most pools of a configuration.
const POOLS_MAX: usize = 512;
/// The most characters of a pool's name.
const ID_CHARS: usize = 63;
/// The most characters of a further name of it.
const ALIAS_CHARS: usize = 256;
/// The options of a pool behind `id` and `model`, in the order in which people read them.
const OPTIONS: [&str; 28] = [
    "aliases",
    "sha256",
    "engine",
    "devices",
    "ctx",
    "fit_ctx",
    "slots",
    "threads",
    "gpu_layers",
    "experts_on_cpu",
    "kv_type",
    "kv_cache",
    "flash_attention",
    "batch",
    "ubatch",
    "threads_batch",
    "mmap",
    "mlock",
    "rope",
    "pooling",
    "lora",
    "chat_template",
    "template_kwargs",
    "replicas",
    "preload",
    "idle_unload_s",
    "defaults",
    "server",
];

/// All of it.
#[derive(Debug, Default)]
pub struct Carried {
    pub pools: Vec<CarriedPool>,
    pub left_out: Vec<LeftOut>,
}

/// A model that becomes a pool.
#[derive(Debug)]
pub struct CarriedPool {
    /// What it is called at the other server.
    pub name: String,
    pub pool: Pool,
}

/// Something that is not carried over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// What it belongs to: a model's name, or the server's.
    pub of: String,
    /// What it is, and why or what holds instead.
    pub what: String,
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.of, self.what)
    }
}

impl Carried {
    /// Names something that is not carried over.
    pub fn leave_out(&mut self, of: impl Into<String>, what: impl Into<String>) {
        self.left_out.push(LeftOut { of: of.into(), what: what.into() });
    }

    /// Adds a pool, under a name of its own; it answers to `name` too.
    pub fn add(&mut self, name: &str, mut pool: Pool) -> Option<&str> {
        if self.pools.len() == POOLS_MAX {
            self.leave_out(name, format!("a configuration has at most {POOLS_MAX} pools"));
            return None;
        }
        pool.id = self.free_id(name);
        let aliases = std::mem::take(&mut pool.aliases);
        for alias in &aliases {
            if !self.is_free(alias) {
                self.leave_out(name, format!("the name `{alias}`: another pool has it"));
            }
        }
        for alias in std::iter::once(name.to_owned()).chain(aliases) {
            if alias != pool.id
                && can_be_named(&alias)
                && self.is_free(&alias)
                && !pool.aliases.contains(&alias)
            {
                pool.aliases.push(alias);
            }
        }
        self.pools.push(CarriedPool { name: name.to_owned(), pool });
        self.pools.last().map(|one| one.pool.id.as_str())
    }

    /// A further name of the pool `id`.
    pub fn alias(&mut self, id: &str, alias: &str) {
        let has_it = |pool: &Pool| pool.id == alias || pool.aliases.iter().any(|one| one == alias);
        if self.pools.iter().any(|one| one.pool.id == id && has_it(&one.pool)) {
            return;
        }
        if !self.is_free(alias) {
            return self.leave_out(alias, "another pool has this name");
        }
        if let Some(one) = self.pools.iter_mut().find(|one| one.pool.id == id) {
            one.pool.aliases.push(alias.to_owned());
        }
    }

    /// Whether no pool answers to `name`.
    fn is_free(&self, name: &str) -> bool {
        let answers = |pool: &Pool| pool.id == name || pool.aliases.iter().any(|alias| alias == name);
        !self.pools.iter().any(|one| answers(&one.pool))
    }

    /// The name as a pool may have it, and no other has.
    fn free_id(&self, name: &str) -> String {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-');
        let plain: String =
            name.to_ascii_lowercase().chars().map(|c| if fits(c) { c } else { '-' }).collect();
        let plain = plain.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
        let plain: String = plain.chars().take(ID_CHARS - 3).collect();
        let plain = if plain.is_empty() { "model".to_owned() } else { plain };
        let numbered = (2..).map(|number| format!("{plain}-{number}"));
        let mut names = std::iter::once(plain.clone()).chain(numbered);
        names.find(|name| self.is_free(name)).expect("there are more numbers than pools")
    }

    /// The configuration. `origin` says in its head where it comes from.
    pub fn to_yaml(&self, origin: &str) -> String {
        let mut page =
            format!("# Written by {}.\n# Model files are used where they are.\n", one_line(origin));
        if !self.left_out.is_empty() {
            page.push_str("#\n# Not carried over:\n");
            for one in &self.left_out {
                page.push_str(&format!("# - {}\n", one_line(&one.to_string())));
            }
        }
        page.push_str("\npools:\n");
        for one in &self.pools {
            page.push_str(&pool(one));
        }
        page
    }
}

/// Whether a request can name it.
fn can_be_named(alias: &str) -> bool {
    (1..=ALIAS_CHARS).contains(&alias.chars().count())
        && !alias.contains(char::is_control)
        && alias.trim() == alias
}

fn pool(one: &CarriedPool) -> String {
    let Pool { id, model, .. } = &one.pool;
    let quoted = |text: &str| flow(&text.into());
    let mut page =
        format!("  # {}\n  - id: {}\n    model: {}\n", one_line(&one.name), quoted(id), quoted(model));
    let mut options = unlike_default(&one.pool, &Pool::default());
    if let Some(server) = &one.pool.server {
        options.insert("server".to_owned(), Value::Object(unlike_default(server, &Server::default())));
    }
    for (name, value) in OPTIONS.iter().filter_map(|name| options.get_key_value(*name)) {
        page.push_str(&format!("    {name}: {}\n", flow(value)));
    }
    page
}

/// What is said in so many words, because it is not what holds anyway.
fn unlike_default<T: Serialize>(given: &T, default: &T) -> Map<String, Value> {
    let (Value::Object(mut given), Value::Object(default)) = (json(given), json(default)) else {
        unreachable!("options are an object")
    };
    given.retain(|name, value| default.get(name) != Some(value));
    given
}

fn json<T: Serialize>(value: &T) -> Value {
    serde_json::to_value(value).expect("options are JSON")
}

/// JSON on one line, which YAML takes as it is.
fn flow(value: &Value) -> String {
    value.to_string()
}

fn one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}

#[cfg(test)]
mod tests;
