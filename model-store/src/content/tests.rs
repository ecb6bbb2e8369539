//! What is told apart by its first bytes.

use super::*;

/// ORCH-STORE-7
#[test]
fn pages_and_pointers_are_told_from_models() {
    for (start, stub) in [
        ("GGUF\u{3}", None),
        ("version https://git-lfs.github.com/spec/v1", Some(Stub::LfsPointer)),
        ("<!DOCTYPE html><html>", Some(Stub::Html)),
        ("\r\n  <HTML lang=\"en\">", Some(Stub::Html)),
        ("versions differ", None),
        ("", None),
    ] {
        assert_eq!(Stub::of(start.as_bytes()), stub, "{start}");
    }
}

/// ORCH-STORE-7
#[test]
fn what_begins_otherwise_is_left_to_its_checksum_where_there_is_one() {
    assert_eq!(fault(b"GGUF", None), None);
    assert_eq!(fault(b"PK\x03\x04", Some("ab")), None);
    assert!(fault(b"PK\x03\x04", None).is_some_and(|fault| fault.contains("does not begin with `GGUF`")));
    assert!(fault(b"<html>", Some("ab")).is_some_and(|fault| fault.contains("a page of HTML")));
}

#[test]
fn the_page_of_a_file_leads_to_its_content() {
    let content = content_url("https://h.example/o/r/blob/main/m.gguf");
    assert_eq!(content.as_deref(), Some("https://h.example/o/r/resolve/main/m.gguf"));
    assert_eq!(content_url("https://h.example/m.gguf"), None);
}
