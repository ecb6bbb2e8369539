use super::Stopped;

/// What is told of `texts`, and whether a stop was met.
fn told(stops: &[&str], texts: &[&str]) -> (String, bool) {
    let stops: Vec<String> = stops.iter().map(|&stop| stop.to_owned()).collect();
    let mut stopped = Stopped::new((), &stops);
    let mut all = String::new();
    for text in texts {
        let (text, met) = stopped.pass(text);
        all.push_str(&text);
        if met.is_some() {
            return (all, true);
        }
    }
    all.push_str(&stopped.held);
    (all, false)
}

#[test]
fn a_stop_string_and_what_follows_are_no_part_of_the_answer() {
    assert_eq!(told(&["END"], &["a END b"]), ("a ".into(), true));
    assert_eq!(told(&["END"], &["a E", "N", "D"]), ("a ".into(), true));
    assert_eq!(told(&["END", "é!"], &["x", "é", "!", "END"]), ("x".into(), true));
    assert_eq!(told(&["b", "ab"], &["xab"]), ("x".into(), true), "the first place counts");
}

/// ORCH-OAI-25
#[test]
fn the_stop_string_that_was_met_is_named() {
    let mut stopped = Stopped::new((), &["END".to_owned(), "b".to_owned()]);
    assert_eq!(stopped.pass("a E"), ("a ".to_owned(), None));
    assert_eq!(stopped.pass("ND b"), (String::new(), Some("END".to_owned())));
}

#[test]
fn what_only_began_like_one_is_told() {
    assert_eq!(told(&["END"], &["EN", "E", "EN"]), ("ENEEN".into(), false));
    assert_eq!(told(&["aab"], &["a", "a", "a", "b"]), ("a".into(), true));
    assert_eq!(told(&[""], &["a"]), ("a".into(), false));
}
