//! What was measured, for people and for programs.

use std::fmt;

use serde::Serialize;
use traffic::{Spread, Traffic};

use crate::memory::Memory;
use crate::refusals::Refusals;
use crate::relay::{Passage, Relay};
use crate::responsive::Responsiveness;

/// All that was measured.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// Tasks that arrived at random.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traffic: Option<Traffic>,
    /// Memory of the daemon.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Memory>,
    /// Requests that met a full lane.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refusals: Option<Refusals>,
    /// Tokens of an attached engine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relay: Option<Relay>,
    /// `/health` beside one request of maximal size.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub responsive: Option<Vec<Responsiveness>>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(traffic) = &self.traffic {
            write!(f, "{traffic}")?;
        }
        if let Some(memory) = &self.memory {
            writeln!(f, "memory of the daemon")?;
            writeln!(f, "  idle                    {:8.1} MiB", memory.idle_mib)?;
            writeln!(f, "  with {:5} open streams {:8.1} MiB", memory.streams, memory.open_mib)?;
        }
        if let Some(refusals) = &self.refusals {
            writeln!(f, "refusals (429)")?;
            writeln!(f, "  asked for               {:8.0} a second", refusals.asked_per_s)?;
            writeln!(f, "  answered                {:8.0} a second", refusals.per_s)?;
            refusals.took.show(f, "took")?;
        }
        if let Some(relay) = &self.relay {
            show_relay(f, relay)?;
        }
        if let Some(cases) = &self.responsive {
            show_responsive(f, cases)?;
        }
        Ok(())
    }
}

fn show_responsive(f: &mut fmt::Formatter<'_>, cases: &[Responsiveness]) -> fmt::Result {
    writeln!(f, "`/health` beside one request of maximal size, ms")?;
    writeln!(f, "  {:<36} {:>6} {:>8} {:>8} {:>8} {:>8}", "request", "status", "took", "p50", "p99", "max")?;
    for Responsiveness { case, status, took_ms, health } in cases {
        let Spread { p50, p99, max, .. } = health;
        writeln!(f, "  {case:<36} {status:>6} {took_ms:>8.0} {p50:>8.2} {p99:>8.2} {max:>8.2}")?;
    }
    Ok(())
}

fn show_relay(f: &mut fmt::Formatter<'_>, relay: &Relay) -> fmt::Result {
    writeln!(f, "relay of an attached engine")?;
    for cost in &relay.cases {
        writeln!(f, "  {}", cost.case)?;
        show_passage(f, "daemon", &cost.daemon)?;
        match &cost.nginx {
            Some(nginx) => {
                show_passage(f, "nginx", nginx)?;
                writeln!(f, "    daemon / nginx        {:8.2} times", cost.daemon.cpu_us / nginx.cpu_us)?;
            }
            None => writeln!(f, "    nginx is not installed: nothing to compare with")?,
        }
        cost.direct_first_token.show(f, "  engine, first token")?;
    }
    Ok(())
}

fn show_passage(f: &mut fmt::Formatter<'_>, name: &str, passage: &Passage) -> fmt::Result {
    writeln!(f, "    {name:<21} {:8.2} µs of processor time a token", passage.cpu_us)?;
    passage.first_token.show(f, "  first token")
}
