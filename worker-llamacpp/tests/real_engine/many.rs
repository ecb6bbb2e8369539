//! Many tasks at once: all end, none changes another's promise, and a long prompt stalls nobody.

use std::time::Duration;

use adapter_api::{Determinism, Finish};
use orchestrator_core::Priority;

use crate::harness::{Worker, job, long_text, prompt};

#[test]
fn more_jobs_than_slots_all_end_and_interactive_goes_first() {
    let mut worker = Worker::start(4, 512);
    let mut tasks = Vec::new();
    for number in 0..16 {
        let mut job = job(prompt(&format!("Number {number} is")), 12);
        if number < 12 {
            job.priority = Priority::Batch;
        }
        tasks.push(worker.submit(job));
    }
    worker.wait(&tasks);
    for task in &tasks {
        let answer = &worker.answers[task];
        assert!(matches!(answer.finish(), Finish::Length | Finish::Stop), "{:?}", answer.finish());
        assert_eq!(answer.tokens.len(), answer.report().tokens_out.0 as usize);
    }
    let first = |at: usize| worker.answers[&tasks[at]].times.first().copied().expect("it said something");
    let last_batch = (4..12).map(first).max().expect("some");
    for interactive in 12..16 {
        assert!(first(interactive) < last_batch, "an interactive task came after all batch tasks");
    }
}

#[test]
fn greedy_answers_do_not_depend_on_how_many_run() {
    let texts: Vec<String> =
        (0..8).map(|number| format!("The story of king number {number} begins")).collect();
    let mut worker = Worker::start(8, 256);
    let tasks: Vec<_> = texts.iter().map(|text| worker.submit(job(prompt(text), 16))).collect();
    worker.wait(&tasks);
    let alone = worker.answer(job(prompt("Water boils at"), 8)).text;
    assert_eq!(alone, Worker::start(1, 256).answer(job(prompt("Water boils at"), 8)).text);
    let different: std::collections::HashSet<_> =
        tasks.iter().map(|task| &worker.answers[task].text).collect();
    assert!(different.len() >= 4, "eight prompts do not share one answer");
}

#[test]
fn strict_gives_the_same_tokens_alone_and_among_others() {
    let text = "A recipe for a good soup starts with";
    let strict = |seed| {
        let mut job = job(prompt(text), 24);
        job.determinism = Determinism::Strict;
        job.sampling.temperature = 1.3;
        job.sampling.top_p = 0.98;
        job.seed = seed;
        job
    };
    let seeds = [1, 2, 3];
    let mut alone = Worker::start(8, 512);
    let expected: Vec<Vec<i32>> = seeds.iter().map(|seed| alone.answer(strict(*seed)).tokens).collect();
    assert_ne!(expected[0], expected[1], "the seed matters");

    let mut busy = Worker::start(8, 512);
    // A warm cache with the same prompt in it, which a strict task must not use.
    busy.answer(job(prompt(&format!("{text} onions.")), 4));
    let others: Vec<_> = (0..7)
        .map(|number| {
            let mut other = job(prompt(&format!("{text} {}", long_text(20 * number, number))), 120);
            other.sampling.temperature = 1.0;
            busy.submit(other)
        })
        .collect();
    busy.until(|worker| worker.answers[&others[0]].pieces.len() >= 2);
    let tasks: Vec<_> = seeds.iter().map(|seed| busy.submit(strict(*seed))).collect();
    busy.wait(&tasks);
    for (task, expected) in tasks.iter().zip(&expected) {
        let answer = &busy.answers[task];
        assert_eq!(&answer.tokens, expected);
        assert_eq!(answer.report().tokens_cached.0, 0);
    }
    let running = others.iter().filter(|task| busy.answers[*task].end.is_none()).count();
    assert!(running > 0 || busy.answers[&others[0]].tokens.len() > 24, "they ran beside each other");
}

#[test]
fn a_long_prompt_does_not_stall_a_running_stream() {
    let mut worker = Worker::start(4, 2048);
    let stream = worker.submit(job(prompt("Once upon a time"), 400));
    worker.until(|worker| worker.answers[&stream].times.len() >= 40);
    let long: Vec<_> = (0..3)
        .map(|salt| {
            let mut long = job(prompt(&long_text(1000, salt)), 1);
            long.priority = Priority::Batch;
            worker.submit(long)
        })
        .collect();
    let seen = worker.answers[&stream].times.len();
    worker.until(|worker| {
        worker.answers[&stream].times.len() >= seen + 60 || worker.answers[&stream].end.is_some()
    });
    let unread = long.iter().filter(|task| worker.answers[*task].end.is_none()).count();
    assert!(unread > 0, "the stream went on while prompts were read");
    let gaps = |times: &[std::time::Instant]| -> Vec<Duration> {
        times.windows(2).map(|pair| pair[1].duration_since(pair[0])).collect()
    };
    let times = &worker.answers[&stream].times;
    let mut busy = gaps(&times[seen..]);
    busy.sort_unstable();
    // The bench measures the bar of twice the quiet value; here, on a machine that does other things too, it
    // is enough that no gap is anywhere near the reading of a whole prompt (4 s and more).
    let p90 = busy[busy.len() * 9 / 10];
    let mut quiet = gaps(&times[..seen]);
    quiet.sort_unstable();
    let quiet = quiet[quiet.len() / 2];
    assert!(p90 < quiet * 10, "p90 between tokens went from {quiet:?} to {p90:?}");
}
