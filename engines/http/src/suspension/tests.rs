use super::*;

/// ORCH-ENG-22
#[test]
fn probes_of_a_suspended_engine_begin_at_once_and_end_at_some_seconds() {
    let timeouts = Timeouts::default();
    let delays: Vec<_> = (0..6).map(|tries| delay(&timeouts, tries).as_millis()).collect();
    assert_eq!(delays, [100, 200, 400, 800, 1600, 2500]);
    assert_eq!(delay(&timeouts, u32::MAX), Duration::from_millis(2500));
}
