use engine_http::testing::{Replayed, chunked, job, replay_every_split, sse};
use engine_http::{Ending, Fault, Last, Reading, UNKNOWN_TOKEN};
use generation::{ExtraFields, GenerateRequest, Input, TokenCandidate, TokenLogprob, Transcript};
use orchestrator_core::TokenCount;

use super::OpenAiAnswer;

async fn replay(bytes: &[u8]) -> Replayed {
    replay_every_split(bytes, || Reading::Stream(OpenAiAnswer::default())).await
}

fn over(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.extend(chunked(b""));
    bytes
}

/// vLLM 0.11, `POST /v1/chat/completions` with `stream_options.include_usage`: the shape is that of its
/// `ChatCompletionStreamResponse`, the headers uvicorn's.
fn vllm_chat() -> Vec<u8> {
    let head = r#"{"id":"chatcmpl-6a4c","object":"chat.completion.chunk","created":1763846400,"model":"Qwen/Qwen2.5-0.5B-Instruct","choices":["#;
    let delta = |delta: &str, finish: &str| {
        format!(
            r#"{head}{{"index":0,"delta":{delta},"logprobs":null,"finish_reason":{finish},"token_ids":null}}]}}"#
        )
    };
    let events = [
        delta(r#"{"role":"assistant","content":""}"#, "null"),
        delta(r#"{"content":"Grüße"}"#, "null"),
        delta(r#"{"content":" 👋🏽"}"#, "null"),
        delta(r#"{"content":"\n\"q\""}"#, "null"),
        delta(r#"{"content":" \ud83d\ude00 end"}"#, "null"),
        delta(r#"{"content":"."}"#, "null"),
        delta(r#"{"content":""}"#, r#""stop","stop_reason":null"#),
        format!(
            r#"{head}],"usage":{{"prompt_tokens":31,"total_tokens":37,"completion_tokens":6,"prompt_tokens_details":{{"cached_tokens":16}}}}}}"#
        ),
        "[DONE]".to_owned(),
    ];
    over(sse(&events.iter().map(String::as_str).collect::<Vec<_>>()))
}

/// ORCH-ENG-5
#[tokio::test]
async fn a_chat_of_vllm_reads_the_same_under_every_split() {
    let replayed = replay(&vllm_chat()).await;
    let texts: Vec<_> = replayed.pieces.iter().map(|piece| piece.text.as_str()).collect();
    assert_eq!(texts, ["Grüße", " 👋🏽", "\n\"q\"", " 😀 end", "."]);
    assert!(replayed.pieces.iter().all(|piece| piece.tokens == [UNKNOWN_TOKEN]));
    let last = Last {
        ending: Ending::Stop,
        tokens_in: Some(TokenCount(31)),
        tokens_cached: Some(TokenCount(16)),
        tokens_out: Some(TokenCount(6)),
        ..Last::default()
    };
    assert_eq!(replayed.end, Ok(last));
}

/// vLLM 0.11, `POST /v1/completions`: `CompletionStreamResponse`; several tokens come in one chunk when the
/// engine is ahead of its writer.
#[tokio::test]
async fn a_completion_of_vllm_reads_the_same_under_every_split() {
    let event = |text: &str, finish: &str| {
        format!(
            r#"{{"id":"cmpl-19","object":"text_completion","created":1763846400,"model":"m","choices":[{{"index":0,"text":"{text}","logprobs":null,"finish_reason":{finish},"stop_reason":null,"prompt_token_ids":null,"token_ids":null}}],"usage":null}}"#
        )
    };
    let usage = r#"{"id":"cmpl-19","object":"text_completion","created":1763846400,"model":"m","choices":[],"usage":{"prompt_tokens":5,"total_tokens":9,"completion_tokens":4,"prompt_tokens_details":null}}"#;
    let events = [
        event(" one", "null"),
        event(" two three", "null"),
        event(" vier", r#""length""#),
        usage.into(),
        "[DONE]".into(),
    ];
    let replayed = replay(&over(sse(&events.iter().map(String::as_str).collect::<Vec<_>>()))).await;
    assert_eq!(replayed.text(), " one two three vier");
    let last = replayed.end.expect("an end");
    assert_eq!(
        (last.ending, last.tokens_in, last.tokens_out),
        (Ending::Length, Some(TokenCount(5)), Some(TokenCount(4)))
    );
}

/// `llama-server` b11434, `POST /v1/chat/completions`: comments while it is silent, `timings` beside the last
/// chunk, `created` that moves on (`tools/server/server-task.cpp`).
#[tokio::test]
async fn a_chat_of_llama_server_reads_the_same_under_every_split() {
    let event = |created: u64, delta: &str| {
        format!(
            r#"{{"choices":[{{"finish_reason":null,"index":0,"delta":{delta}}}],"created":{created},"id":"chatcmpl-A","model":"smol","system_fingerprint":"b11434-abc","object":"chat.completion.chunk"}}"#
        )
    };
    let mut bytes = sse(&[&event(1, r#"{"role":"assistant","content":null}"#)]);
    bytes.extend(chunked(b":\n\n"));
    for (created, text) in [(1, "A"), (1, "B"), (2, "C"), (2, "D"), (2, "é")] {
        let data = format!("data: {}\n\n", event(created, &format!(r#"{{"content":"{text}"}}"#)));
        bytes.extend(chunked(data.as_bytes()));
    }
    let rest = r#"data: {"choices":[{"finish_reason":"stop","index":0,"delta":{}}],"created":2,"id":"chatcmpl-A","model":"smol","object":"chat.completion.chunk"}

data: {"choices":[],"created":2,"id":"chatcmpl-A","model":"smol","object":"chat.completion.chunk","usage":{"completion_tokens":5,"prompt_tokens":12,"total_tokens":17,"prompt_tokens_details":{"cached_tokens":3}},"timings":{"cache_n":3,"prompt_n":9,"prompt_ms":41.2,"predicted_n":5,"predicted_ms":33.1}}

data: [DONE]

"#;
    bytes.extend(chunked(rest.as_bytes()));
    let replayed = replay(&over(bytes)).await;
    assert_eq!(replayed.text(), "ABCDé");
    assert_eq!(replayed.end.expect("an end").tokens_cached, Some(TokenCount(3)));
}

/// A server that frames by closing the connection, ends lines with CR LF and says nothing but the text.
#[tokio::test]
async fn a_plain_server_that_closes_at_the_end_is_read_too() {
    let bytes = b"HTTP/1.0 200 OK\r\ncontent-type: text/event-stream\r\n\r\n\
        event: message\r\nid: 1\r\ndata:{\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\r\n\r\n\
        data: {\"choices\":[{\"delta\":{\"content\":\"b\"},\"finish_reason\":\"length\"}]}\r\n\r\n";
    let replayed = replay(bytes).await;
    assert_eq!(replayed.text(), "ab");
    assert_eq!(replayed.end.expect("an end").ending, Ending::Length);
}

#[tokio::test]
async fn reasoning_that_a_server_sends_apart_stays_apart() {
    let event =
        |delta: &str| format!(r#"{{"choices":[{{"index":0,"delta":{delta},"finish_reason":null}}]}}"#);
    let events = [
        event(r#"{"reasoning_content":"hm"}"#),
        event(r#"{"reasoning_content":", so"}"#),
        event(r#"{"reasoning_content":", yes"}"#),
        event(r#"{"content":"4"}"#),
        event(r#"{"content":"2"}"#),
        event(r#"{"reasoning":"?"}"#),
        event(r#"{"content":"!"}"#),
        "[DONE]".to_owned(),
    ];
    let replayed = replay(&over(sse(&events.iter().map(String::as_str).collect::<Vec<_>>()))).await;
    let Transcript { text, reasoning, .. } = Transcript::of(replayed.pieces.clone());
    assert_eq!((reasoning.as_str(), text.as_str()), ("hm, so, yes?", "42!"));
    assert_eq!(replayed.text(), "<think>hm, so, yes</think>42<think>?</think>!", "raw text has tags");
}

#[tokio::test]
async fn what_came_before_a_fault_is_told() {
    let good = r#"{"choices":[{"text":"so far","finish_reason":null}]}"#;
    let cases: [(Vec<u8>, &str); 5] = [
        (sse(&[good]), "the stream stopped before the end of the answer"),
        (over(sse(&[good])), "the stream stopped before the end of the answer"),
        (over(sse(&[good, "{\"choices\":[{\"text\":"])), "is not JSON of a completion"),
        (
            over(sse(&[good, r#"{"error":{"message":"CUDA out of memory","type":"Internal","code":500}}"#])),
            "the engine reports an error: CUDA out of memory",
        ),
        (
            over(sse(&[good, r#"{"object":"error","message":"EngineDeadError","code":500}"#])),
            "the engine reports an error: EngineDeadError",
        ),
    ];
    for (bytes, wanted) in cases {
        let replayed = replay(&bytes).await;
        assert_eq!(replayed.text(), "so far");
        let fault = replayed.end.expect_err("a fault").to_string();
        assert!(fault.contains(wanted), "{fault}");
    }
}

#[tokio::test]
async fn bytes_that_are_no_utf8_are_a_fault_and_never_a_text() {
    let mut bytes = sse(&[r#"{"choices":[{"text":"a","finish_reason":null}]}"#]);
    bytes.extend(chunked(b"data: {\"choices\":[{\"text\":\"\xff\xfe\",\"finish_reason\":null}]}\n\n"));
    let replayed = replay(&over(bytes)).await;
    assert_eq!(replayed.text(), "a");
    assert!(matches!(replayed.end, Err(Fault::Protocol(_))), "{:?}", replayed.end);
}

#[tokio::test]
async fn broken_framing_is_named() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    for (body, wanted) in [
        ("zz\r\n", "the size of a chunk is not a number"),
        ("2\r\nabXY", "a chunk does not end where its size says"),
        ("fffffffffffffffff\r\n", "the size of a chunk is not a number"),
    ] {
        let replayed = replay(format!("{head}{body}").as_bytes()).await;
        let fault = replayed.end.expect_err("a fault").to_string();
        assert!(fault.contains(wanted), "{fault}");
    }
}

/// The calls of an answer: what the server calls each, its tool, its arguments.
fn calls(replayed: &Replayed) -> Vec<(String, String, String)> {
    let calls = Transcript::of(replayed.pieces.clone()).tool_calls;
    calls.into_iter().map(|call| (call.id, call.name, call.arguments)).collect()
}

/// The answer, without reasoning and calls.
fn content(replayed: &Replayed) -> String {
    Transcript::of(replayed.pieces.clone()).text
}

fn owned(calls: &[(&str, &str, &str)]) -> Vec<(String, String, String)> {
    calls.iter().map(|(id, name, text)| ((*id).into(), (*name).into(), (*text).into())).collect()
}

/// vLLM 0.11 with `--enable-auto-tool-choice`: the name of a call comes first and alone, its arguments behind it.
/// ORCH-ENG-13
#[tokio::test]
async fn calls_of_vllm_come_apart_from_the_text_under_every_split() {
    let head = r#"{"id":"chatcmpl-6a","object":"chat.completion.chunk","created":1763846400,"model":"m","choices":[{"index":0,"delta":"#;
    let event =
        |delta: &str, finish: &str| format!(r#"{head}{delta},"logprobs":null,"finish_reason":{finish}}}]}}"#);
    let name = |index: u32, id: &str, name: &str| {
        let call =
            format!(r#"{{"id":"{id}","type":"function","index":{index},"function":{{"name":"{name}"}}}}"#);
        event(&format!(r#"{{"tool_calls":[{call}]}}"#), "null")
    };
    let more = |index: u32, text: &str| {
        let call = format!(r#"{{"index":{index},"function":{{"arguments":"{text}"}}}}"#);
        event(&format!(r#"{{"tool_calls":[{call}]}}"#), "null")
    };
    let events = [
        event(r#"{"role":"assistant","content":""}"#, "null"),
        event(r#"{"content":"Let me"}"#, "null"),
        event(r#"{"content":" see."}"#, "null"),
        name(0, "chatcmpl-tool-b7", "weather"),
        more(0, r#"{\"city\": \""#),
        more(0, "Ber"),
        more(0, "lin"),
        more(0, r#"\"}"#),
        name(1, "chatcmpl-tool-c8", "time"),
        more(1, "{}"),
        event(r#"{"content":""}"#, r#""tool_calls","stop_reason":null"#),
        r#"{"id":"chatcmpl-6a","object":"chat.completion.chunk","created":1763846400,"model":"m","choices":[],"usage":{"prompt_tokens":200,"total_tokens":230,"completion_tokens":30}}"#.to_owned(),
        "[DONE]".to_owned(),
    ];
    let replayed = replay(&over(sse(&events.iter().map(String::as_str).collect::<Vec<_>>()))).await;
    assert_eq!(content(&replayed), "Let me see.");
    let expected =
        [("chatcmpl-tool-b7", "weather", r#"{"city": "Berlin"}"#), ("chatcmpl-tool-c8", "time", "{}")];
    assert_eq!(calls(&replayed), owned(&expected));
    let read = "Let me see.<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Berlin\"}}\n\
        </tool_call><tool_call>\n{\"name\": \"time\", \"arguments\": {}}\n</tool_call>";
    assert_eq!(replayed.text(), read, "people read them as a model would write them");
    let last = replayed.end.expect("an end");
    assert_eq!((last.ending, last.tokens_out), (Ending::Stop, Some(TokenCount(30))));
}

/// `llama-server` b11434: the beginning of the arguments may come with the name (`server_chat_msg_diff_to_json_oaicompat`,
/// `tools/server/server-chat.cpp`), and reasoning may come before.
/// ORCH-ENG-13, ORCH-ENG-15
#[tokio::test]
async fn calls_of_llama_server_come_apart_from_its_reasoning_under_every_split() {
    let event = |delta: &str, finish: &str| {
        format!(
            r#"{{"choices":[{{"finish_reason":{finish},"index":0,"delta":{delta}}}],"created":1,"id":"chatcmpl-A","model":"smol","system_fingerprint":"b11434-abc","object":"chat.completion.chunk"}}"#
        )
    };
    let events = [
        event(r#"{"role":"assistant","content":null}"#, "null"),
        event(r#"{"reasoning_content":"The sky?"}"#, "null"),
        event(
            r#"{"tool_calls":[{"index":0,"id":"Qx7","type":"function","function":{"name":"weather","arguments":"{"}}]}"#,
            "null",
        ),
        event(r#"{"tool_calls":[{"index":0,"function":{"arguments":"\"city\":"}}]}"#, "null"),
        event(r#"{"tool_calls":[{"index":0,"function":{"arguments":"\"M\\u00fcnchen 🦙\"}"}}]}"#, "null"),
        event("{}", r#""tool_calls""#),
        "[DONE]".to_owned(),
    ];
    let replayed = replay(&over(sse(&events.iter().map(String::as_str).collect::<Vec<_>>()))).await;
    assert_eq!(content(&replayed), "");
    assert_eq!(Transcript::of(replayed.pieces.clone()).reasoning, "The sky?");
    assert_eq!(calls(&replayed), owned(&[("Qx7", "weather", "{\"city\":\"M\\u00fcnchen 🦙\"}")]));
}

/// Servers that tell a call whole, and each as if it were the first.
/// ORCH-ENG-13
#[tokio::test]
async fn calls_that_are_all_numbered_0_or_not_at_all_are_told_apart_by_their_ids() {
    let event = |calls: &str| {
        format!(r#"{{"choices":[{{"index":0,"delta":{{"tool_calls":[{calls}]}},"finish_reason":null}}]}}"#)
    };
    let call = |id: &str, name: &str| {
        format!(
            r#"{{"index":0,"id":"{id}","type":"function","function":{{"name":"{name}","arguments":"{{\"a\":1}}"}}}}"#
        )
    };
    let unnumbered = r#"{"id":"c3","function":{"name":"h","arguments":""}}"#;
    let events =
        [event(&format!("{},{}", call("c1", "f"), call("c2", "g"))), event(unnumbered), "[DONE]".to_owned()];
    let replayed = replay(&over(sse(&events.iter().map(String::as_str).collect::<Vec<_>>()))).await;
    let expected = [("c1", "f", r#"{"a":1}"#), ("c2", "g", r#"{"a":1}"#), ("c3", "h", "")];
    assert_eq!(calls(&replayed), owned(&expected));
}

#[tokio::test]
async fn a_call_that_is_cut_off_stays_open_and_what_is_behind_one_is_text_again() {
    let event = |delta: &str, finish: &str| {
        format!(r#"{{"choices":[{{"index":0,"delta":{delta},"finish_reason":{finish}}}]}}"#)
    };
    let begin = r#"{"tool_calls":[{"index":0,"id":"c","function":{"name":"f","arguments":"{\"a\":"}}]}"#;
    let cut = [event(begin, "null"), event("{}", r#""length""#), "[DONE]".to_owned()];
    let replayed = replay(&over(sse(&cut.iter().map(String::as_str).collect::<Vec<_>>()))).await;
    assert_eq!(calls(&replayed), owned(&[("c", "f", r#"{"a":"#)]));
    assert_eq!(replayed.end.expect("an end").ending, Ending::Length);
    let behind = [
        event(begin, "null"),
        event(r#"{"content":"so"}"#, "null"),
        event(r#"{"content":" far"}"#, "null"),
        "[DONE]".to_owned(),
    ];
    let replayed = replay(&over(sse(&behind.iter().map(String::as_str).collect::<Vec<_>>()))).await;
    assert_eq!(content(&replayed), "so far");
    assert!(replayed.text().ends_with("}\n</tool_call>so far"), "{}", replayed.text());
}

/// The same, where more than the text is asked for.
async fn replay_asked(events: &[&str], asked: &GenerateRequest) -> Replayed {
    replay_every_split(&over(sse(events)), || Reading::Stream(OpenAiAnswer::to(asked))).await
}

fn weighed(logprobs: u8) -> GenerateRequest {
    GenerateRequest { logprobs: Some(logprobs), ..job(Input::Prompt("x".into())) }
}

fn candidate(token: i32, bytes: &[u8], logprob: f32) -> TokenCandidate {
    TokenCandidate { token, bytes: bytes.to_vec(), logprob }
}

/// The shape of vLLM's `ChatCompletionLogProbs`; a token that ends no character has an empty `content`.
/// ORCH-ENG-14
#[tokio::test]
async fn probabilities_of_a_chat_go_with_the_text_of_their_tokens_under_every_split() {
    let event = |text: &str, token: &str, bytes: &str, logprob: f32, top: &str| {
        format!(
            r#"{{"choices":[{{"index":0,"delta":{{"content":"{text}"}},"logprobs":{{"content":[{{"token":"{token}","logprob":{logprob},"bytes":{bytes},"top_logprobs":[{top}]}}]}},"finish_reason":null}}]}}"#
        )
    };
    let top = r#"{"token":"Hi","logprob":-0.25,"bytes":[72,105]},{"token":"Ho","logprob":-1.5,"bytes":null}"#;
    let events = [
        event("Hi", "Hi", "[72,105]", -0.25, top),
        event("", "?", "[240,159]", -0.5, ""),
        event("🦙", "?", "[166,153]", -0.75, ""),
        r#"{"choices":[{"index":0,"delta":{"content":""},"logprobs":null,"finish_reason":"stop"}]}"#
            .to_owned(),
        "[DONE]".to_owned(),
    ];
    let events = events.iter().map(String::as_str).collect::<Vec<_>>();
    let replayed = replay_asked(&events, &weighed(1)).await;
    let [hi, llama] = replayed.pieces.as_slice() else { panic!("{replayed:?}") };
    let chosen = candidate(UNKNOWN_TOKEN, b"Hi", -0.25);
    assert_eq!(
        hi.logprobs,
        [TokenLogprob { top: vec![chosen.clone()], chosen }],
        "one alternative was asked for"
    );
    let of_llama: Vec<_> = llama.logprobs.iter().map(|token| token.chosen.clone()).collect();
    let parts = [candidate(UNKNOWN_TOKEN, &[240, 159], -0.5), candidate(UNKNOWN_TOKEN, &[166, 153], -0.75)];
    assert_eq!((llama.text.as_str(), of_llama.as_slice()), ("🦙", parts.as_slice()));
    assert_eq!(llama.tokens, [UNKNOWN_TOKEN; 2]);
    let silent = replay_asked(&events, &job(Input::Prompt("x".into()))).await;
    assert!(silent.pieces.iter().all(|piece| piece.logprobs.is_empty()), "nobody asked");
}

/// vLLM's `CompletionLogProbs`, which adds the chosen token to the alternatives, and `llama-server`, which tells those
/// of a completion as a chat's.
/// ORCH-ENG-14
#[tokio::test]
async fn probabilities_of_a_completion_are_read_in_either_form() {
    let lists = r#"{"choices":[{"index":0,"text":" a b","logprobs":{"text_offset":[0,2],"token_logprobs":[-2.0,null],"tokens":[" a"," b"],"top_logprobs":[{" a":-2.0," z":-0.5},null]},"finish_reason":"length"}]}"#;
    let replayed = replay_asked(&[lists, "[DONE]"], &weighed(1)).await;
    let [piece] = replayed.pieces.as_slice() else { panic!("{replayed:?}") };
    let never = candidate(UNKNOWN_TOKEN, b" b", f32::NEG_INFINITY);
    let expected = [
        TokenLogprob {
            chosen: candidate(UNKNOWN_TOKEN, b" a", -2.0),
            top: vec![candidate(UNKNOWN_TOKEN, b" z", -0.5)],
        },
        TokenLogprob { chosen: never, top: Vec::new() },
    ];
    assert_eq!((piece.logprobs.as_slice(), piece.tokens.len()), (expected.as_slice(), 2));
    let list = r#"{"choices":[{"index":0,"text":"a","logprobs":{"content":[{"id":5,"token":"a","bytes":[97],"logprob":-1.0,"top_logprobs":[{"id":9,"token":"b","bytes":[98],"logprob":-0.5}]}]},"finish_reason":"stop"}]}"#;
    let replayed = replay_asked(&[list, "[DONE]"], &weighed(0)).await;
    assert_eq!(
        replayed.pieces[0].logprobs,
        [TokenLogprob { chosen: candidate(5, b"a", -1.0), top: Vec::new() }]
    );
}

/// What vLLM, `SGLang` and `llama-server` add: to a chunk, to a choice, to a delta, and to events without text.
/// ORCH-OAI-16
#[tokio::test]
async fn fields_that_are_not_known_are_told_with_the_text_they_came_with_or_the_next_under_every_split() {
    let event = |chunk: &str, choice: &str, delta: &str| {
        format!(
            r#"{{"id":"x","object":"chat.completion.chunk","created":1,"model":"m"{chunk},"choices":[{{"index":0,"delta":{{{delta}}},"logprobs":null,"finish_reason":null{choice}}}]}}"#
        )
    };
    let events = [
        event(r#","prompt_token_ids":[1,2]"#, "", r#""role":"assistant","content":"""#),
        event("", r#","token_ids":[7]"#, r#""content":"a""#),
        event("", r#","token_ids":[8]"#, r#""content":"""#),
        event("", r#","token_ids":[9]"#, r#""content":"b","mood":{"x":1.5}"#),
        event(
            r#","prompt_token_ids":null"#,
            r#","stop_reason":null,"token_ids":null"#,
            r#""content":"c","audio":null"#,
        ),
        event("", "", r#""content":"d""#),
        r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop","matched_stop":2}]}"#.to_owned(),
        r#"{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":5},"timings":{"predicted_ms":1.25}}"#
            .to_owned(),
        "[DONE]".to_owned(),
    ];
    let events = events.iter().map(String::as_str).collect::<Vec<_>>();
    let asked = GenerateRequest { include_extra: true, ..job(Input::Prompt("x".into())) };
    let replayed = replay_asked(&events, &asked).await;
    let told: Vec<_> =
        replayed.pieces.iter().map(|piece| (piece.text.as_str(), piece.extra.as_deref().cloned())).collect();
    let own = |chunk: serde_json::Value, choice: serde_json::Value, delta: serde_json::Value| {
        let fields = |of| serde_json::from_value(of).expect("an object");
        Some(ExtraFields { chunk: fields(chunk), choice: fields(choice), delta: fields(delta) })
    };
    let none = serde_json::json!({});
    let expected = [
        (
            "a",
            own(
                serde_json::json!({"prompt_token_ids": [1, 2]}),
                serde_json::json!({"token_ids": [7]}),
                none.clone(),
            ),
        ),
        (
            "b",
            own(
                none.clone(),
                serde_json::json!({"token_ids": [8, 9]}),
                serde_json::json!({"mood": {"x": 1.5}}),
            ),
        ),
        ("c", None),
        ("d", None),
    ];
    assert_eq!(told, expected);
    let last = own(
        serde_json::json!({"timings": {"predicted_ms": 1.25}}),
        serde_json::json!({"matched_stop": 2}),
        none,
    );
    assert_eq!(replayed.extra.as_deref(), last.as_ref());
    let silent = replay_asked(&events, &job(Input::Prompt("x".into()))).await;
    assert!(
        silent.extra.is_none() && silent.pieces.iter().all(|piece| piece.extra.is_none()),
        "nobody asked"
    );
}
