//! Names by which other programs know models, and what to write instead of them.

/// What to write instead of a name that is no model reference; nothing where it looks like no other program's name.
pub fn hint(name: &str) -> Option<String> {
    let (path, tag) = match name.rsplit_once(':') {
        Some((path, tag)) if !tag.contains('/') => (path, Some(tag)),
        _ => (name, None),
    };
    let parts: Vec<&str> = path.split('/').collect();
    let is_name = |part: &&str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    if !parts.iter().all(is_name) || tag.is_some_and(|tag| !is_name(&tag)) {
        return None;
    }
    match parts.as_slice() {
        [owner, repo] if tag.is_none() => Some(format!(
            "for the repository of Hugging Face write `hf:{owner}/{repo}`, or `hf:{owner}/{repo}:QUANT`"
        )),
        [_] | [_, _] => Some(
            "names of Ollama's library are not looked up: find the model on huggingface.co and name its quantisation, \
             `hf:OWNER/REPO:QUANT`\n`llama-orch import ollama` serves what Ollama has on this machine"
                .to_owned(),
        ),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
