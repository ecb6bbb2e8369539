//! Answers in text.

use std::sync::Arc;

use engine_api::{Abilities, ExtraBodySupport};
use engine_mock::{Answer as Says, Phase};
use generation::{ExtraFields, OutputChunk};
use orchestratord::tasks::spawn;
use serde_json::{Value, json};

use crate::leaving::{ask, body, read_until, until_waiting};
use crate::test_daemon::{MockOptions, TestDaemon};
use crate::wire::{self, Ask};
use crate::{Audit, chat, completion, events};

/// These, of a prompt of which nothing was cached.
fn usage(of: Value) -> Value {
    let details = json!({"prompt_tokens_details": {"cached_tokens": 0}, "completion_tokens_details": {"reasoning_tokens": 0}});
    crate::with(of, &details)
}

pub async fn models(audit: &Audit, daemon: &TestDaemon) {
    let list = audit.expect(200, daemon.address, Ask::get("/v1/models")).await.json();
    let ids: Vec<_> = list["data"].as_array().unwrap().iter().map(|model| model["id"].clone()).collect();
    assert_eq!(ids, ["starter", "starter@batch", "p", "p@batch"]);
    for name in ["max_model_len", "context_length", "max_context_length", "context_window"] {
        assert_eq!(list["data"][0][name], 4096, "{name}");
    }
    let one = audit.expect(200, daemon.address, Ask::get("/v1/models/starter%40batch")).await.json();
    assert_eq!(one["id"], "starter@batch");
    let unknown = audit.expect(404, daemon.address, Ask::get("/v1/models/gpt-4o")).await.json();
    let message = unknown["error"]["message"].as_str().unwrap().to_owned();
    let known = "`starter`, `starter@batch`, `p`, `p@batch`";
    assert_eq!(message, format!("`model` is `gpt-4o`, which is not served here: there is {known}"));
}

/// ORCH-OAI-21
#[tokio::test]
async fn a_model_is_found_by_each_of_its_names_and_forms_of_their_path() {
    let daemon = TestDaemon::new().await;
    for path in [
        "/v1/models/p",
        "/models/starter",
        "/v1/models/starter/",
        "/v1/v1/models/starter%40batch",
        "/v1/models/p@batch",
    ] {
        let answer = wire::send(daemon.address, &Ask::get(path)).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
    }
    for path in ["/v1/models/owner/name", "/v1/models/owner%2Fname"] {
        let answer = wire::send(daemon.address, &Ask::get(path)).await;
        let message = answer.json()["error"]["message"].as_str().unwrap().to_owned();
        assert_eq!((answer.status, message.contains("`model` is `owner/name`")), (404, true), "{message}");
    }
    let list = wire::send(daemon.address, &Ask::get("/v1/models/")).await;
    assert_eq!(list.json()["object"], "list");
    let more = json!({"model": "starter", "messages": [{"role": "user", "content": "one"}]});
    for path in ["/chat/completions", "/v1/chat/completions/", "/v1/v1/chat/completions"] {
        assert_eq!(wire::send(daemon.address, &Ask::post(path).json(&more)).await.status, 200, "{path}");
    }
    let unserved = wire::send(daemon.address, &Ask::post("/v1/audio/speech").json(&more)).await;
    assert_eq!((unserved.status, &unserved.json()["error"]["code"]), (404, &json!("unknown_url")));
}

/// ORCH-OAI-24
#[tokio::test]
async fn a_limit_beyond_the_context_is_a_ceiling_at_each_endpoint() {
    let (audit, daemon) = (Audit::new(), TestDaemon::new().await);
    let at = daemon.address;
    for most in [32_000, 128_000, 2_147_483_647] {
        let limit = json!({"max_tokens": most});
        let whole = audit.expect(200, at, chat("one two", &limit)).await.json();
        assert_eq!(whole["choices"][0]["finish_reason"], "stop");
        audit.expect(200, at, chat("one two", &json!({"max_completion_tokens": most}))).await;
        audit.expect(200, at, completion("one two", &limit)).await;
    }
    // The pretend engine says its prompt again: one more than half of the context does not fit twice.
    let long = "word ".repeat(2100);
    let cut = audit.expect(200, at, chat(&long, &json!({"max_tokens": 32_000}))).await.json();
    assert_eq!(cut["choices"][0]["finish_reason"], "length");
    assert_eq!(cut["usage"]["total_tokens"], 4096);
    let strict = wire::send(at, &Ask::task(&json!({"prompt": "one two", "max_tokens": 32_000}))).await;
    assert_eq!(strict.status, 400);
}

