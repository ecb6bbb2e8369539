use super::message_of;

#[test]
fn the_message_of_every_known_envelope_is_found() {
    for (body, wanted) in [
        (r#"{"error":{"code":400,"message":"too long","type":"exceed_context_size_error"}}"#, "too long"),
        (
            r#"{"error":"inputs must have less than 1024 tokens","error_type":"validation"}"#,
            "inputs must have less than 1024 tokens",
        ),
        (r#"{"object":"error","message":"bad","type":"BadRequestError","param":null,"code":400}"#, "bad"),
        (r#"{"detail":"Not Found"}"#, "Not Found"),
        (r#"{"detail":[{"loc":["body","n",0],"msg":"a"},{"loc":[],"msg":"b"}]}"#, "`n.0`: a; b"),
        ("plain words\n", "plain words"),
        ("[1]", "[1]"),
    ] {
        assert_eq!(message_of(body.as_bytes()).as_deref(), Some(wanted));
    }
}

#[test]
fn nothing_stays_nothing_and_too_much_is_cut() {
    assert_eq!(message_of(b""), None);
    assert_eq!(message_of(b" \n "), None);
    let long = message_of("é".repeat(2000).as_bytes()).expect("something");
    assert_eq!(long.chars().count(), 601);
    assert!(long.ends_with('…'));
}

#[test]
fn control_characters_do_not_reach_a_log() {
    assert_eq!(message_of(b"a\x1b[31m\nb\xff").as_deref(), Some("a [31m b\u{fffd}"));
}
