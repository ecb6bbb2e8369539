//! The one owner of queue and placement. Handlers and replicas send it events; it handles each at once,
//! without waiting for anything, and hands tasks to engines. Time is passed in, so that tests can call
//! [`Driver::handle`] without a runtime.
//!
//! ```text
//! handlers ── Command ──┐
//! engines  ── News ─────┼──► Driver::handle(event, now) ──► Engine::submit / cancel, TaskLog::close
//! replicas ── events ───┘
//! ```

use std::sync::Arc;
use std::time::Duration;

use adapter_api::Engine;
use orchestrator_core::{Millis, PoolId, Timestamp};
use pool_manager::Snapshot;
use tokio::sync::{mpsc, oneshot, watch};

use crate::backpressure::Failure;
use crate::clock::Clock;
use crate::handle::Command;
use crate::health_view::HealthView;
use crate::keeper::{Orders, PoolEvent};
use crate::metrics::Metrics;

mod commands;
mod news;
mod pool;
mod sink;
mod tasks;
#[cfg(test)]
mod tests;
mod views;

pub use crate::handle::DriverHandle;
pub use pool::PoolSetup;
pub use tasks::Retention;

use pool::Pool;
use sink::{Inbox, LogSink, News, RunId};
use tasks::{TaskState, TaskTable};

/// The longest the driver sleeps when nothing is due: it needs no tick, but a bound has a name.
const IDLE_WAKE: Duration = Duration::from_secs(3600);

/// How often replicas at work are looked at for progress.
const PROGRESS_CHECK: Duration = Duration::from_secs(1);

/// Engines that hung and wait to be ended. One more than can be is found again at the next look.
pub const HUNG_BOUND: usize = 64;

/// Something happened.
#[derive(Debug)]
pub enum Event {
    /// Somebody asks for something.
    Command(Command),
    /// Engines have news of tasks.
    News(Vec<(RunId, News)>),
    /// A pool or a replica of it has changed.
    Pool(PoolId, PoolEvent),
    /// The devices have been read.
    Devices(Arc<Snapshot>),
    /// A time has come.
    Tick,
}

/// Where events come from.
#[derive(Debug)]
pub struct Sources {
    /// From handlers.
    pub commands: mpsc::Receiver<Command>,
    /// From the keepers of pools.
    pub pools: mpsc::Receiver<(PoolId, PoolEvent)>,
    /// From the telemetry.
    pub devices: watch::Receiver<Arc<Snapshot>>,
}

/// Whether tasks are taken.
enum Mode {
    Serving,
    /// No task is taken or started; whoever asked is told when no task is in an engine any more.
    Stopping {
        idle: Vec<oneshot::Sender<()>>,
    },
}

/// The driver.
pub struct Driver {
    clock: Clock,
    pools: Vec<Pool>,
    tasks: TaskTable,
    inbox: Arc<Inbox>,
    metrics: Arc<Metrics>,
    mode: Mode,
    /// To whom engines that hang are handed over.
    hung: mpsc::Sender<Arc<dyn Engine>>,
    looked_at: Timestamp,
    /// When the next model may make room for another.
    room_at: Option<Timestamp>,
}

impl Driver {
    /// A driver of these pools, in this order, each with the way to its keeper. Engines that hang are handed
    /// to `hung`, to be ended.
    #[must_use]
    pub fn new(
        pools: Vec<(PoolSetup, Orders)>,
        retention: Retention,
        metrics: Arc<Metrics>,
        clock: Clock,
        hung: mpsc::Sender<Arc<dyn Engine>>,
    ) -> Self {
        let now = clock.now();
        Self {
            clock,
            pools: pools.into_iter().map(|(setup, orders)| Pool::new(setup, orders, now)).collect(),
            hung,
            looked_at: now,
            room_at: None,
            tasks: TaskTable::new(retention),
            inbox: Arc::default(),
            metrics,
            mode: Mode::Serving,
        }
    }

    /// Handles events until the last [`DriverHandle`] is gone.
    pub async fn run(mut self, mut sources: Sources) {
        let inbox = Arc::clone(&self.inbox);
        let mut alarm = std::pin::pin!(tokio::time::sleep(Duration::ZERO));
        loop {
            let now = self.clock.now();
            let wake = self.clock.instant(self.next_wake(now).unwrap_or_else(|| now.after(IDLE_WAKE)));
            // One that rings too early costs a look; one set anew for every event would cost more than most.
            if alarm.is_elapsed() || wake < alarm.deadline() {
                alarm.as_mut().reset(wake);
            }
            let event = tokio::select! {
                command = sources.commands.recv() => match command {
                    Some(command) => Event::Command(command),
                    None => return,
                },
                news = inbox.take() => Event::News(news),
                Some((pool, event)) = sources.pools.recv() => Event::Pool(pool, event),
                Ok(()) = sources.devices.changed() => {
                    Event::Devices(Arc::clone(&sources.devices.borrow_and_update()))
                }
                () = &mut alarm => Event::Tick,
            };
            self.handle(event, self.clock.now());
        }
    }

    /// Handles one event, and all that follows from it at once.
    pub fn handle(&mut self, event: Event, now: Timestamp) {
        match event {
            Event::Command(command) => self.command(command, now),
            Event::News(news) => {
                for (run, news) in news {
                    self.news(run, news, now);
                }
            }
            Event::Pool(_, PoolEvent::Replica(event)) => self.replica(event, now),
            Event::Pool(id, event) => {
                if let Some(pool) = self.pools.iter_mut().find(|pool| pool.setup.id == id) {
                    pool.heard(event, now);
                }
            }
            Event::Devices(snapshot) => {
                self.pools.iter_mut().for_each(|pool| pool.devices_read(&snapshot));
            }
            Event::Tick => {}
        }
        self.settle(now);
    }

