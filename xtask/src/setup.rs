//! What a fresh machine lacks: the system packages that llama.cpp is built with, and the starter model.
//! Says what is missing, installs it where apt is there and the user may, and otherwise prints the exact
//! command.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::exit::{self, Stop};
use crate::process::{self, Interrupts, Workspace, in_path};
use crate::say;

/// Something llama.cpp is built with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// The build system of llama.cpp.
    Cmake,
    /// What reads its headers for the bindings, and the compiler's own headers beside it.
    Libclang,
    /// Its compiler.
    CxxCompiler,
    /// What cmake calls.
    Make,
}

impl Need {
    const ALL: [Self; 4] = [Self::Cmake, Self::Libclang, Self::CxxCompiler, Self::Make];

    const fn name(self) -> &'static str {
        match self {
            Self::Cmake => "cmake",
            Self::Libclang => "libclang",
            Self::CxxCompiler => "a C++ compiler",
            Self::Make => "make",
        }
    }

    fn is_there(self) -> bool {
        match self {
            Self::Cmake => in_path("cmake").is_some(),
            Self::Libclang => libclang_is_there(),
            Self::CxxCompiler => ["c++", "g++", "clang++"].iter().any(|name| in_path(name).is_some()),
            Self::Make => ["make", "ninja"].iter().any(|name| in_path(name).is_some()),
        }
    }
}

/// What has apt read its lists anew: those of a machine that was just made are empty.
const APT_UPDATE: [&str; 3] = ["apt-get", "update", "-q"];

/// What installs packages on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manager {
    /// Debian, Ubuntu and theirs.
    Apt,
    /// Fedora and theirs.
    Dnf,
    /// Arch and theirs.
    Pacman,
    /// openSUSE.
    Zypper,
    /// Alpine.
    Apk,
    /// Homebrew, on macOS and Linux.
    Brew,
}

impl Manager {
    const ALL: [(Self, &'static str); 6] = [
        (Self::Apt, "apt-get"),
        (Self::Dnf, "dnf"),
        (Self::Pacman, "pacman"),
        (Self::Zypper, "zypper"),
        (Self::Apk, "apk"),
        (Self::Brew, "brew"),
    ];

    fn find() -> Option<Self> {
        Self::ALL.iter().find(|(_, program)| in_path(program).is_some()).map(|(manager, _)| *manager)
    }

    const fn package(self, need: Need) -> &'static str {
        match (need, self) {
            (Need::Cmake, _) => "cmake",
            (Need::Make, _) => "make",
            (Need::Libclang, Self::Apt) => "libclang-dev",
            (Need::Libclang, Self::Dnf | Self::Zypper) => "clang-devel",
            (Need::Libclang, Self::Pacman) => "clang",
            (Need::Libclang, Self::Apk) => "clang-dev",
            (Need::Libclang, Self::Brew) => "llvm",
            (Need::CxxCompiler, Self::Apt | Self::Apk) => "g++",
            (Need::CxxCompiler, Self::Dnf | Self::Zypper) => "gcc-c++",
            (Need::CxxCompiler, Self::Pacman | Self::Brew) => "gcc",
        }
    }

    /// The command that a person types.
    fn command(self, missing: &[Need]) -> String {
        let packages = missing.iter().map(|need| self.package(*need)).collect::<Vec<_>>().join(" ");
        match self {
            Self::Apt => apt_words(&[&packages]),
            Self::Dnf => format!("sudo dnf install -y {packages}"),
            Self::Pacman => format!("sudo pacman -S --needed --noconfirm {packages}"),
            Self::Zypper => format!("sudo zypper --non-interactive install {packages}"),
            Self::Apk => format!("sudo apk add {packages}"),
            Self::Brew => format!("brew install {packages}"),
        }
    }
}

/// Whether this user may install packages without being asked for a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rights {
    /// The user is root.
    Root,
    /// `sudo` asks nothing.
    Sudo,
    /// Neither.
    None,
}