/// ORCH-OAI-2
#[tokio::test]
async fn a_conversation_is_answered_whole_and_in_chunks_alike() {
    let (audit, daemon) = (Audit::new(), TestDaemon::new().await);
    let whole = audit.expect(200, daemon.address, chat("one two", &json!({}))).await.json();
    // The pretend engine says the words of the template it was given.
    assert_eq!(whole["choices"][0]["message"]["content"], "user one two assistant");
    assert_eq!(whole["choices"][0]["finish_reason"], "stop");
    assert_eq!(whole["usage"], usage(json!({"prompt_tokens": 4, "completion_tokens": 4, "total_tokens": 8})));

    let more = json!({"stream": true, "stream_options": {"include_usage": true}});
    let stream = audit.expect(200, daemon.address, chat("one two", &more)).await;
    assert_eq!(stream.header("x-accel-buffering"), Some("no"));
    assert_eq!(stream.header("cache-control"), Some("no-cache"));
    let events = events(&stream);
    assert_eq!(events[0]["choices"][0]["delta"], json!({"role": "assistant", "content": ""}));
    let text: String =
        events.iter().filter_map(|event| event["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(text, "user one two assistant");
    let [.., last, counted] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!(last["choices"][0]["finish_reason"], "stop");
    assert!(last["usage"].is_null());
    assert_eq!(counted["choices"], json!([]));
    assert_eq!(counted["usage"], whole["usage"]);

    let silent = events_without_usage(&audit, &daemon).await;
    assert!(silent, "nobody asked for `usage`");
}

async fn events_without_usage(audit: &Audit, daemon: &TestDaemon) -> bool {
    let stream = audit.expect(200, daemon.address, chat("one", &json!({"stream": true}))).await;
    events(&stream).iter().all(|event| event.get("usage").is_none())
}

/// ORCH-OAI-1
#[tokio::test]
async fn an_answer_names_its_task_model_and_tier() {
    let (audit, daemon) = (Audit::new(), TestDaemon::new().await);
    let answer = audit.expect(200, daemon.address, chat("one", &json!({}))).await.json();
    assert_eq!((&answer["model"], &answer["service_tier"]), (&json!("starter"), &json!("default")));
    let names = |of: &Value| {
        let mut names: Vec<_> = of.as_object().unwrap().keys().cloned().collect();
        names.sort();
        names
    };
    assert_eq!(names(&answer), ["choices", "created", "id", "model", "object", "service_tier", "usage"]);
    assert_eq!(names(&answer["choices"][0]), ["finish_reason", "index", "logprobs", "message"]);
    assert_eq!(names(&answer["choices"][0]["message"]), ["content", "refusal", "role"], "nobody adds to it");
    let id = answer["id"].as_str().unwrap().strip_prefix("chatcmpl-").unwrap().to_owned();
    let stream = wire::send(daemon.address, &Ask::get(&format!("/v1/tasks/{id}/stream"))).await;
    assert_eq!(stream.status, 200, "the data plane knows the task");
}

/// ORCH-OAI-1
#[tokio::test]
async fn several_prompts_get_several_answers_each() {
    let (audit, daemon) = (Audit::new(), TestDaemon::new().await);
    let more = json!({"prompt": ["a b", "c"], "max_tokens": 1});
    let answer = audit.expect(200, daemon.address, completion("", &more)).await.json();
    assert_eq!(answer["choices"][0]["text"], "a");
    assert_eq!(answer["choices"][0]["finish_reason"], "length");
    assert_eq!(answer["choices"][1]["text"], "c");
    assert_eq!(answer["choices"][1]["finish_reason"], "stop");
    assert_eq!(
        answer["usage"],
        usage(json!({"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}))
    );
    let more = json!({"n": 2, "stream": true, "stream_options": {"include_usage": true}});
    let stream = audit.expect(200, daemon.address, completion("a b", &more)).await;
    let events = events(&stream);
    for index in [0, 1] {
        let of = events.iter().filter(|event| event["choices"][0]["index"] == index);
        let text: String = of.filter_map(|event| event["choices"][0]["text"].as_str()).collect();
        assert_eq!(text, "a b");
    }
    let last = &events.last().unwrap()["usage"];
    assert_eq!(*last, usage(json!({"prompt_tokens": 2, "completion_tokens": 4, "total_tokens": 6})));
}

/// ORCH-SHAPE-6
#[tokio::test]
async fn answers_to_one_prompt_are_measured_once() {
    let daemon = TestDaemon::new().await;
    assert_eq!(wire::send(daemon.address, &completion("a b", &json!({"n": 2}))).await.status, 200);
    assert_eq!(daemon.control.counts().measures, 1);
}

/// ORCH-OAI-2
#[tokio::test]
async fn a_base_url_without_v1_serves_as_well() {
    let daemon = TestDaemon::new().await;
    let body = json!({"model": "p", "messages": [{"role": "user", "content": "one"}]});
    let answer = wire::send(daemon.address, &Ask::post("/chat/completions").json(&body)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.json()["choices"][0]["message"]["content"], "user one assistant");
}

/// ORCH-OAI-1
/// ORCH-OAI-6
#[tokio::test]
async fn the_batch_lane_is_named_by_the_tier_or_the_model() {
    let (audit, daemon) = (Audit::new(), TestDaemon::new().await);
    daemon.control.hold(Phase::Decode);
    let running = spawn(wire_send(daemon.address, chat("one", &json!({}))));
    daemon.control.until(|counts| counts.running == 1).await;
    let mut waiting = Vec::new();
    for (more, batch) in [
        (json!({"service_tier": "flex"}), 1),
        (json!({"model": "starter@batch"}), 2),
        (json!({"service_tier": "priority"}), 2),
        (json!({"service_tier": "auto"}), 2),
    ] {
        waiting.push(spawn(wire_send(daemon.address, chat("one", &more))));
        until_waiting(&daemon, u32::try_from(waiting.len()).unwrap()).await;
        let lanes = daemon.driver.health().await.unwrap().pools[0].lanes.clone();
        let of_batch = lanes.iter().find(|lane| lane.priority.as_str() == "batch").unwrap();
        assert_eq!(of_batch.depth, batch, "{more}");
    }
    // Both lanes are full now.
    audit.expect(429, daemon.address, chat("one", &json!({"service_tier": "flex"}))).await;
    daemon.control.release(Phase::Decode);
    let tier = |answer: wire::Answer| answer.json()["service_tier"].as_str().unwrap().to_owned();
    assert_eq!(tier(running.await.unwrap()), "default");
    assert_eq!(tier(waiting.swap_remove(0).await.unwrap()), "flex");
}

#[tokio::test]
async fn a_conversation_is_named_by_a_field_or_a_header_and_is_the_same_session() {
    let (audit, daemon) = (Audit::new(), TestDaemon::new().await);
    let at = daemon.address;
    let id = "0b7c1a52-3d44-4f0e-8b1a-5a6c7d8e9f01";
    audit.expect(200, at, chat("one", &json!({"session_id": id}))).await;
    for header in ["X-Session-ID", "X-Conversation-Id", "X-OpenWebUI-Chat-Id"] {
        audit.expect(200, at, chat("one", &json!({})).header(header, id)).await;
    }
    let again = audit.expect(200, at, chat("one", &json!({"prompt_cache_key": id}))).await.json();
    let found = again["usage"]["prompt_tokens_details"]["cached_tokens"].as_u64().unwrap();
    assert!(found > 0 && found < again["usage"]["prompt_tokens"].as_u64().unwrap(), "{again}");
    // As a client's template of headers leaves it where there is no conversation.
    audit.expect(200, at, chat("one", &json!({})).header("X-Session-ID", "")).await;
    let other = chat("one", &json!({"session_id": "another"})).header("X-Session-ID", id);
    audit.expect(200, at, other).await;
    let session = wire::send(at, &Ask::get(&format!("/v1/sessions/{id}"))).await.json();
    assert_eq!(session["turns"], 5, "the field goes before the header");
}

/// ORCH-OAI-8
#[tokio::test]
async fn a_stream_carries_comments_while_its_task_waits() {
    let daemon = TestDaemon::new().await;
    daemon.control.hold(Phase::Prefill);
    let mut stream = ask(daemon.address, &body(true)).await;
    let waited = read_until(&mut stream, ": ping\n\n").await;
    assert!(!waited.contains("data:"), "{waited}");
    daemon.control.release(Phase::Prefill);
    read_until(&mut stream, "data: [DONE]\n\n").await;
}

async fn wire_send(at: std::net::SocketAddr, ask: Ask) -> wire::Answer {
    wire::send(at, &ask).await
}

#[tokio::test]
async fn fields_that_only_an_engine_knows_are_taken_where_it_takes_them_and_refused_by_name_elsewhere() {
    let abilities = Abilities { extra_body: ExtraBodySupport::All, ..Abilities::default() };
    let own = TestDaemon::with(MockOptions { abilities, ..MockOptions::default() });
    own.bring_up().await;
    let (audit, none) = (Audit::new(), TestDaemon::new().await);
    let more = json!({"mirostat": 2, "chat_template_kwargs": {"enable_thinking": false}});
    for ask in [chat("one", &more), completion("one", &more)] {
        audit.expect(200, own.address, ask.clone()).await;
        let refused = audit.expect(400, none.address, ask).await.json();
        let param = refused["error"]["param"].as_str().unwrap();
        assert!(["mirostat", "chat_template_kwargs"].contains(&param), "{refused}");
    }
    for (more, param) in [
        (json!({"n_predict": 9}), "n_predict"),
        (json!({"prompt": "x", "mirostat": 2}), "prompt"),
        (json!({"mirostat": 2, "temperature": -1}), "temperature"),
        (json!({"mirostat": 2, "stream_options": {"mirostat": 2}}), "stream_options.mirostat"),
    ] {
        let refused = audit.expect(400, own.address, chat("one", &more)).await.json();
        assert_eq!(refused["error"]["param"], param, "{refused}");
    }
}

/// What an engine says in fields of its own.
fn own(chunk: Value, choice: Value, delta: Value) -> Option<Arc<ExtraFields>> {
    let fields = |of| serde_json::from_value(of).unwrap();
    Some(Arc::new(ExtraFields { chunk: fields(chunk), choice: fields(choice), delta: fields(delta) }))
}

#[tokio::test]
async fn what_an_engine_adds_to_its_answer_comes_out_where_and_as_it_was() {
    let piece = |text: &str, extra| OutputChunk { extra, ..OutputChunk::text(text, vec![1]) };
    let same = own(json!({"fingerprint": "x"}), json!({}), json!({"mood": "a"}));
    let pieces = vec![
        piece("one", own(json!({"prompt_token_ids": [1, 2]}), json!({"token_ids": [7]}), json!({}))),
        piece(" two", same.clone()),
        piece(" three", same),
        piece(" four", None),
        piece(
            "",
            own(
                json!({"timings": {"predicted_ms": 1.5}}),
                json!({"token_ids": [8], "stop_reason": 2}),
                json!({}),
            ),
        ),
    ];
    let daemon = TestDaemon::with(MockOptions { says: Says::Chunks(pieces), ..MockOptions::default() });
    daemon.bring_up().await;
    let audit = Audit::new();

    let stream = audit.expect(200, daemon.address, chat("x", &json!({"stream": true}))).await;
    let [_, one, two, three, four, end] = events(&stream).try_into().unwrap();
    assert_eq!((&one["prompt_token_ids"], &one["choices"][0]["token_ids"]), (&json!([1, 2]), &json!([7])));
    for (event, text) in [(&two, " two"), (&three, " three")] {
        assert_eq!(event["choices"][0]["delta"], json!({"content": text, "mood": "a"}));
        assert_eq!(event["fingerprint"], "x");
        assert!(event["choices"][0].get("token_ids").is_none(), "{event}");
    }
    assert!(four.get("fingerprint").is_none(), "{four}");
    assert_eq!(
        (&end["timings"], &end["choices"][0]["stop_reason"]),
        (&json!({"predicted_ms": 1.5}), &json!(2))
    );

    let whole = audit.expect(200, daemon.address, chat("x", &json!({}))).await.json();
    assert_eq!(whole["choices"][0]["message"]["mood"], "aa");
    assert_eq!(whole["choices"][0]["token_ids"], json!([7, 8]));
    assert_eq!((&whole["prompt_token_ids"], &whole["fingerprint"]), (&json!([1, 2]), &json!("x")));
    assert_eq!(whole["timings"], json!({"predicted_ms": 1.5}));

    let stream = audit.expect(200, daemon.address, completion("x", &json!({"stream": true}))).await;
    let events = events(&stream);
    assert_eq!(
        (&events[0]["choices"][0]["token_ids"], &events[0]["choices"][0]["text"]),
        (&json!([7]), &json!("one"))
    );
    assert_eq!(events[4]["choices"][0]["stop_reason"], 2);
    let whole = audit.expect(200, daemon.address, completion("x", &json!({}))).await.json();
    assert_eq!((&whole["choices"][0]["token_ids"], &whole["fingerprint"]), (&json!([7, 8]), &json!("x")));
    // Of an endpoint that the engine was not asked at, nothing is added.
    let response = Ask::post("/v1/responses").json(&json!({"model": "starter", "input": "x"}));
    assert!(audit.expect(200, daemon.address, response).await.json().get("fingerprint").is_none());
}

/// ORCH-OAI-26
#[tokio::test]
async fn a_gap_is_filled_in_the_form_of_llama_server_whole_in_pieces_and_with_the_fields_asked_for() {
    let (audit, daemon) = (Audit::new(), crate::all_workloads().await);
    let body = json!({"input_prefix": "one", "input_suffix": "two three four", "n_predict": 3});
    let ask = |more| Ask::post("/infill").json(&crate::with(body.clone(), &more));
    let whole = audit.expect(200, daemon.address, ask(json!({}))).await.json();
    assert_eq!(whole["stop"], true);
    assert_eq!(whole["tokens_predicted"], 3);
    assert_eq!(whole["stop_type"], "limit");
    assert_eq!(whole["timings"]["predicted_n"], 3);
    let text = whole["content"].as_str().unwrap();
    assert!(!text.is_empty());

    let fields = json!({"response_fields": ["content", "timings/prompt_n"]});
    let chosen = audit.expect(200, daemon.address, ask(fields)).await.json();
    assert_eq!(chosen.as_object().unwrap().keys().collect::<Vec<_>>(), ["content", "timings/prompt_n"]);

    let warmed = audit.expect(200, daemon.address, ask(json!({"n_predict": 0}))).await.json();
    assert_eq!(warmed["content"], "");

    let stream = wire::send(daemon.address, &ask(json!({"stream": true}))).await;
    let pieces = stream.text().lines().filter_map(|line| line.strip_prefix("data: "));
    let pieces: Vec<Value> = pieces.map(|piece| serde_json::from_str(piece).unwrap()).collect();
    let (last, pieces) = pieces.split_last().unwrap();
    assert_eq!(
        (&last["stop"], &last["content"], &last["tokens_predicted"]),
        (&json!(true), &json!(""), &json!(3))
    );
    assert_eq!(pieces.iter().map(|piece| piece["content"].as_str().unwrap()).collect::<String>(), text);
}

/// ORCH-OAI-27
#[tokio::test]
async fn tokens_are_told_with_their_texts_where_these_are_asked_for() {
    let (audit, daemon) = (Audit::new(), crate::all_workloads().await);
    let ask = |more| Ask::post("/tokenize").json(&crate::with(json!({"content": "one two"}), &more));
    let plain = audit.expect(200, daemon.address, ask(json!({}))).await.json();
    assert_eq!(plain, json!({"tokens": [0, 1]}));
    let pieces = audit.expect(200, daemon.address, ask(json!({"with_pieces": true}))).await.json();
    assert_eq!(pieces["tokens"][1]["id"], 1);
    assert!(pieces["tokens"][1]["piece"].is_string());
}
