//! `load`: what a running daemon is like for those who use it at the same time. An open loop, so that a slow
//! daemon does not slow those who come: tasks arrive at random at a given rate whatever became of those before.
//!
//! ```text
//! cargo run --release -p load                        a daemon of its own with the starter model
//! cargo run --release -p load -- --url http://127.0.0.1:6173 --token …   one that runs
//! ```
//!
//! Figures are those of a quiet machine only, and of a release build. A daemon of its own is the executable
//! beside this one (`cargo build --release --workspace`), or the one that `LLAMA_ORCH_TEST_DAEMON` names.
#![expect(clippy::disallowed_methods, reason = "a bench measures real time")]
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

mod args;
mod arrivals;
mod memory;
mod refusals;
mod relay;
mod report;
mod responsive;
mod target;

use clap::Parser as _;

use args::{Args, Part};
use report::Report;

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    args.check()?;
    target::raise_file_limit()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let report = runtime.block_on(run(&args))?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{report}");
    }
    Ok(())
}

async fn run(args: &Args) -> anyhow::Result<Report> {
    let mut report = Report::default();
    for part in args.parts() {
        match part {
            Part::Traffic => report.traffic = Some(arrivals::measure(args).await?),
            Part::Memory => report.memory = Some(memory::measure(args).await?),
            Part::Relay => report.relay = Some(relay::measure().await?),
            Part::Responsive => report.responsive = Some(responsive::measure().await?),
            Part::Refusals => report.refusals = Some(refusals::measure(args).await?),
        }
    }
    Ok(report)
}
