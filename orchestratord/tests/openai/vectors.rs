//! Vectors and scores.

use engine_api::{Abilities, ExtraBodySupport};
use generation::Workload;
use serde_json::json;

use crate::test_daemon::{MockOptions, TestDaemon};
use crate::wire::Ask;
use crate::{Audit, all_workloads};

#[tokio::test]
async fn texts_become_vectors_as_numbers_or_in_base64() {
    let (audit, daemon) = (Audit::new(), all_workloads().await);
    let body = json!({"model": "starter", "input": ["one two", "three"]});
    let answer = audit.expect(200, daemon.address, Ask::post("/v1/embeddings").json(&body)).await.json();
    assert_eq!(answer["data"][1], json!({"object": "embedding", "index": 1, "embedding": [0.6, 0.8]}));
    assert_eq!(answer["usage"], json!({"prompt_tokens": 3, "total_tokens": 3}));
    let body = json!({"model": "starter", "input": "one", "encoding_format": "base64"});
    let answer = audit.expect(200, daemon.address, Ask::post("/v1/embeddings").json(&body)).await.json();
    // 0.6 and 0.8 as 0x3f19999a and 0x3f4ccccd, little-endian.
    assert_eq!(answer["data"], json!([{"object": "embedding", "index": 0, "embedding": "mpkZP83MTD8="}]));
}

#[tokio::test]
async fn documents_come_back_best_first() {
    let (audit, daemon) = (Audit::new(), all_workloads().await);
    // The pretend engine scores a document by the number of its words.
    let body = json!({"model": "starter", "query": "q", "documents": ["a", "a b c", {"text": "a b"}]});
    let answer = audit.expect(200, daemon.address, Ask::post("/v1/rerank").json(&body)).await.json();
    let order: Vec<_> = answer["results"].as_array().unwrap().iter().map(|r| r["index"].clone()).collect();
    assert_eq!(order, [1, 2, 0]);
    assert_eq!(answer["results"][0], json!({"index": 1, "relevance_score": 3.5}));
    let body = json!({"model": "starter", "query": "q", "documents": ["a", "a b"], "top_n": 1,
        "return_documents": true});
    let answer = audit.expect(200, daemon.address, Ask::post("/v1/rerank").json(&body)).await.json();
    let best = json!([{"index": 1, "relevance_score": 2.5, "document": {"text": "a b"}}]);
    assert_eq!(answer["results"], best);
}

/// ORCH-OAI-15
#[tokio::test]
async fn a_size_of_vectors_and_fields_of_an_engines_own_are_taken_where_it_takes_them() {
    let workloads = vec![Workload::Embedding, Workload::Rerank];
    let abilities = Abilities { extra_body: ExtraBodySupport::All, ..Abilities::default() };
    let own = TestDaemon::with(MockOptions { workloads, abilities, ..MockOptions::default() });
    own.bring_up().await;
    let (audit, none) = (Audit::new(), all_workloads().await);
    let embedding = |more| crate::with(json!({"model": "starter", "input": "a"}), &more);
    let ranking = |more| crate::with(json!({"model": "starter", "query": "q", "documents": ["a"]}), &more);
    for (path, body, param) in [
        ("/v1/embeddings", embedding(json!({"dimensions": 2})), "dimensions"),
        ("/v1/embeddings", embedding(json!({"add_special_tokens": false})), "add_special_tokens"),
        ("/v1/rerank", ranking(json!({"max_tokens_per_doc": 9})), "max_tokens_per_doc"),
    ] {
        let ask = Ask::post(path).json(&body);
        audit.expect(200, own.address, ask.clone()).await;
        let refused = audit.expect(400, none.address, ask).await.json();
        assert_eq!(refused["error"]["param"], param, "{refused}");
    }
    for (path, body, param) in [
        ("/v1/embeddings", embedding(json!({"temperature": 1})), "temperature"),
        ("/v1/rerank", ranking(json!({"truncate_prompt_tokens": 9})), "truncate_prompt_tokens"),
    ] {
        let refused = audit.expect(400, own.address, Ask::post(path).json(&body)).await.json();
        assert_eq!(refused["error"]["param"], param, "{refused}");
    }
}
