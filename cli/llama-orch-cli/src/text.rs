//! Quantities as a person reads them.

use std::time::Duration;

/// A span of time: `320 ms`, `4.2 s`, `2 min 10 s`, `3 h 5 min`.
pub fn span(span: Duration) -> String {
    let millis = span.as_millis();
    let seconds = span.as_secs();
    match seconds {
        0 => format!("{millis} ms"),
        1..=59 => format!("{:.1} s", span.as_secs_f64().min(59.9)),
        60..=3599 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// A span of whole seconds that counts down: rounded up, so that it ends at 1.
pub fn countdown(span: Duration) -> String {
    let seconds = span.as_millis().div_ceil(1000).max(1);
    match seconds {
        1..=59 => format!("{seconds} s"),
        60..=3599 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// Bytes, in binary units: `512 B`, `87.5 MiB`, `11.9 GiB`.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{count} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

/// A count and its noun: `1 token`, `2 tokens`.
pub fn count(count: u64, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

/// The text without what a terminal would take for a command: only printing characters, line feeds and
/// tabs are left.
pub fn for_terminal(text: &str) -> String {
    text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect()
}

#[cfg(test)]
mod tests;
