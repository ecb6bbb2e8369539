use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::mpsc;
use std::time::Duration;

use super::writer::PENDING_BYTES;
use super::*;

const SOON: Duration = Duration::from_secs(20);

/// A writer whose notices come out of the channel, in words.
fn writer(sink: Sink) -> (Writer, mpsc::Receiver<String>) {
    let (notices, heard) = mpsc::sync_channel(8);
    let tell = move |notice: Notice<'_>| {
        let words = match notice {
            Notice::Lost(lines) => format!("lost {lines}"),
            Notice::Reopened(_) => "reopened".to_owned(),
            Notice::NotReopened(_, error) => format!("not reopened: {error}"),
            Notice::NothingToReopen => "nothing to reopen".to_owned(),
        };
        notices.send(words).unwrap();
    };
    (Writer::start(sink, Box::new(tell)).unwrap(), heard)
}

fn log(writer: &Writer, line: &str) {
    let mut out = writer;
    out.write_all(line.as_bytes()).unwrap();
}

/// ORCH-CLI-13
#[test]
fn a_log_file_is_written_on_from_its_end_and_is_its_owners_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state/daemon.log");
    for line in ["one\n", "two\n"] {
        open(&path).unwrap().write_all(line.as_bytes()).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\ntwo\n");
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
}

#[test]
fn a_log_file_that_cannot_be_written_to_is_named() {
    let error = open(Path::new("/dev/null/daemon.log")).unwrap_err();
    assert!(
        error.to_string().starts_with("the log `/dev/null/daemon.log` cannot be written to: "),
        "{error}"
    );
}

/// ORCH-INST-8
#[test]
fn a_closed_log_holds_every_line_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("daemon.log");
    let (writer, _notices) = writer(Sink::file(&path, open).unwrap());
    let lines: Vec<String> = (0..2000).map(|i| format!("line {i}\n")).collect();
    lines.iter().for_each(|line| log(&writer, line));
    writer.close();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), lines.concat());
}

/// ORCH-INST-8
#[test]
fn a_renamed_log_file_is_followed_and_a_reopen_makes_the_new_one_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let (path, old) = (dir.path().join("daemon.log"), dir.path().join("daemon.log.1"));
    let (writer, notices) = writer(Sink::file(&path, open).unwrap());
    std::fs::rename(&path, &old).unwrap();
    writer.reopen();
    assert_eq!(notices.recv_timeout(SOON).unwrap(), "reopened");
    assert!(path.exists(), "the new file is there before anything is logged");

    std::fs::rename(&path, &old).unwrap();
    log(&writer, "after\n");
    assert_eq!(notices.recv_timeout(SOON).unwrap(), "reopened");
    writer.close();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "after\n");
    assert_eq!(std::fs::read_to_string(&old).unwrap(), "");
}

/// ORCH-INST-8
#[test]
fn a_log_file_that_cannot_be_reopened_is_reported_once_and_the_old_one_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let (path, old) = (dir.path().join("logs/daemon.log"), dir.path().join("old"));
    let (writer, notices) = writer(Sink::file(&path, open).unwrap());
    std::fs::rename(path.parent().unwrap(), &old).unwrap();
    std::fs::write(path.parent().unwrap(), "no folder").unwrap();
    writer.reopen();
    assert!(notices.recv_timeout(SOON).unwrap().starts_with("not reopened: the log "));
    log(&writer, "one\n");
    log(&writer, "two\n");
    writer.close();
    assert_eq!(std::fs::read_to_string(old.join("daemon.log")).unwrap(), "one\ntwo\n");
    assert!(notices.try_recv().is_err(), "the fault is not reported again");
}

/// ORCH-INST-8
#[test]
fn a_log_that_nobody_reads_holds_nobody_up_and_the_lines_lost_are_counted() {
    let (mut reader, stuck) = std::io::pipe().unwrap();
    let (writer, notices) = writer(Sink::stream(stuck));
    let line = format!("{}\n", "x".repeat(1023));
    // More than the pipe, what the thread has taken, and the buffer hold together.
    let sent = 2 * PENDING_BYTES / line.len() + 1024;
    for _ in 0..sent {
        log(&writer, &line);
    }
    let read = std::thread::spawn(move || {
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        text.lines().count()
    });
    let lost = notices.recv_timeout(SOON).unwrap();
    writer.close();
    drop(writer);
    let lost: usize = lost.strip_prefix("lost ").unwrap().parse().unwrap();
    assert!(lost > 0);
    assert_eq!(read.join().unwrap() + lost, sent);
}

/// ORCH-INST-8
#[test]
fn lines_that_cannot_be_written_are_counted_and_told_once_a_write_succeeds() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("daemon.log");
    std::os::unix::fs::symlink("/dev/full", &path).unwrap();
    let (writer, notices) = writer(Sink::file(&path, open).unwrap());
    log(&writer, "one\ntwo\n");
    for _ in 0..2 {
        // The second shows that everything before the first has been tried.
        writer.reopen();
        assert_eq!(notices.recv_timeout(SOON).unwrap(), "reopened");
    }
    std::fs::remove_file(&path).unwrap();
    log(&writer, "three\n");
    assert_eq!(notices.recv_timeout(SOON).unwrap(), "reopened");
    assert_eq!(notices.recv_timeout(SOON).unwrap(), "lost 2");
    writer.close();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "three\n");
}
