//! The adapter against a server of raw sockets.

use std::sync::Arc;

use engine_api::{Engine, EngineFactory, MeasureError, StartError};
use engine_http::testing::{
    FakeServer, Recording, Reply, Request, chunked, job, json, listen, spec, sse, within,
};
use engine_http::{Attach, HttpEngineConfig};
use engine_triton::TritonFactory;
use generation::{Constraint, EngineError, Finish, GenerateRequest, Input, Message, Role};
use orchestrator_core::TokenCount;

const SERVER: &str = r#"{"name":"triton","version":"2.51.0","extensions":["classification","sequence","model_repository","schedule_policy","model_configuration","system_shared_memory","statistics","trace","logging"]}"#;

/// What the metadata of a model with these inputs looks like.
fn model(name: &str, inputs: &[&str]) -> String {
    let inputs: Vec<_> = inputs
        .iter()
        .map(|input| serde_json::json!({ "name": input, "datatype": "BYTES", "shape": [1] }))
        .collect();
    serde_json::json!({ "name": name, "versions": ["1"], "platform": "", "inputs": inputs, "outputs": [] })
        .to_string()
}

const VLLM: [&str; 5] =
    ["text_input", "stream", "sampling_parameters", "exclude_input_in_output", "return_finish_reason"];

const TENSORRT: [&str; 9] = [
    "text_input",
    "max_tokens",
    "bad_words",
    "stop_words",
    "top_k",
    "top_p",
    "temperature",
    "random_seed",
    "stream",
];

