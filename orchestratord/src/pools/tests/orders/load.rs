//! `Load` in every state.

use super::*;

/// ORCH-MODEL-11
#[tokio::test(start_paused = true)]
async fn a_load_is_answered_in_every_state_and_waits_for_no_delay() {
    for at in [At::Unloaded, At::FetchDelay, At::WaitingForRoom, At::Unloading] {
        let mut rig = Rig::at(at).await;
        std::fs::write(&rig.model, "a model").unwrap();
        let ordered = now();
        rig.order(Order::Load).await;
        let answer = if at == At::WaitingForRoom { "NoRoom" } else { "Starting" };
        let before = rig.heard_until(answer).await;
        assert_eq!(before.first().map(String::as_str), (at == At::Unloading).then_some("Unloaded"), "{at:?}");
        let bound = if at == At::Unloading { ReplicaPolicy::default().stop_grace } else { Duration::ZERO };
        assert!(now() - ordered <= bound + Duration::from_millis(1100), "{at:?}: {:?}", now() - ordered);
    }
}

/// ORCH-MODEL-11
#[tokio::test(start_paused = true)]
async fn a_load_that_comes_while_the_config_loads_waits_for_room_where_the_config_does_not() {
    for ordered in [false, true] {
        let hold = Some(Phase::Estimate);
        let mut rig = Rig::new(&Setting { memory: NEEDS - 1, hold, ..Setting::default() });
        rig.control.until(|counts| counts.estimates == 1).await;
        if ordered {
            rig.order(Order::Load).await;
            tokio::task::yield_now().await;
        }
        rig.release();
        assert_eq!(rig.next().await, if ordered { "NoRoom" } else { "Unloaded" });
    }
}

/// ORCH-MODEL-11
#[tokio::test(start_paused = true)]
async fn a_load_that_comes_while_the_file_is_fetched_loads_it() {
    for ordered in [false, true] {
        let mut rig = Rig::new(&Setting { source: Source::Server, preload: false, ..Setting::default() });
        tokio::task::yield_now().await;
        if ordered {
            rig.order(Order::Load).await;
            tokio::task::yield_now().await;
        }
        rig.serve();
        assert_eq!(rig.next().await, if ordered { "Starting" } else { "Unloaded" });
    }
}

/// ORCH-MODEL-11
#[tokio::test(start_paused = true)]
async fn a_load_of_what_is_loaded_or_reloaded_changes_nothing() {
    for at in [At::Starting, At::Ready, At::BackingOff, At::ReloadLoading, At::ReloadTesting] {
        let mut rig = Rig::at(at).await;
        rig.order(Order::Load).await;
        tokio::task::yield_now().await;
        rig.release();
        if at.is_reloading() {
            assert_eq!(rig.heard_until("ReloadOver(Ok)").await, ["Swapped"], "{at:?}");
        }
        rig.order(Order::Unload).await;
        let before = rig.heard_until("Unloaded").await;
        assert!(!before.contains(&"Starting".to_owned()), "{at:?}: {before:?}");
    }
}

/// ORCH-MODEL-11
#[tokio::test(start_paused = true)]
async fn a_load_that_comes_during_a_reload_of_an_unloaded_pool_is_carried_out_when_the_reload_fails() {
    let mut rig = Rig::at(At::Unloaded).await;
    rig.other.hold(Phase::Load);
    rig.other.fail_starts(1, &StartError::Model("broken".into()));
    rig.reload_other().await;
    rig.other.until(|counts| counts.starts == 1).await;
    rig.order(Order::Load).await;
    tokio::task::yield_now().await;
    rig.release();
    assert_eq!(rig.heard_until("Ready").await, ["ReloadOver(ModelInvalid)", "Starting"]);
}

/// ORCH-MODEL-12
#[tokio::test(start_paused = true)]
async fn a_load_whose_file_has_gone_is_answered_and_tried_until_the_file_is_back() {
    let mut rig = Rig::at(At::Unloaded).await;
    std::fs::remove_file(&rig.model).unwrap();
    rig.order(Order::Load).await;
    let mut delays = Vec::new();
    while delays.len() < 7 {
        let begun = now();
        let (_, event) = rig.events.recv().await.unwrap();
        let PoolEvent::FetchFailed { why, retry_in } = event else { panic!("{event:?}") };
        assert!(why.contains("a.gguf"), "{why}");
        let waited = delays.last().copied().unwrap_or(Duration::ZERO);
        assert!(now() - begun >= waited, "it comes after the delay that was told");
        delays.push(retry_in);
    }
    assert_eq!(delays.iter().map(Duration::as_secs).collect::<Vec<_>>(), [2, 4, 8, 16, 32, 60, 60]);

    rig.order(Order::SetDemand(Demand::Waiting)).await;
    let waiting_max = ReplicaPolicy::default().restart.waiting_max;
    for _ in 0..3 {
        let (_, event) = rig.events.recv().await.unwrap();
        let PoolEvent::FetchFailed { retry_in, .. } = event else { panic!("{event:?}") };
        assert_eq!(retry_in, waiting_max, "somebody waits");
    }
    std::fs::write(&rig.model, "a model").unwrap();
    rig.until("Ready").await;
}

/// ORCH-CONF-10
#[tokio::test(start_paused = true)]
async fn a_preload_loads_where_there_is_room_and_waits_for_none() {
    for (memory, answer) in [(2 * NEEDS, "Starting"), (NEEDS - 1, "Unloaded")] {
        let mut rig = Rig::new(&Setting { memory, preload: false, ..Setting::default() });
        rig.until("Unloaded").await;
        rig.order(Order::Preload).await;
        assert_eq!(rig.next().await, answer);
    }
    for (at, answer) in [(At::WaitingForRoom, "NoRoom"), (At::FetchDelay, "FetchFailed")] {
        let mut rig = Rig::at(at).await;
        rig.order(Order::Preload).await;
        assert_eq!(rig.next().await, answer, "{at:?}: what is being done goes on");
    }
}
