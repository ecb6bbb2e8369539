//! The process: channel, threads, and the order in which things start and end.
//!
//! Rules: ORCH-SHAPE-1

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::sync::Arc;

use engine_api::{ReplicaSpec, StartError};
use llama_cpp_2::context::LlamaContext;
use worker_protocol::{FromWorker, PROTOCOL_VERSION, ToWorker, read_frame};

use crate::decode::DecodeLoop;
use crate::embed;
use crate::exit;
use crate::inbox;
use crate::load::{self, Loaded};
use crate::log::{self, Level};
use crate::outbox::Outbox;

/// A step of loading progress worth a message.
const PROGRESS_STEP: f32 = 0.01;

/// Runs the worker on the channel that is its standard input, until it is told to stop or the daemon goes.
#[must_use]
pub fn run() -> ExitCode {
    let stream = match channel() {
        Ok(stream) => stream,
        Err(error) => {
            let hint = "the daemon starts its workers itself; standard input is the channel to it";
            log::line(
                Level::Error,
                "no channel to a daemon",
                &[("reason", &error.to_string()), ("hint", hint)],
            );
            return ExitCode::from(exit::NO_CHANNEL);
        }
    };
    match serve(stream) {
        Ok(code) => code,
        Err(error) => {
            log::line(Level::Error, "the worker cannot go on", &[("reason", &error.to_string())]);
            ExitCode::from(exit::NO_CHANNEL)
        }
    }
}

fn channel() -> io::Result<UnixStream> {
    let stream = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    stream.local_addr()?;
    Ok(stream)
}

fn serve(mut stream: UnixStream) -> io::Result<ExitCode> {
    let outbox = Outbox::new(stream.try_clone()?);
    let spec = match read_frame::<ToWorker>(&mut stream).map_err(io::Error::other)? {
        None => return Ok(ExitCode::SUCCESS),
        Some(ToWorker::Load { protocol: PROTOCOL_VERSION, spec }) => spec,
        Some(ToWorker::Estimate { protocol: PROTOCOL_VERSION, spec }) => {
            inbox::watch_for_the_end(stream.try_clone()?);
            return Ok(match load::estimate(&spec) {
                Ok(estimate) => {
                    outbox.send(&FromWorker::Estimated(estimate));
                    ExitCode::SUCCESS
                }
                Err(error) => load_failed(&outbox, error),
            });
        }
        Some(ToWorker::Load { protocol, .. } | ToWorker::Estimate { protocol, .. }) => {
            let why = format!(
                "the daemon speaks version {protocol} of the worker protocol, this worker {PROTOCOL_VERSION}"
            );
            return Ok(load_failed(&outbox, StartError::Engine(format!("{why}\nhint: restart the daemon"))));
        }
        Some(_) => return Err(io::Error::other("the first message is neither `Load` nor `Estimate`")),
    };
    inbox::watch_for_the_end(stream.try_clone()?);
    let (loaded, context) = match load_with_progress(&spec, &outbox) {
        Ok(both) => both,
        Err(error) => return Ok(load_failed(&outbox, error)),
    };
    log::line(
        Level::Info,
        "model loaded",
        &[
            ("model", &loaded.facts.model.name),
            ("build", &loaded.facts.build),
            ("load_ms", &loaded.facts.load_ms.0.to_string()),
        ],
    );
    loaded.heartbeat.report_to(outbox.clone());
    let loaded = Arc::new(loaded);
    let commands = inbox::open(stream, Arc::clone(&loaded), outbox.clone())?;
    outbox.send(&FromWorker::Ready(Box::new(loaded.facts.clone())));
    if loaded.pools() {
        embed::run(&loaded, context, &commands, &outbox);
    } else {
        DecodeLoop::new(loaded, context, outbox).run(&commands);
    }
    Ok(ExitCode::SUCCESS)
}

fn load_with_progress(
    spec: &ReplicaSpec,
    outbox: &Outbox,
) -> Result<(Loaded, LlamaContext<'static>), StartError> {
    let (outbox, last) = (outbox.clone(), std::cell::Cell::new(-1.0));
    load::load(spec, move |part| {
        if part - last.get() >= PROGRESS_STEP || part >= 1.0 {
            last.set(part);
            outbox.send(&FromWorker::Loading(part));
        }
    })
}

fn load_failed(outbox: &Outbox, error: StartError) -> ExitCode {
    log::line(Level::Error, "the model was not loaded", &[("reason", &error.to_string())]);
    outbox.send(&FromWorker::LoadFailed(error));
    ExitCode::from(exit::LOAD_FAILED)
}
