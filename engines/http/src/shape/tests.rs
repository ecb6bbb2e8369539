use super::{Shape, TextKind};

const EVENT: &[u8] = br#"{"text":"one","n":1}"#;

fn learned() -> Shape {
    let mut shape = Shape::default();
    let text = std::str::from_utf8(&EVENT[9..12]).expect("ASCII");
    shape.learn(EVENT, text, TextKind::Answer, None);
    shape
}

#[test]
fn an_event_with_another_plain_text_is_known() {
    let shape = learned();
    assert_eq!(shape.text(br#"{"text":"two and more","n":1}"#), Some("two and more"));
    assert_eq!(shape.text("{\"text\":\"\u{e9}\",\"n\":1}".as_bytes()), Some("\u{e9}"));
}

#[test]
fn an_event_that_differs_anywhere_else_is_not() {
    let shape = learned();
    for event in [
        &br#"{"text":"two","n":2}"#[..],
        br#"{"text":"","n":1}"#,
        br#"{"text":"a\"b","n":1}"#,
        br#"{"text":"a","x":"b","n":1}"#,
        b"{\"text\":\"a\nb\",\"n\":1}",
        b"{\"text\":\"\xff\",\"n\":1}",
        br#"{"text":"one","n":1} "#,
        br#"{"text":"#,
        b"",
    ] {
        assert_eq!(shape.text(event), None, "{:?}", String::from_utf8_lossy(event));
    }
}

#[test]
fn what_is_around_may_not_overlap() {
    let mut shape = Shape::default();
    let event = br#""""#;
    shape.learn(event, std::str::from_utf8(&event[1..1]).expect("empty"), TextKind::Answer, None);
    assert_eq!(shape.text(b"\""), None);
}

#[test]
fn a_text_that_is_a_copy_teaches_nothing_and_old_lessons_go() {
    let mut shape = learned();
    let copy = String::from("one");
    shape.learn(EVENT, &copy, TextKind::Answer, None);
    assert_eq!(shape.text(EVENT), None);
    let mut shape = learned();
    shape.forget();
    assert_eq!(shape.text(EVENT), None);
}
