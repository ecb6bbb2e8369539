//! Ollama: its store of manifests, which name models, and blobs, which are their files.
//!
//! ```text
//! manifests/HOST/OWNER/MODEL/TAG     JSON: layers by media type and digest
//! blobs/sha256-…                     a GGUF file, parameters, a template, …
//! ```
//!
//! Rules: ORCH-CLI-14

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use config_schema::raw::{Ctx, Pool};
use model_store::gguf::{self, Header};
use serde::Deserialize;
use serde_json::Value;

use super::carried::Carried;
use crate::exit::Exit;
use crate::failure::Failure;

/// What Ollama keeps a model loaded for without a request, when nobody says otherwise.
const KEEP_ALIVE_S: f64 = 300.0;
/// The most bytes of a manifest or of parameters.
const TEXT_BYTES: u64 = 1024 * 1024;
/// Characters of a system prompt that a pool may have.
const SYSTEM_PROMPT_CHARS: usize = 65_536;
/// Architectures by names that only Ollama's own engine knows, and what llama.cpp has instead.
const ARCHITECTURES: [(&str, &str); 4] = [
    ("gptoss", "and llama.cpp's is `gpt-oss`"),
    ("qwen25vl", "and llama.cpp's is `qwen2vl`"),
    ("mllama", "and llama.cpp has none for it"),
    ("deepseekocr", "and llama.cpp's is `deepseek2-ocr`"),
];
/// The least context that a pool may have.
const LEAST_CTX: u32 = 16;
/// What a GGUF file begins with.
const GGUF_MAGIC: &[u8; 4] = b"GGUF";
/// What media types of layers begin with.
const MEDIA: &str = "application/vnd.ollama.image.";

#[derive(Debug, Deserialize)]
struct Manifest {
    #[serde(default)]
    layers: Vec<Layer>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Layer {
    media_type: String,
    digest: String,
}

impl Manifest {
    fn layers(&self, kind: &str) -> impl Iterator<Item = &Layer> {
        self.layers.iter().filter(move |layer| layer.media_type.strip_prefix(MEDIA) == Some(kind))
    }
}

/// Reads the store in `dir`, or where it usually is.
///
/// # Errors
/// There is none.
pub fn read(dir: Option<&Path>) -> Result<(PathBuf, Carried), Failure> {
    let dir = find(dir)?;
    let mut names = Vec::new();
    walk(&dir.join("manifests"), &mut Vec::new(), &mut names);
    names.sort();
    let mut store = Reading { dir: &dir, carried: Carried::default(), seen: BTreeMap::new() };
    for parts in names {
        store.model(&parts);
    }
    let mut carried = store.carried;
    carried.leave_out("Ollama", "the settings of its service (OLLAMA_…), such as its address and keep-alive");
    Ok((dir, carried))
}

fn find(dir: Option<&Path>) -> Result<PathBuf, Failure> {
    let is_store = |dir: &PathBuf| dir.join("manifests").is_dir();
    if let Some(dir) = dir {
        let dir = std::path::absolute(dir).unwrap_or(dir.to_owned());
        return [dir.clone(), dir.join("models")].into_iter().find(is_store).ok_or_else(|| {
            Failure::new(
                Exit::Refused,
                format!("`{}` is no store of Ollama's: it has no folder `manifests`", dir.display()),
            )
        });
    }
    let named = std::env::var_os("OLLAMA_MODELS").map(PathBuf::from).filter(|dir| dir.is_absolute());
    let home = std::env::home_dir().map(|home| home.join(".ollama/models"));
    let places =
        [named, home, Some("/usr/share/ollama/.ollama/models".into()), Some("/var/lib/ollama/models".into())];
    places.into_iter().flatten().find(is_store).ok_or_else(|| {
        Failure::new(Exit::Refused, "there is no store of Ollama's where it usually is (OLLAMA_MODELS, ~/.ollama/models, /usr/share/ollama/.ollama/models)")
            .hint("name it: `llama-orch import ollama PATH`")
    })
}

/// Every manifest below, as the parts of its path.
fn walk(dir: &Path, parts: &mut Vec<String>, names: &mut Vec<Vec<String>>) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        let Ok(part) = entry.file_name().into_string() else { continue };
        parts.push(part);
        if parts.len() == 4 {
            names.push(parts.clone());
        } else {
            walk(&entry.path(), parts, names);
        }
        parts.pop();
    }
}

/// What people call the model: without what stands in every name.
fn name_of(parts: &[String]) -> String {
    match parts {
        [host, owner, model, tag] => {
            let owner = if owner == "library" { String::new() } else { format!("{owner}/") };
            let host = if host == "registry.ollama.ai" { String::new() } else { format!("{host}/") };
            format!("{host}{owner}{model}:{tag}")
        }
        _ => parts.join("/"),
    }
}

