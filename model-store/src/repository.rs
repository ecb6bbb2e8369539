//! A reference to a repository, settled to one of its files: the one that was chosen before, one that is on this
//! machine already, or one that the hub lists. What was chosen is written down, so that a start without a network, or
//! after a change of the repository, serves the same file.
//!
//! Rules: ORCH-MODEL-17, ORCH-STORE-10

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::aside::MAX_TEXT_BYTES;
use crate::disk::make_dir;
use crate::download::pause;
use crate::error::FetchError;
use crate::hugging_face;
use crate::model_ref::{HfFile, HfRepo, ModelRef};
use crate::place;
use crate::progress::Watch;
use crate::quant::{self, Offer, RepoFile};
use crate::store::Store;
use crate::web::{Answer, NoAnswer, Remote, Web};

/// Where choices are written down, below the store's folder.
const CHOICES: &str = ".chosen";

/// A choice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Choice {
    /// The path of the file in the repository.
    pub(crate) path: String,
    /// Its checksum, where the hub says it.
    pub(crate) sha256: Option<String>,
}

/// A file or folder of the hub's listing.
#[derive(Deserialize)]
struct Entry {
    #[serde(rename = "type")]
    kind: String,
    path: String,
    #[serde(default)]
    size: u64,
    lfs: Option<Lfs>,
}

#[derive(Deserialize)]
struct Lfs {
    oid: Option<String>,
    size: Option<u64>,
}

impl Store {
    /// The file that a repository stands for, as far as this machine knows.
    pub(crate) fn settled(&self, repo: &HfRepo) -> Option<(HfFile, Option<String>)> {
        let written = std::fs::read(self.choice_path(repo)).ok();
        let written: Option<Choice> = written.and_then(|text| serde_json::from_slice(&text).ok());
        // What was written down is read as what a user might have written.
        let read = |choice: Choice| match ModelRef::parse(&format!("hf:{}", repo.file(&choice.path))) {
            Ok(ModelRef::HuggingFace(file)) => Some((file, choice.sha256)),
            _ => None,
        };
        written.and_then(read).or_else(|| Some((self.on_this_machine(repo)?, None)))
    }

    /// The file of a repository that is here already.
    fn on_this_machine(&self, repo: &HfRepo) -> Option<HfFile> {
        let mut files: Vec<RepoFile> = hugging_face::cached_files(repo, self.env())
            .into_iter()
            .map(|(path, bytes)| RepoFile { path, bytes, sha256: None })
            .collect();
        let folder = self.dir().join(place::of_repository(&repo.owner, &repo.repo, repo.revision.as_deref()));
        for kept in self.files_below(&folder) {
            if let ModelRef::HuggingFace(file) = kept.model {
                files.push(RepoFile { path: file.path, bytes: kept.bytes, sha256: None });
            }
        }
        let offers = quant::offers(&files);
        Some(repo.file(&self.pick(repo, &offers)?.file.path))
    }

