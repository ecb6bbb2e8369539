//! Answers: what is sent, what is printed, and where.

use serde_json::json;

use crate::TASK;
use crate::daemon::{Daemon, Exchange, accepted, accepted_at, end, parsed_token, refused, started, tokens};
use crate::program::{TOKEN, at, finish, run, run_with};
use crate::terminal::Terminal;

fn paris() -> Vec<Exchange> {
    let events = started(0, 0) + ": ping\n\n" + &tokens(0, &["Par", "is."]) + &end(2, "stop");
    vec![accepted(TASK), Exchange::stream(&events)]
}

/// ORCH-CLI-1
#[test]
fn run_prints_the_answer_to_standard_output_and_nothing_else() {
    let daemon = Daemon::with(paris());
    let done = run(at(&daemon.url(), &["run", "The capital of France?"]));
    assert_eq!((done.code, done.out.as_str(), done.err.as_str()), (Some(0), "Paris.\n", ""));
    let requests = daemon.requests();
    assert_eq!(requests[0].line(), "POST /v1/tasks");
    assert_eq!(requests[0].headers["authorization"], format!("Bearer {TOKEN}"));
    assert_eq!(requests[1].line(), format!("GET /v1/tasks/{TASK}/stream"));
    assert!(!requests[1].headers.contains_key("last-event-id"));
}

/// An answer with reasoning before it.
fn reasons() -> Vec<Exchange> {
    let parsed = [
        parsed_token(0, "<think>\nIs it ", &json!([{"reasoning": "Is it "}])),
        parsed_token(1, "Paris?</think>", &json!([{"reasoning": "Paris?"}])),
        parsed_token(2, "\n\nPar", &json!([{"text": "Par"}])),
    ];
    let events = started(0, 0) + &parsed.concat() + &tokens(3, &["is."]) + &end(4, "stop");
    vec![accepted(TASK), Exchange::stream(&events)]
}

/// ORCH-CLI-1
#[test]
fn reasoning_is_no_part_of_the_answer_and_json_has_all_of_it() {
    let done = run(at(&Daemon::with(reasons()).url(), &["run", "The capital of France?"]));
    assert_eq!((done.code, done.out.as_str(), done.err.as_str()), (Some(0), "Paris.\n", ""));
    let shown = run(at(&Daemon::with(reasons()).url(), &["run", "--verbose", "The capital of France?"]));
    assert_eq!(shown.out, "Paris.\n");
    assert!(shown.err.contains("Is it Paris?\n\n"), "{}", shown.err);
    let json = run(at(&Daemon::with(reasons()).url(), &["run", "--json", "The capital of France?"]));
    let token = r#"{"event":"token","t":"<think>\nIs it ","output":[{"reasoning":"Is it "}],"i":0}"#;
    assert!(json.out.contains(token), "{}", json.out);
}

#[test]
fn an_answer_that_is_all_reasoning_says_so() {
    let token = parsed_token(0, "<think>\nIs it ", &json!([{"reasoning": "Is it "}]));
    let events = started(0, 0) + &token + &end(1, "length");
    let cut = Daemon::with(vec![accepted(TASK), Exchange::stream(&events)]);
    let done = run(at(&cut.url(), &["run", "The capital of France?"]));
    assert_eq!((done.code, done.out.as_str()), (Some(0), ""));
    assert!(done.err.contains("all tokens went into reasoning"), "{}", done.err);
}

#[test]
fn a_prompt_is_a_message_so_that_the_models_template_is_used() {
    let daemon = Daemon::with(paris());
    run(at(&daemon.url(), &["run", "Hi"]));
    let mut body = daemon.requests()[0].json();
    let id = body["task_id"].take();
    assert!(uuid::Uuid::parse_str(id.as_str().unwrap()).is_ok());
    assert_eq!(body, json!({ "task_id": null, "messages": [{ "role": "user", "content": "Hi" }] }));
}

#[test]
fn every_flag_about_the_task_reaches_the_daemon() {
    let daemon = Daemon::with(paris());
    let session = "0b7c1a52-3d44-4f0e-8b1a-5a6c7d8e9f01";
    let flags = [
        "run",
        "--batch",
        "--system",
        "Be brief.",
        "--seed",
        "18446744073709551615",
        "--model",
        "big",
        "--max-tokens",
        "9",
        "--temperature",
        "0.7",
        "--top-p",
        "0.9",
        "--strict",
        "--session",
        session,
        "Hi",
    ];
    run(at(&daemon.url(), &flags));
    let mut body = daemon.requests()[0].json();
    body["task_id"].take();
    assert_eq!(
        body,
        json!({
            "task_id": null,
            "session_id": session,
            "model_ref": "big",
            "messages": [{ "role": "system", "content": "Be brief." }, { "role": "user", "content": "Hi" }],
            "max_tokens": 9,
            "priority": "batch",
            "seed": 18_446_744_073_709_551_615_u64,
            "determinism": "strict",
            "sampling": { "temperature": 0.7, "top_p": 0.9 },
        })
    );
}

