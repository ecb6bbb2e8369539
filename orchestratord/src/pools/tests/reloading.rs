//! How far a reload is, as `/health` is told.

use super::*;
use crate::health_view::ReloadStage;

fn stage(health: &HealthView) -> Option<ReloadStage> {
    health.pools[0].reload.as_ref().map(|reload| reload.stage)
}

fn slow(memory: u64) -> TestDaemon {
    let engine = MockConfig { load: Duration::from_secs(20), ..TestSetup::default().engine };
    TestDaemon::new(TestSetup { engine, memory, ..TestSetup::default() })
}

/// ORCH-MODEL-10
#[tokio::test(start_paused = true)]
async fn a_reload_tells_how_much_of_the_new_model_is_loaded_while_the_old_one_serves() {
    let daemon = slow(2 * NEEDS);
    daemon.until_ready(0).await;
    assert_eq!(stage(&daemon.health().await), None);
    let watching = async {
        for share in [0.0, 0.25, 0.5, 0.75] {
            daemon.until("loaded so far", |health| stage(health) == Some(ReloadStage::Loading(share))).await;
            let health = daemon.health().await;
            assert!(is_ready(&health, 0), "{health:?}");
            assert!(health.pools[0].reload.as_ref().unwrap().to.ends_with("other.gguf"));
        }
        daemon.until("tested", |health| stage(health) == Some(ReloadStage::Testing)).await;
    };
    let (reloaded, ()) = tokio::join!(daemon.reload("a"), watching);
    reloaded.unwrap();
    assert_eq!(stage(&daemon.health().await), None);
}

/// ORCH-MODEL-10
#[tokio::test(start_paused = true)]
async fn a_reload_in_the_old_ones_place_tells_that_it_waits_for_what_runs() {
    let daemon = slow(NEEDS);
    daemon.until_ready(0).await;
    daemon.control.hold(Phase::Decode);
    let running = daemon.submit("a").await;
    daemon.control.until(|counts| counts.running == 1).await;
    let watching = async {
        daemon.until("waits", |health| stage(health) == Some(ReloadStage::Waiting)).await;
        daemon.control.release(Phase::Decode);
        daemon.until("loaded", |health| stage(health) == Some(ReloadStage::Loading(0.5))).await;
    };
    let (reloaded, ()) = tokio::join!(daemon.reload("a"), watching);
    reloaded.unwrap();
    assert_eq!(daemon.end_of(running).await.1.finish, FinishReason::Stop);
}
