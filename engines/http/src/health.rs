//! The probe: asks for the engine's health every few seconds, at once when a connection broke, and with a growing
//! delay while the engine is suspended. Some failures in a row, and the engine is gone. And the watch on a managed
//! engine's process.
//!
//! Rules: ORCH-ENG-22

use std::sync::Weak;
use std::time::Duration;

use engine_api::ExitReason;
use tokio::time::{Instant, timeout};

use crate::backend::HttpBackend;
use crate::clock;
use crate::fault::Fault;
use crate::inner::Inner;
use crate::process;
use crate::suspension::{self, Proof, Tried};

/// What the probes found so far.
#[derive(Default)]
struct Findings {
    /// Probes of this suspension.
    tries: u32,
    /// Failures in a row, and when the first of them was.
    failures: u32,
    failing_since: Option<Instant>,
}

/// What made the probe begin, or not.
enum Woken {
    Due,
    /// The engine is suspended from now on: other delays count.
    Suspended,
    Gone,
}

/// Probes until the engine is gone or its handle is dropped.
pub(crate) async fn probe<D: HttpBackend>(engine: Weak<Inner<D>>) {
    let mut findings = Findings::default();
    loop {
        let Some(inner) = engine.upgrade() else { return };
        match wait(&inner, findings.tries).await {
            Woken::Gone => return,
            Woken::Suspended => findings.tries = 0,
            Woken::Due => {
                findings.tries = findings.tries.saturating_add(1);
                probe_once(&inner, &mut findings).await;
            }
        }
    }
}

async fn wait<D: HttpBackend>(inner: &Inner<D>, tries: u32) -> Woken {
    let timeouts = inner.client.timeouts();
    let mut suspension = inner.suspension.subscribe();
    let suspended = suspension.borrow_and_update().is_some();
    let every = if suspended { suspension::delay(timeouts, tries) } else { timeouts.probe_every };
    tokio::select! {
        () = tokio::time::sleep(every) => Woken::Due,
        () = inner.probe_wanted.notified() => Woken::Due,
        Ok(_) = suspension.wait_for(Option::is_some), if !suspended => Woken::Suspended,
        _ = inner.until_gone() => Woken::Gone,
    }
}

async fn probe_once<D: HttpBackend>(inner: &Inner<D>, findings: &mut Findings) {
    let limit = inner.client.timeouts().probe;
    match timeout(limit, is_well(inner)).await {
        Ok(Ok(())) => {}
        Ok(Err(fault)) => return failed(inner, findings, &fault.to_string()),
        Err(_) => {
            let limit = limit.as_secs_f32();
            let what = format!("{} did not answer its health probe within {limit} s", inner.client.server());
            return failed(inner, findings, &what);
        }
    }
    let proof = inner.suspension.borrow().as_ref().map(|suspension| suspension.proof);
    if proof == Some(Proof::Generation) {
        match suspension::try_one_token(inner).await {
            Tried::Works => {}
            Tried::Busy(fault) => {
                tracing::debug!(engine = D::NAME, %fault, "an engine takes no work yet");
                (findings.failures, findings.failing_since) = (0, None);
                return;
            }
            Tried::Fails(fault) => return failed(inner, findings, &fault.to_string()),
        }
    }
    *findings = Findings::default();
    inner.suspension.send_if_modified(|suspension| suspension.take().is_some());
}

async fn is_well<D: HttpBackend>(inner: &Inner<D>) -> Result<(), Fault> {
    let answered = inner.client.get(inner.backend.health_path()).await?;
    if answered.is_ok() { Ok(()) } else { Err(inner.client.fault_of(&answered)) }
}

/// Counts a failure, suspends the engine at the first and ends it at the last one that is borne. A burst of failures
/// is no end: the engine has the time between two regular probes.
fn failed<D: HttpBackend>(inner: &Inner<D>, findings: &mut Findings, what: &str) {
    let (now, timeouts) = (clock::now(), inner.client.timeouts());
    findings.failures = findings.failures.saturating_add(1);
    let failing_for: Duration = now - *findings.failing_since.get_or_insert(now);
    let (failures, borne) = (findings.failures, timeouts.probe_failures.max(1));
    tracing::warn!(engine = D::NAME, failures, borne, what, "an engine's probe failed");
    if failures < borne || failing_for < timeouts.probe_every {
        return inner.suspend(what, Proof::Health);
    }
    let reason = ExitReason::Channel(format!("{failures} probes failed in a row: {what}"));
    match &inner.process {
        Some(process) => {
            // It is gone when its process is: the watch says so, with this reason.
            let _ = inner.cause.set(reason);
            process.kill();
        }
        None => inner.close(reason),
    }
}

/// Waits for the end of a managed engine's process.
pub(crate) async fn watch<D: HttpBackend>(engine: Weak<Inner<D>>) {
    let Some(exited) =
        engine.upgrade().and_then(|inner| inner.process.as_ref().map(|process| process.watch()))
    else {
        return;
    };
    let reason = process::exit_of(exited).await;
    if let Some(inner) = engine.upgrade() {
        inner.close(inner.cause.get().cloned().unwrap_or(reason));
    }
}
