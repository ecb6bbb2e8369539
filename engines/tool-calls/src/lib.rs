//! How models write calls of tools in their text. Pure: text in, values out; no engine and no I/O.
//!
//! ```text
//! chat template ──detect──► ToolFormat ──┬─ ToolParser: the answer's text, piece by piece ─► content and calls
//!                                        ├─ force: a grammar that leaves nothing but calls
//!                                        └─ plain: a conversation for a template that knows no tools
//! ```
//!
//! What is read here was written by a model and is never trusted: what is no call comes out as content.

pub mod detect;
pub mod force;
mod format;
mod gemma;
mod json;
pub mod parser;
pub mod plain;
mod xml;

pub use detect::{detect, marks};
pub use force::{ROOT, either, force, promise, schema_of};
pub use format::ToolFormat;
pub use parser::{ToolEvent, ToolParser};
pub use xml::may_be_text;
