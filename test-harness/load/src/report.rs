//! What was measured, for people and for programs.

use std::fmt;

use serde::Serialize;

use crate::figures::Spread;
use crate::memory::Memory;
use crate::refusals::Refusals;
use crate::relay::{Passage, Relay};
use crate::traffic::{Lane, Traffic};

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
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(traffic) = &self.traffic {
            show_traffic(f, traffic)?;
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
            show_spread(f, "took", &refusals.took)?;
        }
        if let Some(relay) = &self.relay {
            show_relay(f, relay)?;
        }
        Ok(())
    }
}

fn show_traffic(f: &mut fmt::Formatter<'_>, traffic: &Traffic) -> fmt::Result {
    let Traffic { sent, answered, failed, refused, .. } = traffic;
    writeln!(f, "traffic: {sent} tasks, {answered} answered, {failed} failed, {refused} refused at first")?;
    writeln!(f, "  tokens of all answers   {:8.1} a second", traffic.tokens_per_s)?;
    show_lane(f, "interactive", &traffic.interactive)?;
    show_lane(f, "batch", &traffic.batch)?;
    let prediction = &traffic.prediction;
    writeln!(f, "  predicted starts, {} graded", prediction.graded)?;
    writeln!(f, "    middle error          {:8.1} %", prediction.median_error * 100.0)?;
    show_share(f, "started as predicted", prediction.on_time)?;
    writeln!(f, "    nine in ten within    {:8.2} times the prediction", prediction.p90_of_predicted)?;
    show_share(f, "retries admitted", traffic.retries_admitted)
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
        show_spread(f, "  engine, first token", &cost.direct_first_token)?;
    }
    Ok(())
}

fn show_passage(f: &mut fmt::Formatter<'_>, name: &str, passage: &Passage) -> fmt::Result {
    writeln!(f, "    {name:<21} {:8.2} µs of processor time a token", passage.cpu_us)?;
    show_spread(f, "  first token", &passage.first_token)
}

fn show_lane(f: &mut fmt::Formatter<'_>, name: &str, lane: &Lane) -> fmt::Result {
    writeln!(f, "  {name}")?;
    show_spread(f, "  first token", &lane.ttft)?;
    show_spread(f, "  between tokens", &lane.between_tokens)
}

fn show_spread(f: &mut fmt::Formatter<'_>, name: &str, spread: &Spread) -> fmt::Result {
    let Spread { count, p50, p95, p99, max } = spread;
    writeln!(f, "  {name:<21} p50 {p50:9.2}  p95 {p95:9.2}  p99 {p99:9.2}  max {max:9.2} ms  ({count})")
}

fn show_share(f: &mut fmt::Formatter<'_>, name: &str, share: Option<f64>) -> fmt::Result {
    match share {
        Some(share) => writeln!(f, "    {name:<21} {:8.1} %", share * 100.0),
        None => writeln!(f, "    {name:<21}        - (none)"),
    }
}
