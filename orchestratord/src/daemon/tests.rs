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

/// ORCH-STOP-5
#[test]
fn the_grace_is_the_limit_of_the_whole_stop_however_long_the_tasks_take() {
    let ms = Duration::from_millis;
    for (grace, tasks) in [(30_000, 25_000), (5_000, 4_000), (1_000, 750), (0, 0)] {
        let limit = StopLimit::new(ms(grace));
        assert_eq!(limit.tasks, ms(tasks), "of {grace}");
        for elapsed in [0, tasks / 2, tasks] {
            let total = ms(elapsed) + limit.closing(ms(elapsed));
            assert!(total <= ms(grace).max(CLOSE_MIN), "{total:?} of {grace} when tasks end after {elapsed}");
        }
        assert!(limit.closing(ms(tasks)) >= CLOSE_MIN);
    }
}
