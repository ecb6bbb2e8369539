use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use http::HeaderValue;

use super::*;

const RIGHT: &str = "0123456789abcdef";

fn check(headers: &[(&'static str, &'static str)]) -> Presented {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(*name, HeaderValue::from_static(value));
    }
    ApiToken::new(RIGHT).check(&map)
}

/// ORCH-SEC-2
#[test]
fn the_token_is_taken_as_bearer_and_as_api_key() {
    for right in [
        &[("authorization", "Bearer 0123456789abcdef")][..],
        &[("authorization", "bearer   0123456789abcdef ")],
        &[("x-api-key", "0123456789abcdef")],
        &[("authorization", "Bearer something-else"), ("x-api-key", "0123456789abcdef")],
    ] {
        assert_eq!(check(right), Presented::Right, "{right:?}");
    }
}

/// ORCH-SEC-2
#[test]
fn anything_else_is_wrong_and_nothing_is_nothing() {
    assert_eq!(check(&[]), Presented::Nothing);
    for wrong in [
        &[("authorization", "Bearer 0123456789abcdeF")][..],
        &[("authorization", "Bearer 0123456789abcde")],
        &[("authorization", "Bearer 0123456789abcdef0")],
        &[("authorization", "Bearer ")],
        &[("authorization", "Basic 0123456789abcdef")],
        &[("authorization", "0123456789abcdef")],
        &[("authorization", "Bearer")],
        &[("x-api-key", "")],
    ] {
        assert_eq!(check(wrong), Presented::Wrong, "{wrong:?}");
    }
}

/// ORCH-SEC-4
#[test]
fn debug_does_not_show_the_token() {
    assert!(!format!("{:?}", ApiToken::new(RIGHT)).contains(RIGHT));
}

fn of_user(variables: &[(&str, &str)]) -> Result<PathBuf, TokenFileError> {
    let variable = |name: &str| {
        variables.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value))
    };
    TokenFile::of_user(variable).map(|file| file.path().to_owned())
}

#[test]
fn the_file_is_in_the_config_folder_of_the_user() {
    let home = ("HOME", "/home/u");
    assert_eq!(of_user(&[home]).unwrap(), Path::new("/home/u/.config/llama-orch/token"));
    assert_eq!(of_user(&[home, ("XDG_CONFIG_HOME", "/c")]).unwrap(), Path::new("/c/llama-orch/token"));
    let relative = of_user(&[home, ("XDG_CONFIG_HOME", "c")]).unwrap();
    assert_eq!(relative, Path::new("/home/u/.config/llama-orch/token"), "a relative folder is ignored");
    assert!(matches!(of_user(&[]), Err(TokenFileError::NoHome)));
}

#[cfg(unix)]
fn mode_of(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// ORCH-SEC-3
#[cfg(unix)]
#[test]
fn a_token_is_made_once_and_only_its_owner_may_read_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = TokenFile::at(folder.path().join("llama-orch").join("token"));
    let made = file.load_or_make().unwrap();
    assert!(made.expose().len() >= 32 && made.expose().bytes().all(|byte| byte.is_ascii_alphanumeric()));
    assert_eq!(mode_of(file.path()), 0o600);
    assert_eq!(mode_of(file.path().parent().unwrap()), 0o700);
    assert_eq!(file.load_or_make().unwrap().expose(), made.expose());
    let beside = fs::read_dir(file.path().parent().unwrap()).unwrap().count();
    assert_eq!(beside, 1, "nothing but the token is left in the folder");
    let other = TokenFile::at(folder.path().join("other"));
    assert_ne!(other.load_or_make().unwrap().expose(), made.expose());
}

/// ORCH-SEC-3
#[test]
fn daemons_that_start_at_once_take_the_same_token() {
    let folder = tempfile::tempdir().unwrap();
    let file = TokenFile::at(folder.path().join("llama-orch").join("token"));
    let tokens: Vec<String> = std::thread::scope(|scope| {
        let starts: Vec<_> = (0..8).map(|_| scope.spawn(|| file.load_or_make().unwrap())).collect();
        starts.into_iter().map(|start| start.join().unwrap().expose().to_owned()).collect()
    });
    assert!(tokens.iter().all(|token| *token == tokens[0]));
}

#[test]
fn a_file_without_a_token_in_it_is_an_error_that_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    for (content, holds) in [
        (String::new(), "nothing"),
        (" \n".to_owned(), "nothing"),
        ("short".to_owned(), "wrong length"),
        ("x".repeat(600), "wrong length"),
        ("two words of a token".to_owned(), "cannot stand in a header"),
    ] {
        fs::write(&path, content).unwrap();
        let error = TokenFile::at(&path).load_or_make().unwrap_err();
        assert!(matches!(error, TokenFileError::NotAToken { .. }));
        let text = error.to_string();
        assert!(text.contains(holds) && text.contains("remove it"), "{text}");
    }
    fs::write(&path, [0xff; 20]).unwrap();
    assert!(matches!(TokenFile::at(&path).load_or_make(), Err(TokenFileError::Unreadable(..))));
    fs::write(&path, "  0123456789abcdef\r\n").unwrap();
    assert_eq!(TokenFile::at(&path).load_or_make().unwrap().expose(), RIGHT);
}

#[test]
fn a_folder_that_cannot_be_made_is_an_error_that_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let in_the_way = folder.path().join("file");
    fs::write(&in_the_way, "").unwrap();
    let error = TokenFile::at(in_the_way.join("llama-orch").join("token")).load_or_make().unwrap_err();
    let text = error.to_string();
    assert!(text.contains("LLAMA_ORCH_TOKEN"), "{text}");
}
