use std::path::PathBuf;

use engine_api::{Device, LoadOptions};
use engine_mock::{MockConfig, MockControl, MockFactory, Phase};
use orchestrator_core::PoolId;

use super::*;
use crate::backoff::Breaker;
use crate::self_test::SelfTestError;

mod memory;
mod model;
mod waiting;

const STABLE: Duration = Duration::from_secs(60);

pub(super) struct Rig {
    handle: SupervisorHandle,
    events: mpsc::Receiver<ReplicaEvent>,
    control: MockControl,
    shutdown: CancellationToken,
    demand: watch::Sender<Demand>,
}

struct ReplicaContextParts {
    policy: ReplicaPolicy,
    memory: MemoryAccount,
    model: PathBuf,
}

impl Rig {
    fn new(config: MockConfig) -> Self {
        Self::with_bound(config, EVENTS_BOUND)
    }

    fn with_bound(config: MockConfig, bound: usize) -> Self {
        Self::with_policy(config, bound, ReplicaPolicy::default())
    }

    fn with_policy(config: MockConfig, bound: usize, policy: ReplicaPolicy) -> Self {
        Self::with_memory(config, bound, policy, MemoryAccount::unbounded())
    }

    fn with_memory(config: MockConfig, bound: usize, policy: ReplicaPolicy, memory: MemoryAccount) -> Self {
        Self::of(config, bound, ReplicaContextParts { policy, memory, model: PathBuf::from("m.gguf") })
    }

    fn with_model(config: MockConfig, model: PathBuf) -> Self {
        let (policy, memory) = (ReplicaPolicy::default(), MemoryAccount::unbounded());
        Self::of(config, EVENTS_BOUND, ReplicaContextParts { policy, memory, model })
    }

    fn of(config: MockConfig, bound: usize, parts: ReplicaContextParts) -> Self {
        let ReplicaContextParts { policy, memory, model } = parts;
        let spec = ReplicaSpec {
            replica: ReplicaId { pool: PoolId::new("p").expect("a name"), index: 0 },
            model,
            ctx: None,
            kv_cells: None,
            slots: 1,
            threads: None,
            device: Device::Cpu,
            gpu_layers: None,
            options: LoadOptions::default(),
        };
        let (factory, control) = MockFactory::new(config);
        let (sender, events) = mpsc::channel(bound);
        let shutdown = CancellationToken::new();
        let (demand, demanded) = watch::channel(Demand::Idle);
        let factory = Arc::new(factory);
        let context =
            ReplicaContext { factory, policy, memory, demand: demanded, shutdown: shutdown.clone() };
        let handle = Supervisor::spawn(spec, &context, sender);
        Self { handle, events, control, shutdown, demand }
    }

    /// The next event that is not progress.
    async fn next(&mut self) -> ReplicaEventKind {
        loop {
            match self.events.recv().await.expect("the supervisor lives").kind {
                ReplicaEventKind::Starting { progress } if progress > 0.0 => {}
                kind => return kind,
            }
        }
    }

    async fn ready(&mut self) -> (Arc<dyn Engine>, self_test::SelfTest) {
        loop {
            if let ReplicaEventKind::Ready { engine, self_test } = self.next().await {
                return (engine, self_test);
            }
        }
    }

    async fn backing_off(&mut self) -> (Duration, u32, Breaker, DownReason) {
        loop {
            if let ReplicaEventKind::BackingOff { delay, attempt, breaker, reason } = self.next().await {
                return (delay, attempt, breaker, reason);
            }
        }
    }

    /// The next engines die at their start until this many have.
    async fn fail(&mut self, times: usize) -> (Duration, u32, Breaker, DownReason) {
        self.control.fail_starts(times, &StartError::Engine("no".to_owned()));
        for _ in 1..times {
            self.backing_off().await;
        }
        self.backing_off().await
    }

    async fn exited(&self) {
        let exited = |state: &ReplicaState| matches!(state, ReplicaState::Exited { .. });
        self.handle.watch().wait_for(exited).await.expect("the last state is said");
    }
}

