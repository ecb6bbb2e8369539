//! Texts of engines and of the model store for readers outside of the machine: without the folders of files. The log
//! keeps the whole text.
//!
//! Rules: ORCH-ERR-9

/// Folders that a path of a file may begin with where its last part has no extension.
const ROOT_FOLDERS: [&str; 18] = [
    "app",
    "data",
    "dev",
    "etc",
    "home",
    "media",
    "mnt",
    "models",
    "opt",
    "private",
    "proc",
    "root",
    "run",
    "srv",
    "tmp",
    "usr",
    "var",
    "workspace",
];

/// The same text with the last part of each absolute path alone: `cannot read "/home/a/m.gguf"` becomes
/// `cannot read "m.gguf"`. The paths of HTTP (`/v1/models`) and of JSON (`/properties/a`), URLs and fractions stay.
#[must_use]
pub fn without_folders(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('/') {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let last = before.chars().next_back().or_else(|| out.chars().next_back());
        let length = match last {
            // A URL: only one of a file has folders of this machine.
            Some(':') if from.starts_with("//") && !out.ends_with("file:") => {
                let url = &from[..end_of(from, None)];
                out.push_str(url);
                rest = &from[url.len()..];
                continue;
            }
            Some(before) if before.is_alphanumeric() || matches!(before, '.' | '_' | '-' | '~' | '/') => 0,
            quote => end_of(from, quote.filter(|quote| matches!(quote, '`' | '"' | '\''))),
        };
        match name_of(&from[..length]) {
            Some(name) => out.push_str(name),
            None => out.push_str(&from[..length.max(1)]),
        }
        rest = &from[length.max(1)..];
    }
    out.push_str(rest);
    out
}

/// Where a path ends: at the quote that it began with, or at what is in no path without one.
fn end_of(path: &str, quote: Option<char>) -> usize {
    let line = path.find('\n').unwrap_or(path.len());
    if let Some(end) = quote.and_then(|quote| path[..line].find(quote)) {
        return end;
    }
    let is_outside =
        |c: char| c.is_whitespace() || matches!(c, '`' | '"' | '\'' | ',' | ';' | ')' | '<' | '>' | '|');
    let end = path.find(is_outside).unwrap_or(path.len());
    path[..end].trim_end_matches(['.', ':']).len()
}

/// The last part of the path of a file; nothing where it is none.
fn name_of(path: &str) -> Option<&str> {
    let mut parts = path.split('/').filter(|part| !part.is_empty());
    let (first, last) = (parts.next()?, parts.next_back()?);
    let is_file = last.contains('.') || ROOT_FOLDERS.contains(&first);
    is_file.then_some(last)
}

#[cfg(test)]
mod tests {
    use super::without_folders;

    /// ORCH-ERR-9
    #[test]
    fn paths_of_files_lose_their_folders_wherever_they_stand() {
        for (text, expected) in [
            (
                "there is no file `/home/a b/m.gguf`\n  hint: put it there",
                "there is no file `m.gguf`\n  hint: put it there",
            ),
            ("/models/llama", "llama"),
            ("file:/srv/m.gguf and file:///srv/n.gguf", "file:m.gguf and file:n.gguf"),
            ("File \"/usr/lib/python3/vllm/engine.py\", line 3", "File \"engine.py\", line 3"),
            ("cannot open /opt/x/libcuda.so.1: no such file", "cannot open libcuda.so.1: no such file"),
            ("put it at `/root/.cache/m.gguf`, or (/mnt/m).", "put it at `m.gguf`, or (m)."),
        ] {
            assert_eq!(without_folders(text), expected);
        }
    }

    /// ORCH-ERR-9
    #[test]
    fn what_only_looks_like_a_path_stays() {
        for text in [
            "`/v1/models` answers 404, `/health` too",
            "at `/properties/a/items`: not supported",
            "http://127.0.0.1:8080/v1/chat/m.gguf refuses",
            "`https://host/a/b.gguf` has the wrong checksum",
            "hf:owner/repo/file.gguf is 3/4 done, 10 tokens/s, and/or",
            "no path at all",
            "/",
        ] {
            assert_eq!(without_folders(text), text);
        }
    }
}
