//! How long a computing thread spins before it sleeps when it waits for the others. The OpenMP library's own
//! default is so long that one busy process on the same cores makes every wait last a whole time slice: a
//! decode step then takes a hundred times as long. A short spin costs nothing on a quiet machine. The
//! library reads the setting when it is loaded, so the worker starts itself once more with it.

use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::log::{self, Level};

/// The setting of GNU's OpenMP library, in turns of the waiting loop.
const SETTING: &str = "GOMP_SPINCOUNT";

/// Measured on two cores: 100 costs a quiet machine half its speed at one stream, from 300 to the default
/// of 300,000 there is no difference; beside busy processes less is better.
const TURNS: &str = "500";

/// Starts this process anew, in its place and on its channel, with the setting; returns when somebody has
/// set it already.
pub fn make_short() {
    let set = |name| std::env::var_os(name).is_some();
    if !cfg!(target_os = "linux") || set(SETTING) || set("OMP_WAIT_POLICY") {
        return;
    }
    let Ok(own) = std::env::current_exe() else { return };
    let mut words = std::env::args_os();
    let name = words.next().unwrap_or_else(|| own.clone().into_os_string());
    let error = Command::new(own).arg0(name).args(words).env(SETTING, TURNS).exec();
    log::line(Level::Warn, "threads may wait for long on a busy machine", &[("reason", &error.to_string())]);
}
