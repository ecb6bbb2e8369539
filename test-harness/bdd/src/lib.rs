//! What the daemon promises, as scenarios: `features/*.feature`, one file a topic, each scenario tagged with
//! the rules of `.specs` that it holds (`cargo xtask requirements` knows them all). They speak HTTP and
//! signals to a real `orchestratord` with the real engine and the starter model, and know nothing of its code.
//!
//! ```text
//! features/*.feature ─► tests/features: one test a file ─► steps ─► harness ─► orchestratord, a process
//! ```
//!
//! Every file is one test of `cargo nextest run --workspace` (which builds the daemon first); the scenarios
//! of a file run one after another and share a daemon where they ask for the same one. A step without a
//! definition fails its scenario, and so does a file without scenarios. One file alone:
//! `cargo nextest run --workspace -E 'package(bdd) & test(cancel)'`.
