//! Model references and the files they stand for: found where they already are, fetched where they are
//! not, and checked. It blocks, and belongs on a thread that may; it logs nothing and prints nothing: what
//! there is to say goes through [`Progress`] and in what it returns.
//!
//! ```text
//! ModelRef ──Store::locate──► a file that is there
//!          └─Store::fetch───► lock ─► NAME.part (resumed) ─► sha256 ─► fsync ─► NAME, or NAME@VERSION
//! Store::files, Store::remove    what is in the folder, and out of it
//! ```

pub mod error;
pub mod gguf;
pub mod kept;
pub mod model_ref;
pub mod progress;
pub mod store;
pub mod surroundings;

mod aside;
mod at_path;
mod checked;
mod content;
mod disk;
mod download;
mod hugging_face;
mod place;
mod quant;
mod rejections;
mod repository;
mod search;
mod starter;
mod web;

pub use at_path::{Obstacle, bytes_of, files_of};
pub use content::Stub;
pub use error::FetchError;
pub use kept::{Extent, KeptFile, RemoveError};
pub use model_ref::{HfFile, HfRepo, InvalidModelRef, ModelRef};
pub use progress::{Cancel, Phase, Progress, Silent, Transfer};
pub use search::FoundRepository;
pub use store::{Fetched, Presence, Store};
pub use surroundings::{Env, default_models_dir};

/// The name of the starter model's file in the store.
pub const STARTER_FILE: &str = starter::FILE;
/// The SHA-256 of the starter model's file.
pub const STARTER_SHA256: &str = starter::SHA256;