/// What to do about what is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Nothing is missing.
    Ready,
    /// Install these packages with apt, through `sudo` or as root.
    Apt {
        /// `sudo -n`, or nothing for root.
        prefix: &'static [&'static str],
        /// The packages.
        packages: Vec<&'static str>,
    },
    /// Tell the user this, and end.
    Tell(String),
}

/// Decides what to do about what is missing.
pub fn plan(missing: &[Need], manager: Option<Manager>, rights: Rights) -> Plan {
    if missing.is_empty() {
        return Plan::Ready;
    }
    let packages = |manager: Manager| missing.iter().map(|need| manager.package(*need)).collect();
    match (manager, rights) {
        (Some(Manager::Apt), Rights::Root) => Plan::Apt { prefix: &[], packages: packages(Manager::Apt) },
        (Some(Manager::Apt), Rights::Sudo) => {
            Plan::Apt { prefix: &["sudo", "-n"], packages: packages(Manager::Apt) }
        }
        (manager, _) => Plan::Tell(advice(missing, manager)),
    }
}

fn advice(missing: &[Need], manager: Option<Manager>) -> String {
    let names = missing.iter().map(|need| need.name()).collect::<Vec<_>>().join(", ");
    let how = manager.map_or_else(
        || "install them with your system's package manager, then run this command again".to_owned(),
        |manager| format!("run this, then this command again:\n  {}", manager.command(missing)),
    );
    format!(
        "llama.cpp needs {names} to be built, and this machine lacks it; {how}\n\
         (everything but the built-in engine builds without it: `cargo xtask dev:loop --fast`)"
    )
}

/// Sees to it that llama.cpp can be built.
pub async fn packages(workspace: &Workspace, interrupts: &mut Interrupts) -> anyhow::Result<()> {
    let missing: Vec<Need> = Need::ALL.into_iter().filter(|need| !need.is_there()).collect();
    match plan(&missing, Manager::find(), rights().await) {
        Plan::Ready => say::note("cmake, libclang, make and a C++ compiler are there"),
        Plan::Tell(advice) => return Err(Stop::error(exit::PACKAGES, advice)),
        Plan::Apt { prefix, packages } => {
            apt(prefix, &packages, workspace, interrupts).await.map_err(apt_failed)?;
        }
    }
    Ok(())
}

/// Sees to it that programs are there, each named with the package of Debian and Ubuntu that brings it.
///
/// # Errors
/// When one is missing and cannot be installed.
pub async fn programs(
    wanted: &[(&str, &str)],
    workspace: &Workspace,
    interrupts: &mut Interrupts,
) -> anyhow::Result<()> {
    let (missing, there): (Vec<_>, Vec<_>) =
        wanted.iter().partition(|(_, program)| in_path(program).is_none());
    if !there.is_empty() {
        let names: Vec<_> = there.iter().map(|(_, program)| *program).collect();
        say::note(format_args!("{}: there", names.join(", ")));
    }
    if missing.is_empty() {
        return Ok(());
    }
    let packages: Vec<_> = missing.iter().map(|(package, _)| *package).collect();
    let prefix: &[&str] = match (in_path("apt-get"), rights().await) {
        (Some(_), Rights::Root) => &[],
        (Some(_), Rights::Sudo) => &["sudo", "-n"],
        _ => {
            let names: Vec<_> = missing.iter().map(|(_, program)| format!("`{program}`")).collect();
            let (names, typed) = (names.join(", "), apt_words(&packages));
            let advice = format!("not there: {names}; install what brings it, with apt:\n  {typed}");
            return Err(Stop::error(exit::PACKAGES, advice));
        }
    };
    apt(prefix, &packages, workspace, interrupts).await
}

/// Has apt read its lists anew, where this user may.
///
/// # Errors
/// When it cannot.
pub async fn update_apt(workspace: &Workspace, interrupts: &mut Interrupts) -> anyhow::Result<()> {
    let prefix: &[&str] = match rights().await {
        Rights::Root => &[],
        Rights::Sudo => &["sudo", "-n"],
        Rights::None => return Ok(()),
    };
    let words = [prefix, &APT_UPDATE].concat();
    let mut command = workspace.command(words[0]);
    command.args(&words[1..]);
    process::run(command, "sudo apt-get update", interrupts).await
}

