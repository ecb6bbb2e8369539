//! Answers: sensible, streamed, reproducible, whole.

use generation::{
    Constraint, EngineError, ExtraBody, Finish, GenerateRequest, Input, LogitBias, Message, Role, Transcript,
    Workload,
};
use orchestrator_core::TokenCount;

use crate::files::changed;
use crate::harness::{Worker, job, model, prompt, spec, user};

/// ORCH-TASK-11
#[test]
fn a_question_gets_a_sensible_answer_token_by_token() {
    let mut worker = Worker::start(2, 1024);
    let answer = worker.answer(job(user("What is the capital of France? Answer in one short sentence."), 40));
    assert!(answer.text.contains("Paris"), "{}", answer.text);
    assert_eq!(answer.finish(), &Finish::Stop, "the model ends its turn");
    let report = answer.report();
    assert!(answer.pieces.len() >= 5, "it streams: {} pieces", answer.pieces.len());
    assert!(answer.pieces.iter().all(|piece| !piece.text.is_empty()));
    assert_eq!(report.tokens_out.0 as usize, answer.tokens.len(), "every token is in a piece");
    assert!(report.tokens_in.0 > 20, "the template is counted");
    assert_eq!(report.tokens_cached.0, 0);
}

#[test]
fn greedy_is_reproducible_across_processes() {
    let text = |worker: &mut Worker| worker.answer(job(prompt("Once upon a time"), 32)).tokens;
    let (mut one, mut two) = (Worker::start(1, 512), Worker::start(1, 512));
    let first = text(&mut one);
    assert_eq!(first.len(), 32);
    assert_eq!(first, text(&mut two));
}

/// ORCH-DET-3
#[test]
fn the_seed_decides_when_the_temperature_is_not_zero() {
    let mut worker = Worker::start(1, 512);
    let mut tokens = |seed| {
        let mut job = job(prompt("A list of five animals:"), 24);
        job.sampling.params.temperature = Some(1.2);
        job.seed = seed;
        worker.answer(job).tokens
    };
    let first = tokens(7);
    assert_eq!(first, tokens(7), "the same seed");
    assert_ne!(first, tokens(8), "another seed");
}

/// ORCH-STREAM-3
#[test]
fn characters_of_several_tokens_come_whole() {
    let mut worker = Worker::start(1, 512);
    let crabs = "🦀🦀🦀🦀🦀🦀🦀🦀🦀🦀🦀🦀";
    let answer = worker.answer(job(prompt(crabs), 24));
    assert!(answer.text.contains('🦀'), "the model goes on with crabs: {}", answer.text);
    assert!(answer.pieces.iter().any(|piece| piece.tokens.len() > 1), "a crab takes several tokens");
    let inside = answer.text.trim_end_matches('\u{fffd}');
    assert!(!inside.contains('\u{fffd}'), "{inside}");
}

#[test]
fn measuring_counts_what_a_job_counts() {
    let mut worker = Worker::start(1, 512);
    for input in [
        prompt("Once upon a time"),
        user("Hello"),
        Input::Messages(vec![Message::new(Role::System, "Be brief."), Message::new(Role::User, "Why? 🦀\0")]),
    ] {
        let measured = worker.measure(job(input.clone(), 1)).expect("it can be counted");
        let report = worker.answer(job(input, 1)).end.expect("it ended");
        assert_eq!(measured.tokens, report.tokens_in);
        assert_eq!(measured.longest, measured.tokens);
    }
    let over = worker.measure(job(prompt(&"word ".repeat(600)), 1)).expect("it can be counted");
    assert!(over.longest.0 > 512, "whether it fits is not for the measure to say: {}", over.longest);
}

#[test]
fn a_text_too_long_by_its_bytes_is_refused_without_being_read() {
    let mut worker = Worker::start(1, 256);
    for input in [prompt(&"x".repeat(4_000_000)), user(&"y".repeat(4_000_000))] {
        let refused = worker.measure(job(input, 1)).expect_err("too long").to_string();
        let least = "prompt is too long: 49";
        assert!(refused.starts_with(least) && refused.contains("length is 256 tokens"), "{refused}");
    }
}

