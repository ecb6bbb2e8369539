//! `doctor`: everything that has to be right on this machine for the daemon to serve, looked at one by one, each
//! with what to do about it. It changes nothing.
//!
//! ```text
//! config ─► token, models, disk, engines          what the daemon would be given
//! machine ─► devices, drivers, memory             what it would find
//! service ─► address, daemon, pools               whether it serves
//! ```
//!
//! Rules: ORCH-CLI-12

mod cards;
mod files;
mod machine;
mod service;

use config_schema::{LoadRequest, Loaded, load};
use serde::Serialize;

use crate::args::{DoctorArgs, Global};
use crate::context::Stop;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::interrupt::Interrupts;
use crate::table::{Palette, Tint};
use crate::ui::Ui;
use service::Addresses;

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// The daemon serves with it, and it is worth a look.
    Warn,
    /// The daemon does not serve with it.
    Fail,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at: `config`, `token`, `model`, …
    check: &'static str,
    status: Verdict,
    /// How it is.
    message: String,
    /// What to do about it.
    hint: Option<String>,
}

impl Finding {
    fn ok(check: &'static str, message: impl Into<String>) -> Self {
        Self { check, status: Verdict::Ok, message: message.into(), hint: None }
    }

    fn warn(check: &'static str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { check, status: Verdict::Warn, message: message.into(), hint: Some(hint.into()) }
    }

    fn fail(check: &'static str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { check, status: Verdict::Fail, message: message.into(), hint: Some(hint.into()) }
    }

    /// What went wrong elsewhere, as a finding.
    fn of(check: &'static str, status: Verdict, failure: Failure) -> Self {
        Self { check, status, message: failure.message, hint: failure.hint }
    }
}

/// Looks at everything and says it.
///
/// # Errors
/// A signal came, or nobody reads.
pub async fn doctor(
    ui: &mut Ui,
    mut interrupts: Interrupts,
    global: &Global,
    args: &DoctorArgs,
) -> Result<Exit, Stop> {
    let findings = tokio::select! {
        biased;
        exit = interrupts.next() => return Err(Stop::Signal(exit)),
        findings = look(ui, global) => findings,
    };
    ui.clear_live();
    let worst = if findings.iter().any(|finding| finding.status == Verdict::Fail) {
        Exit::Failed
    } else {
        Exit::Done
    };
    if args.json {
        let page = serde_json::json!({ "ok": worst == Exit::Done, "findings": findings });
        ui.print(&page.to_string())?;
    } else {
        let palette = if ui.output_has_colour() { Palette::Colour } else { Palette::Plain };
        ui.print(&render(&findings, palette))?;
    }
    Ok(worst)
}

async fn look(ui: &mut Ui, global: &Global) -> Vec<Finding> {
    let (mut findings, loaded) = configuration();
    ui.live("looking at the devices");
    findings.extend(machine::look().await);
    if let Some(loaded) = &loaded {
        findings.extend(files::token(&loaded.config));
        ui.live("looking at the models (a file that has a checksum is read through once)");
        findings.extend(files::models(&loaded.config).await);
        findings.push(files::disk(&loaded.config));
        findings.extend(files::engines(&loaded.config).await);
    }
    ui.live("asking the daemon");
    let addresses = loaded.as_ref().map(|loaded| Addresses::of(&loaded.config));
    findings.extend(service::look(global, addresses).await);
    findings
}

/// The configuration that a daemon started here would have.
fn configuration() -> (Vec<Finding>, Option<Loaded>) {
    const CHECK: &str = "config";
    let loaded = LoadRequest::of_process(None, Vec::new())
        .map_err(|error| Failure::new(Exit::Failed, format!("the working folder is gone: {error}")))
        .and_then(|request| {
            load(&request).map_err(|error| Failure::of_text(Exit::Failed, &error.to_string()))
        });
    let loaded = match loaded {
        Ok(loaded) => loaded,
        Err(failure) => return (vec![Finding::of(CHECK, Verdict::Fail, failure)], None),
    };
    let pools = crate::text::count(loaded.config.pools.len() as u64, "pool");
    let said = match &loaded.source {
        Some(path) => format!("{}: {pools}", path.display()),
        None => "no file: the defaults hold (`llama-orch config init` writes one)".to_owned(),
    };
    let mut findings = vec![Finding::ok(CHECK, said)];
    findings.extend(loaded.warnings.iter().map(|warning| {
        Finding::of(CHECK, Verdict::Warn, Failure::of_text(Exit::Failed, &warning.to_string()))
    }));
    (findings, Some(loaded))
}

fn render(findings: &[Finding], palette: Palette) -> String {
    let width = findings.iter().map(|finding| finding.check.len()).max().unwrap_or_default();
    let mut page = String::new();
    for Finding { check, status, message, hint } in findings {
        let (mark, tint) = match status {
            Verdict::Ok => ("ok  ", Tint::Good),
            Verdict::Warn => ("warn", Tint::Wait),
            Verdict::Fail => ("FAIL", Tint::Bad),
        };
        let margin = " ".repeat(width + 8);
        let mark = palette.paint(Some(tint), mark);
        let message = crate::text::for_terminal(message).replace('\n', &format!("\n{margin}"));
        page.push_str(&format!("{mark}  {check:<width$}  {message}\n"));
        for line in hint.iter().flat_map(|hint| hint.lines()) {
            page.push_str(&format!("{margin}{} {line}\n", palette.paint(Some(Tint::Head), "→")));
        }
    }
    let count = |status| findings.iter().filter(|finding| finding.status == status).count();
    let (warn, fail) = (count(Verdict::Warn), count(Verdict::Fail));
    page.push_str(&match (fail, warn) {
        (0, 0) => "\nall is well\n".to_owned(),
        (0, warn) => format!("\nit can serve; {warn} to look at\n"),
        (fail, warn) => format!("\n{fail} in the way, {warn} to look at\n"),
    });
    page
}

#[cfg(test)]
mod tests;
