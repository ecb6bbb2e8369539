//! Pools that come and go with the configuration, in every state of their model (ORCH-CONF-10, ORCH-CONF-11).

use super::handle::{Bench, setup};
use super::*;
use crate::health_view::HealthView;
use crate::pool_protocol::{PoolEvent, ReloadOrder, Rollback, RollbackCode};
use crate::protocol::{Command, PoolChanges, ReplyTo, RouteQuery, Routed};
use crate::state::ModelState;
use config_schema::PoolModel;
use generation::Finish;
use model_store::ModelRef;
use pool_manager::{Breaker, DownReason};

/// The state of the pool's model when the pool is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Fetching,
    FetchFailed,
    Unloaded,
    Loading,
    NoRoom,
    NoFit,
    Starting,
    Ready,
    CrashLooping,
    Suspended,
    Emptying,
    Unloading,
    Retired,
    Reloading,
    /// The old model's tasks finish before the models change places.
    Holding,
    Swapping,
}

const ALL: [At; 16] = [
    At::Fetching,
    At::FetchFailed,
    At::Unloaded,
    At::Loading,
    At::NoRoom,
    At::NoFit,
    At::Starting,
    At::Ready,
    At::CrashLooping,
    At::Suspended,
    At::Emptying,
    At::Unloading,
    At::Retired,
    At::Reloading,
    At::Holding,
    At::Swapping,
];

pub(super) fn other() -> PoolId {
    PoolId::new("other").unwrap()
}

fn no_room() -> PoolEvent {
    PoolEvent::NoRoom { why: "too large".into(), devices: vec![Device::Cpu], never: false }
}

/// A reload's reply.
pub(super) type Reloading =
    tokio::sync::oneshot::Receiver<Result<crate::pool_protocol::ReloadOutcome, Refusal>>;

impl Bench {
    pub(super) fn event(&mut self, event: PoolEvent) {
        self.handle(Event::Pool(PoolKey::FIRST, event));
    }

    pub(super) fn configure(&mut self, pools: &[PoolId]) -> Result<PoolChanges, Refusal> {
        self.configure_with(pools, 64, keeping(100))
    }

    fn configure_with(
        &mut self,
        pools: &[PoolId],
        bound: usize,
        retention: Retention,
    ) -> Result<PoolChanges, Refusal> {
        let pools = pools.iter().map(|id| (setup(id.clone(), bound), pool_config(id.clone()))).collect();
        self.command(|to| Command::Configure(Box::new(Configuration { retention, pools }), to))
    }

    pub(super) fn retired(&mut self) {
        self.command(|to| Command::SetModelState(pool_id(), ModelState::Retired, to)).unwrap();
    }

    pub(super) fn reload(&mut self) -> Reloading {
        let model = PoolModel::Reference(ModelRef::Starter);
        let (to, reply) = ReplyTo::new();
        let order = ReloadOrder { model, sha256: None, options: None };
        self.handle(Event::Command(Command::Reload(pool_id(), order, to)));
        reply
    }

    /// A reload that waits for the task in the old model's replica.
    fn hold(&mut self) -> Reloading {
        let reload = self.reload();
        self.event(PoolEvent::PauseDispatch(tokio::sync::oneshot::channel().0));
        reload
    }

    pub(super) fn health(&mut self) -> HealthView {
        self.command(Command::Health)
    }

    fn route(&mut self, task: u128) -> Result<PoolId, Refusal> {
        self.route_to(pool_id().as_str(), task)
    }

    fn route_to(&mut self, model: &str, task: u128) -> Result<PoolId, Refusal> {
        let query = RouteQuery {
            task: TaskId(Uuid::from_u128(task)),
            fingerprint: 0,
            priority: Priority::Interactive,
            workload: Workload::Completion,
            model_ref: Some(model.to_owned()),
            engine: None,
        };
        self.command(|to| Command::Route(query, to)).map(|routed| match routed {
            Routed::Measure { pool, .. } | Routed::Unmeasured { pool, .. } => pool,
            Routed::Known(_) => unreachable!("it is new"),
        })
    }

