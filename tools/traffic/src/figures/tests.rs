use super::*;

#[test]
fn a_spread_has_the_value_that_the_share_is_not_above() {
    let spread = Spread::of((1..=100).rev().map(Duration::from_millis));
    assert_eq!(
        (spread.count, spread.p50, spread.p95, spread.p99, spread.max),
        (100, 50.0, 95.0, 99.0, 100.0)
    );
    assert_eq!(Spread::of([Duration::from_millis(3)]).p95, 3.0);
    assert_eq!(Spread::of([]), Spread::default());
}

#[test]
fn a_share_of_nothing_is_none() {
    assert_eq!(share(0, 0), None);
    assert_eq!(share(1, 4), Some(0.25));
}
