//! What a model would take of memory is told without loading it, and is what loading it takes.

use engine_api::{ReplicaSpec, StartError};
use orchestrator_core::TokenCount;

use crate::harness::{Worker, model, spec};

/// 30 layers of keys and values of 3 heads of 64 numbers of 2 bytes.
const KV_BYTES_PER_TOKEN: u64 = 30 * 2 * 3 * 64 * 2;

/// ORCH-DEV-10
#[test]
fn the_estimate_is_what_a_load_takes_and_what_each_token_more_would() {
    let near = |a: u64, b: u64| a.abs_diff(b) <= b / 50 + 16 * 1024;
    for (slots, ctx) in [(1, 512), (4, 2048)] {
        let mut spec = spec(&model(), slots, ctx);
        spec.kv_cells = Some(TokenCount(ctx));
        let estimate = Worker::spawn().estimate(spec.clone()).expect("a sound model");
        let mut worker = Worker::spawn();
        worker.load(spec).expect("it loads");
        let loaded = worker.facts.as_ref().expect("loaded").memory.expect("told");
        assert_eq!((estimate.host_bytes, loaded.host_bytes), (0, 0), "the processor's memory is the host's");
        assert_eq!((estimate.ctx.0, loaded.ctx.0), (ctx, ctx));
        assert!(near(estimate.weights_bytes, loaded.weights_bytes), "{estimate:?} {loaded:?}");
        // The estimate holds one more sequence, for `strict` tasks.
        assert!(near(estimate.kv_bytes, 2 * loaded.kv_bytes), "{estimate:?} {loaded:?}");
        assert!(near(loaded.kv_bytes, u64::from(ctx) * KV_BYTES_PER_TOKEN), "{loaded:?}");
        assert!(
            (loaded.compute_bytes..=loaded.compute_bytes * 3).contains(&estimate.compute_bytes),
            "{estimate:?} {loaded:?}"
        );
        let per_token = KV_BYTES_PER_TOKEN..=KV_BYTES_PER_TOKEN * 5 / 4;
        assert!(per_token.contains(&estimate.bytes_per_token), "{estimate:?}");
    }
}

/// ORCH-DEV-4, ORCH-DEV-10
#[test]
fn the_context_of_an_estimate_is_the_models_own_and_never_more() {
    let ctx = |ctx| {
        let spec = ReplicaSpec { ctx, ..spec(&model(), 4, 1) };
        let estimate = Worker::spawn().estimate(spec).expect("a sound model");
        (estimate.ctx.0, estimate.kv_cells.0)
    };
    assert_eq!(ctx(None), (8192, 8192));
    assert_eq!(ctx(Some(TokenCount(1 << 20))), (8192, 8192));
    assert_eq!(ctx(Some(TokenCount(2048))), (2048, 2048));
}

#[test]
fn an_estimate_of_what_cannot_be_loaded_says_why() {
    let missing = Worker::spawn().estimate(spec(&model().with_extension("none"), 1, 256));
    assert!(matches!(missing, Err(StartError::Model(_))), "{missing:?}");
    let nothing = Worker::spawn().estimate(spec(&model(), 1, 0));
    assert!(matches!(nothing, Err(StartError::Model(_))), "{nothing:?}");
}
