//! Tasks that arrive at random at a given rate.

use openapi_client::types::{Priority, TaskRequest};
use tokio_util::sync::CancellationToken;
use traffic::{Arrivals, Plan, Traffic, text_of};
use uuid::Uuid;

use harness::tasks;

use crate::args::Args;
use crate::target::Target;

/// Lets tasks arrive, and waits until all have ended.
///
/// # Errors
/// When more are open than this machine can serve, or the daemon refuses what is asked.
pub async fn measure(args: &Args) -> anyhow::Result<Traffic> {
    let target = Target::open(args).await?;
    let plan = Plan { arrivals: Arrivals::Rate(args.rate), duration: args.duration(), seed: args.seed };
    // A task whose prompt no other has, so that no cache answers for the engine.
    let task = |rng: &mut fastrand::Rng| {
        let half = args.tokens / 2;
        let max_tokens = rng.u32(args.tokens - half..=args.tokens + half);
        let task = if target.is_starter { tasks::endless(max_tokens) } else { tasks::prompt("", max_tokens) };
        let prompt = format!("Recording number {}. {}", rng.u32(..), text_of(args.prompt_tokens));
        let priority = if rng.f64() < args.batch_share { Priority::Batch } else { Priority::Interactive };
        TaskRequest { task_id: Some(Uuid::new_v4()), prompt: Some(prompt), priority: Some(priority), ..task }
    };
    let stop = CancellationToken::new();
    Ok(traffic::measure(&target.client, &plan, task, &Default::default(), &stop).await?)
}
