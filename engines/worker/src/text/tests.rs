//! Whole characters, and stop strings that never leak, however the bytes are cut into tokens.

use generation::TokenCandidate;
use proptest::prelude::*;

use super::*;

/// Feeds `chunks` as tokens 0, 1, … and returns the text, the tokens of all pieces and whether it stopped.
fn feed(stops: &[&str], chunks: &[&[u8]]) -> (String, Vec<i32>, bool) {
    let mut out = TextOut::new(stops.iter().map(|s| (*s).to_owned()).collect());
    let (mut text, mut tokens) = (String::new(), Vec::new());
    let mut take = |piece: OutputChunk| {
        assert!(!piece.text.is_empty(), "a piece without text");
        text.push_str(&piece.text);
        tokens.extend(piece.tokens);
    };
    for (token, chunk) in (0..).zip(chunks) {
        match out.push(token, chunk) {
            Pushed::Held => {}
            Pushed::Ready(piece) => take(piece),
            Pushed::Stopped(piece) => {
                piece.map(&mut take);
                return (text, tokens, true);
            }
        }
    }
    out.finish().map(&mut take);
    (text, tokens, false)
}

/// ORCH-STREAM-3
#[test]
fn bytes_of_a_split_character_wait_for_the_rest() {
    let crab = "🦀".as_bytes();
    let mut out = TextOut::new(Vec::new());
    assert_eq!(out.push(1, &crab[..1]), Pushed::Held);
    assert_eq!(out.push(2, &crab[1..3]), Pushed::Held);
    assert_eq!(
        out.push(3, &[crab[3], b'!', crab[0]]),
        Pushed::Ready(OutputChunk { text: "🦀!".into(), tokens: vec![1, 2, 3], ..OutputChunk::default() })
    );
    assert_eq!(out.finish(), Some(OutputChunk { text: "\u{fffd}".into(), ..OutputChunk::default() }));
}

#[test]
fn invalid_bytes_become_the_replacement_character_in_their_place() {
    assert_eq!(feed(&[], &[b"a\xffb", b"\xf0\x9f", b"c"]).0, "a\u{fffd}b\u{fffd}c");
}

#[test]
fn a_stop_string_across_tokens_is_found_and_never_leaks() {
    let (text, _, stopped) = feed(&["User:"], &[b"Hello\nUs", b"er", b": more"]);
    assert_eq!((text.as_str(), stopped), ("Hello\n", true));
}

#[test]
fn what_only_looked_like_a_stop_string_is_given_out() {
    let (text, tokens, stopped) = feed(&["User:"], &[b"Us", b"ers ", b"Use"]);
    assert_eq!((text.as_str(), stopped), ("Users Use", false));
    assert_eq!(tokens, [0, 1, 2]);
}

#[test]
fn a_stop_string_of_many_bytes_a_character_is_held_back_by_bytes() {
    let (text, _, stopped) = feed(&["→→"], &["a→".as_bytes(), "b→".as_bytes(), "→c".as_bytes()]);
    assert_eq!((text.as_str(), stopped), ("a→b", true));
}

#[test]
fn the_first_of_several_stop_strings_ends_the_text() {
    assert_eq!(feed(&["c", "b"], &[b"abc"]).0, "a");
    assert_eq!(feed(&["abcd", "bc"], &[b"ab", b"cx"]).0, "a");
    assert_eq!(feed(&[""], &[b"ab"]), ("ab".into(), vec![0], false), "an empty stop string stops nothing");
}

/// What is noted of a token with these bytes.
fn noted(token: i32, bytes: &[u8]) -> TokenLogprob {
    TokenLogprob { chosen: TokenCandidate { token, bytes: bytes.to_vec(), logprob: -0.5 }, top: Vec::new() }
}

