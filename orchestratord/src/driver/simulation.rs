//! The driver under faults, in simulated time: random scenarios of clients, operators, engines that crash, hang, stall,
//! slow down or refuse, and controllers whose work fails, each interleaved at random with the steps of admissions. What
//! must hold is in [`world`]; what happens is in [`scenario`].
//!
//! A failing seed is run again with fewer and fewer of its operations, and the smallest scenario that still fails is
//! printed. `SIMULATION_SEED=17 cargo test -p orchestratord driver::simulation` runs one seed alone.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

mod controller;
pub(super) mod engine;
mod scenario;
mod world;

use scenario::Scenario;

/// Seeds in all, over all threads.
const SEEDS: u64 = 10_000;

/// Threads that run them: as many tests, so that the test runner spreads them.
const SHARES: u64 = 2;

/// ORCH-SHAPE-5, ORCH-TASK-12, ORCH-CONF-11
#[test]
fn every_invariant_holds_in_every_interleaving_of_the_even_seeds() {
    run(0);
}

/// ORCH-SHAPE-5, ORCH-CONF-11
#[test]
fn every_invariant_holds_in_every_interleaving_of_the_odd_seeds() {
    run(1);
}

fn run(share: u64) {
    let alone =
        std::env::var("SIMULATION_SEED").ok().map(|seed| seed.parse::<u64>().expect("a seed is a number"));
    let seeds: Vec<u64> = match alone {
        Some(seed) => vec![seed],
        None => (0..SEEDS).filter(|seed| seed % SHARES == share).collect(),
    };
    for seed in seeds {
        let scenario = Scenario::of(seed);
        if let Err(why) = outcome(&scenario) {
            let (scenario, why) = shrink(scenario, why);
            panic!("seed {seed}: {why}\nthe smallest scenario that fails so:\n{scenario:#?}");
        }
    }
}

thread_local! {
    /// Whether panics of this thread are caught and reported by what catches them.
    static IS_SILENT: Cell<bool> = const { Cell::new(false) };
}

/// Has the panics of threads that are silent print nothing, once for the process: others print theirs as before.
fn let_threads_be_silent() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let print = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !IS_SILENT.get() {
                print(panic);
            }
        }));
    });
}

/// Runs a scenario. An error says which invariant it breaks.
fn outcome(scenario: &Scenario) -> Result<(), String> {
    let_threads_be_silent();
    IS_SILENT.set(true);
    let outcome = catch_unwind(AssertUnwindSafe(|| world::play(scenario)));
    IS_SILENT.set(false);
    outcome.map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default()
    })
}

/// Leaves out operations as long as the scenario still fails.
fn shrink(mut scenario: Scenario, mut why: String) -> (Scenario, String) {
    let mut size = scenario.operations.len().div_ceil(2);
    while size > 0 {
        let mut from = 0;
        while from < scenario.operations.len() {
            let mut smaller = scenario.clone();
            let to = (from + size).min(smaller.operations.len());
            smaller.operations.splice(from..to, []);
            match outcome(&smaller) {
                Err(still) => (scenario, why) = (smaller, still),
                Ok(()) => from += size,
            }
        }
        size /= 2;
    }
    (scenario, why)
}

/// ORCH-SHAPE-5
#[test]
fn a_failing_scenario_is_shrunk_to_what_makes_it_fail() {
    let mut scenario = Scenario::of(1);
    scenario.operations.push((scenario::END_MS, scenario::Operation::BreakAnInvariant));
    let why = outcome(&scenario).expect_err("it fails");
    let (small, _) = shrink(scenario, why);
    assert_eq!(small.operations.len(), 1, "{small:?}");
}
