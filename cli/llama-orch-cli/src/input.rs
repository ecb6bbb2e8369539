//! What a prompt is made from: files, and standard input: all of it for `run`, line by line for `chat`. Both on a
//! thread of their own, because a read cannot be given up.
//!
//! Rules: ORCH-CLI-17

use std::io::{self, BufRead, IsTerminal, Read};
use std::path::Path;

use tokio::sync::mpsc;

use crate::exit::Exit;
use crate::failure::Failure;

/// The most bytes taken from standard input: the daemon takes no larger body.
const MAX_BYTES: u64 = 16 * 1024 * 1024;
/// The most bytes of one line of a conversation.
const MAX_LINE_BYTES: u64 = 1024 * 1024;
/// Lines read ahead of the conversation.
const LINES_AHEAD: usize = 1;

/// What is on the other side of standard input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A person.
    Terminal,
    /// A pipe or a file: content that belongs to the prompt.
    Content,
    /// Something that has nothing to do with the prompt, such as `/dev/null` or the socket of a service.
    Nothing,
}

/// Looks at standard input without reading it.
pub fn source() -> Source {
    if io::stdin().is_terminal() { Source::Terminal } else { not_a_terminal() }
}

#[cfg(unix)]
fn not_a_terminal() -> Source {
    use std::os::fd::AsFd;
    use std::os::unix::fs::FileTypeExt;
    // A copy of the descriptor, so that closing the `File` leaves standard input open.
    let kind = io::stdin()
        .as_fd()
        .try_clone_to_owned()
        .and_then(|copy| std::fs::File::from(copy).metadata())
        .map(|metadata| metadata.file_type());
    match kind {
        Ok(kind) if kind.is_fifo() || kind.is_file() => Source::Content,
        _ => Source::Nothing,
    }
}

#[cfg(not(unix))]
fn not_a_terminal() -> Source {
    Source::Content
}

/// Reads standard input to its end, as text.
///
/// # Errors
/// It is too large, not UTF-8, or cannot be read.
pub async fn read_all() -> Result<String, Failure> {
    let (send, mut receive) = mpsc::channel(1);
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let read = io::stdin().lock().take(MAX_BYTES + 1).read_to_end(&mut bytes).map(|_| bytes);
        // Nobody waits for it where a signal came first.
        drop(send.blocking_send(read));
    });
    let bytes = receive
        .recv()
        .await
        .expect("the thread sends before it ends")
        .map_err(|error| Failure::new(Exit::Usage, format!("standard input cannot be read: {error}")))?;
    check(bytes, "standard input")
}

/// Reads a file to its end, as text.
///
/// # Errors
/// It is too large, not UTF-8, or cannot be read.
pub fn read_file(path: &Path) -> Result<String, Failure> {
    let name = format!("`{}`", path.display());
    let mut bytes = Vec::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes));
    read.map_err(|error| Failure::new(Exit::Usage, format!("{name} cannot be read: {error}")))?;
    check(bytes, &name)
}

fn check(bytes: Vec<u8>, name: &str) -> Result<String, Failure> {
    if bytes.len() as u64 > MAX_BYTES {
        return Err(Failure::new(Exit::Usage, format!("{name} holds more than {MAX_BYTES} bytes"))
            .hint("a prompt of that size fits no model: send a part of it"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Failure::new(Exit::Usage, format!("{name} is not UTF-8 text: byte {at} is not part of a character"))
            .hint("a text in another encoding can be turned with `iconv -f latin1 -t utf-8`; only text can be a prompt")
    })
}

/// The lines of standard input, without their ends.
pub struct Lines(mpsc::Receiver<io::Result<String>>);

impl Lines {
    /// Begins to read.
    pub fn read() -> Self {
        let (send, receive) = mpsc::channel(LINES_AHEAD);
        std::thread::spawn(move || {
            let mut from = io::stdin().lock();
            while let Some(line) = next_line(&mut from).transpose() {
                let broken = line.is_err();
                if send.blocking_send(line).is_err() || broken {
                    return;
                }
            }
        });
        Self(receive)
    }

    /// The next line; nothing at the end. Cancel-safe: a line is not lost.
    pub async fn next(&mut self) -> Option<io::Result<String>> {
        self.0.recv().await
    }
}

fn next_line(from: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = String::new();
    if from.take(MAX_LINE_BYTES).read_line(&mut line)? == 0 {
        return Ok(None);
    }
    if line.len() as u64 == MAX_LINE_BYTES && !line.ends_with('\n') {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("a line is longer than {MAX_LINE_BYTES} bytes"),
        ));
    }
    line.truncate(line.trim_end_matches(['\r', '\n']).len());
    Ok(Some(line))
}

#[cfg(test)]
mod tests;
