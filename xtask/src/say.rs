//! What the commands print: steps and notes on standard error, results on standard output.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

const TICK: Duration = Duration::from_millis(120);

/// The heading of a step.
pub fn step(name: &str) {
    if styled() {
        eprintln!("\n\x1b[1m==> {name}\x1b[0m");
    } else {
        eprintln!("\n==> {name}");
    }
}

/// A line below a heading.
pub fn note(text: impl std::fmt::Display) {
    eprintln!("    {text}");
}

/// A line of a result.
pub fn line(text: impl std::fmt::Display) {
    println!("{text}");
}

/// An error, its causes below it.
pub fn error(error: &anyhow::Error) {
    eprintln!("\nerror: {error}");
    for cause in error.chain().skip(1) {
        eprintln!("  because: {cause}");
    }
}

/// Whether somebody watches the progress on a terminal.
pub fn watched() -> bool {
    std::io::stderr().is_terminal()
}

fn styled() -> bool {
    watched() && std::env::var_os("NO_COLOR").is_none()
}

/// Something that takes a while: a spinner with the time on a terminal, a line now and then elsewhere.
pub struct Waiting {
    bar: Option<ProgressBar>,
    watch: Stopwatch,
    said: Duration,
}

/// How often a wait that nobody watches says that it goes on.
const LINE_EVERY: Duration = Duration::from_secs(10);

impl Waiting {
    /// Begins.
    pub fn new() -> Self {
        let bar = watched().then(|| {
            let bar = ProgressBar::new_spinner();
            bar.set_style(
                ProgressStyle::with_template("    {spinner} {msg} ({elapsed})")
                    .expect("the template is valid"),
            );
            bar.enable_steady_tick(TICK);
            bar
        });
        Self { bar, watch: Stopwatch::start(), said: Duration::ZERO }
    }

    /// What it is waiting for now.
    pub fn says(&mut self, text: &str) {
        let elapsed = self.watch.elapsed();
        if let Some(bar) = &self.bar {
            bar.set_message(text.to_owned());
        } else if elapsed >= self.said + LINE_EVERY {
            self.said = elapsed;
            note(format_args!("{text} ({})", seconds(elapsed)));
        }
    }

    /// Ends, and tells how long it took.
    pub fn done(self) -> Duration {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        self.watch.elapsed()
    }
}

/// A span as people read it.
pub fn seconds(span: Duration) -> String {
    let whole = span.as_secs();
    if whole >= 60 {
        format!("{} min {} s", whole / 60, whole % 60)
    } else {
        format!("{:.1} s", span.as_secs_f64())
    }
}

/// Measures how long a step takes.
#[derive(Clone, Copy)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts now.
    #[expect(clippy::disallowed_methods, reason = "how long a step takes is this tool's own business")]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// The time since the start.
    pub fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}
