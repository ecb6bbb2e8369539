//! What is refused, and how it is said.

use engine_mock::Phase;
use orchestrator_core::FullPolicy;
use orchestratord::tasks::spawn;
use serde_json::{Value, json};

use crate::leaving::until_waiting;
use crate::test_daemon::{BODY_BYTES, BrokenDaemon, LANE_BOUND, MockOptions, STREAMS, TestDaemon};
use crate::wire::{self, Ask};
use crate::{Audit, chat, completion, events, with};

/// One request to each endpoint that takes a body.
fn each() -> Vec<Ask> {
    let embedding = json!({"model": "starter", "input": "one"});
    let rerank = json!({"model": "starter", "query": "one", "documents": ["two"]});
    vec![
        chat("one", &json!({})),
        completion("one", &json!({})),
        Ask::post("/v1/embeddings").json(&embedding),
        Ask::post("/v1/rerank").json(&rerank),
        message(&json!({})),
        Ask::post("/v1/messages/count_tokens").json(&without_limit("starter")),
        respond(&json!({})),
        infill(&json!({})),
        Ask::post("/tokenize").json(&json!({"content": "one two"})),
        Ask::post("/detokenize").json(&json!({"tokens": [1, 2]})),
        Ask::post("/apply-template").json(&without_limit("starter")),
    ]
}

/// A gap to fill, with more fields.
fn infill(more: &Value) -> Ask {
    Ask::post("/infill").json(&with(json!({"input_prefix": "one", "input_suffix": "two"}), more))
}

/// A conversation of one turn in OpenAI's newer form, with more fields.
fn respond(more: &Value) -> Ask {
    Ask::post("/v1/responses").json(&with(json!({"model": "starter", "input": "one"}), more))
}

/// A conversation of one turn in Anthropic's form, with more fields.
fn message(more: &Value) -> Ask {
    let body = with(without_limit("starter"), &json!({"max_tokens": 64}));
    Ask::post("/v1/messages").json(&with(body, more))
}

fn without_limit(model: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": "one"}]})
}

/// What this kind of error is called on a path.
fn kind(ask: &Ask, openai: &'static str, anthropic: &'static str) -> &'static str {
    if ask.path.starts_with("/v1/messages") { anthropic } else { openai }
}

pub async fn of_a_pool_that_is_not_ready(audit: &Audit) {
    let mut daemon = TestDaemon::empty();
    for ask in each() {
        let kind = kind(&ask, "server_error", "overloaded_error");
        let refused = audit.expect(503, daemon.address, ask).await;
        assert_eq!(refused.json()["error"]["orch_code"], "POOL_UNREADY");
        assert_eq!(refused.json()["error"]["type"], kind);
        assert_eq!(refused.header("x-should-retry"), Some("true"));
        assert!(refused.header("retry-after").is_some() && refused.header("retry-after-ms").is_some());
    }
    daemon.lose_driver().await;
    audit.expect(503, daemon.address, Ask::get("/v1/models")).await;
    audit.expect(503, daemon.address, Ask::get("/v1/models/starter")).await;
}

