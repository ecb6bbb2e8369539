//! What is told of each variable.

use super::*;

fn of(name: &str) -> Variable {
    variables().into_iter().find(|variable| variable.name == name).unwrap_or_else(|| panic!("{name}"))
}

/// ORCH-INST-7
#[test]
fn every_option_is_told_with_its_words_and_its_default() {
    let all = variables();
    assert!(all.len() > 40, "{}", all.len());
    for variable in &all {
        assert!(!variable.about.is_empty(), "{variable:?}");
        assert!(!variable.about.contains('\n'), "{variable:?}");
    }
    let listen = of("LLAMA_ORCH_LISTEN");
    assert_eq!((listen.path.as_str(), listen.default.as_deref()), ("listen", Some("127.0.0.1:6173")));
    assert!(listen.about.starts_with("The address and port to listen on"), "{listen:?}");
    let slots = of("LLAMA_ORCH_POOLS_0_SLOTS");
    assert_eq!(slots.path, "pools[0].slots");
    let engine = of("LLAMA_ORCH_POOLS_0_ENGINE");
    assert!(!engine.about.is_empty(), "{engine:?}");
    assert_eq!(of("LLAMA_ORCH_SAMPLER_PROFILES_NAME_TOP_K").path, "sampler_profiles.name.top_k");
}
