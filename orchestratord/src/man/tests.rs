//! What is on the page.

use super::*;

/// The page without what is only for `man`.
fn plain() -> String {
    page().replace("\\-", "-").replace("\\fB", "").replace("\\fR", "").replace("\\&", "")
}

/// ORCH-INST-7
#[test]
fn the_page_has_every_option_command_variable_file_and_exit_code() {
    let page = plain();
    for section in
        ["NAME", "SYNOPSIS", "OPTIONS", "COMMANDS", "ENVIRONMENT", "FILES", "EXIT STATUS", "EXAMPLES"]
    {
        assert!(
            page.contains(&format!(".SH {section}\n")) || page.contains(&format!(".SH \"{section}\"\n")),
            "{section}"
        );
    }
    let command = Cli::command();
    for option in command.get_arguments().filter_map(|argument| argument.get_long()) {
        assert!(page.contains(&format!("--{option}")), "{option}");
    }
    for sub in command.get_subcommands() {
        let entry = format!(".TP\n{}\n", sub.get_name());
        assert_eq!(page.contains(&entry), !sub.is_hide_set(), "{}", sub.get_name());
    }
    for variable in variables() {
        assert!(page.contains(&format!(".TP\n{}\n", variable.name)), "{}", variable.name);
    }
    for (code, what) in exit::CODES {
        assert!(page.contains(&format!(".TP\n{code}\n{what}.")), "{code}");
    }
    for (path, _) in FILES {
        assert!(page.contains(path), "{path}");
    }
}

/// ORCH-INST-7
#[test]
fn every_variable_of_ours_that_is_no_option_is_on_the_page() {
    let page = plain();
    // Where the command line finds the daemon is no matter of the daemon's.
    for name in config_schema::OTHER_VARIABLES.iter().filter(|name| **name != "LLAMA_ORCH_URL") {
        assert!(page.contains(&format!(".TP\n{name}\n")), "{name}");
    }
}

#[test]
fn what_stands_between_backticks_is_bold() {
    assert_eq!(inlines("a `b` c"), [roman("a "), bold("b"), roman(" c")]);
    assert_eq!(inlines("`b`"), [bold("b")]);
}