/// A request, and the field and the words of its refusal.
fn at_fault() -> Vec<(Ask, &'static str, &'static str)> {
    let embedding = |input: Value, more: Value| with(json!({"model": "starter", "input": input}), &more);
    let embedding = |input, more| Ask::post("/v1/embeddings").json(&embedding(input, more));
    let rerank = |query: &str, documents: Value, more: Value| {
        let body = json!({"model": "starter", "query": query, "documents": documents});
        Ask::post("/v1/rerank").json(&with(body, &more))
    };
    let chat = |more: Value| chat("one", &more);
    let completion = |more: Value| completion("one", &more);
    vec![
        (chat(json!({"temperature": -1})), "temperature", "use 0 to 5"),
        (chat(json!({"top_p": 0})), "top_p", "more than 0"),
        (chat(json!({"max_tokens": 0})), "max_tokens", "use 1 to"),
        (chat(json!({"max_tokens": 1, "max_completion_tokens": 2})), "max_tokens", "send one of them"),
        (chat(json!({"n": 17})), "n", "use 1 to 16"),
        (chat(json!({"presence_penalty": 2.5})), "presence_penalty", "use -2 to 2"),
        (chat(json!({"frequency_penalty": -3})), "frequency_penalty", "use -2 to 2"),
        (chat(json!({"typical_p": 0})), "typical_p", "more than 0"),
        (chat(json!({"xtc_probability": 2})), "xtc_probability", "use 0 to 1"),
        (chat(json!({"dry_multiplier": -1})), "dry_multiplier", "use 0 to 100"),
        (chat(json!({"dry_penalty_last_n": -2})), "dry_penalty_last_n", "use -1 to 1048576"),
        (chat(json!({"dry_sequence_breakers": [""]})), "dry_sequence_breakers[0]", "at least one character"),
        (chat(json!({"stop": ["a", ""]})), "stop[1]", "at least one character"),
        (chat(json!({"stop": 7})), "stop", "a text or an array"),
        (chat(json!({"logit_bias": {"the": "much"}})), "logit_bias.the", "a number"),
        (chat(json!({"logit_bias": {"": 1}})), "logit_bias[]", "at least one character"),
        (chat(json!({"logit_bias": {"5": 101}})), "logit_bias[0].bias", "use -100 to 100"),
        (chat(json!({"session_id": ""})), "session_id", "at least one character"),
        (
            chat(json!({"response_format": {"type": "json_schema"}})),
            "response_format.json_schema.schema",
            "is missing",
        ),
        (chat(json!({"response_format": {"type": "xml"}})), "response_format.type", "`json_object`"),
        (
            chat(json!({"response_format": {"type": "json_object"}, "grammar": "root ::= \"a\""})),
            "grammar",
            "at most one",
        ),
        (chat(json!({"tools": [{"type": "function"}]})), "tools[0].function", "is missing"),
        (chat(json!({"tool_choice": "required"})), "tool_choice", "there are no `tools`"),
        (chat(json!({"functions": [{}]})), "functions", "`tools`"),
        (chat(json!({"logprobs": true})), "logprobs", "does not tell"),
        (chat(json!({"logprobs": "yes"})), "logprobs", "`true` or `false`"),
        (chat(json!({"logprobs": true, "top_logprobs": 21})), "top_logprobs", "use 0 to 20"),
        (chat(json!({"top_logprobs": 2})), "top_logprobs", "goes with `logprobs` `true` only"),
        (chat(json!({"tools": [{"type": "poem"}]})), "tools[0].type", "`custom`"),
        (chat(json!({"modalities": ["text", "audio"]})), "modalities", "not served here"),
        (chat(json!({"reasoning_effort": "huge"})), "reasoning_effort", "`medium`"),
        (chat(json!({"thinking": {"type": "yes"}})), "thinking.type", "`disabled`"),
        (chat(json!({"reasoning_format": "x"})), "reasoning_format", "`deepseek`"),
        (chat(json!({"continue_final_message": true})), "continue_final_message", "`assistant`"),
        (chat(json!({"tempreature": 1})), "tempreature", "did you mean `temperature`?"),
        (chat(json!({"messages": []})), "messages", "at least 1"),
        (chat(json!({"messages": [{"role": "user"}]})), "messages[0].content", "is missing"),
        (chat(json!({"messages": [{"role": "robot", "content": "x"}]})), "messages[0].role", "`robot`"),
        (
            chat(
                json!({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]}),
            ),
            "messages[0].content[0].image_url.url",
            "`https://`",
        ),
        (
            chat(json!({"messages": [{"role": "user", "content": [
                {"type": "image_url", "image_url": "https://127.0.0.1/x.png"}
            ]}]})),
            "messages[0].content[0].image_url.url",
            "`127.0.0.1` is not a public host",
        ),
        (
            respond(&json!({"input": [{"role": "user", "content": [
                {"type": "input_image", "image_url": "file:///etc/passwd"}
            ]}]})),
            "input[0].content[0].image_url",
            "`https://`",
        ),
        (
            message(&json!({"messages": [{"role": "user", "content": [
                {"type": "image", "source": {"type": "url", "url": "file:///etc/passwd"}}
            ]}]})),
            "messages[0].content[0].source.url",
            "`https://`",
        ),
        (
            message(&json!({"messages": [{"role": "user", "content": [
                {"type": "image", "source": {"type": "base64", "media_type": "text/html", "data": "AAAA"}}
            ]}]})),
            "messages[0].content[0].source",
            "`data:image/TYPE;base64,DATA`",
        ),
        (
            chat(json!({"messages": [{"role": "user", "content": "x", "tool_calls": [{}]}]})),
            "messages[0].tool_calls[0].function",
            "is missing",
        ),
        (chat(json!({"messages": [{"role": "user", "content": "a\u{0}"}]})), "messages[0].content", "NUL"),
        (completion(json!({"prompt": ""})), "prompt", "at least one character"),
        (completion(json!({"prompt": []})), "prompt", "at least 1"),
        (completion(json!({"prompt": [1, 2]})), "prompt[0]", "not tokens"),
        (completion(json!({"echo": true})), "echo", "not served here"),
        (completion(json!({"suffix": 7})), "suffix", "use a string"),
        (infill(&json!({"input_extra": [{}]})), "input_extra[0].text", "is missing"),
        (infill(&json!({"n_predict": "all"})), "n_predict", "a whole number"),
        (infill(&json!({"mirostat": 2})), "mirostat", "is not a field"),
        (Ask::post("/tokenize").json(&json!({})), "content", "is missing"),
        (Ask::post("/detokenize").json(&json!({"tokens": "a"})), "tokens", "an array"),
        (chat(json!({"keep_alive": "soon"})), "keep_alive", "a text with units"),
        (embedding(json!("a"), json!({"keep_alive": []})), "keep_alive", "a text with units"),
        (completion(json!({"best_of": 3})), "best_of", "not served here"),
        (completion(json!({"logprobs": 3})), "logprobs", "does not tell"),
        (completion(json!({"logprobs": 21})), "logprobs", "use 0 to 20"),
        (embedding(json!([]), json!({})), "input", "at least 1"),
        (embedding(json!(["a", ""]), json!({})), "input[1]", "at least one character"),
        (embedding(json!([[1, 2]]), json!({})), "input[0]", "not tokens"),
        (embedding(json!("a"), json!({"dimensions": 2})), "dimensions", "not served here"),
        (embedding(json!("a"), json!({"encoding_format": "hex"})), "encoding_format", "`base64`"),
        (respond(&json!({"conversation": "conv_1"})), "conversation", "the whole conversation"),
        (respond(&json!({"prompt": {"id": "p"}})), "prompt", "send its text"),
        (
            respond(&json!({"previous_response_id": "resp_1"})),
            "previous_response_id",
            "the whole conversation",
        ),
        (respond(&json!({"background": true})), "background", "stream the response"),
        (respond(&json!({"tools": [{"type": "function"}]})), "tools[0].name", "is missing"),
        (respond(&json!({"top_logprobs": 1})), "top_logprobs", "`message.output_text.logprobs` only"),
        (respond(&json!({"include": "all"})), "include", "an array"),
        (respond(&json!({"tool_choice": "any"})), "tool_choice", "`required`"),
        (respond(&json!({"text": {"format": {"type": "xml"}}})), "text.format.type", "`json_object`"),
        (respond(&json!({"input": [{"type": "item_reference"}]})), "input[0].type", "send the item itself"),
        (respond(&json!({"input": [{"type": "compaction"}]})), "input[0].type", "send the conversation"),
        (respond(&json!({"input": [{"type": "poem"}]})), "input[0].type", "`function_call`"),
        (respond(&json!({"tools": [{"type": "poem"}]})), "tools[0].type", "`namespace`"),
        (
            respond(&json!({"tools": [{"type": "web_search"}], "tool_choice": {"type": "web_search"}})),
            "tool_choice",
            "was left out",
        ),
        (
            respond(&json!({"input": [{"role": "user", "content": [{"type": "input_file"}]}]})),
            "input[0].content[0].type",
            "no engine here reads",
        ),
        (message(&json!({"max_tokens": 0})), "max_tokens", "use 1 to"),
        (message(&json!({"max_tokens": null})), "max_tokens", "a whole number"),
        (message(&json!({"tools": [{"type": "poem", "name": "x"}]})), "tools[0].type", "`custom`"),
        (
            message(&json!({"tools": [{"type": "web_search_20250305", "name": "web_search"}],
                "tool_choice": {"type": "tool", "name": "web_search"}})),
            "tool_choice",
            "was left out",
        ),
        (message(&json!({"thread": {"type": "create"}})), "thread", "send all `messages`"),
        (message(&json!({"tool_choice": {"type": "tool"}})), "tool_choice.name", "name the tool"),
        (
            message(&json!({"messages": [{"role": "user", "content": [{"type": "document"}]}]})),
            "messages[0].content[0].source",
            "send its text",
        ),
        (
            message(&json!({"messages": [{"role": "user", "content": [{"type": "text"}]}]})),
            "messages[0].content[0].text",
            "is missing",
        ),
        (
            message(&json!({"output_config": {"format": {"type": "xml"}}})),
            "output_config.format.type",
            "use `json_schema`",
        ),
        (
            message(&json!({"output_config": {"format": {"type": "json_schema"}}})),
            "output_config.format.schema",
            "is missing",
        ),
        (
            message(&json!({"output_config": {"formats": {}}})),
            "output_config.formats",
            "did you mean `format`?",
        ),
        (message(&json!({"stop_sequences": ["a", ""]})), "stop_sequences[1]", "at least one character"),
        (respond(&json!({"text": {"format": {"type": "json_schema"}}})), "text.format.schema", "is missing"),
        (message(&json!({"system": [{"type": "image"}]})), "system[0].type", "send `text`"),
        (rerank("", json!(["a"]), json!({})), "query", "at least one character"),
        (rerank("q", json!([]), json!({})), "documents", "at least 1"),
        (rerank("q", json!(["a", {"text": ""}]), json!({})), "documents[1]", "at least one character"),
        (rerank("q", json!(["a"]), json!({"top_n": 0})), "top_n", "use 1 to"),
    ]
}

