//! Models in several files: all of them are fetched, and the first one's name stands for them.
//!
//! Rules: ORCH-STORE-9

use std::path::Path;

use super::Store;
use crate::at_path::{AtPath, Obstacle, PartName, files_of, look};
use crate::download::{Download, Existing};
use crate::error::FetchError;
use crate::hugging_face;
use crate::model_ref::{HfFile, ModelRef};
use crate::progress::Watch;
use crate::web::Remote;

impl Store {
    /// Fetches the other files of a model in several, beside the first one.
    pub(super) fn fetch_parts(
        &self,
        model: &ModelRef,
        first: &Path,
        watch: Watch<'_>,
    ) -> Result<(), FetchError> {
        let files = files_of(first);
        if files.len() == 1 || matches!(model, ModelRef::File(_)) {
            return Ok(());
        }
        let count = files.len();
        for (number, target) in (2_u32..).zip(&files[1..]) {
            if matches!(look(target)?, AtPath::File) {
                continue;
            }
            let Some(mut remote) = self.remote_of_part(model, number) else { continue };
            remote.source_name = format!("{} (file {number} of {count})", remote.source_name);
            self.check_online(model)?;
            let download = Download { remote: &remote, target, sha256: None, existing: Existing::Keep };
            self.download_to(&download, watch)?;
        }
        Ok(())
    }

    /// Where a later part of a model is.
    fn remote_of_part(&self, model: &ModelRef, number: u32) -> Option<Remote> {
        let numbered = |path: &str| {
            let (folder, name) = path
                .rsplit_once('/')
                .map_or(("", path), |(_, name)| (&path[..path.len() - name.len()], name));
            Some(format!("{folder}{}", PartName::read(name)?.name(number)))
        };
        match model {
            ModelRef::HuggingFace(file) => {
                let file = HfFile { path: numbered(&file.path)?, ..file.clone() };
                Some(hugging_face::remote(&file, None, &self.surroundings))
            }
            ModelRef::Url(url) => Some(Remote::open(&numbered(url)?)),
            _ => None,
        }
    }

    /// Refuses a reference to a later part of a model: the first stands for all of them.
    pub(super) fn check_first_part(&self, model: &ModelRef) -> Result<(), FetchError> {
        let ModelRef::HuggingFace(file) = model else { return Ok(()) };
        let name = file.path.rsplit('/').next().unwrap_or_default();
        match PartName::read(name) {
            Some(part) if part.number > 1 => {
                let (number, count) = (part.number, part.count);
                let folder = &file.path[..file.path.len() - name.len()];
                let first = HfFile { path: format!("{folder}{}", part.name(1)), ..file.clone() };
                let obstacle = Obstacle::LaterPart { number, count, first: format!("hf:{first}") };
                Err(FetchError::Obstacle { path: self.place(model), obstacle })
            }
            _ => Ok(()),
        }
    }
}
