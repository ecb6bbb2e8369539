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
const NEEDLESS: [&str; 9] = [
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
/// May stand alone or before a word that says how.
const FLASH_ATTENTION: [&str; 2] = ["-fa", "--flash-attn"];

/// Whether `program` is llama.cpp's server.
pub fn is_it(program: &str) -> bool {
    program.rsplit('/').next().is_some_and(|name| name.starts_with("llama-server"))
}

/// The word that names the model's file.
pub fn model_word(words: &[String]) -> Option<usize> {
    let flag = words.iter().position(|word| word == "-m" || word == "--model")?;
    (flag + 1 < words.len()).then_some(flag + 1)
}

/// Reads the words behind the program.
pub fn understand(words: &[String]) -> Understood {
    let mut understood = Understood::default();
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
            "-c" | "--ctx-size" => number(value()).map(|n| understood.ctx = Some(n)),
            "-ngl" | "--gpu-layers" | "--n-gpu-layers" => {
                number(value()).map(|n: u32| understood.gpu_layers = Some(n.min(10_000)))
            }
            "-np" | "--parallel" => number(value()).map(|n| understood.slots = Some(n)),
            "-t" | "--threads" => number(value()).map(|n| understood.threads = Some(n)),
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
    understood
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