#[test]
fn a_raw_prompt_is_sent_as_it_stands() {
    let daemon = Daemon::with(paris());
    run_with(at(&daemon.url(), &["run", "--raw"]), b"Once upon\n");
    let body = daemon.requests()[0].json();
    assert_eq!((&body["prompt"], body.get("messages")), (&json!("Once upon\n"), None));
}

#[test]
fn standard_input_is_the_prompt_or_goes_below_it() {
    for (arguments, prompt) in [
        (&["run"][..], "from stdin"),
        (&["run", "-"], "from stdin"),
        (&["run", "Explain this:"], "Explain this:\n\nfrom stdin"),
    ] {
        let daemon = Daemon::with(paris());
        let done = run_with(at(&daemon.url(), arguments), b"from stdin\n");
        assert_eq!(done.code, Some(0), "{done:?}");
        assert_eq!(daemon.requests()[0].json()["messages"][0]["content"], prompt);
    }
}

#[test]
fn stats_say_queue_position_time_to_first_token_and_speed() {
    let events = started(1, 40) + &tokens(0, &["a"; 11]) + &end(11, "length");
    let daemon = Daemon::with(vec![accepted_at(TASK, 1, 420), Exchange::stream(&events)]);
    let done = run(at(&daemon.url(), &["run", "--stats", "Hi"]));
    let lines: Vec<&str> = done.err.lines().collect();
    assert_eq!(lines[0], "queue position 1, predicted start in 420 ms");
    assert!(lines[1].starts_with("11 tokens · first token after "), "{done:?}");
    assert!(
        lines[1].ends_with(
            " · 100.0 tokens/s · queued 3 ms · 5 prompt tokens · length: cut off at --max-tokens or the end of the context"
        ),
        "{done:?}"
    );
    assert_eq!(done.out, "aaaaaaaaaaa\n");
    drop(daemon.requests());
}

#[test]
fn json_is_one_object_an_event_and_the_last_one_has_what_was_measured() {
    let daemon = Daemon::with(paris());
    let done = run(at(&daemon.url(), &["run", "--json", "Hi"]));
    let mut lines = done.lines();
    let measured = lines[4]["first_token_ms"].take();
    assert!(measured.is_u64(), "{done:?}");
    assert_eq!(
        lines,
        [
            json!({ "event": "accepted", "task_id": TASK, "queue_position": 0, "predicted_start_ms": 0, "backoff_ms": 0 }),
            json!({ "event": "started", "queue_position": 0, "predicted_start_ms": 0 }),
            json!({ "event": "token", "t": "Par", "i": 0 }),
            json!({ "event": "token", "t": "is.", "i": 1 }),
            json!({
                "event": "end", "tokens_out": 2, "decode_ms": 100, "tokens_in": 5, "queue_ms": 3,
                "finish_reason": "stop", "first_token_ms": null, "tokens_per_s": 10.0
            }),
        ]
    );
    drop(daemon.requests());
}

/// ORCH-CLI-1
#[test]
fn a_lost_connection_goes_on_after_the_last_token_and_prints_none_twice() {
    let first = started(0, 0) + &tokens(0, &["Once", " upon"]);
    let second = started(0, 0) + &tokens(1, &[" upon", " a", " time"]) + &end(4, "stop");
    let daemon = Daemon::with(vec![accepted(TASK), Exchange::stream(&first), Exchange::stream(&second)]);
    let done = run(at(&daemon.url(), &["run", "Tell"]));
    assert_eq!((done.code, done.out.as_str(), done.err.as_str()), (Some(0), "Once upon a time\n", ""));
    assert_eq!(daemon.requests()[2].headers["last-event-id"], "1");
}

#[test]
fn a_task_that_a_new_daemon_does_not_know_begins_again_while_nothing_of_it_was_read() {
    let mut script = vec![
        accepted(TASK),
        Exchange::stream(&started(0, 0)),
        crate::daemon::refused("404 Not Found", "INVALID_PARAMS", "no such task", None),
    ];
    script.extend(paris());
    let daemon = Daemon::with(script);
    let done = run(at(&daemon.url(), &["run", "The capital of France?"]));
    assert_eq!((done.code, done.out.as_str()), (Some(0), "Paris.\n"), "{done:?}");
    let requests = daemon.requests();
    assert_eq!(requests[0].body, requests[3].body);
}

#[test]
fn the_reader_of_standard_output_may_go_away() {
    let held = Exchange::stream(&(started(0, 0) + &tokens(0, &["Par"]))).open();
    let daemon =
        Daemon::with(vec![accepted(TASK), held, Exchange::no_content().releasing(&end(1, "canceled"))]);
    let mut child = at(&daemon.url(), &["run", "Hi"]).spawn().unwrap();
    drop(child.stdout.take());
    let done = crate::program::finish(child);
    assert_eq!((done.code, done.err.as_str()), (Some(0), ""));
    assert_eq!(daemon.requests()[2].line(), format!("POST /v1/tasks/{TASK}/cancel"));
}

