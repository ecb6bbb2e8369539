//! Model references and the files they stand for: found where they already are, fetched where they are
//! not, and checked. It blocks, and belongs on a thread that may; it logs nothing and prints nothing.

pub mod model_ref;

pub use model_ref::{HfFile, InvalidModelRef, ModelRef};
