//! Jobs that go well, or are refused by name.

use engine_api::{ExtraBodySupport, MeasureError, StartError, StopOutcome};
use engine_http::testing::{FakeServer, Recording, Reply, SinkCall, chunked, job, json, listen, sse, within};
use engine_http::{Attach, HttpEngineConfig};
use generation::{
    Constraint, Determinism, EngineError, ExtraBody, Finish, GenerateRequest, Input, KvHint, LogitBias,
    Message, Role, Tool, ToolCall, ToolChoice, Tools, Transcript, Workload,
};
use orchestrator_core::TokenCount;
use std::sync::Arc;
use std::time::Duration;

use super::test_server::{answer, attach, beginning, config, start, vllm};

fn prompt() -> GenerateRequest {
    job(Input::Prompt("Say hello.".into()))
}

#[tokio::test]
async fn a_prompt_is_answered_and_the_usage_is_the_servers() {
    let server = FakeServer::start(vllm);
    let engine = attach(&server).await;
    let (sink, heard) = listen();
    let asked = GenerateRequest { max_tokens: Some(TokenCount(12)), seed: u64::MAX, ..prompt() };
    engine.submit(Arc::new(asked), sink);
    let recording = Recording::of(heard).await;
    assert_eq!(recording.text(), "Hello world");
    let end = recording.end.expect("an end");
    assert_eq!((end.finish, end.tokens_in, end.tokens_out), (Finish::Stop, TokenCount(3), TokenCount(2)));
    let sent = server.last("POST /v1/completions").json();
    assert_eq!(sent["prompt"], "Say hello.");
    assert_eq!(sent["model"], "Qwen/Qwen2.5-0.5B-Instruct");
    assert_eq!(sent["max_tokens"], 12);
    assert_eq!(sent["stream"], true);
    assert_eq!(sent["stream_options"]["include_usage"], true);
    assert_eq!(sent["seed"], i64::MAX);
    assert_eq!(
        (&sent["top_k"], &sent["temperature"]),
        (&(-1).into(), &0.0.into()),
        "all, and the best of them"
    );
    assert!(sent.get("stop").is_none() && sent.get("repetition_penalty").is_none(), "{sent}");
}

