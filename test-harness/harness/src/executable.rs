//! Where the daemon's executable and the starter model are.

use std::path::{Path, PathBuf};

/// Names another executable than the one of the same build.
pub const DAEMON_VARIABLE: &str = "LLAMA_ORCH_TEST_DAEMON";

/// Names another model file than the starter's.
pub const MODEL_VARIABLE: &str = "LLAMA_ORCH_TEST_MODEL";

/// The daemon's executable: the one that [`DAEMON_VARIABLE`] names, else the one of the build that the running
/// test or bench belongs to.
///
/// # Panics
/// When it is not there, with how to build it.
#[must_use]
pub fn daemon() -> PathBuf {
    if let Some(named) = std::env::var_os(DAEMON_VARIABLE) {
        let named = PathBuf::from(named);
        assert!(named.is_file(), "{DAEMON_VARIABLE} is `{}`, which is no file", named.display());
        return named;
    }
    let own = std::env::current_exe().expect("a running process has an executable");
    let path = beside(&own);
    assert!(
        path.is_file(),
        "the daemon is not built (`{}`): run `cargo build --workspace --all-targets`, or the tests with \
         `--workspace`, which builds it; or name one with {DAEMON_VARIABLE}",
        path.display()
    );
    path
}

/// The daemon of the same profile: executables of packages lie in the profile's folder, those of tests in
/// `deps/` below it.
fn beside(own: &Path) -> PathBuf {
    let folder = own.parent().expect("an executable lies in a folder");
    let profile = if folder.ends_with("deps") { folder.parent().unwrap_or(folder) } else { folder };
    profile.join(format!("orchestratord{}", std::env::consts::EXE_SUFFIX))
}

/// The starter model's file.
///
/// # Panics
/// When it is not on this machine, with how to fetch it.
#[must_use]
pub fn model() -> PathBuf {
    let named = std::env::var_os(MODEL_VARIABLE).map(PathBuf::from);
    let path = named.or_else(|| {
        let surroundings = model_store::Env::of_process();
        let folder = model_store::default_models_dir(&surroundings)?;
        model_store::Store::new(folder, surroundings).locate(&model_store::ModelRef::Starter)
    });
    let path = path.filter(|path| path.is_file());
    path.expect("the starter model is not on this machine: run `cargo xtask fetch-starter`")
}

#[cfg(test)]
mod tests;
