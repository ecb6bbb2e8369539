//! Which slot a task takes and what of the KV cache it finds there: a session goes back to its own slot, as long as
//! its prompt goes on with most of what is there (clients ask for a title in the name of the conversation, too);
//! otherwise the longest prefix already computed is used, in place where nothing of worth is lost by it and
//! by copying where there is, or out of the store of conversations that are in no slot; otherwise the slot that has been
//! unused for longest makes room.
//!
//! Rules: ORCH-SESS-3, ORCH-SESS-5, ORCH-OAI-7, ORCH-KV-1

use orchestrator_core::SessionId;

/// What is known of one slot.
#[derive(Clone, Copy, Debug)]
pub struct SlotView<'a> {
    /// Tokens whose keys and values are in the cache, in order.
    pub cached: &'a [i32],
    /// The session they belong to.
    pub session: Option<SessionId>,
    /// Whether a task is in it.
    pub busy: bool,
    /// When it was used last, by count.
    pub last_used: u64,
}

/// What is known of a conversation in the store.
#[derive(Clone, Copy, Debug)]
pub struct StoredView<'a> {
    /// Its tokens, in order.
    pub tokens: &'a [i32],
    /// The session it is.
    pub session: Option<SessionId>,
}

/// Where the prefix is that a task uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prefix {
    /// In a slot: the one that the task takes, or another to copy from.
    Slot(usize),
    /// In the store, where it stays.
    CopyOf(usize),
    /// In the store, which it leaves.
    Stored(usize),
}

/// Where a task goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The slot it takes.
    pub slot: usize,
    /// Where its prefix is.
    pub from: Prefix,
    /// Tokens of the prefix that need not be computed. At least one token of the prompt is left to compute,
    /// for without it there is nothing to choose the first token by.
    pub reused: usize,
    /// The session that the slot belongs to from now on. One that stays where it is is not named.
    pub session: Option<SessionId>,
}

/// How many tokens of a stored conversation may be brought back for each token that need not be read then: moving one is
/// far cheaper than reading one, on a processor and on a card.
const MOVES_FOR_ONE_READ: usize = 32;

