use crossterm::event::KeyCode;
use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::*;
use crate::top::screen::tests::{press, screen};

fn drawn(screen: &mut Screen, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a terminal of the test's own");
    terminal.draw(|frame| draw(frame, screen)).expect("it can be drawn on");
    terminal.backend().to_string()
}

/// ORCH-CLI-16
#[test]
fn everything_is_on_a_terminal_of_80_columns_and_24_lines() {
    let mut screen = screen(&[(1, "running"), (3, "waiting"), (2, "waiting"), (4, "ended")]);
    insta::assert_snapshot!(drawn(&mut screen, 80, 24));
}

/// ORCH-CLI-23
#[test]
fn a_task_whose_prompt_is_read_shows_how_much_of_it_is() {
    let page = drawn(&mut screen(&[(1, "reading")]), 80, 24);
    assert!(page.contains("reading") && page.contains("2048/7491"), "{page}");
}

#[test]
fn a_question_help_and_a_pause_are_shown() {
    let mut screen = screen(&[(1, "running")]);
    press(&mut screen, KeyCode::Char('p'));
    press(&mut screen, KeyCode::Char('c'));
    let page = drawn(&mut screen, 80, 24);
    assert!(page.contains("cancel 00000001-0000-0000-0000-000000000000? y: yes"), "{page}");
    assert!(page.contains("PAUSED"), "{page}");
    press(&mut screen, KeyCode::Char('n'));
    press(&mut screen, KeyCode::Char('?'));
    assert!(drawn(&mut screen, 80, 24).contains("any key goes back"));
}

#[test]
fn a_terminal_of_any_size_is_drawn_on() {
    let many: Vec<(u128, &str)> = (1..200).map(|id| (id, "waiting")).collect();
    let mut screen = screen(&many);
    press(&mut screen, KeyCode::End);
    for (width, height) in [(1, 1), (20, 5), (80, 10), (300, 100)] {
        drawn(&mut screen, width, height);
        press(&mut screen, KeyCode::Char('?'));
        drawn(&mut screen, width, height);
        press(&mut screen, KeyCode::Char('?'));
    }
    assert!(drawn(&mut screen, 80, 24).contains("000000c7"), "the chosen task is in sight");
}
