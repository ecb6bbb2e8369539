use api_types::limits::sampling as limits_of_sampling;
use generation::{Constraint, LogitBias, Sampling, SamplingParams, TextBias};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::http::problem;

const ID: Uuid = Uuid::from_u128(0x6f1d_2c3e_8a4b_4c5d_9e6f_0a1b_2c3d_4e5f);

fn read(body: &Value) -> Result<TaskRequest, Refusal> {
    let profile = SamplerProfile { temperature: Some(0.1), top_k: Some(3), ..SamplerProfile::default() };
    let profiles = BTreeMap::from([("calm".to_owned(), profile)]);
    resolve(problem::parse(body.to_string().as_bytes())?, &profiles, || ID)
}

fn job(body: &Value) -> GenerateRequest {
    GenerateRequest::clone(&read(body).unwrap().job)
}

/// What the caller is told; the request must be refused with 400.
fn told(body: &Value) -> String {
    match read(body) {
        Err(Refusal::Invalid(message)) => message,
        other => panic!("{body} is not refused as invalid: {other:?}"),
    }
}

fn completion(field: &str, value: Value) -> Value {
    let mut body = json!({"prompt": "hello"});
    body[field] = value;
    body
}

fn sampling(field: &str, value: Value) -> Value {
    let mut sampling = json!({});
    sampling[field] = value;
    completion("sampling", sampling)
}

#[test]
fn the_smallest_task_leaves_its_sampling_to_the_model() {
    let request = read(&json!({"prompt": "hello"})).unwrap();
    let expected = GenerateRequest {
        sampling: Sampling::default(),
        seed: seed_of(TaskId(ID)),
        ..GenerateRequest::new(TaskId(ID), Input::Prompt("hello".into()))
    };
    assert_eq!(*request.job, expected);
    assert_eq!((request.model_ref, request.engine, request.expected_tokens), (None, None, None));
}

#[test]
fn every_field_of_a_conversation_arrives() {
    let session = Uuid::from_u128(7);
    let task = Uuid::from_u128(8);
    let request = read(&json!({
        "task_id": task, "session_id": session, "workload": "completion", "model_ref": "starter",
        "engine": "vllm",
        "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "u"},
                     {"role": "assistant", "content": ""}, {"role": "tool", "content": "t"}],
        "ctx": 2048, "max_tokens": 128, "priority": "batch", "seed": u64::MAX, "determinism": "strict",
        "sampling": {"temperature": 0.0, "top_p": 1.0, "top_k": 0, "min_p": 0.0, "repeat_penalty": 1.5,
                     "repeat_last_n": 0, "stop": ["\n\n"]},
        "expected_tokens": 60, "kv_hint": "none",
    }))
    .unwrap();
    let message = |role, content: &str| Message::new(role, content);
    assert_eq!(
        *request.job,
        GenerateRequest {
            session: Some(SessionId(session)),
            priority: Priority::Batch,

            ctx: Some(TokenCount(2048)),
            max_tokens: Some(TokenCount(128)),
            sampling: Sampling {
                params: SamplingParams {
                    temperature: Some(0.0),
                    top_p: Some(1.0),
                    top_k: Some(0),
                    min_p: Some(0.0),
                    repeat_penalty: Some(1.5),
                    repeat_last_n: Some(0),
                    ..SamplingParams::default()
                },
                stop: vec!["\n\n".into()],
                ..Sampling::default()
            },
            seed: u64::MAX,
            determinism: Determinism::Strict,
            kv: KvHint::None,
            ..GenerateRequest::new(
                TaskId(task),
                Input::Messages(vec![
                    message(Role::System, "s"),
                    message(Role::User, "u"),
                    message(Role::Assistant, ""),
                    message(Role::Tool, "t"),
                ])
            )
        }
    );
    assert_eq!(request.model_ref.as_deref(), Some("starter"));
    assert_eq!(request.engine, Some(EngineKind::Vllm));
    assert_eq!(request.expected_tokens, Some(TokenCount(60)));
}