fn name(kind: &ReplicaEventKind) -> &'static str {
    match kind {
        ReplicaEventKind::Starting { .. } => "starting",
        ReplicaEventKind::Ready { .. } => "ready",
        ReplicaEventKind::Gone { .. } => "gone",
        ReplicaEventKind::BackingOff { .. } => "backing off",
        ReplicaEventKind::Failed { .. } => "failed",
        ReplicaEventKind::Suspended { .. } => "suspended",
        ReplicaEventKind::Resumed => "resumed",
    }
}

/// ORCH-REPL-1
#[tokio::test(start_paused = true)]
async fn a_replica_is_ready_only_after_its_self_test() {
    let mut rig = Rig::new(MockConfig::default());
    rig.control.hold(Phase::Decode);
    let mut progress = Vec::new();
    rig.control.until(|counts| counts.running == 1).await;
    assert_eq!(rig.handle.state(), ReplicaState::Starting { progress: 1.0 });
    while let Ok(event) = rig.events.try_recv() {
        let ReplicaEventKind::Starting { progress: part } = event.kind else { panic!("{event:?}") };
        progress.push(part);
    }
    assert_eq!(progress, [0.0, 0.25, 0.5, 0.75, 1.0]);
    rig.control.release(Phase::Decode);
    let (engine, self_test) = rig.ready().await;
    assert_eq!(rig.handle.state(), ReplicaState::Ready);
    assert_eq!(rig.control.counts().cancels, 1);
    assert!(self_test.decode_tps.expect("it decodes") > 50.0);
    assert_eq!(engine.facts().model.name, "m");
}

/// ORCH-REPL-2
#[tokio::test(start_paused = true)]
async fn a_dead_engine_is_told_and_started_again_after_its_delay() {
    let mut rig = Rig::new(MockConfig::instant());
    rig.ready().await;
    rig.control.crash(&ExitReason::Signal(9));
    let ReplicaEventKind::Gone { reason } = rig.next().await else { panic!("not told") };
    assert_eq!(reason, ExitReason::Signal(9));
    let (delay, attempt, breaker, reason) = rig.backing_off().await;
    let before = now();
    assert_eq!((attempt, breaker), (1, Breaker::Closed));
    assert_eq!(reason, DownReason::Gone(ExitReason::Signal(9)));
    let state = ReplicaState::BackingOff { until: before + delay, attempt, breaker, reason };
    assert_eq!(rig.handle.state(), state);
    assert_eq!(name(&rig.next().await), "starting");
    let waited = now() - before;
    assert!(waited >= delay && waited < delay + Duration::from_millis(5), "{waited:?} instead of {delay:?}");
    rig.ready().await;
}

/// ORCH-ENG-21
#[tokio::test(start_paused = true)]
async fn a_suspended_engine_and_its_return_are_reported_and_one_that_dies_suspended_is_gone() {
    let mut rig = Rig::new(MockConfig::instant());
    rig.ready().await;
    rig.control.suspend("status 503");
    let ReplicaEventKind::Suspended { reason } = rig.next().await else { panic!("not reported") };
    assert_eq!((reason.as_str(), rig.handle.state()), ("status 503", ReplicaState::Ready));
    rig.control.resume();
    assert_eq!(name(&rig.next().await), "resumed");
    rig.control.suspend("status 503");
    assert_eq!(name(&rig.next().await), "suspended");
    rig.control.crash(&ExitReason::Signal(9));
    assert_eq!(name(&rig.next().await), "gone");
    rig.ready().await;
}

