//! What is in the engines: runs that begin, write, end, are canceled, or die with their engine.

use std::sync::Arc;

use generation::{EndReport, EngineError, Finish, OutputChunk};
use orchestrator_core::{Millis, TaskId, TokenCount};

use super::super::engine::{EngineId, EngineMode, SimRun};
use super::{Happening, World};
use crate::driver::{Event, RunId, TaskEvent, Work};
use crate::task_log::TaskLog;

impl World {
    pub(super) fn work(&mut self, run: RunId, engine: EngineId, log: &TaskLog) -> Work {
        let engine = self.engines.get_mut(&engine).expect("an engine stays in the world");
        let works = engine.mode != EngineMode::Hung;
        let done = engine.runs.get_mut(&run.task).map_or(0, |run| {
            run.done += u64::from(works && run.stalled_at.is_none());
            run.done
        });
        Work { done: Some(done), tokens: log.tokens().0 }
    }

    pub(super) fn submit(&mut self, run: RunId, id: EngineId, continues: bool, log: Arc<TaskLog>) {
        self.check_order(run);
        let engine = self.engines.get_mut(&id).expect("an engine stays in the world");
        let answer = self.tasks[&run.task].request.job.max_tokens.map_or(0, |most| most.0);
        let Some(written) = log.begin(run.run, continues) else {
            panic!("a placement may write: no other has, or it goes on, and the task has not ended")
        };
        if engine.mode == EngineMode::Dead {
            return self.at(self.now_ms, Happening::Event(Event::Task(run, TaskEvent::Lost)));
        }
        let failure = match engine.mode {
            EngineMode::Refusing => Some(EngineError::Unavailable("503".to_owned())),
            _ if std::mem::take(&mut engine.fails_next) => Some(EngineError::Failed("500".to_owned())),
            _ => None,
        };
        if let Some(error) = failure {
            let report = report(Finish::Failed(error), 0);
            return self.within(20, Happening::Event(Event::Task(run, TaskEvent::End(report))));
        }
        let written = u32::try_from(written.len()).expect("short answers");
        let run_state = SimRun {
            run,
            log,
            canceled: false,
            stalled_at: None,
            done: 0,
            place: written,
            most: answer,
            says_first: true,
        };
        engine.runs.insert(run.task, run_state);
        assert!(engine.busy() <= usize::from(self.slots), "more tasks than slots in {}", engine.replica);
        self.go_on_later(id, run, 500);
    }

    fn go_on_later(&mut self, id: EngineId, run: RunId, ms: u64) {
        let ms = ms * self.engines[&id].slowness;
        self.within(ms, Happening::Run(id, run));
    }

    /// A run writes its next token, or ends.
    pub(super) fn go_on(&mut self, id: EngineId, run: RunId) {
        let engine = self.engines.get_mut(&id).expect("an engine stays in the world");
        if matches!(engine.mode, EngineMode::Hung | EngineMode::Dead) {
            return;
        }
        let Some(state) = engine.runs.get_mut(&run.task).filter(|state| state.run == run) else { return };
        if state.stalled_at.is_some() || state.canceled {
            return;
        }
        if state.place >= state.most {
            return self.end_run(id, run, Finish::Stop);
        }
        let place = state.place;
        state.place += 1;
        let (first, log) = (std::mem::take(&mut state.says_first), Arc::clone(&state.log));
        if write(&log, run, place) && first {
            self.handle(Event::Task(run, TaskEvent::FirstToken));
        }
        self.go_on_later(id, run, 60);
    }

    pub(super) fn end_run(&mut self, id: EngineId, run: RunId, finish: Finish) {
        let engine = self.engines.get_mut(&id).expect("an engine stays in the world");
        if matches!(engine.mode, EngineMode::Hung | EngineMode::Dead) {
            return;
        }
        if engine.runs.get(&run.task).is_some_and(|state| state.run == run) {
            engine.runs.remove(&run.task);
            let report = report(finish, self.tasks[&run.task].prompt());
            self.handle(Event::Task(run, TaskEvent::End(report)));
        }
    }

    pub(super) fn cancel_run(&mut self, task: TaskId, id: EngineId) {
        let engine = self.engines.get_mut(&id).expect("an engine stays in the world");
        if let Some(state) = engine.runs.get_mut(&task) {
            state.canceled = true;
            let run = state.run;
            self.within(30, Happening::Canceled(id, run));
        }
    }

    /// An engine dies. One that hung may wake up before and write.
    pub(in crate::driver::simulation) fn die(&mut self, id: EngineId, writes: bool) {
        let engine = self.engines.get_mut(&id).expect("an engine stays in the world");
        if engine.mode == EngineMode::Dead {
            return;
        }
        engine.mode = EngineMode::Dead;
        let replica = engine.replica.clone();
        let runs = std::mem::take(&mut engine.runs);
        for state in runs.into_values() {
            if writes && write(&state.log, state.run, state.place) && state.says_first {
                self.handle(Event::Task(state.run, TaskEvent::FirstToken));
            }
            let event = if writes && self.rng.bool() {
                TaskEvent::End(report(Finish::Stop, self.tasks[&state.run.task].prompt()))
            } else {
                TaskEvent::Lost
            };
            self.within(5, Happening::Event(Event::Task(state.run, event)));
        }
        self.replica_died(&replica);
    }
}

/// A token of a run: its text says where in the answer its engine takes it to be.
fn write(log: &TaskLog, run: RunId, place: u32) -> bool {
    let text = format!("r{}.{place} ", run.run);
    log.append(run.run, &OutputChunk::text(text, vec![1]))
}

/// What an engine reports that read a prompt of so many tokens.
fn report(finish: Finish, prompt: u32) -> EndReport {
    let (tokens_in, prefill_ms) = (TokenCount(prompt), Millis(prompt.into()));
    EndReport { tokens_in, prefill_ms, ..EndReport::short(finish, 1) }
}
