//! The screen, drawn. Everything fits into 80 columns and 24 lines; more room is given to the tasks.
//!
//! Rules: ORCH-CLI-16

use std::time::Duration;

use api_types::{Device, Health, Pool, Priority, Replica, TaskState, TaskSummary};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph, Row, Table, TableState};

use super::screen::{Mode, Screen};
use crate::place::Reading;
use crate::progress;
use crate::status;
use crate::table::{Palette, Tint};
use crate::text;

/// The most lines of devices and of pools with their replicas; the tasks have the rest.
const DEVICE_LINES: u16 = 4;
const POOL_LINES: u16 = 8;
/// Characters of a bar that shows a share.
const BAR_CHARS: usize = 10;

const HELP: [&str; 8] = [
    "↑ ↓ PgUp PgDn   choose a task",
    "c               cancel it",
    "p               pause, and go on",
    "q Esc Ctrl-C    leave",
    "",
    "START   when a waiting task is expected to start",
    "TOKENS  of the prompt and of the answer so far",
    "any key goes back",
];

/// Draws it.
pub fn draw(frame: &mut Frame<'_>, screen: &mut Screen) {
    let health = screen.last().map(|look| &look.health);
    let devices = health.and_then(|health| health.devices.as_deref()).unwrap_or_default();
    let pools = health.and_then(|health| health.pools.as_deref()).unwrap_or_default();
    let pool_rows: Vec<Row<'_>> = pools.iter().flat_map(|pool| pool_rows(pool, screen.palette())).collect();
    let pool_lines = u16::try_from(pool_rows.len()).unwrap_or(u16::MAX).min(POOL_LINES) + 1;
    let device_lines = u16::try_from(devices.len()).unwrap_or(u16::MAX).min(DEVICE_LINES) + 1;
    let [head, device_area, pool_area, task_area, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(device_lines),
        Constraint::Length(pool_lines),
        Constraint::Min(3),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    frame.render_widget(headline(screen, health), head);
    draw_devices(frame, device_area, devices, screen.palette());
    draw_pools(frame, pool_area, pool_rows, screen.palette());
    draw_tasks(frame, task_area, screen);
    frame.render_widget(footline(screen), foot);
    if screen.mode() == Mode::Help {
        draw_help(frame);
    }
}

fn ink(palette: Palette, tint: Tint) -> Style {
    match (palette, tint) {
        (Palette::Plain, _) => Style::new(),
        (Palette::Colour, Tint::Good) => Style::new().fg(Color::Green),
        (Palette::Colour, Tint::Wait) => Style::new().fg(Color::Yellow),
        (Palette::Colour, Tint::Bad) => Style::new().fg(Color::Red),
        (Palette::Colour, Tint::Head) => Style::new().add_modifier(Modifier::DIM),
    }
}

/// A name or a reason comes from outside: it is no place for terminal commands.
fn plain(text: &str) -> String {
    text.replace(char::is_control, " ")
}

fn headline(screen: &Screen, health: Option<&Health>) -> Line<'static> {
    let mut spans = vec![Span::from(format!("llama-orch top  {}  ", screen.url()))];
    if let Some(health) = health {
        let style = ink(screen.palette(), status::tint_of_daemon(health.status));
        spans.push(Span::styled(health.status.to_string(), style));
    }
    if let Some(look) = screen.last() {
        let counts = &look.tasks.counts;
        spans.push(Span::from(format!("  {} running, {} waiting", counts.running, counts.waiting)));
    }
    if screen.is_paused() {
        spans.push(Span::styled("  PAUSED", Style::new().add_modifier(Modifier::REVERSED)));
    }
    Line::from(spans)
}

fn footline(screen: &Screen) -> Line<'static> {
    let bold = Style::new().add_modifier(Modifier::BOLD);
    match (screen.mode(), screen.message()) {
        (Mode::Asking(task), _) => Line::styled(format!("cancel {task}? y: yes, any other key: no"), bold),
        (_, Some(message)) => Line::styled(plain(message), bold),
        _ => Line::styled("↑↓ choose  c cancel  p pause  ? help  q leave", ink(screen.palette(), Tint::Head)),
    }
}