/// ORCH-CLI-17
#[test]
fn files_stand_below_the_prompt_with_their_names_and_standard_input_between() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (a, b) = (write("a.rs", "fn a() {}\n"), write("b.md", "```\ncode\n```\n"));
    let daemon = Daemon::with(paris());
    let done =
        run_with(at(&daemon.url(), &["run", "-f", &a, "--file", &b, "What differs?"]), b"from a pipe\n");
    assert_eq!(done.code, Some(0), "{done:?}");
    let content = daemon.requests()[0].json()["messages"][0]["content"].clone();
    assert_eq!(
        content,
        format!(
            "What differs?\n\nfrom a pipe\n\n{a}:\n```\nfn a() {{}}\n```\n\n{b}:\n````\n```\ncode\n```\n````"
        )
    );
}

/// ORCH-CLI-17
#[test]
fn a_file_alone_is_a_prompt_and_one_that_is_not_there_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("question.txt");
    std::fs::write(&path, "Why?\n").unwrap();
    let daemon = Daemon::with(paris());
    let done = run(at(&daemon.url(), &["run", "-f", path.to_str().unwrap()]));
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(daemon.requests()[0].json()["messages"][0]["content"].as_str().unwrap().ends_with("Why?\n```"));
    let gone = run(at("http://127.0.0.1:1", &["run", "-f", "/nowhere/at.all", "Hi"]));
    assert_eq!((gone.code, gone.out.as_str()), (Some(2), ""));
    assert!(gone.err.contains("`/nowhere/at.all` cannot be read"), "{gone:?}");
}

fn script(parts: impl IntoIterator<Item = Vec<Exchange>>) -> Vec<Exchange> {
    parts.into_iter().flatten().collect()
}

/// A daemon with a pool `big` of the alias `gpt-4o`.
fn pools() -> Exchange {
    let lane = json!({ "depth": 0, "bound": 8 });
    let pool = json!({
        "id": "big", "aliases": ["gpt-4o"], "model_ref": "starter", "engine": "llamacpp", "state": "ready",
        "model_state": "Active", "queue": { "interactive": lane, "batch": lane }, "replicas": [],
    });
    let health = json!({ "status": "ok", "version": "0.1.0", "pools": [pool], "devices": [] });
    Exchange::json("200 OK", "", &health.to_string())
}

fn asked(script: Vec<Exchange>, arguments: &[&str], input: &[u8]) -> (serde_json::Value, serde_json::Value) {
    let daemon = Daemon::with(script);
    let done = run_with(at(&daemon.url(), arguments), input);
    assert_eq!(done.code, Some(0), "{arguments:?}: {done:?}");
    let requests = daemon.requests();
    let mut body = requests.iter().find(|one| one.path == "/v1/tasks").expect("a task is sent").json();
    (body["model_ref"].take(), body["messages"][0]["content"].take())
}

/// ORCH-CLI-22
#[test]
fn the_first_of_several_words_is_the_model_unless_a_flag_names_it() {
    let told = |arguments: &[&str]| asked(paris(), arguments, b"");
    assert_eq!(told(&["run", "big", "Hi"]), (json!("big"), json!("Hi")));
    assert_eq!(told(&["run", "big", "Why", "is", "it?"]), (json!("big"), json!("Why is it?")));
    assert_eq!(told(&["run", "--model", "big", "Why", "is"]), (json!("big"), json!("Why is")));
}

/// ORCH-CLI-22
#[test]
fn a_word_alone_is_the_model_where_a_pool_has_that_name_and_the_prompt_otherwise() {
    let told = |arguments: &[&str]| asked(script([vec![pools()], paris()]), arguments, b"from stdin\n");
    for name in ["big", "gpt-4o", "starter"] {
        assert_eq!(told(&["run", name]), (json!(name), json!("from stdin")));
    }
    assert_eq!(told(&["run", "Explain"]), (json!(null), json!("Explain\n\nfrom stdin")));
}

/// ORCH-CLI-22
#[test]
fn a_model_alone_on_a_terminal_is_talked_with() {
    let home = tempfile::tempdir().unwrap();
    let daemon = Daemon::with(script([vec![pools()], paris(), vec![Exchange::no_content()]]));
    let mut terminal = Terminal::new();
    let mut command = at(&daemon.url(), &["run", "big"]);
    command.env("HOME", home.path());
    let child = terminal.start(command);
    terminal.until("> ");
    terminal.typed(b"Good day\r");
    terminal.until("Paris.");
    terminal.until("> ");
    terminal.typed(b"\x04");
    assert_eq!(finish(child).code, Some(0));
    assert_eq!(daemon.requests()[1].json()["model_ref"], "big");
}

/// ORCH-CLI-22
#[test]
fn a_first_word_that_nobody_serves_says_how_a_prompt_is_given() {
    let message = "`model_ref` is `why`, which is not served here: there is `starter`";
    let daemon = Daemon::with(vec![refused("400 Bad Request", "INVALID_PARAMS", message, None)]);
    let done = run(at(&daemon.url(), &["run", "why", "is", "the", "sky", "blue?"]));
    assert_eq!(done.code, Some(5));
    assert!(done.err.contains("put a prompt that has several words in quotes"), "{done:?}");
    drop(daemon.requests());
}
