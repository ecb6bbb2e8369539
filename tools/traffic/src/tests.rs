use openapi_client::types::Priority;

use super::*;
use crate::follow::Ending;

fn seen(predicted_ms: f64, waited_ms: f64, ending: Ending) -> Seen {
    Seen {
        priority: Priority::Interactive,
        ttft: Some(Duration::from_millis(50)),
        gaps: vec![Duration::from_millis(20); 3],
        tokens: 4,
        predicted_ms,
        waited_ms,
        ending,
        retry: None,
    }
}

/// ORCH-CLI-15
#[test]
fn what_tasks_saw_is_counted_by_how_they_ended_and_only_whole_answers_are_graded() {
    let mut refused = seen(0.0, 0.0, Ending::Refused);
    refused.retry = Some(false);
    let all = [
        seen(1000.0, 2000.0, Ending::Answered),
        seen(0.0, 1.0, Ending::Answered),
        seen(1000.0, 9000.0, Ending::Cut),
        seen(1000.0, 9000.0, Ending::Failed),
        refused,
    ];
    let traffic = Traffic::of(&all, Duration::from_secs(2));
    assert_eq!(
        (traffic.sent, traffic.answered, traffic.failed, traffic.cut, traffic.refused),
        (5, 2, 1, 1, 1)
    );
    assert_eq!((traffic.tokens_per_s, traffic.retries_admitted), (10.0, Some(0.0)));
    assert_eq!((traffic.prediction.graded, traffic.prediction.median_error), (1, 0.5));
    assert_eq!((traffic.interactive.ttft.count, traffic.interactive.between_tokens.p95), (5, 20.0));
    let page = traffic.to_string();
    assert!(page.contains("1 canceled") && page.contains("interactive") && !page.contains("batch"), "{page}");
}

#[tokio::test]
async fn a_daemon_that_is_not_there_is_a_fault_and_not_a_measurement() {
    let client =
        Client::new_with_client("http://127.0.0.1:1", openapi_client::http_client().build().unwrap());
    let plan = Plan { arrivals: Arrivals::Streams(2), duration: Duration::from_secs(60), seed: 1 };
    let stop = CancellationToken::new();
    let measured = measure(&client, &plan, |_| TaskRequest::default(), &Default::default(), &stop).await;
    assert!(matches!(measured, Err(Fault::Refused(Failure::Connection(_)))), "{measured:?}");
}
