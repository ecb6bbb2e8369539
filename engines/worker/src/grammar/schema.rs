//! What of a JSON schema no grammar can be made of, or only at a cost without bound, found before llama.cpp's
//! converter sees it: bounds that contradict each other, repetitions of patterns that do, references that lead back to
//! themselves, and forms whose conversion takes time that grows much faster than the schema.
//!
//! Rules: ORCH-WORKER-5, ORCH-ENG-28

use serde_json::{Map, Value};

use super::pattern;
use constrained_decoding::gbnf::check_repeats;

/// Optional properties of one object: the converter takes time by the third power of their number.
const MAX_OPTIONAL: usize = 256;

/// Parts that the converter would visit: a list of types makes it visit what is below once for each.
const MAX_VISITS: usize = 50_000;

/// References that only lead to another reference.
const MAX_HOPS: usize = 64;

/// Pairs of keywords of which the first must not be above the second.
const BOUNDS: [(&str, &str); 5] = [
    ("minLength", "maxLength"),
    ("minItems", "maxItems"),
    ("minProperties", "maxProperties"),
    ("minContains", "maxContains"),
    ("minimum", "maximum"),
];

/// Keywords whose value is no schema, whatever it looks like.
const NO_SCHEMAS: [&str; 6] = ["enum", "const", "default", "examples", "required", "title"];

/// Keywords whose value names schemas.
const NAMED_SCHEMAS: [&str; 5] =
    ["properties", "patternProperties", "$defs", "definitions", "dependentSchemas"];

/// Checks `schema` and all in it.
///
/// # Errors
/// Where it is and what is wrong with it, to be put behind the name of the field.
pub fn check(schema: &Value) -> Result<(), String> {
    let visits = visit(schema, schema, &mut String::from("#"))?;
    if visits > MAX_VISITS {
        return Err(format!("is too large: its lists of types multiply it to more than {MAX_VISITS} parts"));
    }
    Ok(())
}

/// Checks the part of `root` at `path`. How many parts the converter would visit.
fn visit(root: &Value, part: &Value, path: &mut String) -> Result<usize, String> {
    let Value::Object(object) = part else {
        let Value::Array(parts) = part else { return Ok(0) };
        return parts.iter().enumerate().try_fold(0usize, |visits, (at, part)| {
            Ok(visits.saturating_add(within(path, &at.to_string(), |path| visit(root, part, path))?))
        });
    };
    check_bounds(object).map_err(|why| format!("at `{path}`: {why}"))?;
    check_reference(root, object).map_err(|why| format!("at `{path}`: {why}"))?;
    let mut visits = 0usize;
    for (key, value) in object {
        let below = match value {
            _ if NO_SCHEMAS.contains(&key.as_str()) => 0,
            Value::Object(named) if NAMED_SCHEMAS.contains(&key.as_str()) => {
                let mut below = 0usize;
                for (name, part) in named {
                    let place = format!("{key}/{name}");
                    below = below.saturating_add(within(path, &place, |path| visit(root, part, path))?);
                }
                below
            }
            value => within(path, key, |path| visit(root, value, path))?,
        };
        visits = visits.saturating_add(below);
    }
    let types = object.get("type").and_then(Value::as_array).map_or(1, |types| types.len().max(1));
    Ok(types.saturating_mul(visits.saturating_add(1)))
}

/// Writes all patterns in what llama.cpp's converter knows.
///
/// # Errors
/// Where one is that cannot be kept, and why.
pub fn make_portable(schema: &mut Value) -> Result<(), String> {
    rewrite(schema, &mut String::from("#"))
}

fn rewrite(part: &mut Value, path: &mut String) -> Result<(), String> {
    let object = match part {
        Value::Object(object) => object,
        Value::Array(parts) => {
            let mut parts = parts.iter_mut().enumerate();
            return parts
                .try_for_each(|(at, part)| within(path, &at.to_string(), |path| rewrite(part, path)));
        }
        _ => return Ok(()),
    };
    if let Some(Value::String(pattern)) = object.get_mut("pattern") {
        let portable = pattern::portable(pattern);
        *pattern = portable.map_err(|why| format!("at `{path}`: `pattern` `{pattern}`: {why}"))?;
    }
    for (key, value) in object {
        match value {
            _ if NO_SCHEMAS.contains(&key.as_str()) => {}
            Value::Object(named) if NAMED_SCHEMAS.contains(&key.as_str()) => {
                for (name, part) in named {
                    within(path, &format!("{key}/{name}"), |path| rewrite(part, path))?;
                }
            }
            value => within(path, key, |path| rewrite(value, path))?,
        }
    }
    Ok(())
}

