//! What is noted is found in its minute, and the oldest minute makes room.

use super::*;

fn at(seconds: u64) -> Timestamp {
    Timestamp::default().after(Duration::from_secs(seconds))
}

fn pool() -> PoolId {
    PoolId::new("a").unwrap()
}

/// ORCH-FIG-1
#[test]
fn what_happens_is_found_in_the_minute_in_which_it_happened() {
    let mut history = History::default();
    history.started(&pool(), Millis(300), None, at(10));
    history.started(&pool(), Millis(700), Some(0.25), at(20));
    history.read(&pool(), 40, at(21));
    history.wrote(&pool(), 5, at(30));
    history.wrote(&pool(), 6, at(75));
    history.ended(&pool(), Outcome::Answered, at(76));
    history.ended(&pool(), Outcome::Failed, at(200));
    let minutes: Vec<_> =
        history.minutes.iter().map(|minute| (minute.began, &minute.pools[&pool()])).collect();
    let [(first, begun), (second, over), (third, failed)] = minutes[..] else { panic!("{minutes:?}") };
    assert_eq!([first, second, third], [at(10), at(70), at(190)]);
    assert_eq!((begun.started, begun.waited, begun.longest_wait), (2, Millis(1000), Millis(700)));
    assert_eq!((begun.tokens_in, begun.tokens_out, begun.prediction_error), (40, 5, Some(0.25)));
    assert_eq!((over.tokens_out, over.ended, failed.failed), (6, 1, 1));
}

/// ORCH-FIG-1
#[test]
fn only_the_last_minutes_are_kept() {
    let mut history = History::default();
    for minute in 0..MINUTES_KEPT as u64 + 5 {
        history.wrote(&pool(), 1, at(minute * 60));
    }
    assert_eq!(history.minutes.len(), MINUTES_KEPT);
    assert_eq!(history.minutes[0].began, at(5 * 60));
}
