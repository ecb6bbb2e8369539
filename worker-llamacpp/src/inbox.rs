//! The way in. One thread reads frames and hands them on; one prepares jobs and one measures, so that
//! neither holds up the decode loop. A cancel overtakes all of them: it sets a flag that every later stage
//! looks at.
//!
//! ```text
//!             ┌─ Submit, Evict, Stop ─► preparer ─► decode loop
//! reader ─────┼─ Measure ─────────────► measurer ─► outbox
//!             └─ Cancel: sets the task's flag
//! ```

use std::collections::HashMap;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use adapter_api::{Determinism, EndReport, EngineError, Finish, Job};
use llama_cpp_2::context::LlamaContext;
use orchestrator_core::{Millis, Priority, SessionId, TaskId, TokenCount};
use rustix::event::{PollFd, PollFlags, poll};
use worker_protocol::{FromWorker, Step, TaskEvent, TaskUpdate, ToWorker, read_frame};

use crate::clock;
use crate::exit;
use crate::load::Loaded;
use crate::log::{self, Level};
use crate::outbox::Outbox;
use crate::prepare::{Arrival, CancelFlag, Prepared, Work, measure, prepare};

/// Messages that wait to be prepared or measured. The reader waits when there are more.
const WAITING: usize = 1024;

/// Prepared jobs that wait for the decode loop to look.
const PREPARED: usize = 64;

/// Stack of the thread that compiles grammars, whose parser works by recursion.
const PREPARER_STACK: usize = 64 * 1024 * 1024;

