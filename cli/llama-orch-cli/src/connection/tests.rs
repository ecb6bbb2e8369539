use std::collections::HashMap;

use super::*;

fn global(url: Option<&str>, token: Option<&str>) -> Global {
    Global { url: url.map(Into::into), token: token.map(Into::into), verbose: false, quiet: false }
}

fn find(url: Option<&str>, token: Option<&str>, variables: &[(&str, &str)]) -> Result<Connection, Failure> {
    let variables: HashMap<&str, &str> = variables.iter().copied().collect();
    let folder = variables.get("PWD").map(PathBuf::from).unwrap_or_default();
    let variable = |name: &str| variables.get(name).map(OsString::from);
    Connection::find_in(&global(url, token), &Env { variable: &variable, folder })
}

fn url(given: Option<&str>, variables: &[(&str, &str)]) -> String {
    find(given, None, variables).unwrap().url.to_string()
}

#[test]
fn the_address_comes_from_the_flag_then_the_url_then_the_listen_address() {
    let all = [("LLAMA_ORCH_URL", "http://b:2"), ("LLAMA_ORCH_LISTEN", "127.0.0.1:3")];
    assert_eq!(url(Some("http://a:1"), &all), "http://a:1/");
    assert_eq!(url(None, &all), "http://b:2/");
    assert_eq!(url(None, &all[1..]), "http://127.0.0.1:3/");
    assert_eq!(url(None, &[]), "http://127.0.0.1:6173/");
}

#[test]
fn an_address_may_lack_its_scheme_and_have_the_path_other_clients_want() {
    assert_eq!(url(Some("workstation:6173"), &[]), "http://workstation:6173/");
    assert_eq!(url(Some("http://workstation:6173/v1/"), &[]), "http://workstation:6173/");
    assert_eq!(url(Some("https://home.lan/llm/"), &[]), "https://home.lan/llm");
}

#[test]
fn a_daemon_on_all_addresses_is_reached_on_loopback() {
    assert_eq!(url(None, &[("LLAMA_ORCH_LISTEN", "[::]:6173")]), "http://[::1]:6173/");
}

#[test]
fn an_address_that_can_never_be_right_is_refused_by_name() {
    for (given, variables, named) in [
        (Some("ftp://a"), &[][..], "--url"),
        (Some("http://"), &[], "--url"),
        (Some("http://a/?x=1"), &[], "--url"),
        (None, &[("LLAMA_ORCH_URL", "http://a b")], "LLAMA_ORCH_URL"),
        (None, &[("LLAMA_ORCH_LISTEN", "6173")], "LLAMA_ORCH_LISTEN"),
        (None, &[("LLAMA_ORCH_LISTEN", "127.0.0.1:0")], "port 0"),
    ] {
        let failure = find(given, None, variables).map(|found| found.url).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        assert!(failure.message.contains(named), "{failure:?}");
        assert!(failure.hint.is_some(), "{failure:?}");
    }
}

#[test]
fn a_password_in_the_address_is_not_repeated() {
    let failure = find(Some("http://me:hunter2@a"), None, &[]).map(|found| found.url).unwrap_err();
    assert!(!format!("{failure:?}").contains("hunter2"), "{failure:?}");
}

#[test]
fn the_token_comes_from_the_flag_then_the_environment_then_the_daemons_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("llama-orch/token");
    std::fs::create_dir(file.parent().unwrap()).unwrap();
    std::fs::write(&file, "from-file\n").unwrap();
    let home = folder.path().to_str().unwrap();
    let all = [("LLAMA_ORCH_TOKEN", "from-environment"), ("XDG_CONFIG_HOME", home)];
    assert!(find(None, Some("from-flag"), &all).unwrap().token == Token::Flag("from-flag".into()));
    assert!(find(None, None, &all).unwrap().token == Token::Environment("from-environment".into()));
    assert!(find(None, None, &all[1..]).unwrap().token == Token::File(file, "from-file".into()));
}

#[test]
fn the_token_file_is_not_sent_to_another_machine() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("llama-orch")).unwrap();
    std::fs::write(folder.path().join("llama-orch/token"), "from-file").unwrap();
    let home = [("XDG_CONFIG_HOME", folder.path().to_str().unwrap())];
    // 192.0.2.0/24 is kept for documentation: no machine has such an address.
    for other in ["http://192.0.2.7:6173", "http://example.org", "http://127.0.0.1.example.org"] {
        assert!(find(Some(other), None, &home).unwrap().token == Token::NotForThere, "{other}");
    }
    for this in ["http://127.0.0.1:1", "http://[::1]:1", "http://localhost:1"] {
        assert_eq!(find(Some(this), None, &home).unwrap().token.secret(), Some("from-file"), "{this}");
    }
}

/// ORCH-SEC-4
#[test]
fn a_token_that_fits_no_header_is_refused_without_being_shown() {
    let failure = find(None, Some("two words"), &[]).map(|found| found.url).unwrap_err();
    assert_eq!(failure.exit, Exit::Usage);
    assert!(!format!("{failure:?}").contains("two words"));
}

#[test]
fn every_way_to_have_no_right_token_says_where_it_was_looked_for() {
    let at = DEFAULT_URL;
    let path = || PathBuf::from("/home/me/.config/llama-orch/token");
    for (token, named) in [
        (Token::Flag("secret".into()), "--token"),
        (Token::Environment("secret".into()), "LLAMA_ORCH_TOKEN"),
        (Token::File(path(), "secret".into()), "/home/me/.config/llama-orch/token"),
        (Token::Config(path(), "secret".into()), "/home/me/.config/llama-orch/token"),
        (Token::Missing(path()), "/home/me/.config/llama-orch/token"),
        (Token::Unreadable(path(), "holds no token".into()), "holds no token"),
        (Token::Homeless, "HOME"),
    ] {
        let failure = token.refused(at);
        assert_eq!(failure.exit, Exit::Unauthorised);
        assert!(failure.message.contains(named), "{failure:?}");
        assert!(!format!("{failure:?}{token:?}").contains("secret"));
    }
}

#[test]
fn address_and_token_come_from_the_config_file_that_the_daemon_would_read() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("llama-orch.yaml");
    std::fs::write(&file, "listen: 127.0.0.1:7000\ntoken: from-the-config-file\n").unwrap();
    let here = ("PWD", folder.path().to_str().unwrap());
    let found = find(None, None, &[here]).unwrap();
    assert_eq!(found.url.as_str(), "http://127.0.0.1:7000/");
    assert!(found.token == Token::Config(file, "from-the-config-file".into()));

    let named =
        find(None, None, &[here, ("LLAMA_ORCH_URL", "http://127.0.0.1:1"), ("LLAMA_ORCH_TOKEN", "named")]);
    let named = named.unwrap();
    assert_eq!(named.url.as_str(), "http://127.0.0.1:1/");
    assert!(named.token == Token::Environment("named".into()));

    let other = find(Some("http://192.0.2.7:6173"), None, &[here]).unwrap();
    assert!(other.token == Token::NotForThere);
}

#[test]
fn a_config_file_that_the_daemon_would_refuse_is_none() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("llama-orch.yaml"), "listen: 127.0.0.1:7000\nno_such_option: 1\n")
        .unwrap();
    assert_eq!(url(None, &[("PWD", folder.path().to_str().unwrap())]), "http://127.0.0.1:6173/");
}
