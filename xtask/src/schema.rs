//! `cargo xtask regen-schema`: the config's JSON Schema, generated from its Rust types.
//!
//! Rules: ORCH-CONF-4, ORCH-DOC-1

use std::path::Path;

use anyhow::{Context, bail};

/// Where the schema is kept, from the root of the repository.
const SCHEMA: &str = "contracts/schemas/config.schema.json";

/// Writes the schema, or with `check` only compares it with the one that is there.
///
/// # Errors
/// When the file is stale under `check`, or cannot be written.
pub fn regen(check: bool) -> anyhow::Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(SCHEMA);
    let fresh = config_schema::json_schema();
    if std::fs::read_to_string(&path).is_ok_and(|kept| kept == fresh) {
        return Ok(());
    }
    if check {
        bail!("`{SCHEMA}` is stale\n  hint: run `cargo xtask regen-schema`");
    }
    std::fs::write(&path, fresh).with_context(|| format!("cannot write `{SCHEMA}`"))
}
