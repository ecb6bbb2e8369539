use api_types::limits::sampling::{MIN_P_DEFAULT, TOP_K_DEFAULT};

use super::{DEFAULT_MIN_P, DEFAULT_TOP_K, asks_for_min_p, asks_for_top_k, refuse};

#[test]
fn what_a_request_gets_without_asking_is_no_wish() {
    assert_eq!((DEFAULT_TOP_K, DEFAULT_MIN_P), (TOP_K_DEFAULT, MIN_P_DEFAULT));
    assert!(!asks_for_top_k(TOP_K_DEFAULT) && !asks_for_top_k(0) && asks_for_top_k(1));
    assert!(!asks_for_min_p(MIN_P_DEFAULT) && !asks_for_min_p(0.0) && asks_for_min_p(0.1));
}

/// ORCH-ENG-4
#[test]
fn a_refusal_names_field_value_engine_and_what_would_be_right() {
    let refused = refuse("this engine", "sampling.min_p", 0.5, "leave it out").to_string();
    assert_eq!(refused, "`sampling.min_p` is 0.5, which this engine cannot be asked for: leave it out");
}
