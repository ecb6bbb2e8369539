//! `bench`: tasks of its own for the daemon, and what their callers see.
//!
//! Rules: ORCH-CLI-15

use std::sync::Arc;
use std::time::Duration;

use api_types::{Priority, Sampling, TaskRequest};
use fastrand::Rng;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use traffic::{Arrivals, Fault, Gauge, Plan, Traffic, text_of};
use uuid::Uuid;

use crate::api;
use crate::args::BenchArgs;
use crate::clock;
use crate::context::{Context, Stop};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::pools;
use crate::text;
use crate::ui::Ui;

/// How often it is said how far it is: on a terminal, and in a log.
const LIVE_STEP: Duration = Duration::from_millis(500);
const LOG_STEP: Duration = Duration::from_secs(5);

/// Measures, and prints the figures; those so far where a signal ends it.
///
/// # Errors
/// The daemon refuses or cannot be asked, or nobody reads.
pub async fn bench(cx: &mut Context, args: &BenchArgs) -> Result<Exit, Stop> {
    // Before anything is sent: whether the daemon is there, takes the token and knows the model.
    let health = pools::ask(cx).await?;
    if let Some(model) = &args.model {
        pools::find(&health, model)?;
    }
    let plan = Plan {
        arrivals: args.streams.map_or(Arrivals::Rate(args.rate), Arrivals::Streams),
        duration: Duration::from_secs(args.duration),
        seed: args.seed,
    };
    let (traffic, signal) = measure(cx, args, &plan).await?;
    let measured = if args.json {
        let plan = json!({
            "rate": args.streams.is_none().then_some(args.rate), "streams": args.streams, "duration_s": args.duration,
            "prompt_tokens": args.prompt_tokens, "tokens": args.tokens, "batch_share": args.batch_share,
            "seed": args.seed, "model": args.model,
        });
        json!({ "plan": plan, "interrupted": signal.is_some(), "traffic": traffic }).to_string()
    } else {
        traffic.to_string()
    };
    cx.ui.print(&measured)?;
    Ok(signal.unwrap_or(Exit::Done))
}

async fn measure(cx: &mut Context, args: &BenchArgs, plan: &Plan) -> Result<(Traffic, Option<Exit>), Stop> {
    let Context { api, ui, interrupts } = cx;
    let (gauge, stop) = (Arc::new(Gauge::default()), CancellationToken::new());
    let start = clock::now();
    let step = if ui.live_is_cheap() { LIVE_STEP } else { LOG_STEP };
    let mut signal = None;
    let measuring = traffic::measure(api.client(), plan, |rng| task(args, rng), &gauge, &stop);
    tokio::pin!(measuring);
    let measured = loop {
        tokio::select! {
            biased;
            exit = interrupts.next(), if signal.is_none() => {
                stop.cancel();
                signal = Some(exit);
            }
            measured = &mut measuring => break measured,
            () = tokio::time::sleep(step) => progress(ui, &gauge, clock::left(start, plan.duration)),
        }
    };
    ui.clear_live();
    match measured {
        Ok(traffic) => Ok((traffic, signal)),
        Err(Fault::Refused(failure)) => Err(api.failure(api::explain(failure)).into()),
        Err(fault @ Fault::TooManyOpen) => Err(Failure::new(Exit::Failed, fault.to_string()).into()),
    }
}

fn progress(ui: &mut Ui, gauge: &Gauge, left: Duration) {
    let (sent, ended, tokens) = (gauge.sent(), gauge.ended(), gauge.tokens());
    let open = sent.saturating_sub(ended);
    let rest = if left.is_zero() {
        "waiting for the open ones (Ctrl-C cancels them)".to_owned()
    } else {
        format!("{} left (Ctrl-C ends it)", text::countdown(left))
    };
    ui.live(&format!(
        "{} sent, {open} open, {}, {rest}",
        text::count(sent as u64, "task"),
        text::count(tokens, "token")
    ));
}

/// A task whose prompt no other has, so that no cache answers for the engine.
fn task(args: &BenchArgs, rng: &mut Rng) -> TaskRequest {
    let half = args.tokens / 2;
    let prompt = format!("Recording number {}. {}", rng.u32(..), text_of(args.prompt_tokens));
    TaskRequest {
        task_id: Some(Uuid::new_v4()),
        model_ref: args.model.clone(),
        prompt: Some(prompt),
        max_tokens: Some(rng.u32(args.tokens - half..=args.tokens.saturating_add(half))),
        priority: (rng.f64() < args.batch_share).then_some(Priority::Batch),
        sampling: Some(Sampling { temperature: Some(0.0), ..Sampling::default() }),
        ..TaskRequest::default()
    }
}
