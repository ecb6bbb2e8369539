use super::*;

fn place(position: u32, predicted_ms: u64) -> Place {
    Place::heard_now(position, predicted_ms)
}

#[test]
fn the_predicted_start_counts_down_from_when_it_was_heard() {
    let place = place(3, 12_000);
    let at = |ms| place.describe(place.heard + Duration::from_millis(ms));
    assert_eq!(at(0), "in the queue: 3 tasks before it, starts in about 12 s (Ctrl-C cancels)");
    assert_eq!(at(11_500), "in the queue: 3 tasks before it, starts in about 1 s (Ctrl-C cancels)");
    assert_eq!(at(13_000), "in the queue: 3 tasks before it, starts any moment (Ctrl-C cancels)");
}

#[test]
fn a_task_that_runs_no_longer_waits() {
    assert!(place(0, 0).is_running());
    assert!(!place(0, 40).is_running());
    assert!(!place(1, 0).is_running());
    assert_eq!(place(0, 0).describe(clock::now()), "the model reads the prompt (Ctrl-C cancels)");
}
