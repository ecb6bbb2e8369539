use super::*;

fn pool(model: &str) -> Pool {
    Pool { model: model.to_owned(), ..Pool::default() }
}

#[test]
fn every_pool_has_a_name_of_its_own_that_a_pool_may_have() {
    let mut carried = Carried::default();
    for name in ["llama3.2:3b", "llama3.2-3b", "Qwen/Qwen3", "--", &"x".repeat(200)] {
        carried.add(name, pool("starter"));
    }
    let ids: Vec<&str> = carried.pools.iter().map(|one| one.pool.id.as_str()).collect();
    assert_eq!(ids[..4], ["llama3.2-3b", "llama3.2-3b-2", "qwen-qwen3", "model"]);
    assert_eq!(ids[4].len(), 60);
    for _ in 5..=POOLS_MAX {
        carried.add("more", pool("starter"));
    }
    assert_eq!(carried.pools.len(), POOLS_MAX);
    assert_eq!(carried.left_out.len(), 1);
}

#[test]
fn a_pool_says_what_differs_from_the_defaults_and_nothing_else() {
    let mut carried = Carried::default();
    carried.add(
        "a\nb",
        Pool { ctx: Some(config_schema::raw::Ctx::Tokens(4096)), preload: false, ..pool("file:/m/a.gguf") },
    );
    carried.leave_out("a", "its\ntemplate");
    assert_eq!(
        carried.to_yaml("somewhere"),
        "# Written by somewhere.\n# Model files are used where they are.\n#\n# Not carried over:\n# - a: its template\n\n\
         pools:\n  # a b\n  - id: \"a-b\"\n    model: \"file:/m/a.gguf\"\n    ctx: 4096\n    preload: false\n"
    );
}
