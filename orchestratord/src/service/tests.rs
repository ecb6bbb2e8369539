use orchestrator_core::{Millis, Priority};

use super::*;
use crate::health_view::{LaneView, PoolView, ReloadView};

fn pool(id: &str, depth: u32, reloading_to: Option<&str>) -> PoolView {
    let stage = ReloadStage::Loading(0.424);
    let reload = reloading_to.map(|to| ReloadView { to: to.to_owned(), stage });
    PoolView {
        reload,
        lanes: vec![LaneView { priority: Priority::Batch, depth, bound: 8 }],
        ..PoolView::empty(id, "starter")
    }
}

/// ORCH-INST-1
#[test]
fn the_status_is_one_line_with_what_waits_and_what_is_reloaded() {
    let pools = vec![pool("chat", 2, Some("file:/b\n.gguf")), pool("coder", 1, None)];
    let mut health = HealthView { ready: true, stopping: false, uptime: Millis(1), pools };
    let line =
        "0 of 2 pools loaded; 0 running, 3 waiting; chat is being reloaded to file:/b .gguf (42 % loaded)";
    assert_eq!(describe(&health), line);
    health.stopping = true;
    assert!(describe(&health).starts_with("stopping; 0 running, 3 waiting"));
}
