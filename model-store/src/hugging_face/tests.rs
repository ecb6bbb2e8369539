//! The cache of the machine, and what the hub is asked.

use super::*;

fn file() -> HfFile {
    HfFile { owner: "o".into(), repo: "r".into(), revision: None, path: "sub/f.gguf".into() }
}

fn put(cache: &Path, commit: &str, main: Option<&str>) -> PathBuf {
    let repo = cache.join("models--o--r");
    let path = repo.join("snapshots").join(commit).join("sub/f.gguf");
    std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
    std::fs::write(&path, commit).expect("a file");
    if let Some(main) = main {
        std::fs::create_dir_all(repo.join("refs")).expect("a folder");
        std::fs::write(repo.join("refs/main"), format!("{main}\n")).expect("a ref");
    }
    path
}

fn machine(root: &Path, env: &[(&str, String)]) -> Env {
    let env = env.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    Env { env, home: Some(root.join("home")) }
}

#[test]
fn caches_are_looked_through_in_the_order_of_llama_cpp() {
    let root = tempfile::tempdir().expect("a folder");
    let at = |name: &str| root.path().join(name).display().to_string();
    let order = ["LLAMA_CACHE", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"];
    let env: Vec<_> = order.iter().map(|name| (*name, at(name))).collect();
    let places = ["LLAMA_CACHE", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME/hub"];
    for place in places.iter().rev() {
        let path = put(&root.path().join(place), "c", Some("c"));
        assert_eq!(find(&file(), &machine(root.path(), &env)), Some(path));
    }
    let xdg = put(&root.path().join("XDG_CACHE_HOME/huggingface/hub"), "c", Some("c"));
    assert_eq!(find(&file(), &machine(root.path(), &env[4..])), Some(xdg));
    let home = put(&root.path().join("home/.cache/huggingface/hub"), "c", Some("c"));
    assert_eq!(find(&file(), &machine(root.path(), &[])), Some(home));
}

#[test]
fn the_commit_of_main_goes_first_and_any_other_will_do() {
    let root = tempfile::tempdir().expect("a folder");
    let env = [("HF_HUB_CACHE", root.path().display().to_string())];
    let surroundings = machine(root.path(), &env);
    assert_eq!(find(&file(), &surroundings), None);
    let old = put(root.path(), "aaa", Some("gone"));
    assert_eq!(find(&file(), &surroundings), Some(old));
    let new = put(root.path(), "bbb", Some("bbb"));
    assert_eq!(find(&file(), &surroundings), Some(new));
}

#[test]
fn the_hub_is_asked_at_its_endpoint_with_the_users_token() {
    let root = tempfile::tempdir().expect("a folder");
    let plain = remote(&file(), None, &machine(root.path(), &[]));
    assert_eq!(plain.url, "https://huggingface.co/o/r/resolve/main/sub/f.gguf");
    assert_eq!((plain.source_name.as_str(), plain.authorization), ("huggingface.co", None));

    let env = [("HF_ENDPOINT", "https://mirror.example/".to_owned()), ("HF_TOKEN", "hf_secret".to_owned())];
    let spaced = HfFile { revision: Some("refs/pr/1".into()), path: "a b/größe.gguf".into(), ..file() };
    assert_eq!(
        remote(&spaced, None, &machine(root.path(), &[])).url,
        "https://huggingface.co/o/r/resolve/refs%2Fpr%2F1/a%20b/gr%C3%B6%C3%9Fe.gguf"
    );
    let mirror = remote(&file(), Some("abc"), &machine(root.path(), &env));
    assert_eq!(mirror.url, "https://mirror.example/o/r/resolve/abc/sub/f.gguf");
    assert_eq!(mirror.authorization.as_deref(), Some("Bearer hf_secret"));
}

#[test]
fn the_token_of_a_login_is_used_and_one_that_no_header_can_carry_is_not() {
    let root = tempfile::tempdir().expect("a folder");
    let home = root.path().join("hf");
    std::fs::create_dir(&home).expect("a folder");
    let surroundings = machine(root.path(), &[("HF_HOME", home.display().to_string())]);
    assert_eq!(token(&surroundings), None);
    std::fs::write(home.join("token"), "hf_login\n").expect("a token");
    assert_eq!(token(&surroundings).as_deref(), Some("hf_login"));
    std::fs::write(home.join("token"), "two\r\nlines").expect("a token");
    assert_eq!(token(&surroundings), None);
}
