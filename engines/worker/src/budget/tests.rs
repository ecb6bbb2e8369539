use super::*;

/// A pretend engine: milliseconds of a decoding step, of a prompt token beside it, of a prompt token alone,
/// and of a call of the strict lane.
#[derive(Clone, Copy)]
struct Engine {
    step: f64,
    token: f64,
    call: f64,
}

/// What a run came to.
#[derive(Default)]
struct Run {
    /// Milliseconds of each step.
    times: Vec<f64>,
    interactive: usize,
    batch: usize,
    calls: usize,
    /// The most prompt tokens in one step.
    largest: usize,
}

impl Run {
    fn p95(&self) -> f64 {
        let mut times = self.times.clone();
        times.sort_by(f64::total_cmp);
        times[times.len() * 95 / 100]
    }

    fn mean(&self) -> f64 {
        self.times.iter().sum::<f64>() / self.times.len() as f64
    }
}

fn run(budget: &mut StepBudget, wants: Wants, steps: usize, engine: Engine) -> Run {
    let mut run = Run::default();
    let ms = |ms: f64| Duration::from_secs_f64(ms / 1e3);
    for _ in 0..steps {
        let plan = budget.plan(wants);
        let reading = plan.interactive + plan.batch;
        let decode = if wants.decoding > 0 { engine.step } else { 0.0 };
        let common = decode + engine.token * reading as f64;
        for _ in 0..plan.strict {
            budget.observe_strict(wants.strict.expect("asked for").reading, ms(engine.call));
        }
        budget.observe(StepShape { decoding: wants.decoding, reading }, ms(common));
        run.times.push(common + engine.call * plan.strict as f64);
        run.interactive += plan.interactive;
        run.batch += plan.batch;
        run.calls += plan.strict;
        run.largest = run.largest.max(reading);
    }
    run
}

fn budget() -> StepBudget {
    StepBudget::new(4, 512, Interrupts::AtOnce)
}

fn uninterrupted() -> StepBudget {
    StepBudget::new(4, 512, Interrupts::Never)
}

/// Two interactive streams, and all the prompt tokens anybody could want of either lane.
fn streams(interactive: usize, batch: usize) -> Wants {
    Wants { decoding: 2, interactive_streams: 2, interactive, batch, strict: None }
}

const MANY: usize = 100_000;

#[test]
fn a_running_stream_keeps_within_twice_its_quiet_step() {
    for (step, token) in [(8.0, 4.0), (50.0, 4.0), (8.0, 0.2), (8.0, 0.01), (50.0, 50.0), (100.0, 70.0)] {
        let engine = Engine { step, token, call: 0.0 };
        let run = run(&mut budget(), streams(0, MANY), 400, engine);
        assert!(run.p95() <= 2.0 * step, "step {step} ms, token {token} ms: {}", run.p95());
        assert!(run.batch > 100, "reading must go on: {} tokens in 400 steps", run.batch);
    }
}

#[test]
fn no_step_of_a_stream_is_longer_than_the_room_by_a_part_of_a_token() {
    // Room for one prompt token and three quarters.
    let run = run(&mut budget(), streams(0, MANY), 400, Engine { step: 10.0, token: 4.0, call: 0.0 });
    let settled = &run.times[100..];
    assert!(settled.iter().all(|time| *time <= 10.0 + 4.0), "{settled:?}");
}

#[test]
fn reading_uses_the_room_there_is() {
    for token in [4.0, 30.0, 50.0] {
        let run = run(&mut budget(), streams(MANY, 0), 400, Engine { step: 50.0, token, call: 0.0 });
        assert!(run.mean() > 50.0 * 1.4, "mean step {} ms leaves room unused", run.mean());
    }
}

#[test]
fn an_engine_slower_than_any_budget_reads_now_and_then() {
    let engine = Engine { step: 8.0, token: 100.0, call: 0.0 };
    let mut budget = budget();
    run(&mut budget, streams(MANY, 0), 100, engine);
    let read = run(&mut budget, streams(MANY, 0), 80, engine).interactive;
    assert!((36..=40).contains(&read), "{read} tokens in 80 steps");
}

/// ORCH-WORKER-1
#[test]
fn prompts_are_read_in_full_batches_where_no_stream_is_guarded_and_calls_can_be_interrupted() {
    let alone = Wants { interactive: MANY, ..Wants::default() };
    for token in [0.1, 4.0, 100.0] {
        let mut budget = budget();
        let run = run(&mut budget, alone, 20, Engine { step: 0.0, token, call: 0.0 });
        assert_eq!(run.interactive, 20 * 512, "{token} ms a token");
        assert!(budget.may_interrupt());
    }
}

