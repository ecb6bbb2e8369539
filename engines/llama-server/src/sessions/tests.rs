use std::sync::Arc;

use orchestrator_core::{SessionId, TokenCount};
use uuid::Uuid;

use super::Sessions;

/// What every task asks that is not said to ask something else.
const PROMPT: &str = "one two";

fn session() -> SessionId {
    SessionId(Uuid::new_v4())
}

/// A task of `session` that the server put into `slot`, where it left `tokens`.
fn ran(sessions: &Arc<Sessions>, session: SessionId, slot: i32, tokens: u32) {
    let mut stay = sessions.begin(Some(session), PROMPT);
    stay.found_in(slot);
    stay.left(TokenCount(tokens));
}

#[test]
fn a_session_goes_back_to_its_slot() {
    let sessions = Arc::new(Sessions::default());
    let one = session();
    assert_eq!(sessions.begin(Some(one), PROMPT).slot(), None);
    ran(&sessions, one, 3, 70);
    assert_eq!(sessions.begin(Some(one), PROMPT).slot(), Some(3));
    let kv = sessions.kv(one).expect("known");
    assert_eq!((kv.tokens, kv.tokens_at_end), (TokenCount(70), TokenCount(70)));
}

#[test]
fn a_task_without_a_session_is_left_to_the_server() {
    assert_eq!(Arc::new(Sessions::default()).begin(None, PROMPT).slot(), None);
}

#[test]
fn a_busy_slot_is_not_waited_for() {
    let sessions = Arc::new(Sessions::default());
    let one = session();
    ran(&sessions, one, 1, 5);
    let first = sessions.begin(Some(one), PROMPT);
    assert_eq!(first.slot(), Some(1));
    assert_eq!(sessions.begin(Some(one), PROMPT).slot(), None);
    drop(first);
    assert_eq!(sessions.begin(Some(one), PROMPT).slot(), Some(1));
}

#[test]
fn nothing_is_bound_while_the_server_has_yet_to_choose_a_slot() {
    let sessions = Arc::new(Sessions::default());
    let one = session();
    ran(&sessions, one, 1, 5);
    let mut other = sessions.begin(None, PROMPT);
    assert_eq!(
        sessions.begin(Some(one), PROMPT).slot(),
        None,
        "the other one may be on its way into the slot"
    );
    other.found_in(0);
    assert_eq!(sessions.begin(Some(one), PROMPT).slot(), Some(1));
}

#[test]
fn a_slot_that_another_task_took_holds_the_session_no_more() {
    let sessions = Arc::new(Sessions::default());
    let (one, two) = (session(), session());
    ran(&sessions, one, 1, 5);
    ran(&sessions, two, 1, 6);
    assert_eq!(sessions.kv(one), None);
    assert_eq!(sessions.kv(two).map(|kv| kv.tokens), Some(TokenCount(6)));
    sessions.forget(two);
    assert_eq!(sessions.begin(Some(two), PROMPT).slot(), None);
}

#[test]
fn a_session_is_in_one_slot() {
    let sessions = Arc::new(Sessions::default());
    let one = session();
    ran(&sessions, one, 1, 5);
    let first = sessions.begin(Some(one), PROMPT);
    ran(&sessions, one, 2, 9);
    drop(first);
    assert_eq!(sessions.begin(Some(one), PROMPT).slot(), Some(2));
}

/// ORCH-OAI-7
#[test]
fn another_task_of_a_session_does_not_take_the_place_of_its_conversation() {
    let sessions = Arc::new(Sessions::default());
    let one = session();
    ran(&sessions, one, 1, 50);
    let mut title = sessions.begin(Some(one), "a title for: one two");
    assert_eq!(title.slot(), None, "the server finds it a place");
    title.found_in(2);
    title.left(TokenCount(9));
    drop(title);
    assert_eq!(sessions.kv(one).map(|kv| kv.tokens), Some(TokenCount(50)));
    assert_eq!(
        sessions.begin(Some(one), "one two three").slot(),
        Some(1),
        "the conversation goes on where it is"
    );
    let mut anew = sessions.begin(Some(one), "two");
    anew.found_in(0);
    anew.left(TokenCount(60));
    assert_eq!(
        sessions.kv(one).map(|kv| kv.tokens),
        Some(TokenCount(60)),
        "one that has become longer is it"
    );
}
