//! Ctrl-C: what is told to the daemon, what is printed, the exit code.

use rustix::process::Signal;

use crate::TASK;
use crate::daemon::{Daemon, Exchange, accepted, end, refused, started, tokens};
use crate::program::{at, finish, read_until, signal};

/// ORCH-CLI-2
#[test]
fn ctrl_c_cancels_the_task_and_keeps_what_was_there() {
    for (sent, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let held = Exchange::stream(&(started(0, 0) + &tokens(0, &["Once", " upon"]))).open();
        let canceled = Exchange::no_content().releasing(&end(2, "canceled"));
        let daemon = Daemon::with(vec![accepted(TASK), held, canceled]);
        let mut child = at(&daemon.url(), &["run", "--stats", "Tell"]).spawn().unwrap();
        let mut out = child.stdout.take().unwrap();
        assert_eq!(read_until(&mut out, "upon"), "Once upon");
        signal(child.id(), sent);
        let rest = std::io::read_to_string(out).unwrap();
        let done = finish(child);
        assert_eq!((done.code, rest.as_str()), (Some(code), "\n"), "{done:?}");
        assert!(done.err.contains("2 tokens") && done.err.ends_with("canceled\n"), "{done:?}");
        assert_eq!(daemon.requests()[2].line(), format!("POST /v1/tasks/{TASK}/cancel"));
    }
}

#[test]
fn ctrl_c_gives_up_waiting_for_room() {
    let full = refused("429 Too Many Requests", "ADMISSION_REJECT", "full", Some(60_000));
    let daemon = Daemon::with(vec![full]);
    let mut child = at(&daemon.url(), &["run", "-v", "Hi"]).spawn().unwrap();
    let mut err = child.stderr.take().unwrap();
    read_until(&mut err, "(Ctrl-C gives up)");
    signal(child.id(), Signal::INT);
    assert_eq!(finish(child).code, Some(130));
    assert_eq!(daemon.requests().len(), 1);
}

/// ORCH-CLI-2
#[test]
fn ctrl_c_while_waiting_cancels_a_task_whose_answer_was_lost() {
    // The daemon has the task, but says so to nobody; then it has no room for a moment.
    let full = refused("429 Too Many Requests", "ADMISSION_REJECT", "full", Some(60_000));
    let daemon = Daemon::with(vec![Exchange::nothing(), full, Exchange::no_content()]);
    let mut child = at(&daemon.url(), &["run", "-v", "Hi"]).spawn().unwrap();
    let mut err = child.stderr.take().unwrap();
    read_until(&mut err, "queue full: trying again in 1 min 0 s (Ctrl-C gives up)");
    signal(child.id(), Signal::INT);
    assert_eq!(finish(child).code, Some(130));
    let requests = daemon.requests();
    let sent = requests[0].json();
    let id = sent["task_id"].as_str().unwrap();
    assert_eq!(requests[2].line(), format!("POST /v1/tasks/{id}/cancel"));
}
