//! Engines that die, hang or are slow with tasks in them.

use super::*;

/// ORCH-ERR-8, ORCH-REPL-6, ORCH-REPL-8
#[tokio::test]
async fn a_death_before_the_first_token_is_unseen_and_one_after_it_is_not_where_no_engine_goes_on() {
    let driver = TestDriver::one(one_slot()).await;
    driver.control.hold(Phase::Decode);
    driver.admit(1, Priority::Interactive).await.unwrap();
    driver.control.until(|counts: &Counts| counts.running == 1).await;
    driver.control.crash(&ExitReason::Signal(9));
    driver.control.until(|counts: &Counts| counts.lost == 1).await;
    driver.bring_up(0).await;
    driver.control.until(|counts: &Counts| counts.running == 1).await;
    driver.control.pass(Phase::Decode, 1);
    driver.control.until(|counts: &Counts| counts.tokens == 1).await;
    driver.control.crash(&ExitReason::Signal(9));
    let (text, end) = driver.end_of(1).await;
    assert_eq!(failure(&end), Code::WorkerReset);
    assert!(end.failure.is_some_and(|failure| failure.verdict().retry_after > Some(Millis(0))));
    assert!(!text.is_empty());
    assert_eq!(driver.control.counts().submitted, 2);
}

/// ORCH-REPL-18
#[tokio::test]
async fn an_answer_goes_on_behind_what_is_written_and_ends_at_the_second_death() {
    let abilities = engine_api::Abilities { continues: true, ..Default::default() };
    let driver = TestDriver::one(MockConfig { abilities, ..one_slot() }).await;
    driver.control.hold(Phase::Decode);
    driver.admit(1, Priority::Interactive).await.unwrap();
    driver.control.pass(Phase::Decode, 2);
    driver.control.until(|counts: &Counts| counts.tokens == 2).await;
    driver.control.crash(&ExitReason::Signal(9));
    driver.control.until(|counts: &Counts| counts.lost == 1).await;
    driver.bring_up(0).await;
    driver.control.pass(Phase::Decode, 1);
    driver.control.until(|counts: &Counts| counts.tokens == 3).await;
    driver.control.crash(&ExitReason::Signal(9));
    let (text, end) = driver.end_of(1).await;
    assert_eq!(text, "w0 w1 w2", "none is lost and none comes twice");
    assert_eq!(end.tokens_out, TokenCount(3));
    let verdict = end.failure.expect("it failed").verdict();
    assert_eq!((verdict.code, verdict.retriable), (Code::WorkerReset, false), "it may be the cause");
    assert_eq!(driver.control.counts().submitted, 2);
}

/// ORCH-REPL-7
#[tokio::test]
async fn a_task_that_was_there_at_two_deaths_is_not_dispatched_again() {
    let driver = TestDriver::one(one_slot()).await;
    driver.control.hold(Phase::Decode);
    driver.admit(1, Priority::Interactive).await.unwrap();
    for death in 1..=2 {
        driver.control.until(|counts: &Counts| counts.running == 1).await;
        driver.control.crash(&ExitReason::Signal(9));
        driver.control.until(|counts: &Counts| counts.lost == death).await;
        driver.bring_up(0).await;
    }
    assert_eq!(failure(&driver.end_of(1).await.1), Code::WorkerReset);
    assert_eq!(driver.control.counts().submitted, 2);
}

/// ORCH-REPL-3
#[tokio::test]
async fn what_waits_for_a_pool_that_has_given_up_ends_with_the_reason() {
    let driver = TestDriver::one(one_slot()).await;
    driver.control.hold(Phase::Decode);
    driver.admit(1, Priority::Interactive).await.unwrap();
    driver.admit(2, Priority::Batch).await.unwrap();
    driver.control.until(|counts: &Counts| counts.running == 1).await;
    driver.control.crash(&ExitReason::Signal(9));
    let kind = ReplicaEventKind::Failed {
        error: engine_api::StartError::Model("the file is gone".into()),
        retry_in: Duration::from_secs(9),
    };
    driver.tell(0, kind).await;
    for task in [1, 2] {
        let (_, end) = driver.end_of(task).await;
        assert_eq!(failure(&end), Code::PoolUnavailable, "task {task}");
        assert!(end.failure.unwrap().to_string().contains("the file is gone"));
    }
}

/// ORCH-REPL-9
#[tokio::test(start_paused = true)]
async fn a_replica_that_hangs_before_the_first_token_is_ended_and_its_task_is_placed_again() {
    let driver = TestDriver::new(one_slot(), small_queue(), keeping(100), 2).await;
    driver.control.hold(Phase::Prefill);
    driver.admit(1, Priority::Interactive).await.unwrap();
    driver.control.until(|counts: &Counts| counts.running == 1).await;

    driver.control.until(|counts: &Counts| counts.gone == 1).await;
    driver.control.release(Phase::Prefill);
    let (_, end) = driver.end_of(1).await;
    assert_eq!(end.finish, FinishReason::Length, "unseen by whoever reads it");
    let health = driver.handle.health().await.unwrap();
    let exited = health.pools[0].replicas.iter().find(|replica| replica.state == "exited").unwrap();
    let reason = exited.reason.as_ref().unwrap();
    assert!(reason.starts_with("made no progress for 1"), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn a_task_whose_tokens_stop_coming_ends_with_a_timeout_and_not_before_its_bound() {
    let driver = TestDriver::one(one_slot()).await;
    driver.control.hold(Phase::Decode);
    driver.admit(1, Priority::Interactive).await.unwrap();
    driver.control.until(|counts: &Counts| counts.running == 1).await;
    driver.control.pass(Phase::Decode, 1);
    driver.control.until(|counts: &Counts| counts.tokens == 1).await;
    let ended = driver.control.until(|counts: &Counts| counts.gone == 1);
    let floor = tokio::time::timeout(HANG_FLOOR - Duration::from_secs(1), ended).await;
    assert!(floor.is_err(), "it is given time");

    driver.control.until(|counts: &Counts| counts.gone == 1).await;
    let (_, end) = driver.end_of(1).await;
    assert_eq!(failure(&end), Code::DecodeTimeout);
}

/// ORCH-REPL-9
#[tokio::test(start_paused = true)]
async fn a_replica_that_goes_on_slowly_does_not_hang() {
    let driver = TestDriver::one(one_slot()).await;
    driver.control.hold(Phase::Decode);
    driver.admit(1, Priority::Interactive).await.unwrap();
    driver.control.until(|counts: &Counts| counts.running == 1).await;
    for token in 1..=3 {
        tokio::time::sleep(HANG_FLOOR / 2).await;
        driver.control.pass(Phase::Decode, 1);
        driver.control.until(move |counts: &Counts| counts.tokens == token).await;
    }
    driver.control.release(Phase::Decode);
    let (_, end) = driver.end_of(1).await;
    assert_ne!(end.finish, FinishReason::Error);
}
