//! Which slot a task takes and what of the KV cache it finds there: a session goes back to its own slot, as long as
//! its prompt goes on with most of what is there (clients ask for a title in the name of the conversation, too);
//! otherwise the longest prefix already computed is used, in place where nothing of worth is lost by it and
//! by copying where there is; otherwise the slot that has been unused for longest makes room.
//!
//! Rules: ORCH-SESS-3, ORCH-SESS-5, ORCH-OAI-7

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

/// Where a task goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The slot it takes.
    pub slot: usize,
    /// The slot whose prefix is used; the same one, or another to copy from.
    pub from: usize,
    /// Tokens of the prefix that need not be computed. At least one token of the prompt is left to compute,
    /// for without it there is nothing to choose the first token by.
    pub reused: usize,
    /// The session that the slot belongs to from now on. One that stays where it is is not named.
    pub session: Option<SessionId>,
}

/// The slot for a task with `prompt`, or nothing while all are busy.
#[must_use]
pub fn choose(slots: &[SlotView<'_>], prompt: &[i32], session: Option<SessionId>) -> Option<Choice> {
    let usable = |slot: &SlotView<'_>| common_prefix(slot.cached, prompt).min(prompt.len().saturating_sub(1));
    let (from, reused) =
        slots.iter().map(usable).enumerate().max_by_key(|(at, reused)| (*reused, usize::MAX - at))?;
    let own = session.and_then(|session| slots.iter().position(|slot| slot.session == Some(session)));
    let goes_on = |at: usize| !slots[at].busy && keeps_most(&slots[at], usable(&slots[at]));
    let slot = own
        .filter(|own| goes_on(*own))
        .or_else(|| extends_in_place(slots, from, reused))
        .or_else(|| least_missed(slots, own))?;
    let in_place = usable(&slots[slot]);
    let (from, reused) = if in_place >= reused { (slot, in_place) } else { (from, reused) };
    // What is shorter than the conversation does not take its place.
    let stays = own.is_some_and(|own| own != slot && prompt.len() <= slots[own].cached.len());
    Some(Choice { slot, from, reused, session: session.filter(|_| !stays) })
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
    (!slot.busy && slot.session.is_none() && reused > 0 && keeps_most(slot, reused)).then_some(from)
}

/// Whether most of what the slot holds is still of use, where so many of its tokens are.
const fn keeps_most(slot: &SlotView<'_>, reused: usize) -> bool {
    reused * 2 >= slot.cached.len()
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
        assert_eq!(choice, Some(Choice { slot: 1, from: 1, reused: 2, session: Some(session(1)) }));
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
            Choice { slot: 1, from: 0, reused: 1, session: None },
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
        assert_eq!(choice, Some(Choice { slot: 1, from: 0, reused: 3, session: Some(session(1)) }));
    }

    #[test]
    fn a_shared_start_is_copied_and_the_rest_of_its_slot_kept() {
        let slots = [slot(&[1, 2, 3, 4, 5, 6, 7]), slot(&[])];
        assert_eq!(
            choose(&slots, &[1, 2, 9], None),
            Some(Choice { slot: 1, from: 0, reused: 2, session: None })
        );
    }

    #[test]
    fn a_conversation_without_a_session_goes_on_in_place() {
        let slots = [slot(&[]), slot(&[1, 2, 3])];
        assert_eq!(
            choose(&slots, &[1, 2, 3, 4], None),
            Some(Choice { slot: 1, from: 1, reused: 3, session: None })
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

    proptest! {
        /// ORCH-SESS-3
        #[test]
        fn what_is_reused_is_there_and_the_slot_is_free(
            cached in prop::collection::vec(prop::collection::vec(0..3i32, 0..6), 1..5),
            busy in prop::collection::vec(any::<bool>(), 5),
            prompt in prop::collection::vec(0..3i32, 1..8),
            asked in prop::option::of(0u128..3),
        ) {
            let slots: Vec<SlotView<'_>> = cached.iter().enumerate().map(|(at, cached)| SlotView {
                cached, busy: busy[at], session: (at % 2 == 0).then(|| session(at as u128)), last_used: at as u64,
            }).collect();
            match choose(&slots, &prompt, asked.map(session)) {
                None => prop_assert!(slots.iter().all(|slot| slot.busy)),
                Some(choice) => {
                    prop_assert!(!slots[choice.slot].busy);
                    prop_assert!(choice.reused < prompt.len());
                    prop_assert_eq!(&slots[choice.from].cached[..choice.reused], &prompt[..choice.reused]);
                    let best = slots.iter().map(|slot| common_prefix(slot.cached, &prompt)).max().unwrap_or(0);
                    prop_assert_eq!(choice.reused, best.min(prompt.len() - 1), "the best prefix is used");
                }
            }
        }
    }
}
