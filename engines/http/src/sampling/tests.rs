use generation::SamplingParams;

use super::{refuse, refuse_uncommon};

/// ORCH-ENG-4
#[test]
fn a_refusal_names_field_value_engine_and_what_would_be_right() {
    let refused = refuse("this engine", "sampling.min_p", 0.5, "leave it out").to_string();
    assert_eq!(refused, "`sampling.min_p` is 0.5, which this engine cannot be asked for: leave it out");
}

/// ORCH-ENG-4
#[test]
fn only_what_would_change_the_answer_and_is_not_served_is_refused() {
    assert!(refuse_uncommon("this engine", &SamplingParams::BUILTIN, &[]).is_ok());
    let asked =
        SamplingParams { presence_penalty: Some(0.5), typical_p: Some(0.9), ..SamplingParams::BUILTIN };
    let refused = refuse_uncommon("this engine", &asked, &["presence_penalty"]).unwrap_err().to_string();
    assert!(refused.starts_with("`sampling.typical_p` is 0.9, which this engine cannot"), "{refused}");
    assert!(refuse_uncommon("this engine", &asked, &["presence_penalty", "typical_p"]).is_ok());
}
