use std::sync::{Arc, Mutex};

use super::*;
use crate::exit::Exit;

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A `Ui` whose two streams end in one place, as on a terminal.
fn ui(terminal: bool, notices: Notices) -> (Ui, Shared) {
    let seen = Shared::default();
    let stream = || Stream { to: Box::new(seen.clone()), terminal, colour: false };
    (
        Ui {
            out: stream(),
            err: stream(),
            notices,
            errors: ErrorForm::Text,
            line: Line::Ended,
            reasoning: Line::Ended,
            live: Live::Absent,
        },
        seen,
    )
}

fn text_of(seen: &Shared) -> String {
    String::from_utf8(seen.0.lock().unwrap().clone()).unwrap()
}

#[test]
fn a_live_line_is_gone_before_the_answer_begins() {
    let (mut ui, seen) = ui(true, Notices::Auto);
    ui.live("in the queue: 2 before it");
    ui.answer("Paris").unwrap();
    assert_eq!(text_of(&seen), "\r\x1b[2Kin the queue: 2 before it\r\x1b[2KParis");
}

#[test]
fn a_note_never_goes_on_in_the_middle_of_the_answers_line() {
    let (mut ui, seen) = ui(true, Notices::Auto);
    ui.answer("Paris").unwrap();
    ui.note("2 tokens");
    ui.end_answer().unwrap();
    assert_eq!(text_of(&seen), "Paris\n2 tokens\n");
}

/// ORCH-CLI-1
#[test]
fn reasoning_is_shown_to_who_looks_with_an_empty_line_behind_them() {
    let (mut terminal, seen) = ui(true, Notices::Auto);
    terminal.live("in the queue: 2 before it");
    terminal.reasoning("Is it");
    terminal.reasoning(" Paris?\x1b[2J");
    terminal.answer("Paris").unwrap();
    terminal.end_answer().unwrap();
    terminal.reasoning("Hm");
    terminal.note("2 tokens");
    let live = "\r\x1b[2Kin the queue: 2 before it\r\x1b[2K";
    assert_eq!(text_of(&seen), format!("{live}Is it Paris?[2J\n\nParis\nHm\n\n2 tokens\n"));
    for (terminal, notices) in [(false, Notices::Auto), (true, Notices::Quiet)] {
        let (mut ui, seen) = ui(terminal, notices);
        ui.reasoning("Is it Paris?");
        ui.answer("Paris").unwrap();
        assert_eq!(text_of(&seen), "Paris");
    }
}

#[test]
fn notes_are_left_out_where_nobody_looks_and_errors_never_are() {
    for (terminal, notices) in [(false, Notices::Auto), (true, Notices::Quiet)] {
        let (mut ui, seen) = ui(terminal, notices);
        ui.note("a note");
        ui.live("a live line");
        ui.failure(&Failure::new(Exit::Failed, "it broke").hint("mend it"));
        assert_eq!(text_of(&seen), "error: it broke\nhint: mend it\n");
    }
}

#[test]
fn a_terminal_gets_no_escape_sequences_of_the_model_and_a_pipe_gets_every_byte() {
    let (mut terminal, shown) = ui(true, Notices::Auto);
    terminal.answer("\x1b]0;owned\x07hi").unwrap();
    assert_eq!(text_of(&shown), "]0;ownedhi");
    let (mut pipe, piped) = ui(false, Notices::Auto);
    pipe.answer("\x1b]0;owned\x07hi").unwrap();
    assert_eq!(text_of(&piped), "\x1b]0;owned\x07hi");
}

#[test]
fn a_closed_output_is_told() {
    struct Closed;
    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let (mut ui, _) = ui(false, Notices::Auto);
    ui.out.to = Box::new(Closed);
    assert!(ui.answer("x").is_err());
}

/// ORCH-CLI-10
#[test]
fn no_colour_is_no_colour_on_a_terminal_too() {
    let plain = |name: &'static str, value: &'static str| {
        is_plain(&move |asked| (asked == name).then(|| OsString::from(value)))
    };
    assert!(plain("NO_COLOR", "1") && plain("TERM", "dumb"));
    assert!(!plain("NO_COLOR", "") && !plain("TERM", "xterm-256color"));
}
