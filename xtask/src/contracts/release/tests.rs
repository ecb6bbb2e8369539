use std::path::PathBuf;

use serde_json::json;

use super::*;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn contract() -> Value {
    json!({
        "info": {"version": "1.2.0"},
        "paths": {
            "/things": {
                "post": {
                    "parameters": [
                        {"name": "Last", "in": "header", "schema": {"type": "integer", "minimum": 0}},
                    ],
                    "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Wish"}}}},
                    "responses": {
                        "202": {
                            "headers": {"Retry-After": {"required": true, "schema": {"type": "integer"}}},
                            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Thing"}}},
                        },
                        "429": {"description": "busy"},
                    },
                },
                "get": {"responses": {"200": {"description": "fine"}}},
            },
        },
        "components": {"schemas": {
            "Wish": {
                "type": "object",
                "required": ["name"],
                "properties": {
                    "name": {"type": "string", "maxLength": 9},
                    "kind": {"allOf": [{"$ref": "#/components/schemas/Kind"}]},
                    "count": {"type": "integer", "nullable": true, "maximum": 5},
                },
            },
            "Kind": {"type": "string", "enum": ["near", "far"]},
            "Thing": {
                "type": "object",
                "required": ["id", "kind"],
                "properties": {
                    "id": {"type": "string"},
                    "kind": {"$ref": "#/components/schemas/Kind"},
                    "parts": {"type": "array", "items": {"type": "object", "properties": {"size": {"type": "integer"}}}},
                },
            },
            "EndEvent": {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}},
        }},
    })
}

/// The contract with the value at `pointer` replaced, or removed where it is null.
fn with(pointer: &str, value: Value) -> Value {
    let mut changed = contract();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let key = key.replace("~1", "/");
    match changed.pointer_mut(parent).unwrap() {
        Value::Object(object) if value.is_null() => drop(object.remove(&key).unwrap()),
        Value::Object(object) => drop(object.insert(key, value)),
        Value::Array(array) if value.is_null() => drop(array.remove(key.parse().unwrap())),
        Value::Array(array) if key == "-" => array.push(value),
        Value::Array(array) => array[key.parse::<usize>().unwrap()] = value,
        other => panic!("{pointer} is below {other}"),
    }
    changed
}

fn faults(changed: &Value, version: &str) -> Vec<String> {
    let before = Version::parse("1.2.0").unwrap();
    let now = Version::parse(version).unwrap();
    faults_between("data.yaml", (before, &contract()), (now, changed))
}

/// ORCH-DOC-3
#[test]
fn what_is_taken_away_needs_a_new_major_version() {
    const POST: &str = "/paths/~1things/post";
    const SCHEMAS: &str = "/components/schemas";
    for (pointer, value, says) in [
        ("/paths/~1things".to_owned(), Value::Null, "`GET /things` is gone"),
        (format!("{POST}/responses/429"), Value::Null, "`POST /things 429` is gone"),
        (
            format!("{POST}/responses/202/headers/Retry-After"),
            Value::Null,
            "`POST /things 202 Retry-After` is gone",
        ),
        (format!("{POST}/responses/202/headers/Retry-After/required"), json!(false), "may now be missing"),
        (format!("{POST}/parameters/0"), Value::Null, "`POST /things Last` is gone"),
        (format!("{POST}/parameters/0/required"), json!(true), "`POST /things Last` is now required"),
        (
            format!("{POST}/parameters/-"),
            json!({"name": "New", "in": "query", "required": true}),
            "new and required",
        ),
        (format!("{POST}/requestBody/required"), json!(true), "now needs a body"),
        (format!("{SCHEMAS}/Kind/enum/1"), Value::Null, "`POST /things.kind` no longer has the word `far`"),
        (format!("{SCHEMAS}/Wish/properties/count"), Value::Null, "`POST /things.count` is gone"),
        (format!("{SCHEMAS}/Wish/required/-"), json!("count"), "`POST /things.count` is now required"),
        (format!("{SCHEMAS}/Wish/properties/name/maxLength"), json!(8), "narrower `maxLength`"),
        (format!("{SCHEMAS}/Wish/properties/name/pattern"), json!("^a"), "narrower `pattern`"),
        (format!("{SCHEMAS}/Wish/properties/count/nullable"), json!(false), "may no longer be null"),
        (format!("{SCHEMAS}/Wish/additionalProperties"), json!(false), "narrower `additionalProperties`"),
        (format!("{SCHEMAS}/Thing/required/1"), Value::Null, "`POST /things 202.kind` may now be missing"),
        (format!("{SCHEMAS}/Thing/properties/id/type"), json!("integer"), "another `type`"),
        (format!("{SCHEMAS}/Thing/properties/id/nullable"), json!(true), "may now be null"),
        (
            format!("{SCHEMAS}/Thing/properties/parts/items/properties/size"),
            Value::Null,
            "parts[].size` is gone",
        ),
        (format!("{SCHEMAS}/EndEvent/properties/n"), Value::Null, "`EndEvent.n` is gone"),
        (format!("{SCHEMAS}/EndEvent"), Value::Null, "the schema `EndEvent` is gone"),
    ] {
        let changed = with(&pointer, value);
        let found = faults(&changed, "1.3.0");
        assert!(found.iter().any(|fault| fault.contains(says)), "{pointer}: {says:?} is not among {found:?}");
        assert!(found.iter().all(|fault| fault.contains("needs version 2.0.0")), "{found:?}");
        assert_eq!(faults(&changed, "2.0.0"), Vec::<String>::new(), "{pointer}");
    }
}

