//! What pip answers.

use super::*;

#[test]
fn the_url_is_read_out_of_the_report() {
    let report = br#"{"version": "1", "install": [{"download_info": {"url": "https://i.example/x.whl"}}]}"#;
    assert_eq!(url_of(report).as_deref(), Some("https://i.example/x.whl"));
    for odd in [&b"{}"[..], b"", b"[]", br#"{"install": []}"#] {
        assert_eq!(url_of(odd), None);
    }
}

#[test]
fn the_last_complaint_is_passed_on() {
    let text = "WARNING: retrying\nERROR: Could not find a version\nERROR: No matching distribution\n\n[notice] new pip\n";
    assert_eq!(complaint_of(text), "pip says: No matching distribution");
    assert_eq!(complaint_of(""), "pip did not say where the file is");
}
