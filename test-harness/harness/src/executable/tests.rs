use super::*;

#[test]
fn the_daemon_of_the_same_profile_is_found_from_a_test_and_from_a_bench() {
    for (own, daemon) in [
        ("/t/debug/deps/features-0123", "/t/debug/orchestratord"),
        ("/t/release/load", "/t/release/orchestratord"),
    ] {
        assert_eq!(beside(Path::new(own)), Path::new(daemon), "{own}");
    }
}
