//! Runs the real program, with an environment that holds nothing of the machine it is tested on.

use std::io::{Read, Write};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// The token that every test uses, and that no output may hold.
pub const TOKEN: &str = "a-secret-of-the-tests";
/// How long the program may take, whatever it is asked.
const LIMIT: Duration = Duration::from_secs(60);

/// What the program did.
#[derive(Debug)]
pub struct Done {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Done {
    fn of(output: Output) -> Self {
        let done = Self {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).expect("standard output is UTF-8"),
            err: String::from_utf8(output.stderr).expect("standard error is UTF-8"),
        };
        assert!(!done.out.contains(TOKEN) && !done.err.contains(TOKEN), "the token was printed: {done:?}");
        done
    }

    /// The lines of `--json`.
    pub fn lines(&self) -> Vec<serde_json::Value> {
        self.out.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect()
    }
}

/// The program, ready to be run.
pub fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_llama-orch"));
    command.args(arguments).env_clear().env("COLUMNS", "100").current_dir(env!("CARGO_TARGET_TMPDIR"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// The program, which knows the daemon at `url` and its token.
pub fn at(url: &str, arguments: &[&str]) -> Command {
    let mut command = program(arguments);
    command.env("LLAMA_ORCH_URL", url).env("LLAMA_ORCH_TOKEN", TOKEN);
    command
}

/// Runs it to its end.
pub fn run(mut command: Command) -> Done {
    finish(command.spawn().expect("the program starts"))
}

/// Runs it to its end with `input` on standard input.
pub fn run_with(mut command: Command, input: &[u8]) -> Done {
    let mut child = command.stdin(Stdio::piped()).spawn().expect("the program starts");
    let mut stdin = child.stdin.take().expect("it is piped");
    // It may have refused its arguments and be gone.
    drop(stdin.write_all(input));
    drop(stdin);
    finish(child)
}

/// Waits for the end of a program that runs, within the limit.
pub fn finish(child: Child) -> Done {
    let id = child.id();
    let (send, receive) = mpsc::sync_channel(1);
    std::thread::spawn(move || send.send(child.wait_with_output()));
    match receive.recv_timeout(LIMIT) {
        Ok(output) => Done::of(output.expect("the program can be waited for")),
        Err(_) => {
            signal(id, rustix::process::Signal::KILL);
            panic!("the program did not end within {LIMIT:?}");
        }
    }
}

/// Reads a stream of the program's until it ends with `text`.
pub fn read_until(out: &mut impl Read, text: &str) -> String {
    let mut seen = Vec::new();
    let mut byte = [0];
    while !seen.ends_with(text.as_bytes()) {
        let read = out.read(&mut byte).expect("the stream can be read");
        assert_ne!(read, 0, "the stream ended before `{text}`: {}", String::from_utf8_lossy(&seen));
        seen.extend(byte);
    }
    String::from_utf8(seen).expect("standard output is UTF-8")
}

/// Sends a signal, as Ctrl-C does.
pub fn signal(id: u32, signal: rustix::process::Signal) {
    let id = i32::try_from(id).ok().and_then(rustix::process::Pid::from_raw).expect("a process id");
    rustix::process::kill_process(id, signal).expect("the program is there");
}
