//! Places and paths.

use super::*;

#[test]
fn a_path_reads_back_as_it_is_written() {
    for text in ["listen", "pools[0].slots", "pools[10].queue.batch", "a[0][1].b"] {
        assert_eq!(Path::parse(text).expect(text).to_string(), text);
    }
    for text in ["", "a..b", "a[", "a[x]", "[0]", "a[0"] {
        assert_eq!(Path::parse(text), None, "{text}");
    }
}

#[test]
fn a_node_knows_its_place_and_an_absent_one_its_parent() {
    let root = Node::from_yaml("a:\n  - b: 1\n    c: two\n").expect("YAML");
    let origin = |path: &str| root.origin_of(&Path::parse(path).expect(path)).clone();
    assert_eq!(origin("a[0].c"), Origin::File { line: 3, column: 8 });
    assert_eq!(origin("a[0].missing"), Origin::File { line: 2, column: 5 });
    assert_eq!(origin("missing"), Origin::File { line: 1, column: 1 });
}

#[test]
fn a_value_is_set_over_what_is_there_and_carries_its_own_origin() {
    let mut root = Node::from_yaml("a: [{b: 1}]").expect("YAML");
    let env = Origin::Env("X".into());
    let mut set = |path: &str| root.set(&Path::parse(path).expect(path).0, Value::Bool(true), &env);
    assert_eq!(set("a[0].b"), Ok(()));
    assert_eq!(set("a[1].b"), Ok(()));
    assert_eq!(set("a[3].b"), Err(2));
    assert_eq!(set("new.deep"), Ok(()));
    assert_eq!(root.to_json(), serde_json::json!({"a": [{"b": true}, {"b": true}], "new": {"deep": true}}));
    assert_eq!(*root.origin_of(&Path::parse("a[0].b").expect("a path")), env);
}

#[test]
fn anchors_and_merges_are_followed() {
    let root = Node::from_yaml("base: &b {x: 1}\none: *b\ntwo: {<<: *b, y: 2}\n").expect("YAML");
    assert_eq!(
        root.to_json(),
        serde_json::json!({"base": {"x": 1}, "one": {"x": 1}, "two": {"x": 1, "y": 2}})
    );
}
