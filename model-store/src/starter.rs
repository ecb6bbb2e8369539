//! The starter model: SmolLM2-135M-Instruct (Apache-2.0), quantised to Q4_1, 94 MiB, of one commit of a
//! repository on Hugging Face.
//!
//! Rules: ORCH-STORE-6

use std::path::Path;

use crate::error::FetchError;
use crate::hugging_face;
use crate::model_ref::HfFile;
use crate::surroundings::Env;
use crate::web::Remote;

pub(crate) const FILE: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";
pub(crate) const SHA256: &str = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53";

/// The commit of the repository.
pub(crate) const COMMIT: &str = "ab810cf68114990406fdf996510dd3d3c6adbdf5";

/// The file as the hub names it.
pub(crate) fn on_the_hub() -> HfFile {
    HfFile {
        owner: "QuantFactory".to_owned(),
        repo: "SmolLM2-135M-Instruct-GGUF".to_owned(),
        revision: None,
        path: FILE.to_owned(),
    }
}

/// Where it is fetched from.
pub(crate) fn remote(surroundings: &Env) -> Remote {
    hugging_face::remote(&on_the_hub(), Some(COMMIT), surroundings)
}

/// Adds to an error of the hub what else its user can do: nobody has chosen this model or its source.
pub(crate) fn with_ways_out(error: FetchError, target: &Path) -> FetchError {
    if error.is_of_the_source() {
        FetchError::Starter { reason: error.headline(), put_at: target.to_owned() }
    } else {
        error
    }
}