/// ORCH-TASK-3
#[test]
fn exactly_one_of_prompt_messages_and_inputs_is_sent() {
    let messages = json!([{"role": "user", "content": "u"}]);
    assert_eq!(told(&json!({})), "none of `prompt`, `messages` and `inputs` is there: send one of them");
    assert_eq!(
        told(&json!({"prompt": "p", "messages": messages})),
        "`prompt` and `messages` are there together: send exactly one of them"
    );
    assert_eq!(
        told(&json!({"prompt": "p", "messages": [], "inputs": ["i"]})),
        "`prompt` and `messages` and `inputs` are there together: send exactly one of them"
    );
}

/// ORCH-TASK-3
#[test]
fn an_input_of_another_workload_is_refused_by_name() {
    let embed = |field: &str, value: Value| {
        let mut body = json!({"workload": "embedding"});
        body[field] = value;
        body
    };
    assert!(told(&json!({"inputs": ["a"]})).starts_with("`inputs` does not go with `workload` `completion`"));
    assert_eq!(
        told(&embed("prompt", json!("p"))),
        "`prompt` does not go with `workload` `embedding`: send `inputs`"
    );
    assert!(
        told(&embed("messages", json!([{"role": "user", "content": ""}]))).starts_with("`messages` does not")
    );
    assert!(
        told(&json!({"workload": "rerank", "inputs": ["only the query"]})).contains("at least one document")
    );
    assert!(read(&json!({"workload": "rerank", "inputs": ["q", "d"]})).is_ok());
    assert_eq!(
        job(&embed("inputs", json!(["a", "b"]))).input,
        Input::Inputs(vec!["a".into(), "b".into()]).into()
    );
    for field in ["max_tokens", "expected_tokens"] {
        let mut body = embed("inputs", json!(["a"]));
        body[field] = json!(1);
        assert!(told(&body).starts_with(&format!("`{field}` does not go with `workload` `embedding`")));
    }
}

#[test]
fn empty_texts_are_refused() {
    assert_eq!(told(&json!({"prompt": ""})), "`prompt` is empty: send at least one character");
    assert_eq!(told(&json!({"messages": []})), "`messages` is empty: send at least 1");
    assert_eq!(told(&json!({"workload": "embedding", "inputs": []})), "`inputs` is empty: send at least 1");
    assert!(told(&json!({"workload": "embedding", "inputs": ["a", ""]})).starts_with("`inputs[1]` is empty"));
    assert!(told(&completion("model_ref", json!(""))).starts_with("`model_ref` is empty"));
    assert!(told(&sampling("stop", json!([""]))).starts_with("`sampling.stop[0]` is empty"));
    assert!(told(&sampling("grammar", json!(""))).starts_with("`sampling.grammar` is empty"));
}

#[test]
fn nul_characters_are_refused_with_their_place() {
    assert_eq!(told(&json!({"prompt": "ab\0c"})), "`prompt` holds a NUL character at byte 2: leave it out");
    let body = json!({"messages": [{"role": "user", "content": "fine"}, {"role": "user", "content": "\0"}]});
    assert!(told(&body).starts_with("`messages[1].content` holds a NUL character at byte 0"));
    assert!(told(&json!({"workload": "embedding", "inputs": ["\0"]})).starts_with("`inputs[0]` holds a NUL"));
    assert!(told(&sampling("stop", json!(["a\0"]))).starts_with("`sampling.stop[0]` holds a NUL"));
    assert!(told(&completion("model_ref", json!("a\0"))).starts_with("`model_ref` holds a NUL"));
}

