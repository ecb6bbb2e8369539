use config_schema::LoadRequest;

use super::settings::policy;
use super::*;
use crate::pools::policy_of;

fn config(yaml: &str) -> Config {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("llama-orch.yaml");
    std::fs::write(&file, yaml).expect("a file");
    let request = LoadRequest {
        explicit: Some(file),
        cwd: folder.path().to_owned(),
        home: Some(folder.path().to_owned()),
        ..LoadRequest::default()
    };
    config_schema::load(&request).expect("a configuration").config
}

/// ORCH-ENG-23
#[test]
fn a_server_may_take_its_own_time_to_start_and_a_worker_the_common_one() {
    let config = config(
        "pools: [{id: own, model: starter}, {id: managed, server: {command: [a, '{port}'], start_timeout_s: 900}}]\n\
         worker: {load_timeout_s: 300}\n",
    );
    let limits: Vec<_> =
        config.pools.iter().map(|pool| policy_of(pool, &policy(&config)).load_timeout.as_secs()).collect();
    assert_eq!(limits, [300, 905]);
}
