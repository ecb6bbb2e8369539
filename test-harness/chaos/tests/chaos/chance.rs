use fastrand::Rng;

/// How often something is killed, where a run does not say.
const KILLS: usize = 12;

/// Names how often something is killed.
const KILLS_VARIABLE: &str = "LLAMA_ORCH_TEST_KILLS";

/// Names the seed of a run that is to be taken up again.
const SEED_VARIABLE: &str = "LLAMA_ORCH_TEST_SEED";

/// How often this run kills.
pub fn kills() -> usize {
    number(KILLS_VARIABLE).map_or(KILLS, |kills| usize::try_from(kills).unwrap())
}

/// The random numbers of this run. What it prints is shown when the test fails.
pub fn rng() -> Rng {
    let seed = number(SEED_VARIABLE).unwrap_or_else(|| fastrand::u64(..));
    println!("take this run up again with {SEED_VARIABLE}={seed}");
    Rng::with_seed(seed)
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is `{text}`, which is no whole number")))
}