fn head_row<const N: usize>(names: [&'static str; N], palette: Palette) -> Row<'static> {
    Row::new(names).style(ink(palette, Tint::Head).add_modifier(Modifier::BOLD))
}

fn draw_devices(frame: &mut Frame<'_>, area: Rect, devices: &[Device], palette: Palette) {
    let rows = devices.iter().map(|device| {
        let used = device.memory_used_bytes as f64 / device.memory_total_bytes.max(1) as f64;
        let memory = format!(
            "{} of {}",
            text::bytes(device.memory_used_bytes),
            text::bytes(device.memory_total_bytes)
        );
        let busy = device.utilization.map(|share| format!("{} {:>3.0} %", bar(share), share * 100.0));
        Row::new([
            plain(&device.id),
            format!("{} {memory}", bar(used)),
            busy.unwrap_or_default(),
            plain(&device.name),
        ])
    });
    let widths = [Constraint::Length(6), Constraint::Length(35), Constraint::Length(16), Constraint::Min(10)];
    frame.render_widget(
        Table::new(rows, widths).header(head_row(["DEVICE", "MEMORY", "BUSY", "NAME"], palette)),
        area,
    );
}

fn bar(share: f64) -> String {
    let full = (share.clamp(0.0, 1.0) * BAR_CHARS as f64).round() as usize;
    format!("{}{}", "█".repeat(full), "░".repeat(BAR_CHARS - full))
}

fn draw_pools(frame: &mut Frame<'_>, area: Rect, rows: Vec<Row<'_>>, palette: Palette) {
    let widths = [
        Constraint::Length(18),
        Constraint::Length(12),
        Constraint::Length(15),
        Constraint::Length(7),
        Constraint::Length(8),
        Constraint::Min(10),
    ];
    let head = head_row(["POOL", "STATE", "WAITING", "BUSY", "tok/s", "MODEL"], palette);
    frame.render_widget(Table::new(rows, widths).header(head), area);
}

fn pool_rows(pool: &Pool, palette: Palette) -> Vec<Row<'static>> {
    let queue = &pool.queue;
    let note = progress::of_pool(pool).or_else(|| progress::of_reload(pool));
    let head = Row::new([
        Span::from(plain(&pool.id)),
        Span::styled(pool.state.to_string(), ink(palette, status::tint_of_pool(pool.state))),
        Span::from(format!("{} + {} batch", queue.interactive.depth, queue.batch.depth)),
        Span::default(),
        Span::default(),
        Span::from(plain(&note.unwrap_or_else(|| pool.model_ref.clone()))),
    ]);
    std::iter::once(head).chain(pool.replicas.iter().map(|replica| replica_row(replica, palette))).collect()
}

fn replica_row(replica: &Replica, palette: Palette) -> Row<'static> {
    let busy = replica.slots.map(|slots| format!("{} of {slots}", replica.slots_busy));
    let state = replica.state.to_string().replace('_', " ");
    Row::new([
        Span::from(format!(" └ {}", plain(&replica.id))),
        Span::styled(state, ink(palette, status::tint_of_replica(replica.state))),
        Span::from(plain(&replica.device)),
        Span::from(busy.unwrap_or_default()),
        Span::from(replica.decode_tokens_per_s.map(|speed| format!("{speed:.1}")).unwrap_or_default()),
        Span::from(plain(&progress::of_replica(replica))),
    ])
}

fn draw_tasks(frame: &mut Frame<'_>, area: Rect, screen: &Screen) {
    let palette = screen.palette();
    let rows = screen.tasks().map(|task| task_row(task, palette));
    let widths = [
        Constraint::Length(8),
        Constraint::Length(11),
        Constraint::Length(11),
        Constraint::Length(9),
        Constraint::Length(15),
        Constraint::Length(12),
        Constraint::Min(7),
    ];
    let head = head_row(["TASK", "POOL", "LANE", "PLACE", "START", "TOKENS", "tok/s"], palette);
    let table = Table::new(rows, widths)
        .header(head)
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
    let mut state = TableState::new().with_selected(screen.chosen_place());
    frame.render_stateful_widget(table, area, &mut state);
}

fn task_row(task: &TaskSummary, palette: Palette) -> Row<'static> {
    let id: String = task.task_id.to_string().chars().take(8).collect();
    let reading = Reading::of(task);
    let (place, start, tint) = match task.state {
        TaskState::Running => {
            let word = if reading.is_some() { "reading" } else { "running" };
            (word.to_owned(), String::new(), Tint::Good)
        }
        TaskState::Waiting | TaskState::Ended => {
            let place = task.queue_position.map(|before| format!("{}.", u64::from(before) + 1));
            let span = |ms| text::span(Duration::from_millis(ms));
            let start = task.predicted_start_ms.map(|ms| match task.predicted_start_p90_ms {
                Some(late) if late > ms => format!("{} to {}", span(ms), span(late)),
                _ => format!("in {}", span(ms)),
            });
            (place.unwrap_or_default(), start.unwrap_or_default(), Tint::Wait)
        }
    };
    let lane = match task.priority {
        Priority::Interactive => "interactive",
        Priority::Batch => "batch",
    };
    Row::new([
        Span::from(id),
        Span::from(plain(&task.pool)),
        Span::from(lane),
        Span::styled(place, ink(palette, tint)),
        Span::from(start),
        Span::from(match reading {
            Some(Reading { read, of }) => format!("{read}/{of}"),
            None => format!("{} + {}", task.tokens_in, task.tokens_out),
        }),
        Span::from(task.tokens_per_s.map(|speed| format!("{speed:.1}")).unwrap_or_default()),
    ])
}

fn draw_help(frame: &mut Frame<'_>) {
    let lines = u16::try_from(HELP.len()).unwrap_or(u16::MAX).saturating_add(2);
    let area = frame.area().centered(Constraint::Length(54), Constraint::Length(lines));
    frame.render_widget(Clear, area);
    let lines: Vec<Line<'_>> = HELP.iter().map(|line| Line::from(*line)).collect();
    frame.render_widget(Paragraph::new(lines).block(Block::bordered().title(" keys ")), area);
}

#[cfg(test)]
mod tests;