pub async fn by_name(audit: &Audit, daemon: &TestDaemon) {
    let mut unlike = Vec::new();
    for (ask, field, words) in at_fault() {
        let refused = audit.expect(400, daemon.address, ask).await.json();
        let error = &refused["error"];
        let named = error["param"] == field && error["type"] == "invalid_request_error";
        if !named || !error["message"].as_str().unwrap().contains(words) {
            unlike.push(format!("`{field}` and `{words}`: {error}"));
        }
    }
    assert!(unlike.is_empty(), "{unlike:#?}");
    assert_eq!(daemon.control.counts().submitted, daemon.control.counts().ended, "none became a task");
}

pub async fn of_callers(audit: &Audit, daemon: &TestDaemon) {
    let at = daemon.address;
    let reads = [Ask::get("/v1/models"), Ask::get("/v1/models/starter")];
    for ask in each().into_iter().chain(reads.clone()) {
        let without = audit.expect(401, at, ask.clone().without("Authorization")).await;
        assert_eq!(without.json()["error"]["type"], "authentication_error");
        assert_eq!(without.json()["error"]["code"], "invalid_api_key");
        let by_key = ask.clone().without("Authorization").header("x-api-key", wire::TOKEN);
        audit.expect(200, at, by_key).await;
        let page = audit.expect(403, at, ask.header("Origin", "http://example.org")).await;
        assert_eq!(page.json()["error"]["type"], "permission_error");
    }
    for path in each().iter().map(|ask| ask.path.as_str()) {
        let large = Ask::post(path).header("Content-Length", &(BODY_BYTES + 1).to_string()).raw_body(b"");
        audit.expect(413, at, large).await;
        let wrong = audit.expect(405, at, Ask::get(path)).await;
        assert_eq!(wrong.header("allow"), Some("POST"));
        let empty = audit.expect(400, at, Ask::post(path)).await.json();
        assert!(empty["error"]["param"].is_null());
    }
    let unknown = json!({"model": "gpt-4o"});
    let embedding = json!({"model": "gpt-4o", "input": "one"});
    let rerank = json!({"model": "gpt-4o", "query": "one", "documents": ["two"]});
    for ask in [
        chat("one", &unknown),
        completion("one", &json!({"model": "gpt-4o@batch"})),
        Ask::post("/v1/embeddings").json(&embedding),
        Ask::post("/v1/rerank").json(&rerank),
        message(&unknown),
        respond(&unknown),
        Ask::post("/v1/messages/count_tokens").json(&without_limit("gpt-4o")),
        infill(&unknown),
        Ask::post("/tokenize").json(&json!({"content": "one", "model": "gpt-4o"})),
        Ask::post("/detokenize").json(&json!({"tokens": [1], "model": "gpt-4o"})),
        Ask::post("/apply-template").json(&without_limit("gpt-4o")),
    ] {
        let unknown = audit.expect(404, at, ask).await.json();
        let message = unknown["error"]["message"].as_str().unwrap();
        assert_eq!(message, "`model` is `gpt-4o`, which is not served here: there is `starter`");
        assert_eq!(unknown["error"]["param"], "model");
        assert_eq!(unknown["error"]["code"], "model_not_found");
    }
    let long = "word ".repeat(5000);
    let body = with(without_limit("starter"), &json!({"messages": [{"role": "user", "content": long}]}));
    for ask in [
        chat(&long, &json!({"max_tokens": 32_000})),
        completion("", &json!({"prompt": long})),
        respond(&json!({"input": long})),
        Ask::post("/v1/messages").json(&with(body.clone(), &json!({"max_tokens": 8}))),
        Ask::post("/v1/messages/count_tokens").json(&body),
    ] {
        let refused = audit.expect(400, at, ask).await.json();
        let (code, message) = (&refused["error"]["code"], refused["error"]["message"].as_str().unwrap());
        assert_eq!(code, "context_length_exceeded", "{refused}");
        // What the libraries of Anthropic's, and LiteLLM, LangChain and agents look for.
        let words =
            message.starts_with("prompt is too long: 500") && message.contains(" tokens > 4095 maximum");
        assert!(words && message.contains("this model's maximum context length is 4096 tokens"), "{message}");
    }
    codes(audit, at).await;
}

