//! Names by which other programs know models, and what to write instead of them.

/// Folders of Hugging Face that other programs put before a repository.
const HUB: [&str; 4] = ["hf.co/", "huggingface.co/", "https://hf.co/", "https://huggingface.co/"];

/// What to write instead of a name that is no model reference; nothing where it looks like no other program's name.
pub fn hint(name: &str) -> Option<String> {
    let of_hub = HUB.iter().find_map(|hub| name.strip_prefix(hub)).or_else(|| name.strip_prefix("hf:"));
    let (path, tag) = match of_hub.unwrap_or(name).rsplit_once(':') {
        Some((path, tag)) if !tag.contains('/') => (path, Some(tag)),
        _ => (of_hub.unwrap_or(name), None),
    };
    let parts: Vec<&str> = path.split('/').collect();
    let is_name = |part: &&str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    if !parts.iter().all(is_name) || tag.is_some_and(|tag| !is_name(&tag)) {
        return None;
    }
    match (parts.as_slice(), of_hub) {
        ([owner, repo], Some(_)) => Some(format!(
            "name one file of the repository: `hf:{owner}/{repo}/FILE.gguf`; https://huggingface.co/{owner}/{repo}/tree/main \
             lists them"
        )),
        ([_] | [_, _], None) => Some(
            "names of Ollama's library are not looked up: find the model on huggingface.co and name its file, \
             `hf:OWNER/REPO/FILE.gguf`\n`llama-orch import ollama` serves what Ollama has on this machine"
                .to_owned(),
        ),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