    /// A pool in a state. Task 1 runs in [`At::Emptying`] and [`At::Holding`], and in no other.
    fn at(at: At) -> (Self, Option<Reloading>) {
        let ready = matches!(
            at,
            At::Ready
                | At::Suspended
                | At::Emptying
                | At::Reloading
                | At::Holding
                | At::Swapping
                | At::CrashLooping
        );
        let mut bench = Self::new(u16::from(ready));
        if matches!(at, At::Emptying | At::Holding) {
            bench.admit(1).unwrap();
        }
        if matches!(at, At::Unloaded | At::Loading | At::NoRoom | At::NoFit | At::Unloading | At::Retired) {
            bench.event(PoolEvent::Unloaded);
        }
        let mut reload = None;
        match at {
            At::Fetching | At::Unloaded | At::Ready => {}
            At::FetchFailed => {
                let retry_in = Duration::from_secs(4);
                bench.event(PoolEvent::FetchFailed { why: "no network".into(), retry_in });
            }
            At::Loading | At::NoRoom | At::NoFit => {
                bench.admit(9).unwrap();
                let looks = match at {
                    At::Loading => 0,
                    At::NoRoom => 1,
                    _ => 3,
                };
                (0..looks).for_each(|_| bench.event(no_room()));
                if at == At::NoFit {
                    assert!(bench.failure(9).is_some());
                } else {
                    bench.command(|to| Command::Cancel(TaskId(Uuid::from_u128(9)), to)).unwrap();
                }
            }
            At::Starting => bench.pool(vec![(replica_id(0), Device::Cpu)]),
            At::CrashLooping => {
                let reason = DownReason::Gone(ExitReason::Signal(9));
                bench.replica(0, ReplicaEventKind::Gone { reason: ExitReason::Signal(9) });
                let (delay, breaker) = (Duration::from_secs(9), Breaker::Open);
                bench.replica(0, ReplicaEventKind::BackingOff { delay, attempt: 7, breaker, reason });
            }
            At::Suspended => bench.replica(0, ReplicaEventKind::Suspended { reason: "503".into() }),
            At::Emptying | At::Retired => bench.retired(),
            At::Unloading => {
                bench.admit(9).unwrap();
                bench.command(|to| Command::Cancel(TaskId(Uuid::from_u128(9)), to)).unwrap();
                bench.retired();
            }
            At::Reloading => reload = Some(bench.reload()),
            At::Holding | At::Swapping => reload = Some(bench.hold()),
        }
        bench.told.clear();
        (bench, reload)
    }

    fn closed(&self) -> bool {
        self.told.contains(&"close".to_owned())
    }
}

/// What a controller may have sent before it heard of its end.
fn late(at: At) -> Vec<PoolEvent> {
    let mut events = vec![
        PoolEvent::Fetching(crate::health_view::FetchView { done_bytes: 1, total_bytes: None }),
        no_room(),
        PoolEvent::FetchFailed { why: "no network".into(), retry_in: Duration::from_secs(1) },
        PoolEvent::Starting(vec![(replica_id(7), Device::Cpu)]),
        PoolEvent::Unloaded,
        PoolEvent::PauseDispatch(tokio::sync::oneshot::channel().0),
    ];
    if matches!(at, At::Reloading | At::Holding | At::Swapping) {
        let over = Rollback { code: RollbackCode::ModelRetired, message: "unloaded meanwhile".into() };
        events.push(PoolEvent::ReloadOver(Err(over)));
    }
    events
}

/// ORCH-CONF-11
#[test]
fn a_pool_without_a_task_is_closed_at_once_and_then_gone_whatever_its_model_is_at() {
    for at in ALL {
        let (mut bench, reload) = Bench::at(at);
        let changes = bench.configure(&[other()]).unwrap();
        assert_eq!((changes.added, changes.removed), (vec![other()], vec![pool_id()]), "{at:?}");
        assert!(matches!(bench.route(2), Err(Refusal::NoSuchPool(_))), "{at:?}");
        assert!(matches!(bench.admit(2), Err(Refusal::NoSuchPool(_))), "{at:?}: it was measured meanwhile");
        if matches!(at, At::Emptying | At::Holding) {
            assert!(!bench.closed(), "{at:?}: its task runs on");
            let run = bench.last_run();
            bench.report(run, Finish::Stop);
        }
        assert!(bench.closed(), "{at:?}: {:?}", bench.told);
        bench.told.clear();
        late(at).into_iter().for_each(|event| bench.event(event));
        bench.ready(7);
        bench.pass(40);
        assert_eq!(bench.told, [""; 0], "{at:?}: it gets no more orders");
        let replied = reload.map(|mut reload| reload.try_recv().unwrap().unwrap().is_err());
        assert_ne!(replied, Some(false), "{at:?}: the reload is over");
        bench.event(PoolEvent::Closed);
        assert_eq!(bench.told, ["p is gone"], "{at:?}");
        let shown = bench.health().pools;
        assert_eq!(shown.iter().map(|pool| &pool.id).collect::<Vec<_>>(), [&other()], "{at:?}");
    }
}

