use adapter_api::{Device, ExitReason};
use adapter_mock::{MockConfig, MockControl, MockFactory};
use orchestrator_core::PoolId;

use super::*;

fn spec(index: u16) -> ReplicaSpec {
    ReplicaSpec {
        replica: ReplicaId { pool: PoolId::new("p").unwrap(), index },
        model: "/model".into(),
        ctx: None,
        slots: 1,
        threads: None,
        device: Device::Cpu,
        gpu_layers: None,
    }
}

fn means() -> (FleetMeans, MockControl) {
    let (factory, control) = MockFactory::new(MockConfig::instant());
    let policy = ReplicaPolicy::default();
    (FleetMeans { factory: Arc::new(factory), policy, shutdown: CancellationToken::new() }, control)
}

/// An outlet and what comes out of it.
fn outlet() -> (Outlet, mpsc::Receiver<ReplicaEvent>) {
    let (sender, events) = mpsc::channel(EVENTS_BOUND);
    let outlet: Outlet = Arc::new(move |event| {
        let sender = sender.clone();
        Box::pin(async move { sender.send(event).await.unwrap() })
    });
    (outlet, events)
}

#[tokio::test(start_paused = true)]
async fn a_candidate_is_silent_until_it_is_promoted() {
    let (means, control) = means();
    let mut candidate = Candidate::start(vec![spec(0), spec(1)], &means);
    let passed = candidate.passed(|_| {}).await.unwrap();
    assert_eq!(passed.len(), 2);

    let (outlet, mut events) = outlet();
    let _fleet = candidate.promote(outlet);
    control.crash(&ExitReason::Signal(9));
    let first = events.recv().await.unwrap();
    assert!(matches!(first.kind, ReplicaEventKind::Gone { .. }), "{first:?}: its readiness was told already");
}

#[tokio::test(start_paused = true)]
async fn a_candidate_says_how_much_is_loaded_over_all_of_its_replicas() {
    let (factory, _control) =
        MockFactory::new(MockConfig { load: Duration::from_secs(4), ..MockConfig::instant() });
    let means = FleetMeans { factory: Arc::new(factory), ..means().0 };
    let mut candidate = Candidate::start(vec![spec(0), spec(1)], &means);
    let mut heard = Vec::new();
    candidate.passed(|share| heard.push(share)).await.unwrap();
    assert!(heard.is_sorted(), "{heard:?}");
    assert_eq!((heard.first(), heard.last()), (Some(&0.0), Some(&1.0)), "{heard:?}");
    assert!(heard.contains(&0.5), "{heard:?}");
    candidate.dismiss().await;
}

#[tokio::test(start_paused = true)]
async fn a_candidate_of_which_one_replica_fails_has_failed() {
    let (means, control) = means();
    control.fail_starts(1, &adapter_api::StartError::Model("no such file".into()));
    let mut candidate = Candidate::start(vec![spec(0)], &means);
    let why = candidate.passed(|_| {}).await.unwrap_err();
    assert_eq!(why.to_string(), "no such file");
    candidate.dismiss().await;
}

#[tokio::test(start_paused = true)]
async fn a_fleet_that_is_stopped_says_so_of_every_replica() {
    let (means, _control) = means();
    let (outlet, mut events) = outlet();
    let fleet = Fleet::open(vec![spec(0), spec(1)], &means, outlet);
    let mut ready = 0;
    while ready < 2 {
        let event = events.recv().await.unwrap();
        ready += usize::from(matches!(event.kind, ReplicaEventKind::Ready { .. }));
    }
    fleet.stop().await;
    let mut gone = 0;
    while let Some(event) = events.recv().await {
        gone += usize::from(matches!(event.kind, ReplicaEventKind::Gone { .. }));
    }
    assert_eq!(gone, 2);
}
