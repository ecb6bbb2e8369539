//! The header of a GGUF file, as far as it is said without loading the model: architecture, context, size of the
//! weights' quantisation, and whether the parts that see are in the same file. Every length is bounded: the file may be
//! anything.
//!
//! The format: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

/// Bounds of what a header may hold.
const MAX_TEXT_BYTES: u64 = 1 << 20;
const MAX_FIELDS: u64 = 1 << 16;
const MAX_TENSORS: u64 = 1 << 20;
const MAX_ITEMS: u64 = 1 << 24;
/// Arrays of arrays go no deeper.
const MAX_DEPTH: u32 = 4;
/// Bytes of the header that are read at most.
const MAX_HEADER_BYTES: u64 = 512 << 20;

/// How tensors of encoders for images and sound begin in files that hold the language model too.
const ENCODERS: [&str; 3] = ["v.", "a.", "mm."];

/// What a header says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// `general.architecture`.
    pub architecture: String,
    /// `general.name`.
    pub name: Option<String>,
    /// Tokens of context that the model was trained with.
    pub context: Option<u32>,
    /// The quantisation, by `general.file_type`.
    pub quant: Option<&'static str>,
    /// Whether an encoder for images or sound is in the file beside a language model.
    pub has_encoder: bool,
}

/// Reads the header of a file.
///
/// # Errors
/// It cannot be read, is no GGUF file, or its header is broken.
pub fn read(path: &Path) -> io::Result<Header> {
    let file = File::open(path)?;
    Reading { input: BufReader::with_capacity(1 << 16, file.take(MAX_HEADER_BYTES)) }.header()
}

enum Value {
    Number(u64),
    Text(String),
    Other,
}

struct Reading<R> {
    input: R,
}

impl<R: Read> Reading<R> {
    fn header(&mut self) -> io::Result<Header> {
        if &self.bytes::<4>()? != b"GGUF" {
            return Err(broken("it does not begin with `GGUF`"));
        }
        if !(2..=3).contains(&self.u32()?) {
            return Err(broken("its version is not known"));
        }
        let tensors = bounded(self.u64()?, MAX_TENSORS)?;
        let fields = bounded(self.u64()?, MAX_FIELDS)?;
        let mut header = Header::default();
        let mut contexts = Vec::new();
        for _ in 0..fields {
            let key = self.text()?;
            let kind = self.u32()?;
            let value = self.value(kind, 0)?;
            match (key.as_str(), value) {
                ("general.architecture", Value::Text(text)) => header.architecture = text,
                ("general.name", Value::Text(text)) => header.name = Some(text),
                ("general.file_type", Value::Number(number)) => header.quant = quant_of(number),
                (key, Value::Number(number)) if key.ends_with(".context_length") => {
                    contexts.push((key.to_owned(), u32::try_from(number).unwrap_or(u32::MAX)));
                }
                _ => {}
            }
        }
        let own = format!("{}.context_length", header.architecture);
        header.context = contexts.into_iter().find(|(key, _)| *key == own).map(|(_, tokens)| tokens);
        header.has_encoder = self.has_encoder(tensors)?;
        Ok(header)
    }

    /// Whether there are tensors of an encoder beside those of a language model.
    fn has_encoder(&mut self, tensors: u64) -> io::Result<bool> {
        let (mut encoder, mut model) = (false, false);
        for _ in 0..tensors {
            let name = self.text()?;
            encoder |= ENCODERS.iter().any(|start| name.starts_with(start));
            model |= name.starts_with("blk.");
            let dimensions = bounded(u64::from(self.u32()?), 8)?;
            // Its shape, its type, its place.
            self.skip(dimensions * 8 + 4 + 8)?;
        }
        Ok(encoder && model)
    }

    fn value(&mut self, kind: u32, depth: u32) -> io::Result<Value> {
        Ok(match kind {
            0 | 1 | 7 => Value::Number(u64::from(self.bytes::<1>()?[0])),
            2 | 3 => Value::Number(u64::from(u16::from_le_bytes(self.bytes()?))),
            4 | 5 => Value::Number(u64::from(self.u32()?)),
            10 | 11 => Value::Number(self.u64()?),
            6 => self.skip(4).map(|()| Value::Other)?,
            12 => self.skip(8).map(|()| Value::Other)?,
            8 => Value::Text(self.text()?),
            9 if depth < MAX_DEPTH => {
                let kind = self.u32()?;
                let items = bounded(self.u64()?, MAX_ITEMS)?;
                match width_of(kind) {
                    Some(bytes) => self.skip(items * bytes)?,
                    None => {
                        for _ in 0..items {
                            self.value(kind, depth + 1)?;
                        }
                    }
                }
                Value::Other
            }
            _ => return Err(broken("a field of its header is of no known type")),
        })
    }

    fn text(&mut self) -> io::Result<String> {
        let length = bounded(self.u64()?, MAX_TEXT_BYTES)?;
        let mut bytes = vec![0; length as usize];
        self.input.read_exact(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn skip(&mut self, bytes: u64) -> io::Result<()> {
        let skipped = io::copy(&mut self.input.by_ref().take(bytes), &mut io::sink())?;
        if skipped == bytes { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    fn bytes<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.input.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn u32(&mut self) -> io::Result<u32> {
        Ok(u32::from_le_bytes(self.bytes()?))
    }

    fn u64(&mut self) -> io::Result<u64> {
        Ok(u64::from_le_bytes(self.bytes()?))
    }
}

/// The bytes of a value of a kind, where all have the same number.
const fn width_of(kind: u32) -> Option<u64> {
    match kind {
        0 | 1 | 7 => Some(1),
        2 | 3 => Some(2),
        4..=6 => Some(4),
        10..=12 => Some(8),
        _ => None,
    }
}

fn bounded(number: u64, max: u64) -> io::Result<u64> {
    if number <= max { Ok(number) } else { Err(broken("its header says a length that none has")) }
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// The names of llama.cpp's `llama_ftype`.
const fn quant_of(file_type: u64) -> Option<&'static str> {
    Some(match file_type {
        0 => "F32",
        1 => "F16",
        2 => "Q4_0",
        3 => "Q4_1",
        7 => "Q8_0",
        8 => "Q5_0",
        9 => "Q5_1",
        10 => "Q2_K",
        11 => "Q3_K_S",
        12 => "Q3_K_M",
        13 => "Q3_K_L",
        14 => "Q4_K_S",
        15 => "Q4_K_M",
        16 => "Q5_K_S",
        17 => "Q5_K_M",
        18 => "Q6_K",
        19 => "IQ2_XXS",
        20 => "IQ2_XS",
        21 => "Q2_K_S",
        22 => "IQ3_XS",
        23 => "IQ3_XXS",
        24 => "IQ1_S",
        25 => "IQ4_NL",
        26 => "IQ3_S",
        27 => "IQ3_M",
        28 => "IQ2_S",
        29 => "IQ2_M",
        30 => "IQ4_XS",
        31 => "IQ1_M",
        32 => "BF16",
        36 => "TQ1_0",
        37 => "TQ2_0",
        38 => "MXFP4",
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
