//! Tasks as they are shown.

use super::*;
use crate::task_view::{TaskPhase, TaskView};

impl TestDriver {
    async fn shown(&self, task: u128) -> TaskView {
        self.handle.task(TaskId(Uuid::from_u128(task))).await.unwrap().view
    }
}

/// ORCH-TASK-13, ORCH-TASK-14
#[tokio::test]
async fn a_task_is_shown_on_its_whole_way() {
    let driver = TestDriver::one(one_slot()).await;
    driver.control.hold(Phase::Decode);
    driver.admit(1, Priority::Interactive).await.unwrap();
    driver.admit(2, Priority::Batch).await.unwrap();
    let waits = driver.shown(2).await;
    assert!(matches!(waits.phase, TaskPhase::Waiting(position) if position.queue_position == 0), "{waits:?}");
    assert_eq!((waits.course.replica, waits.course.started), (None, None));

    driver.control.until(|counts: &Counts| counts.running == 1).await;
    let runs = driver.shown(1).await;
    assert_eq!(runs.phase, TaskPhase::Running);
    assert_eq!(runs.course.replica, Some(replica_id(0)));
    assert!(runs.course.started.is_some() && runs.course.first_token.is_none());

    driver.control.release(Phase::Decode);
    let (text, end) = driver.end_of(1).await;
    let story = driver.handle.task(TaskId(Uuid::from_u128(1))).await.unwrap();
    assert_eq!(story.view.phase, TaskPhase::Ended(end));
    assert_eq!(story.view.tokens_out, TokenCount(5));
    assert!(story.view.course.first_token <= story.view.course.ended);
    assert_eq!(story.log.text(), text);
    assert_eq!(story.asked.parts, [(None, "one two three".to_owned())], "after its job is gone");
}

#[tokio::test]
async fn a_task_that_is_canceled_or_placed_again_is_shown_so() {
    let driver = TestDriver::one(one_slot()).await;
    driver.control.hold(Phase::Decode);
    driver.admit(1, Priority::Interactive).await.unwrap();
    driver.admit(2, Priority::Interactive).await.unwrap();
    driver.control.until(|counts: &Counts| counts.running == 1).await;
    driver.control.crash(&ExitReason::Signal(9));
    driver.control.until(|counts: &Counts| counts.lost == 1).await;
    driver.handle.cancel(TaskId(Uuid::from_u128(2))).await.unwrap();
    let canceled = driver.shown(2).await;
    assert!(matches!(&canceled.phase, TaskPhase::Ended(end) if end.finish == FinishReason::Canceled));
    assert_eq!((canceled.course.placements, canceled.course.started), (0, None));
    driver.bring_up(0).await;
    driver.control.until(|counts: &Counts| counts.running == 1).await;
    assert_eq!(driver.shown(1).await.course.placements, 2);
}

/// ORCH-TASK-14
#[tokio::test]
async fn what_a_task_was_asked_counts_for_what_is_kept() {
    let retention = Retention { bytes: 64 * 1024, ..keeping(100) };
    let driver = TestDriver::new(one_slot(), small_queue(), retention, 1).await;
    for task in 1..=4 {
        let mut long = request(task, Priority::Interactive);
        let job = Arc::get_mut(&mut long.job).unwrap();
        job.input = Input::Prompt("x".repeat(20 * 1024)).into();
        driver.handle.submit(long).await.unwrap();
        driver.end_of(task).await;
    }
    // The end is there for readers a moment before the driver has taken note of it.
    let kept = loop {
        let kept = driver.handle.tasks(100).await.unwrap();
        if kept.running == 0 {
            break kept;
        }
    };
    let kept: Vec<u128> = kept.tasks.iter().map(|task| task.task.0.as_u128()).collect();
    assert_eq!(kept, [4, 3, 2], "the last one first, and no more than there is room for");
}
