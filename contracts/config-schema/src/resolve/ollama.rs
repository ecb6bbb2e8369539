//! Where the API of Ollama is spoken.
//!
//! Rules: ORCH-OLLAMA-1, ORCH-CONF-7

use std::net::SocketAddr;

use super::{address, at, is_loopback};
use crate::check::Check;
use crate::config::OllamaConfig;
use crate::raw;

const LISTEN: &str = "ollama.listen";

/// Resolves the section of a daemon that listens on `main`; nothing when something was reported.
pub(super) fn resolve(
    section: &raw::Ollama,
    main: Option<SocketAddr>,
    check: &mut Check<'_>,
) -> Option<OllamaConfig> {
    let Some(text) = &section.listen else {
        if section.require_token {
            let message = "`ollama.require_token` has no effect without `ollama.listen`".to_owned();
            let hint = "set `ollama.listen: 127.0.0.1:11434`, or leave both out";
            check.report(&at("ollama.require_token"), message, Some(hint.to_owned()));
            return None;
        }
        return Some(OllamaConfig::default());
    };
    let listen = address(LISTEN, text, "127.0.0.1:11434", check)?;
    if !is_loopback(listen) {
        let message = format!("`{LISTEN}` is `{text}`, an address that other machines can reach");
        let hint = "use `127.0.0.1:11434`: programs of Ollama send no token, and `allow_non_loopback` does not go for it; \
                    other machines use the address of `listen`, with the token";
        check.report(&at(LISTEN), message, Some(hint.to_owned()));
        return None;
    }
    if listen.port() != 0 && main == Some(listen) {
        let message = format!("`{LISTEN}` is `{text}`, which is `listen` as well");
        check.report(&at(LISTEN), message, Some("take two ports, as 6173 and 11434".to_owned()));
        return None;
    }
    Some(OllamaConfig { listen: Some(listen), require_token: section.require_token })
}
