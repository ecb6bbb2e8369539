//! `status`: what the daemon says of itself, for a person.
//!
//! Rules: ORCH-CLI-19, ORCH-CLI-23

use std::time::Duration;

use api_types::{
    Device, Health, HealthStatus, Holding, ModelInfo, Pool, PoolState, Priority, Replica, ReplicaState,
    TaskState, TaskSummary,
};

use crate::api::ApiError;
use crate::args::StatusArgs;
use crate::context::{Context, Stop};
use crate::exit::Exit;
use crate::place::Reading;
use crate::progress;
use crate::table::{Cell, Palette, Table, Tint};
use crate::text;

/// Clears a terminal and goes to its first line.
const CLEAR: &str = "\x1b[2J\x1b[H";

/// The most tasks of each kind that are shown.
const TASKS_SHOWN: u32 = 20;

/// Shows it, once or again and again.
///
/// # Errors
/// The daemon cannot be asked, except while watching, or nobody reads.
pub async fn status(cx: &mut Context, args: &StatusArgs) -> Result<Exit, Stop> {
    let Some(every) = args.watch.map(Duration::from_secs) else {
        let (health, tasks) = ask(cx, args.json).await?.map_err(|error| cx.api.failure(error))?;
        show(cx, &health, &tasks, args.json)?;
        return Ok(Exit::Done);
    };
    loop {
        let asked = ask(cx, args.json).await?;
        if cx.ui.output_is_terminal() && !args.json {
            cx.ui.print_raw(CLEAR)?;
        }
        match asked {
            Ok((health, tasks)) => show(cx, &health, &tasks, args.json)?,
            // It may be on its way: whoever watches wants to see it come.
            Err(error @ (ApiError::Unreachable(_) | ApiError::Broken(_))) => {
                let failure = cx.api.failure(error);
                cx.ui.failure(&failure);
            }
            Err(error) => return Err(cx.api.failure(error).into()),
        }
        tokio::select! {
            biased;
            exit = cx.interrupts.next() => return Err(Stop::Signal(exit)),
            () = tokio::time::sleep(every) => {}
        }
    }
}

/// The daemon's health, and its tasks where some wait or run.
async fn ask(
    cx: &mut Context,
    only_health: bool,
) -> Result<Result<(Health, Vec<TaskSummary>), ApiError>, Stop> {
    let api = &cx.api;
    let both = async {
        let health = api.health().await?;
        let is_busy = |pool: &Pool| {
            let waiting = pool.queue.interactive.depth + pool.queue.batch.depth;
            waiting > 0 || pool.replicas.iter().any(|replica| replica.slots_busy > 0)
        };
        if only_health || !health.pools.iter().flatten().any(is_busy) {
            return Ok((health, Vec::new()));
        }
        let tasks = api.tasks(TASKS_SHOWN).await?.tasks;
        Ok((health, tasks))
    };
    tokio::select! {
        biased;
        exit = cx.interrupts.next() => Err(Stop::Signal(exit)),
        both = both => Ok(both),
    }
}

fn show(cx: &mut Context, health: &Health, tasks: &[TaskSummary], json: bool) -> Result<(), Stop> {
    // Only who has the token is told the version.
    if health.version.is_none() {
        return Err(cx.api.unauthorised().into());
    }
    if json {
        return Ok(cx.ui.print(&to_json(health))?);
    }
    let palette = if cx.ui.output_has_colour() { Palette::Colour } else { Palette::Plain };
    Ok(cx.ui.print(&render(health, tasks, cx.api.url(), palette))?)
}

/// The daemon's answer on one line.
pub fn to_json(health: &Health) -> String {
    serde_json::to_string(health).expect("it came as JSON")
}

