use std::os::unix::fs::PermissionsExt;

use super::*;

#[test]
fn a_token_that_others_can_read_is_a_warning_with_the_command_that_mends_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    assert_eq!(token_file(&path).status, Verdict::Ok);
    std::fs::write(&path, "0123456789abcdef").unwrap();
    let with_mode = |mode| {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        token_file(&path)
    };
    assert_eq!(with_mode(0o600).status, Verdict::Ok);
    let open = with_mode(0o644);
    assert_eq!(open.status, Verdict::Warn);
    assert!(open.hint.unwrap().starts_with(&format!("`chmod 600 {}`", path.display())));
}

#[test]
fn a_program_is_found_in_the_path_when_it_can_be_run() {
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("llama-server");
    std::fs::write(&program, "").unwrap();
    let path = || Some(dir.path().as_os_str());
    assert_eq!(find_program("llama-server", path()), None);
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(find_program("llama-server", path()), Some(program.clone()));
    assert_eq!(find_program(program.to_str().unwrap(), None), Some(program.clone()));
    assert_eq!(find_program("vllm", path()), None);
}

#[test]
fn an_address_of_a_server_has_a_port_also_when_it_is_the_usual_one() {
    assert_eq!(host_and_port("http://[::1]:8000/v1"), Some(("::1".to_owned(), 8000)));
    assert_eq!(host_and_port("http://box"), Some(("box".to_owned(), 80)));
    assert_eq!(host_and_port("box"), None);
}
