//! The files of this folder, held to the daemon: its metrics, its exit codes, its folders. Programs that check them
//! are used where they are installed; where one is not, its test says so.
#![expect(clippy::unwrap_used, reason = "an unwrap in a test is an assertion")]
#![expect(clippy::print_stderr, reason = "a check that cannot be made is said")]

#[path = "packaging/containers.rs"]
mod containers;
#[path = "packaging/metrics.rs"]
mod metrics;
#[path = "packaging/units.rs"]
mod units;

use std::path::{Path, PathBuf};
use std::process::Command;

/// A file of this folder.
fn file(below: &str) -> String {
    let path = here().join(below);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The repository.
fn root() -> PathBuf {
    here().parent().unwrap().to_owned()
}

/// What has a program that is not there fail its test, in place of skipping it.
const REQUIRED: &str = "LLAMA_ORCH_TEST_CHECKERS";

/// Runs a program that checks; nothing where it is not installed, which is said.
fn check(program: &str, arguments: &[&str]) -> Option<Result<String, String>> {
    // `cargo xtask checkers` keeps there what the system's packages would bring with a server.
    let kept = std::env::home_dir().map(|home| home.join(".cache/llama-orch").join(program).join(program));
    let path = kept.filter(|kept| kept.is_file()).unwrap_or_else(|| program.into());
    // A user's systemd asks for it, and a machine that builds may have none.
    let output = match Command::new(path)
        .args(arguments)
        .env("XDG_RUNTIME_DIR", std::env::temp_dir())
        .output()
    {
        Ok(output) => output,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let said = format!(
                "`{program}` is not installed, so that `{program} {}` was not run; `cargo xtask checkers` gets it",
                arguments.join(" ")
            );
            assert!(std::env::var(REQUIRED).as_deref() != Ok("required"), "{said}");
            eprintln!("SKIPPED: {said}");
            return None;
        }
        Err(error) => panic!("{program}: {error}"),
    };
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    Some(if output.status.success() { Ok(said) } else { Err(said) })
}