fn within<T>(path: &mut String, name: &str, then: impl FnOnce(&mut String) -> T) -> T {
    let before = path.len();
    path.push('/');
    path.push_str(name);
    let result = then(path);
    path.truncate(before);
    result
}

fn check_bounds(object: &Map<String, Value>) -> Result<(), String> {
    let number = |key: &str| object.get(key).and_then(Value::as_f64);
    for (low, high) in BOUNDS {
        if let (Some(least), Some(most)) = (number(low), number(high))
            && least > most
        {
            return Err(format!("`{low}` {least} is above `{high}` {most}"));
        }
    }
    let exclusive = [
        ("exclusiveMinimum", "maximum"),
        ("minimum", "exclusiveMaximum"),
        ("exclusiveMinimum", "exclusiveMaximum"),
    ];
    for (low, high) in exclusive {
        if let (Some(least), Some(most)) = (number(low), number(high))
            && least >= most
        {
            return Err(format!("`{low}` {least} leaves no number below `{high}` {most}"));
        }
    }
    check_integers(object)?;
    for key in ["minLength", "minItems"] {
        if let Some(least) = object.get(key).and_then(Value::as_u64) {
            check_repeats(least, None).map_err(|why| format!("`{key}` {least}: {why}"))?;
        }
    }
    if let Some(pattern) = object.get("pattern").and_then(Value::as_str) {
        check_pattern(pattern).map_err(|why| format!("`pattern` `{pattern}`: {why}"))?;
    }
    if let Some(Value::Object(properties)) = object.get("properties") {
        let required = object.get("required").and_then(Value::as_array).map_or(0, Vec::len);
        let optional = properties.len().saturating_sub(required);
        if optional > MAX_OPTIONAL {
            return Err(format!("{optional} optional `properties`; at most {MAX_OPTIONAL} are supported"));
        }
    }
    Ok(())
}

/// Finds bounds with no integer between them.
fn check_integers(object: &Map<String, Value>) -> Result<(), String> {
    if object.get("type").is_none_or(|kind| kind != "integer") {
        return Ok(());
    }
    let number = |key: &str| object.get(key).and_then(Value::as_f64);
    let least =
        [number("minimum").map(f64::ceil), number("exclusiveMinimum").map(|bound| bound.floor() + 1.0)];
    let most =
        [number("maximum").map(f64::floor), number("exclusiveMaximum").map(|bound| bound.ceil() - 1.0)];
    let least = least.into_iter().flatten().reduce(f64::max);
    let most = most.into_iter().flatten().reduce(f64::min);
    match (least, most) {
        (Some(least), Some(most)) if least > most => {
            Err("there is no `integer` between its lower and its upper bound".to_owned())
        }
        _ => Ok(()),
    }
}

/// Finds repetitions `{m,n}` of a regular expression that contradict themselves.
fn check_pattern(pattern: &str) -> Result<(), String> {
    let mut rest = pattern;
    while let Some(at) = rest.find(['\\', '[', '{']) {
        let (letter, behind) = (rest.as_bytes()[at], &rest[at + 1..]);
        rest = match letter {
            b'\\' => {
                let mut letters = behind.chars();
                letters.next();
                letters.as_str()
            }
            b'[' => behind_class(behind),
            _ => {
                let Some((inside, behind)) = behind.split_once('}') else { return Ok(()) };
                let (least, most) = inside.split_once(',').unwrap_or((inside, inside));
                let count = |digits: &str| digits.trim().parse::<u64>().ok();
                if let Some(least) = count(least) {
                    check_repeats(least, count(most))?;
                }
                behind
            }
        };
    }
    Ok(())
}

/// What follows a class of characters, whose inside is given.
fn behind_class(inside: &str) -> &str {
    let mut letters = inside.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => drop(letters.next()),
            ']' => break,
            _ => {}
        }
    }
    letters.as_str()
}