    /// When something is due though nothing happens.
    #[must_use]
    pub fn next_wake(&self, now: Timestamp) -> Option<Timestamp> {
        let pools = self.pools.iter().flat_map(|pool| {
            [pool.scheduler.next_wake(now), pool.scheduler.sessions().next_expiry(), pool.life_wake()]
                .into_iter()
                .flatten()
        });
        let at_work = self.pools.iter().any(|pool| pool.scheduler.running() > 0);
        let look = at_work.then(|| self.looked_at.after(PROGRESS_CHECK));
        pools.chain(self.tasks.next_forget()).chain(look).chain(self.room_at).min()
    }

    /// Does what has become possible: starts tasks, forgets what has been kept long enough.
    fn settle(&mut self, now: Timestamp) {
        self.tasks.forget(now);
        self.look_for_progress(now);
        for index in 0..self.pools.len() {
            self.expire_sessions(index, now);
            if matches!(self.mode, Mode::Serving) {
                self.pools[index].settle_life(now);
                self.dispatch(index, now);
            }
        }
        if matches!(self.mode, Mode::Serving) {
            self.make_room(now);
        }
        if let Mode::Stopping { idle } = &mut self.mode
            && !idle.is_empty()
            && !self.tasks.any_in_engine()
        {
            for waiting in std::mem::take(idle) {
                // Whoever asked may have stopped waiting: then nobody needs to know.
                let _ = waiting.send(());
            }
        }
    }

    /// Has models make room for others that wait for it, and ends the tasks of those that wait in vain.
    fn make_room(&mut self, now: Timestamp) {
        let (wake, in_vain) = pool::make_room(&mut self.pools, now);
        self.room_at = wake;
        for index in in_vain {
            self.pools[index].give_up_room(now);
            self.give_up_waiting(index, now);
        }
    }

    /// Hands over the engines that are at work and have been silent for too long.
    fn look_for_progress(&mut self, now: Timestamp) {
        if now < self.looked_at.after(PROGRESS_CHECK) {
            return;
        }
        self.looked_at = now;
        for index in 0..self.pools.len() {
            let tasks = &self.tasks;
            let said = |task| {
                let task = tasks.get(task).expect("a scheduled task is in the table");
                (task.log.tokens().0, task.tokens_in.0)
            };
            for (replica, silent) in self.pools[index].hung(said, now) {
                let engine = self.pools[index].engine(&replica).expect("a replica at work has an engine");
                if self.hung.try_send(Arc::clone(engine)).is_err() {
                    continue;
                }
                tracing::error!(%replica, silent_ms = silent.0, "no progress: the replica is ended");
                self.replica_lost(index, &replica, news::Loss::Hung(silent), now);
            }
        }
    }

    fn dispatch(&mut self, index: usize, now: Timestamp) {
        let pool = &mut self.pools[index];
        while let Some(dispatch) = pool.scheduler.next(now) {
            let task = self.tasks.get_mut(dispatch.task).expect("a scheduled task is in the table");
            let TaskState::Waiting { job } = &task.state else {
                unreachable!("a task that is dispatched has waited")
            };
            let job = Arc::clone(job);
            let Some(engine) = pool.engine(&dispatch.replica) else {
                unreachable!("a replica that takes tasks has an engine")
            };
            task.runs += 1;
            task.record.started(dispatch.replica.clone(), now);
            let run = RunId { task: dispatch.task, run: task.runs };
            let sink = LogSink::new(run, Arc::clone(&task.log), Arc::clone(&self.inbox));
            tracing::debug!(task_id = %dispatch.task, replica = %dispatch.replica, queue_ms = dispatch.queue_time.0, "started");
            engine.submit(adapter_api::Job::clone(&job), Box::new(sink));
            task.state =
                TaskState::Running { job, replica: dispatch.replica, started_at: now, first_token_at: None };
            pool.used(now);
        }
    }

    fn expire_sessions(&mut self, index: usize, now: Timestamp) {
        let pool = &mut self.pools[index];
        for forgotten in pool.scheduler.expire_sessions(now) {
            if let Some(home) = &forgotten.home
                && let Some(engine) = pool.engine(&home.replica)
            {
                engine.evict_session(forgotten.session);
            }
        }
    }

    /// No task is taken or started from here on; those that wait end now.
    fn begin_stop(&mut self, idle: oneshot::Sender<()>, now: Timestamp) {
        match &mut self.mode {
            Mode::Stopping { idle: waiting } => return waiting.push(idle),
            Mode::Serving => self.mode = Mode::Stopping { idle: vec![idle] },
        }
        for id in self.tasks.ids(|task| matches!(task.state, TaskState::Waiting { .. })) {
            self.end_waiting(id, news::Ending::Failed(Failure::Stopping), now);
        }
    }

    /// Ends what still runs, for its readers at once and in its engine within a step.
    fn end_running(&mut self, now: Timestamp) {
        for id in self.tasks.ids(|task| matches!(task.state, TaskState::Running { .. })) {
            self.leave(id, news::Ending::Failed(Failure::Stopping), now);
        }
    }

    fn health(&self, now: Timestamp) -> HealthView {
        HealthView {
            ready: matches!(self.mode, Mode::Serving) && self.pools.iter().any(Pool::serves),
            stopping: matches!(self.mode, Mode::Stopping { .. }),
            uptime: Millis::from_duration(now.since(Timestamp::default())),
            pools: self.pools.iter().map(Pool::view).collect(),
        }
    }
}