#[test]
fn logit_bias_bans_and_favours_tokens() {
    let mut worker = Worker::start(1, 512);
    let first = worker.answer(job(prompt("The capital of France is"), 1)).tokens[0];
    let mut banned = job(prompt("The capital of France is"), 1);
    banned.sampling.logit_bias = vec![LogitBias { token: first, bias: f32::NEG_INFINITY }];
    assert_ne!(worker.answer(banned).tokens[0], first);
}

/// ORCH-TASK-8
#[test]
fn what_cannot_be_done_is_refused_by_field_and_the_worker_goes_on() {
    let mut worker = Worker::start(1, 256);
    let mut cases = Vec::new();
    let mut case = |said: &'static str, change: &dyn Fn(&mut generation::GenerateRequest)| {
        let mut job = job(prompt("Hello"), 4);
        change(&mut job);
        cases.push((said, job));
    };
    case("`prompt` is empty", &|job| job.input = prompt("").into());
    case("prompt is too long: ", &|job| job.input = prompt(&"word ".repeat(400)).into());
    case("`messages` is empty", &|job| job.input = Input::Messages(Vec::new()).into());
    case("`inputs` are to be embedded", &|job| job.input = Input::Inputs(vec!["a".into()]).into());
    case("`workload` is `embedding`, which model", &|job| job.workload = Workload::Embedding);
    case("`workload` is `rerank`, which model", &|job| job.workload = Workload::Rerank);
    case("`ctx` is 9999, but a slot of this pool holds 256 tokens", &|job| {
        job.ctx = Some(orchestrator_core::TokenCount(9999));
    });
    case("`sampling.temperature` is -1", &|job| job.sampling.params.temperature = Some(-1.0));
    case("`sampling.temperature` is NaN", &|job| job.sampling.params.temperature = Some(f32::NAN));
    case("`sampling.top_p` is 1.5", &|job| job.sampling.params.top_p = Some(1.5));
    case("`sampling.min_p` is -0.1", &|job| job.sampling.params.min_p = Some(-0.1));
    case("`sampling.repeat_penalty` is 0", &|job| job.sampling.params.repeat_penalty = Some(0.0));
    case("`sampling.logit_bias` names the token 99999999", &|job| {
        job.sampling.logit_bias = vec![LogitBias { token: 99_999_999, bias: 1.0 }];
    });
    case("`sampling.stop[1]` is empty", &|job| job.sampling.stop = vec!["a".into(), String::new()]);
    for (said, job) in cases {
        // What does not fit is counted by a measure; everything else it finds as well.
        if !said.contains("too long") {
            let found = worker.measure(job.clone()).expect_err(said).to_string();
            assert!(found.contains(said), "`{found}` should say `{said}`");
        }
        let answer = worker.answer(job);
        let Finish::Failed(EngineError::Invalid(text)) = answer.finish() else {
            panic!("{said}: {:?}", answer.finish())
        };
        assert!(text.contains(said), "`{text}` should say `{said}`");
    }
    assert_eq!(worker.answer(job(prompt("Hello"), 4)).tokens.len(), 4, "it still works");
}

#[test]
fn the_facts_are_those_of_the_model_and_the_build() {
    let worker = Worker::start(3, 768);
    let facts = worker.facts.as_ref().expect("loaded");
    assert_eq!((facts.slots, facts.ctx.0), (3, 768));
    assert_eq!(facts.workloads, [Workload::Completion]);
    assert!(facts.strict);
    // 30 layers of keys and values of 3 heads of 64 numbers of 2 bytes, and a few bytes of bookkeeping.
    assert!((23_040..23_100).contains(&facts.kv_bytes_per_token), "{}", facts.kv_bytes_per_token);
    assert_eq!(facts.model.architecture, "llama");
    assert_eq!(facts.model.ctx_train.0, 8192);
    assert_eq!(facts.model.embedding_size, 576);
    assert!(facts.model.chat_template);
    assert!((130_000_000..140_000_000).contains(&facts.model.parameters));
    let file = std::fs::metadata(model()).expect("there").len();
    assert!((file * 9 / 10..=file).contains(&facts.model.size_bytes));
    assert!(facts.build.contains(": "), "{}", facts.build);
    assert!(facts.version.starts_with("llama-cpp-2-"));
}

