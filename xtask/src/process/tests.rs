use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};

use super::*;

/// More than any of these children takes; only a failing test waits for it.
const LIMIT: Duration = Duration::from_secs(20);

/// Starts a shell that says `ready` and then sleeps in a grandchild, whose end closes its output.
fn shell(script: &str) -> Group {
    let mut command = Command::new("bash");
    command.args(["-c", script]).stdout(Stdio::piped());
    Group::spawn(command).unwrap()
}

async fn output_until_ready(group: &mut Group) -> BufReader<tokio::process::ChildStdout> {
    let mut output = BufReader::new(group.child.stdout.take().unwrap());
    let mut line = String::new();
    tokio::time::timeout(LIMIT, output.read_line(&mut line)).await.unwrap().unwrap();
    assert_eq!(line, "ready\n");
    output
}

async fn everything_has_ended(mut output: BufReader<tokio::process::ChildStdout>) {
    let mut rest = String::new();
    tokio::time::timeout(LIMIT, output.read_to_string(&mut rest))
        .await
        .expect("something still runs")
        .unwrap();
}

#[tokio::test]
async fn stopping_a_group_ends_its_grandchildren_too() {
    let mut interrupts = Interrupts::listen().unwrap();
    let mut group = shell("sleep 600 & echo ready; wait");
    let output = output_until_ready(&mut group).await;
    assert_eq!(group.stop(LIMIT, &mut interrupts).await, Ended::InOrder);
    everything_has_ended(output).await;
}

#[tokio::test]
async fn a_group_that_does_not_listen_is_killed_after_the_grace() {
    let mut interrupts = Interrupts::listen().unwrap();
    let mut group = shell("trap '' TERM; echo ready; while true; do sleep 600; done");
    let output = output_until_ready(&mut group).await;
    assert_eq!(group.stop(Duration::from_millis(50), &mut interrupts).await, Ended::Killed);
    everything_has_ended(output).await;
}

#[tokio::test]
async fn dropping_a_group_kills_it() {
    let mut group = shell("trap '' TERM; sleep 600 & echo ready; wait");
    let output = output_until_ready(&mut group).await;
    drop(group);
    everything_has_ended(output).await;
}

#[tokio::test]
async fn a_failed_command_says_how_to_run_it_again() {
    let mut interrupts = Interrupts::listen().unwrap();
    let failed = run(Command::new("false"), "cargo xtask links", &mut interrupts).await.unwrap_err();
    assert_eq!(failed.to_string(), "`cargo xtask links` failed (exit status: 1)");
    run(Command::new("true"), "true", &mut interrupts).await.unwrap();
}

#[test]
fn a_checkout_lists_new_files_and_neither_ignored_nor_deleted_ones() {
    let tree = tempfile::tempdir().unwrap();
    let git = |args: &[&str]| {
        let done = std::process::Command::new("git").args(args).current_dir(tree.path()).output().unwrap();
        assert!(done.status.success(), "{done:?}");
    };
    git(&["init", "--quiet"]);
    for (file, text) in [(".gitignore", "/scratch\n"), ("scratch", ""), ("gone.md", ""), ("kept.md", "")] {
        std::fs::write(tree.path().join(file), text).unwrap();
    }
    git(&["add", "gone.md", "kept.md"]);
    std::fs::remove_file(tree.path().join("gone.md")).unwrap();
    std::fs::write(tree.path().join("new ä.md"), "").unwrap();
    assert_eq!(list_files(tree.path()).unwrap(), [".gitignore", "kept.md", "new ä.md"]);
}
