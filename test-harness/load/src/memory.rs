//! Resident memory of the daemon: idle, and with many streams open on a task that speaks.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use harness::{TOKEN, processes, tasks};
use serde::Serialize;
use tokio::task::JoinSet;

use crate::args::Args;
use crate::target;

/// Tokens of the task that all streams read.
const TOKENS: u32 = 4000;

/// How long the streams are read before memory is looked at again.
const READING: Duration = Duration::from_secs(3);

/// Resident memory of the daemon's process.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Memory {
    /// MiB, serving and with nothing to do.
    pub idle_mib: f64,
    /// Streams that were open.
    pub streams: usize,
    /// MiB while they were open and read.
    pub open_mib: f64,
}

/// Opens the streams and looks.
///
/// # Errors
/// When a stream cannot be opened, or the process cannot be looked at.
pub async fn measure(args: &Args) -> anyhow::Result<Memory> {
    let (streams, connections) = (args.streams + 1, args.streams + 64);
    let limits = [format!("limits.streams={streams}"), format!("limits.connections={connections}")];
    let daemon = target::own(args, &[&limits[0], &limits[1], "pools[0].slots=1"]).await;
    let resident = || processes::resident_kib(daemon.pid()).map(|kib| kib as f64 / 1024.0);
    let idle_mib = resident().context("the daemon has ended")?;
    let task = daemon.submit(&tasks::endless(TOKENS)).await?.task_id;
    let mut readers = JoinSet::new();
    for _ in 0..args.streams {
        let ask = daemon.http.get(format!("{}/v1/tasks/{task}/stream", daemon.url)).bearer_auth(TOKEN);
        let mut stream = ask.send().await.context("a stream cannot be opened")?;
        ensure!(stream.status() == 200, "a stream is answered with {}", stream.status());
        readers.spawn(async move { while let Ok(Some(_)) = stream.chunk().await {} });
    }
    tokio::time::sleep(READING).await;
    let open_mib = resident().context("the daemon has ended")?;
    ensure!(
        readers.try_join_next().is_none(),
        "a stream ended before memory was looked at: fewer `--streams` are opened sooner"
    );
    Ok(Memory { idle_mib, streams: args.streams, open_mib })
}
