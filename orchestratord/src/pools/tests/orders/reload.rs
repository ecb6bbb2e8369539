//! Reloads in every state of the controller: tried, canceled, failed, with new options.

use super::*;

/// ORCH-MODEL-11
#[tokio::test(start_paused = true)]
async fn a_reload_to_a_good_file_is_tried_in_every_state_and_becomes_the_pools_model() {
    for at in ALL.into_iter().filter(|at| !at.is_reloading()) {
        let mut rig = Rig::at(at).await;
        let ordered = now();
        rig.reload_other().await;
        let before = rig.heard_until("ReloadOver(Ok)").await;
        assert!(now() - ordered < Duration::from_secs(10), "{at:?}: {:?}", now() - ordered);
        let expected: &[&str] = if at == At::Unloading { &["Unloaded", "Swapped"] } else { &["Swapped"] };
        assert_eq!(before, expected, "{at:?}");
        rig.release();
        rig.order(Order::Unload).await;
        rig.until("Unloaded").await;
        rig.order(Order::Load).await;
        rig.until("Ready").await;
        assert_eq!(rig.other.counts().ready, 2, "{at:?}: the next load is of the new model");
        assert_eq!(rig.ledger.holdings().len(), 1, "{at:?}");
    }
}

/// ORCH-MODEL-11
#[tokio::test(start_paused = true)]
async fn a_reload_that_fails_leaves_every_state_as_it_was() {
    for at in ALL.into_iter().filter(|at| !at.is_reloading() && *at != At::Unloading) {
        let mut rig = Rig::at(at).await;
        std::fs::remove_file(&rig.other_model).unwrap();
        rig.reload_other().await;
        let before = rig.heard_until("ReloadOver(ModelUnavailable)").await;
        assert!(before.iter().all(|event| event == "BackingOff"), "{at:?}: {before:?}");
        match at {
            At::Unloaded => rig.order(Order::Load).await,
            At::Fetching => rig.serve(),
            At::FetchDelay => {
                rig.until("FetchFailed").await;
                std::fs::write(&rig.model, "a model").unwrap();
            }
            At::Estimating | At::Starting => rig.release(),
            At::WaitingForRoom => {
                rig.until("NoRoom").await;
                rig.order(Order::Unload).await;
                rig.until("Unloaded").await;
                continue;
            }
            At::Ready => {
                assert_eq!(rig.control.counts().ready, 1);
                rig.control.crash(&ExitReason::Signal(9));
            }
            _ => {}
        }
        rig.until("Ready").await;
        assert_eq!(rig.ledger.holdings().len(), 1, "{at:?}");
    }
}

/// ORCH-MODEL-11
#[tokio::test(start_paused = true)]
async fn a_second_reload_is_refused_at_once_and_the_first_one_goes_on() {
    for at in ALL.into_iter().filter(|at| at.is_reloading() && *at != At::ReloadFetching) {
        let mut rig = Rig::at(at).await;
        rig.reload_other().await;
        assert_eq!(rig.next().await, "ReloadOver(ReloadInProgress)", "{at:?}");
        rig.release();
        rig.idle = None;
        assert_eq!(rig.heard_until("ReloadOver(Ok)").await, ["Swapped"], "{at:?}");
    }
}

/// ORCH-CONF-13
#[tokio::test(start_paused = true)]
async fn a_reload_that_is_canceled_leaves_every_state_as_it_was() {
    for at in ALL.into_iter().filter(|at| at.is_reloading()) {
        let mut rig = Rig::at(at).await;
        rig.order(Order::CancelReload).await;
        let before = rig.heard_until("ReloadOver(ReloadInProgress)").await;
        rig.release();
        if at == At::ReloadInPlace {
            assert_eq!(before, ["Starting"], "the old model comes back");
            rig.until("Ready").await;
        } else {
            assert_eq!(before, [""; 0], "{at:?}");
        }
        let tried = rig.other.counts();
        assert_eq!(tried.gone, tried.ready, "{at:?}: the new one has ended");
        // What was there serves, and can be reloaded and unloaded.
        rig.control.crash(&ExitReason::Signal(9));
        rig.until("Ready").await;
        rig.order(Order::Unload).await;
        rig.until("Unloaded").await;
        assert!(rig.ledger.holdings().is_empty(), "{at:?}");
    }
}

/// ORCH-CONF-13
#[tokio::test(start_paused = true)]
async fn a_cancel_without_a_reload_changes_nothing() {
    for at in ALL.into_iter().filter(|at| !at.is_reloading() && *at != At::Unloading) {
        let mut rig = Rig::at(at).await;
        rig.order(Order::CancelReload).await;
        rig.release();
        rig.order(Order::Unload).await;
        let heard = rig.heard_until("Unloaded").await;
        assert!(heard.iter().all(|event| !event.starts_with("ReloadOver")), "{at:?}: {heard:?}");
    }
}

/// The other model, as a new configuration has it.
fn with_options(rig: &Rig, folder: &tempfile::TempDir) -> Order {
    let model = PoolModel::Reference(ModelRef::File(rig.other_model.clone()));
    let options = PoolConfig { model: model.clone(), slots: 3, ..pool_config("a", folder) };
    Order::Reload(ReloadOrder { model, sha256: None, options: Some(Box::new(options)) })
}

/// ORCH-CONF-12
#[tokio::test(start_paused = true)]
async fn new_options_are_tried_where_a_model_is_loaded_and_taken_over_where_none_is() {
    let folder = tempfile::tempdir().unwrap();
    for at in ALL.into_iter().filter(|at| !at.is_reloading()) {
        let mut rig = Rig::at(at).await;
        rig.order(with_options(&rig, &folder)).await;
        let before = rig.heard_until("ReloadOver(Ok)").await;
        let expected: &[&str] = match at {
            At::Starting | At::Ready | At::BackingOff => &["Swapped"],
            At::Unloading => &["Unloaded", "Adopted"],
            _ => &["Adopted"],
        };
        assert_eq!(before, expected, "{at:?}");
        rig.release();
        // What was being done goes on with the new model: it is loaded where the old one was to be.
        match at {
            At::Unloaded | At::Unloading => rig.order(Order::Load).await,
            At::Starting | At::Ready | At::BackingOff => continue,
            _ => {}
        }
        rig.until("Ready").await;
        assert_eq!(rig.other.counts().ready, 1, "{at:?}");
        assert_eq!(rig.ledger.holdings().len(), 1, "{at:?}");
    }
}

/// ORCH-CONF-12
#[tokio::test(start_paused = true)]
async fn options_that_fail_leave_the_replicas_and_the_options_that_they_had() {
    let folder = tempfile::tempdir().unwrap();
    for memory in [2 * NEEDS, NEEDS] {
        let mut rig = Rig::new(&Setting { memory, ..Setting::default() });
        rig.until("Ready").await;
        rig.other.fail_starts(1, &StartError::Model("broken".into()));
        rig.order(with_options(&rig, &folder)).await;
        if memory == NEEDS {
            rig.until("PauseDispatch").await;
            rig.idle = None;
        }
        rig.until("ReloadOver(ModelInvalid)").await;
        rig.order(Order::Unload).await;
        rig.until("Unloaded").await;
        rig.order(Order::Load).await;
        rig.until("Ready").await;
        assert_eq!(rig.other.counts().ready, 0, "the old model is loaded again");
    }
}
