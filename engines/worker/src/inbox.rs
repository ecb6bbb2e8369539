//! The way in. One thread reads frames and hands them on; one prepares jobs and one measures, so that
//! neither holds up the decode loop. The reader itself never waits for them: what they have no room for it refuses. A
//! cancel overtakes all of them: it sets a flag that every later stage looks at.
//!
//! ```text
//!             ┌─ Submit, Evict, Stop ─► preparer ─► decode loop
//! reader ─────┼─ Ask, Forget ─────────► measuring ─► outbox
//!             ├─ Ping ────────────────► outbox: whether the decode loop lives
//!             └─ Cancel: sets the task's flag
//! ```
//!
//! Rules: ORCH-SHAPE-2, ORCH-WORKER-6

use std::collections::HashMap;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use generation::{Determinism, EndReport, EngineError, Finish, GenerateRequest};
use orchestrator_core::{Millis, Priority, SessionId, TaskId};
use rustix::event::{PollFd, PollFlags, poll};
use worker_protocol::{FromWorker, Pong, Step, TaskEvent, TaskUpdate, ToWorker, read_frame};

use crate::clock;
use crate::decode::LaneContext;
use crate::exit;
use crate::heartbeat::Heartbeat;
use crate::load::Loaded;
use crate::log::{self, Level};
use crate::measuring::{self, Hands, Measuring};
use crate::outbox::Outbox;
use crate::prepare::{Arrival, CancelFlag, Prepared, Work, prepare};
use crate::questions::answer;

/// Jobs that wait to be prepared. The daemon sends no more than there are slots.
const WAITING: usize = 1024;

/// How long a job may take to be prepared. What takes longer has hung, and all jobs behind it wait.
const PREPARE_LIMIT: Duration = Duration::from_secs(60);

/// Prepared jobs that wait for the decode loop to look.
const PREPARED: usize = 64;

/// What the decode loop is told.
#[derive(Debug)]
pub enum Command {
    /// Decode it.
    Start(Box<Prepared>),
    /// What a `strict` task that comes after it computes in.
    OpenStrictLane(Box<LaneContext>),
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
    let (to_loop, commands) = sync_channel(PREPARED);
    let preparing: Preparing = Arc::default();
    let reader = Reader {
        preparer: to_preparer,
        measuring: start_measuring(&loaded, &outbox)?,
        heartbeat: loaded.heartbeat,
        outbox: outbox.clone(),
        flags: HashMap::new(),
        tidy_at: 64,
    };
    watch_the_preparer(Arc::clone(&preparing))?;
    thread::Builder::new()
        .name("prepare".into())
        .stack_size(measuring::STACK)
        .spawn(move || prepare_all(&loaded, &outbox, &orders, &to_loop, &preparing))?;
    thread::Builder::new().name("read".into()).spawn(move || reader.read_all(stream))?;
    Ok(commands)
}

/// Since when a job is being prepared.
type Preparing = Arc<Mutex<Option<Instant>>>;

fn start_measuring(loaded: &Arc<Loaded>, outbox: &Outbox) -> std::io::Result<Measuring> {
    let (loaded, outbox) = (Arc::clone(loaded), outbox.clone());
    let hands = Hands {
        answer: Box::new(move |question| answer(&loaded, question)),
        reply: Box::new(move |request, result| outbox.send(&FromWorker::Answered { request, result })),
        give_up: Box::new(|| {
            log::line(Level::Error, "measuring hangs: the worker ends", &[]);
            exit::at_once(exit::HUNG)
        }),
    };
    Measuring::start(hands, measuring::LIMIT)
}

/// Ends the process when a job takes longer to be prepared than any should: every job was measured before.
fn watch_the_preparer(preparing: Preparing) -> std::io::Result<()> {
    let watch = move || {
        loop {
            thread::sleep(PREPARE_LIMIT / 4);
            let since = *preparing.lock().unwrap_or_else(PoisonError::into_inner);
            if since.is_some_and(|since| clock::now().saturating_duration_since(since) > PREPARE_LIMIT) {
                log::line(Level::Error, "a job hangs while it is prepared: the worker ends", &[]);
                exit::at_once(exit::HUNG);
            }
        }
    };
    thread::Builder::new().name("watch-prepare".into()).spawn(watch).map(drop)
}

/// What the thread that reads the channel hands messages on to.
struct Reader {
    preparer: SyncSender<Order>,
    measuring: Measuring,
    heartbeat: &'static Heartbeat,
    outbox: Outbox,
    flags: HashMap<TaskId, CancelFlag>,
    /// The number of flags at which those of tasks that have ended are looked for.
    tidy_at: usize,
}

