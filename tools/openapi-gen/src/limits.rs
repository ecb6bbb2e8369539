//! Emits the limits and defaults of requests as constants, so that the code that checks them has no
//! number of its own.

use crate::document::Document;
pub(crate) fn emit(document: &Document) -> anyhow::Result<String> {
    crate::emit::print("//! Limits and defaults of requests.\n", document, proc_macro2::TokenStream::new())
}