fn render(health: &Health, tasks: &[TaskSummary], url: &str, palette: Palette) -> String {
    let status = palette.paint(Some(tint_of_daemon(health.status)), &health.status.to_string());
    let version = health.version.as_deref().unwrap_or("?");
    let mut page = format!("orchestratord {version} at {url}: {status}\n");
    if let Some(build) = &health.build {
        page.push_str(&format!("engine build: {build}\n"));
    }
    for pool in health.pools.iter().flatten() {
        page.push('\n');
        page.push_str(&render_pool(pool, palette));
    }
    for table in [render_reading(tasks, palette), render_waiting(tasks, palette)].into_iter().flatten() {
        page.push('\n');
        page.push_str(&table);
    }
    if let Some(devices) = &health.devices {
        page.push('\n');
        page.push_str(&render_devices(devices, palette));
    }
    if let Some(ledger) = health.ledger.as_ref().filter(|ledger| !ledger.is_empty()) {
        page.push('\n');
        page.push_str(&render_ledger(ledger, palette));
    }
    page
}

fn render_pool(pool: &Pool, palette: Palette) -> String {
    let state = palette.paint(Some(tint_of_pool(pool.state)), &pool.state.to_string());
    let mut page = format!("pool {}: {state}, {}, model {}\n", pool.id, pool.engine, pool.model_ref);
    if let Some(model) = &pool.model {
        page.push_str(&format!("  {}\n", describe_model(model)));
    }
    if let Some(reload) = progress::of_reload(pool) {
        page.push_str(&format!("  {reload}\n"));
    }
    if pool.pinned == Some(true) {
        page.push_str("  pinned: stays loaded\n");
    } else if let Some(left) = pool.unloads_in_ms {
        page.push_str(&format!("  idle: unloaded in {}\n", text::countdown(Duration::from_millis(left))));
    }
    if let Some(trouble) = progress::of_pool(pool) {
        page.push_str(&format!("  {trouble}\n"));
    }
    let queue = &pool.queue;
    page.push_str(&format!(
        "  waiting: interactive {} of {}, batch {} of {}\n",
        queue.interactive.depth, queue.interactive.bound, queue.batch.depth, queue.batch.bound
    ));
    if let Some(error) = pool.prediction_error {
        page.push_str(&format!("  predicted starts: off by {:.0} % in the middle\n", error * 100.0));
    }
    if pool.replicas.is_empty() {
        return page;
    }
    let mut table = Table::new([
        "REPLICA",
        "STATE",
        "DEVICE",
        "BUSY",
        "CONTEXT",
        "KV CACHE",
        "PREFILL tok/s",
        "DECODE tok/s",
        "REASON",
    ]);
    for replica in &pool.replicas {
        table.row(replica_row(replica));
    }
    page.push_str(&table.render(palette, "  "));
    page
}

/// How much of the cache that the slots share is taken.
fn kv_cells(replica: &Replica) -> String {
    match (replica.kv_cells_used, replica.kv_cells) {
        (Some(used), Some(all)) => format!("{used} of {all}"),
        (None, Some(all)) => all.to_string(),
        (_, None) => String::new(),
    }
}

/// What a model says of itself, on one line.
pub fn describe_model(model: &ModelInfo) -> String {
    format!(
        "{}, {}, {} parameters, {}, trained with {} of context",
        model.name,
        model.architecture,
        parameters(model.parameters),
        text::bytes(model.size_bytes),
        text::count(model.ctx_train.into(), "token"),
    )
}

fn replica_row(replica: &Replica) -> [Cell; 9] {
    let busy = replica.slots.map(|slots| format!("{} of {slots}", replica.slots_busy));
    let speed = |speed: Option<f64>| Cell::from(speed.map(|speed| format!("{speed:.1}")).unwrap_or_default());
    [
        replica.id.as_str().into(),
        Cell::from(replica.state.to_string().replace('_', " ")).tinted(tint_of_replica(replica.state)),
        replica.device.as_str().into(),
        busy.unwrap_or_default().into(),
        replica.ctx.map(|ctx| ctx.to_string()).unwrap_or_default().into(),
        kv_cells(replica).into(),
        speed(replica.prefill_tokens_per_s),
        speed(replica.decode_tokens_per_s),
        progress::of_replica(replica).into(),
    ]
}

const fn lane(task: &TaskSummary) -> &'static str {
    match task.priority {
        Priority::Interactive => "interactive",
        Priority::Batch => "batch",
    }
}

