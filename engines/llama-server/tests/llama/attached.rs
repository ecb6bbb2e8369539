//! An attached `llama-server`.

use std::sync::Arc;

use engine_api::{Engine, EngineFactory, MeasureError, StartError};
use engine_http::testing::{
    FakeServer, Recording, Reply, Request, chunked, job, json, listen, spec, sse, within,
};
use engine_http::{Attach, HttpEngineConfig};
use engine_llama_server::LlamaServerFactory;
use generation::{
    Constraint, EngineError, ExtraBody, Finish, GenerateRequest, Input, LogitBias, Message, Role, Tool,
    ToolCall, ToolChoice, Tools, Transcript, Workload,
};
use orchestrator_core::{SessionId, TokenCount};
use uuid::Uuid;

const PROPS: &str = r#"{"default_generation_settings":{"params":{"seed":4294967295},"n_ctx":2048},"total_slots":3,"model_alias":"smol","model_path":"/m/smol.gguf","modalities":{"vision":false},"chat_template":"{% for m in messages %}{{ m.content }}{% endfor %}","build_info":"b11434-5a1c2e3","is_sleeping":false}"#;

/// A server whose template knows tools and whose model sees.
fn props_of_more() -> String {
    PROPS.replace(r#""vision":false"#, r#""vision":true"#).replace(
        r#""build_info""#,
        r#""chat_template_caps":{"supports_tools":true,"supports_tool_calls":true},"build_info""#,
    )
}

const MODELS: &str = r#"{"models":[],"object":"list","data":[{"id":"smol","object":"model","created":1,"owned_by":"llamacpp","meta":{"vocab_type":2,"n_vocab":49152,"n_ctx":2048,"n_ctx_train":8192,"n_embd":576,"n_params":134515008,"size":96538368,"ftype":"Q4_1"}}]}"#;