/// ORCH-OAI-13
#[test]
fn the_tokens_of_a_stop_string_are_not_told_and_one_that_reaches_into_it_is() {
    for (chunks, told) in [
        (vec![&b"He"[..], b"llo ", b"Us", b"er", b": x"], vec![0, 1]),
        (vec![b"Hello", b" Us", b"er", b":"], vec![0, 1]),
        (vec![b"HelloUser: and more"], vec![0]),
    ] {
        let mut out = TextOut::new(vec!["User:".to_owned()]);
        let mut tokens = Vec::new();
        for (token, chunk) in (0..).zip(chunks) {
            out.note(noted(token, chunk));
            if let Pushed::Ready(piece) | Pushed::Stopped(Some(piece)) = out.push(token, chunk) {
                tokens.extend(piece.logprobs.iter().map(|logprob| logprob.chosen.token));
            }
        }
        assert_eq!(tokens, told);
    }
}

proptest! {
    #[test]
    fn the_tokens_that_are_told_spell_the_text_and_no_more_than_the_last_reaches_beyond(
        text in "[ab→🦀]{0,20}", stop in "[ab→]{1,4}", cuts in prop::collection::vec(0usize..80, 0..12),
    ) {
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
        cuts.extend([0, text.len()]);
        cuts.sort_unstable();
        let mut out = TextOut::new(vec![stop]);
        let (mut said, mut told) = (String::new(), Vec::new());
        let mut take = |piece: OutputChunk| {
            said.push_str(&piece.text);
            told.extend(piece.logprobs.into_iter().map(|logprob| logprob.chosen.bytes));
        };
        let mut stopped = false;
        for pair in cuts.windows(2) {
            let bytes = &text.as_bytes()[pair[0]..pair[1]];
            out.note(noted(0, bytes));
            match out.push(0, bytes) {
                Pushed::Held => {}
                Pushed::Ready(piece) => take(piece),
                Pushed::Stopped(piece) => {
                    piece.map(&mut take);
                    stopped = true;
                    break;
                }
            }
        }
        if !stopped {
            out.finish().map(&mut take);
        }
        let spelled = told.concat();
        prop_assert!(spelled.starts_with(said.as_bytes()));
        // A token that has no bytes of its own goes with the one before it.
        let before_last: usize = told.iter().rev().skip_while(|bytes| bytes.is_empty()).skip(1).map(Vec::len).sum();
        prop_assert!(said.is_empty() || before_last < said.len(), "{told:?} of {said:?}");
    }

    /// ORCH-STREAM-3
    #[test]
    fn any_cut_gives_the_same_text(
        text in "[ab→🦀]{0,20}", stop in "[ab→]{1,4}", cuts in prop::collection::vec(0usize..80, 0..12),
    ) {
        let bytes = text.as_bytes();
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let chunks: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
        let (out, _, stopped) = feed(&[&stop], &chunks);
        match text.find(&stop) {
            Some(at) => prop_assert_eq!((out.as_str(), stopped), (&text[..at], true)),
            None => prop_assert_eq!((out.as_str(), stopped), (text.as_str(), false)),
        }
    }
}

#[test]
fn a_token_that_is_held_back_whole_is_told_with_its_own_text() {
    let mut out = TextOut::new(vec!["→a→".to_owned()]);
    let arrow = "→".as_bytes();
    let mut push = |bytes: &[u8]| {
        out.note(noted(0, bytes));
        out.push(0, bytes)
    };
    assert_eq!(push(arrow), Pushed::Held);
    let Pushed::Ready(first) = push(arrow) else { panic!("the first cannot begin the stop any more") };
    assert_eq!((first.text.as_str(), first.logprobs.len()), ("→", 1));
    assert_eq!(push("a→".as_bytes()), Pushed::Stopped(None), "the others are the stop");
}

/// ORCH-OAI-25
#[test]
fn the_stop_string_that_was_met_is_named() {
    let mut out = TextOut::new(vec!["b".to_owned(), "STOP".to_owned()]);
    assert!(!matches!(out.push(1, b"one ST"), Pushed::Stopped(_)));
    assert_eq!(out.met(), None);
    assert!(matches!(out.push(2, b"OP b"), Pushed::Stopped(None)));
    assert_eq!(out.met(), Some("STOP"), "the first place counts");
}