#[tokio::test]
async fn everything_that_can_be_asked_is_asked() {
    let server = FakeServer::start(vllm);
    let engine = attach(&server).await;
    let mut asked = job(Input::Messages(vec![Message::new(Role::System, "Be brief.")]));
    asked.sampling.params.temperature = Some(0.5);
    asked.sampling.params.top_p = Some(0.9);
    asked.sampling.params.top_k = Some(40);
    asked.sampling.params.min_p = Some(0.05);
    asked.sampling.params.repeat_penalty = Some(1.1);
    asked.sampling.params.repeat_last_n = Some(4096);
    asked.sampling.stop = vec!["\n".into()];
    asked.sampling.logit_bias = vec![LogitBias { token: 5, bias: f32::NEG_INFINITY }];
    asked.sampling.constraint = Some(Constraint::JsonSchema(r#"{"z":1,"a":2}"#.into()));
    let (sink, heard) = listen();
    engine.submit(Arc::new(asked), sink);
    assert_eq!(Recording::of(heard).await.text(), "Hello world");
    let request = server.last("POST /v1/chat/completions");
    let sent = request.json();
    assert_eq!(sent["messages"][0]["role"], "system");
    assert_eq!((&sent["temperature"], &sent["top_k"]), (&0.5.into(), &40.into()));
    assert_eq!(sent["repetition_penalty"].as_f64().map(|penalty| penalty as f32), Some(1.1));
    assert_eq!(sent["stop"][0], "\n");
    assert_eq!(sent["logit_bias"]["5"], -100.0);
    assert_eq!(sent["response_format"]["type"], "json_schema");
    assert!(
        request.body.contains(r#""schema":{"z":1,"a":2}"#),
        "the order of a schema's keys is kept: {}",
        request.body
    );
    assert!(sent["max_tokens"].is_null() && sent.get("max_tokens").is_some(), "no limit is said to be none");
}

/// ORCH-ENG-13
#[tokio::test]
async fn tools_and_pictures_are_asked_as_the_api_has_them_and_calls_come_back_as_calls() {
    let call = r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"c1","type":"function","function":{"name":"look","arguments":"{}"}}]},"finish_reason":null}]}"#;
    let server = FakeServer::start(move |request| match request.line.as_str() {
        "POST /v1/chat/completions" => {
            let mut bytes = sse(&[call, "[DONE]"]);
            bytes.extend(chunked(b""));
            Some(Reply::closing(bytes))
        }
        _ => vllm(request),
    });
    let engine = attach(&server).await;
    assert!(engine.facts().abilities.tools);
    assert!(engine.facts().abilities.images);
    let mut turn = Message::new(Role::User, "What is it?");
    turn.images = vec!["https://example.org/a.png".to_owned()];
    let tool = Tool {
        name: "look".into(),
        description: None,
        parameters: Some("{\"type\":\"object\"}".into()),
        ..Tool::default()
    };
    let tools = Tools { offered: vec![tool], choice: ToolChoice::Named("look".into()), single: true };
    let asked = GenerateRequest { tools: tools.into(), ..job(Input::Messages(vec![turn])) };
    within(engine.measure(Arc::new(asked.clone()))).await.expect("it is counted");
    let counted = server.last("POST /tokenize").json();
    assert_eq!(counted["tools"][0]["function"]["name"], "look");
    let (sink, heard) = listen();
    engine.submit(Arc::new(asked), sink);
    let recording = Recording::of(heard).await;
    let calls = Transcript::of(recording.pieces).tool_calls;
    assert_eq!(calls, [ToolCall { id: "c1".into(), name: "look".into(), arguments: "{}".into() }]);
    let sent = server.last("POST /v1/chat/completions").json();
    assert_eq!(sent["messages"][0]["content"][0]["image_url"]["url"], "https://example.org/a.png");
    assert_eq!(sent["tools"][0]["function"]["parameters"]["type"], "object");
    assert_eq!(sent["tool_choice"]["function"]["name"], "look");
    assert_eq!(sent["parallel_tool_calls"], false);
}

