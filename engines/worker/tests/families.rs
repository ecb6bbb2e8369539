//! Answers in the formats of model families, under the real chat templates of llama.cpp's tree: whatever the pieces in
//! which an answer comes, its reasoning, its content and its calls are the same, and no mark of the format is left.
//! The templates are fetched by `cargo xtask llama-server`; where they are not, each test says so and does nothing.

#![expect(clippy::print_stderr, reason = "says what is skipped, which is shown")]

#[path = "families/answers.rs"]
mod answers;

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::thread;
use std::time::Duration;

use generation::{
    Message, OutputChunk, ReasoningOptions, Role, Tool, ToolCall, ToolChoice, Tools, Transcript,
};
use serde_json::{Value, json};
use worker_llamacpp::chat::{
    AnswerSchema, Arguments, Begins, ChatTemplate, Conversation, OutputFormat, OutputParser, SpecialTexts,
    WantsGrammar,
};

use answers::FAMILIES;

/// Where the templates are, below the home folder.
const TEMPLATES: &str = ".cache/llama-orch/llama-server/templates";

/// The server that they are compared with.
const SERVER: &str = ".cache/llama-orch/llama-server/bin/llama-server";

/// The model that it loads.
const STARTER: &str = ".cache/llama-orch/models/SmolLM2-135M-Instruct.Q4_1.gguf";

fn home() -> PathBuf {
    std::env::home_dir().expect("a home")
}

fn template(name: &str) -> Option<ChatTemplate> {
    let path = home().join(TEMPLATES).join(format!("{name}.jinja"));
    let Ok(source) = std::fs::read_to_string(&path) else {
        eprintln!("`{}` is not there: `cargo xtask llama-server` fetches it", path.display());
        return None;
    };
    let special = SpecialTexts { bos: "<s>".to_owned(), eos: "</s>".to_owned() };
    Some(ChatTemplate::compile(source, &special).expect("it compiles"))
}

fn tools() -> Tools {
    let parameters = r#"{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}"#;
    let weather = Tool {
        name: "weather".to_owned(),
        description: Some("The weather of a city".to_owned()),
        parameters: Some(parameters.to_owned()),
        ..Tool::default()
    };
    Tools { offered: vec![weather], ..Tools::default() }
}

/// A conversation of which nothing else is asked.
fn conversation<'a>(messages: &'a [Message], tools: &'a Tools) -> Conversation<'a> {
    static REASONING: ReasoningOptions = ReasoningOptions { enabled: None, effort: None, budget: None };
    static ARGUMENTS: LazyLock<Arguments> = LazyLock::new(Arguments::default);
    Conversation {
        messages,
        tools,
        schema: None,
        reasoning: &REASONING,
        continues: false,
        arguments: &ARGUMENTS,
        grammar: WantsGrammar::Yes,
    }
}

fn format_of(template: &ChatTemplate) -> OutputFormat {
    let messages = [Message::new(Role::User, "How is Paris?")];
    template.render(&conversation(&messages, &tools())).expect("rendered").format
}

/// What an output comes to, with calls as `name {"arguments": …}`.
#[derive(Debug, Default, PartialEq, Eq)]
struct Parsed {
    reasoning: String,
    content: String,
    calls: Vec<String>,
}

impl Parsed {
    fn of(chunks: Vec<OutputChunk>) -> Self {
        let Transcript { text, reasoning, tool_calls, .. } = Transcript::of(chunks);
        let call = |call: ToolCall| {
            let arguments: Value =
                serde_json::from_str(&call.arguments).unwrap_or_else(|_| Value::from(call.arguments.clone()));
            format!("{} {arguments}", call.name)
        };
        Self {
            reasoning: reasoning.trim().to_owned(),
            content: text.trim().to_owned(),
            calls: tool_calls.into_iter().map(call).collect(),
        }
    }
}

/// What is parsed of an output that comes in these parts.
fn chunks_of(format: &OutputFormat, parts: &[&str]) -> Vec<OutputChunk> {
    let mut parser = OutputParser::new(format).expect("a parser");
    let mut chunks = Vec::new();
    for part in parts {
        chunks.extend(parser.push(OutputChunk::text(*part, vec![1])).chunk);
    }
    chunks.extend(parser.finish(true));
    chunks
}

