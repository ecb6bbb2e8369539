//! Files of Hugging Face repositories: found in the cache that the other programs of this machine fill,
//! and asked for under the names that the hub gives them. The cache is read, never written: a file found
//! there is used in place.

use std::path::{Path, PathBuf};

use crate::model_ref::HfFile;
use crate::surroundings::Env;
use crate::web::Remote;

const HUB: &str = "https://huggingface.co";

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

/// `models--OWNER--REPO/snapshots/COMMIT/FILE`, in the commit that `refs/main` names; in any other when
/// that one does not have it.
fn find_in(cache: &Path, file: &HfFile) -> Option<PathBuf> {
    let repo = cache.join(format!("models--{}--{}", file.owner, file.repo));
    let snapshots = repo.join("snapshots");
    let in_commit =
        |commit: &Path| Some(snapshots.join(commit).join(&file.path)).filter(|path| path.is_file());
    if let Ok(commit) = std::fs::read_to_string(repo.join("refs/main"))
        && let Some(path) = in_commit(Path::new(commit.trim()))
    {
        return Some(path);
    }
    let mut commits: Vec<_> =
        std::fs::read_dir(&snapshots).ok()?.flatten().map(|entry| entry.file_name()).collect();
    commits.sort();
    commits.iter().find_map(|commit| in_commit(Path::new(commit)))
}

/// Where the hub has the file, in the newest commit or a fixed one.
pub(crate) fn remote(file: &HfFile, commit: Option<&str>, surroundings: &Env) -> Remote {
    let endpoint = surroundings.var("HF_ENDPOINT").unwrap_or(HUB).trim_end_matches('/');
    let HfFile { owner, repo, path } = file;
    let url = format!("{endpoint}/{owner}/{repo}/resolve/{}/{path}", commit.unwrap_or("main"));
    Remote {
        authorization: token(surroundings).map(|token| format!("Bearer {token}")),
        denied_hint: "set HF_TOKEN to a token that may read the repository, and accept its licence on the hub",
        ..Remote::open(&url)
    }
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
