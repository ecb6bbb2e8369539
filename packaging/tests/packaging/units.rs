//! The units of systemd: what they say, and that systemd takes them.

use crate::{check, file};

const UNITS: [&str; 2] = ["systemd/system/llama-orch.service", "systemd/user/llama-orch.service"];

fn values<'a>(unit: &'a str, key: &str) -> Vec<&'a str> {
    unit.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('=')).collect()
}

/// ORCH-INST-2
#[test]
fn a_unit_is_ready_when_the_daemon_says_so_and_started_anew_when_it_fails() {
    for path in UNITS {
        let unit = file(path);
        for (key, value) in
            [("Type", "notify"), ("Restart", "on-failure"), ("WatchdogSec", "60"), ("TimeoutStopSec", "60")]
        {
            assert_eq!(values(&unit, key), [value], "{path}: {key}");
        }
        // Usage, configuration, token: what does not get right by itself.
        assert_eq!(values(&unit, "RestartPreventExitStatus"), ["2 3 5"], "{path}");
        assert_eq!(values(&unit, "Delegate"), ["yes"], "{path}: a cgroup for each engine");
        assert!(
            values(&unit, "ProtectControlGroups").is_empty(),
            "{path}: it would close the delegated ones"
        );
        assert_eq!(values(&unit, "ExecReload"), ["/bin/kill -HUP $MAINPID"], "{path}");
        assert!(values(&unit, "ExecStart")[0].ends_with("/orchestratord"), "{path}");
        assert!(values(&unit, "ExecStartPre")[0].ends_with("/orchestratord check-config"), "{path}");
    }
}

/// Each of these takes the device files of the cards away, or the memory that CUDA compiles into.
/// ORCH-INST-2
#[test]
fn nothing_that_a_unit_forbids_takes_the_cards_away() {
    for path in UNITS {
        let unit = file(path);
        for key in [
            "PrivateDevices",
            "DevicePolicy",
            "DeviceAllow",
            "ProtectClock",
            "MemoryDenyWriteExecute",
            "PrivateUsers",
            "ProcSubset",
        ] {
            assert!(values(&unit, key).is_empty(), "{path}: {key}");
        }
    }
    assert_eq!(values(&file(UNITS[0]), "SupplementaryGroups"), ["video render"]);
}

#[test]
fn the_systems_unit_runs_as_a_user_of_its_own_and_starts_after_the_driver() {
    let unit = file(UNITS[0]);
    assert_eq!((values(&unit, "User"), values(&unit, "Group")), (vec!["llama-orch"], vec!["llama-orch"]));
    assert!(values(&unit, "After")[0].contains("nvidia-persistenced.service"));
    assert_eq!(values(&unit, "CapabilityBoundingSet"), [""]);
    assert!(file("systemd/llama-orch.sysusers.conf").contains("u llama-orch"));
}

/// ORCH-INST-2
#[test]
fn systemd_takes_the_units() {
    let dir = tempfile::tempdir().unwrap();
    for (path, scope) in UNITS.into_iter().zip(["--system", "--user"]) {
        // The programs need not be installed on the machine that checks.
        let unit = file(path)
            .replace("/usr/local/bin/orchestratord", "/bin/true")
            .replace("%h/.local/bin/orchestratord", "/bin/true");
        let copy = dir.path().join("llama-orch.service");
        std::fs::write(&copy, unit).unwrap();
        let Some(said) = check("systemd-analyze", &[scope, "verify", "--man=no", copy.to_str().unwrap()])
        else {
            return;
        };
        match said {
            Ok(said) => {
                let ours: Vec<&str> =
                    said.lines().filter(|line| line.contains("llama-orch.service")).collect();
                assert_eq!(ours, [""; 0], "{path}");
            }
            Err(why) => panic!("{path}: {why}"),
        }
    }
}
