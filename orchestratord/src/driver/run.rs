//! The task around the driver: brings it events, and performs what it decides.
//!
//! Rules: ORCH-SHAPE-5, ORCH-ERR-7

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use config_schema::PoolConfig;
use generation::GenerateRequest;
use pool_manager::Snapshot;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::Driver;
use super::effect::{Count, Effect, TokensOut};
use super::event::{Event, TaskEvent, Work};
use super::sink::{Inbox, LogSink};
use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::pool_protocol::{Order, Orders, PoolEvent, PoolKey};
use crate::protocol::{Command, Configuration};
use crate::tasks;

/// The longest the driver sleeps when nothing is due: it needs no tick, but a bound has a name.
const IDLE_WAKE: Duration = Duration::from_secs(3600);

/// A job of up to so many bytes is freed at once.
const DISCARDED_AT_ONCE_BYTES: usize = 64 * 1024;

/// Where events come from.
#[derive(Debug)]
pub struct Sources {
    /// From handlers.
    pub commands: mpsc::Receiver<Command>,
    /// From the controllers of pools.
    pub pools: mpsc::Receiver<(PoolKey, PoolEvent)>,
    /// From the telemetry.
    pub devices: watch::Receiver<Arc<Snapshot>>,
}

/// Starts the controller of a pool. Returns the way to it.
pub type OpenPool = Box<dyn FnMut(PoolKey, PoolConfig) -> Orders + Send>;

/// The driver with its surroundings.
#[derive(Debug)]
pub struct DriverTask {
    driver: Driver,
    outside: Outside,
    clock: Clock,
}

/// What effects act on.
struct Outside {
    open_pool: OpenPool,
    /// The ways to the controllers. The end of one ends its controller.
    orders: BTreeMap<PoolKey, Orders>,
    /// Orders that found their channel full. Each controller has few orders open at a time, so this is nearly always
    /// empty; what is in it goes out with the next event.
    unsent: VecDeque<(PoolKey, Order)>,
    inbox: Arc<Inbox>,
    metrics: Arc<Metrics>,
    /// The grace between the request to end and the kill of an engine that hangs.
    stop_grace: Duration,
}

impl DriverTask {
    /// A driver of these pools, in this order. `open_pool` starts their controllers, and those of pools that are added.
    #[must_use]
    pub fn new(
        Configuration { retention, pools }: Configuration,
        mut open_pool: OpenPool,
        metrics: Arc<Metrics>,
        clock: Clock,
        stop_grace: Duration,
    ) -> Self {
        let (setups, configs): (Vec<_>, Vec<_>) = pools.into_iter().unzip();
        let driver = Driver::new(setups, retention, clock.now());
        let orders = driver
            .pools
            .iter()
            .zip(configs)
            .map(|(pool, config)| (pool.key(), open_pool(pool.key(), config)));
        let orders = orders.collect();
        let (unsent, inbox) = (VecDeque::new(), Arc::default());
        Self { driver, outside: Outside { open_pool, orders, unsent, inbox, metrics, stop_grace }, clock }
    }

    /// Handles events until the last [`DriverHandle`](super::DriverHandle) is gone.
    pub async fn run(mut self, mut sources: Sources) {
        let inbox = Arc::clone(&self.outside.inbox);
        let mut alarm = std::pin::pin!(tokio::time::sleep(Duration::ZERO));
        loop {
            let wake = self.wake();
            // One that rings too early costs a look; one set anew for every event would cost more than most.
            if alarm.is_elapsed() || wake < alarm.deadline() {
                alarm.as_mut().reset(wake);
            }
            // In this order, so that the driver has the event of every first token that is in a log before it decides what
            // becomes of a task whose engine is lost: the report on the first token is in the inbox by then.
            tokio::select! {
                biased;
                events = inbox.take() => {
                    for (run, event) in events {
                        self.handle(Event::Task(run, event));
                    }
                }
                Some((pool, event)) = sources.pools.recv() => self.handle(Event::Pool(pool, event)),
                command = sources.commands.recv() => match command {
                    Some(command) => self.handle(Event::Command(command)),
                    None => return,
                },
                Ok(()) = sources.devices.changed() => {
                    let snapshot = Arc::clone(&sources.devices.borrow_and_update());
                    self.handle(Event::Devices(snapshot));
                }
                () = &mut alarm => self.handle(Event::Tick),
            }
        }
    }

    fn wake(&self) -> Instant {
        let now = self.clock.now();
        self.clock.instant(self.driver.next_wake(now).unwrap_or_else(|| now.after(IDLE_WAKE)))
    }