/// The tasks whose prompts are read, and how far; nothing where none is.
fn render_reading(tasks: &[TaskSummary], palette: Palette) -> Option<String> {
    let mut reading = tasks.iter().filter_map(|task| Some((task, Reading::of(task)?))).peekable();
    reading.peek()?;
    let mut table = Table::new(["READING", "POOL", "LANE", "PROMPT"]);
    for (task, Reading { read, of }) in reading {
        table.row([
            task.task_id.to_string().into(),
            task.pool.as_str().into(),
            lane(task).into(),
            format!("{read} of {}", text::count(of.into(), "token")).into(),
        ]);
    }
    Some(table.render(palette, ""))
}

/// The tasks that wait, in the order in which they will start; nothing where none does.
fn render_waiting(tasks: &[TaskSummary], palette: Palette) -> Option<String> {
    let mut waiting = tasks.iter().filter(|task| task.state == TaskState::Waiting).peekable();
    waiting.peek()?;
    let mut table = Table::new(["WAITING", "POOL", "LANE", "PLACE", "STARTS IN", "P90"]);
    let span = |ms: Option<u64>| ms.map(|ms| text::span(Duration::from_millis(ms))).unwrap_or_default();
    for task in waiting {
        let place = task.queue_position.map(|before| format!("{}.", u64::from(before) + 1));
        table.row([
            task.task_id.to_string().into(),
            task.pool.as_str().into(),
            lane(task).into(),
            place.unwrap_or_default().into(),
            span(task.predicted_start_ms).into(),
            span(task.predicted_start_p90_ms).into(),
        ]);
    }
    Some(table.render(palette, ""))
}

fn render_devices(devices: &[Device], palette: Palette) -> String {
    let mut table = Table::new(["DEVICE", "NAME", "MEMORY USED", "BUSY"]);
    for device in devices {
        let used = text::bytes(device.memory_used_bytes);
        let total = text::bytes(device.memory_total_bytes);
        table.row([
            device.id.as_str().into(),
            device.name.as_str().into(),
            format!("{used} of {total}").into(),
            device.utilization.map(|share| format!("{:.0} %", share * 100.0)).unwrap_or_default().into(),
        ]);
    }
    table.render(palette, "")
}

/// Who holds how much of which device's memory, device by device.
fn render_ledger(ledger: &[Holding], palette: Palette) -> String {
    let mut table = Table::new(["MEMORY OF", "HELD BY", "RECKONED", "MEASURED"]);
    let mut ledger: Vec<&Holding> = ledger.iter().collect();
    ledger.sort_by(|a, b| a.device.cmp(&b.device));
    let bytes = |bytes: Option<u64>| Cell::from(bytes.map(text::bytes).unwrap_or_default());
    for holding in ledger {
        table.row([
            holding.device.as_str().into(),
            holding.replica.as_str().into(),
            bytes(holding.expected_bytes),
            bytes(holding.measured_bytes),
        ]);
    }
    table.render(palette, "")
}

/// A count of parameters as people say it: `135 M`, `7.2 B`.
fn parameters(count: u64) -> String {
    match count {
        0..1_000_000 => count.to_string(),
        1_000_000..1_000_000_000 => format!("{} M", (count + 500_000) / 1_000_000),
        _ => format!("{:.1} B", count as f64 / 1e9),
    }
}

/// The colour of the daemon's state.
pub const fn tint_of_daemon(status: HealthStatus) -> Tint {
    match status {
        HealthStatus::Ok => Tint::Good,
        HealthStatus::Starting | HealthStatus::Stopping => Tint::Wait,
        HealthStatus::Unavailable => Tint::Bad,
    }
}

/// The colour of a pool's state.
pub const fn tint_of_pool(state: PoolState) -> Tint {
    match state {
        PoolState::Ready | PoolState::Unloaded => Tint::Good,
        PoolState::Starting | PoolState::Retired => Tint::Wait,
        PoolState::Unavailable => Tint::Bad,
    }
}

/// The colour of a replica's state.
pub const fn tint_of_replica(state: ReplicaState) -> Tint {
    match state {
        ReplicaState::Ready => Tint::Good,
        ReplicaState::Starting | ReplicaState::Suspended | ReplicaState::Retiring => Tint::Wait,
        ReplicaState::Exited | ReplicaState::BackingOff => Tint::Bad,
    }
}

#[cfg(test)]
mod tests;
