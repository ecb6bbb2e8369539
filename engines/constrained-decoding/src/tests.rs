//! Grammars against texts, and what they may cost. That whole answers keep to them is tested with a real engine.

use proptest::prelude::*;

use super::gbnf;
use super::matcher::{Matcher, Stuck};
use super::program::Program;

fn matcher(grammar: &str) -> Result<Matcher, String> {
    let program = gbnf::parse(grammar, &|name| (name == "<think>").then_some(7))
        .and_then(|tree| Program::compile(&tree))?;
    Matcher::new(program).map_err(|stuck| format!("{stuck:?}"))
}

/// Whether `text` is of the grammar's language: nothing when it costs too much to tell.
fn takes(matcher: &mut Matcher, text: &str) -> Option<bool> {
    let start = matcher.place();
    let mut place = start;
    for byte in text.bytes() {
        matcher.begin_token();
        match matcher.byte(place, byte) {
            Ok(next) => place = next,
            Err(Stuck::NotAllowed) => return Some(false),
            Err(Stuck::TooCostly) => return None,
        }
    }
    Some(matcher.may_end(place))
}

fn check(grammar: &str, good: &[&str], bad: &[&str]) {
    let mut matcher = matcher(grammar).unwrap_or_else(|why| panic!("{grammar}: {why}"));
    for text in good {
        assert_eq!(takes(&mut matcher, text), Some(true), "{grammar}: `{text}`");
    }
    for text in bad {
        assert_eq!(takes(&mut matcher, text), Some(false), "{grammar}: `{text}`");
    }
}

#[test]
fn every_notation_of_gbnf_means_what_llama_cpp_says() {
    check("root ::= \"yes\" | \"no\"", &["yes", "no"], &["", "ye", "yesno", "maybe"]);
    check("root ::= a \"-\" a # a comment\na ::= [0-9]{2}", &["12-34"], &["1-34", "12-3"]);
    check("root ::= \"a\"* \"b\"+ \"c\"?", &["b", "aabbc", "bb"], &["", "a", "cb", "bcc"]);
    check("root ::= \"ab\"{2,3}", &["abab", "ababab"], &["ab", "aba", "abababab"]);
    check("root ::= \"a\"{2,}", &["aa", "aaaaaa"], &["a", ""]);
    check("root ::= (\"a\" | \"b\" (\"c\" |\n \"d\")){2}", &["aa", "abc", "bdbc"], &["a", "bb"]);
    check("root ::= [^\"\\\\\\x00-\\x1F]{1,2} \"\\n\"", &["x\n", "é🦀\n"], &["\"\n", "\\\n", "\t\n"]);
    check("root ::= [a\\]-] .", &["]x", "-\n", "a\""], &["b]", "a"]);
    check("root ::= \"\\u00e9\" \"\\U0001F980\" \"\\x41\"", &["é🦀A"], &["e🦀A"]);
    check("root ::= \"(\" root \")\" |", &["", "()", "((()))"], &["(", "())"]);
    check("root ::= item (\",\" item)*\nitem ::= [a-z]+", &["a", "ab,c"], &[",a", "a,"]);
    check("root ::= \"x\" | root-2\nroot-2 ::= \"y\"", &["x", "y"], &["root-2"]);
    check("root ::= (\"\" | \"a\")* \"b\"", &["b", "aab"], &["a"]);
}

/// ORCH-WORKER-5
#[test]
fn what_is_no_grammar_is_said_with_its_line() {
    for (grammar, words) in [
        ("answer ::= \"a\"", "no rule named `root`"),
        ("", "no rule named `root`"),
        ("root ::= \"a\"\nb ::= c", "rule `c` is not defined"),
        ("root ::= (\"a\"", "`)` is missing"),
        ("root ::= \"a", "it ends inside of quotes"),
        ("root ::= \"a\"\nb :: \"c\"", "(line 2)"),
        ("root ::= *", "nothing to repeat"),
        ("root ::= \"\\q\"", "unknown escape"),
        ("root ::= <nothing>", "no token of this model"),
        ("root ::= \"a\"{5,2}", "repetition `{5,2}` has a lower bound above the upper one"),
        ("root ::= (\"a\" (\"b\"){3,1})?", "repetition `{3,1}`"),
        ("root ::= \"a\"{999999999}", "at most 2000"),
        ("root ::= \"a\"{99999999999999999999999}", "at most 2000"),
        ("root ::= (((\"a\"{2000}){2000}){2000}){2000}", "too large"),
        ("root ::= (((\"\"{2000}){2000}){2000}){2000}", "too large"),
        ("root ::= root \"a\"", "left recursion"),
        ("root ::= b\nb ::= c? root", "left recursion"),
        ("root ::= \"x\"* b\nb ::= root", "left recursion"),
    ] {
        let found = matcher(&grammar.replace("c? root", "(\"c\")? root")).expect_err(grammar);
        assert!(found.contains(words), "{grammar}: {found}");
    }
    let deep = format!("root ::= {}\"a\"{}", "(".repeat(5000), ")".repeat(5000));
    assert!(matcher(&deep).expect_err("deep").contains("nests brackets"));
}

