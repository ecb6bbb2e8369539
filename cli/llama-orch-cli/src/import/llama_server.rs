//! The command of a `llama-server`: what of it the built-in engine does as well, and what needs that program.

/// What the command says that a pool of the built-in engine can say, too.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Understood {
    /// The file of the model.
    pub model: Option<String>,
    /// Tokens of context of all slots together; 0 is the model's own.
    pub ctx: Option<u32>,
    pub gpu_layers: Option<u32>,
    pub slots: Option<u16>,
    pub threads: Option<u16>,
    /// Options that only this program has.
    pub own: Vec<String>,
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
            words.next_if(|word| matches!(*word, "on" | "off" | "auto" | "1" | "0"));
            continue;
        }
        let mut value = || joined.or_else(|| words.next());
        let taken = match flag {
            "-m" | "--model" => value().map(|path| understood.model = Some(path.to_owned())),
            "-c" | "--ctx-size" => number(value()).map(|n| understood.ctx = Some(n)),
            "-ngl" | "--gpu-layers" | "--n-gpu-layers" => {
                number(value()).map(|n: u32| understood.gpu_layers = Some(n.min(10_000)))
            }
            "-np" | "--parallel" => number(value()).map(|n| understood.slots = Some(n)),
            "-t" | "--threads" => number(value()).map(|n| understood.threads = Some(n)),
            flag if NEEDLESS_WITH_VALUE.contains(&flag) => value().map(drop),
            _ => None,
        };
        if taken.is_none() {
            understood.own.push(word.to_owned());
        }
    }
    understood
}

fn number<N: std::str::FromStr>(text: Option<&str>) -> Option<N> {
    text?.parse().ok()
}
