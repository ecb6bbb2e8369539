//! `top`: queues, tasks, replicas and devices on a terminal, looked at again and again.
//!
//! ```text
//! daemon ─► Look ──┐
//! keys ────────────┼─► Screen (what is shown) ─► draw
//!                  └─► Action: cancel, leave
//! ```
//! The terminal is given back as it was, also by a panic.
//!
//! Rules: ORCH-CLI-16

mod draw;
mod screen;

use std::time::Duration;

use crossterm::event::{Event, EventStream, KeyEventKind};
use futures_util::StreamExt;
use ratatui::DefaultTerminal;
use serde_json::json;
use uuid::Uuid;

use self::screen::{Action, Look, Screen};
use crate::args::TopArgs;
use crate::context::{Context, Stop};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::pools;
use crate::table::Palette;

/// Tasks of each kind that are asked for: more than any terminal has lines.
const TASKS: u32 = 200;

/// Watches until somebody leaves.
///
/// # Errors
/// There is no terminal, the daemon cannot be asked at first, or a signal came.
pub async fn top(cx: &mut Context, args: &TopArgs) -> Result<Exit, Stop> {
    if args.json {
        let look = first_look(cx).await?;
        cx.ui.print(&json!({ "health": look.health, "tasks": look.tasks }).to_string())?;
        return Ok(Exit::Done);
    }
    if !cx.ui.output_is_terminal() || !std::io::IsTerminal::is_terminal(&std::io::stdin()) {
        return Err(Failure::new(Exit::Usage, "`top` draws on a terminal, and this is none")
            .hint("`llama-orch status` prints once, `llama-orch top --json` is for programs")
            .into());
    }
    let first = first_look(cx).await?;
    let palette = if cx.ui.output_has_colour() { Palette::Colour } else { Palette::Plain };
    let mut screen = Screen::new(cx.api.url().to_owned(), palette);
    screen.seen(Ok(first));
    let terminal = ratatui::try_init()
        .map_err(|error| Failure::new(Exit::Failed, format!("the terminal cannot be drawn on: {error}")))?;
    let ended = watch(cx, terminal, screen, Duration::from_secs(args.every)).await;
    ratatui::restore();
    ended
}

async fn first_look(cx: &mut Context) -> Result<Look, Stop> {
    let health = pools::ask(cx).await?;
    let tasks = tokio::select! {
        biased;
        exit = cx.interrupts.next() => return Err(Stop::Signal(exit)),
        tasks = cx.api.tasks(TASKS) => tasks.map_err(|error| cx.api.failure(error))?,
    };
    Ok(Look { health, tasks })
}

async fn watch(
    cx: &mut Context,
    mut terminal: DefaultTerminal,
    mut screen: Screen,
    every: Duration,
) -> Result<Exit, Stop> {
    let Context { api, interrupts, .. } = cx;
    let mut events = EventStream::new();
    let mut looks =
        tokio::time::interval_at(tokio::time::Instant::from_std(crate::clock::now()) + every, every);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        terminal.draw(|frame| draw::draw(frame, &mut screen)).map_err(|error| {
            Failure::new(Exit::Failed, format!("the terminal cannot be drawn on: {error}"))
        })?;
        let action = tokio::select! {
            biased;
            exit = interrupts.next() => return Err(Stop::Signal(exit)),
            event = events.next() => match event {
                Some(Ok(Event::Key(key))) if key.kind == KeyEventKind::Press => screen.key(key),
                Some(Ok(_)) => Action::Nothing,
                // The terminal is gone.
                Some(Err(_)) | None => Action::Leave,
            },
            _ = looks.tick(), if !screen.is_paused() => Action::Look,
        };
        match action {
            Action::Nothing => {}
            Action::Leave => return Ok(Exit::Done),
            Action::Look => screen.seen(look(api).await),
            Action::Cancel(task) => {
                screen.said(cancel(api, task).await);
                screen.seen(look(api).await);
            }
        }
    }
}

async fn look(api: &crate::api::Api) -> Result<Look, String> {
    let both = tokio::join!(api.health(), api.tasks(TASKS));
    match both {
        (Ok(health), Ok(tasks)) => Ok(Look { health, tasks }),
        (Err(error), _) | (_, Err(error)) => Err(api.failure(error).message),
    }
}

async fn cancel(api: &crate::api::Api, task: Uuid) -> String {
    match api.cancel(task).await {
        Ok(()) => format!("canceled {task}"),
        Err(error) => api.failure(error).message,
    }
}
