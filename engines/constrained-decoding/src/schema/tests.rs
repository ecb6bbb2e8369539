//! Schemas against an independent validator: everything that a grammar leads to is valid.

use serde_json::{Value, json};

use super::{Notation, Unsupported, to_gbnf};
use crate::walk::{Random, matcher, walk};

fn grammar(schema: &Value) -> Result<String, String> {
    to_gbnf(schema, Notation::Json, Unsupported::Reject).map_err(|fault| fault.to_string())
}

/// Random texts of the schema's grammar, each valid.
fn check(schema: &Value, walks: usize) {
    let grammar = grammar(schema).unwrap_or_else(|why| panic!("{schema}: {why}"));
    let is_of_draft_7 = schema["items"].is_array();
    let options =
        if is_of_draft_7 { jsonschema::draft7::options() } else { jsonschema::draft202012::options() };
    let validator = options.should_validate_formats(true).build(schema);
    let validator = validator.unwrap_or_else(|why| panic!("{schema}: {why}"));
    let mut matcher = matcher(&grammar);
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    for _ in 0..walks {
        let text = walk(&grammar, &mut matcher, &mut random);
        let value: Value =
            serde_json::from_str(&text).unwrap_or_else(|why| panic!("{why}: `{text}` of {schema}"));
        if let Err(why) = validator.validate(&value) {
            panic!("{why}: `{text}` of {schema}");
        }
    }
}

/// Whether the grammar has `text`.
fn takes(schema: &Value, text: &str) -> bool {
    let mut matcher = matcher(&grammar(schema).unwrap_or_else(|why| panic!("{schema}: {why}")));
    let mut place = matcher.place();
    for byte in text.bytes() {
        matcher.begin_token();
        match matcher.byte(place, byte) {
            Ok(next) => place = next,
            Err(_) => return false,
        }
    }
    matcher.may_end(place)
}

/// ORCH-ENG-28
#[test]
fn schemas_of_llama_cpps_own_test_lead_to_valid_values_alone() {
    for line in include_str!("tests/llama_cpp.jsonl").lines() {
        let schema: Value = serde_json::from_str(line).expect("JSON");
        // A schema where a list belongs: meant as one of all items, and no schema to a validator.
        if schema["prefixItems"].is_object() {
            grammar(&schema).expect("it is taken all the same");
            continue;
        }
        check(&schema, 60);
    }
}

