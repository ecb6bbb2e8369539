//! Measures jobs, and answers what else is asked about text, on a thread of its own: a bounded queue whose entries can be taken back, and a watch over the thread.
//! A measure that runs past its limit is given up: it is answered with an error, and another thread goes on with the
//! queue. The thread that it keeps busy cannot be ended by itself, so that few of them are put up with before the
//! process ends and the daemon starts another.
//!
//! ```text
//! reader ── push, forget ─► queue ─► measuring thread ─► answer
//!                                      ▲ watch: past the limit ─► error, new thread ─► exit when there are too many
//! ```
//!
//! Rules: ORCH-WORKER-6

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use engine_api::{MeasureError, Question, QuestionAnswer};

use crate::clock;
use crate::log::{self, Level};

/// Questions that wait for their answers.
pub const MAX_WAITING: usize = 256;

/// Stack of a thread that splits text into tokens and compiles grammars: both work by recursion.
pub const STACK: usize = 64 * 1024 * 1024;

/// How long one measure may take. The daemon waits a little longer than that.
pub const LIMIT: Duration = Duration::from_secs(8);

/// Threads given up that may still run.
const MAX_GIVEN_UP: usize = 1;

/// An answer, or why there is none.
pub type AnswerResult = Result<QuestionAnswer, MeasureError>;

/// What the desk needs of its surroundings.
pub struct Hands {
    /// Answers a question.
    pub answer: Box<dyn Fn(&Question) -> AnswerResult + Send + Sync>,
    /// Takes the answer to a request.
    pub reply: Box<dyn Fn(u64, AnswerResult) + Send + Sync>,
    /// Ends the process: measuring cannot go on.
    pub give_up: Box<dyn Fn() + Send + Sync>,
}

/// The jobs to measure. Cheap to clone.
#[derive(Clone)]
pub struct Measuring(Arc<Shared>);

struct Shared {
    hands: Hands,
    limit: Duration,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<(u64, Question)>,
    running: Option<Running>,
    /// The number of the thread that takes the next job: one of a lower number was given up.
    thread: u64,
    given_up: usize,
}

struct Running {
    request: u64,
    since: Instant,
}

impl Measuring {
    /// Starts the threads.
    ///
    /// # Errors
    /// When the system gives none.
    pub fn start(hands: Hands, limit: Duration) -> std::io::Result<Self> {
        let shared = Shared { hands, limit, state: Mutex::default(), changed: Condvar::new() };
        let measuring = Self(Arc::new(shared));
        measuring.spawn(0)?;
        let watch = measuring.clone();
        thread::Builder::new().name("watch".into()).spawn(move || watch.watch())?;
        Ok(measuring)
    }

    /// Takes a question in, or answers that there are too many. Never blocks.
    pub fn push(&self, request: u64, question: Question) {
        let mut state = self.state();
        if state.waiting.len() >= MAX_WAITING {
            drop(state);
            return (self.0.hands.reply)(request, Err(MeasureError::Busy));
        }
        state.waiting.push_back((request, question));
        self.0.changed.notify_all();
    }

    /// Takes a job back that has not begun.
    pub fn forget(&self, request: u64) {
        self.state().waiting.retain(|(waiting, _)| *waiting != request);
    }

    fn spawn(&self, number: u64) -> std::io::Result<()> {
        let measuring = self.clone();
        let thread = thread::Builder::new().name("measure".into()).stack_size(STACK);
        thread.spawn(move || measuring.run(number)).map(drop)
    }

    /// Answers one question after the other, until this thread is given up.
    fn run(&self, number: u64) {
        loop {
            let mut state = self.state();
            let (request, question) = loop {
                match state.waiting.pop_front() {
                    Some(next) => break next,
                    None => state = self.0.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                }
            };
            state.running = Some(Running { request, since: clock::now() });
            self.0.changed.notify_all();
            drop(state);
            let answer = (self.0.hands.answer)(&question);
            let mut state = self.state();
            if state.thread != number {
                state.given_up -= 1;
                return;
            }
            state.running = None;
            drop(state);
            (self.0.hands.reply)(request, answer);
        }
    }

    /// Gives up measures that run past the limit.
    fn watch(&self) {
        let mut state = self.state();
        loop {
            let now = clock::now();
            let left = state.running.as_ref().map(|running| {
                (running.request, self.0.limit.saturating_sub(now.saturating_duration_since(running.since)))
            });
            state = match left {
                None => self.0.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some((_, left)) if !left.is_zero() => {
                    self.0.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                }
                Some((request, _)) => {
                    state.running = None;
                    state.thread += 1;
                    state.given_up += 1;
                    let (number, given_up) = (state.thread, state.given_up);
                    drop(state);
                    self.replace(request, number, given_up);
                    self.state()
                }
            };
        }
    }