/// ORCH-CONF-11
#[test]
fn what_a_removed_pool_has_admitted_is_served_by_its_replicas_and_ends_where_there_are_none() {
    for at in ALL {
        let (mut bench, _reload) = Bench::at(at);
        let running = bench.submitted.len();
        if bench.admit(2).is_err() {
            continue;
        }
        let with_replicas = matches!(
            at,
            At::Starting | At::Ready | At::Suspended | At::Reloading | At::Holding | At::Swapping
        );
        bench.configure(&[other()]).unwrap();
        assert_eq!(bench.ends.contains_key(&TaskId(Uuid::from_u128(2))), !with_replicas, "{at:?}");
        if !with_replicas {
            let verdict = bench.failure(2).unwrap();
            assert_eq!((verdict.code, verdict.retriable), (Code::PoolUnavailable, false), "{at:?}");
            assert_eq!(bench.closed(), at != At::Emptying, "{at:?}: {:?}", bench.told);
            continue;
        }
        assert!(!bench.closed(), "{at:?}");
        match at {
            At::Starting => bench.ready(0),
            At::Suspended => bench.replica(0, ReplicaEventKind::Resumed),
            At::Holding | At::Swapping => {
                if at == At::Holding {
                    let run = bench.last_run();
                    bench.report(run, Finish::Stop);
                }
                bench.event(PoolEvent::Starting(vec![(replica_id(1), Device::Cpu)]));
                bench.ready(1);
            }
            _ => {}
        }
        assert_eq!(bench.submitted.len(), running + 1, "{at:?}: it is served");
        let run = bench.last_run();
        bench.report(run, Finish::Stop);
        assert_eq!(bench.failure(2), None, "{at:?}");
        assert!(bench.closed(), "{at:?}");
    }
}

/// ORCH-CONF-11
#[test]
fn a_task_of_a_removed_pool_whose_replicas_do_not_come_back_ends_with_the_outage() {
    let mut bench = Bench::new(1);
    (1..=3).for_each(|task| bench.admit(task).unwrap());
    bench.configure(&[other()]).unwrap();
    let reason = DownReason::Gone(ExitReason::Signal(9));
    bench.replica(0, ReplicaEventKind::Gone { reason: ExitReason::Signal(9) });
    let (delay, breaker) = (Duration::from_secs(900), Breaker::Open);
    bench.replica(0, ReplicaEventKind::BackingOff { delay, attempt: 7, breaker, reason });
    assert!(bench.ends.is_empty(), "a death before the first token is unseen");
    bench.pass(OUTAGE_WAIT.as_secs());
    assert_eq!(bench.ends.len(), 3);
    assert!(bench.closed());
}

/// ORCH-CONF-10
#[test]
fn an_added_pool_is_opened_and_stands_where_the_configuration_has_it() {
    let mut bench = Bench::new(1);
    let changes = bench.configure(&[other(), pool_id()]).unwrap();
    assert_eq!((changes.added, changes.removed), (vec![other()], vec![]));
    assert_eq!(bench.told, ["open other"]);
    let shown = bench.health().pools;
    assert_eq!(shown.iter().map(|pool| pool.id.clone()).collect::<Vec<_>>(), [other(), pool_id()]);
    assert!(shown[0].fetch.is_some(), "it begins as a pool of the start does");
    assert_eq!(shown[1].replicas.len(), 1, "the other one goes on");
}

/// ORCH-CONF-10
#[test]
fn a_pool_that_comes_back_while_it_leaves_is_a_new_one_and_the_old_one_ends_for_itself() {
    let mut bench = Bench::new(1);
    bench.admit(1).unwrap();
    bench.configure(&[other()]).unwrap();
    let shown = bench.health().pools;
    assert_eq!(
        (&shown[1].id, shown[1].state),
        (&pool_id(), ModelState::Retired),
        "it is shown until it is gone"
    );
    assert_eq!(shown[1].replicas[0].state, "retiring");
    bench.configure(&[pool_id()]).unwrap();
    assert_eq!(bench.health().pools.iter().filter(|pool| pool.id == pool_id()).count(), 1);
    let new = bench.driver.pools.named(&pool_id()).unwrap();
    bench.handle(Event::Pool(new, PoolEvent::Unloaded));
    bench.admit(2).unwrap();
    assert_eq!(bench.submitted.len(), 1, "the old replica gets no task of the new pool");
    bench.told.clear();
    let run = bench.last_run();
    bench.report(run, Finish::Stop);
    assert_eq!(bench.told, ["close"]);
    bench.event(PoolEvent::Closed);
    assert_eq!(bench.told, ["close"], "the series of the name go on");
    assert_eq!(bench.health().pools[0].lanes[0].depth, 1, "the new pool's task waits on");
}

