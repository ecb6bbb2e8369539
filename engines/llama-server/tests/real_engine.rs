//! The adapter against a real `llama-server` with the starter model: what decides whether the recorded
//! exchanges are the truth. Where there is no `llama-server`, each test says so and does nothing.

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use engine_api::{Device, Engine, EngineFactory, ExitReason, ReplicaSpec, StopOutcome};
use engine_http::testing::{Recording, SinkCall, job, listen, spec, within};
use engine_http::{Address, Attach, HttpEngineConfig};
use engine_llama_server::LlamaServerFactory;
use generation::{
    Constraint, EngineError, ExtraBody, Finish, GenerateRequest, Input, LogitBias, Message, Role, Tool,
    ToolCall, ToolChoice, Tools, Transcript, Workload,
};
use orchestrator_core::{SessionId, TokenCount};
use uuid::Uuid;

/// Names the program.
const SERVER_VARIABLE: &str = "LLAMA_ORCH_TEST_LLAMA_SERVER";

/// Names the model's file.
const MODEL_VARIABLE: &str = "LLAMA_ORCH_TEST_MODEL";

/// Where both are in the user's cache folder, when nothing is named.
const SERVER_FILE: &str = ".cache/llama-orch/llama-server/bin/llama-server";
const MODEL_FILE: &str = ".cache/llama-orch/models/SmolLM2-135M-Instruct.Q4_1.gguf";

/// Tokens of the starter model that end an answer.
const ENDS: [i32; 2] = [0, 2];

/// The file that `variable` names, or the one at `file` in the home folder; nothing, said aloud, where there
/// is none. A variable that names nothing is a fault and no reason to skip.
fn file(variable: &str, file: &str) -> Option<PathBuf> {
    if let Some(named) = std::env::var_os(variable).map(PathBuf::from) {
        assert!(named.is_file(), "{variable} names `{}`, which is not a file", named.display());
        return Some(named);
    }
    let path = std::env::home_dir()?.join(file);
    if path.is_file() {
        return Some(path);
    }
    let said =
        format!("SKIPPED: nothing at `{}`; name the file in {variable} to run this test\n", path.display());
    std::io::stderr().write_all(said.as_bytes()).expect("somebody listens");
    None
}

/// A server of two slots of 512 tokens, managed.
async fn start() -> Option<Arc<dyn Engine>> {
    start_with(&[]).await
}

/// The same with more words to its command.
async fn start_with(more: &[&str]) -> Option<Arc<dyn Engine>> {
    let (server, model) = (file(SERVER_VARIABLE, SERVER_FILE)?, file(MODEL_VARIABLE, MODEL_FILE)?);
    let words = [
        "--host",
        "127.0.0.1",
        "--port",
        "{port}",
        "-m",
        "{model}",
        "-np",
        "{slots}",
        "-c",
        "1024",
        "-t",
        "2",
    ];
    let program = server.to_str().expect("UTF-8").to_owned();
    let words = words.iter().chain(more).map(|&word| word.to_owned());
    let argv = std::iter::once(program).chain(words).collect();
    let attach = Attach::Command { argv, env: Vec::new(), address: None };
    let factory = LlamaServerFactory::new(HttpEngineConfig::new(attach));
    let spec = ReplicaSpec { model, slots: 2, device: Device::Cpu, ..spec() };
    Some(within(factory.start(spec, Arc::new(|_| {}))).await.expect("the real server starts"))
}

async fn answer(engine: &Arc<dyn Engine>, job: GenerateRequest) -> Recording {
    let (sink, heard) = listen();
    engine.submit(Arc::new(job), sink);
    Recording::of(heard).await
}

fn asked(prompt: &str, most: u32) -> GenerateRequest {
    GenerateRequest { max_tokens: Some(TokenCount(most)), ..job(Input::Prompt(prompt.to_owned())) }
}

/// A job that does not end by itself.
fn endless() -> GenerateRequest {
    let mut endless = job(Input::Prompt("Once upon a time".to_owned()));
    endless.sampling.logit_bias =
        ENDS.iter().map(|token| LogitBias { token: *token, bias: f32::NEG_INFINITY }).collect();
    endless
}

