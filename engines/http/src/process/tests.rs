use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::time::Duration;

use engine_api::{Device, ExitReason};
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

use super::{Process, visible_devices};
use crate::family::Family;
use crate::testing::{spec, within};

/// Runs a shell script as an engine.
fn engine(script: &str) -> Process {
    let argv = ["/bin/sh".to_owned(), "-c".to_owned(), script.to_owned()];
    Process::spawn(&argv, &[("WORD".to_owned(), "from the config".to_owned())], &[], &spec()).expect("starts")
}

/// The same with a script that is to stop it.
fn engine_with_stop(script: &str, stop: &str) -> Process {
    let shell = |script: &str| ["/bin/sh".to_owned(), "-c".to_owned(), script.to_owned()];
    Process::spawn(&shell(script), &[], &shell(stop), &spec()).expect("starts")
}

/// Waits until `file` has a line, and gives it.
async fn line_of(file: &std::path::Path) -> String {
    within(async {
        loop {
            if let Some(line) = std::fs::read_to_string(file).ok().filter(|text| text.ends_with('\n')) {
                return line.trim_end().to_owned();
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}

async fn until_gone(pid: Pid) {
    within(async {
        while is_running(pid) {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// Whether a process runs: a dead one that nobody reaps does not.
fn is_running(pid: Pid) -> bool {
    if test_kill_process(pid) == Err(Errno::SRCH) {
        return false;
    }
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

fn pid(text: &str) -> Pid {
    Pid::from_raw(text.parse().expect("a number")).expect("not 0")
}

#[tokio::test]
async fn an_exit_code_and_a_signal_come_through_the_guard() {
    assert_eq!(within(engine("exit 3").exited()).await, ExitReason::Code(3));
    assert_eq!(within(engine("kill -SEGV $$").exited()).await, ExitReason::Signal(11));
}

#[tokio::test]
async fn the_story_has_the_last_lines_of_both_outputs_and_the_configured_variables() {
    let process = engine("echo out $WORD; echo err >&2; exit 1");
    let exit = within(process.exited()).await;
    let story = process.story(&exit);
    assert!(
        story.starts_with("`/bin/sh` ended by itself with exit code 1 while it started\nits last lines:\n"),
        "{story}"
    );
    assert!(story.contains("out from the config") && story.contains("err"), "{story}");
}

#[tokio::test]
async fn a_program_that_is_not_there_is_said_not_to_be_there() {
    let process =
        Process::spawn(&["/no/such/engine".to_owned()], &[], &[], &spec()).expect("the shell starts");
    let exit = within(process.exited()).await;
    assert!(process.story(&exit).starts_with("`/no/such/engine` cannot be found (exit code 127)"));
}

/// ORCH-ENG-3
#[tokio::test]
async fn a_missing_library_and_a_missing_call_are_told_from_a_missing_program() {
    let story = async |script: &str| {
        let process = engine(script);
        let exit = within(process.exited()).await;
        process.story(&exit)
    };
    let library =
        "echo 'x: error while loading shared libraries: libcudart.so.12: cannot open' >&2; exit 127";
    assert!(story(library).await.starts_with("`/bin/sh` needs a shared library that is not here"));
    let call = "no-such-program-of-a-script";
    assert!(story(call).await.starts_with("`/bin/sh` ended with exit code 127: something that it calls"));
}

/// ORCH-ENG-35
#[test]
fn a_replicas_own_device_is_named_by_its_uuid_or_its_place() {
    let seen = |device: Device| visible_devices(&device)[1].1.clone();
    assert_eq!(seen(Device::Gpu { uuid: "GPU-1".into(), index: 1 }), "GPU-1");
    assert_eq!(seen(Device::Gpu { uuid: String::new(), index: 1 }), "1");
    assert_eq!(seen(Device::Cpu), "-1");
}

#[tokio::test]
async fn the_engine_gets_the_signal_itself_and_may_end_in_order() {
    let folder = tempfile::tempdir().expect("a folder");
    let ready = folder.path().join("ready");
    let process =
        engine(&format!("trap 'exit 7' TERM; echo up > {}; while :; do sleep 0.01; done", ready.display()));
    line_of(&ready).await;
    process.terminate();
    assert_eq!(within(process.exited()).await, ExitReason::Code(7));
}

/// ORCH-ENG-2
#[tokio::test]
async fn an_engine_that_ignores_the_signal_is_killed_with_its_descendants() {
    let folder = tempfile::tempdir().expect("a folder");
    let ready = folder.path().join("ready");
    let script =
        format!("trap '' TERM; sleep 1000 & echo $! > {}; while :; do sleep 0.01; done", ready.display());
    let process = engine(&script);
    let descendant = pid(&line_of(&ready).await);
    process.terminate();
    let soon = tokio::time::timeout(Duration::from_millis(50), process.exited()).await;
    assert!(soon.is_err(), "it ignores the signal");
    process.kill();
    assert_eq!(within(process.exited()).await, ExitReason::Signal(9));
    until_gone(descendant).await;
}

/// ORCH-ENG-2
#[tokio::test]
async fn what_an_engine_leaves_behind_when_it_exits_is_killed() {
    let folder = tempfile::tempdir().expect("a folder");
    let ready = folder.path().join("ready");
    let process = engine(&format!("sleep 1000 & echo $! > {}", ready.display()));
    let descendant = pid(&line_of(&ready).await);
    assert_eq!(within(process.exited()).await, ExitReason::Code(0));
    until_gone(descendant).await;
}

#[tokio::test]
async fn dropping_the_process_kills_its_group() {
    let folder = tempfile::tempdir().expect("a folder");
    let ready = folder.path().join("ready");
    let process = engine(&format!("echo $$ > {}; sleep 1000", ready.display()));
    let engine = pid(&line_of(&ready).await);
    drop(process);
    until_gone(engine).await;
}

/// The pipe ends when the daemon does, however it went: nobody else holds it.
/// ORCH-ENG-2
#[tokio::test]
async fn no_engine_outlives_the_pipe_that_its_daemon_holds() {
    let folder = tempfile::tempdir().expect("a folder");
    let ready = folder.path().join("ready");
    let script = format!("trap '' TERM HUP INT; echo $$ > {}; while :; do sleep 0.01; done", ready.display());
    let family = Family::new();
    let argv = ["/bin/sh".to_owned(), "-c".to_owned(), script];
    let mut guarded = super::guarded(&argv, &[], &family).spawn().expect("starts");
    let engine = pid(&line_of(&ready).await);
    assert!(is_running(engine));
    drop(guarded.stdin.take());
    let status = within(guarded.wait()).await.expect("reaped");
    assert_eq!(status.signal(), Some(9));
    within(family.end()).await;
}

/// Descendants that `setsid` took out of the group, one of them left behind by its parent.
fn escaping(a: &Path, b: &Path) -> String {
    let (a, b) = (a.display(), b.display());
    format!(
        "setsid sh -c 'sleep 1000 & echo $! > {a}; sleep 1000' & (setsid sleep 1000 & echo $! > {b}); sleep 1000"
    )
}

/// ORCH-ENG-23
#[tokio::test]
async fn descendants_in_sessions_of_their_own_end_with_the_engine_and_with_the_daemon() {
    for ended_by_the_daemon in [true, false] {
        let folder = tempfile::tempdir().expect("a folder");
        let (a, b) = (folder.path().join("a"), folder.path().join("b"));
        let script = escaping(&a, &b);
        if ended_by_the_daemon {
            let process = engine(&script);
            let escaped = [pid(&line_of(&a).await), pid(&line_of(&b).await)];
            process.kill();
            within(process.exited()).await;
            assert!(
                escaped.iter().all(|escaped| !is_running(*escaped)),
                "gone before the engine is said to be"
            );
        } else {
            let family = Family::new();
            let argv = ["/bin/sh".to_owned(), "-c".to_owned(), script];
            let mut guarded = super::guarded(&argv, &[], &family).spawn().expect("starts");
            let escaped = [pid(&line_of(&a).await), pid(&line_of(&b).await)];
            drop(guarded.stdin.take());
            within(guarded.wait()).await.expect("reaped");
            for escaped in escaped {
                until_gone(escaped).await;
            }
            within(family.end()).await;
        }
    }
}

/// ORCH-ENG-24
#[tokio::test]
async fn a_stop_command_goes_before_the_signals_and_is_run_whatever_ended_the_engine() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str| folder.path().join(name).display().to_string();
    let (up, stopped) = (file("up"), file("stopped"));
    let waits =
        format!("trap 'exit 7' TERM; echo up > {up}; until [ -e {stopped} ]; do sleep 0.01; done; exit 3");
    let process = engine_with_stop(&waits, &format!("echo stopped > {stopped}"));
    line_of(up.as_ref()).await;
    process.terminate();
    let exit = within(process.exited()).await;
    assert!(matches!(exit, ExitReason::Code(3 | 7)), "{exit:?}");
    for script in ["exit 5", "sleep 1000"] {
        let note = file(script);
        let process = engine_with_stop(script, &format!("sleep 0.05; echo stopped > '{note}'"));
        if script != "exit 5" {
            process.kill();
        }
        within(process.exited()).await;
        assert!(std::fs::exists(&note).expect("a folder"), "`{script}`: run, and waited for");
    }
}

/// ORCH-ENG-24
#[tokio::test]
async fn the_guard_runs_the_stop_command_when_the_daemon_is_gone() {
    let folder = tempfile::tempdir().expect("a folder");
    let (up, stopped) = (folder.path().join("up"), folder.path().join("stopped"));
    let shell = |script: String| ["/bin/sh".to_owned(), "-c".to_owned(), script];
    let family = Family::new();
    let argv = shell(format!("echo up > {}; sleep 1000", up.display()));
    let stop = shell(format!("echo \"two words\" > {}", stopped.display()));
    let mut guarded = super::guarded(&argv, &stop, &family).spawn().expect("starts");
    line_of(&up).await;
    drop(guarded.stdin.take());
    within(guarded.wait()).await.expect("reaped");
    assert_eq!(line_of(&stopped).await, "two words");
    within(family.end()).await;
}