/// The slot for a task with `prompt`, or nothing while all are busy.
#[must_use]
pub fn choose(
    slots: &[SlotView<'_>],
    stored: &[StoredView<'_>],
    prompt: &[i32],
    session: Option<SessionId>,
) -> Option<Choice> {
    let usable = |tokens: &[i32]| common_prefix(tokens, prompt).min(prompt.len().saturating_sub(1));
    let in_slot = |slot: &SlotView<'_>| usable(slot.cached);
    let (best_slot, in_slots) =
        slots.iter().map(in_slot).enumerate().max_by_key(|(at, reused)| (*reused, usize::MAX - at))?;
    let own = session.and_then(|session| slots.iter().position(|slot| slot.session == Some(session)));
    let goes_on = |at: usize| !slots[at].busy && keeps_most(slots[at].cached, in_slot(&slots[at]));
    let best_stored = best_stored(stored, usable, in_slots);
    let slot = own
        .filter(|own| goes_on(*own))
        .or_else(|| best_stored.is_none().then(|| extends_in_place(slots, best_slot, in_slots))?)
        .or_else(|| least_missed(slots, own))?;
    let (from, reused) = match best_stored {
        Some((at, reused)) => {
            let StoredView { tokens, session: of } = stored[at];
            let moves = keeps_most(tokens, reused) && (of.is_none() || of == session);
            (if moves { Prefix::Stored(at) } else { Prefix::CopyOf(at) }, reused)
        }
        None if in_slot(&slots[slot]) >= in_slots => (Prefix::Slot(slot), in_slots),
        None => (Prefix::Slot(best_slot), in_slots),
    };
    // What is shorter than the conversation does not take its place.
    let own_stored = session.and_then(|session| stored.iter().position(|one| one.session == Some(session)));
    let elsewhere = match (own, own_stored) {
        (Some(own), _) => (own != slot).then_some(slots[own].cached),
        (None, Some(own)) => (from != Prefix::Stored(own)).then_some(stored[own].tokens),
        (None, None) => None,
    };
    let stays = elsewhere.is_some_and(|conversation| prompt.len() <= conversation.len());
    Some(Choice { slot, from, reused, session: session.filter(|_| !stays) })
}

/// The stored conversation with the longest prefix, and that prefix, where bringing it back costs less than reading what
/// the slots have not.
fn best_stored(
    stored: &[StoredView<'_>],
    usable: impl Fn(&[i32]) -> usize,
    in_slots: usize,
) -> Option<(usize, usize)> {
    let reused = stored.iter().map(|stored| usable(stored.tokens)).enumerate();
    reused
        .filter(|(at, reused)| {
            reused.saturating_sub(in_slots).saturating_mul(MOVES_FOR_ONE_READ) > stored[*at].tokens.len()
        })
        .max_by_key(|(at, reused)| (*reused, usize::MAX - stored[*at].tokens.len()))
}

/// The slot for a task that uses no cache and leaves none: any free one.
#[must_use]
pub fn any_free(slots: &[SlotView<'_>]) -> Option<usize> {
    least_missed(slots, None)
}

/// The slot with the best prefix, when the prompt goes on with most of what is in it: a conversation
/// without a session, most likely. A slot of a session is not taken from it this way.
fn extends_in_place(slots: &[SlotView<'_>], from: usize, reused: usize) -> Option<usize> {
    let slot = &slots[from];
    (!slot.busy && slot.session.is_none() && reused > 0 && keeps_most(slot.cached, reused)).then_some(from)
}

/// Whether most of a conversation is still of use, where so many of its tokens are.
const fn keeps_most(tokens: &[i32], reused: usize) -> bool {
    reused * 2 >= tokens.len()
}

/// The free slot whose content is missed least: an empty one, one without a session, the one unused for
/// longest; the last of all is that of the task's `own` session.
fn least_missed(slots: &[SlotView<'_>], own: Option<usize>) -> Option<usize> {
    (0..slots.len()).filter(|at| !slots[*at].busy).min_by_key(|at| {
        let slot = &slots[*at];
        (own == Some(*at), slot.session.is_some(), !slot.cached.is_empty(), slot.last_used)
    })
}

fn common_prefix(a: &[i32], b: &[i32]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn choose(slots: &[SlotView<'_>], prompt: &[i32], session: Option<SessionId>) -> Option<Choice> {
        super::choose(slots, &[], prompt, session)
    }

    fn session(number: u128) -> SessionId {
        SessionId(uuid::Uuid::from_u128(number))
    }

    fn slot(cached: &[i32]) -> SlotView<'_> {
        SlotView { cached, session: None, busy: false, last_used: 0 }
    }

    #[test]
    fn a_session_goes_back_to_its_own_slot() {
        let mine = SlotView { session: Some(session(1)), ..slot(&[1, 2]) };
        let slots = [slot(&[]), mine, slot(&[])];
        let choice = choose(&slots, &[1, 2, 3], Some(session(1)));
        assert_eq!(
            choice,
            Some(Choice { slot: 1, from: Prefix::Slot(1), reused: 2, session: Some(session(1)) })
        );
    }

    /// ORCH-OAI-7
    #[test]
    fn another_task_of_a_session_does_not_take_the_place_of_its_conversation() {
        let mine = SlotView { session: Some(session(1)), ..slot(&[1, 2, 3, 4]) };
        let others = SlotView { session: Some(session(2)), ..slot(&[7]) };
        let title = |slots: &[SlotView<'_>], prompt: &[i32]| choose(slots, prompt, Some(session(1))).unwrap();
        let beside = title(&[mine, slot(&[8])], &[1, 9, 9]);
        assert_eq!(
            beside,
            Choice { slot: 1, from: Prefix::Slot(0), reused: 1, session: None },
            "the start is shared all the same"
        );
        assert_eq!(
            title(&[mine, others], &[9]).slot,
            1,
            "another session, unused for longest, makes room before it"
        );
        let only = title(&[mine], &[9]);
        assert_eq!((only.slot, only.session), (0, Some(session(1))), "where there is one slot it is the one");
        let longer = title(&[mine, slot(&[])], &[9; 5]);
        assert_eq!(
            (longer.slot, longer.session),
            (1, Some(session(1))),
            "a conversation that was begun anew"
        );
        let at_work = SlotView { busy: true, ..mine };
        assert_eq!(title(&[at_work, slot(&[])], &[1, 2, 9]).session, None, "nor while it is at work");
    }

    #[test]
    fn a_longer_prefix_elsewhere_is_copied_into_the_sessions_slot() {
        let mine = SlotView { session: Some(session(1)), ..slot(&[9]) };
        let slots = [SlotView { busy: true, ..slot(&[1, 2, 3, 4]) }, mine];
        let choice = choose(&slots, &[1, 2, 3, 7], Some(session(1)));
        assert_eq!(
            choice,
            Some(Choice { slot: 1, from: Prefix::Slot(0), reused: 3, session: Some(session(1)) })
        );
    }

    #[test]
    fn a_shared_start_is_copied_and_the_rest_of_its_slot_kept() {
        let slots = [slot(&[1, 2, 3, 4, 5, 6, 7]), slot(&[])];
        assert_eq!(
            choose(&slots, &[1, 2, 9], None),
            Some(Choice { slot: 1, from: Prefix::Slot(0), reused: 2, session: None })
        );
    }

    #[test]
    fn a_conversation_without_a_session_goes_on_in_place() {
        let slots = [slot(&[]), slot(&[1, 2, 3])];
        assert_eq!(
            choose(&slots, &[1, 2, 3, 4], None),
            Some(Choice { slot: 1, from: Prefix::Slot(1), reused: 3, session: None })
        );
    }

    #[test]
    fn one_token_is_always_left_to_compute() {
        let slots = [slot(&[1, 2, 3])];
        assert_eq!(choose(&slots, &[1, 2, 3], None).map(|choice| choice.reused), Some(2));
    }

    #[test]
    fn sessions_are_the_last_to_make_room_and_then_the_oldest() {
        let held = |last_used| SlotView { session: Some(session(1)), last_used, ..slot(&[5]) };
        let slots = [held(3), held(1), SlotView { last_used: 9, ..slot(&[6]) }];
        assert_eq!(choose(&slots, &[1], None).map(|choice| choice.slot), Some(2));
        assert_eq!(choose(&slots[..2], &[1], None).map(|choice| choice.slot), Some(1));
    }

    fn stored(tokens: &[i32], of: Option<u128>) -> StoredView<'_> {
        StoredView { tokens, session: of.map(session) }
    }

    /// ORCH-KV-1
    #[test]
    fn a_stored_conversation_comes_back_into_the_slot_that_is_missed_least() {
        let slots = [SlotView { session: Some(session(2)), ..slot(&[7, 8]) }, slot(&[9])];
        let store = [stored(&[5, 5], None), stored(&[1, 2, 3, 4], Some(1))];
        let back = super::choose(&slots, &store, &[1, 2, 3, 4, 5], Some(session(1)));
        let expected = Choice { slot: 1, from: Prefix::Stored(1), reused: 4, session: Some(session(1)) };
        assert_eq!(back, Some(expected));
        let of_another = super::choose(&slots, &store, &[1, 2, 3, 4, 5], Some(session(3))).unwrap();
        assert_eq!(of_another.from, Prefix::CopyOf(1), "what belongs to a session stays with it");
        let edited = super::choose(&slots, &store, &[1, 9, 9, 9, 9], Some(session(1))).unwrap();
        assert_eq!((edited.from, edited.session), (Prefix::CopyOf(1), Some(session(1))), "begun anew");
        let title = super::choose(&slots, &store, &[1, 9], Some(session(1))).unwrap();
        assert_eq!((title.from, title.session), (Prefix::CopyOf(1), None), "a title does not take its place");
    }

    #[test]
    fn a_stored_conversation_is_not_moved_for_less_than_it_saves() {
        let long: Vec<i32> = (0..1000).collect();
        let store = [stored(&long, None)];
        let slots = [slot(&[0, 1, 2])];
        let choice = super::choose(&slots, &store, &[0, 1, 2, 3, 9], None).unwrap();
        assert_eq!(
            (choice.from, choice.reused),
            (Prefix::Slot(0), 3),
            "one token more is not worth a thousand"
        );
        let prompt: Vec<i32> = (0..100).collect();
        let choice = super::choose(&slots, &store, &prompt, None).unwrap();
        assert_eq!((choice.from, choice.reused), (Prefix::CopyOf(0), 99));
    }

    proptest! {
        /// ORCH-SESS-3
        #[test]
        fn what_is_reused_is_there_and_the_slot_is_free(
            cached in prop::collection::vec(prop::collection::vec(0..3i32, 0..6), 1..5),
            busy in prop::collection::vec(any::<bool>(), 5),
            prompt in prop::collection::vec(0..3i32, 1..8),
            kept in prop::collection::vec(prop::collection::vec(0..3i32, 1..6), 0..4),
            asked in prop::option::of(0u128..3),
        ) {
            let slots: Vec<SlotView<'_>> = cached.iter().enumerate().map(|(at, cached)| SlotView {
                cached, busy: busy[at], session: (at % 2 == 0).then(|| session(at as u128)), last_used: at as u64,
            }).collect();
            let stored: Vec<StoredView<'_>> = kept.iter().enumerate().map(|(at, tokens)| {
                StoredView { tokens, session: (at % 2 == 0).then(|| session(10 + at as u128)) }
            }).collect();
            match super::choose(&slots, &stored, &prompt, asked.map(session)) {
                None => prop_assert!(slots.iter().all(|slot| slot.busy)),
                Some(choice) => {
                    prop_assert!(!slots[choice.slot].busy);
                    prop_assert!(choice.reused < prompt.len());
                    let tokens = match choice.from {
                        Prefix::Slot(at) => slots[at].cached,
                        Prefix::CopyOf(at) | Prefix::Stored(at) => stored[at].tokens,
                    };
                    prop_assert_eq!(&tokens[..choice.reused], &prompt[..choice.reused]);
                    let known = slots.iter().map(|slot| slot.cached).chain(stored.iter().map(|one| one.tokens));
                    let best = known.map(|tokens| common_prefix(tokens, &prompt)).max().unwrap_or(0);
                    prop_assert_eq!(choice.reused, best.min(prompt.len() - 1), "the best prefix is used");
                }
            }
        }
    }
}
