//! The session table's rules.

use uuid::Uuid;

use super::*;
use crate::PoolId;

fn session(n: u128) -> SessionId {
    SessionId(Uuid::from_u128(n))
}

fn at(ms: u64) -> Timestamp {
    Timestamp::from_millis(ms)
}

fn home(index: u16) -> Home {
    let pool = PoolId::new("p").expect("a valid name");
    Home { replica: ReplicaId { pool, index }, tokens: TokenCount(40) }
}

fn table(max_sessions: usize) -> SessionTable {
    SessionTable::new(SessionLimits { ttl: Duration::from_millis(100), max_sessions })
}

/// ORCH-SESS-4
#[test]
fn a_session_lives_for_its_time_after_the_last_use() {
    let mut table = table(8);
    assert_eq!(table.touch(session(1), at(0)), None);
    table.turn_ended(session(1), home(0), at(50));
    assert_eq!(table.ttl_remaining(session(1), at(60)), Some(Millis(90)));
    assert_eq!(table.expire(at(149)), vec![]);
    assert_eq!(table.next_expiry(), Some(at(150)));
    assert_eq!(table.expire(at(150)), vec![Forgotten { session: session(1), home: Some(home(0)) }]);
    assert!(table.is_empty());
}

#[test]
fn a_session_that_has_run_out_is_not_there_and_starts_anew() {
    let mut table = table(8);
    table.touch(session(1), at(0));
    table.turn_ended(session(1), home(0), at(0));
    assert_eq!(table.get(session(1), at(99)).map(Session::turns), Some(1));
    assert_eq!(table.get(session(1), at(100)), None);
    table.touch(session(1), at(100));
    let anew = table.get(session(1), at(100)).expect("it was touched");
    assert_eq!((anew.turns(), anew.home()), (0, None));
}

/// ORCH-SESS-4
#[test]
fn the_longest_idle_session_makes_room() {
    let mut table = table(2);
    table.touch(session(1), at(0));
    table.turn_ended(session(1), home(0), at(0));
    table.touch(session(2), at(1));
    table.touch(session(1), at(2));
    assert_eq!(table.touch(session(3), at(3)), Some(Forgotten { session: session(2), home: None }));
    assert_eq!(table.len(), 2);
    assert!(table.get(session(1), at(3)).is_some());
}

#[test]
fn a_lost_replica_leaves_its_sessions_without_a_home() {
    let mut table = table(8);
    table.touch(session(1), at(0));
    table.touch(session(2), at(0));
    table.turn_ended(session(1), home(0), at(0));
    table.turn_ended(session(2), home(1), at(0));
    table.replica_gone(&home(0).replica);
    assert_eq!(table.get(session(1), at(1)).and_then(Session::home), None);
    assert_eq!(table.get(session(2), at(1)).and_then(Session::home), Some(&home(1)));
    assert_eq!(table.get(session(1), at(1)).map(Session::turns), Some(1));
}

#[test]
fn a_table_of_no_size_keeps_nothing() {
    let mut table = table(0);
    assert_eq!(table.touch(session(1), at(0)), None);
    let left = Forgotten { session: session(1), home: Some(home(0)) };
    assert_eq!(table.turn_ended(session(1), home(0), at(0)), Some(left));
    assert!(table.is_empty());
}

#[test]
fn a_session_that_is_ended_while_its_task_runs_stays_ended_and_its_cache_is_given_back() {
    let mut table = table(8);
    table.touch(session(1), at(0));
    table.forget(session(1));
    let left = Forgotten { session: session(1), home: Some(home(0)) };
    assert_eq!(table.turn_ended(session(1), home(0), at(1)), Some(left));
    assert_eq!(table.get(session(1), at(1)), None);
}

/// ORCH-CONF-9
#[test]
fn a_smaller_table_ends_the_longest_idle_sessions_and_a_shorter_time_those_that_are_over_by_it() {
    let mut table = table(8);
    for n in 1..=4_u64 {
        table.touch(session(u128::from(n)), at(10 * n));
    }
    let limits = SessionLimits { ttl: Duration::from_millis(50), max_sessions: 2 };
    let forgotten = table.set_limits(limits).into_iter().map(|gone| gone.session);
    assert_eq!(forgotten.collect::<Vec<_>>(), [session(1), session(2)]);
    assert_eq!(table.next_expiry(), Some(at(80)));
    assert_eq!(table.expire(at(80)).len(), 1);
    assert_eq!(table.len(), 1);
}
