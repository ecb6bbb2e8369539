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