/// What a person types to install packages with apt.
fn apt_words(packages: &[&str]) -> String {
    format!("sudo apt-get update && sudo apt-get install -y {}", packages.join(" "))
}

async fn apt(
    prefix: &[&'static str],
    packages: &[&str],
    workspace: &Workspace,
    interrupts: &mut Interrupts,
) -> anyhow::Result<()> {
    say::note(format_args!("installing {} with apt", packages.join(" ")));
    let install = [&["apt-get", "install", "-q", "-y", "--no-install-recommends"], packages].concat();
    for args in [APT_UPDATE.to_vec(), install] {
        let words = [prefix, args.as_slice()].concat();
        let mut command = workspace.command(words[0]);
        command.args(&words[1..]).env("DEBIAN_FRONTEND", "noninteractive");
        process::run(command, &apt_words(packages), interrupts).await?;
    }
    Ok(())
}

fn apt_failed(cause: anyhow::Error) -> anyhow::Error {
    if cause.is::<Stop>() {
        cause
    } else {
        Stop::because(exit::PACKAGES, "apt could not install what llama.cpp is built with", cause)
    }
}

/// What this user may.
pub async fn rights() -> Rights {
    if rustix::process::geteuid().is_root() {
        return Rights::Root;
    }
    let quiet = tokio::process::Command::new("sudo")
        .args(["-n", "true"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .await;
    if quiet.is_ok_and(|status| status.success()) { Rights::Sudo } else { Rights::None }
}

/// Looks where bindgen looks: a shared libclang, and the compiler's own headers (`stddef.h`), without
/// which it finds the library and fails on the first `#include`.
fn libclang_is_there() -> bool {
    let mut folders: Vec<PathBuf> =
        std::env::var_os("LIBCLANG_PATH").map(PathBuf::from).into_iter().collect();
    for (parent, prefix, suffix) in [
        ("/usr/lib", "llvm", "lib"),
        ("/usr/lib", "", ""),
        ("/usr/lib64", "llvm", "lib"),
        ("/usr/lib64", "llvm", "lib64"),
        ("/usr/local", "llvm", "lib"),
        ("/usr/local/opt", "llvm", "lib"),
        ("/opt/homebrew/opt", "llvm", "lib"),
        ("/home/linuxbrew/.linuxbrew/opt", "llvm", "lib"),
    ] {
        folders.extend(children(parent, prefix).into_iter().map(|folder| folder.join(suffix)));
    }
    for folder in [
        "/usr/lib",
        "/usr/lib64",
        "/usr/local/lib",
        "/usr/local/lib64",
        "/Library/Developer/CommandLineTools/usr/lib",
        "/Applications/Xcode.app/Contents/Developer/Toolchains/XcodeDefault.xctoolchain/usr/lib",
    ] {
        folders.push(folder.into());
    }
    let library = folders.iter().any(|folder| has_libclang(folder));
    let headers = folders.iter().any(|folder| {
        children(folder.join("clang"), "").iter().any(|version| version.join("include/stddef.h").is_file())
    });
    library && headers
}

fn has_libclang(folder: &Path) -> bool {
    children(folder, "libclang")
        .iter()
        .any(|file| file.file_name().and_then(|name| name.to_str()).is_some_and(is_libclang))
}

fn is_libclang(name: &str) -> bool {
    let shared = name.contains(".so") || name.ends_with(".dylib");
    shared
        && (name.starts_with("libclang.") || name.starts_with("libclang-"))
        && !name.starts_with("libclang-cpp")
}

fn children(folder: impl AsRef<Path>, prefix: &str) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    entries
        .filter_map(Result::ok)
        .filter(|entry| entry.file_name().to_str().is_some_and(|name| name.starts_with(prefix)))
        .map(|entry| entry.path())
        .collect()
}

#[cfg(test)]
mod tests;
