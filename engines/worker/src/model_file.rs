//! A first look at a model's file, so that what is wrong with it is said in plain words before llama.cpp
//! sees it: the head, the architecture and whether the data the head promises is there. Everything else is
//! llama.cpp's to judge. Format: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>.
//!
//! Rules: ORCH-MODEL-4

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

/// The longest key or architecture name believed.
const MAX_NAME_BYTES: u64 = 64 * 1024;

/// The most metadata entries or tensors believed.
const MAX_COUNT: u64 = 1 << 20;

/// What is wrong with a model's file.
#[derive(Debug, thiserror::Error)]
pub enum ModelFileError {
    /// There is none.
    #[error("the model file `{0}` does not exist")]
    Missing(String),
    /// It is a folder.
    #[error("`{0}` is a folder, not a model file: name the .gguf file in it")]
    Folder(String),
    /// It cannot be read.
    #[error("the model file `{path}` cannot be read: {reason}")]
    Unreadable {
        /// The file.
        path: String,
        /// The system's reason.
        reason: String,
    },
    /// It has no bytes.
    #[error("the model file `{0}` is empty")]
    Empty(String),
    /// It starts like something else.
    #[error("`{path}` is not a GGUF file: it starts with {start} instead of `GGUF`")]
    NotGguf {
        /// The file.
        path: String,
        /// Its first bytes.
        start: String,
    },
    /// A version of the format that is not known.
    #[error("`{path}` has version {version} of the GGUF format; versions 2 and 3 are known")]
    Version {
        /// The file.
        path: String,
        /// The version it names.
        version: u32,
    },
    /// Its head makes no sense.
    #[error("the model file `{path}` is broken: {what}")]
    Broken {
        /// The file.
        path: String,
        /// What makes no sense.
        what: String,
    },
    /// It ends too early.
    #[error(
        "the model file `{path}` is truncated: it has {have} bytes and ends within {within}; fetch it again"
    )]
    Truncated {
        /// The file.
        path: String,
        /// Its size.
        have: u64,
        /// Where it ends.
        within: &'static str,
    },
}

/// Checks the file.
///
/// # Errors
/// [`ModelFileError`] with the file and what is wrong with it.
pub fn check(path: &Path) -> Result<(), ModelFileError> {
    let name = path.display().to_string();
    let unreadable = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => ModelFileError::Missing(name.clone()),
        _ => ModelFileError::Unreadable { path: name.clone(), reason: error.to_string() },
    };
    let facts = std::fs::metadata(path).map_err(unreadable)?;
    if facts.is_dir() {
        return Err(ModelFileError::Folder(name));
    }
    let file = File::open(path).map_err(unreadable)?;
    if facts.len() == 0 {
        return Err(ModelFileError::Empty(name));
    }
    let mut head = Head { from: BufReader::new(file), have: facts.len(), read: 0 };
    head.check().map_err(|fault| match fault {
        Fault::Start(start) => ModelFileError::NotGguf { path: name.clone(), start },
        Fault::Version(version) => ModelFileError::Version { path: name.clone(), version },
        Fault::Broken(what) => ModelFileError::Broken { path: name.clone(), what },
        Fault::Ends(within) => ModelFileError::Truncated { path: name.clone(), have: facts.len(), within },
        Fault::Io(error) => unreadable(error),
    })
}

enum Fault {
    Start(String),
    Version(u32),
    Broken(String),
    Ends(&'static str),
    Io(io::Error),
}

struct Head<R> {
    from: R,
    have: u64,
    read: u64,
}

impl<R: Read> Head<R> {
    fn check(&mut self) -> Result<(), Fault> {
        let start: [u8; 4] = self.bytes("its first bytes")?;
        if &start != b"GGUF" {
            let shown = if start.iter().all(u8::is_ascii_graphic) {
                format!("`{}`", String::from_utf8_lossy(&start))
            } else {
                format!("the bytes {start:02x?}")
            };
            return Err(Fault::Start(shown));
        }
        let version = self.u32("the head")?;
        if !(2..=3).contains(&version) {
            return Err(Fault::Version(version));
        }
        let (tensors, entries) = (self.u64("the head")?, self.u64("the head")?);
        if tensors > MAX_COUNT || entries > MAX_COUNT {
            return Err(Fault::Broken(format!("its head names {tensors} tensors and {entries} entries")));
        }
        let mut architecture = false;
        for _ in 0..entries {
            let key = self.name("the metadata")?;
            let kind = self.u32("the metadata")?;
            architecture |= key == "general.architecture";
            self.skip_value(kind, &key, 0)?;
        }
        if !architecture {
            return Err(Fault::Broken("it does not name its architecture (`general.architecture`)".into()));
        }
        let mut furthest = 0;
        for _ in 0..tensors {
            let name = self.name("the list of tensors")?;
            let dimensions = self.u32("the list of tensors")?;
            if dimensions > 8 {
                return Err(Fault::Broken(format!("tensor `{name}` has {dimensions} dimensions")));
            }
            self.skip(u64::from(dimensions) * 8 + 4, "the list of tensors")?;
            furthest = furthest.max(self.u64("the list of tensors")?);
        }
        if tensors > 0 && self.read.saturating_add(furthest) >= self.have {
            return Err(Fault::Ends("the weights"));
        }
        Ok(())
    }

