//! Where the body of an HTTP/1.1 answer begins and ends among the bytes of its connection (RFC 9112,
//! sections 6 and 7). Bytes are handed on as they come, uncopied, whatever way the reads split them.
//!
//! Rules: ORCH-ENG-5

use crate::fault::Fault;

/// Digits of a chunk's size: more than any buffer holds.
const MAX_SIZE_DIGITS: u8 = 15;

/// Bytes of extensions and trailers, of which nothing is used.
const MAX_SKIPPED: u32 = 64 * 1024;

/// How a body is delimited, and how far it has been read.
#[derive(Debug)]
pub(crate) enum Framing {
    /// `Transfer-Encoding: chunked`.
    Chunked(Chunks),
    /// `Content-Length`: this many bytes are left.
    Length(u64),
    /// Until the server closes the connection.
    UntilClose,
}

/// Whether more of a body is to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum More {
    /// It goes on.
    Expected,
    /// That was all of it.
    Nothing,
    /// That was all of it, and there were bytes behind it.
    Surplus,
}

/// A chunked body on its way.
#[derive(Debug, Default)]
pub(crate) struct Chunks {
    state: ChunkState,
    skipped: u32,
}

#[derive(Clone, Copy, Debug, Default)]
enum ChunkState {
    /// In the digits of a size: what they say so far, and how many there were.
    #[default]
    Start,
    Size(u64, u8),
    /// Between the size and the end of its line.
    Extension(u64),
    /// After the carriage return of a size's line.
    SizeEnd(u64),
    /// In a chunk with this many bytes left.
    Data(u64),
    /// After a chunk's bytes.
    DataEnd,
    /// After the carriage return behind a chunk's bytes.
    DataEndLine,
    /// In the trailers, at the start of a line or within one.
    Trailer {
        line_is_empty: bool,
    },
    Done,
}

impl Framing {
    pub(crate) fn chunked() -> Self {
        Self::Chunked(Chunks::default())
    }

    /// Takes what was read and hands the body's part of it to `take`, in order. What comes after the end of
    /// the body is left out, and that there was some is said.
    pub(crate) fn push(
        &mut self,
        bytes: &[u8],
        take: &mut impl FnMut(&[u8]) -> Result<(), Fault>,
    ) -> Result<More, Fault> {
        match self {
            Self::Chunked(chunks) => chunks.push(bytes, take),
            Self::Length(left) => {
                let count = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                *left -= count as u64;
                take(&bytes[..count])?;
                Ok(match *left {
                    0 if count < bytes.len() => More::Surplus,
                    0 => More::Nothing,
                    _ => More::Expected,
                })
            }
            Self::UntilClose => {
                take(bytes)?;
                Ok(More::Expected)
            }
        }
    }

    /// Whether all of the body has been read.
    pub(crate) fn is_over(&self) -> bool {
        !matches!(self, Self::UntilClose) && self.may_end()
    }

    /// Whether a connection that ends here ends the body in order.
    pub(crate) fn may_end(&self) -> bool {
        match self {
            Self::Chunked(chunks) => matches!(chunks.state, ChunkState::Done),
            Self::Length(left) => *left == 0,
            Self::UntilClose => true,
        }
    }
}

impl Chunks {
    fn push(
        &mut self,
        mut bytes: &[u8],
        take: &mut impl FnMut(&[u8]) -> Result<(), Fault>,
    ) -> Result<More, Fault> {
        while let Some((&first, rest)) = bytes.split_first() {
            self.state = match self.state {
                ChunkState::Data(left) => {
                    let count = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                    take(&bytes[..count])?;
                    bytes = &bytes[count..];
                    let left = left - count as u64;
                    self.state = if left == 0 { ChunkState::DataEnd } else { ChunkState::Data(left) };
                    continue;
                }
                ChunkState::Done => break,
                ChunkState::Start => size_digit(first, 0, 0)?,
                ChunkState::Size(size, digits) => match first {
                    b'\r' => ChunkState::SizeEnd(size),
                    b'\n' => after_size(size),
                    b';' | b' ' | b'\t' => ChunkState::Extension(size),
                    digit => size_digit(digit, size, digits)?,
                },
                ChunkState::Extension(size) => match first {
                    b'\r' => ChunkState::SizeEnd(size),
                    b'\n' => after_size(size),
                    _ => {
                        self.skip()?;
                        ChunkState::Extension(size)
                    }
                },
                ChunkState::SizeEnd(size) if first == b'\n' => after_size(size),
                ChunkState::DataEnd if first == b'\r' => ChunkState::DataEndLine,
                ChunkState::DataEnd | ChunkState::DataEndLine if first == b'\n' => ChunkState::Start,
                ChunkState::SizeEnd(_) | ChunkState::DataEnd | ChunkState::DataEndLine => {
                    return Err(broken("a chunk does not end where its size says"));
                }
                ChunkState::Trailer { line_is_empty } => match first {
                    b'\r' => ChunkState::Trailer { line_is_empty },
                    b'\n' if line_is_empty => ChunkState::Done,
                    b'\n' => ChunkState::Trailer { line_is_empty: true },
                    _ => {
                        self.skip()?;
                        ChunkState::Trailer { line_is_empty: false }
                    }
                },
            };
            bytes = rest;
        }
        Ok(match self.state {
            ChunkState::Done if bytes.is_empty() => More::Nothing,
            ChunkState::Done => More::Surplus,
            _ => More::Expected,
        })
    }

    fn skip(&mut self) -> Result<(), Fault> {
        self.skipped += 1;
        if self.skipped > MAX_SKIPPED {
            Err(broken("its chunks carry too much beside the body"))
        } else {
            Ok(())
        }
    }
}

fn size_digit(byte: u8, size: u64, digits: u8) -> Result<ChunkState, Fault> {
    let digit = char::from(byte).to_digit(16).filter(|_| digits < MAX_SIZE_DIGITS);
    let digit = digit.ok_or_else(|| broken("the size of a chunk is not a number"))?;
    Ok(ChunkState::Size(size << 4 | u64::from(digit), digits + 1))
}

fn after_size(size: u64) -> ChunkState {
    if size == 0 { ChunkState::Trailer { line_is_empty: true } } else { ChunkState::Data(size) }
}

fn broken(what: &str) -> Fault {
    Fault::Protocol(format!("the answer is not HTTP/1.1: {what}"))
}

#[cfg(test)]
mod tests;
