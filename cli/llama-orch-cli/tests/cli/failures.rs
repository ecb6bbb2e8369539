//! What goes wrong: what is said, and the exit code.

use std::net::TcpListener;

use serde_json::json;

use crate::TASK;
use crate::daemon::{Daemon, Exchange, accepted, end, refused, started, tokens};
use crate::program::{Done, TOKEN, at, program, run, run_with};

/// Runs `run Hi` against a script and checks that it was used up.
fn run_hi(script: Vec<Exchange>) -> Done {
    let daemon = Daemon::with(script);
    let done = run(at(&daemon.url(), &["run", "Hi"]));
    drop(daemon.requests());
    done
}

fn failed_end() -> String {
    "event: end\ndata: {\"tokens_out\":1,\"decode_ms\":9,\"tokens_in\":4,\"queue_ms\":0,\"finish_reason\":\"error\",\"error\":{\"code\":\"WORKER_RESET\",\"message\":\"the engine went away while it answered\",\"engine\":\"llamacpp\",\"retriable\":true,\"retry_after_ms\":1000}}\n\n".to_owned()
}

#[test]
fn a_task_that_fails_keeps_its_text_and_says_why() {
    let events = started(0, 0) + &tokens(0, &["Once"]) + &failed_end();
    let done = run_hi(vec![accepted(TASK), Exchange::stream(&events)]);
    assert_eq!((done.code, done.out.as_str()), (Some(1), "Once\n"));
    assert_eq!(
        done.err,
        "error: the engine went away while it answered [WORKER_RESET]\nhint: the engine is started again by itself: send the task again\n"
    );
}

#[test]
fn json_ends_with_a_line_that_says_why() {
    let events = started(0, 0) + &failed_end();
    let daemon = Daemon::with(vec![accepted(TASK), Exchange::stream(&events)]);
    let done = run(at(&daemon.url(), &["run", "--json", "Hi"]));
    assert_eq!(
        done.lines().last(),
        Some(&json!({
            "event": "error", "message": "the engine went away while it answered", "code": "WORKER_RESET",
            "hint": "the engine is started again by itself: send the task again", "exit": 1
        }))
    );
    drop(daemon.requests());
}

#[test]
fn a_task_that_somebody_else_cancels_has_an_exit_code_of_its_own() {
    let done = run_hi(vec![accepted(TASK), Exchange::stream(&(started(0, 0) + &end(0, "canceled")))]);
    assert_eq!((done.code, done.out.as_str()), (Some(7), ""));
}

/// ORCH-CLI-4
#[test]
fn a_refused_request_says_what_the_daemon_says() {
    let message = "`max_tokens` is 9000: at most 8192 fit";
    let done = run_hi(vec![refused("400 Bad Request", "INVALID_PARAMS", message, None)]);
    assert_eq!((done.code, done.err), (Some(5), format!("error: {message} [INVALID_PARAMS]\n")));
}

#[test]
fn a_wrong_token_says_where_it_came_from() {
    let unauthorised = || vec![refused("401 Unauthorized", "INVALID_PARAMS", "the API token is wrong", None)];
    let done = run_hi(unauthorised());
    assert_eq!(done.code, Some(4));
    assert!(done.err.contains("does not take the token from LLAMA_ORCH_TOKEN"), "{done:?}");

    let home = tempfile::tempdir().unwrap();
    let daemon = Daemon::with(unauthorised());
    let mut command = program(&["run", "Hi", "--url", &daemon.url()]);
    command.env("HOME", home.path());
    let done = run(command);
    assert_eq!(done.code, Some(4));
    let looked_at = home.path().join(".config/llama-orch/token");
    assert!(done.err.contains(looked_at.to_str().unwrap()), "{done:?}");
    assert!(!daemon.requests()[0].headers.contains_key("authorization"));
}

