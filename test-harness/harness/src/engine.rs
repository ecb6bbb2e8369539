//! An engine that computes nothing: it speaks the OpenAI API as vLLM does and writes as many tokens as it is
//! asked for. For benches of what stands between an engine and those who read it.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};

/// A prompt whose answer comes token by token, [`PAUSE`] between two of them.
pub const APART: &str = "apart";

/// A prompt whose answer comes as fast as it is taken, [`BULK`] tokens in a write.
pub const IN_BULK: &str = "bulk";

/// A prompt whose answer closes its connection, and is in bulk otherwise. Others leave it open for the next request.
pub const CLOSING: &str = "closing";

/// Time between two tokens of a stream whose tokens come apart.
pub const PAUSE: Duration = Duration::from_millis(1);

/// Tokens in one write of a stream in bulk.
pub const BULK: u32 = 250;

/// Numbers in an embedding.
const VECTOR: usize = 768;

/// Tokens of an answer that is to be as long as there is room.
const ENDLESS: u32 = 60_000;

/// Answers whoever connects, until the program ends.
pub fn serve(listener: &TcpListener) {
    for socket in listener.incoming().map_while(Result::ok) {
        let _ = socket.set_nodelay(true);
        std::thread::spawn(move || answer_all(socket));
    }
}

/// Answers one request after the other; a client that goes away ends it.
fn answer_all(mut socket: TcpStream) {
    let mut bytes = vec![0; 64 * 1024];
    while answer(&mut socket, &mut bytes) == Some(Persistence::Kept) {}
}

/// Whether a connection takes another request.
#[derive(PartialEq, Eq)]
enum Persistence {
    Kept,
    Closed,
}

/// Answers one request.
fn answer(socket: &mut TcpStream, bytes: &mut [u8]) -> Option<Persistence> {
    let request = read(socket, bytes)?;
    let (head, body) = request.split_once("\r\n\r\n")?;
    let path = head.split(' ').nth(1)?;
    if !matches!(path, "/v1/completions" | "/v1/chat/completions") {
        let (status, body) = match path {
            "/v1/models" => {
                (200, r#"{"data":[{"id":"m","owned_by":"vllm","max_model_len":16777216}]}"#.to_owned())
            }
            "/health" => (200, "{}".to_owned()),
            "/v1/embeddings" => (200, embeddings(body)),
            "/v1/rerank" => (200, ranks(body)),
            _ => (404, "{}".to_owned()),
        };
        let head = format!("HTTP/1.1 {status} S\r\ncontent-length: {}\r\n\r\n", body.len());
        return socket.write_all((head + &body).as_bytes()).ok().map(|()| Persistence::Kept);
    }
    let kind = if path == "/v1/completions" { Kind::Text } else { Kind::Chat };
    let tokens = body.split("\"max_tokens\":").nth(1).unwrap_or_default();
    let tokens: String = tokens.chars().take_while(char::is_ascii_digit).collect();
    let tokens = tokens.parse().unwrap_or(ENDLESS);
    let closes = body.contains(&format!("\"{CLOSING}\""));
    let connection = if closes { "connection: close\r\n" } else { "" };
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n{connection}\
         transfer-encoding: chunked\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).ok()?;
    let each = if body.contains(&format!("\"{APART}\"")) { 1 } else { BULK };
    let mut sent = 0;
    while sent < tokens {
        let now = each.min(tokens - sent);
        let write: String = (0..now).map(|_| chunk(&event(kind, " token", "null"))).collect();
        socket.write_all(write.as_bytes()).ok()?;
        sent += now;
        if each == 1 {
            std::thread::sleep(PAUSE);
        }
    }
    let end = event(kind, "", "\"length\"");
    let end = [end, "data: [DONE]\n\n".to_owned()].map(|event| chunk(&event)).concat();
    socket.write_all(format!("{end}0\r\n\r\n").as_bytes()).ok()?;
    Some(if closes { Persistence::Closed } else { Persistence::Kept })
}

/// Reads one request, head and body.
fn read(socket: &mut TcpStream, bytes: &mut [u8]) -> Option<String> {
    let mut request = Vec::new();
    let mut whole = None;
    while whole.is_none_or(|whole| request.len() < whole) {
        let count = socket.read(bytes).ok().filter(|count| *count > 0)?;
        request.extend_from_slice(&bytes[..count]);
        if whole.is_none()
            && let Some(end) = request.windows(4).position(|four| four == b"\r\n\r\n")
        {
            let head = String::from_utf8_lossy(&request[..end]).to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            whole = Some(end + 4 + length.unwrap_or(0));
        }
    }
    String::from_utf8(request).ok()
}

/// A vector of usual size for each input.
fn embeddings(body: &str) -> String {
    let vector = vec![0.012_345_678_f32; VECTOR];
    let each = |index| json!({"object": "embedding", "index": index, "embedding": vector});
    let data: Vec<Value> = (0..count(body, "input")).map(each).collect();
    json!({ "data": data }).to_string()
}

/// The same score for each document.
fn ranks(body: &str) -> String {
    let each = |index| json!({"index": index, "relevance_score": 0.5});
    let results: Vec<Value> = (0..count(body, "documents")).map(each).collect();
    json!({ "results": results }).to_string()
}

fn count(body: &str, field: &str) -> usize {
    let body: Value = serde_json::from_str(body).unwrap_or_default();
    body[field].as_array().map_or(1, Vec::len)
}

/// The endpoint that is asked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Chat,
}

/// What vLLM writes for a token.
fn event(kind: Kind, text: &str, finish: &str) -> String {
    if kind == Kind::Chat {
        return format!(
            "data: {{\"id\":\"chatcmpl-8f2d1c7e\",\"object\":\"chat.completion.chunk\",\"created\":1763846400,\"model\":\"m\",\
             \"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}},\"logprobs\":null,\"finish_reason\":{finish}}}]}}\n\n"
        );
    }
    format!(
        "data: {{\"id\":\"cmpl-8f2d1c7e5b9a4e0f8f2d1c7e5b9a4e0f\",\"object\":\"text_completion\",\"created\":1763846400,\
         \"model\":\"m\",\"choices\":[{{\"index\":0,\"text\":\"{text}\",\"logprobs\":null,\"finish_reason\":{finish},\
         \"stop_reason\":null,\"prompt_token_ids\":null,\"token_ids\":null}}],\"usage\":null}}\n\n"
    )
}

fn chunk(bytes: &str) -> String {
    format!("{:x}\r\n{bytes}\r\n", bytes.len())
}