/// ORCH-ENG-28
#[test]
fn every_keyword_that_is_taken_is_kept() {
    for schema in [
        json!({"type": "integer", "multipleOf": 7, "minimum": 3, "maximum": 1000}),
        json!({"type": "number", "multipleOf": 0.25, "minimum": -2, "maximum": 2}),
        json!({"type": "integer", "multipleOf": 1000, "exclusiveMinimum": 0}),
        json!({"type": "number", "multipleOf": 20, "maximum": 10000}),
        json!({"type": "number", "minimum": -1.5, "maximum": 12.25}),
        json!({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}),
        json!({"type": "number", "minimum": 0.001, "maximum": 0.0025}),
        json!({"type": "integer", "minimum": 1.5, "maximum": 4.2}),
        json!({"type": "number", "minimum": 5, "exclusiveMinimum": 7}),
        json!({"type": "integer", "minimum": 9_007_199_254_740_991i64}),
        json!({"type": "object", "properties": {"a": {"type": "integer"}, "b": {}, "c": {"type": "null"}}, "dependentRequired": {"a": ["b"], "c": ["a"]}}),
        json!({"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}, "c": {"type": "integer"}}, "minProperties": 2}),
        json!({"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}, "c": {"type": "integer"}}, "maxProperties": 1, "additionalProperties": {"type": "null"}}),
        json!({"type": "object", "additionalProperties": {"type": "integer"}, "minProperties": 1, "maxProperties": 3}),
        json!({"type": "object", "patternProperties": {"^x-": {"type": "integer"}, "y$": {"type": "string"}}, "additionalProperties": {"type": "boolean"}}),
        json!({"type": "object", "properties": {"x-a": {"minimum": 3}}, "patternProperties": {"^x-": {"type": "integer"}}}),
        json!({"type": "object", "propertyNames": {"pattern": "^[a-z]+$", "maxLength": 4}, "additionalProperties": {"type": "integer"}}),
        json!({"type": "object", "propertyNames": {"enum": ["a", "b"]}, "properties": {"a": {"type": "null"}, "c": {"type": "null"}}}),
        json!({"type": "array", "items": {"type": "integer"}, "contains": {"const": 5}}),
        json!({"type": "array", "items": {"type": "integer"}, "contains": {"minimum": 5}, "minContains": 3}),
        json!({"$ref": "#/$defs/a", "maxLength": 3, "$defs": {"a": {"type": "string", "minLength": 2}}}),
        json!({"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a", "b"], "additionalProperties": {"type": "integer"}}),
        json!({"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["b"]}),
        json!({"oneOf": [{"type": "string"}, {"type": "integer"}]}),
        json!({"oneOf": [{"type": "integer", "maximum": 3}, {"type": "integer", "minimum": 5}, {"type": "string", "pattern": "^a"}, {"type": "string", "pattern": "^b"}]}),
        json!({"oneOf": [{"properties": {"k": {"const": "a"}, "x": {"type": "integer"}}, "required": ["k"]}, {"properties": {"k": {"const": "b"}}, "required": ["k"]}], "type": "object"}),
        json!({"oneOf": [{"type": "object", "properties": {"a": {}}, "required": ["a"], "additionalProperties": false}, {"type": "object", "properties": {"b": {}}, "required": ["b"], "additionalProperties": false}]}),
        json!({"type": "string", "pattern": "^[a-z]+", "maxLength": 5}),
        json!({"type": "string", "pattern": "b.d", "minLength": 6, "maxLength": 9}),
        json!({"type": "string", "pattern": "^\\d{3}-\\w+\\s\\S$", "maxLength": 12}),
        json!({"type": "string", "pattern": "^\\p{L}{2,8}$"}),
        json!({"type": "string", "pattern": "^(?=.*a)(?!ab)[a-c]{3,6}$"}),
        json!({"type": "string", "pattern": "^a$|^b+$|c\\/d"}),
        json!({"type": "string", "pattern": "^[\"'\\\\/\\n-]{2,5}$"}),
        json!({"type": "string", "format": "date-time"}),
        json!({"type": "string", "format": "date"}),
        json!({"type": "string", "format": "time"}),
        json!({"type": "string", "format": "duration"}),
        json!({"type": "string", "format": "email", "maxLength": 20}),
        json!({"type": "string", "format": "hostname"}),
        json!({"type": "string", "format": "ipv4"}),
        json!({"type": "string", "format": "ipv6"}),
        json!({"type": "string", "format": "uuid"}),
        json!({"type": "string", "format": "uri"}),
        json!({"type": "string", "format": "uri-reference"}),
        json!({"type": "string", "format": "json-pointer"}),
        json!({"type": "integer", "format": "int32"}),
        json!({"type": "object", "properties": {"v": {"type": "integer"}, "next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}, "required": ["v", "next"]}),
        json!({"type": "array", "prefixItems": [{"type": "integer"}, {"type": "boolean"}], "items": false, "minItems": 2}),
        json!({"type": "array", "prefixItems": [{"type": "integer"}], "items": {"type": "null"}, "maxItems": 3}),
        json!({"type": "array", "prefixItems": [{"type": "string"}], "minItems": 3, "maxItems": 4}),
        json!({"items": [{"type": "integer"}, {"type": "null"}], "additionalItems": {"type": "string"}, "minItems": 1}),
        json!({"type": "array", "items": {"enum": [1, 2]}, "uniqueItems": true, "maxItems": 1}),
        json!({"type": "object", "properties": {"a": true, "b": false}}),
        json!({"const": {"a": [1, 2, {"b": null}]}}),
        json!({"type": "string", "enum": ["a", 1, "b", "abc", "abd"], "maxLength": 2}),
        json!({"enum": [1, 2, 3, 4.5, 6], "multipleOf": 2}),
        json!({"type": ["string", "integer"], "minLength": 2, "maximum": 3}),
        json!({"anyOf": [{"minimum": 3}, {"maxLength": 2}], "type": ["integer", "string"]}),
        json!({"allOf": [{"properties": {"a": {"type": "integer"}}, "required": ["a"]}, {"properties": {"a": {"minimum": 5}, "b": {"type": "null"}}, "additionalProperties": false}]}),
        json!({"not": {"type": "object"}, "type": ["object", "null"]}),
        json!({"type": "object", "properties": {"a": {"type": "null"}}, "unevaluatedProperties": false}),
        json!({"type": "string", "minLength": 300, "maxLength": 1000}),
        json!({"type": "array", "items": {"type": "null"}, "minItems": 3, "maxItems": 2_000_000}),
        json!(true),
    ] {
        check(&schema, 40);
    }
}

/// ORCH-ENG-28
#[test]
fn what_cannot_be_kept_is_named_with_its_place() {
    for (part, words) in [
        (json!({"type": "array", "items": {}, "uniqueItems": true}), "`uniqueItems` is not supported"),
        (json!({"not": {"required": ["a"]}}), "`not` is supported only of a `type`"),
        (json!({"if": {"const": 1}, "then": {"const": 1}}), "`if` is not supported"),
        (json!({"anyOf": []}), "`anyOf` is empty"),
        (json!({"dependentSchemas": {"a": {}}}), "`dependentSchemas` is not supported"),
        (json!({"dependencies": {"a": {}}}), "`dependencies` of schemas"),
        (json!({"contains": {}, "maxContains": 3}), "`maxContains` is not supported"),
        (json!({"contains": {"const": 1}, "maxItems": 3}), "`contains` is not supported beside"),
        (
            json!({"oneOf": [{"type": "integer"}, {"type": "number"}]}),
            "a value of option 0 may be one of option 1",
        ),
        (
            json!({"oneOf": [{"type": "object", "properties": {"a": {}}}, {"type": "object", "properties": {"b": {}}}]}),
            "`oneOf`",
        ),
        (json!({"type": "string", "pattern": "^a\\b$"}), "`pattern` `^a\\b$`: `\\b` and `\\B`"),
        (json!({"type": "string", "pattern": "^(a)\\1$"}), "a reference back"),
        (json!({"type": "string", "pattern": "a(?=b)"}), "`(?=` is supported only right behind a `^`"),
        (json!({"type": "string", "pattern": "(?<=a)b"}), "looking behind"),
        (json!({"type": "string", "pattern": "^[a$"}), "`pattern` `^[a$`: unclosed character class"),
        (json!({"type": "string", "pattern": "^a{5,2}$"}), "`pattern` `^a{5,2}$`: invalid repetition"),
        (json!({"type": "string", "pattern": "^a{1000000}$"}), "it is too long"),
        (json!({"type": "string", "format": "zip-code"}), "`format` `zip-code` is not supported"),
        (json!({"$ref": "https://example.com/a"}), "only references within the schema"),
        (json!({"$ref": "#/$defs/nowhere"}), "`$ref` `#/$defs/nowhere` leads nowhere"),
        (json!({"type": "kaboom"}), "unknown `type` \"kaboom\""),
        (json!({"type": 123}), "unknown `type` 123"),
        (json!({"type": "string", "maxLenght": 3}), "unknown keyword `maxLenght`; did you mean `maxLength`?"),
        (json!({"type": "string", "minLength": 5, "maxLength": 2}), "`minLength` 5 is above `maxLength` 2"),
        (json!({"type": "integer", "minimum": 50, "maximum": 2}), "`minimum` 50 is above `maximum` 2"),
        (json!({"type": "string", "minLength": 2_000_000_000}), "repetition of at least"),
        (json!({"type": "integer", "multipleOf": 12345}), "`multipleOf` 12345"),
        (json!({"type": "integer", "multipleOf": 0}), "`multipleOf` 0"),
        (json!({"type": "object", "minProperties": 3}), "`minProperties` 3 counts names"),
        (json!({"enum": "a"}), "`enum` should be a list"),
        (json!("nonsense"), "is no schema"),
    ] {
        for (whole, place) in [
            (part.clone(), "#"),
            (
                json!({"type": "object", "properties": {"a/b": part.clone()}, "required": ["a/b"]}),
                "#/properties/a~1b",
            ),
            (
                json!({"type": "array", "minItems": 1, "items": {"anyOf": [{"type": "null"}, part.clone()]}}),
                "#/items/anyOf/1",
            ),
            (json!({"$ref": "#/$defs/x", "$defs": {"x": part.clone()}}), "#/$defs/x"),
        ] {
            let found = grammar(&whole).expect_err(words);
            let expected = format!("at `{place}`: ");
            assert!(found.contains(words) && found.starts_with(&expected), "{whole}: {found}");
        }
        // Where it is no promise, it is left out.
        let wider = to_gbnf(&part, Notation::Json, Unsupported::Widen);
        assert!(
            wider.is_ok() || wider.as_ref().is_err_and(|why| why.what.contains("no value")),
            "{part}: {wider:?}"
        );
    }
}

/// ORCH-ENG-28
#[test]
fn a_schema_without_values_says_where() {
    for (schema, place) in [
        (json!(false), "#"),
        (json!({"type": "integer", "exclusiveMinimum": 5, "exclusiveMaximum": 6}), "#"),
        (
            json!({"type": "object", "properties": {"a": {"allOf": [{"type": "string"}, {"type": "null"}]}}, "required": ["a"]}),
            "#/properties/a",
        ),
        (
            json!({"type": "object", "properties": {}, "required": ["a"], "additionalProperties": false}),
            "#/additionalProperties",
        ),
        (json!({"type": "string", "pattern": "^a+$", "enum": ["b"]}), "#"),
    ] {
        let found = grammar(&schema).expect_err("no value");
        assert_eq!(found, format!("at `{place}`: no value at all is of this schema"), "{schema}");
    }
    for schema in [
        json!({"$ref": "#"}),
        json!({"allOf": [{"$ref": "#/a"}], "a": {"$ref": "#/b"}, "b": {"$ref": "#/a"}}),
    ] {
        assert!(grammar(&schema).expect_err("a circle").contains("leads back to itself"), "{schema}");
    }
}

#[test]
fn what_is_valid_is_taken_in_the_order_of_the_schema() {
    let person = json!({"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer"}, "tags": {"type": "array", "items": {"type": "string"}}}, "required": ["name"]});
    for text in [
        r#"{"name":"Zoë","age":3,"tags":["a","b"]}"#,
        "{\n  \"name\": \"a\\n\\u00e9\\ud83e\\udd80\",\n  \"tags\": []\n}",
        r#"{"name":""}"#,
    ] {
        assert!(takes(&person, text), "{text}");
    }
    for text in [r#"{"age":3}"#, r#"{"name":"a","other":1}"#, r#"{"name":"\ud800"}"#, r#"{"name":1}"#] {
        assert!(!takes(&person, text), "{text}");
    }
    for (schema, good, bad) in [
        (
            json!({"type": "number", "minimum": -1.5}),
            vec!["-1.5", "-1.50", "-0.7", "0", "123.25"],
            vec!["-1.51", "-2"],
        ),
        (
            json!({"type": "number", "exclusiveMaximum": 10}),
            vec!["9.99", "-100", "0.5"],
            vec!["10", "10.0", "11"],
        ),
        (json!({"type": "integer", "multipleOf": 30}), vec!["0", "30", "-60", "990"], vec!["10", "3", "31"]),
        (
            json!({"type": "number", "multipleOf": 0.01}),
            vec!["0.01", "1.1", "2", "2.50"],
            vec!["0.001", "2.005"],
        ),
        (json!({"type": "string", "pattern": "b"}), vec!["\"abc\"", "\"b\""], vec!["\"ac\""]),
        (json!({"type": "string", "pattern": "^\"\\\\$"}), vec![r#""\"\\""#], vec![r#""\"""#]),
        (
            json!({"type": "string", "minLength": 300, "maxLength": 70_000}),
            vec![&*format!("\"{}\"", "é".repeat(70_000))],
            vec![&*format!("\"{}\"", "é".repeat(70_001)), &*format!("\"{}\"", "é".repeat(299))],
        ),
    ] {
        good.iter().for_each(|text| assert!(takes(&schema, text), "{schema}: {:.20}", text));
        bad.iter().for_each(|text| assert!(!takes(&schema, text), "{schema}: {:.20}", text));
    }
}

/// A random schema out of keywords that are kept, most of which has values.
fn random_schema(random: &mut Random, depth: usize) -> Value {
    let number = |random: &mut Random| json!(i64::try_from(random.below(60)).expect("small") - 20);
    let kind = random.below(if depth == 0 { 6 } else { 10 });
    let mut schema = match kind {
        0 => json!({"type": "integer", "minimum": number(random)}),
        1 => {
            let least = random.below(30);
            json!({"type": "number", "minimum": least, "maximum": least as f64 + 2.5, "multipleOf": 0.5})
        }
        2 => {
            let least = random.below(4);
            json!({"type": "string", "minLength": least, "maxLength": least + random.below(6)})
        }
        3 => {
            let patterns = ["^[a-f]+$", "x", "^\\d{2,4}", "^(ab|cd)*$", "^[^\"]{1,9}$", "é?$"];
            json!({"type": "string", "pattern": patterns[random.below(6)], "maxLength": 12})
        }
        4 => json!({"enum": ["a", "ab", 1, null, [1], {"a": true}, "1"]}),
        5 => json!({"type": ["boolean", "null", "string"], "format": "date"}),
        6 => {
            let least = random.below(3);
            json!({"type": "array", "items": random_schema(random, depth - 1), "minItems": least, "maxItems": least + 2})
        }
        7 => json!({"anyOf": [random_schema(random, depth - 1), random_schema(random, depth - 1)]}),
        8 => json!({"allOf": [{"type": ["object", "array"]}, random_object(random, depth - 1)]}),
        _ => random_object(random, depth - 1),
    };
    if random.below(6) == 0 {
        schema["title"] = json!("free");
    }
    schema
}

fn random_object(random: &mut Random, depth: usize) -> Value {
    let names = ["a", "b", "ab", "x-y", "\"q\"", ""];
    let mut properties = serde_json::Map::new();
    for name in names.iter().take(random.below(5)) {
        properties.insert((*name).to_owned(), random_schema(random, depth.saturating_sub(1)));
    }
    let required: Vec<&str> =
        names.into_iter().filter(|name| properties.contains_key(*name)).step_by(2).collect();
    let count = properties.len();
    let mut schema = json!({"type": "object", "properties": properties, "required": required});
    match random.below(6) {
        0 => schema["additionalProperties"] = json!(false),
        1 => schema["additionalProperties"] = random_schema(random, depth.saturating_sub(1)),
        2 => schema["patternProperties"] = json!({"^x-": {"type": ["integer", "string"]}}),
        3 => schema["maxProperties"] = json!(count.max(1)),
        4 => schema["minProperties"] = json!(count / 2),
        _ => schema["propertyNames"] = json!({"maxLength": 3}),
    }
    schema
}

/// ORCH-ENG-28
#[test]
fn random_schemas_of_kept_keywords_lead_to_valid_values_and_take_them_again() {
    let mut random = Random(0x2545_F491_4F6C_DD1D);
    let (mut with_values, mut all) = (0, 0);
    for _ in 0..400 {
        let schema = random_schema(&mut random, 3);
        all += 1;
        let text = match grammar(&schema) {
            Ok(_) => {
                check(&schema, 6);
                let grammar = grammar(&schema).expect("once more");
                walk(&grammar, &mut matcher(&grammar), &mut random)
            }
            Err(why) => {
                assert!(why.contains("no value at all"), "{schema}: {why}");
                continue;
            }
        };
        with_values += 1;
        // Written again without white space, in the same order.
        let value: Value = serde_json::from_str(&text).expect("JSON");
        let again = value.to_string();
        let exact =
            |value: &Value| serde_json::from_str::<Value>(&value.to_string()).is_ok_and(|it| it == *value);
        assert!(
            !exact(&value) || again.contains(['e', 'E']) || takes(&schema, &again),
            "{schema}: `{again}`"
        );
    }
    assert!(with_values * 10 > all * 8, "{with_values} of {all} have values");
}

/// ORCH-WORKER-5
#[test]
fn many_values_of_an_enum_cost_no_more_than_their_letters() {
    let values: Vec<String> =
        (0..3500).map(|at| format!("value number {} of the list, {at}", at * 7919 % 3500)).collect();
    let grammar = grammar(&json!({ "enum": values })).expect("a grammar");
    let mut matcher = matcher(&grammar);
    let mut place = matcher.place();
    let mut most = 0;
    for byte in serde_json::to_string(&values[3499]).expect("text").bytes() {
        matcher.begin_token();
        // All that a mask of the vocabulary might ask for at this place.
        for other in 1..=255u8 {
            let _ = matcher.byte(place, other);
        }
        most = most.max(matcher.work());
        place = matcher.byte(place, byte).expect("one of them");
    }
    assert!(matcher.may_end(place));
    assert!(most < 20_000, "{most} instructions for one token");
}
