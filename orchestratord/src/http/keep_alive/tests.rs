use super::*;
use serde_json::json;

fn of(value: Value) -> Option<KeepAlive> {
    read(Some(&value)).unwrap()
}

/// ORCH-MODEL-15
#[test]
fn a_stay_is_read_from_seconds_and_from_a_duration_with_units() {
    let stay = |seconds| Some(KeepAlive::For(Duration::from_secs_f64(seconds)));
    for (value, expected) in [
        (json!(300), stay(300.0)),
        (json!(0), stay(0.0)),
        (json!("0"), stay(0.0)),
        (json!(0.5), stay(0.5)),
        (json!("5m"), stay(300.0)),
        (json!("1h30m"), stay(5400.0)),
        (json!("1.5h"), stay(5400.0)),
        (json!("250ms"), stay(0.25)),
        (json!("300"), stay(300.0)),
        (json!(-1), Some(KeepAlive::Forever)),
        (json!("-1"), Some(KeepAlive::Forever)),
        (json!("-1m"), Some(KeepAlive::Forever)),
        (json!(1e300), Some(KeepAlive::Forever)),
        (json!(null), None),
    ] {
        assert_eq!(of(value.clone()), expected, "{value}");
    }
}

/// ORCH-MODEL-15
#[test]
fn what_is_no_stay_is_refused_with_its_field_and_value() {
    for value in [
        json!("soon"),
        json!("5 m"),
        json!("m"),
        json!(""),
        json!("5x"),
        json!(true),
        json!([]),
        json!("NaN"),
    ] {
        let refusal = read(Some(&value)).unwrap_err().to_string();
        let shown = value.to_string();
        assert!(refusal.contains("`keep_alive`") && refusal.contains(&shown), "{value}: {refusal}");
    }
}