    /// Handles an event, and those that follow from what it has done.
    fn handle(&mut self, event: Event) {
        let mut next = Some(event);
        let mut following = VecDeque::new();
        while let Some(event) = next.take().or_else(|| following.pop_front()) {
            for effect in self.driver.handle(event, self.clock.now()) {
                following.extend(self.outside.perform(effect));
            }
        }
        self.outside.send_orders();
    }
}

impl Outside {
    /// Performs an effect. Returns the event that answers it, where one does.
    fn perform(&mut self, effect: Effect) -> Option<Event> {
        match effect {
            Effect::Reply(reply) => reply.send(),
            Effect::Submit { run, job, engine, continues, log, span } => {
                if let Some(written) = log.begin(run.run, continues) {
                    let job = if written.is_empty() {
                        job
                    } else {
                        Arc::new(GenerateRequest { written, ..(*job).clone() })
                    };
                    let sink = LogSink::new(run, log, Arc::clone(&self.inbox));
                    span.in_scope(|| engine.submit(job, Box::new(sink)));
                } else {
                    // An earlier placement wrote, and this engine cannot go on behind it.
                    self.inbox.leave(run, TaskEvent::Lost);
                }
            }
            Effect::Cancel { task, engine, span } => span.in_scope(|| engine.cancel(task)),
            Effect::Fence(log) => log.fence(),
            Effect::CloseLog { task, log, end, tokens_out, span } => {
                let closed = log.close(|written| match tokens_out {
                    TokensOut::Reported => end,
                    TokensOut::Written => crate::task_log::TaskEnd { tokens_out: written, ..end },
                });
                if closed && let Some(end) = log.end() {
                    tracing::info!(
                        parent: &span, finish = end.finish.as_str(), tokens_in = end.tokens_in.0,
                        tokens_out = end.tokens_out.0, queue_ms = end.queue_ms.0, decode_ms = end.decode_ms.0,
                        failure = end.failure.as_ref().map(tracing::field::display), "ended"
                    );
                }
                return Some(Event::LogClosed(task, log.bytes()));
            }
            Effect::Discard(job) => discard(job),
            Effect::EvictSession { session, engine } => engine.evict_session(session),
            Effect::EndEngine { replica, engine } => {
                let grace = self.stop_grace;
                tasks::spawn(async move {
                    let outcome = engine.stop(grace).await;
                    tracing::warn!(%replica, ?outcome, "an engine that made no progress was ended");
                });
            }
            Effect::ReadProgress(runs) => {
                let read = runs.into_iter().map(|(run, engine, log)| {
                    (run, Work { done: engine.work_done(run.task), tokens: log.tokens().0 })
                });
                return Some(Event::Progress(read.collect()));
            }
            Effect::OpenPool(pool, config) => {
                let orders = (self.open_pool)(pool, *config);
                self.orders.insert(pool, orders);
            }
            Effect::Order(pool, order) => self.unsent.push_back((pool, order)),
            Effect::ClosePool(pool) => {
                self.unsent.retain(|(of, _)| *of != pool);
                self.orders.remove(&pool);
            }
            // A controller that waits no more has ended, and with it the pool.
            Effect::Signal(idle) => _ = idle.send(()),
            Effect::Count(count) => self.count(&count),
        }
        None
    }

    fn count(&self, count: &Count) {
        match count {
            Count::Enqueued(pool, priority) => self.metrics.task_enqueued(pool, *priority),
            Count::Rejected(engine, code) => self.metrics.task_rejected(engine, *code),
            Count::Tokens(pool, replica, tokens_in, tokens_out) => {
                self.metrics.tokens(pool, &replica.to_string(), *tokens_in, *tokens_out);
            }
            Count::PoolGone(pool) => self.metrics.forget_pool(pool.as_str()),
        }
    }

    fn send_orders(&mut self) {
        while let Some((pool, order)) = self.unsent.pop_front() {
            let Some(orders) = self.orders.get(&pool) else { continue };
            if let Err(mpsc::error::TrySendError::Full(order)) = orders.try_send(order) {
                tracing::warn!("a pool's controller has many orders open: the next one waits");
                return self.unsent.push_front((pool, order));
            }
        }
    }
}

impl std::fmt::Debug for Outside {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outside").field("orders", &self.orders).finish_non_exhaustive()
    }
}

/// Frees a job that nothing else refers to. A large one is freed on another thread, since that takes tens of
/// milliseconds.
fn discard(job: Arc<GenerateRequest>) {
    if let Some(job) = Arc::into_inner(job)
        && job.bytes() > DISCARDED_AT_ONCE_BYTES
    {
        tokio::task::spawn_blocking(move || drop(job));
    }
}