/// The grammar of the fault: two ways to go on behind each character.
fn doubling(depth: usize, first: &str) -> String {
    let rule = |at: usize| format!("{first} r{} \"b\" | {first} r{} \"c\"", at + 1, at + 1);
    let rules = (1..depth).map(|at| format!("r{at} ::= {}\n", rule(at)));
    format!("root ::= {}\n{}r{depth} ::= \"x\"\n", rule(0), rules.collect::<String>())
}

/// ORCH-WORKER-5
#[test]
fn a_grammar_that_doubles_its_readings_is_stopped_at_a_bounded_cost() {
    let mut matcher = matcher(&doubling(18, "\"a\"")).expect("a grammar");
    assert_eq!(takes(&mut matcher, "aaaaaab"), Some(false));
    assert_eq!(takes(&mut matcher, &"a".repeat(18)), None);
    // The same where nothing is read between the choices: there it shows at once.
    assert_eq!(super::tests::matcher(&doubling(40, "")).expect_err("2^40"), "TooCostly");
}

#[test]
fn a_long_text_keeps_its_states_few() {
    let mut matcher = matcher(
        "root ::= \"[\" item (\",\" item)* \"]\"\nitem ::= \"\\\"\" [^\"]* \"\\\"\" | \"[\" item \"]\"",
    )
    .expect("a grammar");
    let mut place = matcher.place();
    let text = format!("[{}", "\"some text\",[[[\"deep\"]]],".repeat(5000));
    for byte in text.bytes() {
        matcher.begin_token();
        place = matcher.byte(place, byte).expect("of the language");
        let forgot = matcher.set_place(place);
        place = matcher.place();
        assert!(!forgot, "a few states are enough");
    }
}

#[test]
fn states_that_are_forgotten_leave_the_place_as_it_was() {
    // A grammar whose stack grows with the text, so that every place is new.
    let mut matcher = matcher("root ::= \"(\" root \")\" |").expect("a grammar");
    let mut forgot = 0;
    let depth = 30_000;
    for byte in std::iter::repeat_n(b'(', depth).chain(std::iter::repeat_n(b')', depth)) {
        matcher.begin_token();
        let place = matcher.byte(matcher.place(), byte).expect("of the language");
        forgot += usize::from(matcher.set_place(place));
    }
    assert!(forgot > 0 && matcher.may_end(matcher.place()));
    assert_eq!(matcher.byte(matcher.place(), b')'), Err(Stuck::NotAllowed));
}

#[test]
fn bytes_that_are_no_utf8_are_no_characters() {
    let any = "root ::= [^a]";
    for (bytes, is_one) in [
        (&b"-"[..], true),
        (b"\xC3\xA9", true),
        (b"\xF0\x9F\xA6\x80", true),
        (b"\xF4\x8F\xBF\xBF", true),
        // Longer than they have to be.
        (b"\xC0\xAD", false),
        (b"\xE0\x80\xAD", false),
        (b"\xF0\x80\x80\xAD", false),
        // Half of a pair, beyond the last one, and no beginning.
        (b"\xED\xA0\x80", false),
        (b"\xF4\x90\x80\x80", false),
        (b"\xF5\x80\x80\x80", false),
        (b"\xAD", false),
    ] {
        let mut matcher = matcher(any).expect("a grammar");
        let start = matcher.place();
        let place = bytes.iter().try_fold(start, |place, byte| matcher.byte(place, *byte));
        assert_eq!(place.is_ok_and(|place| matcher.may_end(place)), is_one, "{bytes:?}");
        assert_eq!(std::str::from_utf8(bytes).is_ok(), is_one, "{bytes:?}");
    }
}

#[test]
fn tokens_are_named_by_name_and_number() {
    let mut matcher = matcher("root ::= <think> \"a\" !<[9]>").expect("a grammar");
    let start = matcher.place();
    assert!(matcher.names_token(start, 7) && !matcher.names_token(start, 8));
    let place = matcher.token(start, 7).expect("named");
    assert!(!matcher.names_tokens(place));
    let place = matcher.byte(place, b'a').expect("in order");
    assert!(!matcher.names_token(place, 9) && matcher.names_token(place, 1));
    let end = matcher.token(place, 1).expect("any other");
    assert!(matcher.may_end(end));
}

#[test]
fn a_part_of_a_character_may_stand_where_the_character_may() {
    let mut matcher = matcher("root ::= [à-ü]+").expect("a grammar");
    let start = matcher.place();
    let part = matcher.byte(start, 0xC3).expect("a first byte");
    assert!(matcher.can_complete(part) && !matcher.may_end(part));
    let other = matcher.byte(start, 0xC2).expect("a first byte");
    assert!(!matcher.can_complete(other));
    let whole = matcher.byte(part, 0xA9).expect("é");
    assert!(matcher.may_end(whole));
}

proptest! {
    /// Repetitions against counting.
    #[test]
    fn repetitions_count_as_they_are_written(least in 0u32..5, more in 0u32..4, length in 0usize..12) {
        let most = least + more;
        let mut matcher = matcher(&format!("root ::= (\"a\" | \"aa\"){{{least},{most}}}")).expect("a grammar");
        let text = "a".repeat(length);
        // Each item is one or two letters.
        let fits = length >= least as usize && length <= 2 * most as usize;
        prop_assert_eq!(takes(&mut matcher, &text), Some(fits));
    }
}