/// ORCH-REPL-3
#[tokio::test(start_paused = true)]
async fn a_crash_loop_opens_the_breaker_and_a_stable_run_closes_it() {
    let mut rig = Rig::new(MockConfig::instant());
    let error = StartError::Engine("no".to_owned());
    rig.control.fail_starts(6, &error);
    let policy = RestartPolicy::default();
    for expected in 1..=6 {
        let (delay, attempt, breaker, reason) = rig.backing_off().await;
        assert_eq!((attempt, reason), (expected, DownReason::Start(error.clone())));
        assert_eq!(breaker == Breaker::Open, expected >= policy.breaker_after);
        let floor = if breaker == Breaker::Open { policy.max.mul_f64(0.66) } else { policy.min };
        assert!(delay >= floor, "{delay:?}");
    }
    rig.ready().await;
    rig.control.crash(&ExitReason::Code(1));
    let (_, attempt, breaker, _) = rig.backing_off().await;
    assert_eq!((attempt, breaker), (7, Breaker::Open), "a short life is one more failure");
    rig.ready().await;
    tokio::time::advance(STABLE).await;
    rig.control.crash(&ExitReason::Code(1));
    let (_, attempt, breaker, _) = rig.backing_off().await;
    assert_eq!((attempt, breaker), (1, Breaker::Closed));
}

