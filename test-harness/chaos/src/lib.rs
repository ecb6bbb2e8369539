//! Processes of a real daemon are killed under load, at random moments, and its streams may not show more of
//! it than they are allowed to: every task ends exactly once, no index is left out or repeated, and what was
//! said is what would have been said anyway.
//!
//! How often is bounded so that it fits a developer's loop; a long run is
//! `LLAMA_ORCH_TEST_KILLS=1000 cargo nextest run --workspace -E 'package(chaos)'`. Each run says the seed of its
//! random numbers when it fails; `LLAMA_ORCH_TEST_SEED` takes it up again.
