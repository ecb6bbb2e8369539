use super::*;

#[test]
fn every_line_has_its_mark_and_what_is_wrong_has_what_to_do_below_it() {
    let findings = [
        Finding::ok("config", "all defaults"),
        Finding::warn("device", "little memory", "end something"),
        Finding::fail("model", "not there\nand more", "fetch it\nor another"),
    ];
    assert_eq!(
        render(&findings, Palette::Plain),
        "ok    config  all defaults\n\
         warn  device  little memory\n              → end something\n\
         FAIL  model   not there\n              and more\n              → fetch it\n              → or another\n\
         \n1 in the way, 1 to look at\n"
    );
    assert!(render(&findings[..1], Palette::Plain).ends_with("\nall is well\n"));
}
