//! The way of a task into its queue, through the handle and the task around the driver.

use super::*;

/// ORCH-TASK-1
#[tokio::test]
async fn a_task_is_admitted_runs_and_ends_once_with_its_figures() {
    let driver = TestDriver::one(one_slot()).await;
    let accepted = driver.admit(1, Priority::Interactive).await.unwrap();
    assert_eq!(accepted.position.queue_position, 0);
    assert_eq!(accepted.backoff, Millis(0));
    let (text, end) = driver.end_of(1).await;
    assert!(!text.is_empty());
    assert_eq!((end.finish, end.failure), (FinishReason::Length, None));
    assert_eq!((end.tokens_in, end.tokens_out), (TokenCount(3), TokenCount(5)));
}

/// ORCH-TASK-2
#[tokio::test]
async fn the_same_id_is_the_same_task_and_another_body_is_refused() {
    let driver = TestDriver::one(one_slot()).await;
    driver.admit(1, Priority::Interactive).await.unwrap();
    driver.end_of(1).await;
    let again = driver.admit(1, Priority::Interactive).await.unwrap();
    assert_eq!(again.task, TaskId(Uuid::from_u128(1)));
    assert_eq!(driver.control.counts().submitted, 1);
    let mut other = request(1, Priority::Interactive);
    other.fingerprint = 2;
    let refusal = driver.handle.submit(other).await.unwrap_err();
    assert!(matches!(refusal, Refusal::Invalid(_)), "{refusal:?}");
}

#[tokio::test]
async fn what_the_engine_finds_wrong_with_a_task_is_refused_before_it_waits() {
    let what = "`sampling.grammar` has no rule named `root`";
    let driver = TestDriver::one(MockConfig { refuses: Some(what.into()), ..one_slot() }).await;
    let refusal = driver.admit(1, Priority::Interactive).await.unwrap_err();
    assert_eq!(refusal, Refusal::Invalid(what.into()));
    assert_eq!(driver.control.counts().submitted, 0);
}

#[tokio::test]
async fn an_engine_that_does_not_measure_in_time_refuses_with_a_wait() {
    let driver = TestDriver::one(one_slot()).await;
    driver.control.hold(Phase::Measure);
    tokio::time::pause();
    let refusal = driver.admit(1, Priority::Interactive).await.unwrap_err();
    let verdict = refusal.verdict();
    assert_eq!((verdict.status, verdict.code, verdict.retriable), (503, Code::ReplicaExhausted, true));
    assert_eq!(verdict.retry_after_s(), Some(10));
}

/// ORCH-REPL-16
#[tokio::test]
async fn a_prompt_that_was_there_when_engines_died_is_given_to_one_other_and_no_more() {
    let driver = TestDriver::one(one_slot()).await;
    driver.control.hold(Phase::Measure);
    let handle = driver.handle.clone();
    let mut asked = JoinSet::new();
    asked.spawn(async move { handle.submit(request(1, Priority::Interactive)).await });
    driver.control.until(|counts: &Counts| counts.measures == 1).await;
    driver.control.crash(&ExitReason::Signal(11));
    asked.join_next().await.unwrap().unwrap().expect("it waits for the restart");
    assert_eq!(driver.control.counts().measures, 1);
    // Its engine's supervisor says so only now, and has it started again.
    driver.tell(0, ReplicaEventKind::Gone { reason: ExitReason::Signal(11) }).await;
    driver.control.hold(Phase::Prefill);
    driver.bring_up(0).await;
    driver.control.until(|counts: &Counts| counts.submitted == 1).await;
    driver.control.crash(&ExitReason::Signal(11));
    let (_, end) = driver.end_of(1).await;
    assert_eq!(end.failure, Some(Failure::EnginesFailed), "two engines, and no third");
}

/// ORCH-REPL-16
#[tokio::test]
async fn a_prompt_that_two_engines_died_measuring_is_refused_and_kills_no_third() {
    let engine = MockConfig { measuring: Measuring::Dies, ..one_slot() };
    let driver = TestDriver::new(engine, small_queue(), keeping(100), 3).await;
    let refusal = driver.admit(1, Priority::Interactive).await.unwrap_err();
    let verdict = refusal.verdict();
    assert_eq!((verdict.status, verdict.code, verdict.retriable), (503, Code::WorkerReset, false));
    let counts = driver.control.counts();
    assert_eq!((counts.measures, counts.gone), (2, 2));
}

