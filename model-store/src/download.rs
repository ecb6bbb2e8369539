//! One file from the web to its place in the store. What has arrived is kept in `.NAME.part`; a later
//! attempt, in this process or the next, asks for the rest, and only takes it when it is the rest of the
//! same file.
//!
//! ```text
//!            ┌────────── broken off: wait, ask for the rest ◄─────────┐
//!            ▼                                                        │
//! lock ─► request ─► receive into .part ─► whole? ──no────────────────┘
//!                                            └─yes─► sha256 ─► fsync ─► rename
//! ```
//!
//! Rules: ORCH-MODEL-3, ORCH-STORE-1, ORCH-STORE-2, ORCH-STORE-7, ORCH-STORE-8

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::aside::CANCEL_POLL;
use crate::at_path::{AtPath, look};
use crate::checked::{Sum, sum_of};
use crate::content::{self, STUB_BYTES};
use crate::disk::{Lock, beside, check_room, in_units, make_dir, publish, write_failed};
use crate::error::FetchError;
use crate::progress::{Phase, Transfer, Watch};
use crate::rejections::{Rejected, Rejections};
use crate::web::{Answer, Content, From, NoAnswer, Remote, RetryPolicy, Web};

/// The longest wait between two attempts, where the server names none.
const MAX_BACKOFF: Duration = Duration::from_secs(8);

/// The longest wait that a server may ask for. Who asks for more is not waited for.
pub(crate) const MAX_TOLD_WAIT: Duration = Duration::from_secs(15 * 60);

/// The parts of the store that a download uses.
pub(crate) struct Tools<'a> {
    pub(crate) web: &'a Web,
    pub(crate) patience: RetryPolicy,
    pub(crate) rejections: &'a Rejections,
    /// Bytes that the weights of a model may take, where that is known.
    pub(crate) memory: Option<u64>,
    pub(crate) watch: Watch<'a>,
}

/// One file to fetch.
pub(crate) struct Download<'a> {
    pub(crate) remote: &'a Remote,
    pub(crate) target: &'a Path,
    pub(crate) sha256: Option<&'a str>,
    pub(crate) existing: Existing,
}

/// What becomes of a file that has the name already when the download's turn comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Existing {
    /// It stays: another process brought it, or it is another version that somebody serves.
    Keep,
    /// It makes room unless its checksum is right: its name says which checksum it must have.
    Repair,
}

impl Existing {
    /// Whether a file under the target's name stays, and nothing is to be fetched.
    pub(crate) fn stays(
        self,
        target: &Path,
        sha256: Option<&str>,
        watch: Watch<'_>,
    ) -> Result<bool, FetchError> {
        match (look(target)?, self) {
            (AtPath::Nothing | AtPath::Empty, _) => Ok(false),
            (AtPath::File, Self::Keep) => Ok(true),
            (AtPath::File, Self::Repair) => {
                let failed = |cause| FetchError::Read { path: target.to_owned(), cause };
                let mut file = File::open(target).map_err(failed)?;
                let bytes = file.metadata().map_err(failed)?.len();
                let found = sum_of(&mut file, target, bytes, watch)?.finish();
                Ok(sha256 == Some(found.as_str()))
            }
        }
    }
}

/// A file whose download has begun.
struct Part {
    path: PathBuf,
    notes: PathBuf,
    file: File,
    len: u64,
    sum: Sum,
    /// Its first bytes, by which a page of HTML is told from a model.
    start: Vec<u8>,
    validator: Option<String>,
    total: Option<u64>,
    /// Whether an earlier download left some of its bytes.
    is_from_before: bool,
}

