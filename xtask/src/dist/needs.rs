//! What a program asks of the machine it runs on, as the program itself says: its shared libraries, and the oldest
//! C library that has all it calls.
//!
//! Rules: ORCH-INST-6

use std::fmt;
use std::path::Path;

use anyhow::{Context, ensure};

/// What every Linux system with the GNU C library has.
const SYSTEM: [&str; 8] = [
    "libc.so.6",
    "libm.so.6",
    "libgcc_s.so.1",
    "libdl.so.2",
    "libpthread.so.0",
    "librt.so.1",
    "ld-linux-x86-64.so.2",
    "ld-linux-aarch64.so.1",
];
/// What comes with a card's driver or its own software, by the back end that needs it.
const BACK_ENDS: [(&str, &[&str]); 3] = [
    ("cuda", &["libcuda.so."]),
    ("vulkan", &["libvulkan.so."]),
    ("rocm", &["libamdhip64.so.", "librocblas.so.", "libhipblas.so."]),
];
/// The runtimes that are linked statically where their archives are: each with the library that is needed otherwise.
const RUNTIMES: [(&str, &str); 2] = [("libstdc++.a", "libstdc++.so."), ("libgomp.a", "libgomp.so.")];

/// What one program needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needs {
    /// The names of its shared libraries, in its own order.
    libraries: Vec<String>,
    /// The newest version of the GNU C library that it names, as numbers.
    glibc: Vec<u32>,
}

/// Whether the runtimes of C++ and OpenMP are in the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runtimes {
    /// They are, and the program needs neither.
    Inside,
    /// This toolchain has no archives of them.
    Shared,
}

impl Runtimes {
    /// What this machine's compiler can do.
    pub async fn of_toolchain() -> Self {
        for (archive, _) in RUNTIMES {
            let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
            let asked =
                tokio::process::Command::new(compiler).arg(format!("--print-file-name={archive}")).output();
            // A compiler that has no such file says its bare name.
            let found = asked.await.is_ok_and(|said| {
                Path::new(String::from_utf8_lossy(&said.stdout).trim()).is_absolute() && said.status.success()
            });
            if !found {
                return Self::Shared;
            }
        }
        Self::Inside
    }
}

impl Needs {
    /// Reads what a program says of itself.
    ///
    /// # Errors
    /// When it cannot be read, or `readelf` is not there.
    pub async fn of(program: &Path) -> anyhow::Result<Self> {
        let mut readelf = tokio::process::Command::new("readelf");
        readelf.args(["--wide", "--dynamic", "--version-info"]).arg(program).env("LC_ALL", "C");
        let said = readelf.output().await.context("cannot start `readelf`, which comes with binutils")?;
        let why = String::from_utf8_lossy(&said.stderr);
        ensure!(said.status.success(), "`readelf` cannot read `{}`: {}", program.display(), why.trim());
        Ok(Self::read(&String::from_utf8_lossy(&said.stdout)))
    }

    /// Reads what `readelf` prints.
    fn read(text: &str) -> Self {
        let libraries = text
            .lines()
            .filter(|line| line.contains("(NEEDED)"))
            .filter_map(|line| Some(line.split_once('[')?.1.split_once(']')?.0.to_owned()))
            .collect();
        let versions = text.split_whitespace().filter_map(|word| {
            let numbers = word.strip_prefix("GLIBC_")?.split('.');
            numbers.map(str::parse).collect::<Result<Vec<u32>, _>>().ok()
        });
        Self { libraries, glibc: versions.max().unwrap_or_default() }
    }

    /// Libraries that neither every system has nor the back ends bring.
    pub fn strangers(&self, back_ends: &[String], runtimes: Runtimes) -> Vec<&str> {
        let brought = BACK_ENDS.iter().filter(|(name, _)| back_ends.iter().any(|wanted| wanted == name));
        let mut allowed: Vec<&str> = brought.flat_map(|(_, names)| names.iter().copied()).collect();
        if runtimes == Runtimes::Shared {
            allowed.extend(RUNTIMES.map(|(_, library)| library));
        }
        let known = |name: &&str| SYSTEM.contains(name) || allowed.iter().any(|one| name.starts_with(one));
        self.libraries.iter().map(String::as_str).filter(|name| !known(name)).collect()
    }
}

impl fmt::Display for Needs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.libraries.join(", "))?;
        let version: Vec<String> = self.glibc.iter().map(u32::to_string).collect();
        if version.is_empty() { Ok(()) } else { write!(f, "; glibc {} or later", version.join(".")) }
    }
}

#[cfg(test)]
mod tests;
