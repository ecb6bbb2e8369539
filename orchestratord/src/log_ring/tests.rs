use super::*;

fn filled(count: usize) -> Arc<LogRing> {
    let ring = LogRing::new();
    (0..count).for_each(|number| ring.push(format!("line {number}\n").as_bytes()));
    ring
}

/// ORCH-LOG-1
#[test]
fn the_last_lines_are_kept_and_numbered_on() {
    let ring = filled(LINES_MAX + 5);
    let page = ring.page(None, 2);
    let end = LINES_MAX as u64 + 5;
    assert_eq!(
        (page.first, page.lines),
        (end - 2, vec![format!("line {}", end - 2), format!("line {}", end - 1)])
    );
    // Lines 0 to 4 are gone: a reader sees by the number that it missed some.
    assert_eq!(ring.page(Some(0), 1), LogPage { first: 5, lines: vec!["line 5".to_owned()] });
    assert_eq!(ring.page(Some(end), 10), LogPage { first: end, lines: Vec::new() });
    assert_eq!(ring.page(Some(end + 100), 10).first, end, "the next one to come");
}

/// ORCH-LOG-1
#[test]
fn lines_of_any_length_stay_within_the_bound() {
    let ring = LogRing::new();
    let line = "é".repeat(LINE_BYTES_MAX);
    for _ in 0..200 {
        ring.push(line.as_bytes());
    }
    let page = ring.page(None, LINES_MAX);
    assert!(page.lines.iter().all(|line| line.len() <= LINE_BYTES_MAX));
    assert!(page.lines.iter().map(String::len).sum::<usize>() <= BYTES_MAX);
    assert_eq!(page.first + page.lines.len() as u64, 200);
}

/// ORCH-LOG-1
#[test]
fn colours_and_line_ends_are_left_out() {
    let ring = LogRing::new();
    ring.push(b"\x1b[2m2026\x1b[0m \x1b[32m INFO\x1b[0m listening\turl\r\n");
    assert_eq!(ring.page(None, 1).lines, ["2026  INFO listening\turl"]);
}
