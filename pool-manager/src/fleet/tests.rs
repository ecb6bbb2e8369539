use engine_api::{Device, ExitReason, LoadOptions};
use engine_mock::{MockConfig, MockControl, MockFactory};
use orchestrator_core::PoolId;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::account::MemoryAccount;
use crate::backoff::Demand;
use crate::supervisor::ReplicaPolicy;

fn spec(index: u16) -> ReplicaSpec {
    ReplicaSpec {
        replica: ReplicaId { pool: PoolId::new("p").unwrap(), index },
        model: "/model".into(),
        ctx: None,
        kv_cells: None,
        slots: 1,
        threads: None,
        device: Device::Cpu,
        gpu_layers: None,
        options: LoadOptions::default(),
    }
}

fn context(config: MockConfig) -> (ReplicaContext, MockControl) {
    let (factory, control) = MockFactory::new(config);
    let (_, demand) = watch::channel(Demand::Idle);
    let context = ReplicaContext {
        factory: Arc::new(factory),
        policy: ReplicaPolicy::default(),
        memory: MemoryAccount::unbounded(),
        demand,
        shutdown: CancellationToken::new(),
    };
    (context, control)
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

/// ORCH-MODEL-5
#[tokio::test(start_paused = true)]
async fn a_candidate_is_silent_until_it_is_promoted() {
    let (context, control) = context(MockConfig::instant());
    let mut candidate = ReloadCandidate::start(vec![spec(0), spec(1)], &context);
    let passed = candidate.passed(|_| {}).await.unwrap();
    assert_eq!(passed.len(), 2);

    let (outlet, mut events) = outlet();
    let _fleet = candidate.promote(outlet);
    control.crash(&ExitReason::Signal(9));
    let first = events.recv().await.unwrap();
    assert!(matches!(first.kind, ReplicaEventKind::Gone { .. }), "{first:?}: its readiness was told already");
}

/// ORCH-MODEL-10
#[tokio::test(start_paused = true)]
async fn a_candidate_says_how_much_is_loaded_over_all_of_its_replicas() {
    let (context, _control) = context(MockConfig { load: Duration::from_secs(4), ..MockConfig::instant() });
    let mut candidate = ReloadCandidate::start(vec![spec(0), spec(1)], &context);
    let mut heard = Vec::new();
    candidate.passed(|share| heard.push(share)).await.unwrap();
    assert!(heard.is_sorted(), "{heard:?}");
    assert_eq!((heard.first(), heard.last()), (Some(&0.0), Some(&1.0)), "{heard:?}");
    assert!(heard.contains(&0.5), "{heard:?}");
    candidate.dismiss().await;
}

/// ORCH-MODEL-6
#[tokio::test(start_paused = true)]
async fn a_candidate_of_which_one_replica_fails_has_failed() {
    let (context, control) = context(MockConfig::instant());
    control.fail_starts(1, &engine_api::StartError::Model("no such file".into()));
    let mut candidate = ReloadCandidate::start(vec![spec(0)], &context);
    let why = candidate.passed(|_| {}).await.unwrap_err();
    assert_eq!(why.to_string(), "no such file");
    candidate.dismiss().await;
}

#[tokio::test(start_paused = true)]
async fn a_fleet_that_is_stopped_says_so_of_every_replica() {
    let (context, _control) = context(MockConfig::instant());
    let (outlet, mut events) = outlet();
    let fleet = Fleet::open(vec![spec(0), spec(1)], &context, outlet);
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
