//! The probe: asks for the engine's health every few seconds, and at once when a connection broke. Some
//! failures in a row, and the engine is gone. And the watch on a managed engine's process.

use std::sync::Weak;

use adapter_api::ExitReason;
use tokio::time::timeout;

use crate::dialect::Dialect;
use crate::fault::Fault;
use crate::inner::Inner;
use crate::process;

/// After a failure the next probe comes this many times sooner.
const HASTE: u32 = 10;

/// Probes until the engine is gone or its handle is dropped.
pub(crate) async fn probe<D: Dialect>(engine: Weak<Inner<D>>) {
    let mut failures = 0;
    loop {
        let Some(inner) = engine.upgrade() else { return };
        let timeouts = inner.client.timeouts().clone();
        let every = if failures == 0 { timeouts.probe_every } else { timeouts.probe_every / HASTE };
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            () = inner.pulse.wanted.notified() => {}
            _ = inner.until_gone() => return,
        }
        let mut number = 0;
        inner.pulse.found.send_modify(|found| {
            found.begun += 1;
            number = found.begun;
        });
        match timeout(timeouts.probe, is_well(&inner)).await {
            Ok(Ok(())) => {
                failures = 0;
                inner.pulse.found.send_modify(|found| found.well = number);
            }
            Ok(Err(fault)) => failures = failed(&inner, failures, &fault.to_string()),
            Err(_) => {
                let limit = timeouts.probe.as_secs_f32();
                let what =
                    format!("{} did not answer its health probe within {limit} s", inner.client.server());
                failures = failed(&inner, failures, &what);
            }
        }
    }
}

async fn is_well<D: Dialect>(inner: &Inner<D>) -> Result<(), Fault> {
    let answered = inner.client.get(inner.dialect.health_path()).await?;
    if answered.is_ok() { Ok(()) } else { Err(inner.client.fault_of(&answered)) }
}

/// Counts a failure, and ends the engine at the last one that is borne.
fn failed<D: Dialect>(inner: &Inner<D>, failures: u32, what: &str) -> u32 {
    let failures = failures + 1;
    let borne = inner.client.timeouts().probe_failures.max(1);
    tracing::warn!(engine = D::NAME, failures, borne, what, "an engine's health probe failed");
    if failures >= borne {
        let reason = ExitReason::Channel(format!("{borne} health probes failed in a row: {what}"));
        match &inner.process {
            Some(process) => {
                // It is gone when its process is: the watch says so, with this reason.
                let _ = inner.cause.set(reason);
                process.kill();
            }
            None => inner.close(reason),
        }
    }
    failures
}

/// Waits for the end of a managed engine's process.
pub(crate) async fn watch<D: Dialect>(engine: Weak<Inner<D>>) {
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
