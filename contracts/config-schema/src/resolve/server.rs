//! The program that serves a pool, where that is not the built-in engine.
//!
//! Rules: ORCH-ENG-24, ORCH-ENG-25, ORCH-ENG-36, ORCH-ENG-37

use std::path::{Path as FilePath, PathBuf};

use http::Uri;

use super::{Places, span};
use crate::check::Check;
use crate::config::{ApiKey, Engine, ServerConfig, ServerSource};
use crate::raw;
use crate::tree::{Node, Path};

/// What stands in a command, or in a variable of it, for the port on which it has to listen.
const PORT: &str = "{port}";

/// The server of a pool; nothing where there is none, and where something about it was reported.
pub(super) fn server(
    pool: &raw::Pool,
    pool_path: &Path,
    root: &Node,
    places: &Places<'_>,
    check: &mut Check<'_>,
) -> Option<ServerConfig> {
    let path = pool_path.key("server");
    let Some(written) = &pool.server else {
        if pool.engine != Engine::Llamacpp {
            let path = pool_path.key("engine");
            let hint = "add `server: {url: http://127.0.0.1:8000}` for one that runs already, or \
                        `server: {command: [PROGRAM, ...]}` for one to start";
            let message =
                format!("`{path}` is `{}`, which is not built in: it needs a `server`", pool.engine.as_str());
            check.report(&path, message, Some(hint.to_owned()));
        }
        return None;
    };
    let api_key = written.api_key.as_ref().map(|key| (ApiKey::new(key), path.key("api_key")));
    if let Some((None, path)) = &api_key {
        let message = format!("`{path}` has characters in it that an HTTP header cannot carry");
        let hint = "use letters, digits and punctuation of ASCII, no spaces";
        check.report(path, message, Some(hint.to_owned()));
    }
    let stop_command = written.stop_command.clone().unwrap_or_default();
    stoppable(written, &stop_command, &path, check);
    fixed_port(pool, written, &path, check);
    let source = source(written, &path, places, check);
    let ca_file = ca_file(written, &path, root, places, check);
    Some(ServerConfig {
        source: source?,
        ca_file,
        stop_command,
        slots: pool.slots,
        api_key: api_key.and_then(|(key, _)| key),
        start_timeout: span(written.start_timeout_s),
        silence_timeout: span(written.silence_timeout_s),
    })
}

/// The file of `tls.ca_file`, absolute; `tls` without an `https://` URL is reported.
fn ca_file(
    written: &raw::Server,
    path: &Path,
    root: &Node,
    places: &Places<'_>,
    check: &mut Check<'_>,
) -> Option<PathBuf> {
    let tls = written.tls.as_ref()?;
    let mut urls = written.url.iter().flat_map(raw::Urls::all);
    if !urls.any(|url| url.starts_with("https://")) {
        let path_of_it = path.key("tls");
        let message = format!("`{path_of_it}` has no effect without an `https://` URL in `{path}.url`");
        check.report(&path_of_it, message, Some("leave it out".to_owned()));
        return None;
    }
    places.absolute(FilePath::new(tls.ca_file.as_ref()?), &path.key("tls").key("ca_file"), root, check)
}

/// Reports a command to stop what is not started here, or one that cannot be run.
fn stoppable(written: &raw::Server, stop_command: &[String], path: &Path, check: &mut Check<'_>) {
    let path_of_it = path.key("stop_command");
    if written.stop_command.is_some() && written.command.is_none() {
        let message =
            format!("`{path_of_it}` has no effect without `{path}.command`: somebody else ends that server");
        check.report(&path_of_it, message, Some("leave it out".to_owned()));
    }
    if stop_command.first().is_some_and(|program| program.trim().is_empty()) {
        let path = path_of_it.index(0);
        check.report(&path, format!("`{path}` is empty; it must be the program to run"), None);
    }
    if let Some(place) = stop_command.iter().position(|argument| argument.contains('\0')) {
        let path = path_of_it.index(place);
        check.report(&path, format!("`{path}` has a NUL character in it, which no argument can have"), None);
    }
}

/// Reports a port of a server that is not started here, and one that several replicas would share.
fn fixed_port(pool: &raw::Pool, written: &raw::Server, path: &Path, check: &mut Check<'_>) {
    let Some(port) = written.port else { return };
    let at = path.key("port");
    if written.command.is_none() {
        let message = format!("`{at}` has no effect without `{path}.command`");
        check.report(&at, message, Some(format!("write it into `{path}.url`")));
    }
    if pool.replicas.is_some_and(|replicas| replicas > 1) {
        let message = format!("`{at}` is {port}, at which one replica can listen, and there are to be more");
        check.report(
            &at,
            message,
            Some("put `{port}` into `command` instead, or leave `replicas` out".to_owned()),
        );
    }
}

fn source(
    written: &raw::Server,
    path: &Path,
    places: &Places<'_>,
    check: &mut Check<'_>,
) -> Option<ServerSource> {
    match (&written.url, &written.command) {
        (Some(url), None) => {
            if !written.env.is_empty() {
                let message = format!(
                    "`{path}.env` has no effect with `{path}.url`: that server is started by somebody else"
                );
                let hint = "leave it out, or start the server with `command`";
                check.report(&path.key("env"), message, Some(hint.to_owned()));
            }
            attached(url, &path.key("url"), check)
        }
        (None, Some(command)) => managed(written, command, path, places, check),
        (Some(_), Some(_)) => {
            let message = format!("`{path}` has both `url` and `command`");
            let hint = "keep `url` for a server that runs already, `command` for one to start";
            check.report(&path.key("command"), message, Some(hint.to_owned()));
            None
        }
        (None, None) => {
            let message = format!("`{path}` has neither `url` nor `command`");
            let hint = "give `url` for a server that runs already, `command` for one to start";
            check.report(path, message, Some(hint.to_owned()));
            None
        }
    }
}

