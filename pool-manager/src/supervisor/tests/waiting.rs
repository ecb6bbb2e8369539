//! How long a replica is down while tasks wait for it.

use super::*;

/// The longest delay while tasks wait.
fn waiting_max() -> Duration {
    RestartPolicy::default().waiting_max
}

/// ORCH-REPL-10
#[tokio::test(start_paused = true)]
async fn while_tasks_wait_no_delay_is_longer_than_seconds_and_the_breaker_is_told_all_the_same() {
    let mut rig = Rig::new(MockConfig::instant());
    rig.demand.send_replace(Demand::Waiting);
    rig.control.fail_starts(12, &StartError::Engine("no".to_owned()));
    let begun = now();
    for expected in 1..=12 {
        let (delay, attempt, breaker, _) = rig.backing_off().await;
        assert_eq!((attempt, breaker == Breaker::Open), (expected, expected >= 5));
        assert!(delay <= waiting_max(), "{delay:?} before attempt {attempt}");
    }
    rig.ready().await;
    assert!(now() - begun <= 12 * waiting_max(), "{:?}", now() - begun);
}

/// ORCH-REPL-10
#[tokio::test(start_paused = true)]
async fn five_kills_in_a_row_cost_a_pool_that_somebody_waits_for_seconds_and_not_a_minute() {
    let mut rig = Rig::new(MockConfig::instant());
    rig.demand.send_replace(Demand::Waiting);
    let begun = now();
    for _ in 0..5 {
        rig.ready().await;
        rig.control.crash(&ExitReason::Signal(9));
    }
    rig.ready().await;
    assert!(now() - begun < 5 * waiting_max() + Duration::from_secs(1), "{:?}", now() - begun);
}

/// ORCH-REPL-10
#[tokio::test(start_paused = true)]
async fn a_task_that_comes_while_the_breaker_is_open_shortens_the_delay_and_the_new_one_is_told() {
    let mut rig = Rig::new(MockConfig::instant());
    let (delay, ..) = rig.fail(5).await;
    assert!(delay >= RestartPolicy::default().max.mul_f64(0.66));
    let came = now();
    rig.demand.send_replace(Demand::Waiting);
    let (shortened, attempt, breaker, _) = rig.backing_off().await;
    assert!(shortened <= waiting_max(), "{shortened:?}");
    assert_eq!((attempt, breaker), (5, Breaker::Open), "nothing was tried in between");
    rig.ready().await;
    assert!(now() - came <= waiting_max() + Duration::from_millis(5), "{:?}", now() - came);
}

/// ORCH-REPL-10
#[tokio::test(start_paused = true)]
async fn a_broken_model_is_tried_again_only_slowly_whoever_waits() {
    let mut rig = Rig::new(MockConfig::instant());
    rig.control.fail_starts(1, &StartError::Model("broken".to_owned()));
    rig.demand.send_replace(Demand::Waiting);
    let begun = now();
    rig.ready().await;
    assert!(now() - begun >= RestartPolicy::default().max);
}