    fn pick<'a>(&self, repo: &HfRepo, offers: &'a [Offer]) -> Option<&'a Offer> {
        match &repo.quant {
            Some(quant) => quant::with_quant(offers, quant),
            None => quant::best(offers, self.memory()),
        }
    }

    /// The file that a repository stands for, asked of the hub where nothing here says it.
    pub(crate) fn settle(
        &self,
        repo: &HfRepo,
        watch: Watch<'_>,
    ) -> Result<(HfFile, Option<String>), FetchError> {
        if let Some(known) = self.settled(repo) {
            return Ok(known);
        }
        self.check_online(&ModelRef::Repository(repo.clone()))?;
        let offers = quant::offers(&self.listing(repo, watch)?);
        let Some(offer) = self.pick(repo, &offers) else { return Err(no_quant(repo, &offers)) };
        watch.progress.note(&quant::describe(repo, offer, self.memory()));
        let choice = Choice { path: offer.file.path.clone(), sha256: offer.file.sha256.clone() };
        self.write_choice(repo, &choice);
        Ok((repo.file(&choice.path), choice.sha256))
    }

    fn listing(&self, repo: &HfRepo, watch: Watch<'_>) -> Result<Vec<RepoFile>, FetchError> {
        let remote = hugging_face::listing(repo, self.env());
        let put_at = self.place(&ModelRef::Repository(repo.clone()));
        let text = self.text_of(&remote, put_at, watch)?;
        let entries: Vec<Entry> = serde_json::from_slice(&text).map_err(|_| FetchError::Protocol {
            source_name: remote.source_name.clone(),
            url: remote.url.clone(),
            reason: "it is no list of files".to_owned(),
        })?;
        Ok(entries.into_iter().filter(|entry| entry.kind == "file").map(file_of).collect())
    }

    /// A text of the hub.
    pub(crate) fn text_of(
        &self,
        remote: &Remote,
        put_at: PathBuf,
        watch: Watch<'_>,
    ) -> Result<Vec<u8>, FetchError> {
        let (web, patience) = (Web::new(self.env(), self.patience()), self.patience());
        let source_name = remote.source_name.clone();
        let mut failures = 0;
        loop {
            let (reason, hint, told) = match web.get(remote, None, None, watch)? {
                Ok(Answer::Whole(mut content)) => match content.chunks.text(MAX_TEXT_BYTES, watch)? {
                    Ok(text) => return Ok(text),
                    Err(error) => (format!("the connection broke off ({error})"), "start again", None),
                },
                Ok(Answer::Unavailable(status, wait)) => {
                    (format!("the server answers {status}"), "try again later", wait)
                }
                Ok(Answer::Refused(status @ (401 | 403 | 407))) => {
                    let (url, hint) = (remote.url.clone(), remote.denied_hint);
                    return Err(FetchError::Denied { source_name, url, status, hint });
                }
                Ok(Answer::Refused(status @ (404 | 410))) => {
                    return Err(FetchError::NotFound { source_name, url: remote.url.clone(), status });
                }
                Ok(_) => ("the answer makes no sense".to_owned(), "check HF_ENDPOINT", None),
                Err(NoAnswer { reason, hint, may_pass: true }) => (reason, hint, None),
                Err(NoAnswer { reason, hint, .. }) => {
                    return Err(FetchError::Network { source_name, reason, hint, put_at });
                }
            };
            failures += 1;
            let wait = patience.wait(failures, told).filter(|_| failures < patience.attempts);
            let Some(wait) = wait else {
                return Err(FetchError::Network { source_name, reason, hint, put_at });
            };
            watch.progress.note(&format!("{source_name}: {reason}; trying again in {} s", wait.as_secs()));
            pause(wait, watch)?;
        }
    }

    fn choice_path(&self, repo: &HfRepo) -> PathBuf {
        self.dir().join(CHOICES).join(place::escaped(&repo.to_string()))
    }

    /// Writes a choice down. Without it the next start asks again, and that is all.
    fn write_choice(&self, repo: &HfRepo, choice: &Choice) {
        let path = self.choice_path(repo);
        if let (Some(folder), Ok(text)) = (path.parent(), serde_json::to_vec(choice))
            && make_dir(folder).is_ok()
        {
            let _ = std::fs::write(&path, text);
        }
    }

    /// Refuses to ask the hub where a variable forbids it.
    pub(crate) fn check_online(&self, model: &ModelRef) -> Result<(), FetchError> {
        match hugging_face::offline(self.env()) {
            Some(variable) => {
                Err(FetchError::Offline { model: model.to_string(), variable, put_at: self.place(model) })
            }
            None => Ok(()),
        }
    }
}

fn file_of(entry: Entry) -> RepoFile {
    let (oid, size) = entry.lfs.map_or((None, None), |lfs| (lfs.oid, lfs.size));
    let is_sum = |oid: &String| oid.len() == 64 && oid.bytes().all(|byte| byte.is_ascii_hexdigit());
    let sha256 = oid.filter(is_sum).map(|oid| oid.to_ascii_lowercase());
    RepoFile { path: entry.path, bytes: size.unwrap_or(entry.size), sha256 }
}

fn no_quant(repo: &HfRepo, offers: &[Offer]) -> FetchError {
    let HfRepo { owner, repo: name, .. } = repo;
    if offers.is_empty() {
        return FetchError::NoQuant {
            reason: format!("the repository `{owner}/{name}` has no GGUF model"),
            hint: format!("look for one of its quantisations: `llama-orch models search {name}`"),
        };
    }
    let quant = repo.quant.as_deref().unwrap_or_default();
    FetchError::NoQuant {
        reason: format!("the repository `{owner}/{name}` has no quantisation `{quant}`"),
        hint: format!("it has {}", quant::named(offers)),
    }
}