/// Why one attempt brought no whole file.
enum RetryCause {
    /// Trying again is of no use.
    Final(FetchError),
    /// Trying again may help.
    Passing { reason: String, hint: &'static str, wait: Option<Duration> },
}

impl std::convert::From<FetchError> for RetryCause {
    fn from(error: FetchError) -> Self {
        Self::Final(error)
    }
}

impl Download<'_> {
    /// Fetches the file and returns its checksum; nothing when a file of the name is there and stays. No
    /// whole file changes before the new one is complete and verified: an error leaves all as it was, but
    /// for the part.
    pub(crate) fn run(&self, tools: &Tools<'_>) -> Result<Option<String>, FetchError> {
        make_dir(self.target.parent().unwrap_or(Path::new(".")))?;
        let _lock = Lock::acquire(self.target, tools.watch)?;
        if self.existing.stays(self.target, self.sha256, tools.watch)? {
            return Ok(None);
        }
        let mut part = Part::open(self.target, &self.remote.url, tools)?;
        loop {
            if let Err(error) = self.receive_all(&mut part, tools) {
                if part.len == 0 {
                    part.remove();
                }
                return Err(error);
            }
            let found = part.sum.clone().finish();
            match self.sha256 {
                Some(expected) if expected != found && part.is_from_before => {
                    // Bytes of an earlier fetch may be of another version, or torn by a crash.
                    tools.watch.progress.note("the resumed download has the wrong checksum; starting over");
                    part.restart()?;
                }
                Some(expected) if expected != found => {
                    part.remove();
                    if let Some(validator) = part.validator.take() {
                        let version = Rejected { validator, found: found.clone() };
                        tools.rejections.put(&self.remote.url, expected, version);
                    }
                    return Err(self.wrong_checksum(expected, found));
                }
                _ => {
                    publish(&part.file, &part.path, self.target)?;
                    let _ = std::fs::remove_file(&part.notes);
                    return Ok(Some(found));
                }
            }
        }
    }

    fn receive_all(&self, part: &mut Part, tools: &Tools<'_>) -> Result<(), FetchError> {
        let mut failures = 0;
        loop {
            tools.watch.check()?;
            let before = part.len;
            let (reason, hint, wait) = match self.receive(part, tools) {
                Ok(()) => return Ok(()),
                Err(RetryCause::Final(error)) => return Err(error),
                Err(RetryCause::Passing { reason, hint, wait }) => (reason, hint, wait),
            };
            failures = if part.len > before { 1 } else { failures + 1 };
            if failures >= tools.patience.attempts {
                return Err(self.network_error(reason, hint));
            }
            let told = wait;
            let Some(wait) = tools.patience.wait(failures, told) else {
                let reason = format!("{reason}, and wants no request for {} s", seconds(told));
                return Err(self.network_error(reason, "try again then"));
            };
            let when = if wait < Duration::from_secs(1) {
                String::new()
            } else {
                format!(" in {} s", seconds(Some(wait)))
            };
            tools.watch.progress.note(&format!("{}: {reason}; trying again{when}", self.remote.source_name));
            pause(wait, tools.watch)?;
        }
    }

    /// One request and what comes of it.
    fn receive(&self, part: &mut Part, tools: &Tools<'_>) -> Result<(), RetryCause> {
        let can_resume = part.len > 0 && (part.validator.is_some() || self.sha256.is_some());
        if !can_resume {
            part.restart()?;
        }
        let validator = part.validator.clone();
        let from = can_resume.then_some(From { offset: part.len, validator: validator.as_deref() });
        let rejected = self
            .sha256
            .filter(|_| !can_resume)
            .and_then(|expected| Some((expected, tools.rejections.get(&self.remote.url, expected)?)));
        let unless = rejected.as_ref().map(|(_, version)| version.validator.as_str());
        match tools.web.get(self.remote, from.as_ref(), unless, tools.watch)? {
            Ok(Answer::Whole(content)) => {
                part.restart()?;
                self.take(part, content, tools)
            }
            Ok(Answer::Rest(content)) if part.goes_on_with(&content) => self.take(part, content, tools),
            Ok(Answer::PastEnd(total)) if total == Some(part.len) => Ok(()),
            Ok(Answer::Rest(_) | Answer::PastEnd(_)) => {
                part.restart()?;
                Err(RetryCause::Passing {
                    reason: "the file there has changed".into(),
                    hint: "start again",
                    wait: None,
                })
            }
            Ok(Answer::Unavailable(status, wait)) => {
                let reason = format!("the server answers {status}");
                Err(RetryCause::Passing { reason, hint: "try again later", wait })
            }
            Ok(Answer::Unchanged) => Err(RetryCause::Final(match rejected {
                Some((expected, version)) => self.wrong_checksum(expected, version.found),
                None => self.nonsense("the answer has the status 304".to_owned()),
            })),
            Ok(Answer::Refused(status)) => Err(RetryCause::Final(self.refused(status))),
            Ok(Answer::Odd(status)) => {
                Err(RetryCause::Final(self.nonsense(format!("the answer has the status {status}"))))
            }
            Err(NoAnswer { reason, hint, may_pass: true }) => {
                Err(RetryCause::Passing { reason, hint, wait: None })
            }
            Err(NoAnswer { reason, hint, may_pass: false }) => {
                Err(RetryCause::Final(self.network_error(reason, hint)))
            }
        }
    }

