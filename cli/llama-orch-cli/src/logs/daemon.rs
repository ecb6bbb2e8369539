//! The lines that the daemon itself keeps, and those that come.
//!
//! Rules: ORCH-CLI-13

use std::time::Duration;

use api_types::LogPage;

use super::file::print;
use crate::api::ApiError;
use crate::args::LogsArgs;
use crate::context::{Context, Stop};
use crate::exit::Exit;

/// How often the daemon is asked for more.
const POLL: Duration = Duration::from_millis(500);
/// The most lines of one answer.
const LINES_MAX: u32 = 2_000;

/// Why it shows nothing.
pub enum Missing {
    /// The daemon does not answer.
    Daemon(ApiError),
    Stop(Stop),
}

/// Shows the last lines, and with `--follow` those that come.
///
/// # Errors
/// The daemon does not answer or has no such log, a signal came, or nobody reads.
pub async fn show(cx: &mut Context, args: &LogsArgs) -> Result<Exit, Missing> {
    let mut from = None;
    let mut lines = args.lines.min(LINES_MAX);
    loop {
        // None at all is a wish, too, and what comes from now on may follow.
        let page = ask(cx, from, lines.max(1)).await?;
        if let Some(missed) = from.and_then(|from| page.first.checked_sub(from)).filter(|missed| *missed > 0)
        {
            cx.ui.say(&format!("{missed} lines came too fast to be shown"));
        }
        for line in page.lines.iter().take(lines as usize) {
            print(&mut cx.ui, line, args.json).map_err(Missing::Stop)?;
        }
        if !args.follow {
            return Ok(Exit::Done);
        }
        (from, lines) = (Some(page.first + page.lines.len() as u64), LINES_MAX);
        tokio::select! {
            biased;
            exit = cx.interrupts.next() => return Err(Missing::Stop(Stop::Signal(exit))),
            () = tokio::time::sleep(POLL) => {}
        }
    }
}

async fn ask(cx: &mut Context, from: Option<u64>, lines: u32) -> Result<LogPage, Missing> {
    tokio::select! {
        biased;
        exit = cx.interrupts.next() => Err(Missing::Stop(Stop::Signal(exit))),
        page = cx.api.log(from, lines) => page.map_err(Missing::Daemon),
    }
}