/// ORCH-TASK-5
#[test]
fn numbers_are_taken_up_to_their_limits_and_refused_past_them() {
    let cases = [
        (completion("ctx", json!(1)), completion("ctx", json!(0)), "`ctx` is 0: use 1 to 16777216"),
        (completion("ctx", json!(16_777_216)), completion("ctx", json!(16_777_217)), "`ctx` is 16777217"),
        (
            completion("max_tokens", json!(1)),
            completion("max_tokens", json!(0)),
            "`max_tokens` is 0: use 1 to 1048576",
        ),
        (
            completion("max_tokens", json!(1_048_576)),
            completion("max_tokens", json!(1_048_577)),
            "`max_tokens` is",
        ),
        (
            completion("expected_tokens", json!(1)),
            completion("expected_tokens", json!(0)),
            "`expected_tokens` is 0",
        ),
        (
            sampling("temperature", json!(0)),
            sampling("temperature", json!(-0.5)),
            "`sampling.temperature` is -0.5: use 0 to 5",
        ),
        (
            sampling("temperature", json!(5)),
            sampling("temperature", json!(5.01)),
            "`sampling.temperature` is 5.01",
        ),
        (
            sampling("temperature", json!(1e-30)),
            sampling("temperature", json!(1e300)),
            "`sampling.temperature` is ",
        ),
        (
            sampling("top_p", json!(1)),
            sampling("top_p", json!(0)),
            "`sampling.top_p` is 0: use more than 0, up to 1",
        ),
        (sampling("top_p", json!(0.01)), sampling("top_p", json!(1.1)), "`sampling.top_p` is 1.1"),
        (
            sampling("top_k", json!(1_000_000)),
            sampling("top_k", json!(1_000_001)),
            "`sampling.top_k` is 1000001",
        ),
        (sampling("min_p", json!(1)), sampling("min_p", json!(2)), "`sampling.min_p` is 2: use 0 to 1"),
        (
            sampling("repeat_penalty", json!(10)),
            sampling("repeat_penalty", json!(0)),
            "`sampling.repeat_penalty` is 0",
        ),
        (
            sampling("repeat_last_n", json!(65_536)),
            sampling("repeat_last_n", json!(65_537)),
            "`sampling.repeat_last_n`",
        ),
    ];
    for (fine, bad, message) in cases {
        assert!(read(&fine).is_ok(), "{fine} is within the limits");
        let told = told(&bad);
        assert!(told.starts_with(message), "{bad} is refused with {told}");
    }
}

/// ORCH-TASK-5
#[test]
fn lists_and_texts_are_taken_up_to_their_limits_and_refused_past_them() {
    let stops = |count: usize| sampling("stop", json!(vec!["x"; count]));
    assert_eq!(job(&stops(16)).sampling.stop.len(), 16);
    assert_eq!(told(&stops(17)), "`sampling.stop` has 17 entries: send at most 16");
    let stop = |chars: usize| sampling("stop", json!(["é".repeat(chars)]));
    assert!(read(&stop(256)).is_ok());
    assert!(told(&stop(257)).starts_with("`sampling.stop[0]` has 257 characters"));
    let grammar = |chars: usize| sampling("grammar", json!("g".repeat(chars)));
    assert!(read(&grammar(65_536)).is_ok());
    let told_of_grammar = told(&grammar(65_537));
    assert!(told_of_grammar.starts_with("`sampling.grammar` has 65537 characters"));
    assert!(told_of_grammar.len() < 300, "a message does not repeat a whole grammar");
    let messages = |count: usize| json!({"messages": vec![json!({"role": "user", "content": "u"}); count]});
    assert!(read(&messages(4096)).is_ok());
    assert!(told(&messages(4097)).starts_with("`messages` has 4097 entries"));
    let inputs = |count: usize| json!({"workload": "embedding", "inputs": vec!["i"; count]});
    assert!(read(&inputs(2048)).is_ok());
    assert!(told(&inputs(2049)).starts_with("`inputs` has 2049 entries"));
    assert!(
        told(&completion("model_ref", json!("m".repeat(513)))).starts_with("`model_ref` has 513 characters")
    );
}