#[test]
fn the_context_is_the_models_own_up_to_a_bound_where_nobody_has_looked_at_the_memory() {
    let mut worker = Worker::spawn();
    let mut spec = crate::harness::spec(&model(), 1, 1);
    spec.ctx = None;
    spec.threads = None;
    worker.load(spec).expect("it loads");
    assert_eq!(worker.facts.as_ref().expect("loaded").ctx.0, 4096);
}

/// ORCH-ENG-15
#[test]
fn an_answer_begins_with_reasoning_where_the_template_wrote_its_tag_unless_it_must_have_a_form() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("thinks.gguf");
    std::fs::write(&path, changed("<|im_start|>assistant", "<|im_start|>ai<think>")).expect("written");
    let mut worker = Worker::spawn();
    worker.load(spec(&path, 1, 512)).expect("it loads");
    let asked = || job(user("Say hello."), 4);
    let thinks = worker.answer(asked());
    let transcript = Transcript::of(thinks.pieces.clone());
    assert_eq!((transcript.reasoning.trim(), transcript.text.as_str()), (thinks.text.trim(), ""));
    let mut formed = asked();
    formed.sampling.constraint = Some(Constraint::Grammar("root ::= \"yes\"".to_owned()));
    assert_eq!(worker.answer(formed).text, "yes");
}

/// ORCH-ENG-31
#[test]
fn a_budget_closes_reasoning_and_the_answer_follows() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("reasons.gguf");
    std::fs::write(&path, changed("<|im_start|>assistant", "<|im_start|>ai<think>")).expect("written");
    let mut worker = Worker::spawn();
    worker.load(spec(&path, 1, 512)).expect("it loads");
    let mut asked = job(user("Say hello."), 16);
    asked.reasoning.budget = Some(TokenCount(3));
    let answer = worker.answer(asked);
    let (reasoning, rest) = answer.text.split_once("</think>").expect("the end tag is written");
    let transcript = Transcript::of(answer.pieces.clone());
    assert_eq!(transcript.reasoning, reasoning.trim());
    assert_eq!(transcript.text, rest.trim_start());
    assert!(!transcript.text.is_empty(), "the model goes on: {}", answer.text);
}

#[test]
fn an_answer_continues_the_last_message_where_that_is_asked() {
    let mut worker = Worker::start(1, 512);
    let turns = vec![
        Message::new(Role::User, "Count from one to six."),
        Message::new(Role::Assistant, "One, two, three,"),
    ];
    let continued = GenerateRequest { continue_final_message: true, ..job(Input::Messages(turns), 4) };
    let answer = worker.answer(continued);
    assert!(answer.text.to_lowercase().contains("four"), "{}", answer.text);
}

/// ORCH-ENG-16
#[test]
fn a_template_is_given_the_arguments_it_knows_and_others_are_refused_by_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("moody.gguf");
    let words = "You are a helpful AI assistant named SmolLM, trained by Hugging Face";
    let moody = format!("{:.<width$}", "' ~ (mood | default('calm')) ~ '", width = words.len());
    std::fs::write(&path, changed(words, &moody)).expect("written");
    let mut worker = Worker::spawn();
    worker.load(spec(&path, 1, 512)).expect("it loads");
    let mut asked = |input: Input, arguments: &str| {
        let own = ExtraBody {
            fields: format!(r#"{{"chat_template_kwargs":{arguments}}}"#),
            template: Some(arguments.to_owned()),
            refusal: "not taken".to_owned(),
        };
        let mut asked = job(input, 1);
        asked.extra_body = Some(own);
        worker.answer(asked).report().clone()
    };
    let (calm, moody) =
        (asked(user("Hi"), "{}"), asked(user("Hi"), r#"{"mood": "one two three four five six"}"#));
    assert!(moody.tokens_in.0 > calm.tokens_in.0, "{calm:?} {moody:?}");
    for (input, arguments, said) in [
        (
            user("Hi"),
            r#"{"modd": 1}"#,
            "`chat_template_kwargs.modd` is not known to the model's chat template, which mentions it nowhere",
        ),
        (prompt("Hi"), "{}", "`chat_template_kwargs` go to the chat template: send `messages` with them"),
    ] {
        let refused = asked(input, arguments).finish;
        assert_eq!(refused, Finish::Failed(EngineError::Invalid(said.to_owned())));
    }
}
