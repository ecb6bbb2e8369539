//! The command of a `llama-server`: what of it the built-in engine does as well, and what needs that program.
//!
//! Rules: ORCH-CLI-14

use config_schema::raw::{FlashAttention, Pool};

mod options;

/// What the command says that a pool of the built-in engine can say, too.
#[derive(Debug, Default, PartialEq)]
pub struct Understood {
    /// The file of the model.
    pub model: Option<String>,
    /// The model on the hub or on a web server, as a reference of ours.
    pub remote: Option<String>,
    /// The key that it asks its clients for.
    pub api_key: Option<String>,
    /// Tokens of context of all slots together; 0 is the model's own.
    pub ctx: Option<u32>,
    pub gpu_layers: Option<u32>,
    pub slots: Option<u16>,
    pub threads: Option<u16>,
    /// How the model is loaded, computed with and asked, in the options of a pool that is otherwise the default. Paths are
    /// as they were written.
    pub options: Pool,
    /// What of the command stands in `options`, but for flash attention.
    pub carried: Vec<String>,
    /// What changes no answer and is not carried, with the reason.
    pub dropped: Vec<(String, &'static str)>,
    /// Options that only this program has.
    pub own: Vec<String>,
}

impl Understood {
    /// Whether the built-in engine does the same without being told anything but what every pool is told.
    pub fn is_plain(&self) -> bool {
        self.own.is_empty() && self.carried.is_empty() && self.dropped.is_empty()
    }
}

/// Options that change nothing here: where it listens, and what the daemon does or has by itself.
const NEEDLESS_WITH_VALUE: [&str; 4] = ["--port", "--host", "-a", "--alias"];
const NEEDLESS: [&str; 10] = [
    "--webui",
    "--jinja",
    "--metrics",
    "--slots",
    "--props",
    "--no-webui",
    "-cb",
    "--cont-batching",
    "--mmap",
    "--log-disable",
];
/// What names a repository of the hub, a file of it, and a file on a web server.
const REPOSITORY: [&str; 3] = ["-hf", "-hfr", "--hf-repo"];
const REPOSITORY_FILE: [&str; 2] = ["-hff", "--hf-file"];
const URL: [&str; 2] = ["-mu", "--model-url"];
/// What stands for the model in a command of ours.
const MODEL: &str = "{model}";
/// Options whose value is a path.
const PATHS: [&str; 12] = [
    "--mmproj",
    "-mm",
    "--lora",
    "--control-vector",
    "-md",
    "--model-draft",
    "--chat-template-file",
    "--grammar-file",
    "--json-schema-file",
    "-jf",
    "--api-key-file",
    "--slot-save-path",
];

/// The command with its relative paths made absolute, as they are meant in the folder `dir`.
pub fn with_paths_from(command: &[String], dir: &std::path::Path) -> Vec<String> {
    let absolute = |path: &str| {
        let stays = path.is_empty() || path.starts_with(['~', '{', '$']);
        if stays { path.to_owned() } else { dir.join(path).display().to_string() }
    };
    let mut is_path = false;
    let place = |(number, word): (usize, &String)| {
        let was_path = std::mem::replace(&mut is_path, PATHS.contains(&word.as_str()));
        match word.split_once('=') {
            // A program without a folder is looked for in PATH.
            _ if number == 0 => {
                if word.contains('/') {
                    absolute(word)
                } else {
                    word.clone()
                }
            }
            _ if was_path => absolute(word),
            Some((flag, path)) if PATHS.contains(&flag) => format!("{flag}={}", absolute(path)),
            _ => word.clone(),
        }
    };
    command.iter().enumerate().map(place).collect()
}

/// May stand alone or before a word that says how.
const FLASH_ATTENTION: [&str; 2] = ["-fa", "--flash-attn"];

/// Whether `program` is llama.cpp's server.
pub fn is_it(program: &str) -> bool {
    program.rsplit('/').next().is_some_and(|name| name.starts_with("llama-server"))
}

/// The command with `{model}` in place of what names its model, a file or a repository; as it is where nothing does.
pub fn with_model(command: &[String]) -> Vec<String> {
    let mut with = Vec::with_capacity(command.len());
    let mut words = command.iter();
    while let Some(word) = words.next() {
        let (flag, joined) = match word.split_once('=') {
            Some((flag, value)) if flag.starts_with("--") => (flag, Some(value)),
            _ => (word.as_str(), None),
        };
        let is_remote = REPOSITORY.contains(&flag) || URL.contains(&flag);
        if flag == "-m" || flag == "--model" || is_remote {
            if joined.is_none() {
                words.next();
            }
            with.extend(["-m".to_owned(), MODEL.to_owned()]);
        } else if REPOSITORY_FILE.contains(&flag) {
            if joined.is_none() {
                words.next();
            }
        } else {
            with.push(word.clone());
        }
    }
    with
}

/// The model of a repository as we name it: `OWNER/REPO[:QUANT]`, or with its file.
fn remote(repository: Option<&str>, file: Option<&str>, url: Option<&str>) -> Option<String> {
    let named = match (repository, file) {
        (Some(repository), Some(file)) => {
            format!("hf:{}/{file}", repository.split(':').next().unwrap_or(repository))
        }
        (Some(repository), None) => format!("hf:{repository}"),
        (None, _) => url?.to_owned(),
    };
    model_store::ModelRef::parse(&named).ok().map(|model| model.to_string())
}

/// Reads the words behind the program.
pub fn understand(words: &[String]) -> Understood {
    let mut understood = Understood::default();
    let (mut repository, mut file, mut url) = (None, None, None);
    let mut words = words.iter().map(String::as_str).peekable();
    while let Some(word) = words.next() {
        let (flag, joined) = match word.split_once('=') {
            Some((flag, value)) if flag.starts_with("--") => (flag, Some(value)),
            _ => (word, None),
        };
        if NEEDLESS.contains(&flag) {
            continue;
        }
        if FLASH_ATTENTION.contains(&flag) {
            let how = joined.or_else(|| words.next_if(|word| flash_attention(word).is_some()));
            match flash_attention(how.unwrap_or("on")) {
                Some(how) => understood.options.flash_attention = Some(how),
                None => understood.own.push(word.to_owned()),
            }
            continue;
        }
        let mut said = vec![word];
        let mut value = || {
            joined.or_else(|| {
                let value = words.next()?;
                said.push(value);
                Some(value)
            })
        };
        let taken = match flag {
            "-m" | "--model" => value().map(|path| understood.model = Some(path.to_owned())),
            flag if REPOSITORY.contains(&flag) => value().map(|name| repository = Some(name)),
            flag if REPOSITORY_FILE.contains(&flag) => value().map(|name| file = Some(name)),
            flag if URL.contains(&flag) => value().map(|name| url = Some(name)),
            "--api-key" => value().map(|key| understood.api_key = Some(key.to_owned())),
            "-c" | "--ctx-size" => number(value()).map(|n| understood.ctx = Some(n)),
            "-ngl" | "--gpu-layers" | "--n-gpu-layers" => {
                value().and_then(layers).map(|n| understood.gpu_layers = n)
            }
            "-np" | "--parallel" => value().and_then(own_or_number).map(|n| understood.slots = n),
            "-t" | "--threads" => value().and_then(own_or_number).map(|n| understood.threads = n),
            flag if NEEDLESS_WITH_VALUE.contains(&flag) => value().map(drop),
            flag => match options::take(flag, &mut value, &mut understood.options) {
                Some(options::Taken::Carried) => {
                    understood.carried.push(said.join(" "));
                    continue;
                }
                Some(options::Taken::Dropped(why)) => {
                    understood.dropped.push((said.join(" "), why));
                    continue;
                }
                None => None,
            },
        };
        if taken.is_none() {
            understood.own.push(said.join(" "));
        }
    }
    understood.own.extend(options::settle(&mut understood.options));
    understood.remote = remote(repository, file, url);
    understood
}

/// The most layers that a pool's option takes: all of any model.
const ALL_LAYERS: u32 = 10_000;

/// `all`, a number, or nothing where it is left to the program.
fn layers(text: &str) -> Option<Option<u32>> {
    match text {
        "all" => Some(Some(ALL_LAYERS)),
        "auto" => Some(None),
        text => own_or_number::<u32>(text).map(|layers| layers.map(|n| n.min(ALL_LAYERS))),
    }
}

/// A number, or nothing where a negative one leaves it to the program.
fn own_or_number<N: std::str::FromStr>(text: &str) -> Option<Option<N>> {
    let number = text.parse::<i64>().ok()?;
    if number < 0 { Some(None) } else { text.parse().ok().map(Some) }
}

fn flash_attention(word: &str) -> Option<FlashAttention> {
    match word {
        "on" | "1" | "true" | "enabled" => Some(FlashAttention::On),
        "off" | "0" | "false" | "disabled" => Some(FlashAttention::Off),
        "auto" | "-1" => Some(FlashAttention::Auto),
        _ => None,
    }
}

fn number<N: std::str::FromStr>(text: Option<&str>) -> Option<N> {
    text?.parse().ok()
}

#[cfg(test)]
mod tests;