/// The servers of `urls`; nothing where one of them was reported.
fn attached(urls: &raw::Urls, path: &Path, check: &mut Check<'_>) -> Option<ServerSource> {
    let mut found = Vec::with_capacity(urls.all().len());
    for (place, url) in urls.all().iter().enumerate() {
        let path = match urls {
            raw::Urls::One(_) => path.clone(),
            raw::Urls::Many(_) => path.index(place),
        };
        match base_url(url) {
            Ok(url) if found.contains(&url) => {
                let message = format!("`{path}` is `{url}`, a server that stands before it");
                check.report(&path, message, Some("name each server once".to_owned()));
            }
            Ok(url) => found.push(url),
            Err(why) => {
                // What stands before an `@` may be a password.
                let shown = if url.contains('@') { "not shown" } else { url };
                let message = format!("`{path}` is `{shown}`, which is not the URL of a server: {why}");
                check.report(&path, message, Some("write it as `http://127.0.0.1:8080`".to_owned()));
            }
        }
    }
    (found.len() == urls.all().len()).then_some(ServerSource::Urls(found))
}

fn managed(
    written: &raw::Server,
    command: &[String],
    path: &Path,
    places: &Places<'_>,
    check: &mut Check<'_>,
) -> Option<ServerSource> {
    let before = check.problems.len();
    let command_path = path.key("command");
    if command.first().is_some_and(|program| program.trim().is_empty()) {
        let path = command_path.index(0);
        check.report(&path, format!("`{path}` is empty; it must be the program to start"), None);
    }
    if let Some(place) = command.iter().position(|argument| argument.contains('\0')) {
        let path = command_path.index(place);
        check.report(&path, format!("`{path}` has a NUL character in it, which no argument can have"), None);
    }
    for (name, value) in &written.env {
        let path = path.key("env").key(name);
        if name.is_empty() || name.contains(['=', '\0']) {
            let message = format!("`{path}` is not a name that an environment variable can have");
            check.report(&path, message, None);
        } else if value.contains('\0') {
            check.report(&path, format!("`{path}` has a NUL character in it"), None);
        } else if let Err(missing) = fill_variables(value, |name| places.env.get(name).cloned()) {
            let message = format!("`{path}` has `${{{missing}}}` in it, and the daemon has no such variable");
            let hint = "set it where the daemon is started, or write `$${` for a plain `${`";
            check.report(&path, message, Some(hint.to_owned()));
        }
    }
    let says_port = command.iter().chain(written.env.values()).any(|text| text.contains(PORT));
    if !says_port && written.port.is_none() {
        let message = format!("`{command_path}` does not say `{PORT}`, the port on which it has to listen");
        let hint = "add the program's own option for it, as `--port`, `{port}`, or set `port` where it has a fixed one";
        check.report(&command_path, message, Some(hint.to_owned()));
    }
    (check.problems.len() == before).then(|| ServerSource::Command {
        command: command.to_owned(),
        env: written.env.clone(),
        port: written.port,
    })
}

/// The daemon's own token, which no engine is told.
const TOKEN: &str = "LLAMA_ORCH_TOKEN";

/// A text with each `${NAME}` replaced by what `variable` has under the name, and `$${` by `${`.
///
/// # Errors
/// The name of a variable that is not there, or that no engine gets.
pub fn fill_variables(text: &str, variable: impl Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        if rest[..at].ends_with('$') {
            filled.push_str(&rest[..at - 1]);
            filled.push_str("${");
            rest = &rest[at + 2..];
            continue;
        }
        filled.push_str(&rest[..at]);
        let Some((name, after)) = rest[at + 2..].split_once('}') else {
            return Err(rest[at + 2..].to_owned());
        };
        let value = variable(name).filter(|_| name != TOKEN);
        filled.push_str(&value.ok_or_else(|| name.to_owned())?);
        rest = after;
    }
    filled.push_str(rest);
    Ok(filled)
}

/// The URL without a slash at its end.
fn base_url(url: &str) -> Result<String, &'static str> {
    let uri: Uri = url.parse().map_err(|_| "it cannot be read")?;
    match uri.scheme_str() {
        Some("http" | "https") => {}
        Some(_) => return Err("its scheme is neither `http` nor `https`"),
        None => return Err("it does not start with `http://` or `https://`"),
    }
    let authority = uri.authority().ok_or("it has no host")?;
    if authority.as_str().contains('@') {
        return Err("a user and password in it are not sent; the server's key goes into `api_key`");
    }
    if url.contains(['?', '#']) {
        return Err("it has a query or a fragment");
    }
    if authority.host().trim_matches(['[', ']']).is_empty() {
        return Err("it has no host");
    }
    let after = authority.as_str().strip_prefix(authority.host()).unwrap_or_default();
    if !after.is_empty() && authority.port_u16().is_none_or(|port| port == 0) {
        return Err("its port is not a number from 1 to 65535");
    }
    Ok(url.trim_end_matches('/').to_owned())
}
