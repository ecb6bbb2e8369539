//! A configuration on its way to the place where the daemon looks for one: read as the daemon reads it before
//! it is there, and never in place of another without a word.
//!
//! Rules: ORCH-STORE-5, ORCH-CLI-11

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use config_schema::{FILE_NAME, LoadRequest, load};
use serde_json::{Value, json};

use crate::context::Stop;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::ui::Ui;

/// What the file that was there before is called afterwards.
const KEPT_SUFFIX: &str = "yaml.before";

/// A configuration that is to be written.
pub struct Draft<'a> {
    pub text: &'a str,
    /// Whether it takes the place of one that is there, which is kept beside it.
    pub force: bool,
}

/// Where it is, and where the one before it is now.
pub struct Written {
    path: PathBuf,
    kept: Option<PathBuf>,
}

/// The file that a daemon started here reads, or would read: the one that LLAMA_ORCH_CONFIG names, else the one in
/// the user's config folder.
///
/// # Errors
/// There is no home folder, or the working folder is gone.
pub fn place() -> Result<PathBuf, Failure> {
    let request = LoadRequest::of_process(None, Vec::new())
        .map_err(|error| Failure::new(Exit::Failed, format!("the working folder is gone: {error}")))?;
    let named = request.env.get("LLAMA_ORCH_CONFIG").filter(|path| !path.is_empty());
    if let Some(named) = named {
        return Ok(request.cwd.join(named));
    }
    request.user_config_dir().map(|dir| dir.join(FILE_NAME)).ok_or_else(|| {
        Failure::new(Exit::Failed, "neither XDG_CONFIG_HOME nor HOME says where to write it")
            .hint("set LLAMA_ORCH_CONFIG to the file, or print it with `--print`")
    })
}

impl Draft<'_> {
    /// Puts it at `path`.
    ///
    /// # Errors
    /// There is one already, the daemon would refuse this one, or the system does.
    pub fn write(&self, path: PathBuf) -> Result<Written, Failure> {
        let is_there = path.symlink_metadata().is_ok();
        if is_there && !self.force {
            return Err(Failure::new(Exit::Refused, format!("`{}` is there already", path.display()))
                .hint("`--force` writes a new one and keeps this one beside it; `--print` only prints"));
        }
        let failed = |error: io::Error| {
            Failure::new(Exit::Failed, format!("`{}` cannot be written: {error}", path.display()))
        };
        let dir = path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(dir).map_err(failed)?;
        let beside = path.with_extension(format!("yaml.{}", std::process::id()));
        let outcome = self.write_and_check(&beside).map_err(|error| match error {
            Refused::ByTheSystem(error) => failed(error),
            Refused::ByTheDaemon(why) => Failure::of_text(
                Exit::Failed,
                &format!("the daemon would refuse what was to be written to `{}`: {why}", path.display()),
            ),
        });
        let kept = is_there.then(|| path.with_extension(KEPT_SUFFIX));
        let moved = outcome.and_then(|()| replace(&beside, &path, kept.as_deref()).map_err(failed));
        if moved.is_err() {
            // What went wrong is said already.
            let _ = fs::remove_file(&beside);
        }
        moved.map(|()| Written { path, kept })
    }

    /// There may be a token in it one day: it is the owner's alone.
    fn write_and_check(&self, path: &Path) -> Result<(), Refused> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path).map_err(Refused::ByTheSystem)?;
        file.write_all(self.text.as_bytes()).and_then(|()| file.sync_all()).map_err(Refused::ByTheSystem)?;
        // Without the environment: it is this text that is to be right.
        let request = LoadRequest {
            explicit: Some(path.to_owned()),
            cwd: path.parent().unwrap_or(Path::new("/")).to_owned(),
            home: std::env::home_dir(),
            ..LoadRequest::default()
        };
        load(&request).map(|_| ()).map_err(|error| Refused::ByTheDaemon(error.to_string()))
    }
}

/// Gives the new file its name in one step, so that there is a whole configuration at every moment, and keeps
/// the old one under another name. An error leaves the old one where it was.
fn replace(new: &Path, path: &Path, kept: Option<&Path>) -> io::Result<()> {
    let Some(kept) = kept else { return fs::rename(new, path) };
    let old = new.with_extension("old");
    // A second name for it; where the file system has no such names, or it is a link, a copy.
    let is_link = path.symlink_metadata()?.is_symlink();
    if is_link || fs::hard_link(path, &old).is_err() {
        fs::copy(path, &old)?;
    }
    let moved = fs::rename(&old, kept).and_then(|()| fs::rename(new, path));
    if moved.is_err() {
        let _ = fs::remove_file(&old);
    }
    moved
}

enum Refused {
    ByTheSystem(io::Error),
    ByTheDaemon(String),
}

impl Written {
    /// For programs.
    pub fn to_json(&self) -> Value {
        json!({ "path": self.path, "kept": self.kept })
    }

    /// For people: the path on standard output, so that it can be opened.
    ///
    /// # Errors
    /// Nobody reads.
    pub fn say(&self, ui: &mut Ui) -> Result<(), Stop> {
        ui.print(&self.path.display().to_string())?;
        if let Some(kept) = &self.kept {
            ui.say(&format!("the one that was there is `{}` now", kept.display()));
        }
        Ok(())
    }
}