#[tokio::test]
async fn the_facts_are_the_servers_own_and_it_ends_when_asked() {
    let Some(engine) = start().await else { return };
    let facts = engine.facts();
    assert_eq!((facts.slots, facts.ctx), (2, TokenCount(512)));
    assert!(facts.version.starts_with('b'), "{}", facts.version);
    assert!(facts.model.parameters > 100_000_000 && facts.model.size_bytes > 50_000_000, "{:?}", facts.model);
    assert_eq!(facts.model.ctx_train, TokenCount(8192));
    assert!(facts.model.chat_template);
    assert_eq!(facts.workloads, [Workload::Completion]);
    assert_eq!(within(engine.stop(Duration::from_secs(30))).await, StopOutcome::Ended);
    assert_eq!(within(engine.gone()).await, ExitReason::Stopped);
}

#[tokio::test]
async fn counts_agree_with_what_the_server_reads_for_prompts_and_conversations() {
    let Some(engine) = start().await else { return };
    let conversation = Input::Messages(vec![
        Message::new(Role::System, "You are brief."),
        Message::new(Role::User, "What is the capital of France? Ça va 🦙?"),
    ]);
    for input in [Input::Prompt("The old lighthouse stood at the end".to_owned()), conversation] {
        let measured = within(engine.measure(Arc::new(job(input.clone())))).await.expect("counts");
        let recording =
            answer(&engine, GenerateRequest { max_tokens: Some(TokenCount(8)), ..job(input) }).await;
        let end = recording.end.clone().expect("an end");
        assert_eq!(end.tokens_in, measured.tokens);
        assert!(!recording.text().is_empty());
        let tokens: usize = recording.pieces.iter().map(|piece| piece.tokens.len()).sum();
        assert!(tokens <= end.tokens_out.0 as usize && tokens > 0, "{tokens} of {}", end.tokens_out);
        assert!(recording.pieces.iter().all(|piece| piece.tokens.iter().all(|token| *token >= 0)));
    }
}

#[tokio::test]
async fn the_same_seed_gives_the_same_answer_and_a_limit_is_a_limit() {
    let Some(engine) = start().await else { return };
    let sampled = || {
        let mut sampled = endless();
        sampled.sampling.params.temperature = Some(1.0);
        GenerateRequest { max_tokens: Some(TokenCount(12)), ..sampled }
    };
    let (one, two) = (answer(&engine, sampled()).await, answer(&engine, sampled()).await);
    assert_eq!(one.text(), two.text());
    let end = one.end.expect("an end");
    assert_eq!((end.finish, end.tokens_out), (Finish::Length, TokenCount(12)));
}

#[tokio::test]
async fn stop_strings_schemas_and_grammars_are_kept_to() {
    let Some(engine) = start().await else { return };
    let mut stopped = asked("1, 2, 3, 4, 5,", 40);
    stopped.sampling.stop = vec![" 9".to_owned()];
    let recording = answer(&engine, stopped).await;
    assert!(recording.text().contains('8') && !recording.text().contains('9'), "{:?}", recording.text());
    assert_eq!(recording.end.expect("an end").finish, Finish::Stop);
    let mut schema = asked("A number and a word as JSON:", 60);
    schema.sampling.constraint = Some(Constraint::JsonSchema(
        r#"{"type":"object","properties":{"z":{"type":"integer"},"a":{"enum":["x","y"]}},"required":["z","a"],"additionalProperties":false}"#.to_owned(),
    ));
    let text = answer(&engine, schema).await.text();
    assert!(text.trim_start().starts_with('{') && text.contains("\"z\""), "{text:?}");
    let mut grammar = asked("Yes or no?", 10);
    grammar.sampling.constraint = Some(Constraint::Grammar("root ::= \"perhaps\"".to_owned()));
    assert_eq!(answer(&engine, grammar).await.text(), "perhaps");
    let mut broken = asked("x", 4);
    broken.sampling.constraint = Some(Constraint::Grammar("root ::= (".to_owned()));
    let end = answer(&engine, broken).await.end.expect("an end");
    assert!(matches!(end.finish, Finish::Failed(EngineError::Invalid(_))), "{end:?}");
}

#[tokio::test]
async fn a_second_turn_of_a_session_finds_its_cache() {
    let Some(engine) = start().await else { return };
    let id = SessionId(Uuid::new_v4());
    let session = Some(id);
    let first = "The old lighthouse stood at the end of the long stone pier, and every evening";
    let recording = answer(&engine, GenerateRequest { session, ..asked(first, 8) }).await;
    let turn = format!("{first}{} And then", recording.text());
    assert!(engine.session_kv(id).is_some());
    let end = answer(&engine, GenerateRequest { session, ..asked(&turn, 4) }).await.end.expect("an end");
    assert!(end.tokens_cached.0 * 2 > end.tokens_in.0, "{} of {}", end.tokens_cached, end.tokens_in);
}

