//! Whether a command line asks for JSON.
//!
//! Rules: ORCH-CLI-8

use std::ffi::OsString;

use super::{Alone, Asking, Command, ConfigCommand, ModelsCommand, Shortcut};

impl Command {
    /// Whether it asks for JSON.
    pub const fn json(&self) -> bool {
        match self {
            Self::Asking(command) => command.json(),
            Self::Doctor(args) => args.json,
            Self::Logs(args) => args.json,
            Self::Alone(command) => command.json(),
        }
    }
}

impl Asking {
    const fn json(&self) -> bool {
        match self {
            Self::Run(args) => args.json,
            Self::Chat(args) => args.json,
            Self::Status(args) => args.json,
            Self::Top(args) => args.json,
            Self::Bench(args) => args.json,
            Self::Launch(_) => false,
            Self::Models(args) => match &args.command {
                Some(command) => command.json(),
                None => args.list.json,
            },
            Self::Reload(args) => args.json,
            Self::Retire(args) | Self::Activate(args) => args.json,
            Self::Explain(args) => args.json,
            Self::Cancel(args) => args.json,
            Self::Health(args) => args.json,
            Self::Shortcut(command) => command.json(),
        }
    }
}

impl ModelsCommand {
    const fn json(&self) -> bool {
        match self {
            Self::List(args) => args.json,
            Self::Pull(args) => args.json,
            Self::Search(args) => args.json,
            Self::Show(args) => args.json,
            Self::Remove(args) => args.json,
            Self::Pin(args) | Self::Unpin(args) | Self::Unload(args) => args.json,
        }
    }
}

impl Shortcut {
    const fn json(&self) -> bool {
        match self {
            Self::List(args) => args.json,
            Self::Pull(args) => args.json,
            Self::Show(args) => args.json,
            Self::Rm(args) => args.json,
            Self::Stop(args) => args.json,
        }
    }
}

impl Alone {
    const fn json(&self) -> bool {
        match self {
            Self::Config(args) => match &args.command {
                ConfigCommand::Init(args) => args.json,
            },
            Self::Import(args) => args.json,
            Self::Completions { .. } | Self::Man(_) | Self::Serve => false,
        }
    }
}

/// Whether arguments that are no command line ask for JSON all the same.
pub fn asked_for(arguments: impl Iterator<Item = OsString>) -> bool {
    arguments.take_while(|argument| argument != "--").any(|argument| argument == "--json")
}