/// ORCH-DOC-3
#[test]
fn what_is_added_is_free() {
    assert_eq!(faults(&contract(), "1.2.0"), Vec::<String>::new());
    for (pointer, value) in [
        ("/paths/~1others", json!({"get": {"responses": {"200": {}}}})),
        ("/paths/~1things/post/responses/503", json!({"description": "later"})),
        ("/paths/~1things/post/parameters/-", json!({"name": "New", "in": "query"})),
        ("/components/schemas/Wish/properties/colour", json!({"type": "string"})),
        ("/components/schemas/Wish/properties/name/maxLength", json!(10)),
        ("/components/schemas/Wish/required/0", Value::Null),
        ("/components/schemas/Kind/enum/-", json!("elsewhere")),
        ("/components/schemas/Thing/required/-", json!("parts")),
        ("/components/schemas/New", json!({"type": "object"})),
    ] {
        assert_eq!(faults(&with(pointer, value), "1.2.0"), Vec::<String>::new(), "{pointer}");
    }
}

#[test]
fn before_the_first_major_version_a_minor_one_may_break() {
    let gone = with("/paths/~1things", Value::Null);
    let old = contract();
    let version = |text| Version::parse(text).unwrap();
    let between = |before, now| faults_between("x", (version(before), &old), (version(now), &gone)).len();
    assert_eq!((between("0.1.0", "0.1.1"), between("0.1.0", "0.2.0")), (2, 0));
    assert_eq!(between("1.0.0", "0.9.0"), 1, "an older version");
    for wrong in ["1.0", "1", "v1.0.0", "1.0.0-rc1"] {
        assert!(Version::parse(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_contract_is_released_once_and_the_last_release_counts() {
    let tree = tempfile::tempdir().unwrap();
    let folder = tree.path().join(FOLDER);
    std::fs::create_dir_all(&folder).unwrap();
    let write_all = |document: &Value| {
        for name in NAMES {
            std::fs::write(folder.join(format!("{name}.yaml")), document.to_string()).unwrap();
        }
    };
    write_all(&contract());
    assert_eq!(write(tree.path()).unwrap().len(), 2);
    assert_eq!(write(tree.path()).unwrap(), Vec::<String>::new(), "the same again is no news");
    let mut broken = with("/paths/~1things/get", Value::Null);
    write_all(&broken);
    assert!(write(tree.path()).is_err(), "a released version does not change");
    let mut files: Vec<String> = NAMES.iter().map(|name| format!("{FOLDER}/{name}.yaml")).collect();
    files.extend(NAMES.iter().map(|name| format!("{RELEASED}{name}-1.2.0.yaml")));
    assert_eq!(check(tree.path(), &files).unwrap().len(), 2, "one path of each contract");
    broken["info"]["version"] = json!("2.0.0");
    write_all(&broken);
    assert_eq!(check(tree.path(), &files).unwrap(), Vec::<String>::new());
    write(tree.path()).unwrap();
    files.extend(NAMES.iter().map(|name| format!("{RELEASED}{name}-2.0.0.yaml")));
    assert_eq!(check(tree.path(), &files).unwrap(), Vec::<String>::new(), "held against 2.0.0 only");
}

/// ORCH-DOC-3
#[test]
fn the_contracts_keep_what_was_released() {
    let files = crate::process::list_files(&root()).unwrap();
    for name in NAMES {
        assert!(last_release(&root(), &files, name).unwrap().is_some(), "`{name}` was never released");
    }
    assert_eq!(check(&root(), &files).unwrap(), Vec::<String>::new());
}