/// What the decode loop is told.
#[derive(Debug)]
pub enum Command {
    /// Decode it.
    Start(Box<Prepared>),
    /// What `strict` tasks compute in, before the first of them.
    OpenStrictLane(Box<LlamaContext<'static>>),
    /// Give its cache back.
    Evict(SessionId),
    /// Cancel everything and end.
    Stop,
}

enum Order {
    Prepare(Arrival),
    Evict(SessionId),
    Stop,
}

/// Ends the process as soon as the daemon closes its end, whatever is waiting to be read.
pub fn watch_for_the_end(stream: UnixStream) {
    thread::spawn(move || {
        loop {
            let mut fds = [PollFd::new(&stream, hang_up())];
            let ended = match poll(&mut fds, None) {
                Ok(_) => fds[0].revents().intersects(hang_up() | PollFlags::HUP | PollFlags::ERR),
                Err(error) => error != rustix::io::Errno::INTR,
            };
            if ended {
                exit::at_once(exit::DAEMON_GONE);
            }
        }
    });
}

#[cfg(target_os = "linux")]
fn hang_up() -> PollFlags {
    PollFlags::RDHUP
}

/// Elsewhere only the end of both directions is seen here; the reader sees the end of one.
#[cfg(not(target_os = "linux"))]
fn hang_up() -> PollFlags {
    PollFlags::empty()
}

/// Starts the threads of the way in. What they have for the decode loop comes out of the receiver.
///
/// # Errors
/// When the system gives no thread.
pub fn open(stream: UnixStream, loaded: Arc<Loaded>, outbox: Outbox) -> std::io::Result<Receiver<Command>> {
    let (to_preparer, orders) = sync_channel(WAITING);
    let (to_measurer, questions) = sync_channel(WAITING);
    let (to_loop, commands) = sync_channel(PREPARED);
    let (loaded_too, outbox_too) = (Arc::clone(&loaded), outbox.clone());
    thread::Builder::new()
        .name("prepare".into())
        .stack_size(PREPARER_STACK)
        .spawn(move || prepare_all(&loaded, &outbox, &orders, &to_loop))?;
    thread::Builder::new()
        .name("measure".into())
        // Some vocabularies are split by recursive expressions: a long word goes deep.
        .stack_size(PREPARER_STACK)
        .spawn(move || measure_all(&loaded_too, &outbox_too, &questions))?;
    thread::Builder::new().name("read".into()).spawn(move || read_all(stream, &to_preparer, &to_measurer))?;
    Ok(commands)
}

fn read_all(mut stream: UnixStream, preparer: &SyncSender<Order>, measurer: &SyncSender<(u64, Box<Job>)>) {
    let mut flags: HashMap<TaskId, CancelFlag> = HashMap::new();
    let mut tidy_at = 64;
    loop {
        let message = match read_frame(&mut stream) {
            Ok(Some(message)) => message,
            Ok(None) => exit::at_once(exit::DAEMON_GONE),
            Err(error) => {
                log::line(Level::Error, "the channel is broken", &[("reason", &error.to_string())]);
                exit::at_once(i32::from(exit::NO_CHANNEL));
            }
        };
        let handed_on = match message {
            ToWorker::Load { .. } | ToWorker::Estimate { .. } => {
                log::line(Level::Error, "asked to load a second model", &[]);
                exit::at_once(i32::from(exit::NO_CHANNEL));
            }
            ToWorker::Measure { request, job } => measurer.send((request, job)).is_ok(),
            ToWorker::Submit(job) => {
                let canceled = CancelFlag::default();
                if flags.len() >= tidy_at {
                    flags.retain(|_, flag| !flag.is_last());
                    tidy_at = (flags.len() * 2).max(64);
                }
                flags.insert(job.task, canceled.clone());
                preparer.send(Order::Prepare(Arrival { job, canceled, arrived: clock::now() })).is_ok()
            }
            ToWorker::Cancel(task) => {
                if let Some(flag) = flags.get(&task) {
                    flag.set();
                }
                true
            }
            ToWorker::EvictSession(session) => preparer.send(Order::Evict(session)).is_ok(),
            ToWorker::Stop => {
                flags.values().for_each(CancelFlag::set);
                preparer.send(Order::Stop).is_ok()
            }
        };
        if !handed_on {
            return;
        }
    }
}

fn prepare_all(loaded: &Loaded, outbox: &Outbox, orders: &Receiver<Order>, to_loop: &SyncSender<Command>) {
    let mut lane_is_open = false;
    for order in orders {
        let command = match order {
            Order::Evict(session) => Command::Evict(session),
            Order::Stop => Command::Stop,
            Order::Prepare(arrival) => {
                let (task, arrived) = (arrival.job.task, arrival.arrived);
                if arrival.canceled.is_set() {
                    outbox.send_step(end_unstarted(task, Finish::Canceled, arrived));
                    continue;
                }
                let ready = prepare(loaded, arrival).and_then(|prepared| {
                    let opens = prepared.determinism == Determinism::Strict
                        && matches!(prepared.work, Work::Complete(_))
                        && !std::mem::replace(&mut lane_is_open, true);
                    let lane = opens.then(|| loaded.context(1)).transpose().map_err(|why| {
                        lane_is_open = false;
                        EngineError::Decode(format!("no memory for a context of a `strict` task: {why}"))
                    })?;
                    Ok((prepared, lane))
                });
                match ready {
                    Ok((prepared, lane)) => {
                        let opened = lane.map(|lane| to_loop.send(Command::OpenStrictLane(Box::new(lane))));
                        if opened.is_some_and(|sent| sent.is_err()) {
                            return;
                        }
                        if prepared.priority == Priority::Interactive {
                            loaded.heartbeat.urgent_task_sent();
                        }
                        Command::Start(Box::new(prepared))
                    }
                    Err(error) => {
                        outbox.send_step(end_unstarted(task, Finish::Failed(error), arrived));
                        continue;
                    }
                }
            }
        };
        if to_loop.send(command).is_err() {
            return;
        }
    }
}

fn measure_all(loaded: &Loaded, outbox: &Outbox, questions: &Receiver<(u64, Box<Job>)>) {
    for (request, job) in questions {
        outbox.send(&FromWorker::Measured { request, result: measure(loaded, &job) });
    }
}

/// The end of a task that never reached a slot.
#[must_use]
pub fn end_unstarted(task: TaskId, finish: Finish, arrived: std::time::Instant) -> Step {
    let report = EndReport {
        finish,
        tokens_in: TokenCount(0),
        tokens_cached: TokenCount(0),
        tokens_out: TokenCount(0),
        prefill_ms: Millis::from_duration(clock::now().duration_since(arrived)),
        decode_ms: Millis(0),
        own: None,
    };
    Step { tasks: vec![TaskUpdate { task, event: TaskEvent::End(report) }], sessions: Vec::new() }
}