/// Parses an output that comes in these parts, whose raw text must come out as it went in.
fn parse(format: &OutputFormat, parts: &[&str]) -> Parsed {
    let chunks = chunks_of(format, parts);
    let raw: String = chunks.iter().map(|chunk| chunk.text.as_str()).collect();
    assert_eq!(raw, parts.concat(), "the raw text is the model's");
    let tokens: usize = chunks.iter().map(|chunk| chunk.tokens.len()).sum();
    assert_eq!(tokens, parts.len(), "every token is counted once");
    Parsed::of(chunks)
}

/// ORCH-ENG-26
#[test]
fn an_answer_of_any_family_reads_the_same_at_every_split() {
    let mut wrong = Vec::new();
    for family in FAMILIES {
        let Some(template) = template(family.template) else { return };
        let format = format_of(&template);
        let right = Parsed {
            reasoning: family.reasoning.to_owned(),
            content: family.content.to_owned(),
            calls: family.calls.iter().map(|call| (*call).to_owned()).collect(),
        };
        let answer = family.answer;
        let halves = answer.char_indices().map(|(at, _)| vec![&answer[..at], &answer[at..]]);
        let letters: Vec<&str> = answer.split_inclusive(|_: char| true).collect();
        let first = halves.chain([letters]).find_map(|parts| {
            let parsed = parse(&format, &parts);
            (parsed != right).then(|| format!("{}: {parts:?} is parsed into {parsed:?}", family.template))
        });
        wrong.extend(first);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// ORCH-REPL-18
#[test]
fn an_answer_of_any_family_goes_on_in_another_worker_from_wherever_it_was() {
    let mut wrong = Vec::new();
    for family in FAMILIES {
        let Some(template) = template(family.template) else { return };
        let format = format_of(&template);
        let letters: Vec<&str> = family.answer.split_inclusive(|_: char| true).collect();
        let whole = chunks_of(&format, &letters);
        let right = Parsed::of(whole.clone());
        let first = (1..whole.len()).find_map(|said| {
            let mut chunks = whole[..said].to_vec();
            let tokens: usize = chunks.iter().map(|chunk| chunk.tokens.len()).sum();
            let mut parser = OutputParser::new(&format).expect("a parser");
            // What was said is parsed again, and not said again.
            letters[..tokens].iter().for_each(|part| drop(parser.push(OutputChunk::text(*part, vec![1]))));
            for part in &letters[tokens..] {
                chunks.extend(parser.push(OutputChunk::text(*part, vec![1])).chunk);
            }
            chunks.extend(parser.finish(true));
            let raw: String = chunks.iter().map(|chunk| chunk.text.as_str()).collect();
            let parsed = Parsed::of(chunks);
            let alike = parsed == right && raw == letters.concat();
            (!alike).then(|| format!("{} after {tokens} letters: {parsed:?} of {raw:?}", family.template))
        });
        wrong.extend(first);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What a template makes of `messages`, with `reasoning`.
fn prompt(
    template: &ChatTemplate,
    messages: &[Message],
    reasoning: &ReasoningOptions,
    continues: bool,
) -> String {
    let tools = Tools::default();
    let asked = Conversation { reasoning, continues, ..conversation(messages, &tools) };
    template.render(&asked).expect("rendered").prompt
}

/// ORCH-OAI-18, ORCH-OAI-19
#[test]
fn reasoning_is_switched_measured_and_remembered_where_the_template_knows_how() {
    let (Some(qwen), Some(gpt)) = (template("Qwen-Qwen3-0.6B"), template("openai-gpt-oss-120b")) else {
        return;
    };
    let user = [Message::new(Role::User, "How is Paris?")];
    let off = ReasoningOptions { enabled: Some(false), ..ReasoningOptions::default() };
    assert!(prompt(&qwen, &user, &off, false).ends_with("<think>\n\n</think>\n\n"));
    assert!(!prompt(&qwen, &user, &ReasoningOptions::default(), false).contains("<think>"));
    let high = ReasoningOptions { effort: Some("high".to_owned()), ..ReasoningOptions::default() };
    assert!(prompt(&gpt, &user, &high, false).contains("Reasoning: high"));
    assert!(prompt(&gpt, &user, &ReasoningOptions::default(), false).contains("Reasoning: medium"));
    let call = ToolCall { id: "c1".to_owned(), name: "weather".to_owned(), arguments: "{}".to_owned() };
    let reasoned = Message {
        reasoning: Some("Look it up.".to_owned()),
        tool_calls: vec![call],
        ..Message::new(Role::Assistant, "")
    };
    let result = Message { tool_call_id: Some("c1".to_owned()), ..Message::new(Role::Tool, "sunny") };
    let turns = [user[0].clone(), reasoned, result];
    for template in [&qwen, &gpt] {
        assert!(prompt(template, &turns, &ReasoningOptions::default(), false).contains("Look it up."));
    }
}

/// ORCH-OAI-20
#[test]
fn a_prompt_that_continues_the_last_message_ends_with_it() {
    let Some(qwen) = template("Qwen-Qwen3-0.6B") else { return };
    let turns = [Message::new(Role::User, "Count."), Message::new(Role::Assistant, "One, two,")];
    assert!(prompt(&qwen, &turns, &ReasoningOptions::default(), true).ends_with("One, two,"));
    assert!(!prompt(&qwen, &turns, &ReasoningOptions::default(), false).ends_with("One, two,"));
}

/// ORCH-OAI-20
#[test]
fn what_an_answer_continues_is_not_sent_again() {
    let (Some(qwen), Some(glm)) = (template("Qwen-Qwen3-0.6B"), template("GLM-4.6")) else { return };
    let turns = [Message::new(Role::User, "Count."), Message::new(Role::Assistant, "One, two,")];
    let tools = Tools::default();
    for template in [&qwen, &glm] {
        let asked = Conversation { continues: true, ..conversation(&turns, &tools) };
        let format = template.render(&asked).expect("rendered").format;
        assert_eq!(parse(&format, &[" three", "."]).content, "three.");
    }
}

/// ORCH-OAI-17
#[test]
fn an_answer_by_a_schema_keeps_its_reasoning_and_its_raw_text_is_the_answer_alone() {
    let Some(qwen) = template("Qwen-Qwen3-0.6B") else { return };
    let messages = [Message::new(Role::User, "How is Paris?")];
    let tools = Tools::default();
    let schema = r#"{"type":"object","properties":{"a":{"type":"integer"}}}"#;
    let schema = AnswerSchema::convert(schema).expect("a schema");
    let asked = Conversation { schema: Some(&schema), ..conversation(&messages, &tools) };
    let format = qwen.render(&asked).expect("rendered").format;
    let chunks = chunks_of(&format, &["<think>\n", "Hm.", "\n</think>\n\n", "{\"a\"", ": 1}"]);
    let raw: String = chunks.iter().map(|chunk| chunk.text.as_str()).collect();
    assert_eq!(raw.trim(), "{\"a\": 1}");
    let parsed = Parsed::of(chunks);
    assert_eq!((parsed.reasoning.as_str(), parsed.content.as_str()), ("Hm.", "{\"a\": 1}"));
}

/// ORCH-ENG-26
#[test]
fn markup_of_what_was_not_asked_for_is_no_empty_answer() {
    let Some(cohere) = template("CohereForAI-c4ai-command-r7b-12-2024-tool_use") else { return };
    let messages = [Message::new(Role::User, "How is Paris?")];
    let format = cohere.render(&conversation(&messages, &Tools::default())).expect("rendered").format;
    let call =
        "<|START_ACTION|>[{\"tool_call_id\": \"0\", \"tool_name\": \"f\", \"parameters\": {}}]<|END_ACTION|>";
    assert!(!parse(&format, &[call]).content.is_empty());
}

/// Templates that show tools, and whose calls llama.cpp does not read.
const UNREAD: [&str; 1] = ["ibm-granite-granite-3.3-2B-Instruct"];

/// A `llama-server` with one template, which ends with it.
struct Server {
    child: Child,
    port: u16,
}

impl Server {
    /// Nothing where it does not start, as with a template that it cannot read.
    fn start(program: &Path, template: &Path) -> Option<Self> {
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = free.local_addr().expect("bound").port();
        drop(free);
        let child = Command::new(program)
            .args(["--jinja", "-c", "256", "-np", "1", "-t", "1", "--no-warmup", "--port", &port.to_string()])
            .arg("-m")
            .arg(home().join(STARTER))
            .arg("--chat-template-file")
            .arg(template)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        let mut server = Self { child, port };
        loop {
            if server.child.try_wait().expect("a child").is_some() {
                return None;
            }
            if server.post("/health", "").is_some_and(|answer| answer.starts_with("HTTP/1.1 200")) {
                return Some(server);
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// The whole answer; nothing where nobody answers.
    fn post(&self, path: &str, body: &str) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        let method = if body.is_empty() { "GET" } else { "POST" };
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).ok()?;
        stream.write_all(body.as_bytes()).ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok()?;
        Some(String::from_utf8_lossy(&answer).into_owned())
    }

    /// The prompt of a request; nothing where it refuses it.
    fn prompt(&self, request: &Value) -> Option<String> {
        let answer = self.post("/apply-template", &request.to_string())?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let value: Value = head.starts_with("HTTP/1.1 200").then(|| serde_json::from_str(body).ok())??;
        Some(value["prompt"].as_str()?.to_owned())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The conversations that are compared: with and without a system message, tools, a call in the past, and thoughts.
fn conversations() -> Vec<(Vec<Message>, Tools, &'static str)> {
    let user = || Message::new(Role::User, "How is Paris?");
    let system = || Message::new(Role::System, "Be brief.");
    let call = ToolCall {
        id: "abcdef123".to_owned(),
        name: "weather".to_owned(),
        arguments: r#"{"city": "Paris", "days": 2}"#.to_owned(),
    };
    let called = Message { tool_calls: vec![call], ..Message::new(Role::Assistant, "") };
    let result = Message {
        tool_call_id: Some("abcdef123".to_owned()),
        name: Some("weather".to_owned()),
        ..Message::new(Role::Tool, "sun")
    };
    let answered = || Message::new(Role::Assistant, "Fine.");
    vec![
        (vec![user()], Tools::default(), "{}"),
        (vec![system(), user(), answered(), user()], Tools::default(), "{}"),
        (vec![system(), user()], Tools::default(), r#"{"enable_thinking": false}"#),
        (vec![system(), user()], tools(), "{}"),
        (vec![user(), called, result], tools(), "{}"),
    ]
}

/// The same as a request.
fn request(messages: &[Message], tools: &Tools, arguments: &str) -> Value {
    let message = |message: &Message| {
        let mut told = json!({ "role": message.role.as_str(), "content": message.content });
        let call = |call: &ToolCall| {
            let function = json!({ "name": call.name, "arguments": call.arguments });
            json!({ "id": call.id, "type": "function", "function": function })
        };
        if !message.tool_calls.is_empty() {
            told["tool_calls"] = message.tool_calls.iter().map(call).collect();
        }
        for (key, value) in [("tool_call_id", &message.tool_call_id), ("name", &message.name)] {
            if let Some(value) = value {
                told[key] = json!(value);
            }
        }
        told
    };
    let mut request = json!({
        "messages": messages.iter().map(message).collect::<Vec<_>>(),
        "chat_template_kwargs": serde_json::from_str::<Value>(arguments).expect("JSON"),
        "parallel_tool_calls": true,
    });
    if tools.are_shown() {
        request["tools"] = tool_calls::plain::functions(&tools.offered).expect("schemas").into();
    }
    request
}

/// ORCH-ENG-26
#[test]
fn prompts_are_those_of_llama_server_under_every_template() {
    let program = home().join(SERVER);
    let Ok(templates) = std::fs::read_dir(home().join(TEMPLATES)) else {
        eprintln!("there are no templates: `cargo xtask llama-server` fetches them");
        return;
    };
    if !program.is_file() {
        eprintln!("`{}` is not there: `cargo xtask llama-server` builds it", program.display());
        return;
    }
    let special = SpecialTexts { bos: "<|im_start|>".to_owned(), eos: "<|im_end|>".to_owned() };
    let (mut compared, mut wrong) = (0, Vec::new());
    for entry in templates {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|extension| extension != "jinja") {
            continue;
        }
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let source = std::fs::read_to_string(&path).expect("a template");
        let Ok(template) = ChatTemplate::compile(source, &special) else {
            wrong.push(format!("{name} does not compile"));
            continue;
        };
        let Some(server) = Server::start(&program, &path) else { continue };
        for (messages, tools, arguments) in conversations() {
            let Some(right) = server.prompt(&request(&messages, &tools, arguments)) else { continue };
            // Where a template shows no tools, or llama.cpp cannot read its calls, they are told of in words here.
            let in_words = tools.are_shown() && !right.contains("The weather of a city");
            if in_words || messages.len() > 1 && UNREAD.contains(&&*name) {
                continue;
            }
            let arguments = template.arguments(arguments).expect("every template takes it");
            let asked = Conversation { arguments: &arguments, ..conversation(&messages, &tools) };
            compared += 1;
            match template.render(&asked) {
                Ok(rendered) if rendered.prompt == right => {}
                Ok(rendered) => wrong.push(format!("{name}: {:?} is not {right:?}", rendered.prompt)),
                Err(why) => wrong.push(format!("{name} refuses: {why:?}")),
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {compared} differ:\n{}", wrong.len(), wrong.join("\n"));
    assert!(compared > 200, "only {compared} prompts were compared");
}

/// What makes a forced call hard to get wrong by chance.
const HELD: &str = r#"{"type": "object", "required": ["unit", "days", "code", "tags"], "properties": {
    "unit": {"type": "string", "enum": ["celsius", "kelvin"]},
    "days": {"type": "integer", "minimum": 3, "maximum": 14, "multipleOf": 2},
    "code": {"type": "string", "pattern": "^\\d{2}-x+$", "maxLength": 6},
    "tags": {"type": "array", "items": {"enum": ["a", 1, null]}, "minItems": 1, "maxItems": 2}}}"#;

/// Templates in whose formats llama.cpp leaves no place for the schema of a call: a strict tool is refused there.
const UNHELD: [&str; 8] = [
    "ByteDance-Seed-OSS",
    "LFM2-8B-A1B",
    "LFM2.5-8B-A1B",
    "LFM2.5-Instruct",
    "google-gemma-4-31B-it",
    "google-gemma-4-31B-it-interleaved",
    "muse-glimmer",
    "openbmb-MiniCPM5-1B",
];

/// ORCH-ENG-28
#[test]
fn forced_calls_keep_to_their_schemas_in_every_format() {
    use constrained_decoding::walk::{Random, matcher, walk_on};
    let templates = home().join(TEMPLATES);
    let Ok(templates) = std::fs::read_dir(&templates) else {
        eprintln!("`{}` is not there: `cargo xtask llama-server` fetches it", templates.display());
        return;
    };
    let special = SpecialTexts { bos: "<s>".to_owned(), eos: "</s>".to_owned() };
    let validator = jsonschema::validator_for(&serde_json::from_str(HELD).expect("JSON")).expect("a schema");
    let messages = [Message::new(Role::User, "How is Paris?")];
    let mut tools = tools();
    tools.offered[0].parameters = Some(HELD.to_owned());
    tools.choice = ToolChoice::Required;
    tools.single = true;
    let (mut read_calls, mut wrong) = (0, Vec::new());
    for entry in templates {
        let path = entry.expect("an entry").path();
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let Ok(source) = std::fs::read_to_string(&path) else { continue };
        let Ok(template) = ChatTemplate::compile(source, &special) else { continue };
        let rendered = match template.render(&conversation(&messages, &tools)) {
            Ok(rendered) => rendered,
            // It calls a function that no Jinja has.
            Err(_) if name == "CohereForAI-c4ai-command-r-plus-tool_use" => continue,
            Err(why) => {
                wrong.push(format!("{name} refuses: {why:?}"));
                continue;
            }
        };
        let grammar = rendered.grammar.as_ref().expect("it is forced");
        let begun = match &grammar.begins {
            Begins::AtOnce(begun) => begun.clone(),
            other => panic!("{name}: {other:?}"),
        };
        let mut random = Random(0x9E37_79B9_7F4A_7C15);
        let mut bad = Vec::new();
        for _ in 0..20 {
            let answer = walk_on(&grammar.text, &begun, 0, &mut matcher(&grammar.text), &mut random);
            let story = parse(&rendered.format, &[&answer]);
            // Where the answer begins in thoughts, a call in them is none to llama.cpp.
            let Some(call) = story.calls.first() else { continue };
            let value: Option<Value> =
                call.split_once(' ').and_then(|(_, value)| serde_json::from_str(value).ok());
            read_calls += 1;
            if value.is_none_or(|value| !validator.is_valid(&value)) {
                bad.push(format!("{name}: `{answer}` is read as {:?}", story.calls));
            }
        }
        if bad.is_empty() == UNHELD.contains(&&*name) {
            wrong.push(format!(
                "{} of 20: {}",
                bad.len(),
                bad.first().cloned().unwrap_or_else(|| format!("{name} is held"))
            ));
        }
    }
    assert!(wrong.is_empty(), "{read_calls} calls read\n{}", wrong.join("\n"));
    assert!(read_calls > 1000, "only {read_calls} calls");
}

/// Templates whose prompt begins thoughts that llama.cpp's grammar of an answer need not end.
const IN_REASONING: [&str; 3] = ["NVIDIA-Nemotron-3-Nano-30B-A3B-BF16", "Qwen3.5-4B", "StepFun3.5-Flash"];

/// ORCH-ENG-28
#[test]
fn answers_keep_to_their_schema_in_every_format() {
    use constrained_decoding::walk::{Random, matcher, walk_on};
    let Ok(templates) = std::fs::read_dir(home().join(TEMPLATES)) else {
        eprintln!("`{TEMPLATES}` is not there: `cargo xtask llama-server` fetches it");
        return;
    };
    let special = SpecialTexts { bos: "<s>".to_owned(), eos: "</s>".to_owned() };
    let validator = jsonschema::validator_for(&serde_json::from_str(HELD).expect("JSON")).expect("a schema");
    let schema = AnswerSchema::convert(HELD).expect("a schema");
    let tools = Tools::default();
    let messages = [Message::new(Role::User, "How is Paris?")];
    let (mut answers, mut wrong) = (0, Vec::new());
    for entry in templates {
        let path = entry.expect("an entry").path();
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let Ok(source) = std::fs::read_to_string(&path) else { continue };
        let Ok(template) = ChatTemplate::compile(source, &special) else { continue };
        let asked = Conversation { schema: Some(&schema), ..conversation(&messages, &tools) };
        let Ok(rendered) = template.render(&asked) else { continue };
        assert!(!rendered.prompt.contains("schema-of-the-answer"), "{name} shows what stands for the schema");
        let grammar = rendered.grammar.as_ref().expect("it has a schema");
        let Begins::AtOnce(begun) = &grammar.begins else { panic!("{name}: {:?}", grammar.begins) };
        let mut random = Random(0x9E37_79B9_7F4A_7C15);
        for _ in 0..10 {
            let answer = walk_on(&grammar.text, begun, 0, &mut matcher(&grammar.text), &mut random);
            let parsed = Parsed::of(chunks_of(&rendered.format, &[&answer]));
            // The prompt begins thoughts, and what is written before they end is one to llama.cpp.
            if parsed.content.is_empty() && IN_REASONING.contains(&&*name) {
                continue;
            }
            answers += 1;
            let value = serde_json::from_str(&parsed.content).ok();
            if value.is_none_or(|value: Value| !validator.is_valid(&value)) {
                wrong.push(format!("{name}: `{answer}` is read as `{}`", parsed.content));
                break;
            }
        }
    }
    assert!(wrong.is_empty(), "{} formats\n{}", wrong.len(), wrong.join("\n"));
    assert!(answers > 500, "only {answers} answers");
}
