use super::*;

/// ORCH-OLLAMA-9
#[tokio::test]
async fn what_changes_ollamas_own_files_is_refused_with_what_to_do_instead() {
    for (path, instead) in [
        ("/api/delete", "llama-orch models remove"),
        ("/api/copy", "`aliases`"),
        ("/api/create", "`defaults`"),
        ("/api/push", "a pool in llama-orch.yaml"),
        ("/api/blobs/sha256:1", "a pool in llama-orch.yaml"),
    ] {
        let request = Request::builder().uri(path).body(axum::body::Body::empty()).unwrap();
        let Refused { verdict, message, .. } = unserved(request).await;
        assert_eq!(verdict.status, 501);
        assert!(message.contains(path) && message.contains(instead), "{message}");
    }
}