/// OpenAI's codes for what is wrong with a request.
async fn codes(audit: &Audit, at: std::net::SocketAddr) {
    for (ask, code) in [
        (chat("one", &json!({"temperature": -1})), "invalid_value"),
        (chat("one", &json!({"tempreature": 1})), "unknown_parameter"),
        (respond(&json!({"tempreature": 1})), "unknown_parameter"),
        (chat("one", &json!({"audio": {"voice": "x"}})), "unsupported_parameter"),
        (Ask::post("/v1/chat/completions").json(&json!({"model": "starter"})), "missing_required_parameter"),
        (message(&json!({"tools": [{}]})), "missing_required_parameter"),
    ] {
        let refused = audit.expect(400, at, ask).await.json();
        assert_eq!(
            (&refused["error"]["code"], &refused["error"]["orch_code"]),
            (&json!(code), &json!("INVALID_PARAMS"))
        );
    }
    let threaded = audit.expect(400, at, message(&json!({"thread": {"type": "create"}}))).await.json();
    assert_eq!(threaded["error"]["details"]["error_code"], "thread_unsupported_request");
}

pub async fn of_a_full_house(audit: &Audit) {
    let daemon = TestDaemon::new().await;
    let at = daemon.address;
    daemon.control.hold(Phase::Decode);
    for _ in 0..=LANE_BOUND {
        wire::send(at, &Ask::task(&json!({"prompt": "one two"}))).await;
    }
    for ask in each() {
        let refused = audit.expect(429, at, ask).await;
        assert_eq!(refused.json()["error"]["orch_code"], "ADMISSION_REJECT");
        assert_eq!(refused.json()["error"]["type"], "rate_limit_error");
        let seconds: u64 = refused.header("retry-after").unwrap().parse().unwrap();
        let millis: u64 = refused.header("retry-after-ms").unwrap().parse().unwrap();
        assert_eq!(seconds, millis.div_ceil(1000).clamp(1, 60), "both say the same time");
        assert_eq!(refused.header("x-should-retry"), Some("true"));
    }
    daemon.control.release(Phase::Decode);

    let daemon = TestDaemon::with(MockOptions { when_full: FullPolicy::DropLru, ..MockOptions::default() });
    daemon.bring_up().await;
    daemon.control.hold(Phase::Decode);
    wire::send(daemon.address, &Ask::task(&json!({"prompt": "one two"}))).await;
    daemon.control.until(|counts| counts.running == 1).await;
    let oldest = spawn({
        let (audit, at) = (audit.clone(), daemon.address);
        async move { audit.expect(429, at, chat("one", &json!({"service_tier": "flex"}))).await }
    });
    until_waiting(&daemon, 1).await;
    for _ in 0..LANE_BOUND {
        wire::send(daemon.address, &Ask::task(&json!({"prompt": "one", "priority": "batch"}))).await;
    }
    let dropped = oldest.await.unwrap();
    assert_eq!(dropped.json()["error"]["orch_code"], "QUEUE_FULL_DROP_LRU");
    assert!(dropped.header("retry-after").is_some());
}

