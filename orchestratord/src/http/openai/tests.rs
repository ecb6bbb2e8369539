use bytes::BytesMut;
use serde_json::json;

use super::relay::Frame;
use super::*;

#[test]
fn the_plane_speaks_at_its_paths_with_and_without_v1_and_nowhere_else() {
    for path in ["/v1/models", "/models", "/v1/models/starter", "/v1/chat/completions", "/embeddings"] {
        assert_eq!(tongue_at(path), Some(Tongue::OpenAi), "{path}");
    }
    for path in ["/v1/messages", "/messages/count_tokens"] {
        assert_eq!(tongue_at(path), Some(Tongue::Anthropic), "{path}");
    }
    for path in ["/v1/tasks", "/v1/models/starter/state", "/health", "/v1", "/", "/v1/chat"] {
        assert_eq!(tongue_at(path), None, "{path}");
    }
}

#[test]
fn a_token_in_a_frame_is_the_event_that_would_be_written_for_it() {
    // The worst that a client may call a model.
    let event = |out: &mut BytesMut, text: &str| {
        relay::data(out, &json!({"model": "\u{FFFF}", "text": text, "usage": null}));
    };
    let frame = Frame::of(event);
    for text in ["", " token", "\"\\\n", "\u{FFFF}", "é🙂"] {
        let (mut framed, mut whole) = (BytesMut::new(), BytesMut::new());
        frame.put(&mut framed, text);
        event(&mut whole, text);
        assert_eq!(framed, whole);
    }
}
