//! `chat`: history, session, commands, interruption.

use std::io::Write;
use std::process::Stdio;

use rustix::process::Signal;
use serde_json::json;

use crate::TASK;
use crate::daemon::{Daemon, Exchange, accepted, end, parsed_token, refused, started, tokens};
use crate::program::{at, finish, read_until, run_with, signal};
use crate::terminal::Terminal;

fn says(text: &str) -> [Exchange; 2] {
    let events = started(0, 0) + &tokens(0, &[text]) + &end(1, "stop");
    [accepted(TASK), Exchange::stream(&events)]
}

fn script(parts: impl IntoIterator<Item = Vec<Exchange>>) -> Vec<Exchange> {
    parts.into_iter().flatten().collect()
}

#[test]
fn every_turn_sends_the_history_and_has_the_same_session() {
    let daemon =
        Daemon::with(script([says("Hello.").into(), says("Three.").into(), vec![Exchange::no_content()]]));
    let done = run_with(at(&daemon.url(), &["chat", "--system", "Be brief."]), b"Hi\nHow \\\nmany?\n/exit\n");
    assert_eq!((done.code, done.out.as_str(), done.err.as_str()), (Some(0), "Hello.\nThree.\n", ""));
    let requests = daemon.requests();
    let (first, second) = (requests[0].json(), requests[2].json());
    assert_eq!(
        second["messages"],
        json!([
            { "role": "system", "content": "Be brief." },
            { "role": "user", "content": "Hi" },
            { "role": "assistant", "content": "Hello." },
            { "role": "user", "content": "How \nmany?" },
        ])
    );
    assert_eq!(first["session_id"], second["session_id"]);
    assert_ne!(first["task_id"], second["task_id"]);
    assert_eq!(requests[4].line(), format!("DELETE /v1/sessions/{}", first["session_id"].as_str().unwrap()));
}

/// ORCH-CLI-1
#[test]
fn reasoning_is_not_sent_again_in_the_next_turn() {
    let parts = json!([{ "reasoning": "A greeting." }, { "text": "Hello." }]);
    let token = parsed_token(0, "<think>A greeting.</think>\n\nHello.", &parts);
    let reasons = vec![accepted(TASK), Exchange::stream(&(started(0, 0) + &token + &end(1, "stop")))];
    let daemon = Daemon::with(script([reasons, says("Three.").into(), vec![Exchange::no_content()]]));
    let done = run_with(at(&daemon.url(), &["chat"]), b"Hi\nHow many?\n");
    assert_eq!(done.out, "Hello.\nThree.\n");
    let second = daemon.requests()[2].json();
    assert_eq!(second["messages"][1], json!({ "role": "assistant", "content": "Hello." }));
}

#[test]
fn reset_forgets_and_system_instructs() {
    let forgotten = || vec![Exchange::no_content()];
    let daemon =
        Daemon::with(script([says("Hello.").into(), forgotten(), says("Bonjour.").into(), forgotten()]));
    let done = run_with(at(&daemon.url(), &["chat"]), b"Hi\n/reset\n/system Speak French.\nHi\n");
    assert_eq!((done.code, done.out.as_str()), (Some(0), "Hello.\nBonjour.\n"), "{done:?}");
    let requests = daemon.requests();
    let (before, after) = (requests[0].json(), requests[3].json());
    assert_ne!(before["session_id"], after["session_id"]);
    assert_eq!(
        after["messages"],
        json!([{ "role": "system", "content": "Speak French." }, { "role": "user", "content": "Hi" }])
    );
}

#[test]
fn ctrl_c_cancels_the_answer_and_the_conversation_goes_on() {
    let cut = vec![
        accepted(TASK),
        Exchange::stream(&(started(0, 0) + &tokens(0, &["Once", " upon"]))).open(),
        Exchange::no_content().releasing(&end(2, "canceled")),
    ];
    let daemon = Daemon::with(script([cut, says("Sorry.").into(), vec![Exchange::no_content()]]));
    let mut child = at(&daemon.url(), &["chat"]).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut out = child.stdout.take().unwrap();
    stdin.write_all(b"Tell\n").unwrap();
    read_until(&mut out, "upon");
    signal(child.id(), Signal::INT);
    read_until(&mut out, "\n");
    stdin.write_all(b"Stop\n").unwrap();
    drop(stdin);
    assert_eq!(std::io::read_to_string(out).unwrap(), "Sorry.\n");
    assert_eq!(finish(child).code, Some(0));
    let requests = daemon.requests();
    assert_eq!(requests[2].line(), format!("POST /v1/tasks/{TASK}/cancel"));
    assert_eq!(requests[3].json()["messages"][1], json!({ "role": "assistant", "content": "Once upon" }));
}

