//! The error texts of engines: every one wraps its message in a JSON of its own.

use serde::Deserialize;

/// Characters of an engine's message that are passed on.
const MAX_MESSAGE_CHARS: usize = 600;

/// The shapes that are known: `{"error":{"message":…}}` (OpenAI, llama-server, newer vLLM), `{"error":"…"}`
/// (TGI, Triton), `{"message":…}` (older vLLM), `{"detail":…}` (FastAPI).
#[derive(Deserialize)]
struct Envelope {
    error: Option<ErrorPart>,
    message: Option<String>,
    detail: Option<Detail>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum ErrorPart {
    Object { message: String },
    Text(String),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Detail {
    Text(String),
    List(Vec<DetailItem>),
}

#[derive(Deserialize)]
struct DetailItem {
    #[serde(default)]
    loc: Vec<serde_json::Value>,
    msg: String,
}

/// What a server's body says went wrong, cut to a length for a message; nothing where it says nothing.
#[must_use]
pub fn message_of(body: &[u8]) -> Option<String> {
    let text = match serde_json::from_slice::<Envelope>(body) {
        Ok(Envelope { error: Some(ErrorPart::Object { message } | ErrorPart::Text(message)), .. }) => message,
        Ok(Envelope { message: Some(message), .. }) => message,
        Ok(Envelope { detail: Some(Detail::Text(message)), .. }) => message,
        Ok(Envelope { detail: Some(Detail::List(items)), .. }) => of_items(&items),
        Ok(_) | Err(_) => String::from_utf8_lossy(body).into_owned(),
    };
    let text: String = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match text.char_indices().nth(MAX_MESSAGE_CHARS) {
        _ if text.is_empty() => None,
        Some((end, _)) => Some(format!("{}…", &text[..end])),
        None => Some(text),
    }
}

fn of_items(items: &[DetailItem]) -> String {
    let told = items.iter().map(|item| {
        let place: Vec<String> = item
            .loc
            .iter()
            .filter(|part| part.as_str() != Some("body"))
            .map(|part| part.as_str().map_or_else(|| part.to_string(), str::to_owned))
            .collect();
        if place.is_empty() { item.msg.clone() } else { format!("`{}`: {}", place.join("."), item.msg) }
    });
    told.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests;
