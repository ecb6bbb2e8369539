//! `cargo run -p openapi-gen [-- --check]`: what `cargo xtask regen-openapi` runs.

use std::io::Write as _;

use openapi_gen::{Mode, regen, repository_root};

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mode = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => Mode::Write,
        ["--check"] => Mode::Check,
        _ => anyhow::bail!("unknown arguments {arguments:?}: use none, or `--check`"),
    };
    let written = regen(&repository_root(), mode)?;
    let mut out = std::io::stdout().lock();
    for path in written {
        writeln!(out, "wrote {path}")?;
    }
    Ok(())
}