#[test]
fn ctrl_c_at_the_prompt_leaves() {
    let daemon = Daemon::with(script([says("Hello.").into(), vec![Exchange::no_content()]]));
    let mut child = at(&daemon.url(), &["chat"]).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut out = child.stdout.take().unwrap();
    stdin.write_all(b"Hi\n").unwrap();
    read_until(&mut out, "Hello.\n");
    signal(child.id(), Signal::INT);
    assert_eq!(finish(child).code, Some(0));
    drop(stdin);
    drop(daemon.requests());
}

#[test]
fn a_turn_that_fails_is_the_result_where_nobody_is_there_to_react() {
    let daemon = Daemon::with(vec![refused("400 Bad Request", "INVALID_PARAMS", "it does not fit", None)]);
    let done = run_with(at(&daemon.url(), &["chat"]), b"Hi\nAnd?\n");
    assert_eq!((done.code, done.err.as_str()), (Some(5), "error: it does not fit [INVALID_PARAMS]\n"));
    drop(daemon.requests());
}

/// ORCH-CLI-8
#[test]
fn chat_json_has_the_lines_of_run_for_each_turn() {
    let failing = refused("400 Bad Request", "INVALID_PARAMS", "it does not fit", None);
    let daemon = Daemon::with(script([says("Hello.").into(), vec![failing, Exchange::no_content()]]));
    let done = run_with(at(&daemon.url(), &["chat", "--json"]), b"Hi\nAnd?\n");
    assert_eq!(done.code, Some(5), "{done:?}");
    let lines = done.lines();
    let events: Vec<&str> = lines.iter().map(|line| line["event"].as_str().unwrap()).collect();
    assert_eq!(events, ["accepted", "started", "token", "end", "error"]);
    assert_eq!((&lines[2]["t"], &lines[4]["exit"]), (&json!("Hello."), &json!(5)));
    drop(daemon.requests());
}

/// ORCH-CLI-18
#[test]
fn a_fence_holds_many_lines_together() {
    let daemon = Daemon::with(script([says("Rust.").into(), vec![Exchange::no_content()]]));
    let done = run_with(at(&daemon.url(), &["chat"]), b"\"\"\"\nfn main() {\n}\n\"\"\"\n/exit\n");
    assert_eq!((done.code, done.out.as_str()), (Some(0), "Rust.\n"), "{done:?}");
    assert_eq!(daemon.requests()[0].json()["messages"][0]["content"], "fn main() {\n}");
}

/// ORCH-CLI-18
#[test]
fn what_was_typed_is_there_again_in_the_next_conversation() {
    use std::os::unix::fs::PermissionsExt;
    let home = tempfile::tempdir().unwrap();
    let conversation = |keys: &[u8]| {
        let daemon = Daemon::with(script([says("Hello.").into(), vec![Exchange::no_content()]]));
        let mut terminal = Terminal::new();
        let mut command = at(&daemon.url(), &["chat"]);
        command.env("HOME", home.path());
        let child = terminal.start(command);
        terminal.until("> ");
        terminal.typed(keys);
        terminal.until("Hello.");
        terminal.until("> ");
        // Ctrl-D.
        terminal.typed(b"\x04");
        assert_eq!(finish(child).code, Some(0));
        daemon.requests()[0].json()["messages"][0]["content"].clone()
    };
    assert_eq!(conversation(b"Good day\r"), "Good day");
    let history = home.path().join(".local/state/llama-orch/chat-history");
    assert_eq!(history.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    // Up, and Enter.
    assert_eq!(conversation(b"\x1b[A\r"), "Good day");
}