#[tokio::test]
async fn a_cancel_frees_the_slot() {
    let Some(engine) = start().await else { return };
    let jobs: Vec<_> = (0..2)
        .map(|_| {
            let (sink, heard) = listen();
            let job = endless();
            let task = job.task;
            engine.submit(Arc::new(job), sink);
            (task, heard)
        })
        .collect();
    for (task, mut heard) in jobs {
        assert!(matches!(within(heard.recv()).await, Some(SinkCall::Token(_))));
        engine.cancel(task);
        assert_eq!(Recording::of(heard).await.end.expect("an end").finish, Finish::Canceled);
    }
    let recording = answer(&engine, asked("Both slots were taken", 3)).await;
    assert!(recording.end.is_some_and(|end| matches!(end.finish, Finish::Length | Finish::Stop)));
}

#[tokio::test]
async fn a_prompt_beyond_the_context_is_refused_with_the_servers_words() {
    let Some(engine) = start().await else { return };
    let end = answer(&engine, asked(&"many words ".repeat(600), 4)).await.end.expect("an end");
    let Finish::Failed(EngineError::Invalid(why)) = end.finish else { panic!("{end:?}") };
    assert!(why.contains("context"), "{why}");
}

#[tokio::test]
async fn one_that_is_killed_loses_its_tasks_and_says_so() {
    let Some(server) = file(SERVER_VARIABLE, SERVER_FILE) else { return };
    let Some(model) = file(MODEL_VARIABLE, MODEL_FILE) else { return };
    let port = std::net::TcpListener::bind(("127.0.0.1", 0))
        .and_then(|free| free.local_addr())
        .expect("a port")
        .port();
    let port_text = port.to_string();
    let mut child = tokio::process::Command::new(server)
        .args(["--host", "127.0.0.1", "--port", port_text.as_str(), "-c", "512", "-np", "1", "-t", "2", "-m"])
        .arg(model)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("starts");
    let factory = LlamaServerFactory::new(HttpEngineConfig::new(Attach::Url(Address::of_this_machine(port))));
    let engine = within(async {
        loop {
            // Nobody listens until it has parsed its arguments.
            if let Ok(engine) = factory.start(spec(), Arc::new(|_| {})).await {
                return engine;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    let (sink, mut heard) = listen();
    engine.submit(Arc::new(endless()), sink);
    assert!(matches!(within(heard.recv()).await, Some(SinkCall::Token(_))));
    child.kill().await.expect("killed");
    let end = Recording::of(heard).await.end.expect("an end");
    assert_eq!(end.finish, Finish::Failed(EngineError::Lost));
    let ExitReason::Channel(why) = within(engine.gone()).await else { panic!("not the probes") };
    assert!(why.contains("nothing listens there"), "{why}");
}

/// A template that knows tools, as those of the Hermes family do.
const TEMPLATE: &str = r#"{%- if tools %}<|im_start|>system
You may call these functions:{% for tool in tools %}
{{ tool | tojson }}{% endfor %}
Write a call as <tool_call>{"name": name, "arguments": arguments}</tool_call><|im_end|>
{% endif %}{%- for message in messages %}<|im_start|>{{ message.role }}
{{ message.content }}{% if message.tool_calls %}{% for call in message.tool_calls %}
<tool_call>
{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}
</tool_call>{% endfor %}{% endif %}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"#;

/// A conversation whose model has called before, and will again: the server lets it talk first.
fn conversation_with_calls() -> Vec<Message> {
    let mut messages = Vec::new();
    for (id, city, weather) in [("c1", "Oslo", "Snow."), ("c2", "Rome", "Sun.")] {
        messages.push(Message::new(Role::User, format!("What is the weather in {city}?")));
        let arguments = format!("{{\"city\":\"{city}\"}}");
        let call = ToolCall { id: id.to_owned(), name: "weather".to_owned(), arguments };
        messages.push(Message { tool_calls: vec![call], ..Message::new(Role::Assistant, "") });
        let tool_call_id = Some(id.to_owned());
        messages.push(Message { tool_call_id, ..Message::new(Role::Tool, weather) });
    }
    messages.push(Message::new(Role::User, "What is the weather in Oslo?"));
    messages
}

/// ORCH-ENG-13
#[tokio::test]
async fn a_forced_call_of_the_real_server_is_told_as_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let template = folder.path().join("tools.jinja");
    std::fs::write(&template, TEMPLATE).expect("written");
    let template = template.to_str().expect("UTF-8");
    let Some(engine) = start_with(&["--jinja", "--chat-template-file", template]).await else { return };
    assert!(engine.facts().abilities.tools);
    assert!(!engine.facts().abilities.images, "the starter model does not see");
    let parameters = r#"{"type":"object","properties":{"city":{"type":"string","enum":["Rome","Oslo"]}},"required":["city"],"additionalProperties":false}"#;
    let tool = |name: &str| Tool {
        name: name.to_owned(),
        description: Some("Tells it of a city.".to_owned()),
        parameters: Some(parameters.to_owned()),
        ..Tool::default()
    };
    let tools = Tools {
        offered: vec![tool("time"), tool("weather")],
        choice: ToolChoice::Named("weather".to_owned()),
        single: true,
    };
    let input = Input::Messages(conversation_with_calls());
    let asked = GenerateRequest { tools: tools.into(), max_tokens: Some(TokenCount(96)), ..job(input) };
    let measured = within(engine.measure(Arc::new(asked.clone()))).await.expect("counts");
    let recording = answer(&engine, asked).await;
    let end = recording.end.clone().expect("an end");
    assert_eq!(end.tokens_in, measured.tokens, "measured with the tools in it");
    let text = recording.text();
    let calls = Transcript::of(recording.pieces).tool_calls;
    let [ToolCall { id, name, arguments }] = &*calls else { panic!("one call: {text}") };
    assert!(!id.is_empty());
    assert_eq!(name, "weather", "{text}");
    let arguments: serde_json::Value = serde_json::from_str(arguments).expect("JSON");
    assert!(["Rome", "Oslo"].contains(&arguments["city"].as_str().expect("a city")), "{arguments}");
}

#[tokio::test]
async fn a_template_that_knows_no_tools_takes_none_at_the_real_server() {
    let Some(engine) = start().await else { return };
    assert!(!engine.facts().abilities.tools);
}

/// ORCH-ENG-14
#[tokio::test]
async fn probabilities_are_told_of_prompts_and_of_chats_alike_and_change_nothing() {
    let Some(engine) = start().await else { return };
    assert_eq!(engine.facts().abilities.logprobs, Some(20));
    let chat = Input::Messages(vec![Message::new(Role::User, "Name three colors.")]);
    let asked = |input: Input| {
        let mut asked =
            GenerateRequest { max_tokens: Some(TokenCount(12)), include_extra: true, ..job(input) };
        asked.sampling.params.temperature = Some(0.0);
        asked
    };
    let own = ExtraBody { fields: "{}".to_owned(), template: None, refusal: String::new() };
    // The second is answered by `/v1/chat/completions`.
    let jobs = [
        asked(Input::Prompt("The colors are".into())),
        GenerateRequest { extra_body: Some(own), ..asked(chat) },
    ];
    for plain in jobs {
        let recording = async |asked: GenerateRequest| {
            let (sink, heard) = listen();
            engine.submit(Arc::new(asked), sink);
            Recording::of(heard).await
        };
        let weighed = GenerateRequest { logprobs: Some(2), ..plain.clone() };
        let (plain, weighed) = (recording(plain).await, recording(weighed).await);
        assert_eq!(plain.text(), weighed.text());
        let tokens: Vec<_> = weighed.pieces.iter().flat_map(|piece| &piece.logprobs).collect();
        let spelled: Vec<u8> = tokens.iter().flat_map(|token| token.chosen.bytes.clone()).collect();
        assert_eq!(String::from_utf8_lossy(&spelled), weighed.text());
        for token in &tokens {
            assert_eq!(token.top.len(), 2, "{token:?}");
            assert!(token.top[0].logprob >= token.top[1].logprob && token.top[0].logprob <= 0.0, "{token:?}");
            assert_eq!(token.top[0], token.chosen, "a greedy answer is made of the best");
        }
        assert!(plain.pieces.iter().all(|piece| piece.logprobs.is_empty()));
        let own = plain.end.expect("an end").extra.expect("it says how long it took");
        assert!(own.chunk["timings"]["predicted_ms"].as_f64().is_some_and(|ms| ms > 0.0), "{own:?}");
    }
}