#[test]
fn a_grammar_and_a_schema_exclude_each_other() {
    let schema = json!({"type": "object", "properties": {"b": {}, "a": {}}});
    assert_eq!(
        job(&sampling("json_schema", schema.clone())).sampling.constraint,
        Some(Constraint::JsonSchema(schema.to_string())),
        "the schema arrives with its properties in the order they were written in"
    );
    assert_eq!(
        job(&sampling("json_schema", json!({}))).sampling.constraint,
        Some(Constraint::JsonSchema("{}".into()))
    );
    assert_eq!(
        job(&sampling("grammar", json!("root ::= \"a\""))).sampling.constraint,
        Some(Constraint::Grammar("root ::= \"a\"".into()))
    );
    let both = json!({"prompt": "p", "sampling": {"grammar": "g", "json_schema": {}}});
    assert!(told(&both).starts_with("`sampling.grammar` and `sampling.json_schema` are there together"));
}

#[test]
fn a_token_is_biased_once_within_limits_and_banned_at_the_least() {
    let biases = |biases: Value| sampling("logit_bias", biases);
    let resolved =
        job(&biases(json!([{"token": 2, "bias": -100}, {"token": 0, "bias": 1.5}]))).sampling.logit_bias;
    assert_eq!(
        resolved,
        [LogitBias { token: 2, bias: f32::NEG_INFINITY }, LogitBias { token: 0, bias: 1.5 }]
    );
    let twice = biases(json!([{"token": 2, "bias": 0}, {"token": 2, "bias": 1}]));
    assert!(told(&twice).starts_with("`sampling.logit_bias[1].token` is 2, which is there already"));
    assert!(
        told(&biases(json!([{"token": -1, "bias": 0}]))).starts_with("`sampling.logit_bias[0].token` is -1")
    );
    assert!(
        told(&biases(json!([{"token": 1, "bias": 101}]))).starts_with("`sampling.logit_bias[0].bias` is 101")
    );
}

#[test]
fn a_text_is_biased_in_place_of_a_token_and_never_beside_one() {
    let biases = |biases: Value| sampling("logit_bias", biases);
    let of_text = job(&biases(json!([{"text": " no", "bias": -100}]))).sampling;
    assert_eq!(of_text.text_bias, [TextBias { text: " no".into(), bias: f32::NEG_INFINITY }]);
    for odd in [json!([{"bias": 1}]), json!([{"text": "a", "token": 1, "bias": 1}])] {
        assert!(told(&biases(odd)).starts_with("`sampling.logit_bias[0]` needs `token` or `text`"));
    }
}

/// ORCH-TASK-10
#[test]
fn a_profile_says_what_the_request_leaves_out() {
    let params = |body: &Value| job(body).sampling.params;
    let calm = params(&completion("sampler_profile_version", json!("calm")));
    assert_eq!((calm.temperature, calm.top_k, calm.top_p), (Some(0.1), Some(3), None));
    let warmer = json!({"prompt": "p", "sampler_profile_version": "calm", "sampling": {"temperature": 2}});
    let warmer = params(&warmer);
    assert_eq!((warmer.temperature, warmer.top_k), (Some(2.0), Some(3)));
    assert_eq!(params(&completion("sampler_profile_version", json!("1"))), SamplingParams::BUILTIN);
    let documented = SamplingParams {
        temperature: Some(limits_of_sampling::TEMPERATURE_DEFAULT),
        top_p: Some(limits_of_sampling::TOP_P_DEFAULT),
        top_k: Some(limits_of_sampling::TOP_K_DEFAULT),
        min_p: Some(limits_of_sampling::MIN_P_DEFAULT),
        repeat_penalty: Some(limits_of_sampling::REPEAT_PENALTY_DEFAULT),
        repeat_last_n: Some(limits_of_sampling::REPEAT_LAST_N_DEFAULT),
        ..SamplingParams::BUILTIN
    };
    assert_eq!(SamplingParams::BUILTIN, documented, "the contract says them");
    assert_eq!(
        told(&completion("sampler_profile_version", json!("wild"))),
        "`sampler_profile_version` is `wild`: the config has `1`, `calm`"
    );
}

