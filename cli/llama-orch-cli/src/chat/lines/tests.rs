use super::*;

/// ORCH-CLI-18
#[test]
fn a_backslash_at_the_end_goes_on_with_the_next_line() {
    assert!(goes_on("How \\") && goes_on("How \\\nmany\\"));
    assert!(!goes_on("How") && !goes_on("How \\\nmany?"));
    assert_eq!(joined("How \\\nmany?"), "How \nmany?");
    assert_eq!(joined("cut off\\"), "cut off");
}

/// ORCH-CLI-18
#[test]
fn a_fence_goes_on_to_the_next_whatever_is_between() {
    assert!(goes_on("\"\"\"fn main() {\n}") && goes_on("\"\"\""));
    assert!(!goes_on("\"\"\"\nfn main() {\\\n}\n\"\"\""));
    assert_eq!(joined("\"\"\"\nfn main() {\n}\n\"\"\""), "fn main() {\n}");
    assert_eq!(joined("\"\"\"a\"\"\" and more"), "a and more");
    assert_eq!(joined("\"\"\"cut off"), "cut off");
}
