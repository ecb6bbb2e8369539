use super::*;

#[test]
fn a_span_is_said_in_the_unit_that_fits() {
    let cases = [
        (0, "0 ms"),
        (999, "999 ms"),
        (1_000, "1.0 s"),
        (59_999, "59.9 s"),
        (60_000, "1 min 0 s"),
        (3_599_999, "59 min 59 s"),
        (11_100_000, "3 h 5 min"),
    ];
    for (millis, said) in cases {
        assert_eq!(span(Duration::from_millis(millis)), said);
    }
}

#[test]
fn a_countdown_is_rounded_up_and_never_says_zero() {
    assert_eq!(countdown(Duration::ZERO), "1 s");
    assert_eq!(countdown(Duration::from_millis(3_001)), "4 s");
    assert_eq!(countdown(Duration::from_secs(61)), "1 min 1 s");
}

#[test]
fn bytes_change_unit_before_four_digits() {
    assert_eq!(bytes(1023), "1023 B");
    assert_eq!(bytes(1024), "1.0 KiB");
    assert_eq!(bytes(1024 * 1024 - 1), "1.0 MiB");
    assert_eq!(bytes(12_884_901_888), "12.0 GiB");
}

#[test]
fn text_for_a_terminal_holds_no_escape_sequences() {
    assert_eq!(for_terminal("a\x1b[31mb\r\n\tc\u{9b}d"), "a[31mb\n\tcd");
}