/// ORCH-TASK-7
#[test]
fn the_seed_of_a_task_without_one_is_a_fixed_function_of_its_id() {
    // The first eight bytes of the SHA-256 of sixteen zero bytes, little-endian: `printf '\0%.0s' {1..16} | sha256sum`.
    assert_eq!(seed_of(TaskId(Uuid::nil())).to_le_bytes(), [0x37, 0x47, 0x08, 0xff, 0xf7, 0x71, 0x9d, 0xd5]);
    assert_eq!(job(&completion("seed", json!(0))).seed, 0, "a seed that is sent is used, zero included");
}

/// ORCH-TASK-2
#[test]
fn the_fingerprint_tells_bodies_apart_and_not_their_spelling() {
    let id = json!(ID);
    let fingerprint = |body: &Value| {
        let mut body = body.clone();
        body["task_id"] = id.clone();
        read(&body).unwrap().fingerprint
    };
    let plain = fingerprint(&json!({"prompt": "p", "max_tokens": 5}));
    assert_eq!(plain, fingerprint(&json!({"max_tokens": 5, "prompt": "p"})));
    assert_eq!(
        plain,
        fingerprint(&json!({"max_tokens": 5, "prompt": "p", "priority": "interactive", "ctx": null}))
    );
    assert_eq!(plain, fingerprint(&json!({"prompt": "p", "max_tokens": 5, "kv_hint": "reuse"})));
    let others = [
        json!({"prompt": "q", "max_tokens": 5}),
        json!({"prompt": "p", "max_tokens": 6}),
        json!({"prompt": "p", "max_tokens": 5, "ctx": 5}),
        json!({"prompt": "p", "max_tokens": 5, "priority": "batch"}),
        json!({"prompt": "p", "max_tokens": 5, "seed": 1}),
        json!({"prompt": "p", "max_tokens": 5, "determinism": "strict"}),
        json!({"prompt": "p", "max_tokens": 5, "kv_hint": "none"}),
        json!({"prompt": "p", "max_tokens": 5, "model_ref": "starter"}),
        json!({"prompt": "p", "max_tokens": 5, "engine": "llamacpp"}),
        json!({"prompt": "p", "max_tokens": 5, "expected_tokens": 5}),
        json!({"prompt": "p", "max_tokens": 5, "session_id": ID}),
        json!({"prompt": "p", "max_tokens": 5, "sampling": {"stop": ["x"]}}),
        json!({"prompt": "p", "max_tokens": 5, "sampling": {"temperature": 0.8}}),
        json!({"messages": [{"role": "user", "content": "p"}], "max_tokens": 5}),
    ];
    let mut seen: Vec<u64> = others.iter().map(fingerprint).collect();
    seen.push(plain);
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), others.len() + 1, "every difference is another fingerprint");
}

#[test]
fn a_schema_larger_than_the_engine_takes_is_refused_before_it_waits() {
    let schema = json!({"type": "object", "description": "x".repeat(128 * 1024)});
    let refusal = read(&json!({"prompt": "p", "sampling": {"json_schema": schema}})).unwrap_err();
    assert!(refusal.to_string().starts_with("`sampling.json_schema` has 131"), "{refusal}");
}

proptest! {
    /// ORCH-TASK-5
    #[test]
    fn no_number_makes_reading_panic_and_what_is_taken_is_within_limits(
        temperature in any::<f64>(), top_p in any::<f64>(), penalty in any::<f64>(), most in any::<i64>(),
    ) {
        let body = json!({
            "prompt": "p", "max_tokens": most,
            "sampling": {"temperature": temperature, "top_p": top_p, "repeat_penalty": penalty},
        });
        if let Ok(request) = read(&body) {
            let params = &request.job.sampling.params;
            prop_assert!(params.temperature.is_none_or(|value| (0.0..=5.0).contains(&value)));
            prop_assert!(params.top_p.is_none_or(|value| value > 0.0 && value <= 1.0));
            prop_assert!(params.repeat_penalty.is_none_or(|value| value > 0.0 && value <= 10.0));
            prop_assert!(request.job.max_tokens.is_none_or(|most| most.0 >= 1));
        }
    }
}