/// vLLM without `--enable-auto-tool-choice`, and with a model that does not see.
/// ORCH-ENG-13
#[tokio::test]
async fn what_the_server_refused_once_is_refused_by_name_and_never_sent() {
    let server = FakeServer::start(|request| {
        let body = request.json();
        let refused = |what: &str| {
            let message =
                format!(r#"{{"error":{{"message":"{what}","type":"BadRequestError","code":400}}}}"#);
            Some(Reply::closing(json(400, &message)))
        };
        match request.line.as_str() {
            "POST /v1/chat/completions" if !body["tools"].is_null() => refused(
                "auto tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set",
            ),
            "POST /v1/chat/completions" if body["messages"][0]["content"].is_array() => {
                refused("At most 0 image(s) may be provided in one prompt.")
            }
            _ => vllm(request),
        }
    });
    let engine = attach(&server).await;
    let asked_before = server.seen().len();
    let mut turn = Message::new(Role::User, "What is it?");
    let tools = Tools { offered: vec![Tool { name: "look".into(), ..Tool::default() }], ..Tools::default() };
    let with_tools = GenerateRequest { tools: tools.into(), ..job(Input::Messages(vec![turn.clone()])) };
    turn.images = vec!["https://example.org/a.png".to_owned()];
    for (asked, named) in [(with_tools, "`tools`"), (job(Input::Messages(vec![turn])), "`messages[0]`")] {
        let measured = within(engine.measure(Arc::new(asked))).await;
        let Err(MeasureError::Invalid(text)) = measured else { panic!("{measured:?}") };
        assert!(text.starts_with(named), "{text}");
    }
    assert!(server.seen()[asked_before..].iter().all(|request| request.line == "GET /health"));
}

/// ORCH-OAI-15
#[tokio::test]
async fn fields_of_its_own_reach_the_server_untouched() {
    let server = FakeServer::start(vllm);
    let engine = attach(&server).await;
    assert_eq!(engine.facts().abilities.extra_body, ExtraBodySupport::All);
    let fields = r#"{"chat_template_kwargs":{"z":1,"a":[0.10]},"min_p":0.5,"repetition_penalty":1.3}"#;
    let own = ExtraBody { fields: fields.to_owned(), template: None, refusal: String::new() };
    for (input, line) in [
        (Input::Prompt("x".to_owned()), "POST /v1/completions"),
        (Input::Messages(vec![Message::new(Role::User, "x")]), "POST /v1/chat/completions"),
    ] {
        let (sink, heard) = listen();
        engine.submit(Arc::new(GenerateRequest { extra_body: Some(own.clone()), ..job(input) }), sink);
        assert_eq!(Recording::of(heard).await.text(), "Hello world");
        let sent = server.last(line);
        assert!(sent.body.contains(r#""chat_template_kwargs":{"z":1,"a":[0.10]}"#), "{}", sent.body);
        assert_eq!(sent.json()["repetition_penalty"], 1.3);
        assert_eq!(sent.json()["min_p"], 0.5);
        assert_eq!(sent.json()["stream"], true);
    }
}

/// ORCH-ENG-33
#[tokio::test]
async fn arguments_of_the_template_are_sent_with_chats_or_the_engine_is_not_started() {
    let server = FakeServer::start(vllm);
    let kwargs = Some(r#"{"enable_thinking":false,"mood":"calm"}"#.to_owned());
    let attached = |server: &FakeServer| HttpEngineConfig {
        template_kwargs: kwargs.clone(),
        ..config(Attach::Url(server.address()))
    };
    let engine = start(attached(&server)).await.expect("starts");
    let sent = async |mut asked: GenerateRequest, own: Option<&str>| {
        asked.extra_body =
            own.map(|fields| ExtraBody { fields: fields.to_owned(), template: None, refusal: String::new() });
        let (sink, heard) = listen();
        let line = match *asked.input {
            Input::Messages(_) => "POST /v1/chat/completions",
            _ => "POST /v1/completions",
        };
        engine.submit(Arc::new(asked), sink);
        assert_eq!(Recording::of(heard).await.text(), "Hello world");
        server.last(line).json()["chat_template_kwargs"].clone()
    };
    let chat = || job(Input::Messages(vec![Message::new(Role::User, "x")]));
    assert_eq!(sent(chat(), None).await, serde_json::json!({ "enable_thinking": false, "mood": "calm" }));
    let own = sent(chat(), Some(r#"{"chat_template_kwargs":{"mood":"grim"}}"#)).await;
    assert_eq!(own, serde_json::json!({ "enable_thinking": false, "mood": "grim" }));
    assert_eq!(sent(prompt(), None).await, serde_json::Value::Null);

    let other = FakeServer::start(|request| match request.line.as_str() {
        "GET /v1/models" => Some(Reply::closing(json(200, r#"{"data":[{"id":"m","owned_by":"somebody"}]}"#))),
        _ => vllm(request),
    });
    let refused = start(attached(&other)).await.err().expect("it has no field for them");
    let StartError::Model(text) = refused else { panic!("{refused}") };
    assert!(
        text.starts_with("`template_kwargs` are set, and ") && text.ends_with("leave them out"),
        "{text}"
    );
}

/// A server that tells `told` alternatives to a token where it takes `most` of them.
fn telling(most: u64, told: usize) -> FakeServer {
    FakeServer::start(move |request| {
        let body = request.json();
        match (request.line.as_str(), &body["logprobs"], body["stream"].as_bool()) {
            ("POST /v1/chat/completions", serde_json::Value::Bool(true), Some(false)) => {
                let alternatives =
                    vec![serde_json::json!({"token": "b", "logprob": -1.5, "bytes": [98]}); told];
                let token = serde_json::json!({"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": alternatives});
                let whole = serde_json::json!({"choices": [{"logprobs": {"content": [token]}}]});
                let refusal = r#"{"error":{"message":"too many `top_logprobs`"}}"#;
                let takes = body["top_logprobs"].as_u64().is_some_and(|asked| asked <= most);
                Some(Reply::closing(if takes { json(200, &whole.to_string()) } else { json(400, refusal) }))
            }
            _ => vllm(request),
        }
    })
}

/// ORCH-ENG-14
#[tokio::test]
async fn whether_a_server_tells_probabilities_and_how_many_alternatives_is_found_out_by_asking() {
    for (most, told, expected) in [(20, 20, Some(20)), (5, 5, Some(5)), (20, 0, Some(0)), (1, 1, None)] {
        let server = telling(most, told);
        assert_eq!(attach(&server).await.facts().abilities.logprobs, expected);
    }
    let server = FakeServer::start(vllm);
    assert_eq!(attach(&server).await.facts().abilities.logprobs, None, "it answers and says nothing of them");
}

/// ORCH-ENG-14
#[tokio::test]
async fn probabilities_are_asked_for_as_each_endpoint_has_it() {
    let server = telling(20, 20);
    let engine = attach(&server).await;
    for (input, line, expected) in [
        (
            Input::Prompt("x".to_owned()),
            "POST /v1/completions",
            (serde_json::json!(3), serde_json::Value::Null),
        ),
        (
            Input::Messages(vec![Message::new(Role::User, "x")]),
            "POST /v1/chat/completions",
            (serde_json::json!(true), serde_json::json!(3)),
        ),
    ] {
        let (sink, heard) = listen();
        engine.submit(Arc::new(GenerateRequest { logprobs: Some(3), ..job(input.clone()) }), sink);
        let _ = Recording::of(heard).await;
        let sent = server.last(line).json();
        assert_eq!((&sent["logprobs"], &sent["top_logprobs"]), (&expected.0, &expected.1));
        let (sink, heard) = listen();
        engine.submit(Arc::new(job(input)), sink);
        let _ = Recording::of(heard).await;
        assert_eq!(server.last(line).json().get("logprobs"), None, "nobody asked");
    }
}

#[tokio::test]
async fn a_grammar_goes_to_vllm_under_its_name() {
    let server = FakeServer::start(vllm);
    let engine = attach(&server).await;
    let mut asked = prompt();
    asked.sampling.constraint = Some(Constraint::Grammar("root ::= \"a\"".into()));
    let (sink, heard) = listen();
    engine.submit(Arc::new(asked), sink);
    let _ = Recording::of(heard).await;
    assert_eq!(server.last("POST /v1/completions").json()["structured_outputs"]["grammar"], "root ::= \"a\"");
}

/// ORCH-SESS-5
#[tokio::test]
async fn a_task_that_shares_no_cache_has_a_salt_of_its_own() {
    let server = FakeServer::start(vllm);
    let engine = attach(&server).await;
    let (sink, heard) = listen();
    let asked = GenerateRequest { kv: KvHint::None, ..prompt() };
    let task = asked.task.to_string();
    engine.submit(Arc::new(asked), sink);
    let _ = Recording::of(heard).await;
    assert_eq!(server.last("POST /v1/completions").json()["cache_salt"], task);
}

#[tokio::test]
async fn a_smaller_context_leaves_less_room_for_the_answer() {
    let server = FakeServer::start(vllm);
    let engine = attach(&server).await;
    let (sink, heard) = listen();
    engine.submit(Arc::new(GenerateRequest { ctx: Some(TokenCount(10)), ..prompt() }), sink);
    let _ = Recording::of(heard).await;
    assert_eq!(server.last("POST /v1/completions").json()["max_tokens"], 8);
}

/// ORCH-ENG-4
#[tokio::test]
async fn what_the_engine_cannot_be_asked_for_is_refused_by_name() {
    let server = FakeServer::start(vllm);
    let engine = attach(&server).await;
    let mut penalty = prompt();
    penalty.sampling.params.repeat_penalty = Some(1.3);
    penalty.sampling.params.repeat_last_n = Some(64);
    let cases = [
        (
            GenerateRequest { determinism: Determinism::Strict, ..prompt() },
            "`determinism` is `strict`, which engine `vllm` cannot promise: use `best_effort`",
        ),
        (
            GenerateRequest { workload: Workload::Embedding, ..prompt() },
            "`workload` is `embedding`, which model `Qwen/Qwen2.5-0.5B-Instruct` does not offer: it offers `completion`",
        ),
        (
            GenerateRequest { ctx: Some(TokenCount(9999)), ..prompt() },
            "`ctx` is 9999, but a slot of this pool holds 4096 tokens: ask for at most 4096, or raise the pool's `ctx` (the model was trained with 4096)",
        ),
        (
            penalty,
            "`sampling.repeat_last_n` is 64, which this server cannot be asked for: it looks at all tokens; set it to at least 4096",
        ),
    ];
    for (job, wanted) in cases {
        let measured = within(engine.measure(Arc::new(job.clone()))).await;
        assert_eq!(measured, Err(MeasureError::Invalid(wanted.to_owned())), "found at admission");
        let (sink, heard) = listen();
        engine.submit(Arc::new(job), sink);
        let end = Recording::of(heard).await.end.expect("an end");
        assert_eq!(end.finish, Finish::Failed(EngineError::Invalid(wanted.to_owned())));
    }
}

/// ORCH-ENG-6
#[tokio::test]
async fn a_cancel_closes_the_connection_and_still_has_its_end() {
    let server = FakeServer::start(|request| match request.line.as_str() {
        "POST /v1/completions" => Some(Reply::holding(beginning(&["a", "b", "c"]))),
        _ => vllm(request),
    });
    let engine = attach(&server).await;
    let (sink, mut heard) = listen();
    let asked = prompt();
    let task = asked.task;
    engine.submit(Arc::new(asked), sink);
    for _ in 0..3 {
        assert!(matches!(within(heard.recv()).await, Some(SinkCall::Token(_))));
    }
    engine.cancel(task);
    let Some(SinkCall::End(end)) = within(heard.recv()).await else { panic!("no end") };
    assert_eq!((end.finish, end.tokens_out), (Finish::Canceled, TokenCount(3)));
    assert_eq!(end.tokens_in, TokenCount(3), "about, of a prompt of ten bytes");
    assert_eq!(within(heard.recv()).await, None);
    let closed = tokio::task::spawn_blocking(move || server.closed_by_client().line);
    assert_eq!(within(closed).await.expect("joins"), "POST /v1/completions");
}

#[tokio::test]
async fn a_stop_ends_the_jobs_and_leaves_the_server_alone() {
    let server = FakeServer::start(|request| match request.line.as_str() {
        "POST /v1/completions" => Some(Reply::holding(beginning(&["a"]))),
        _ => vllm(request),
    });
    let engine = attach(&server).await;
    let (sink, mut heard) = listen();
    engine.submit(Arc::new(prompt()), sink);
    assert!(matches!(within(heard.recv()).await, Some(SinkCall::Token(_))));
    assert_eq!(within(engine.stop(Duration::from_secs(5))).await, StopOutcome::Ended);
    let Some(SinkCall::End(end)) = within(heard.recv()).await else { panic!("no end") };
    assert_eq!(end.finish, Finish::Canceled);
    assert_eq!(within(engine.stop(Duration::from_secs(5))).await, StopOutcome::AlreadyGone);
    let (sink, heard) = listen();
    engine.submit(Arc::new(prompt()), sink);
    assert_eq!(
        Recording::of(heard).await,
        Recording::default(),
        "an engine that is gone loses what it is given"
    );
}

#[tokio::test]
async fn vectors_and_scores_come_in_the_order_of_the_inputs() {
    let server = FakeServer::start(|request| {
        Some(Reply::closing(match request.line.as_str() {
            "POST /v1/embeddings" => json(
                200,
                r#"{"data":[{"index":1,"embedding":[0.0,1.0]},{"index":0,"embedding":[0.6,0.8]}],"usage":{"prompt_tokens":7,"total_tokens":7}}"#,
            ),
            "POST /v1/rerank" => json(
                200,
                r#"{"results":[{"index":1,"relevance_score":0.75},{"index":0,"relevance_score":-2.5}],"usage":{"total_tokens":9}}"#,
            ),
            _ => return vllm(request),
        }))
    });
    let engine = attach(&server).await;
    let inputs = |inputs: &[&str]| Input::Inputs(inputs.iter().map(|&input| input.to_owned()).collect());
    let (sink, heard) = listen();
    let own =
        |fields: &str| Some(ExtraBody { fields: fields.to_owned(), template: None, refusal: String::new() });
    let asked = GenerateRequest {
        workload: Workload::Embedding,
        extra_body: own(r#"{"dimensions":2}"#),
        ..job(inputs(&["a", "b"]))
    };
    engine.submit(Arc::new(asked), sink);
    let recording = Recording::of(heard).await;
    assert_eq!(Transcript::of(recording.pieces).vectors, [[0.6, 0.8], [0.0, 1.0]]);
    let end = recording.end.expect("an end");
    assert_eq!((end.finish, end.tokens_in, end.tokens_out), (Finish::Stop, TokenCount(7), TokenCount(0)));
    let (sink, heard) = listen();
    let asked = GenerateRequest {
        workload: Workload::Rerank,
        extra_body: own(r#"{"activation":null}"#),
        ..job(inputs(&["q", "a", "b"]))
    };
    engine.submit(Arc::new(asked), sink);
    let recording = Recording::of(heard).await;
    assert_eq!(Transcript::of(recording.pieces).scores, [-2.5, 0.75]);
    assert_eq!(server.last("POST /v1/embeddings").json()["dimensions"], 2);
    let ranked = server.last("POST /v1/rerank");
    assert_eq!(ranked.json()["documents"][1], "b");
    assert!(ranked.body.contains(r#""activation":null"#), "{}", ranked.body);
}

#[tokio::test]
async fn many_streams_at_once_do_not_mix() {
    let server = FakeServer::start(|request| match request.line.as_str() {
        "POST /v1/completions" => {
            let body = request.json();
            let word = body["prompt"].as_str().unwrap_or_default().to_owned();
            Some(Reply::closing(answer(&vec![word.as_str(); 50])))
        }
        _ => vllm(request),
    });
    let engine = attach(&server).await;
    let all: Vec<_> = (0..64)
        .map(|at| {
            let (sink, heard) = listen();
            engine.submit(Arc::new(job(Input::Prompt(format!("w{at}")))), sink);
            heard
        })
        .collect();
    for (at, heard) in all.into_iter().enumerate() {
        assert_eq!(Recording::of(heard).await.text(), format!("w{at}").repeat(50));
    }
}

/// ORCH-ENG-20
#[tokio::test]
async fn a_connection_is_kept_behind_an_answer_that_ended_and_closed_behind_one_that_did_not() {
    let server = FakeServer::start(|request| {
        let mut bytes = beginning(&["a"]);
        bytes.extend(chunked(b"data: [DONE]\n\n"));
        match request.json()["prompt"].as_str() {
            Some("ends") => Some(Reply::keeping([bytes, chunked(b"")].concat())),
            Some("goes on") => Some(Reply::holding(bytes)),
            _ => vllm(request),
        }
    });
    let engine = attach(&server).await;
    let before = server.connections();
    for prompt in ["ends", "ends", "goes on"] {
        let (sink, heard) = listen();
        engine.submit(Arc::new(job(Input::Prompt(prompt.into()))), sink);
        assert_eq!(Recording::of(heard).await.text(), "a");
    }
    let made = server.connections() - before;
    let closed = tokio::task::spawn_blocking(move || server.closed_by_client().json()["prompt"].clone());
    assert_eq!(within(closed).await.expect("joins"), "goes on");
    assert!(made < 3, "{made} connections for three tasks");
}