/// What `llama-server` answers: a conversation is rendered as its contents, a token is a word.
fn server(request: &Request) -> Option<Reply> {
    let body = request.json();
    let no = |what: &str| {
        format!(
            r#"{{"error":{{"code":501,"message":"This server does not support {what}","type":"not_supported_error"}}}}"#
        )
    };
    Some(Reply::closing(match request.line.as_str() {
        "GET /health" => json(200, r#"{"status":"ok"}"#),
        "GET /props" => json(200, PROPS),
        "GET /v1/models" => json(200, MODELS),
        "POST /v1/embeddings" => json(501, &no("embeddings. Start it with `--embeddings`")),
        "POST /v1/rerank" => json(501, &no("reranking. Start it with `--reranking`")),
        "POST /apply-template" => {
            let messages = body["messages"].as_array().cloned().unwrap_or_default();
            let contents = messages.iter().map(|message| message["content"].as_str().unwrap_or_default());
            let prompt = contents.collect::<Vec<_>>().join(" ");
            json(200, &serde_json::json!({ "prompt": prompt }).to_string())
        }
        "POST /tokenize" => {
            let words = body["content"].as_str().unwrap_or_default().split_whitespace().count();
            let tokens: Vec<usize> = (0..words).collect();
            json(200, &serde_json::json!({ "tokens": tokens }).to_string())
        }
        "POST /completion" => answer(1),
        _ => json(404, "{}"),
    }))
}

/// An answer out of a slot.
fn answer(slot: i32) -> Vec<u8> {
    let token = format!(r#"{{"index":0,"content":"Hi","tokens":[7],"stop":false,"id_slot":{slot}}}"#);
    let last = format!(
        r#"{{"content":"","stop":true,"id_slot":{slot},"stop_type":"limit","tokens_predicted":1,"tokens_evaluated":3,"tokens_cached":4,"timings":{{"cache_n":2}}}}"#
    );
    let mut bytes = sse(&[&token, &last]);
    bytes.extend(chunked(b""));
    bytes
}

async fn attach(server: &FakeServer) -> Result<Arc<dyn Engine>, StartError> {
    let factory = LlamaServerFactory::new(HttpEngineConfig::new(Attach::Url(server.address())));
    within(factory.start(spec(), Arc::new(|_| {}))).await
}

fn conversation(words: &str) -> Input {
    Input::Messages(vec![Message::new(Role::User, words)])
}

/// ORCH-ENG-7
#[tokio::test]
async fn slots_context_version_and_model_are_read_off_the_server() {
    let server = FakeServer::start(server);
    let engine = attach(&server).await.expect("starts");
    let facts = engine.facts();
    assert_eq!((facts.slots, facts.ctx, facts.version.as_str()), (3, TokenCount(2048), "b11434-5a1c2e3"));
    assert_eq!(facts.model.name, "smol");
    assert_eq!((facts.model.parameters, facts.model.size_bytes), (134_515_008, 96_538_368));
    assert_eq!(facts.model.ctx_train, TokenCount(8192));
    assert!(facts.model.chat_template && !facts.strict);
    assert_eq!(facts.workloads, [Workload::Completion]);
}

#[tokio::test]
async fn a_conversation_is_rendered_counted_and_asked_for_with_one_rendering() {
    let server = FakeServer::start(server);
    let engine = attach(&server).await.expect("starts");
    let input = conversation("one two three");
    let measured = within(engine.measure(Arc::new(job(input.clone())))).await.expect("counts");
    assert_eq!((measured.tokens, measured.longest), (TokenCount(3), TokenCount(3)));
    let tokenized = server.last("POST /tokenize").json();
    assert_eq!((&tokenized["add_special"], &tokenized["parse_special"]), (&true.into(), &true.into()));
    let (sink, heard) = listen();
    engine.submit(Arc::new(job(input)), sink);
    let recording = Recording::of(heard).await;
    assert_eq!((recording.text().as_str(), recording.pieces[0].tokens.as_slice()), ("Hi", [7].as_slice()));
    let end = recording.end.expect("an end");
    assert_eq!(end.finish, Finish::Length);
    assert_eq!(
        (end.tokens_in, end.tokens_cached, end.tokens_out),
        (TokenCount(3), TokenCount(2), TokenCount(1))
    );
    assert_eq!(server.last("POST /completion").json()["prompt"], "one two three");
    let rendered = server.seen().iter().filter(|request| request.line == "POST /apply-template").count();
    assert_eq!(rendered, 1, "the prompt that was counted is the one that is asked for");
}

#[tokio::test]
async fn everything_that_can_be_asked_is_asked() {
    let server = FakeServer::start(server);
    let engine = attach(&server).await.expect("starts");
    let mut asked =
        GenerateRequest { seed: u64::MAX, max_tokens: Some(TokenCount(5)), ..job(Input::Prompt("x".into())) };
    asked.sampling.params.top_k = Some(40);
    asked.sampling.params.repeat_penalty = Some(1.5);
    asked.sampling.params.repeat_last_n = Some(64);
    asked.sampling.stop = vec!["END".into()];
    asked.sampling.logit_bias =
        vec![LogitBias { token: 5, bias: f32::NEG_INFINITY }, LogitBias { token: 6, bias: 1.5 }];
    asked.sampling.constraint = Some(Constraint::JsonSchema(r#"{"z":1,"a":2}"#.into()));
    let (sink, heard) = listen();
    engine.submit(Arc::new(asked), sink);
    let _ = Recording::of(heard).await;
    let request = server.last("POST /completion");
    let sent = request.json();
    assert_eq!(sent["n_predict"], 5);
    assert_eq!(
        (&sent["top_k"], &sent["repeat_penalty"], &sent["repeat_last_n"]),
        (&40.into(), &1.5.into(), &64.into())
    );
    assert_eq!(sent["logit_bias"], serde_json::json!([[5, false], [6, 1.5]]));
    assert_eq!(sent["stop"][0], "END");
    assert_eq!(
        (&sent["cache_prompt"], &sent["return_tokens"], &sent["stream"]),
        (&true.into(), &true.into(), &true.into())
    );
    assert!(request.body.contains(r#""json_schema":{"z":1,"a":2}"#), "{}", request.body);
    assert_ne!(sent["seed"], u32::MAX, "the largest seed would be a random one");
    assert!(sent.get("id_slot").is_none());
}

#[tokio::test]
async fn a_session_goes_back_to_the_slot_that_holds_it() {
    let server = FakeServer::start(server);
    let engine = attach(&server).await.expect("starts");
    let session = SessionId(Uuid::new_v4());
    for bound in [serde_json::Value::Null, 1.into()] {
        let (sink, heard) = listen();
        engine.submit(
            Arc::new(GenerateRequest { session: Some(session), ..job(Input::Prompt("x".into())) }),
            sink,
        );
        assert!(Recording::of(heard).await.end.is_some());
        assert_eq!(server.last("POST /completion").json()["id_slot"], bound);
    }
    assert_eq!(engine.session_kv(session).map(|kv| kv.tokens), Some(TokenCount(4)));
    engine.evict_session(session);
    assert_eq!(engine.session_kv(session), None);
}

#[tokio::test]
async fn a_smaller_context_leaves_less_room_for_the_answer() {
    let server = FakeServer::start(server);
    let engine = attach(&server).await.expect("starts");
    let (sink, heard) = listen();
    engine.submit(
        Arc::new(GenerateRequest { ctx: Some(TokenCount(9)), ..job(Input::Prompt("a b c".into())) }),
        sink,
    );
    let _ = Recording::of(heard).await;
    assert_eq!(server.last("POST /completion").json()["n_predict"], 6);
    let (sink, heard) = listen();
    engine.submit(
        Arc::new(GenerateRequest { ctx: Some(TokenCount(3)), ..job(Input::Prompt("a b c".into())) }),
        sink,
    );
    let wanted = "the prompt takes 3 tokens and `ctx` is 3: nothing is left for an answer".to_owned();
    let end = Recording::of(heard).await.end.expect("an end");
    assert_eq!(end.finish, Finish::Failed(EngineError::Invalid(wanted)));
}

#[tokio::test]
async fn a_model_without_a_chat_template_refuses_conversations_by_name() {
    let props = PROPS.replace(
        r#""chat_template":"{% for m in messages %}{{ m.content }}{% endfor %}""#,
        r#""chat_template":"""#,
    );
    let server = FakeServer::start(move |request| match request.line.as_str() {
        "GET /props" => Some(Reply::closing(json(200, &props))),
        _ => server(request),
    });
    let engine = attach(&server).await.expect("starts");
    let measured = within(engine.measure(Arc::new(job(conversation("a"))))).await;
    let Err(MeasureError::Invalid(why)) = measured else { panic!("{measured:?}") };
    assert!(why.starts_with("`messages`: the model of this `llama-server` has no chat template"), "{why}");
}

#[tokio::test]
async fn what_it_refuses_is_invalid_with_its_own_words() {
    let server = FakeServer::start(|request| match request.line.as_str() {
        "POST /completion" => Some(Reply::closing(json(
            400,
            r#"{"error":{"code":400,"message":"failed to parse grammar","type":"invalid_request_error"}}"#,
        ))),
        _ => server(request),
    });
    let engine = attach(&server).await.expect("starts");
    let (sink, heard) = listen();
    engine.submit(Arc::new(job(Input::Prompt("a".into()))), sink);
    let end = Recording::of(heard).await.end.expect("an end");
    let Finish::Failed(EngineError::Invalid(why)) = end.finish else { panic!("{end:?}") };
    assert!(why.ends_with("refuses the task: failed to parse grammar"), "{why}");
}

#[tokio::test]
async fn a_server_started_for_embeddings_says_so() {
    let server = FakeServer::start(|request| match request.line.as_str() {
        "POST /v1/embeddings" => Some(Reply::closing(json(
            200,
            r#"{"model":"m","object":"list","usage":{"prompt_tokens":2,"total_tokens":2},"data":[{"embedding":[1.0,0.0,0.0],"index":0,"object":"embedding"}]}"#,
        ))),
        _ => server(request),
    });
    let engine = attach(&server).await.expect("starts");
    assert_eq!(engine.facts().workloads, [Workload::Embedding]);
    assert_eq!(engine.facts().model.embedding_size, 3);
    let (sink, heard) = listen();
    engine.submit(
        Arc::new(GenerateRequest { workload: Workload::Embedding, ..job(Input::Inputs(vec!["a".into()])) }),
        sink,
    );
    assert_eq!(Transcript::of(Recording::of(heard).await.pieces).vectors, [[1.0, 0.0, 0.0]]);
}

#[tokio::test]
async fn another_server_is_said_not_to_be_one() {
    for (health, props) in [(404, PROPS), (200, "{}"), (200, "<html>")] {
        let fake = FakeServer::start(move |request| {
            Some(Reply::closing(match request.line.as_str() {
                "GET /health" => json(health, "{}"),
                "GET /props" => json(200, props),
                _ => return server(request),
            }))
        });
        let error = attach(&fake).await.err().expect("does not start").to_string();
        assert!(error.contains("is not a `llama-server`: "), "{error}");
        assert!(error.ends_with("hint: check the engine's `url`"), "{error}");
    }
}

/// ORCH-ENG-13
#[tokio::test]
async fn a_conversation_with_tools_goes_to_the_endpoint_that_reads_calls() {
    let server = FakeServer::start(|request| match request.line.as_str() {
        "GET /props" => Some(Reply::closing(json(200, &props_of_more()))),
        "POST /v1/chat/completions" => {
            let call = r#"{"choices":[{"finish_reason":null,"index":0,"delta":{"tool_calls":[{"index":0,"id":"Qx7","type":"function","function":{"name":"g","arguments":"{}"}}]}}]}"#;
            let last = r#"{"choices":[{"finish_reason":"tool_calls","index":0,"delta":{}}]}"#;
            let usage =
                r#"{"choices":[],"usage":{"completion_tokens":9,"prompt_tokens":40,"total_tokens":49}}"#;
            let mut bytes = sse(&[call, last, usage, "[DONE]"]);
            bytes.extend(chunked(b""));
            Some(Reply::closing(bytes))
        }
        _ => server(request),
    });
    let engine = attach(&server).await.expect("starts");
    assert!(engine.facts().abilities.tools);
    assert!(engine.facts().abilities.images);
    let tool = |name: &str| Tool { name: name.into(), ..Tool::default() };
    let tools =
        Tools { offered: vec![tool("f"), tool("g")], choice: ToolChoice::Named("g".into()), single: false };
    let asked = GenerateRequest { tools: tools.into(), seed: u64::MAX, ..job(conversation("what now")) };
    within(engine.measure(Arc::new(asked.clone()))).await.expect("it is counted");
    let rendered = server.last("POST /apply-template").json();
    assert_eq!(rendered["tools"][0]["function"]["name"], "g", "rendered as it is asked");
    let (sink, heard) = listen();
    engine.submit(Arc::new(asked), sink);
    let recording = Recording::of(heard).await;
    let calls = Transcript::of(recording.pieces).tool_calls;
    assert_eq!(calls, [ToolCall { id: "Qx7".into(), name: "g".into(), arguments: "{}".into() }]);
    let end = recording.end.expect("an end");
    assert_eq!((end.finish, end.tokens_in, end.tokens_out), (Finish::Stop, TokenCount(40), TokenCount(9)));
    let sent = server.last("POST /v1/chat/completions").json();
    // The server knows words for a choice and no tool: it is shown the one that is meant.
    assert_eq!(sent["tool_choice"], "required");
    assert_eq!(sent["tools"].as_array().map(Vec::len), Some(1));
    assert_eq!(sent["parallel_tool_calls"], true);
    assert_eq!(sent["seed"], 0, "a seed of 32 bits");

    let (sink, heard) = listen();
    engine.submit(Arc::new(job(conversation("what now"))), sink);
    assert_eq!(Recording::of(heard).await.text(), "Hi", "without tools it is asked as before");
}

/// ORCH-ENG-13
#[tokio::test]
async fn pictures_go_to_a_model_that_sees_and_are_refused_by_name_where_it_does_not() {
    let seeing = FakeServer::start(|request| match request.line.as_str() {
        "GET /props" => Some(Reply::closing(json(200, &props_of_more()))),
        "POST /v1/chat/completions" => {
            let mut bytes =
                sse(&[r#"{"choices":[{"delta":{"content":"A llama."},"finish_reason":"stop"}]}"#, "[DONE]"]);
            bytes.extend(chunked(b""));
            Some(Reply::closing(bytes))
        }
        _ => server(request),
    });
    let mut turn = Message::new(Role::User, "What is it?");
    turn.images = vec!["data:image/png;base64,AAAA".to_owned()];
    let asked = job(Input::Messages(vec![turn]));
    let engine = attach(&seeing).await.expect("starts");
    let (sink, heard) = listen();
    engine.submit(Arc::new(asked.clone()), sink);
    assert_eq!(Recording::of(heard).await.text(), "A llama.");
    let sent = seeing.last("POST /v1/chat/completions").json();
    assert_eq!(sent["messages"][0]["content"][0]["image_url"]["url"], "data:image/png;base64,AAAA");
    assert_eq!(sent["messages"][0]["content"][1]["text"], "What is it?");

    let blind = FakeServer::start(server);
    let engine = attach(&blind).await.expect("starts");
    assert!(!engine.facts().abilities.tools, "its template knows no tools");
    let refused = within(engine.measure(Arc::new(asked))).await;
    let Err(MeasureError::Invalid(text)) = refused else { panic!("{refused:?}") };
    assert!(text.starts_with("`messages[0]` holds an image"), "{text}");
}

/// ORCH-OAI-15
#[tokio::test]
async fn fields_of_its_own_reach_the_server_and_its_template_untouched() {
    let server = FakeServer::start(|request| match request.line.as_str() {
        "POST /v1/chat/completions" => {
            let mut bytes =
                sse(&[r#"{"choices":[{"delta":{"content":"Yes."},"finish_reason":"stop"}]}"#, "[DONE]"]);
            bytes.extend(chunked(b""));
            Some(Reply::closing(bytes))
        }
        _ => server(request),
    });
    let engine = attach(&server).await.expect("starts");
    let fields = r#"{"cache_prompt":false,"chat_template_kwargs":{"enable_thinking":false},"mirostat":2}"#;
    let own = ExtraBody { fields: fields.to_owned(), template: None, refusal: String::new() };
    let asked = |input| GenerateRequest { extra_body: Some(own.clone()), ..job(input) };
    within(engine.measure(Arc::new(asked(conversation("what now"))))).await.expect("it is counted");
    let rendered = server.last("POST /apply-template").json();
    assert_eq!(rendered["chat_template_kwargs"]["enable_thinking"], false, "they change the prompt");
    for (input, line) in [
        (conversation("what now"), "POST /v1/chat/completions"),
        (Input::Prompt("what now".to_owned()), "POST /completion"),
    ] {
        let (sink, heard) = listen();
        engine.submit(Arc::new(asked(input)), sink);
        assert!(Recording::of(heard).await.end.is_some_and(|end| !matches!(end.finish, Finish::Failed(_))));
        let sent = server.last(line).json();
        assert_eq!((&sent["mirostat"], &sent["cache_prompt"]), (&2.into(), &false.into()), "{line}");
        assert_eq!(sent["stream"], true);
    }
}

/// ORCH-ENG-14, ORCH-OAI-16
#[tokio::test]
async fn probabilities_and_times_are_told_where_they_are_asked_for() {
    let token = |id: i32, text: &str, top: &str| {
        format!(
            r#"{{"id":{id},"token":"{text}","bytes":[{}],"logprob":-0.5,"top_logprobs":[{top}]}}"#,
            text.as_bytes()[0]
        )
    };
    let alternative = |id: i32| format!(r#"{{"id":{id},"token":"b","bytes":[98],"logprob":-{id}.5}}"#);
    let alternatives: Vec<String> = (1..=20).map(alternative).collect();
    let told = token(7, "a", &alternatives.join(","));
    let tells = told.clone();
    let server = FakeServer::start(move |request| match request.line.as_str() {
        "POST /completion" if request.json()["stream"] == true => {
            let probabilities = if request.json()["n_probs"].is_u64() {
                format!(r#","completion_probabilities":[{tells}]"#)
            } else {
                String::new()
            };
            let token = format!(r#"{{"content":"a","tokens":[7],"stop":false,"id_slot":0{probabilities}}}"#);
            let last =
                r#"{"content":"","stop":true,"stop_type":"eos","timings":{"cache_n":2,"predicted_ms":1.5}}"#;
            let mut bytes = sse(&[&token, last]);
            bytes.extend(chunked(b""));
            Some(Reply::closing(bytes))
        }
        "POST /completion" => Some(Reply::closing(json(
            200,
            &format!(r#"{{"content":"a","completion_probabilities":[{tells}]}}"#),
        ))),
        _ => server(request),
    });
    let engine = attach(&server).await.expect("starts");
    assert_eq!(engine.facts().abilities.logprobs, Some(20));
    let recording = async |asked: GenerateRequest| {
        let (sink, heard) = listen();
        engine.submit(Arc::new(asked), sink);
        Recording::of(heard).await
    };
    let asked = recording(GenerateRequest {
        logprobs: Some(1),
        include_extra: true,
        ..job(Input::Prompt("x".into()))
    })
    .await;
    let [piece] = asked.pieces.as_slice() else { panic!("{asked:?}") };
    let [token] = piece.logprobs.as_slice() else { panic!("{piece:?}") };
    assert_eq!(
        (token.chosen.token, token.chosen.bytes.as_slice(), token.chosen.logprob),
        (7, b"a".as_slice(), -0.5)
    );
    assert_eq!(token.top.iter().map(|one| one.token).collect::<Vec<_>>(), [1]);
    let own = asked.end.expect("an end").extra.expect("it says how long it took");
    assert_eq!(own.chunk["timings"]["predicted_ms"], 1.5);
    let silent = recording(job(Input::Prompt("x".into()))).await;
    assert!(silent.pieces[0].logprobs.is_empty() && silent.end.expect("an end").extra.is_none());
}

/// ORCH-ENG-15
#[tokio::test]
async fn an_answer_begins_with_reasoning_where_the_template_wrote_its_tag_unless_it_must_have_a_form() {
    let server = FakeServer::start(|request| match request.line.as_str() {
        "POST /apply-template" => Some(Reply::closing(json(200, r#"{"prompt":"<|ai|>\n<think>\n"}"#))),
        _ => server(request),
    });
    let engine = attach(&server).await.expect("starts");
    let mut formed = job(conversation("x"));
    formed.sampling.constraint = Some(Constraint::Grammar("root ::= \"Hi\"".to_owned()));
    let prompt = job(Input::Prompt("<think>".to_owned()));
    for (asked, reasoning, text) in
        [(job(conversation("x")), "Hi", ""), (formed, "", "Hi"), (prompt, "", "Hi")]
    {
        let (sink, heard) = listen();
        engine.submit(Arc::new(asked), sink);
        let recording = Recording::of(heard).await;
        assert_eq!(recording.text(), "Hi", "raw text is what the server wrote");
        let transcript = Transcript::of(recording.pieces);
        assert_eq!((transcript.reasoning.as_str(), transcript.text.as_str()), (reasoning, text));
    }
}