    fn replace(&self, request: u64, number: u64, given_up: usize) {
        let seconds = self.0.limit.as_secs_f64();
        log::line(Level::Error, "a measure is given up", &[("after_s", &seconds.to_string())]);
        let what = format!(
            "the input took longer than {seconds} s to check: shorten it, or simplify its grammar or schema"
        );
        (self.0.hands.reply)(request, Err(MeasureError::Invalid(what)));
        if given_up > MAX_GIVEN_UP || self.spawn(number).is_err() {
            (self.0.hands.give_up)();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

    use engine_api::Measured;
    use generation::{GenerateRequest, Input};
    use orchestrator_core::{TaskId, TokenCount};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    fn job(prompt: &str) -> Question {
        Question::Measure(Arc::new(GenerateRequest {
            seed: 1,
            ..GenerateRequest::new(TaskId(uuid::Uuid::nil()), Input::Prompt(prompt.to_owned()))
        }))
    }

    /// A desk at which a job `hold` says that it began and waits for a word.
    struct PendingRequests {
        measuring: Measuring,
        answers: Receiver<(u64, AnswerResult)>,
        began: Receiver<()>,
        go_on: SyncSender<()>,
        exits: Receiver<()>,
    }

    fn desk(limit: Duration) -> PendingRequests {
        let (began_tx, began) = sync_channel(8);
        let (go_on, hold) = sync_channel(8);
        let (answer_tx, answers) = sync_channel(1024);
        let (exit_tx, exits) = sync_channel(8);
        let hold = Mutex::new(hold);
        let hands = Hands {
            answer: Box::new(move |question| {
                let Question::Measure(job) = question else { unreachable!("only measures here") };
                if *job.input == Input::Prompt("hold".to_owned()) {
                    began_tx.send(()).expect("the test is there");
                    let _ = hold.lock().expect("whole").recv();
                }
                Ok(QuestionAnswer::Measured(Measured { tokens: TokenCount(1), longest: TokenCount(1) }))
            }),
            reply: Box::new(move |request, answer| answer_tx.send((request, answer)).expect("room")),
            give_up: Box::new(move || exit_tx.send(()).expect("room")),
        };
        let measuring = Measuring::start(hands, limit).expect("threads");
        PendingRequests { measuring, answers, began, go_on, exits }
    }

    /// ORCH-WORKER-6
    #[test]
    fn a_full_queue_answers_busy_at_once_and_what_is_taken_back_is_never_measured() {
        let PendingRequests { measuring: desk, answers, began, go_on, .. } = desk(PATIENCE);
        desk.push(0, job("hold"));
        began.recv_timeout(PATIENCE).expect("it begins");
        for request in 1..=MAX_WAITING as u64 {
            desk.push(request, job("hold"));
        }
        desk.push(999, job("one too many"));
        assert_eq!(answers.recv_timeout(PATIENCE), Ok((999, Err(MeasureError::Busy))));
        for request in 1..=MAX_WAITING as u64 {
            desk.forget(request);
        }
        desk.push(1000, job("the next"));
        go_on.send(()).expect("it waits");
        let next = [answers.recv_timeout(PATIENCE), answers.recv_timeout(PATIENCE)];
        assert_eq!(next.map(|answer| answer.expect("in time").0), [0, 1000]);
    }

    /// ORCH-WORKER-6
    #[test]
    fn a_measure_past_its_limit_is_answered_and_others_go_on_and_too_many_of_them_end_the_worker() {
        let PendingRequests { measuring: desk, answers, began, exits, go_on: _go_on } =
            desk(Duration::from_millis(50));
        desk.push(1, job("hold"));
        desk.push(2, job("fine"));
        began.recv_timeout(PATIENCE).expect("it begins");
        let (request, answer) = answers.recv_timeout(PATIENCE).expect("in time");
        assert!(
            request == 1 && matches!(&answer, Err(MeasureError::Invalid(what)) if what.contains("0.05 s")),
            "{answer:?}"
        );
        assert_eq!(answers.recv_timeout(PATIENCE).expect("in time").0, 2);
        assert!(exits.try_recv().is_err());
        desk.push(3, job("hold"));
        assert_eq!(answers.recv_timeout(PATIENCE).expect("in time").0, 3);
        exits.recv_timeout(PATIENCE).expect("two threads hang");
    }
}