    fn skip_value(&mut self, kind: u32, key: &str, depth: u32) -> Result<(), Fault> {
        const WITHIN: &str = "the metadata";
        match kind {
            0 | 1 | 7 => self.skip(1, WITHIN),
            2 | 3 => self.skip(2, WITHIN),
            4..=6 => self.skip(4, WITHIN),
            10..=12 => self.skip(8, WITHIN),
            8 => {
                let len = self.u64(WITHIN)?;
                self.skip(len, WITHIN)
            }
            9 if depth < 4 => {
                let (kind, count) = (self.u32(WITHIN)?, self.u64(WITHIN)?);
                // Each element takes at least one byte.
                if count > self.have - self.read {
                    return Err(Fault::Ends(WITHIN));
                }
                (0..count).try_for_each(|_| self.skip_value(kind, key, depth + 1))
            }
            _ => Err(Fault::Broken(format!("the entry `{key}` has the unknown type {kind}"))),
        }
    }

    fn name(&mut self, within: &'static str) -> Result<String, Fault> {
        let len = self.u64(within)?;
        if len > self.have - self.read {
            return Err(Fault::Ends(within));
        }
        if len > MAX_NAME_BYTES {
            return Err(Fault::Broken(format!("a name in {within} has {len} bytes")));
        }
        let mut name = vec![0; usize::try_from(len).expect("bounded above")];
        self.exact(&mut name, within)?;
        Ok(String::from_utf8_lossy(&name).into_owned())
    }

    fn u32(&mut self, within: &'static str) -> Result<u32, Fault> {
        Ok(u32::from_le_bytes(self.bytes(within)?))
    }

    fn u64(&mut self, within: &'static str) -> Result<u64, Fault> {
        Ok(u64::from_le_bytes(self.bytes(within)?))
    }

    fn bytes<const N: usize>(&mut self, within: &'static str) -> Result<[u8; N], Fault> {
        let mut bytes = [0; N];
        self.exact(&mut bytes, within)?;
        Ok(bytes)
    }

    fn exact(&mut self, into: &mut [u8], within: &'static str) -> Result<(), Fault> {
        self.from.read_exact(into).map_err(|error| ends_or(error, within))?;
        self.read += into.len() as u64;
        Ok(())
    }

    fn skip(&mut self, count: u64, within: &'static str) -> Result<(), Fault> {
        let skipped = io::copy(&mut (&mut self.from).take(count), &mut io::sink()).map_err(Fault::Io)?;
        self.read += skipped;
        if skipped < count { Err(Fault::Ends(within)) } else { Ok(()) }
    }
}

fn ends_or(error: io::Error, within: &'static str) -> Fault {
    if error.kind() == io::ErrorKind::UnexpectedEof { Fault::Ends(within) } else { Fault::Io(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(bytes: &[u8]) -> String {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("model.gguf");
        std::fs::write(&path, bytes).expect("written");
        check(&path).map_or_else(|error| error.to_string(), |()| "fine".to_owned())
    }

    fn entry(key: &str, value: &str) -> Vec<u8> {
        let text = |text: &str| [(text.len() as u64).to_le_bytes().to_vec(), text.into()].concat();
        [text(key), 8u32.to_le_bytes().to_vec(), text(value)].concat()
    }

    fn head(version: u32, tensors: u64, entries: u64) -> Vec<u8> {
        [
            b"GGUF".to_vec(),
            version.to_le_bytes().into(),
            tensors.to_le_bytes().into(),
            entries.to_le_bytes().into(),
        ]
        .concat()
    }

    #[test]
    fn each_fault_is_named() {
        let sound = [head(3, 0, 1), entry("general.architecture", "llama")].concat();
        assert_eq!(verdict(&sound), "fine");
        for cut in 1..sound.len() {
            assert!(verdict(&sound[..cut]).contains("is truncated"), "{}", verdict(&sound[..cut]));
        }
        for (bytes, said) in [
            (Vec::new(), "is empty"),
            (b"<!DOCTYPE html>".to_vec(), "not a GGUF file: it starts with `<!DO`"),
            (vec![0; 64], "not a GGUF file: it starts with the bytes [00, 00, 00, 00]"),
            (head(1, 0, 0), "version 1 of the GGUF format"),
            (head(3, u64::MAX, 0), "its head names"),
            (head(3, 0, 0), "does not name its architecture"),
            ([head(3, 0, 1), entry("a", "b")].concat(), "does not name its architecture"),
            ([head(3, 0, 1), vec![0xff; 64]].concat(), "ends within the metadata"),
        ] {
            assert!(verdict(&bytes).contains(said), "{said}: {}", verdict(&bytes));
        }
    }

    #[test]
    fn what_is_no_file_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let said = |path: &Path| check(path).expect_err("no model").to_string();
        assert!(said(folder.path()).contains("is a folder"));
        assert!(said(&folder.path().join("none.gguf")).contains("none.gguf` does not exist"));
    }
}
