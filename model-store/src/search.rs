//! Repositories of the hub that have GGUF models, by words of their names.
//!
//! Rules: ORCH-CLI-24

use serde::Deserialize;

use crate::error::FetchError;
use crate::hugging_face;
use crate::progress::{Cancel, Progress, Watch};
use crate::store::Store;

/// A repository that was found.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct FoundRepository {
    /// `OWNER/REPO`.
    pub id: String,
    /// Downloads of the last month.
    #[serde(default)]
    pub downloads: u64,
    /// How many people like it.
    #[serde(default)]
    pub likes: u64,
}

impl Store {
    /// Repositories whose names have the words, those that are fetched most first. Blocks.
    ///
    /// # Errors
    /// [`FetchError`]: the hub cannot be asked, or may not be.
    pub fn search(
        &self,
        words: &str,
        limit: u32,
        progress: &dyn Progress,
        cancel: &Cancel,
    ) -> Result<Vec<FoundRepository>, FetchError> {
        if let Some(variable) = hugging_face::offline(self.env()) {
            return Err(FetchError::OfflineSearch { variable });
        }
        let remote = hugging_face::search(words, limit, self.env());
        let watch = Watch { progress, cancel };
        let text = self.text_of(&remote, self.dir().to_owned(), watch)?;
        serde_json::from_slice(&text).map_err(|_| FetchError::Protocol {
            source_name: remote.source_name.clone(),
            url: remote.url.clone(),
            reason: "it is no list of repositories".to_owned(),
        })
    }
}
