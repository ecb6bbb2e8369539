//! Random operations on a supervised replica against a naive model of what may be told about it.

use super::*;

/// What a listener knows, and what it may hear next.
#[derive(Debug, Default)]
struct Model {
    stage: Stage,
    in_a_row: u32,
    ready_at: Option<Instant>,
    heard: Vec<String>,
    readies: u64,
    gones: u64,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Stage {
    #[default]
    Down,
    Starting,
    Ready,
    Fallen,
}

impl Model {
    fn hear(&mut self, kind: &ReplicaEventKind, at: Instant) {
        self.heard.push(format!("{at:?} {kind:?}"));
        self.stage = match (self.stage, kind) {
            (Stage::Down | Stage::Starting, ReplicaEventKind::Starting { .. }) => Stage::Starting,
            (Stage::Starting, ReplicaEventKind::Ready { .. }) => {
                self.ready_at = Some(at);
                self.readies += 1;
                Stage::Ready
            }
            (Stage::Ready, ReplicaEventKind::Gone { .. }) => {
                self.gones += 1;
                let ready_for = at - self.ready_at.take().expect("was ready");
                if ready_for >= STABLE {
                    self.in_a_row = 0;
                }
                Stage::Fallen
            }
            (Stage::Starting | Stage::Fallen, ReplicaEventKind::BackingOff { attempt, breaker, .. }) => {
                self.in_a_row += 1;
                assert_eq!(*attempt, self.in_a_row, "{self:#?}");
                assert_eq!(*breaker == Breaker::Open, self.in_a_row >= 5, "{self:#?}");
                Stage::Down
            }
            (Stage::Starting, ReplicaEventKind::Failed { .. }) => {
                self.in_a_row += 1;
                Stage::Down
            }
            (stage, kind) => panic!("{kind:?} in {stage:?}: {self:#?}"),
        };
    }

    /// Listens for `span`.
    async fn listen(&mut self, rig: &mut Rig, span: Duration) {
        let until = now() + span;
        while let Ok(Some(event)) = tokio::time::timeout_at(until, rig.events.recv()).await {
            self.hear(&event.kind, now());
        }
    }
}

/// One random life. Returns how often the replica was ready, and how often an engine was lost.
async fn play(seed: u64, bound: usize) -> (u64, u64) {
    let mut rng = Rng::with_seed(seed);
    let mut rig = Rig::with_bound(MockConfig::default(), bound);
    let mut model = Model::default();
    for _ in 0..rng.usize(1..25) {
        match rng.u8(0..6) {
            0 => rig.control.crash(&ExitReason::Signal(11)),
            1 => rig.control.fail_starts(rng.usize(1..4), &StartError::Engine("no".to_owned())),
            2 => rig.control.fail_starts(1, &StartError::Model("broken".to_owned())),
            3 => model.listen(&mut rig, STABLE + Duration::from_secs(60)).await,
            _ => model.listen(&mut rig, Duration::from_millis(rng.u64(0..20_000))).await,
        }
    }
    let outcome = rig.handle.stop(Duration::from_secs(1)).await;
    while let Some(event) = rig.events.recv().await {
        model.hear(&event.kind, now());
    }
    assert_eq!(model.readies, model.gones, "seed {seed}: {outcome:?} {model:#?}");
    let counts = rig.control.until(|counts| counts.gone == counts.ready).await;
    assert!(counts.ready >= model.readies, "seed {seed}: {model:#?}");
    assert_eq!(rig.handle.state(), ReplicaState::Exited { reason: DownReason::Stopped });
    (model.readies, counts.gone)
}

async fn play_all(seeds: std::ops::Range<u64>, bound: usize) {
    let (mut readies, mut gone, lives) = (0, 0, seeds.end - seeds.start);
    for seed in seeds {
        let (ready, lost) = play(seed, bound).await;
        readies += ready;
        gone += lost;
    }
    assert!(
        readies > lives / 2 && gone >= readies,
        "{readies} and {gone}: too little happened to say anything"
    );
}

/// ORCH-REPL-4
#[tokio::test(start_paused = true)]
async fn whatever_happens_the_story_told_is_whole_and_in_order() {
    play_all(0..300, EVENTS_BOUND).await;
}

#[tokio::test(start_paused = true)]
async fn a_channel_of_one_place_loses_nothing_but_progress() {
    play_all(300..400, 1).await;
}
