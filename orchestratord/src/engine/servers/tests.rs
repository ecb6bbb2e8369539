use std::time::Duration;

use engine_api::{Device, LoadOptions, StopOutcome};
use engine_mock::{MockConfig, MockFactory};
use orchestrator_core::PoolId;

use super::*;

fn spec(index: u16, model: &str) -> ReplicaSpec {
    ReplicaSpec {
        replica: ReplicaId { pool: PoolId::new("p").expect("a name"), index },
        model: model.into(),
        ctx: None,
        kv_cells: None,
        slots: 1,
        threads: None,
        device: Device::Cpu,
        gpu_layers: None,
        options: LoadOptions::default(),
    }
}

async fn start(servers: &Servers, index: u16, model: &str) -> Result<Arc<dyn Engine>, StartError> {
    servers.start(spec(index, model), Arc::new(|_| {})).await
}

/// ORCH-ENG-25
#[tokio::test]
async fn each_replica_has_a_server_of_its_own_and_keeps_it() {
    let (factories, controls): (Vec<_>, Vec<_>) =
        (0..2).map(|_| MockFactory::new(MockConfig::instant())).unzip();
    let factories = factories.into_iter().map(|factory| Arc::new(factory) as Arc<dyn EngineFactory>);
    let servers = Servers::new(EngineKind::Llamacpp, factories.collect());
    let starts = || controls.iter().map(|control| control.counts().starts).collect::<Vec<_>>();
    let mut engines = Vec::new();
    for (replica, expected) in [(0, [1, 0]), (1, [1, 1]), (1, [1, 2]), (0, [2, 2]), (7, [3, 2]), (8, [3, 3])]
    {
        engines.push(start(&servers, replica, "m").await.expect("starts"));
        assert_eq!(starts(), expected, "{replica}");
    }
}

/// ORCH-ENG-25
#[tokio::test]
async fn servers_of_another_kind_or_with_another_model_are_refused_while_others_are_attached() {
    let mock = |kind| {
        let config = MockConfig { kind, ..MockConfig::instant() };
        Arc::new(MockFactory::new(config).0) as Arc<dyn EngineFactory>
    };
    let servers =
        Servers::new(EngineKind::Llamacpp, vec![mock(EngineKind::Llamacpp), mock(EngineKind::Vllm)]);
    let first = start(&servers, 0, "m").await.expect("starts");
    let refused = start(&servers, 1, "m").await.err().expect("is another kind");
    assert!(refused.to_string().starts_with("the servers of a pool must be alike, and one is"), "{refused}");
    let refused = start(&servers, 0, "other").await.err().expect("has another model");
    assert!(refused.to_string().contains("serves the model `other` where another serves `m`"), "{refused}");
    assert_eq!(first.stop(Duration::ZERO).await, StopOutcome::Ended);
    drop(first);
    assert!(start(&servers, 0, "other").await.is_ok(), "nobody is there to differ from");
}
