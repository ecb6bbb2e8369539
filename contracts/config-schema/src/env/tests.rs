//! Names of variables.

use super::*;

/// ORCH-CONF-2
#[test]
fn every_option_has_one_variable_and_the_variable_leads_back_to_it() {
    let shape = Shape::of_file();
    let names = names(&shape, None, PREFIX);
    assert!(names.len() > 40, "{names:?}");
    let mut paths = Vec::new();
    for name in &names {
        let path = find(&shape, name.strip_prefix(PREFIX).expect("the prefix"), None, &Path::default());
        let path = path.unwrap_or_else(|| panic!("{name} leads nowhere"));
        let spelled = path.to_string().replace(['.', '['], "_").replace(']', "").to_uppercase();
        assert_eq!(*name, format!("{PREFIX}{spelled}"));
        paths.push(path);
    }
    paths.sort();
    paths.dedup();
    assert_eq!(paths.len(), names.len(), "two variables for one option");
    for other in OTHER_VARIABLES {
        assert!(!names.iter().any(|name| name == other), "{other} is an option too");
    }
}

#[test]
fn a_profile_keeps_the_name_it_has_in_the_file() {
    let root = Node::from_yaml("sampler_profiles: {My-Profile: {top_k: 1}}").expect("YAML");
    let path = |name: &str| {
        find(&Shape::of_file(), name, Some(&root), &Path::default()).map(|path| path.to_string())
    };
    assert_eq!(
        path("SAMPLER_PROFILES_MY_PROFILE_TOP_P").as_deref(),
        Some("sampler_profiles.My-Profile.top_p")
    );
    assert_eq!(path("SAMPLER_PROFILES_A_B_TOP_P").as_deref(), Some("sampler_profiles.a_b.top_p"));
    assert_eq!(path("SAMPLER_PROFILES_A_B"), None);
    assert_eq!(path("POOLS_X_SLOTS"), None);
}

#[test]
fn a_variable_of_a_server_keeps_its_name() {
    let path = |root: &str| {
        let root = Node::from_yaml(root).expect("YAML");
        let name = "POOLS_0_SERVER_ENV_CUDA_VISIBLE_DEVICES";
        find(&Shape::of_file(), name, Some(&root), &Path::default()).map(|path| path.to_string())
    };
    assert_eq!(path("pools: []").as_deref(), Some("pools[0].server.env.CUDA_VISIBLE_DEVICES"));
    let in_file = "pools: [{server: {env: {Cuda_Visible_Devices: '0'}}}]";
    assert_eq!(path(in_file).as_deref(), Some("pools[0].server.env.Cuda_Visible_Devices"));
}