/// ORCH-WORKER-1
#[test]
fn the_step_after_an_interrupted_one_is_short_and_cannot_be_interrupted() {
    let alone = Wants { interactive: MANY, ..Wants::default() };
    let mut budget = budget();
    run(&mut budget, alone, 20, Engine { step: 0.0, token: 4.0, call: 0.0 });
    budget.interrupted();
    assert!(!budget.may_interrupt());
    let short = budget.plan(alone).interactive;
    assert!((55..=63).contains(&short), "250 ms of 4 ms a token: {short}");
    budget.observe(StepShape { decoding: 0, reading: short }, Duration::from_millis(250));
    assert!(budget.may_interrupt());
    assert_eq!(budget.plan(alone).interactive, 512);
}

/// ORCH-WORKER-1
#[test]
fn a_step_that_cannot_be_interrupted_is_bounded_in_time_and_in_tokens() {
    let alone = Wants { interactive: MANY, ..Wants::default() };
    let mut slow = uninterrupted();
    assert_eq!(slow.plan(alone).interactive, 32, "nothing known: a small first chunk");
    let run_slow = run(&mut slow, alone, 20, Engine { step: 0.0, token: 4.0, call: 0.0 });
    assert!((240..=251).contains(&run_slow.largest), "1,000 ms of 4 ms a token: {}", run_slow.largest);
    let run_fast = run(&mut uninterrupted(), alone, 20, Engine { step: 0.0, token: 0.1, call: 0.0 });
    assert_eq!(run_fast.largest, 512);
}

#[test]
fn decoding_alone_is_measured_again_from_time_to_time() {
    let mut budget = budget();
    let reading: Vec<usize> = (0..100)
        .map(|_| {
            let plan = budget.plan(streams(0, MANY));
            let shape = StepShape { decoding: 2, reading: plan.batch };
            budget.observe(shape, Duration::from_millis(10 + shape.reading as u64));
            shape.reading
        })
        .collect();
    let quiet = reading.iter().filter(|reading| **reading == 0).count();
    assert!((4..=5).contains(&quiet), "{quiet} quiet steps in 100");
}

#[test]
fn interactive_prompts_go_first_and_batch_prompts_never_starve() {
    for token in [0.5, 4.0, 40.0] {
        let engine = Engine { step: 50.0, token, call: 0.0 };
        let run = run(&mut budget(), streams(MANY, MANY), 1000, engine);
        let all = run.interactive + run.batch;
        let share = run.batch as f64 / all as f64;
        assert!((0.10..=0.15).contains(&share), "token {token} ms: {} of {all} are batch", run.batch);
    }
}

/// ORCH-WORKER-1
#[test]
fn a_short_batch_prompt_is_read_beside_a_long_interactive_one_which_is_done_no_later() {
    let mut budget = uninterrupted();
    let (mut interactive, mut batch) = (7491, 583);
    let (mut read, mut batch_done_at) = (0, None);
    let mut later = 0;
    while interactive > 0 {
        let plan = budget.plan(Wants { interactive, batch, ..Wants::default() });
        interactive -= plan.interactive;
        batch -= plan.batch;
        read += plan.interactive + plan.batch;
        if batch == 0 && batch_done_at.is_none() {
            batch_done_at = Some(read);
            // Others that come one after the other get no more than the share of the lane.
            later = 4000;
            batch = 400;
        } else if batch == 0 && later > 0 {
            later -= 400;
            batch = 400;
        }
    }
    assert!(batch_done_at.is_some_and(|at| at <= 700), "{batch_done_at:?}");
    assert!(read <= 7491 * 8 / 7 + 32, "the interactive prompt is done after {read} tokens");
}

#[test]
fn no_lane_leaves_room_that_the_other_could_use() {
    let mut budget = uninterrupted();
    let plan = budget.plan(Wants { interactive: 3, batch: MANY, ..Wants::default() });
    assert_eq!((plan.interactive, plan.interactive + plan.batch), (3, 32));
    let plan = budget.plan(Wants { interactive: MANY, batch: 1, ..Wants::default() });
    assert_eq!(plan.interactive + plan.batch, 32);
}