    fn take(&self, part: &mut Part, mut content: Content, tools: &Tools<'_>) -> Result<(), RetryCause> {
        part.total = content.total;
        part.validator = content.validator.take();
        part.write_notes(&self.remote.url);
        if let Some(total) = part.total {
            check_room(self.target.parent().unwrap_or(Path::new(".")), total.saturating_sub(part.len))?;
        }
        self.note_fit(part, tools);
        let source = self.remote.source_name.as_str();
        loop {
            tools.watch.progress.transfer(Transfer {
                phase: Phase::Fetching,
                source,
                done: part.len,
                total: part.total,
            });
            let chunk = content.chunks.next(tools.watch)?.map_err(|error| RetryCause::Passing {
                reason: format!("the connection broke off ({error})"),
                hint: "start again to go on where it broke off",
                wait: None,
            })?;
            if chunk.is_empty() {
                break;
            }
            let was_told = part.start.len() == STUB_BYTES;
            part.append(&chunk)?;
            if !was_told && part.start.len() == STUB_BYTES {
                self.check_start(part)?;
            }
            if part.total.is_some_and(|total| part.len > total) {
                part.restart()?;
                return Err(RetryCause::Final(
                    self.nonsense("more bytes came than were announced".to_owned()),
                ));
            }
        }
        match part.total {
            Some(total) if part.len < total => Err(RetryCause::Passing {
                reason: format!("the connection broke off at {} of {total} bytes", part.len),
                hint: "start again to go on where it broke off",
                wait: None,
            }),
            _ if part.len == 0 => Err(RetryCause::Final(self.nonsense("it is empty".to_owned()))),
            _ => self.check_start(part),
        }
    }

    /// Says of a model that is about to be fetched whether it will fit this machine.
    fn note_fit(&self, part: &Part, tools: &Tools<'_>) {
        let (Some(total), Some(memory), 0) = (part.total, tools.memory, part.len) else { return };
        let name = self.target.file_name().unwrap_or_default().to_string_lossy();
        let (size, room) = (in_units(total), in_units(memory));
        tools.watch.progress.note(&if total <= memory {
            format!("`{name}` is {size} and will fit: this machine has {room} for weights")
        } else {
            format!("`{name}` is {size} and will not fit: this machine has {room} for weights")
        });
    }

    /// Refuses what is no model before all of it is fetched, and keeps nothing of it.
    fn check_start(&self, part: &mut Part) -> Result<(), RetryCause> {
        let Some(fault) = content::fault(&part.start, self.sha256) else { return Ok(()) };
        part.restart()?;
        Err(RetryCause::Final(self.nonsense(fault)))
    }

    fn network_error(&self, reason: String, hint: &'static str) -> FetchError {
        let source_name = self.remote.source_name.clone();
        FetchError::Network { source_name, reason, hint, put_at: self.target.to_owned() }
    }

    fn wrong_checksum(&self, expected: &str, found: String) -> FetchError {
        FetchError::FetchedChecksum {
            url: self.remote.url.clone(),
            expected: expected.to_owned(),
            found,
            hint: "check the pool's `sha256` and `model`; the file on the server may have been replaced",
        }
    }

    fn nonsense(&self, reason: String) -> FetchError {
        let source_name = self.remote.source_name.clone();
        FetchError::Protocol { source_name, url: self.remote.url.clone(), reason }
    }

    fn refused(&self, status: u16) -> FetchError {
        let (source_name, url) = (self.remote.source_name.clone(), self.remote.url.clone());
        match status {
            401 | 403 | 407 => FetchError::Denied { source_name, url, status, hint: self.remote.denied_hint },
            404 | 410 => FetchError::NotFound { source_name, url, status },
            _ => self.nonsense(format!("the answer has the status {status}")),
        }
    }
}

