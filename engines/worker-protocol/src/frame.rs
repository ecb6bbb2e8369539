//! Frames: a little-endian `u32` of the payload's length, then the payload in postcard.

use std::io::{self, Read, Write};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The largest payload either side accepts: twice the largest request body the daemon lets in.
pub const MAX_FRAME_BYTES: usize = 64 * 1024 * 1024;

const HEAD_BYTES: usize = 4;

/// Why a frame could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The channel failed; end-of-file in the middle of a frame included.
    #[error("channel failed")]
    Io(#[from] io::Error),
    /// A frame's head announces more than [`MAX_FRAME_BYTES`].
    #[error("a frame of {0} bytes is over the limit of {MAX_FRAME_BYTES}")]
    TooLarge(usize),
    /// The payload is not a message.
    #[error("a frame does not hold a message")]
    Payload(#[from] postcard::Error),
}

/// One message as a frame.
///
/// # Errors
/// [`FrameError::TooLarge`] when the message is over the limit.
pub fn encode<M: Serialize>(message: &M) -> Result<Vec<u8>, FrameError> {
    let mut frame = postcard::to_extend(message, vec![0; HEAD_BYTES])?;
    let payload = frame.len() - HEAD_BYTES;
    let head = u32::try_from(payload).ok().filter(|_| payload <= MAX_FRAME_BYTES);
    frame[..HEAD_BYTES].copy_from_slice(&head.ok_or(FrameError::TooLarge(payload))?.to_le_bytes());
    Ok(frame)
}

/// Writes one message, blocking.
///
/// # Errors
/// As [`encode`], and when the channel fails.
pub fn write_frame<M: Serialize>(to: &mut impl Write, message: &M) -> Result<(), FrameError> {
    to.write_all(&encode(message)?)?;
    Ok(())
}

/// Reads one message, blocking; nothing at a clean end-of-file.
///
/// # Errors
/// When the channel fails, ends within a frame, or carries what is not a message.
pub fn read_frame<M: DeserializeOwned>(from: &mut impl Read) -> Result<Option<M>, FrameError> {
    let mut head = [0; HEAD_BYTES];
    let first = loop {
        match from.read(&mut head) {
            Ok(count) => break count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    };
    if first == 0 {
        return Ok(None);
    }
    from.read_exact(&mut head[first..])?;
    let mut payload = vec![0; payload_len(head)?];
    from.read_exact(&mut payload)?;
    Ok(Some(postcard::from_bytes(&payload)?))
}

/// Takes frames out of bytes as they arrive, for a reader that does not block: one read may hold many
/// frames, and a frame may take many reads.
#[derive(Debug, Default)]
pub struct FrameReader {
    buffer: Vec<u8>,
    taken: usize,
}

impl FrameReader {
    /// Appends what was read.
    pub fn extend(&mut self, bytes: &[u8]) {
        if self.taken > 0 {
            self.buffer.copy_within(self.taken.., 0);
            self.buffer.truncate(self.buffer.len() - self.taken);
            self.taken = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole message, or nothing until more is read.
    ///
    /// # Errors
    /// When the bytes are not frames of messages; the channel is of no use after it.
    pub fn next_message<M: DeserializeOwned>(&mut self) -> Result<Option<M>, FrameError> {
        let rest = &self.buffer[self.taken..];
        let Some((head, rest)) = rest.split_first_chunk::<HEAD_BYTES>() else { return Ok(None) };
        let len = payload_len(*head)?;
        let Some(payload) = rest.get(..len) else { return Ok(None) };
        let message = postcard::from_bytes(payload)?;
        self.taken += HEAD_BYTES + len;
        Ok(Some(message))
    }

    /// Whether bytes of an unfinished frame are waiting.
    #[must_use]
    pub fn is_mid_frame(&self) -> bool {
        self.taken < self.buffer.len()
    }
}

fn payload_len(head: [u8; HEAD_BYTES]) -> Result<usize, FrameError> {
    let len = u32::from_le_bytes(head) as usize;
    if len > MAX_FRAME_BYTES { Err(FrameError::TooLarge(len)) } else { Ok(len) }
}

#[cfg(test)]
mod tests;
