//! The manual page of `orchestratord`: one page with its options, commands, variables, files and exit codes,
//! each taken from where the program itself has it.
//!
//! Rules: ORCH-INST-7

use clap::CommandFactory as _;
use config_schema::{FILE_NAME, variables};
use orchestratord::exit;
use roff::{Inline, Roff, bold, roman};

use crate::args::{CONFIGURATION, Cli, EXAMPLES, SIGNALS};

/// Variables that are no options of the configuration.
const OTHER_VARIABLES: [(&str, &str); 10] = [
    ("LLAMA_ORCH_CONFIG", "The configuration file, as `--config` names it."),
    ("LLAMA_ORCH_MODELS", "Another name for `LLAMA_ORCH_MODELS_DIR`."),
    ("HF_TOKEN", "The token for models of the Hugging Face hub that are not open to everyone."),
    ("HF_ENDPOINT", "Where `hf:` models are fetched from, in place of the hub."),
    ("HF_HUB_OFFLINE", "Set to 1, the hub is not asked: what is on this machine is used."),
    ("HF_HOME, HF_HUB_CACHE", "Where the hub's own programs keep models: they are used from there."),
    (
        "XDG_CONFIG_HOME",
        "The folder of `llama-orch/llama-orch.yaml` and `llama-orch/token`, in place of `~/.config`.",
    ),
    ("XDG_CACHE_HOME", "The folder of `llama-orch/models`, in place of `~/.cache`."),
    ("NO_COLOR", "No colours in the log, also on a terminal."),
    (
        "NOTIFY_SOCKET, WATCHDOG_USEC",
        "Set by systemd, which is told when the daemon answers, that it lives, and that it \
      stops.",
    ),
];

/// What it reads and makes.
const FILES: [(&str, &str); 4] = [
    (
        "./llama-orch.yaml, ~/.config/llama-orch/llama-orch.yaml",
        "The configuration; none is needed. `orchestratord \
      --print-config` shows all of it, `llama-orch config init` writes one to begin with.",
    ),
    (
        "~/.config/llama-orch/token",
        "The API token, made at the first start for its owner alone, unless the configuration \
      or `LLAMA_ORCH_TOKEN` has one. `llama-orch` finds it there.",
    ),
    ("~/.cache/llama-orch/models", "Models that were fetched."),
    (
        "/etc/llama-orch/llama-orch.yaml, /var/lib/llama-orch",
        "Configuration and state of the unit for the whole machine.",
    ),
];

/// The page, as `man` reads it.
pub fn page() -> String {
    let command = Cli::command().disable_help_subcommand(true);
    let mut head = Vec::new();
    let man = clap_mangen::Man::new(command.clone());
    let rendered = man
        .render_title(&mut head)
        .and_then(|()| man.render_name_section(&mut head))
        .and_then(|()| man.render_synopsis_section(&mut head))
        .and_then(|()| man.render_description_section(&mut head))
        .and_then(|()| man.render_options_section(&mut head));
    rendered.expect("memory can be written to");
    String::from_utf8(head).expect("a page is text") + &rest(&command).to_roff()
}

/// The sections that only a daemon's page has.
fn rest(command: &clap::Command) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["COMMANDS"]);
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        let about = sub.get_about().map(ToString::to_string).unwrap_or_default();
        entry(&mut roff, sub.get_name(), &(about + "."));
    }
    roff.control("SH", ["CONFIGURATION"]);
    roff.text(inlines(CONFIGURATION));
    roff.control("SH", ["SIGNALS"]);
    roff.text(inlines(SIGNALS));
    roff.control("SH", ["ENVIRONMENT"]);
    for (name, about) in OTHER_VARIABLES {
        entry(&mut roff, name, about);
    }
    roff.control("PP", []);
    roff.text(inlines(&format!(
        "Every option of `{FILE_NAME}` has a variable. A number is the place of an entry in its list, `NAME` the name of \
         an entry."
    )));
    for variable in variables() {
        let default = variable.default.map(|value| format!(" Default: `{value}`.")).unwrap_or_default();
        entry(&mut roff, &variable.name, &format!("`{}`: {}{default}", variable.path, variable.about));
    }
    roff.control("SH", ["FILES"]);
    for (path, about) in FILES {
        entry(&mut roff, path, about);
    }
    roff.control("SH", ["EXIT STATUS"]);
    for (code, what) in exit::CODES {
        entry(&mut roff, &code.to_string(), &format!("{what}."));
    }
    roff.control("SH", ["EXAMPLES"]);
    for (line, what) in EXAMPLES {
        entry(&mut roff, line, &format!("{what}."));
    }
    roff.control("SH", ["SEE ALSO"]);
    roff.text([bold("llama-orch"), roman("(1), "), bold("systemctl"), roman("(1)")]);
    roff
}

/// A name with what is to be said of it, set in.
fn entry(roff: &mut Roff, name: &str, about: &str) {
    roff.control("TP", []);
    roff.text([bold(name)]);
    roff.text(inlines(about));
}

/// What stands between backticks is bold.
fn inlines(text: &str) -> Vec<Inline> {
    let parts = text.split('`').enumerate().filter(|(_, part)| !part.is_empty());
    parts.map(|(place, part)| if place % 2 == 1 { bold(part) } else { roman(part) }).collect()
}

#[cfg(test)]
mod tests;
