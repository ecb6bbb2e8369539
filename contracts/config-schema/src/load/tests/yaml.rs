//! Files that honest people write: everything that YAML allows and editors produce is read.

use super::*;

/// A file around a pool `a` of 3 slots, with `between` after `pools:`.
fn around(between: &str) -> String {
    format!("# top\nlisten: 127.0.0.1:1\npools:\n{between}  - id: a\n    slots: 3\n")
}

#[track_caller]
fn reads(yaml: &str) {
    let shown: String = yaml.chars().take(200).collect();
    let loaded = load(&Machine::with_file(yaml).request).unwrap_or_else(|error| panic!("{error}\n{shown:?}"));
    assert_eq!(loaded.warnings, Vec::new(), "{shown:?}");
    let config = loaded.config;
    let pools: Vec<_> = config.pools.iter().map(|pool| (pool.id.as_str(), pool.slots)).collect();
    assert_eq!((config.access.listen.port(), pools.as_slice()), (1, [("a", 3)].as_slice()), "{shown:?}");
}

/// ORCH-CONF-8
#[test]
fn comments_may_be_long_and_stand_anywhere() {
    for lines in [1, 32, 33, 1000] {
        let block = "  # slots: 1\n".repeat(lines);
        reads(&around(&block));
        reads(&format!("{block}{}{block}", around("")));
        reads(&around("").replace("    slots", &format!("{block}    slots")));
        reads(&around("").replace("3\n", &format!("# three\n{block}      3\n")));
        reads(&around(&format!("{block}\n\n{block}")));
        reads(&format!("queue:\n{block}  batch: 1\n{}", around("")));
        reads(&around("").replace("  - id", &format!("  -\n{block}    id")));
        let list = format!("allowed_hosts:\n{block}- b\n{block}- c\n{block}");
        reads(&format!("{list}{}", around("")));
        reads(&format!("{{listen: '127.0.0.1:1', pools: [\n{block}{{id: a,\n{block} slots: 3}}]}}\n{block}"));
    }
    reads(&around(&format!("# {}\n", "x".repeat(100_000))));
}

/// ORCH-CONF-8
#[test]
fn a_file_of_comments_as_long_as_a_file_may_be_is_read() {
    let room = usize::try_from(MAX_FILE_BYTES).expect("it fits") - around("").len();
    let line = format!("# {}\n", "x".repeat(37));
    reads(&around(&line.repeat(room / line.len())));
}

/// ORCH-CONF-8
#[test]
fn what_editors_and_other_systems_leave_in_a_file_is_read() {
    let plain = around("");
    for yaml in [
        format!("\u{feff}{plain}"),
        plain.replace('\n', "\r\n"),
        format!("\u{feff}{}", plain.replace('\n', "\r\n")),
        plain.trim_end().to_owned(),
        format!("{plain}\n\n   \n\t\n"),
        around("#\tslots:\t1\n\t# after a tab\n"),
        plain.replace("slots: 3", "slots: 3\t# three"),
        plain.replace("slots: 3", "slots:\t3  "),
        plain.replace("slots", "\"slots\""),
        plain.replace("# top", "# Grüße \u{2028} \u{a0} 你好 🦙"),
        format!("---\n{plain}"),
        format!("%YAML 1.2\n---\n{plain}...\n"),
        format!("--- # the one\n{plain}...\n# after\n"),
        format!("{plain}queue:\nstream: null\nsessions: ~\nlimits: # none\n\nlog: {{}}\n"),
    ] {
        reads(&yaml);
    }
}

/// ORCH-CONF-8
#[test]
fn anchors_merges_and_long_values_are_read() {
    let hosts: String = (0..10_000).map(|i| format!("- h{i}.lan\n")).collect();
    reads(&format!("allowed_hosts:\n{hosts}{}", around("")));
    reads(&format!("models_dir: /{}\n{}", "m/".repeat(50_000), around("")));
    reads(
        "listen: 127.0.0.1:1\npools:\n  - &p\n    id: b\n    slots: 3\n".replace("id: b", "id: a").as_str(),
    );
    let machine = Machine::with_file(
        "pools:\n- &base\n  id: a\n  slots: 2\n  queue: &q {batch: 7}\n- <<: *base\n  id: b\n- id: c\n  queue: *q\n",
    );
    let pools: Vec<_> = machine.load().config.pools;
    let shown: Vec<_> = pools.iter().map(|pool| (pool.id.as_str(), pool.slots, pool.queue.batch)).collect();
    assert_eq!(shown, [("a", 2, 7), ("b", 2, 7), ("c", 4, 7)]);
    let many: String = (0..63).map(|i| format!("- <<: *base\n  id: p{i}\n  queue: *q\n")).collect();
    let machine = Machine::with_file(&format!("pools:\n- &base\n  id: a\n  queue: &q {{batch: 7}}\n{many}"));
    assert_eq!(machine.load().config.pools.len(), 64);
}

/// ORCH-CONF-8
#[test]
fn a_fault_below_all_that_keeps_its_line_and_column() {
    let block = "  # slots: 1\n".repeat(100);
    let faulty = around(&block).replace("slots: 3", "slotz: 3");
    for yaml in [faulty.clone(), faulty.replace('\n', "\r\n"), format!("\u{feff}{faulty}")] {
        let refusal = Machine::with_file(&yaml).refusal();
        let expected = "FILE:105:5: `pools[0].slotz` is not an option\n  hint: did you mean `slots`? ";
        assert!(refusal.starts_with(expected), "{refusal}");
    }
    let refusal = Machine::with_file("\u{feff}listem: x\n").refusal();
    assert!(
        refusal.starts_with("FILE:1:1: `listem` is not an option\n  hint: did you mean `listen`? "),
        "{refusal}"
    );
    refuses(
        "pools:\n\t- id: a\n",
        "FILE:2:2: tabs disallowed within this context (block indentation)\n  hint: indent with spaces",
    );
}

/// ORCH-CONF-8
#[test]
fn a_file_of_another_encoding_is_named_as_one() {
    let machine = Machine::new();
    let utf16: Vec<u8> = "\u{feff}listen: x".encode_utf16().flat_map(u16::to_le_bytes).collect();
    std::fs::write(machine.request.cwd.join(FILE_NAME), utf16).expect("a file");
    assert_eq!(
        machine.refusal(),
        "cannot read the configuration `FILE` (found by the search): it is UTF-16; save it as UTF-8"
    );
}
