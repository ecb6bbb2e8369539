//! A `llama-server` without a model: `PROGRAM serve PORT` loads for three health probes and then answers every
//! prompt with its own words; a prompt `die` ends it with code 9 after a first token. `PROGRAM exit`,
//! `PROGRAM garbage PORT` and `PROGRAM deaf` do what their names say. Its version is its process id.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};

/// Health probes that find it loading.
const LOADING_FOR: u32 = 3;

static PROBES: AtomicU32 = AtomicU32::new(0);

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let port = args.get(1).and_then(|port| port.parse::<u16>().ok()).unwrap_or_default();
    match args.first().map(String::as_str) {
        Some("serve") => listen(port, serve),
        Some("garbage") => listen(port, |mut socket| {
            let _ = socket.write_all(b"\x00\x01 not http\r\n\r\n");
        }),
        Some("deaf") => loop {
            std::thread::park();
        },
        _ => {
            let _ = std::io::stderr().write_all(b"error: failed to load model 'm.gguf'\n");
            std::process::exit(3);
        }
    }
}

fn listen(port: u16, answer: fn(TcpStream)) {
    let listener = TcpListener::bind(("127.0.0.1", port)).expect("the port is free");
    for socket in listener.incoming().map_while(Result::ok) {
        std::thread::spawn(move || answer(socket));
    }
}

fn serve(mut socket: TcpStream) {
    let Some((line, body)) = read(&mut socket) else { return };
    let answer = match line.as_str() {
        "GET /health" if PROBES.fetch_add(1, Ordering::SeqCst) < LOADING_FOR => {
            json(503, r#"{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}"#)
        }
        "GET /health" => json(200, r#"{"status":"ok"}"#),
        "GET /props" => json(
            200,
            &format!(
                r#"{{"default_generation_settings":{{"n_ctx":512}},"total_slots":2,"model_path":"m.gguf","chat_template":"","build_info":"{}"}}"#,
                std::process::id()
            ),
        ),
        "POST /completion" => return complete(&mut socket, &body),
        _ => json(404, r#"{"error":{"code":404,"message":"File Not Found","type":"not_found_error"}}"#),
    };
    let _ = socket.write_all(&answer);
}

fn complete(socket: &mut TcpStream, body: &[u8]) {
    let body: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let prompt = body["prompt"].as_str().unwrap_or_default();
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
    let _ = socket.write_all(head.as_bytes());
    for (at, word) in prompt.split_inclusive(' ').enumerate() {
        let event = serde_json::json!({ "content": word, "tokens": [at], "stop": false, "id_slot": 0 });
        let _ = socket.write_all(format!("data: {event}\n\n").as_bytes());
        if prompt.starts_with("die") {
            std::process::exit(9);
        }
    }
    let last = serde_json::json!({ "content": "", "stop": true, "stop_type": "eos", "id_slot": 0 });
    let _ = socket.write_all(format!("data: {last}\n\n").as_bytes());
}

fn json(status: u16, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status} S\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}")
        .into_bytes()
}

/// The request line and the body.
fn read(socket: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut part = [0; 4096];
    let mut more = |bytes: &mut Vec<u8>| {
        let count = socket.read(&mut part).ok().filter(|count| *count > 0)?;
        bytes.extend_from_slice(&part[..count]);
        Some(())
    };
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        more(&mut bytes)?;
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length: usize = length.and_then(|digits| digits.parse().ok()).unwrap_or_default();
    while bytes.len() < end + 4 + length {
        more(&mut bytes)?;
    }
    Some((head.lines().next()?.strip_suffix(" HTTP/1.1")?.to_owned(), bytes.split_off(end + 4)))
}