/// ORCH-CONF-9
#[test]
fn bounds_and_retention_change_for_pools_that_stay() {
    let mut bench = Bench::new(1);
    (1..=4).for_each(|task| bench.admit(task).unwrap());
    bench.configure_with(&[pool_id()], 2, keeping(1)).unwrap();
    assert!(matches!(bench.admit(5), Err(Refusal::QueueFull { bound: 2, .. })));
    assert_eq!(bench.health().pools[0].lanes[0].depth, 2, "what waits stays");
    while !bench.submitted.is_empty() && bench.ends.len() < 4 {
        let run = bench.submitted.remove(0).0;
        bench.report(run, Finish::Stop);
    }
    let (first, last) = (TaskId(Uuid::from_u128(1)), TaskId(Uuid::from_u128(4)));
    assert!(bench.command(|to| Command::Task(first, to)).is_err());
    assert!(bench.command(|to| Command::Task(last, to)).is_ok());
}

/// ORCH-CONF-12
#[test]
fn new_options_are_for_the_next_load_where_nothing_is_loaded_and_a_retired_model_stays_retired() {
    for at in [At::NoFit, At::Retired] {
        let (mut bench, _) = Bench::at(at);
        let model = PoolModel::Reference(ModelRef::Starter);
        let (to, mut reply) = ReplyTo::new();
        let options = Some(Box::new(pool_config(pool_id())));
        let order = ReloadOrder { model, sha256: None, options };
        bench.handle(Event::Command(Command::Reload(pool_id(), order, to)));
        bench.event(PoolEvent::Adopted { model_ref: "new".into(), engine: EngineKind::Vllm });
        bench.event(PoolEvent::ReloadOver(Ok("new".into())));
        assert_eq!(reply.try_recv().unwrap(), Ok(Ok("new".to_owned())), "{at:?}");
        let pool = bench.health().pools.remove(0);
        assert_eq!((pool.model_ref.as_str(), pool.engine), ("new", EngineKind::Vllm), "{at:?}");
        assert_eq!(pool.state == ModelState::Retired, at == At::Retired);
        assert_eq!(bench.admit(2).is_ok(), at == At::NoFit, "what did not fit is tried anew");
    }
}

/// ORCH-CONF-11
#[test]
fn a_task_of_a_pool_that_is_gone_stays_readable() {
    let mut bench = Bench::new(1);
    bench.admit(1).unwrap();
    let run = bench.last_run();
    bench.report(run, Finish::Stop);
    bench.configure(&[other()]).unwrap();
    bench.event(PoolEvent::Closed);
    let task = TaskId(Uuid::from_u128(1));
    let story = bench.command(|to| Command::Task(task, to)).unwrap();
    assert_eq!((story.view.pool, story.view.engine), (pool_id(), EngineKind::Llamacpp));
    assert_eq!(bench.command(|to| Command::Subscribe(task, to)).unwrap().engine, EngineKind::Llamacpp);
    bench.handle(Event::Task(run, TaskEvent::Lost));
}

/// ORCH-CONF-9
#[test]
fn a_daemon_that_stops_takes_no_new_configuration() {
    let mut bench = Bench::new(1);
    bench.handle(Event::Command(Command::BeginStop(ReplyTo::new().0)));
    assert_eq!(bench.configure(&[other()]), Err(Refusal::Stopping));
    assert_eq!(bench.health().pools[0].id, pool_id());
}

/// ORCH-OAI-21
#[test]
fn a_model_that_two_pools_have_is_served_by_the_one_that_is_in_service() {
    let mut bench = Bench::new(1);
    bench.configure(&[pool_id(), other()]).unwrap();
    bench.handle(Event::Pool(PoolKey::FIRST.next(), PoolEvent::Unloaded));
    assert_eq!(bench.route_to("starter", 1), Ok(pool_id()), "the first of them");
    bench.retired();
    assert_eq!(bench.route_to("starter", 1), Ok(other()));
    let refused = bench.route_to(pool_id().as_str(), 1);
    assert_eq!(refused, Err(Refusal::ModelRetired { pool: pool_id() }), "by its own name");
}
