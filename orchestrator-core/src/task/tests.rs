//! The life of a task.

use uuid::Uuid;

use super::*;
use crate::PoolId;
use crate::queue::{Queue, QueueLimits};

#[test]
fn a_lost_task_waits_again_with_its_first_admission_and_without_a_forecast() {
    let spec = TaskSpec {
        id: TaskId(Uuid::from_u128(1)),
        priority: Priority::Batch,
        session: None,
        ctx: None,
        cells: TokenCount(0),
        tokens_in: TokenCount(5),
        max_tokens: None,
        expected_tokens: None,
    };
    let mut queue = Queue::new(QueueLimits::default());
    let admitted_at = Timestamp::from_millis(3);
    let ticket = queue.push(spec.priority, spec.id, spec.work(), admitted_at).expect("there is room").ticket;
    let waiting = WaitingTask { spec, admitted_at, ticket, said: None, passed_up_at: None };
    let replica = ReplicaId { pool: PoolId::new("p").expect("a valid name"), index: 0 };
    let mut running = waiting.start(replica);
    assert_eq!(running.intent, CallerIntent::Answer);
    running.cancel();
    assert_eq!(running.intent, CallerIntent::Cancel);
    let again = running.lost().again(ticket);
    assert_eq!(again.waited(Timestamp::from_millis(10)), Millis(7));
    assert!(again.said.is_none());
    assert!(matches!(again.withdraw(), Ended::Withdrawn));
}
