use std::sync::Arc;

use bytes::BytesMut;
use generation::ExtraFields;
use serde_json::json;

use super::stream::Framed;
use super::*;

#[test]
fn the_plane_speaks_at_its_paths_with_and_without_v1_and_nowhere_else() {
    for path in [
        "/v1/models",
        "/models/",
        "/v1/models/starter",
        "/models/owner/name",
        "/v1/chat/completions",
        "/v1/v1/chat/completions/",
        "/embeddings",
        "/v1/audio/speech",
        "/v1/responses/resp_1",
    ] {
        assert_eq!(flavor_at(path), Some(ApiFlavor::OpenAi), "{path}");
    }
    for path in ["/v1/messages", "/v1/v1/messages", "/messages/count_tokens", "/v1/messages/batches"] {
        assert_eq!(flavor_at(path), Some(ApiFlavor::Anthropic), "{path}");
    }
    for path in ["/v1/tasks", "/v1/models/starter/state", "/health", "/v1", "/", "/v1/chats"] {
        assert_eq!(flavor_at(path), None, "{path}");
    }
}

#[test]
fn a_token_in_a_frame_is_the_event_that_would_be_written_for_it() {
    let event = |out: &mut BytesMut, text: &str, own: Option<&ExtraFields>| {
        // The worst that a client may call a model, and that an engine may say.
        let own = own.map(|own| &own.chunk);
        stream::data(out, &json!({"model": "\u{FFFF}", "text": text, "usage": null, "z": own}));
    };
    let own = |said: &str| {
        let chunk = [("said".to_owned(), said.into())].into_iter().collect();
        Some(Arc::new(ExtraFields { chunk, ..ExtraFields::default() }))
    };
    let mut framed = Framed::default();
    for own in [None, own("a"), own("b"), own("\u{FFFF}"), None] {
        for text in ["", " token", "\"\\\n", "\u{FFFF}", "é🙂"] {
            let (mut of_frame, mut whole) = (BytesMut::new(), BytesMut::new());
            framed.put(&mut of_frame, text, own.clone(), event);
            event(&mut whole, text, own.as_deref());
            assert_eq!(of_frame, whole);
        }
    }
}