/// Follows `$ref` as long as it leads to nothing but another one.
fn check_reference(root: &Value, object: &Map<String, Value>) -> Result<(), String> {
    let name = |object: &Map<String, Value>| object.get("$ref").and_then(Value::as_str).map(str::to_owned);
    let Some(first) = name(object) else { return Ok(()) };
    let mut reference = first.clone();
    for _ in 0..MAX_HOPS {
        let target = reference.strip_prefix('#').and_then(|pointer| root.pointer(pointer));
        match target.and_then(Value::as_object).and_then(name) {
            Some(next) => reference = next,
            None => return Ok(()),
        }
    }
    Err(format!("`$ref` `{first}` leads back to itself"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// ORCH-WORKER-5
    #[test]
    fn bounds_that_contradict_each_other_are_rejected_wherever_they_are() {
        for (part, words) in [
            (
                json!({"type": "string", "minLength": 5, "maxLength": 2}),
                "`minLength` 5 is above `maxLength` 2",
            ),
            (json!({"type": "array", "minItems": 5, "maxItems": 2}), "`minItems` 5 is above `maxItems` 2"),
            (json!({"minProperties": 3, "maxProperties": 1}), "`minProperties` 3 is above `maxProperties` 1"),
            (json!({"type": "integer", "minimum": 50, "maximum": 2}), "`minimum` 50 is above `maximum` 2"),
            (
                json!({"type": "integer", "exclusiveMinimum": 2, "maximum": 2}),
                "leaves no number below `maximum` 2",
            ),
            (
                json!({"type": "integer", "exclusiveMinimum": 5, "exclusiveMaximum": 6}),
                "no `integer` between",
            ),
            (json!({"type": "integer", "minimum": 1.5, "maximum": 1.6}), "no `integer` between"),
            (json!({"type": "string", "pattern": "^a{5,2}$"}), "repetition `{5,2}`"),
            (json!({"type": "string", "pattern": "^[{](b|\\{{1}c{7,1})$"}), "repetition `{7,1}`"),
            (
                json!({"type": "string", "minLength": 2_000_000_000}),
                "`minLength` 2000000000: repetition of at least",
            ),
            (json!({"type": "string", "pattern": "^a{1000000}$"}), "at least 1000000 times"),
        ] {
            for (whole, place) in [
                (part.clone(), "#"),
                (json!({"properties": {"a": part.clone()}}), "#/properties/a"),
                (json!({"items": {"anyOf": [{}, part.clone()]}}), "#/items/anyOf/1"),
                (json!({"$ref": "#/$defs/x", "$defs": {"x": part.clone()}}), "#/$defs/x"),
                (json!({"$ref": "#/odd/x", "odd": {"x": part.clone()}}), "#/odd/x"),
            ] {
                let found = check(&whole).expect_err(words);
                assert!(found.contains(words) && found.contains(&format!("`{place}`")), "{found}");
            }
        }
    }

    #[test]
    fn what_only_looks_like_a_contradiction_is_let_through() {
        for schema in [
            json!({"type": "string", "minLength": 2, "maxLength": 2}),
            json!({"properties": {"minLength": {"type": "integer"}, "maxLength": {"type": "integer"}}}),
            json!({"enum": [{"minLength": 5, "maxLength": 2}]}),
            json!({"type": "string", "pattern": "^[{5,2}]\\{5,2}a{2,5}b{3,}c{4}$"}),
            json!({"$ref": "#/$defs/node", "$defs": {"node": {"properties": {"next": {"$ref": "#/$defs/node"}}}}}),
        ] {
            assert_eq!(check(&schema), Ok(()), "{schema}");
        }
    }

    /// ORCH-WORKER-5
    #[test]
    fn what_would_take_the_converter_time_without_bound_is_rejected() {
        let circle = json!({"allOf": [{"$ref": "#/a"}], "a": {"$ref": "#/b"}, "b": {"$ref": "#/a"}});
        assert!(check(&circle).expect_err("a circle").contains("leads back to itself"));
        let many: Map<String, Value> = (0..300).map(|at| (format!("p{at}"), json!({}))).collect();
        assert!(check(&json!({ "properties": many.clone() })).expect_err("many").contains("300 optional"));
        let names: Vec<&String> = many.keys().collect();
        assert_eq!(check(&json!({"properties": many, "required": names})), Ok(()));
        let deep = (0..20)
            .fold(json!({}), |inner, _| json!({"type": ["object", "array"], "properties": {"a": inner}}));
        assert!(check(&deep).expect_err("2^20").contains("too large"));
    }
}
