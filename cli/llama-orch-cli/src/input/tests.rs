use std::io::Cursor;

use super::*;

#[test]
fn lines_lose_their_ends_and_an_unended_last_line_counts() {
    let mut from = Cursor::new("one\r\n\ntwo");
    assert_eq!(next_line(&mut from).unwrap().as_deref(), Some("one"));
    assert_eq!(next_line(&mut from).unwrap().as_deref(), Some(""));
    assert_eq!(next_line(&mut from).unwrap().as_deref(), Some("two"));
    assert_eq!(next_line(&mut from).unwrap(), None);
}

#[test]
fn a_line_without_an_end_is_refused_at_its_bound() {
    let mut from = io::BufReader::new(io::repeat(b'a'));
    assert_eq!(next_line(&mut from).unwrap_err().kind(), io::ErrorKind::InvalidData);
}

/// ORCH-CLI-17
#[test]
fn what_is_no_text_is_refused_with_the_place() {
    let failure = check(b"caf\xe9".to_vec(), "standard input").unwrap_err();
    assert_eq!(failure.exit, Exit::Usage);
    assert!(failure.message.contains("byte 3"), "{failure:?}");
}