impl Part {
    /// Opens what an earlier download of the same URL left, or begins anew. Without notes, the checksum
    /// decides at the end whether the bytes were of the same file.
    fn open(target: &Path, url: &str, tools: &Tools<'_>) -> Result<Self, FetchError> {
        let (path, notes) = (beside(target, "part"), beside(target, "part.json"));
        let failed = |cause| FetchError::Write { path: path.clone(), cause };
        let mut options = OpenOptions::new();
        let mut file =
            options.create(true).read(true).write(true).truncate(false).open(&path).map_err(failed)?;
        let len = file.metadata().map_err(failed)?.len();
        let (is_of_url, validator, total) = match read_notes(&notes) {
            Some(read) => (read.url == url, read.validator, read.total),
            None => (true, None, None),
        };
        let (mut sum, mut start) = (Sum::default(), Vec::new());
        if len > 0 && is_of_url {
            sum = sum_of(&mut file, &path, len, tools.watch)?;
            let read =
                File::open(&path).and_then(|file| file.take(STUB_BYTES as u64).read_to_end(&mut start));
            read.map_err(|cause| FetchError::Read { path: path.clone(), cause })?;
        }
        let is_from_before = len > 0;
        let mut part = Self { path, notes, file, len, sum, start, validator, total, is_from_before };
        if !is_of_url {
            part.restart()?;
        }
        Ok(part)
    }

    fn restart(&mut self) -> Result<(), FetchError> {
        if self.len > 0 {
            let seek = self.file.set_len(0).and_then(|()| self.file.seek(SeekFrom::Start(0)));
            seek.map_err(|cause| FetchError::Write { path: self.path.clone(), cause })?;
        }
        (self.len, self.sum, self.validator, self.total) = (0, Sum::default(), None, None);
        self.start.clear();
        self.is_from_before = false;
        Ok(())
    }

    /// Whether what comes is of the same version. A server may send the rest of another one in spite of
    /// `If-Range`; what it does not tell cannot differ.
    fn goes_on_with(&self, content: &Content) -> bool {
        let is_same_length = self.total.is_none() || self.total == content.total;
        let validators = (&self.validator, &content.validator);
        is_same_length && !matches!(validators, (Some(old), Some(new)) if old != new)
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), FetchError> {
        let still_to_come = self.total.unwrap_or(0).saturating_sub(self.len).max(bytes.len() as u64);
        self.file.write_all(bytes).map_err(|cause| write_failed(&self.path, cause, still_to_come))?;
        self.sum.update(bytes);
        let missing = STUB_BYTES - self.start.len();
        self.start.extend_from_slice(&bytes[..bytes.len().min(missing)]);
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// Writes down what the part is a part of. Without it a later process begins anew, and that is all.
    fn write_notes(&self, url: &str) {
        let notes = serde_json::json!({"url": url, "validator": self.validator, "total": self.total});
        let _ = std::fs::write(&self.notes, notes.to_string());
    }

    fn remove(&self) {
        let _ = std::fs::remove_file(&self.path);
        let _ = std::fs::remove_file(&self.notes);
    }
}

/// Moves the part that an earlier version of the program left under another name, when its notes say that it
/// is of this URL.
pub(crate) fn adopt_part(legacy: &Path, target: &Path, url: &str) {
    let [old, new] = [legacy, target].map(|path| (beside(path, "part"), beside(path, "part.json")));
    let is_ours = read_notes(&old.1).is_some_and(|notes| notes.url == url);
    if is_ours && !new.0.exists() && target.parent().is_some_and(|folder| make_dir(folder).is_ok()) {
        // What cannot be moved is fetched again, and that is all.
        let _ = std::fs::rename(&old.0, &new.0).and_then(|()| std::fs::rename(&old.1, &new.1));
    }
}

/// What a part is a part of.
struct Notes {
    url: String,
    validator: Option<String>,
    total: Option<u64>,
}

fn read_notes(path: &Path) -> Option<Notes> {
    let notes: serde_json::Value = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
    let text = |key: &str| notes[key].as_str().map(str::to_owned);
    Some(Notes { url: text("url")?, validator: text("validator"), total: notes["total"].as_u64() })
}

impl RetryPolicy {
    /// How long to wait after so many attempts in a row that brought nothing: as long as the server says. Nothing
    /// where that is too long.
    pub(crate) fn wait(&self, failures: u32, told: Option<Duration>) -> Option<Duration> {
        let backoff = self.backoff.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(MAX_BACKOFF);
        Some(told.unwrap_or(backoff)).filter(|wait| *wait <= MAX_TOLD_WAIT)
    }
}

/// Whole seconds, rounded up.
fn seconds(wait: Option<Duration>) -> u64 {
    wait.unwrap_or_default().as_secs_f64().ceil() as u64
}

pub(crate) fn pause(wait: Duration, watch: Watch<'_>) -> Result<(), FetchError> {
    let mut left = wait;
    while !left.is_zero() {
        watch.check()?;
        let step = left.min(CANCEL_POLL);
        std::thread::sleep(step);
        left -= step;
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod server;
#[cfg(test)]
pub(crate) mod tests;
