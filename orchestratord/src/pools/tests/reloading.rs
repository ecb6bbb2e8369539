//! How far a reload is, as `/health` is told.

use super::*;
use crate::health_view::ReloadStage;

fn stage(health: &HealthView) -> Option<ReloadStage> {
    health.pools[0].reload.as_ref().map(|reload| reload.stage)
}

fn slow(memory: u64) -> House {
    let engine = MockConfig { load: Duration::from_secs(20), ..Wish::default().engine };
    House::new(Wish { engine, memory, ..Wish::default() })
}

/// ORCH-MODEL-10
#[tokio::test(start_paused = true)]
async fn a_reload_tells_how_much_of_the_new_model_is_loaded_while_the_old_one_serves() {
    let house = slow(2 * NEEDS);
    house.until_ready(0).await;
    assert_eq!(stage(&house.health().await), None);
    let watching = async {
        for share in [0.0, 0.25, 0.5, 0.75] {
            house.until("loaded so far", |health| stage(health) == Some(ReloadStage::Loading(share))).await;
            let health = house.health().await;
            assert!(is_ready(&health, 0), "{health:?}");
            assert!(health.pools[0].reload.as_ref().unwrap().to.ends_with("other.gguf"));
        }
        house.until("tested", |health| stage(health) == Some(ReloadStage::Testing)).await;
    };
    let (reloaded, ()) = tokio::join!(house.reload("a"), watching);
    reloaded.unwrap();
    assert_eq!(stage(&house.health().await), None);
}

/// ORCH-MODEL-10
#[tokio::test(start_paused = true)]
async fn a_reload_in_the_old_ones_place_tells_that_it_waits_for_what_runs() {
    let house = slow(NEEDS);
    house.until_ready(0).await;
    house.control.hold(Phase::Decode);
    let running = house.submit("a").await;
    house.control.until(|counts| counts.running == 1).await;
    let watching = async {
        house.until("waits", |health| stage(health) == Some(ReloadStage::Waiting)).await;
        house.control.release(Phase::Decode);
        house.until("loaded", |health| stage(health) == Some(ReloadStage::Loading(0.5))).await;
    };
    let (reloaded, ()) = tokio::join!(house.reload("a"), watching);
    reloaded.unwrap();
    assert_eq!(house.end_of(running).await.1.finish, FinishReason::Stop);
}