#[test]
fn the_token_file_of_the_daemon_is_found() {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(home.path().join("llama-orch")).unwrap();
    std::fs::write(home.path().join("llama-orch/token"), format!("{TOKEN}\n")).unwrap();
    let daemon = Daemon::with(vec![Exchange::json("200 OK", "", r#"{"status":"ok"}"#)]);
    let mut command = program(&["health"]);
    command.env("XDG_CONFIG_HOME", home.path()).env("LLAMA_ORCH_LISTEN", daemon.url().replace("http://", ""));
    assert_eq!(run(command).code, Some(0));
    assert_eq!(daemon.requests()[0].headers["authorization"], format!("Bearer {TOKEN}"));
}

/// ORCH-CLI-4
#[test]
fn a_daemon_that_is_not_there_says_what_to_start() {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", gone.local_addr().unwrap());
    drop(gone);
    let done = run(at(&url, &["run", "Hi"]));
    assert_eq!((done.code, done.out.as_str()), (Some(3), ""));
    assert!(done.err.contains(&format!("no daemon can be reached at {url}")), "{done:?}");
    assert!(done.err.contains("`orchestratord`") && done.err.contains("cargo xtask demo"), "{done:?}");
}

#[test]
fn another_program_on_the_port_is_recognised() {
    let page = Exchange::json("200 OK", "", "<!DOCTYPE html><title>Something else</title>");
    let done = run_hi(vec![page]);
    assert_eq!(done.code, Some(3));
    assert!(done.err.contains("is not orchestratord"), "{done:?}");
}

#[test]
fn a_gap_in_the_answer_is_told_and_not_hidden() {
    let events = started(0, 0) + &tokens(0, &["Once"]) + &tokens(2, &[" a"]) + &end(3, "stop");
    let done = run_hi(vec![accepted(TASK), Exchange::stream(&events)]);
    assert_eq!((done.code, done.out.as_str()), (Some(1), "Once\n"));
    assert!(done.err.contains("token 2 came where token 1 was due"), "{done:?}");
}

#[test]
fn a_stream_that_breaks_again_and_again_is_given_up() {
    let mut script = vec![accepted(TASK), Exchange::stream(&(started(0, 0) + &tokens(0, &["Once"])))];
    script.extend((0..6).map(|_| Exchange::stream(&started(0, 0))));
    let done = run_hi(script);
    assert_eq!((done.code, done.out.as_str()), (Some(3), "Once\n"), "{done:?}");
    assert!(done.err.contains(&format!("llama-orch cancel {TASK}")), "{done:?}");
}

#[test]
fn input_that_is_no_prompt_is_refused_before_anything_is_sent() {
    for (input, said) in [(&b"\n  \n"[..], "the prompt is empty"), (b"caf\xe9", "is not UTF-8 text: byte 3")]
    {
        let daemon = Daemon::with(Vec::new());
        let done = run_with(at(&daemon.url(), &["run"]), input);
        assert_eq!(done.code, Some(2), "{done:?}");
        assert!(done.err.contains(said), "{done:?}");
        drop(daemon.requests());
    }
}

#[test]
fn arguments_outside_their_limits_are_usage_errors_that_say_the_limits() {
    for (arguments, said) in [
        (&["run", "--temperature", "-1", "x"][..], "use a number from 0 to 5"),
        (&["run", "--temperature", "nan", "x"], "use a number from 0 to 5"),
        (&["run", "--top-p", "0", "x"], "use a number more than 0 and up to 1"),
        (&["run", "--max-tokens", "0", "x"], "1..=1048576"),
        (&["run", "--seed", "18446744073709551616", "x"], "too large"),
        (&["run", "--session", "7", "x"], "UUID"),
        (&["run", "--raw", "--system", "s", "x"], "cannot be used with"),
        (&["cancel"], "TASK_ID"),
        (&["--url", "ftp://x", "health"], "use http or https"),
    ] {
        let done = run(program(arguments));
        assert_eq!(done.code, Some(2), "{arguments:?}: {done:?}");
        assert!(done.err.contains(said), "{arguments:?}: {done:?}");
    }
}

/// Every command that takes `--json`, with arguments that a daemon which is not there cannot serve.
fn commands_with_json() -> Vec<&'static [&'static str]> {
    vec![
        &["run", "Hi"],
        &["chat"],
        &["status"],
        &["top"],
        &["bench"],
        &["models"],
        &["models", "list"],
        &["models", "pull", "no such reference"],
        &["models", "search", "qwen"],
        &["models", "show", "no such reference"],
        &["models", "remove", "no such reference"],
        &["pull", "no such reference"],
        &["list"],
        &["show", "no such reference"],
        &["rm", "no such reference"],
        &["stop", "a"],
        &["models", "pin", "a"],
        &["models", "unpin", "a"],
        &["models", "unload", "a"],
        &["reload", "a", "starter"],
        &["retire", "a"],
        &["activate", "a"],
        &["explain", "a"],
        &["cancel", TASK],
        &["health"],
        &["doctor"],
        &["config", "init"],
        &["import", "ollama"],
        &["logs"],
    ]
}

/// Those whose answer is JSON without a daemon, too.
const ANSWERS_ALONE: [&str; 4] = ["list", "models", "doctor", "config"];

/// ORCH-CLI-8
#[test]
fn what_goes_wrong_is_json_with_json_for_every_command_and_nothing_is_said_twice() {
    let home = tempfile::tempdir().unwrap();
    let gone = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", gone.local_addr().unwrap());
    drop(gone);
    for command in commands_with_json() {
        let mut asked = at(&url, command);
        asked.arg("--json").env("HOME", home.path()).env("HF_HUB_OFFLINE", "1");
        let done = run_with(asked, b"Hi\n");
        assert_eq!(done.err, "", "{command:?}: {done:?}");
        let lines = done.lines();
        if ANSWERS_ALONE.contains(&command[0]) && command.len() < 3 {
            assert!(lines[0].is_object(), "{command:?}: {done:?}");
            continue;
        }
        let last = lines.last().unwrap_or_else(|| panic!("{command:?}: {done:?}"));
        let code = done.code.unwrap();
        assert_ne!(code, 0, "{command:?}: {done:?}");
        assert_eq!(last["exit"], code, "{command:?}: {done:?}");
        assert!(last["message"].is_string(), "{command:?}: {done:?}");

        let mut wrong: Vec<&str> = command.to_vec();
        wrong.extend(["--json", "--no-such-option"]);
        let done = run(program(&wrong));
        assert_eq!((done.code, done.err.as_str()), (Some(2), ""), "{command:?}: {done:?}");
        assert!(done.lines()[0]["message"].as_str().unwrap().contains("--no-such-option"), "{done:?}");
    }
}

/// ORCH-CLI-8
#[test]
fn the_list_of_commands_with_json_is_whole() {
    let known = commands_with_json();
    let names = |text: &str| -> Vec<String> {
        let commands = text.split("\nCommands:\n").nth(1).unwrap_or_default();
        let commands = commands.split("\n\n").next().unwrap_or_default();
        let first =
            commands.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next().map(str::to_owned));
        first.filter(|name| !name.is_empty() && name != "help").collect()
    };
    let help = |arguments: &[&str]| run(program(arguments)).out;
    for name in names(&help(&["--help"])) {
        let page = help(&[&name, "--help"]);
        let below = names(&page);
        let paths: Vec<Vec<&str>> = if below.is_empty() {
            vec![vec![&name]]
        } else {
            below.iter().map(|one| vec![name.as_str(), one]).collect()
        };
        for path in paths {
            let page = help(&[path.as_slice(), &["--help"]].concat());
            let is_listed = known.iter().any(|arguments| arguments.starts_with(&path));
            assert_eq!(page.contains("--json\n") || page.contains("--json "), is_listed, "{path:?}: {page}");
        }
    }
}

/// ORCH-CLI-22
#[test]
fn names_of_other_programs_get_the_form_that_works_here() {
    for (name, says) in
        [("llama3.2", "hf:OWNER/REPO:QUANT"), ("https://huggingface.co/o/r", "`hf:o/r:QUANT`")]
    {
        let done = run(program(&["pull", name]));
        assert_eq!(done.code, Some(2), "{done:?}");
        assert!(done.err.contains(says), "{name}: {done:?}");
    }
    let done = run(program(&["serve"]));
    assert_eq!(done.code, Some(2));
    assert!(done.err.contains("`orchestratord`"), "{done:?}");
}