struct Reading<'a> {
    dir: &'a Path,
    carried: Carried,
    /// The models by the digests of their file, parameters and system prompt: several names may be one model.
    seen: BTreeMap<(String, String, String), String>,
}

impl Reading<'_> {
    fn model(&mut self, parts: &[String]) {
        let name = name_of(parts);
        let path = self.dir.join("manifests").join(parts.iter().collect::<PathBuf>());
        let manifest: Manifest = match text_of(&path)
            .and_then(|text| serde_json::from_str(&text).map_err(|e| e.to_string()))
        {
            Ok(manifest) => manifest,
            Err(why) => return self.carried.leave_out(name, format!("its manifest cannot be read: {why}")),
        };
        let (file, sha256) = match self.file(&manifest) {
            Ok(found) => found,
            Err(why) => return self.carried.leave_out(name, why),
        };
        let params = manifest.layers("params").next().map(|layer| layer.digest.clone()).unwrap_or_default();
        let system = manifest.layers("system").next().map(|layer| layer.digest.clone()).unwrap_or_default();
        let same = (sha256.clone(), params.clone(), system.clone());
        // Ollama's clients leave the tag `latest` out.
        let short = name.strip_suffix(":latest").unwrap_or(&name);
        if let Some(id) = self.seen.get(&same).cloned() {
            return [short, name.as_str()].iter().for_each(|alias| self.carried.alias(&id, alias));
        }
        let mut pool = Pool {
            model: format!("file:{}", file.display()),
            sha256: Some(sha256.clone()),
            fit_ctx: true,
            preload: false,
            idle_unload_s: Some(KEEP_ALIVE_S),
            ..Pool::default()
        };
        // One that cannot be read is left to the load, which says better what is wrong with it.
        let header = gguf::read(&file).unwrap_or_default();
        if let Some(why) = why_not_loaded(&name, &header) {
            return self.carried.leave_out(name, why);
        }
        self.parameters(&name, &params, &mut pool);
        self.lower_context(&name, header.context, &mut pool);
        self.system_prompt(&name, &system, &mut pool);
        self.layers_left_out(&name, &manifest);
        if short != name {
            pool.aliases.push(name.clone());
        }
        if let Some(id) = self.carried.add(short, pool).map(str::to_owned) {
            self.seen.insert(same, id);
        }
    }

    /// The model's one file, and its checksum, which is its name.
    fn file(&self, manifest: &Manifest) -> Result<(PathBuf, String), String> {
        let mut layers = manifest.layers("model");
        let Some(layer) = layers.next() else {
            return Err("it has no model file: it is not a GGUF model, or runs elsewhere".to_owned());
        };
        if layers.next().is_some() {
            return Err("its model is in several files".to_owned());
        }
        if manifest.layers("adapter").next().is_some() {
            return Err(
                "it has an adapter (LoRA), which is not served: without it it is another model".to_owned()
            );
        }
        let sha256 = layer.digest.strip_prefix("sha256:").ok_or("its file has no SHA-256")?.to_owned();
        let path = self.blob(&layer.digest);
        let mut head = [0; GGUF_MAGIC.len()];
        let read = std::fs::File::open(&path).and_then(|mut file| file.read_exact(&mut head));
        match read {
            Ok(()) if head == *GGUF_MAGIC => Ok((path, sha256)),
            Ok(()) => Err("its file is no GGUF file".to_owned()),
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => Err(format!(
                "`{}` may not be read by this user: `sudo usermod -aG ollama $USER`, then log in anew",
                path.display()
            )),
            Err(error) => Err(format!("`{}` cannot be read: {error}", path.display())),
        }
    }

    /// Lowers a context beyond what the model was trained with, as Ollama does.
    fn lower_context(&mut self, name: &str, trained: Option<u32>, pool: &mut Pool) {
        if let (Some(Ctx::Tokens(asked)), Some(trained)) = (pool.ctx, trained)
            && trained < asked
            && trained >= LEAST_CTX
        {
            pool.ctx = Some(Ctx::Tokens(trained));
            let what =
                format!("its parameter `num_ctx` ({asked}): lowered to {trained}, which it was trained with");
            self.carried.leave_out(name, what);
        }
    }

    fn blob(&self, digest: &str) -> PathBuf {
        self.dir.join("blobs").join(digest.replace(':', "-"))
    }

    /// The model's system prompt, for conversations without one.
    fn system_prompt(&mut self, name: &str, digest: &str, pool: &mut Pool) {
        if digest.is_empty() {
            return;
        }
        match text_of(&self.blob(digest)).map(|text| text.trim().to_owned()) {
            Ok(text) if text.is_empty() => {}
            Ok(text) if text.chars().count() <= SYSTEM_PROMPT_CHARS => {
                pool.defaults.system_prompt = Some(text)
            }
            Ok(_) => self.carried.leave_out(name, "its system prompt: it is too long"),
            Err(why) => self.carried.leave_out(name, format!("its system prompt cannot be read: {why}")),
        }
    }

    /// What the model's parameters say, as options of its pool.
    fn parameters(&mut self, name: &str, digest: &str, pool: &mut Pool) {
        if digest.is_empty() {
            return;
        }
        let read = text_of(&self.blob(digest));
        let params: BTreeMap<String, Value> =
            match read.and_then(|text| serde_json::from_str(&text).map_err(|error| error.to_string())) {
                Ok(params) => params,
                Err(why) => {
                    return self.carried.leave_out(name, format!("its parameters cannot be read: {why}"));
                }
            };
        for (option, value) in &params {
            if !carry_parameter(option, value, pool) {
                self.carried
                    .leave_out(name, format!("its parameter `{option}` ({value}): a request says it"));
            }
        }
    }

    fn layers_left_out(&mut self, name: &str, manifest: &Manifest) {
        let kinds = [
            ("template", "its prompt template: the one in the model file is used"),
            ("messages", "its example messages: send them with the request"),
            ("projector", "its projector: it reads no images"),
        ];
        for (kind, what) in kinds {
            if manifest.layers(kind).next().is_some() {
                self.carried.leave_out(name, what);
            }
        }
    }
}

