//! The `data:` lines of a server-sent-events stream (WHATWG HTML, section 9.2), taken out of bytes as they
//! come. Engines put one JSON on one line, so that a line is handed on as soon as it ends and nothing waits
//! for the blank line behind it. Event names, ids, retries and comments say nothing that the JSON does not.
//!
//! Rules: ORCH-ENG-5

use memchr::memchr;

use crate::fault::Fault;

/// Bytes of one line: a whole answer with its embedding or its log probabilities is below it.
const MAX_LINE_BYTES: usize = 16 * 1024 * 1024;

/// Takes lines out of a stream. Holds the line that is not whole yet, and nothing else.
#[derive(Debug, Default)]
pub(crate) struct SseReader {
    partial: Vec<u8>,
}

impl SseReader {
    /// Hands each whole `data:` line in what has come so far to `take`, in order, without its name.
    pub(crate) fn push(
        &mut self,
        mut bytes: &[u8],
        take: &mut impl FnMut(&[u8]) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        if !self.partial.is_empty() {
            let Some(end) = memchr(b'\n', bytes) else { return self.keep(bytes) };
            self.keep(&bytes[..end])?;
            let line = std::mem::take(&mut self.partial);
            bytes = &bytes[end + 1..];
            take_line(&line, take)?;
            self.partial = line;
            self.partial.clear();
        }
        while let Some(end) = memchr(b'\n', bytes) {
            take_line(&bytes[..end], take)?;
            bytes = &bytes[end + 1..];
        }
        self.keep(bytes)
    }

    /// The last line of a stream that ended without its line's end.
    pub(crate) fn finish(&mut self, take: &mut impl FnMut(&[u8]) -> Result<(), Fault>) -> Result<(), Fault> {
        let line = std::mem::take(&mut self.partial);
        take_line(&line, take)
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        if self.partial.len() + bytes.len() > MAX_LINE_BYTES {
            return Err(Fault::Protocol(format!("a line of the stream is over {MAX_LINE_BYTES} bytes")));
        }
        self.partial.extend_from_slice(bytes);
        Ok(())
    }
}

fn take_line(line: &[u8], take: &mut impl FnMut(&[u8]) -> Result<(), Fault>) -> Result<(), Fault> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    match line.strip_prefix(b"data:") {
        Some(data) => take(data.strip_prefix(b" ").unwrap_or(data)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
