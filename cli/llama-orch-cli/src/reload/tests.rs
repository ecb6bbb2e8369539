use super::*;

#[test]
fn a_path_starts_from_this_folder_where_the_daemon_is_on_this_machine() {
    let folder = Path::new("/here");
    let given = |model: &str| as_the_daemon_takes_it(model, Host::This, folder);
    assert_eq!(given("a.gguf"), "file:/here/a.gguf");
    assert_eq!(given("file:sub/a.gguf"), "file:/here/sub/a.gguf");
    assert_eq!(given("/m/a.gguf"), "file:/m/a.gguf");
    assert_eq!(given("~/a.gguf"), "file:~/a.gguf");
    for model in ["starter", "hf:o/r/a.gguf", "https://h/a.gguf", "Qwen/Qwen3-8B"] {
        assert_eq!(given(model), model);
    }
    assert_eq!(as_the_daemon_takes_it("a.gguf", Host::Other, folder), "a.gguf");
}

#[test]
fn the_daemons_own_advice_is_a_hint() {
    let message = "there is no file `/x`\n  hint: put it there".to_owned();
    let back = RolledBack { status: RollbackStatus::Refused, code: RollbackCode::ModelUnavailable, message };
    let failure = failure("a", &back);
    assert_eq!(
        (failure.message.as_str(), failure.hint.as_deref()),
        ("there is no file `/x`", Some("put it there"))
    );
}