/// Why llama.cpp does not load a model that Ollama's own engine does; nothing where it may.
fn why_not_loaded(name: &str, header: &Header) -> Option<String> {
    let word = name.split([':', '/']).next().unwrap_or(name);
    let instead = format!("`llama-orch models search {word}` finds files for llama.cpp");
    if let Some((own, theirs)) = ARCHITECTURES.iter().find(|(own, _)| *own == header.architecture) {
        return Some(format!(
            "its architecture `{own}` is loaded by Ollama's own engine alone, {theirs}: {instead}"
        ));
    }
    header.has_encoder.then(|| {
        format!(
            "the parts that see are in the same file as the language model, as Ollama's own engine loads it and llama.cpp \
             does not: {instead}"
        )
    })
}

/// Whether there was a place for it.
fn carry_parameter(option: &str, value: &Value, pool: &mut Pool) -> bool {
    let whole = |min: u64, max: u64| {
        value.as_u64().filter(|value| (min..=max).contains(value)).and_then(|n| u32::try_from(n).ok())
    };
    let real = |min: f64, max: f64| {
        value.as_f64().filter(|value| (min..=max).contains(value)).map(|value| value as f32)
    };
    let sampling = &mut pool.defaults.sampling;
    match option {
        // What holds anyway where nothing is said.
        "num_gpu" | "num_predict" | "num_thread" if value.as_i64().is_some_and(|n| n < 0) => Some(()),
        "num_thread" | "mirostat" if value.as_u64() == Some(0) => Some(()),
        "num_predict" => whole(1, 1_048_576).map(|n| pool.defaults.max_tokens = n),
        "num_ctx" => whole(16, 16_777_216).map(|n| pool.ctx = Some(Ctx::Tokens(n))),
        "num_gpu" => whole(0, 10_000).map(|n| pool.gpu_layers = Some(n)),
        "num_thread" => whole(1, 1024).and_then(|n| u16::try_from(n).ok()).map(|n| pool.threads = Some(n)),
        "temperature" => real(0.0, 5.0).map(|x| sampling.temperature = Some(x)),
        "top_p" => real(0.001, 1.0).map(|x| sampling.top_p = Some(x)),
        "top_k" => whole(0, 1_000_000).map(|n| sampling.top_k = Some(n)),
        "min_p" => real(0.0, 1.0).map(|x| sampling.min_p = Some(x)),
        "repeat_penalty" => real(0.1, 10.0).map(|x| sampling.repeat_penalty = Some(x)),
        "typical_p" => real(0.001, 1.0).map(|x| sampling.typical_p = Some(x)),
        "presence_penalty" => real(-2.0, 2.0).map(|x| sampling.presence_penalty = Some(x)),
        "frequency_penalty" => real(-2.0, 2.0).map(|x| sampling.frequency_penalty = Some(x)),
        "repeat_last_n" => whole(0, 65_536).map(|n| sampling.repeat_last_n = Some(n)),
        _ => None,
    }
    .is_some()
}

fn text_of(path: &Path) -> Result<String, String> {
    let mut text = String::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(TEXT_BYTES).read_to_string(&mut text));
    read.map(|_| text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;
