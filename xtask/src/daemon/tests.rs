use std::collections::BTreeMap;

use config_schema::{LoadRequest, load};

use super::*;

/// What the daemon is given of `variables` by `config`.
fn given(config: &Config, variables: &[(&str, &str)]) -> BTreeMap<String, String> {
    let mut command = Command::new("orchestratord");
    config.apply(&mut command, variables.iter().map(|(name, _)| OsString::from(name)));
    let mut env: BTreeMap<String, String> =
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    for (name, value) in command.as_std().get_envs() {
        let name = name.to_str().unwrap().to_owned();
        match value {
            Some(value) => env.insert(name, value.to_str().unwrap().to_owned()),
            None => env.remove(&name),
        };
    }
    env
}

#[test]
fn the_users_own_configuration_does_not_decide_what_the_demonstration_serves() {
    let user = tempfile::tempdir().unwrap();
    let own = "pools: [{id: mine, model: /home/me/large.gguf}]\ntoken: another-token-of-mine\n";
    std::fs::write(user.path().join("llama-orch.yaml"), own).unwrap();
    let empty = tempfile::tempdir().unwrap();
    let config = Config::write(empty.path().join("orchestratord-demo.yaml"), "").unwrap();
    let own = user.path().join("llama-orch.yaml");
    let env = given(
        &config,
        &[
            ("LLAMA_ORCH_CONFIG", own.to_str().unwrap()),
            ("LLAMA_ORCH_POOLS_0_MODEL", "/home/me/other.gguf"),
            ("LLAMA_ORCH_QUEUE_BATCH", "3"),
            ("LLAMA_ORCH_MODELS", "/models"),
            ("LLAMA_ORCH_TOKEN", "the-token-that-the-user-knows"),
            ("XDG_CONFIG_HOME", user.path().to_str().unwrap()),
            ("PATH", "/bin"),
        ],
    );
    let names: Vec<&str> = env.keys().map(String::as_str).collect();
    let kept = ["LLAMA_ORCH_CONFIG", "LLAMA_ORCH_MODELS", "LLAMA_ORCH_TOKEN", "PATH", "XDG_CONFIG_HOME"];
    assert_eq!(names, kept);

    let request = |env, cwd: &Path| LoadRequest {
        explicit: None,
        env,
        cwd: cwd.to_owned(),
        home: Some(PathBuf::from("/home/me")),
        overrides: Vec::new(),
    };
    let loaded = load(&request(env.clone(), user.path())).unwrap();
    assert_eq!(loaded.source, Some(empty.path().join("orchestratord-demo.yaml")));
    let none = BTreeMap::from_iter(env.into_iter().filter(|(name, _)| KEPT.contains(&name.as_str())));
    let default = load(&request(none, Path::new("/nowhere"))).unwrap();
    assert_eq!(default.source, None);
    assert_eq!(loaded.config, default.config);
    let token = loaded.config.access.token.map(|token| token.expose().to_owned());
    assert_eq!(token.as_deref(), Some("the-token-that-the-user-knows"));
}