/// ORCH-REPL-1
#[tokio::test(start_paused = true)]
async fn a_failing_self_test_is_never_ready_and_ends_the_engine() {
    let mut rig = Rig::new(MockConfig::instant().answering(""));
    assert_eq!(name(&rig.next().await), "starting");
    for attempt in 1..=3 {
        let expected = (attempt, DownReason::SelfTest(SelfTestError::Empty));
        let (_, attempt, _, reason) = rig.backing_off().await;
        assert_eq!((attempt, reason), expected);
        assert_eq!(rig.control.counts().gone, u64::from(attempt));
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_allows_for_a_long_load_has_allowed_for_a_long_first_token() {
    let load_timeout = Duration::from_secs(7200);
    let policy = ReplicaPolicy { load_timeout, ..ReplicaPolicy::default() };
    // More than an hour for the prompt.
    let slow = MockConfig { prefill_tps: 0.01, ..MockConfig::default() };
    let mut rig = Rig::with_policy(slow, EVENTS_BOUND, policy);
    let (_, self_test) = rig.ready().await;
    assert!(self_test.first_token_ms > orchestrator_core::Millis(3_600_000), "{self_test:?}");
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_dies_in_its_self_test_backs_off() {
    let mut rig = Rig::new(MockConfig { dies_after_tokens: Some(3), ..MockConfig::instant() });
    assert_eq!(name(&rig.next().await), "starting");
    assert_eq!(name(&rig.next().await), "backing off");
    assert_eq!(name(&rig.next().await), "starting");
}

/// ORCH-REPL-4
#[tokio::test(start_paused = true)]
async fn a_load_that_hangs_is_ended_at_its_limit() {
    let mut rig = Rig::new(MockConfig::instant());
    rig.control.hold(Phase::Load);
    let begun = now();
    let (_, _, _, reason) = rig.backing_off().await;
    let limit = ReplicaPolicy::default().load_timeout;
    assert_eq!(reason, DownReason::LoadTimeout(limit));
    assert!(now() - begun >= limit && now() - begun < limit + Duration::from_secs(1));
    rig.control.release(Phase::Load);
    rig.ready().await;
}

#[tokio::test(start_paused = true)]
async fn a_broken_model_fails_and_is_tried_again_only_slowly() {
    let mut rig = Rig::new(MockConfig::instant());
    let broken = StartError::Model("`m.gguf` is truncated".to_owned());
    rig.control.fail_starts(1, &broken);
    assert_eq!(name(&rig.next().await), "starting");
    let ReplicaEventKind::Failed { error, retry_in } = rig.next().await else { panic!("not told") };
    assert_eq!((error, retry_in), (broken, RestartPolicy::default().max));
    let begun = now();
    rig.ready().await;
    assert!(now() - begun >= retry_in);
}

/// ORCH-REPL-17
#[tokio::test(start_paused = true)]
async fn a_broken_model_file_is_loaded_again_once_it_has_changed_and_not_before() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("m.gguf");
    std::fs::write(&file, b"GGUF, cut").expect("a file");
    let mut rig = Rig::with_model(MockConfig::instant(), file.clone());
    rig.control.fail_starts(1, &StartError::Model("`m.gguf` is truncated".to_owned()));
    let failed = async |rig: &mut Rig| {
        while !matches!(rig.next().await, ReplicaEventKind::Failed { .. }) {}
    };
    // Said anew for as long as it holds, and not tried.
    for _ in 0..3 {
        failed(&mut rig).await;
    }
    assert_eq!(rig.control.counts().starts, 1);
    std::fs::write(&file, b"GGUF, and all that follows").expect("a file");
    rig.ready().await;
}

/// ORCH-REPL-4
#[tokio::test(start_paused = true)]
async fn a_stop_is_heard_in_every_state() {
    let grace = Duration::from_secs(3);
    let failing = StartError::Engine("no".to_owned());
    let stops = [
        ("loading", StopOutcome::Killed, false),
        ("self-test", StopOutcome::Ended, false),
        ("ready", StopOutcome::Ended, true),
        ("ready and hanging", StopOutcome::Killed, true),
        ("backing off", StopOutcome::AlreadyGone, false),
    ];
    for (state, expected, was_ready) in stops {
        let mut rig = Rig::new(MockConfig::instant());
        match state {
            "loading" => {
                rig.control.hold(Phase::Load);
                rig.control.until(|counts| counts.starts == 1).await;
            }
            "self-test" => {
                rig.control.hold(Phase::Decode);
                rig.control.until(|counts| counts.running == 1).await;
            }
            "backing off" => {
                rig.control.fail_starts(1, &failing);
                rig.backing_off().await;
            }
            _ => drop(rig.ready().await),
        }
        if state == "ready and hanging" {
            rig.control.hold(Phase::Stop);
        }
        let begun = now();
        assert_eq!(rig.handle.stop(grace).await, expected, "{state}");
        assert!(now() - begun <= grace + Duration::from_millis(5), "{state}");
        assert_eq!(rig.handle.state(), ReplicaState::Exited { reason: DownReason::Stopped }, "{state}");
        let mut gone = 0;
        while let Some(event) = rig.events.recv().await {
            gone += usize::from(matches!(event.kind, ReplicaEventKind::Gone { reason: ExitReason::Stopped }));
        }
        assert_eq!(gone, usize::from(was_ready), "{state}");
        assert_eq!(rig.handle.stop(grace).await, expected, "asked again while {state}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_under_way_can_be_hurried() {
    let mut rig = Rig::new(MockConfig::instant());
    rig.ready().await;
    rig.control.hold(Phase::Stop);
    let begun = now();
    let slow = rig.handle.stop(Duration::from_secs(3600));
    rig.handle.watch().wait_for(|state| *state == ReplicaState::Retiring).await.unwrap();
    let fast = rig.handle.stop(Duration::from_secs(1));
    let longer = rig.handle.stop(Duration::from_secs(7200));
    let killed = StopOutcome::Killed;
    assert_eq!(tokio::join!(slow, fast, longer), (killed, killed, killed));
    assert!(now() - begun < Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn a_stop_does_not_wait_for_whoever_does_not_listen() {
    let mut rig = Rig::with_bound(MockConfig::instant(), 1);
    rig.ready().await;
    for _ in 0..2 {
        rig.control.crash(&ExitReason::Code(1));
        tokio::time::advance(Duration::from_secs(40)).await;
    }
    let outcome =
        tokio::time::timeout(Duration::from_secs(10), rig.handle.stop(Duration::from_secs(1))).await;
    assert!(outcome.is_ok(), "it hangs in {:?}", rig.handle.state());
}

#[tokio::test(start_paused = true)]
async fn shutdown_a_dropped_handle_and_a_deaf_driver_each_stop_the_engine() {
    let mut rig = Rig::new(MockConfig::instant());
    rig.ready().await;
    rig.shutdown.cancel();
    rig.exited().await;
    assert_eq!(rig.control.counts().gone, 1);

    let mut rig = Rig::new(MockConfig::instant());
    rig.ready().await;
    drop(rig.handle);
    rig.control.until(|counts| counts.gone == 1).await;

    let mut rig = Rig::new(MockConfig::instant());
    rig.ready().await;
    rig.events.close();
    rig.exited().await;
    assert_eq!(rig.control.counts().gone, 1);
}
