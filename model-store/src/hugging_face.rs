//! Files of Hugging Face repositories: found in the cache that the other programs of this machine fill,
//! and asked for under the names that the hub gives them. The cache is read, never written: a file found
//! there is used in place.

use std::path::{Path, PathBuf};

use crate::at_path::files_of;
use crate::model_ref::{HfFile, HfRepo, MAIN};
use crate::surroundings::Env;
use crate::web::Remote;

const HUB: &str = "https://huggingface.co";
const DENIED_HINT: &str =
    "set HF_TOKEN to a token that may read the repository, and accept its licence on the hub";
/// Variables that forbid to ask the hub, and what they are set to for that.
const OFFLINE_VARIABLES: [&str; 2] = ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"];
const YES: [&str; 4] = ["1", "true", "yes", "on"];
/// The deepest folder of a snapshot that is looked into.
const MAX_DEPTH: usize = 6;

/// The file in the first cache that has it, in the order in which llama.cpp looks.
pub(crate) fn find(file: &HfFile, surroundings: &Env) -> Option<PathBuf> {
    caches(surroundings).iter().find_map(|cache| find_in(cache, file))
}

fn caches(surroundings: &Env) -> Vec<PathBuf> {
    let named = ["LLAMA_CACHE", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"].map(|name| surroundings.dir(name));
    let home = hub_home(surroundings).map(|home| home.join("hub"));
    named.into_iter().chain([home]).flatten().collect()
}

fn hub_home(surroundings: &Env) -> Option<PathBuf> {
    let cache = || surroundings.cache_dir().map(|cache| cache.join("huggingface"));
    surroundings.dir("HF_HOME").map(|home| surroundings.expand(&home)).or_else(cache)
}

/// `models--OWNER--REPO/snapshots/COMMIT/FILE`, with all its parts, in the first commit that has it.
fn find_in(cache: &Path, file: &HfFile) -> Option<PathBuf> {
    let HfFile { owner, repo, revision, path } = file;
    let has_all = |path: &PathBuf| files_of(path).iter().all(|part| part.is_file());
    let snapshots = snapshots(cache, owner, repo, revision.as_deref());
    snapshots.into_iter().map(|snapshot| snapshot.join(path)).find(has_all)
}

/// The commits of a repository in a cache: the one that the revision names first. Any other will do where nobody
/// has asked for a revision.
fn snapshots(cache: &Path, owner: &str, repo: &str, revision: Option<&str>) -> Vec<PathBuf> {
    let repo = cache.join(format!("models--{owner}--{repo}"));
    let all = repo.join("snapshots");
    let named = std::fs::read_to_string(repo.join("refs").join(revision.unwrap_or(MAIN)));
    let mut commits: Vec<PathBuf> = named.iter().map(|commit| all.join(commit.trim())).collect();
    let mut others: Vec<PathBuf> =
        std::fs::read_dir(&all).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    others.sort();
    let fits = |commit: &PathBuf| {
        let name = commit.file_name().unwrap_or_default().to_string_lossy();
        revision.is_none_or(|revision| name.starts_with(revision))
    };
    commits.extend(others.into_iter().filter(fits));
    commits
}

/// The files of a repository that the caches have, as paths in it with their sizes.
pub(crate) fn cached_files(repo: &HfRepo, surroundings: &Env) -> Vec<(String, u64)> {
    let mut files = Vec::new();
    for cache in caches(surroundings) {
        for snapshot in snapshots(&cache, &repo.owner, &repo.repo, repo.revision.as_deref()) {
            walk(&snapshot, &snapshot, 0, &mut files);
        }
    }
    files
}

fn walk(root: &Path, folder: &Path, depth: usize, files: &mut Vec<(String, u64)>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let Ok(state) = path.metadata() else { continue };
        if state.is_dir() && depth < MAX_DEPTH {
            walk(root, &path, depth + 1, files);
        } else if let Some(below) = path.strip_prefix(root).ok().and_then(Path::to_str) {
            files.push((below.to_owned(), state.len()));
        }
    }
}

/// The variable that forbids to ask the hub, where one is set.
pub(crate) fn offline(surroundings: &Env) -> Option<&'static str> {
    let is_set = |name: &&str| {
        let value = surroundings.var(name).map(str::to_ascii_lowercase);
        value.is_some_and(|value| YES.contains(&value.as_str()))
    };
    OFFLINE_VARIABLES.into_iter().find(|name| is_set(name))
}

/// Where the hub has the file, in the revision that the reference names or a fixed commit.
pub(crate) fn remote(file: &HfFile, commit: Option<&str>, surroundings: &Env) -> Remote {
    let HfFile { owner, repo, revision, path } = file;
    let revision = encoded(commit.or(revision.as_deref()).unwrap_or(MAIN));
    let path: Vec<String> = path.split('/').map(encoded).collect();
    at_hub(&format!("{owner}/{repo}/resolve/{revision}/{}", path.join("/")), surroundings)
}

/// Where the hub lists the files of a repository.
pub(crate) fn listing(repo: &HfRepo, surroundings: &Env) -> Remote {
    let HfRepo { owner, repo, revision, .. } = repo;
    let revision = encoded(revision.as_deref().unwrap_or(MAIN));
    at_hub(&format!("api/models/{owner}/{repo}/tree/{revision}?recursive=true"), surroundings)
}

/// Where the hub lists repositories with GGUF models, by words of their names.
pub(crate) fn search(words: &str, limit: u32, surroundings: &Env) -> Remote {
    let words = encoded(words);
    let query = format!("search={words}&filter=gguf&sort=downloads&direction=-1&limit={limit}");
    at_hub(&format!("api/models?{query}"), surroundings)
}

fn at_hub(path: &str, surroundings: &Env) -> Remote {
    let endpoint = surroundings.var("HF_ENDPOINT").unwrap_or(HUB).trim_end_matches('/');
    Remote {
        authorization: token(surroundings).map(|token| format!("Bearer {token}")),
        denied_hint: DENIED_HINT,
        ..Remote::open(&format!("{endpoint}/{path}"))
    }
}

/// One part of a URL's path.
pub(crate) fn encoded(part: &str) -> String {
    let mut text = String::with_capacity(part.len());
    for byte in part.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

/// `HF_TOKEN`, else what `hf auth login` has left.
fn token(surroundings: &Env) -> Option<String> {
    let from_env = ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"].iter().find_map(|name| surroundings.var(name));
    let from_file = || {
        let path =
            surroundings.dir("HF_TOKEN_PATH").or_else(|| Some(hub_home(surroundings)?.join("token")))?;
        std::fs::read_to_string(path).ok()
    };
    let token = from_env.map(str::to_owned).or_else(from_file)?.trim().to_owned();
    let fits = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    fits.then_some(token)
}

#[cfg(test)]
mod tests;
