use generation::Role;
use serde_json::json;

use super::request::MessagesRequest;
use crate::http::image_url::ImageUrls;

/// ORCH-OAI-22
#[test]
fn an_image_in_the_result_of_a_tool_reaches_the_model_with_the_result() {
    let picture =
        json!({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}});
    let request: MessagesRequest = serde_json::from_value(json!({
        "model": "starter", "max_tokens": 8, "messages": [
            {"role": "user", "content": "look"},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "screenshot", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": [
                {"type": "text", "text": "the screen"}, picture]}]}]
    }))
    .unwrap();
    let (conversation, _) = request.resolve(&ImageUrls::default()).unwrap();
    let result = conversation.messages.last().unwrap();
    assert_eq!((result.role, result.content.as_str()), (Role::Tool, "the screen"));
    assert_eq!(result.images, ["data:image/png;base64,AAAA"]);
    assert_eq!(result.tool_call_id.as_deref(), Some("a"));
}
