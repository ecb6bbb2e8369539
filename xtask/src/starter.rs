//! Fetches the starter model into the folder where the daemon looks for it: with progress, resumed when
//! it was broken off, its checksum checked.

use crate::process::Interrupts;

/// Sees to it that the starter model is on this machine.
///
/// # Errors
/// [`crate::exit::FETCH`] when it is not there and cannot be fetched.
#[expect(clippy::unused_async, reason = "placeholder")]
pub async fn fetch(_interrupts: &mut Interrupts) -> anyhow::Result<()> {
    Ok(())
}