/// The engine dies under an answer: a status where nothing has been said yet, an event where a stream runs.
pub async fn of_failures(audit: &Audit) {
    for stream in [false, true] {
        let daemon = TestDaemon::new().await;
        daemon.control.hold(Phase::Decode);
        let status = if stream { 200 } else { 503 };
        let asked = spawn({
            let (audit, at) = (audit.clone(), daemon.address);
            async move { audit.expect(status, at, chat("one two", &json!({"stream": stream}))).await }
        });
        daemon.crash_after_a_token().await;
        let answer = asked.await.unwrap();
        let error = if stream { events(&answer).pop().unwrap() } else { answer.json() };
        assert_eq!(error["error"]["orch_code"], "WORKER_RESET", "{error}");
    }
    let daemon = TestDaemon::new().await;
    daemon.control.hold(Phase::Decode);
    let asked = spawn({
        let (audit, at) = (audit.clone(), daemon.address);
        async move { audit.expect(200, at, respond(&json!({"stream": true}))).await }
    });
    daemon.crash_after_a_token().await;
    let told = crate::contract::events(asked.await.unwrap().text()).unwrap();
    let [.., failed, error] = told.as_slice() else { panic!("{told:?}") };
    let code = json!("service_unavailable");
    assert_eq!((failed.name.as_str(), &failed.data["response"]["error"]["code"]), ("response.failed", &code));
    assert_eq!((&error.data["code"], &error.data["error"]["orch_code"]), (&code, &json!("WORKER_RESET")));
    let daemon = TestDaemon::new().await;
    daemon.control.hold(Phase::Decode);
    let mut streams = Vec::new();
    for _ in 0..STREAMS {
        streams.push(spawn({
            let at = daemon.address;
            async move { wire::send(at, &chat("one", &json!({"stream": true}))).await }
        }));
    }
    daemon.control.until(|counts| counts.measures == u64::from(STREAMS)).await;
    let refused = audit.expect(503, daemon.address, chat("one", &json!({"stream": true}))).await;
    assert_eq!(refused.json()["error"]["orch_code"], "REPLICA_EXHAUSTED");
    daemon.control.release(Phase::Decode);
}

pub async fn of_defects(audit: &Audit) {
    let daemon = BrokenDaemon::new();
    for ask in each() {
        let answer = audit.expect(500, daemon.address, ask).await;
        assert_eq!(answer.json()["error"]["orch_code"], "INTERNAL");
    }
}