impl Reader {
    fn read_all(mut self, mut stream: UnixStream) {
        loop {
            let message = match read_frame(&mut stream) {
                Ok(Some(message)) => message,
                Ok(None) => exit::at_once(exit::DAEMON_GONE),
                Err(error) => {
                    log::line(Level::Error, "the channel is broken", &[("reason", &error.to_string())]);
                    exit::at_once(i32::from(exit::NO_CHANNEL));
                }
            };
            if !self.hand_on(message) {
                return;
            }
        }
    }

    /// Whether there is somebody to hand on to.
    fn hand_on(&mut self, message: ToWorker) -> bool {
        match message {
            ToWorker::Load { .. } | ToWorker::Estimate { .. } => {
                log::line(Level::Error, "asked to load a second model", &[]);
                exit::at_once(i32::from(exit::NO_CHANNEL));
            }
            ToWorker::Ask { request, question } => self.measuring.push(request, question),
            ToWorker::ForgetQuestion(request) => self.measuring.forget(request),
            ToWorker::Ping(ping) => {
                let (silent, limit) = self.heartbeat.silence(clock::now());
                let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
                let pong = Pong { ping, silent_ms: millis(silent), limit_ms: millis(limit) };
                self.outbox.send(&FromWorker::Pong(pong));
            }
            ToWorker::Submit(job) => return self.submit(job),
            ToWorker::Cancel(task) => {
                if let Some(flag) = self.flags.get(&task) {
                    flag.set();
                }
            }
            ToWorker::EvictSession(session) => {
                // No room is no harm: the cache gives way to others by itself.
                let sent = self.preparer.try_send(Order::Evict(session));
                return !matches!(sent, Err(TrySendError::Disconnected(_)));
            }
            ToWorker::Stop => {
                self.flags.values().for_each(CancelFlag::set);
                // Nothing comes after it that could be late.
                return self.preparer.send(Order::Stop).is_ok();
            }
        }
        true
    }

    fn submit(&mut self, job: Arc<GenerateRequest>) -> bool {
        let canceled = CancelFlag::default();
        if self.flags.len() >= self.tidy_at {
            self.flags.retain(|_, flag| !flag.is_last());
            self.tidy_at = (self.flags.len() * 2).max(64);
        }
        let (task, arrived) = (job.task, clock::now());
        self.flags.insert(task, canceled.clone());
        match self.preparer.try_send(Order::Prepare(Arrival { job, canceled, arrived })) {
            Ok(()) => true,
            Err(TrySendError::Disconnected(_)) => false,
            Err(TrySendError::Full(_)) => {
                let why = EngineError::Unavailable(format!("{WAITING} tasks wait to be prepared"));
                self.outbox.send_step(end_unstarted(task, Finish::Failed(why), arrived));
                true
            }
        }
    }
}

fn prepare_all(
    loaded: &Loaded,
    outbox: &Outbox,
    orders: &Receiver<Order>,
    to_loop: &SyncSender<Command>,
    preparing: &Preparing,
) {
    let note = |since| *preparing.lock().unwrap_or_else(PoisonError::into_inner) = since;
    let mut lane = None;
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
                note(Some(clock::now()));
                let ready = prepare(loaded, arrival).and_then(|prepared| {
                    let opened = open_lane(loaded, &prepared, &mut lane)?;
                    Ok((prepared, opened))
                });
                note(None);
                match ready {
                    Ok((prepared, opened)) => {
                        let opened = opened.map(|lane| to_loop.send(Command::OpenStrictLane(Box::new(lane))));
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

/// The context that a task's `strict` lane needs, where the last one that was made has another size.
fn open_lane(
    loaded: &Loaded,
    prepared: &Prepared,
    lane: &mut Option<u32>,
) -> Result<Option<LaneContext>, EngineError> {
    let Work::Complete(work) = &prepared.work else { return Ok(None) };
    let tokens = work.most_tokens();
    let cells = loaded.strict_cells(tokens);
    if prepared.determinism != Determinism::Strict || *lane == Some(cells) {
        return Ok(None);
    }
    let context = loaded.strict_context(tokens).map_err(|why| {
        EngineError::Decode(format!("no memory for a context of a `strict` task of {tokens} tokens: {why}"))
    })?;
    *lane = Some(cells);
    Ok(Some(LaneContext { cells, context }))
}

/// The end of a task that never reached a slot.
#[must_use]
pub fn end_unstarted(task: TaskId, finish: Finish, arrived: std::time::Instant) -> Step {
    let waited = Millis::from_duration(clock::now().duration_since(arrived));
    let report = EndReport { prefill_ms: waited, ..EndReport::of(finish) };
    Step { tasks: vec![TaskUpdate { task, event: TaskEvent::End(report) }], sessions: Vec::new() }
}