#[test]
fn batch_streams_do_not_hold_up_an_interactive_prompt() {
    let engine = Engine { step: 50.0, token: 5.0, call: 0.0 };
    let of_batch = |interactive| Wants { decoding: 2, interactive, batch: MANY, ..Wants::default() };
    let mut budget = budget();
    run(&mut budget, of_batch(0), 100, engine);
    let guarded = run(&mut budget, of_batch(0), 100, engine);
    assert!(guarded.p95() <= 100.0, "beside batch prompts they are guarded: {}", guarded.p95());
    run(&mut budget, Wants { interactive: MANY, ..Wants::default() }, 20, engine);
    let urgent = run(&mut budget, of_batch(MANY), 100, engine);
    assert!(urgent.interactive >= 6 * guarded.batch, "{} and {}", urgent.interactive, guarded.batch);
    assert!(urgent.times.iter().all(|took| *took <= 1_100.0), "a bound stays");
    let beside_one = Wants { interactive_streams: 1, ..of_batch(MANY) };
    run(&mut budget, beside_one, 100, engine);
    let beside_one = run(&mut budget, beside_one, 100, engine);
    assert!(beside_one.p95() <= 100.0, "one interactive stream among them is: {}", beside_one.p95());
}

#[test]
fn a_strict_task_beside_streams_keeps_them_within_twice_their_quiet_step_and_goes_on() {
    for reading in [true, false] {
        for (step, call) in [(50.0, 50.0), (28.0, 8.0), (8.0, 8.0), (8.0, 2.0)] {
            let strict = Some(Strict { reading, interactive: false });
            let wants = Wants { strict, ..streams(0, 0) };
            let run = run(&mut budget(), wants, 400, Engine { step, token: 1.0, call });
            assert!(run.p95() <= 2.0 * step, "step {step} ms, call {call} ms: {}", run.p95());
            assert!(run.calls >= 240, "{} calls in 400 steps of {step} ms", run.calls);
        }
    }
}

#[test]
fn a_strict_call_larger_than_the_room_waits_until_it_is_saved_up() {
    let strict = Some(Strict { reading: true, interactive: false });
    let run = run(
        &mut budget(),
        Wants { strict, ..streams(0, 0) },
        400,
        Engine { step: 10.0, token: 1.0, call: 70.0 },
    );
    assert!((35..=45).contains(&run.calls), "one in ten steps: {}", run.calls);
    assert!(run.mean() <= 18.0, "{}", run.mean());
}

#[test]
fn a_strict_task_and_prompts_share_the_room_by_their_lanes() {
    let engine = Engine { step: 50.0, token: 5.0, call: 20.0 };
    for (strict_interactive, interactive, batch, low, high) in [
        (true, MANY, 0, 0.4, 0.6),
        (false, 0, MANY, 0.4, 0.6),
        (true, 0, MANY, 0.5, 0.95),
        (false, MANY, 0, 0.05, 0.2),
    ] {
        let strict = Some(Strict { reading: true, interactive: strict_interactive });
        let wants = Wants { strict, ..streams(interactive, batch) };
        let run = run(&mut budget(), wants, 1000, engine);
        assert!(run.p95() <= 100.0, "{}", run.p95());
        let strict = run.calls as f64 * engine.call / (1000.0 * 35.0);
        assert!((low..=high).contains(&strict), "{strict} of the room, not {low} to {high}");
        assert!(run.interactive + run.batch > 500, "prompts go on");
    }
}

#[test]
fn a_strict_stream_is_guarded_like_any_other() {
    let strict = Some(Strict { reading: false, interactive: true });
    let wants = Wants { strict, interactive_streams: 1, batch: MANY, ..Wants::default() };
    let run = run(&mut budget(), wants, 400, Engine { step: 0.0, token: 4.0, call: 10.0 });
    assert_eq!(run.calls, 400, "a token a step");
    assert!(run.p95() <= 20.0, "{}", run.p95());
    assert!(run.batch >= 400, "the whole token that fits goes into each step: {}", run.batch);
}

#[test]
fn alone_with_prompts_a_strict_prompt_gets_its_half_of_the_time() {
    let strict = Some(Strict { reading: true, interactive: true });
    let wants = Wants { strict, interactive: MANY, ..Wants::default() };
    let run = run(&mut budget(), wants, 50, Engine { step: 0.0, token: 4.0, call: 10.0 });
    let (all, calls) = (run.times.iter().sum::<f64>(), run.calls as f64 * 10.0);
    assert!((0.35..=0.65).contains(&(calls / all)), "{calls} of {all} ms");
    assert!(run.times[5..].iter().all(|took| *took <= 280.0), "{:?}", run.times);
}