/// A server with one model.
fn triton(name: &'static str, inputs: &'static [&'static str]) -> impl Fn(&Request) -> Option<Reply> {
    move |request| {
        let (method, path) = request.line.split_once(' ')?;
        let of_model = path.strip_prefix("/v2/models/").and_then(|path| path.strip_prefix(name));
        Some(Reply::closing(match (method, path, of_model) {
            ("GET", "/v2/health/ready", _) => json(200, ""),
            ("GET", "/v2", _) => json(200, SERVER),
            ("POST", "/v2/repository/index", _) => json(
                200,
                &format!(
                    r#"[{{"name":"{name}","version":"1","state":"READY"}},{{"name":"old","state":"UNAVAILABLE"}}]"#
                ),
            ),
            ("GET", _, Some("")) => json(200, &model(name, inputs)),
            ("GET", _, Some("/ready")) => json(200, ""),
            ("POST", _, Some("/generate_stream")) => {
                let mut bytes = sse(&[r#"{"text_output":"Hi"}"#, r#"{"text_output":" all"}"#]);
                bytes.extend(chunked(b""));
                bytes
            }
            _ => json(404, r#"{"error":"Not Found"}"#),
        }))
    }
}

async fn attach(server: &FakeServer, model: Option<&str>) -> Result<Arc<dyn Engine>, StartError> {
    let config = HttpEngineConfig {
        model: model.map(str::to_owned),
        ..HttpEngineConfig::new(Attach::Url(server.address()))
    };
    let factory = TritonFactory::new(config);
    within(factory.start(spec(), Arc::new(|_| {}))).await
}

#[tokio::test]
async fn the_only_model_is_found_and_the_vllm_back_end_asked_in_its_way() {
    let server = FakeServer::start(triton("vllm_model", &VLLM));
    let engine = attach(&server, None).await.expect("starts");
    assert_eq!(
        (engine.facts().version.as_str(), engine.facts().model.name.as_str()),
        ("2.51.0", "vllm_model")
    );
    let (sink, heard) = listen();
    let mut asked = GenerateRequest { max_tokens: Some(TokenCount(2)), ..job(Input::Prompt("x".into())) };
    asked.sampling.stop = vec!["\n".into()];
    engine.submit(Arc::new(asked), sink);
    let recording = Recording::of(heard).await;
    assert_eq!(recording.text(), "Hi all");
    let end = recording.end.expect("an end");
    assert_eq!((end.finish, end.tokens_out), (Finish::Length, TokenCount(2)), "as many as were asked for");
    let sent = server.last("POST /v2/models/vllm_model/generate_stream").json();
    assert_eq!((&sent["text_input"], &sent["stream"]), (&"x".into(), &true.into()));
    assert_eq!(
        (&sent["exclude_input_in_output"], &sent["return_finish_reason"]),
        (&true.into(), &true.into())
    );
    let parameters: serde_json::Value =
        serde_json::from_str(sent["sampling_parameters"].as_str().expect("a text")).expect("JSON");
    assert_eq!((&parameters["max_tokens"], &parameters["seed"]), (&2.into(), &7.into()));
    assert_eq!((&parameters["temperature"], &parameters["stop"][0]), (&0.0.into(), &"\n".into()));
}

#[tokio::test]
async fn tensorrt_llm_is_asked_with_an_input_for_each() {
    let server = FakeServer::start(triton("ensemble", &TENSORRT));
    let engine = attach(&server, Some("ensemble")).await.expect("starts");
    let (sink, heard) = listen();
    engine.submit(
        Arc::new(GenerateRequest { max_tokens: Some(TokenCount(9)), ..job(Input::Prompt("x".into())) }),
        sink,
    );
    let recording = Recording::of(heard).await;
    assert_eq!(recording.end.expect("an end").finish, Finish::Stop);
    let sent = server.last("POST /v2/models/ensemble/generate_stream").json();
    assert_eq!((&sent["max_tokens"], &sent["random_seed"]), (&9.into(), &7.into()));
    assert_eq!(
        (&sent["top_k"], &sent["temperature"]),
        (&1.into(), &1.0.into()),
        "greedy is the best token alone"
    );
    assert!(sent.get("min_p").is_none());
}

#[tokio::test]
async fn what_it_cannot_be_asked_for_is_refused_by_name() {
    let server = FakeServer::start(triton("ensemble", &TENSORRT));
    let engine = attach(&server, None).await.expect("starts");
    let prompt = || job(Input::Prompt("x".into()));
    let conversation = Input::Messages(vec![Message::new(Role::User, "a")]);
    let mut min_p = prompt();
    (min_p.sampling.params.temperature, min_p.sampling.params.min_p) = (Some(1.0), Some(0.2));
    let mut schema = prompt();
    schema.sampling.constraint = Some(Constraint::JsonSchema("{}".into()));
    for (job, wanted) in [
        (job(conversation.clone()), "`messages`: Triton knows no chat template; send a `prompt`"),
        (min_p, "`sampling.min_p` is "),
        (schema, "`sampling.grammar` and `sampling.json_schema` cannot be asked of Triton"),
        (
            GenerateRequest { ctx: Some(TokenCount(9)), ..prompt() },
            "`ctx` is 9, which Triton cannot be asked for",
        ),
    ] {
        let (sink, heard) = listen();
        engine.submit(Arc::new(job), sink);
        let end = Recording::of(heard).await.end.expect("an end");
        let Finish::Failed(EngineError::Invalid(why)) = end.finish else { panic!("{end:?}") };
        assert!(why.starts_with(wanted), "{why}");
    }
    let measured = within(engine.measure(Arc::new(job(conversation)))).await;
    assert!(matches!(measured, Err(MeasureError::Invalid(_))), "{measured:?}");
}

#[tokio::test]
async fn a_server_of_several_models_needs_a_name_and_a_model_of_text() {
    let index = r#"[{"name":"a","state":"READY"},{"name":"b","state":"READY"}]"#;
    let one = triton("a", &["pixels"]);
    let server = FakeServer::start(move |request| match request.line.as_str() {
        "POST /v2/repository/index" => Some(Reply::closing(json(200, index))),
        _ => one(request),
    });
    let error = attach(&server, None).await.err().expect("does not start");
    let StartError::Model(text) = error else { panic!("{error:?}") };
    assert!(text.ends_with("has `a`, `b`: set the engine's `model` to the name of one"), "{text}");
    let error = attach(&server, Some("a")).await.err().expect("does not start").to_string();
    assert!(error.contains("takes no `text_input`"), "{error}");
}

#[tokio::test]
async fn another_server_is_said_not_to_be_one() {
    let server = FakeServer::start(|_| Some(Reply::closing(json(404, "{}"))));
    let error = attach(&server, None).await.err().expect("does not start").to_string();
    assert!(error.contains("is not a Triton: "), "{error}");
}
