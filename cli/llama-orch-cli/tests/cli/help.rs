//! The help: it teaches, so that it is looked at whole.

use crate::program::{program, run};

fn help(arguments: &[&str]) -> String {
    let done = run(program(arguments));
    assert_eq!((done.code, done.err.as_str()), (Some(0), ""), "{arguments:?}");
    done.out
}

/// ORCH-CLI-4
#[test]
fn help_teaches_with_examples_and_lists_the_exit_codes() {
    insta::assert_snapshot!("help", help(&["--help"]));
}

#[test]
fn help_of_every_command_stays_as_it_was_read() {
    for command in ["run", "chat", "status", "cancel", "health", "completions", "man"] {
        insta::assert_snapshot!(format!("help_{command}"), help(&[command, "--help"]));
    }
    for command in ["top", "bench", "doctor", "config", "import", "logs"] {
        insta::assert_snapshot!(format!("help_{command}"), help(&[command, "--help"]));
    }
    insta::assert_snapshot!("help_config_init", help(&["config", "init", "--help"]));
    for command in ["models", "reload", "retire", "activate", "explain"] {
        insta::assert_snapshot!(format!("help_{command}"), help(&[command, "--help"]));
    }
    for command in ["list", "pull", "search", "show", "remove"] {
        insta::assert_snapshot!(format!("help_models_{command}"), help(&["models", command, "--help"]));
    }
}

#[test]
fn a_command_that_is_missing_is_a_usage_error_with_help() {
    let done = run(program(&[]));
    assert_eq!((done.code, done.out.as_str()), (Some(2), ""));
    assert!(done.err.contains("Usage: llama-orch"), "{done:?}");
}

/// ORCH-CLI-9
#[test]
fn completions_know_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let script = help(&["completions", shell]);
        assert!(script.contains("max-wait"), "{shell}");
    }
}

/// ORCH-CLI-9
#[test]
fn every_command_has_a_manual_page() {
    let dir = tempfile::tempdir().unwrap();
    let man = dir.path().join("man1");
    let done = run(program(&["man", "--dir", man.to_str().unwrap()]));
    assert_eq!((done.code, done.out.as_str()), (Some(0), ""), "{done:?}");
    let page = |name: &str| std::fs::read_to_string(man.join(name)).unwrap();
    assert!(page("llama-orch.1").contains("llama\\-orch\\-run(1)"));
    assert!(page("llama-orch-run.1").contains("max\\-wait"));
    assert!(page("llama-orch-models-pull.1").contains("sha256"));
    assert_eq!(help(&["man"]), page("llama-orch.1"));
    assert!(!man.join("llama-orch-help.1").exists());
}

#[test]
fn manual_pages_go_nowhere_that_cannot_be_written_to() {
    let done = run(program(&["man", "--dir", "/dev/null/man1"]));
    assert_eq!(done.code, Some(1));
    assert!(done.err.starts_with("error: `/dev/null/man1` cannot be written to"), "{done:?}");
}