/// ORCH-QUEUE-2
#[tokio::test]
async fn interactive_tasks_go_before_batch_tasks_that_came_earlier() {
    let driver = TestDriver::one(one_slot()).await;
    driver.control.hold(Phase::Decode);
    driver.admit(1, Priority::Interactive).await.unwrap();
    driver.admit(2, Priority::Batch).await.unwrap();
    let batch = driver.handle.subscribe(TaskId(Uuid::from_u128(2)), 0).await.unwrap();
    assert_eq!(batch.position.queue_position, 0);
    driver.admit(3, Priority::Interactive).await.unwrap();
    let batch = driver.handle.subscribe(TaskId(Uuid::from_u128(2)), 0).await.unwrap();
    assert_eq!(batch.position.queue_position, 1);
    driver.control.release(Phase::Decode);
    driver.end_of(2).await;
    let order: Vec<u128> = driver.control.submitted().iter().map(|task| task.0.as_u128()).collect();
    assert_eq!(order, [1, 3, 2]);
}

/// ORCH-QUEUE-1
#[tokio::test]
async fn a_full_lane_refuses_with_a_wait_and_leaves_the_other_lane_open() {
    let driver = TestDriver::one(one_slot()).await;
    driver.control.hold(Phase::Decode);
    for task in 0..3 {
        driver.admit(task, Priority::Batch).await.unwrap();
    }
    let refusal = driver.admit(9, Priority::Batch).await.unwrap_err();
    let verdict = refusal.verdict();
    assert_eq!((verdict.status, verdict.code), (429, Code::AdmissionReject));
    assert!(verdict.retry_after.is_some_and(|wait| wait.0 > 0));
    driver.admit(10, Priority::Interactive).await.unwrap();
    let text = driver.handle.subscribe(TaskId(Uuid::from_u128(9)), 0).await.unwrap_err();
    assert!(matches!(text, Refusal::NotFound(_)));
}

/// ORCH-QUEUE-4
#[tokio::test]
async fn under_drop_lru_the_oldest_waiting_batch_task_hears_that_it_made_room() {
    let queue = QueueLimits { full_policy: FullPolicy::DropLru, ..small_queue() };
    let driver = TestDriver::new(one_slot(), queue, keeping(100), 1).await;
    driver.control.hold(Phase::Decode);
    for task in 0..4 {
        driver.admit(task, Priority::Batch).await.unwrap();
    }
    let (_, end) = driver.end_of(1).await;
    assert_eq!(failure(&end), Code::QueueFullDropLru);
    driver.control.release(Phase::Decode);
    for task in [0, 2, 3] {
        assert_eq!(driver.end_of(task).await.1.finish, FinishReason::Length);
    }
}

/// ORCH-REPL-3
#[tokio::test]
async fn a_pool_without_an_engine_says_what_it_is_at_and_when_to_come_back() {
    let driver = TestDriver::new(one_slot(), small_queue(), keeping(3), 0).await;
    let refusal = driver.admit(1, Priority::Interactive).await.unwrap_err();
    assert_eq!((refusal.verdict().status, refusal.verdict().code), (503, Code::PoolUnready));
    assert!(refusal.verdict().retry_after_s().is_some_and(|wait| (1..=60).contains(&wait)));
}

/// ORCH-TASK-9
#[tokio::test]
async fn an_unknown_model_or_engine_is_refused_with_those_there_are() {
    let driver = TestDriver::one(one_slot()).await;
    let mut wrong = request(1, Priority::Interactive);
    wrong.model_ref = Some("llama-9000".into());
    let refusal = driver.handle.submit(wrong).await.unwrap_err().to_string();
    assert_eq!(refusal, "`model_ref` is `llama-9000`, which is not served here: there is `starter`");
    let mut wrong = request(1, Priority::Interactive);
    wrong.engine = Some(EngineKind::Triton);
    let refusal = driver.handle.submit(wrong).await.unwrap_err().to_string();
    assert_eq!(refusal, "`engine` is `triton`, which no pool uses: there is `llamacpp`");
}
