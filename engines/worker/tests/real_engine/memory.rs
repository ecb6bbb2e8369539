//! What a model would take of memory is told without loading it, and is what loading it takes.

use engine_api::StartError;

use crate::harness::{Worker, model, spec};

#[test]
fn the_estimate_is_what_a_load_takes() {
    for (slots, ctx) in [(1, 512), (4, 2048)] {
        let estimate = Worker::spawn().estimate(spec(&model(), slots, ctx)).expect("a sound model");
        let worker = Worker::start(slots, ctx);
        let loaded = worker.facts.as_ref().expect("loaded").memory.expect("told");
        assert_eq!((estimate.host_bytes, loaded.host_bytes), (0, 0), "the processor's memory is the host's");
        assert_eq!((estimate.ctx.0, loaded.ctx.0), (ctx, ctx));
        let near = |a: u64, b: u64| a.abs_diff(b) <= b / 50 + 16 * 1024;
        assert!(near(estimate.weights_bytes, loaded.weights_bytes), "{estimate:?} {loaded:?}");
        // The estimate holds one more sequence, for `strict` tasks.
        let slots = u64::from(slots);
        assert!(near(estimate.kv_bytes, loaded.kv_bytes / slots * (slots + 1)), "{estimate:?} {loaded:?}");
        // 30 layers of keys and values of 3 heads of 64 numbers of 2 bytes.
        assert!(near(loaded.kv_bytes, slots * u64::from(ctx) * 30 * 2 * 3 * 64 * 2), "{loaded:?}");
        assert!(
            (loaded.compute_bytes..=loaded.compute_bytes * 3).contains(&estimate.compute_bytes),
            "{estimate:?} {loaded:?}"
        );
    }
}

#[test]
fn an_estimate_of_what_cannot_be_loaded_says_why() {
    let missing = Worker::spawn().estimate(spec(&model().with_extension("none"), 1, 256));
    assert!(matches!(missing, Err(StartError::Model(_))), "{missing:?}");
    let too_long = Worker::spawn().estimate(spec(&model(), 1, 1 << 20));
    assert!(matches!(too_long, Err(StartError::Engine(_))), "{too_long:?}");
}
