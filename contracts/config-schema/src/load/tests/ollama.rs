//! The section `ollama`.

use super::{Machine, refuses};

/// ORCH-OLLAMA-1
#[test]
fn the_api_of_ollama_is_off_by_default_and_on_loopback_alone() {
    assert_eq!(Machine::new().load().config.ollama.listen, None);
    for listen in ["127.0.0.1:11434", "[::1]:11434", "127.0.0.1:0"] {
        let config = Machine::with_file(&format!("ollama: {{listen: '{listen}'}}")).load().config;
        assert_eq!(config.ollama.listen, Some(listen.parse().expect("an address")));
        assert!(!config.ollama.require_token);
    }
    let of_others = "an address that other machines can reach\n  hint: use `127.0.0.1:11434`: programs of Ollama send \
                     no token, and `allow_non_loopback` does not go for it; other machines use the address of `listen`, \
                     with the token";
    for listen in ["0.0.0.0:11434", "192.168.1.5:11434"] {
        refuses(
            &format!("{{allow_non_loopback: true, ollama: {{listen: '{listen}'}}}}"),
            &format!("FILE:1:45: `ollama.listen` is `{listen}`, {of_others}"),
        );
    }
    let set = Machine::new().env("LLAMA_ORCH_OLLAMA_LISTEN", "127.0.0.1:11434").load().config;
    assert_eq!(set.ollama.listen.expect("an address").port(), 11434);
}

/// ORCH-CONF-7
#[test]
fn a_section_that_would_change_nothing_and_an_address_that_is_taken_are_refused() {
    refuses(
        "ollama:\n  require_token: true\n",
        "FILE:2:18: `ollama.require_token` has no effect without `ollama.listen`\n  hint: set `ollama.listen: \
         127.0.0.1:11434`, or leave both out",
    );
    refuses(
        "ollama:\n  listen: 127.0.0.1:6173\n",
        "FILE:2:11: `ollama.listen` is `127.0.0.1:6173`, which is `listen` as well\n  hint: take two ports, as 6173 and \
         11434",
    );
    refuses(
        "ollama:\n  listen: localhost:11434\n",
        "FILE:2:11: `ollama.listen` is `localhost:11434`; it must be an IP address and a port\n  hint: write \
         `127.0.0.1:11434`",
    );
    refuses(
        "ollama:\n  listen: everywhere\n",
        "FILE:2:11: `ollama.listen` is `everywhere`; it must be an IP address and a port\n  hint: write it as \
         `127.0.0.1:11434`, or `[::1]:11434` for IPv6",
    );
}
