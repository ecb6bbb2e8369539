//! Generated files: the types and the client from OpenAPI, the JSON Schema from the config's types.

/// Writes the types and the client, or checks that they are as they would be written.
///
/// # Errors
/// When they cannot be made or are stale.
pub fn openapi(_check: bool) -> anyhow::Result<()> {
    anyhow::bail!("there is no generator for OpenAPI in this checkout")
}

/// Writes the JSON Schema of the config, or checks that it is as it would be written.
///
/// # Errors
/// When it cannot be made or is stale.
pub fn schema(_check: bool) -> anyhow::Result<()> {
    anyhow::bail!("there is no generator for the config's JSON Schema in this checkout")
}
