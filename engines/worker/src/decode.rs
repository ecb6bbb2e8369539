//! The decode loop: owns the context, its KV cache and every running task. One turn takes what came in,
//! ends what is canceled, gives free slots to waiting tasks and runs one step. It blocks only when there
//! is nothing to do.

mod cache;
mod slot;
mod step;
mod strict;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};

use generation::{Determinism, EngineError, Finish, KvHint};
use host_memory::HostMemory;
use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::context::session::SeqState;
use llama_cpp_2::llama_batch::LlamaBatch;
use orchestrator_core::{Priority, SessionId};
use worker_protocol::{SessionUpdate, Step, TaskEvent, TaskUpdate};

use crate::budget::StepBudget;
use crate::clock;
use crate::inbox::{Command, end_unstarted};
use crate::kv_store::KvStore;
use crate::load::Loaded;
use crate::options::READ_BATCH;
use crate::outbox::Outbox;
use crate::prepare::{Completion, Prepared, Work};
use crate::sample::{Sampler, Scratch};
use crate::slots::{self, SlotView};
use crate::text::TextOut;
use slot::{Limits, Slot, Task, Times};
pub use strict::LaneContext;
use strict::StrictLane;

/// Jobs that wait for a slot. The loop takes no more commands when there are as many; the daemon sends no
/// more than there are slots anyway.
const WAITING: usize = 4096;

/// The decode loop of one model.
#[derive(Debug)]
pub struct DecodeLoop {
    loaded: Arc<Loaded>,
    outbox: Outbox,
    context: LlamaContext<'static>,
    batch: LlamaBatch<'static>,
    slots: Vec<Slot>,
    waiting: Waiting,
    strict: StrictLane,
    budget: StepBudget,
    scratch: Scratch,
    /// Conversations that are in no slot.
    store: KvStore<SeqState>,
    host: HostMemory,
    /// The most cells in use since those in use were moved together.
    peak: usize,
    /// Tokens computed while most cells up to there were empty.
    spread: usize,
    /// What the step under way has to say.
    said: Step,
}

#[derive(Debug, Default)]
struct Waiting {
    interactive: VecDeque<Prepared>,
    batch: VecDeque<Prepared>,
    /// Tasks given a slot so far.
    given: u64,
}

impl Waiting {
    fn len(&self) -> usize {
        self.interactive.len() + self.batch.len()
    }

    fn lanes(&mut self) -> [&mut VecDeque<Prepared>; 2] {
        [&mut self.interactive, &mut self.batch]
    }

    /// The first that may go, interactive before batch.
    fn first(&self, may_go: impl Fn(&Prepared) -> bool) -> Option<&Prepared> {
        self.interactive.iter().chain(&self.batch).find(|job| may_go(job))
    }

    /// Takes the same.
    fn take(&mut self, may_go: impl Fn(&Prepared) -> bool) -> Option<Prepared> {
        self.lanes().into_iter().find_map(|lane| {
            let at = lane.iter().position(&may_go)?;
            lane.remove(at)
        })
    }
}

impl DecodeLoop {
    /// A loop over `context`, with as many slots as the facts say.
    #[must_use]
    pub fn new(loaded: Arc<Loaded>, context: LlamaContext<'static>, outbox: Outbox) -> Self {
        let count = usize::from(loaded.facts.slots);
        let most = usize::try_from(context.n_batch()).unwrap_or(READ_BATCH as usize);
        Self {
            outbox,
            context,
            batch: LlamaBatch::new(most, 1),
            slots: (0..count).map(|_| Slot::default()).collect(),
            waiting: Waiting::default(),
            strict: StrictLane::default(),
            budget: StepBudget::new(count, most.saturating_sub(count).max(1), loaded.interrupts()),
            scratch: Scratch::default(),
            store: KvStore::new(loaded.facts.kv_ram_bytes),
            host: HostMemory::new(),
            peak: 0,
            spread: 0,
            said: Step::default(),
            loaded,
        }
    }

    /// Decodes until told to stop. Every task gets its end first.
    pub fn run(mut self, commands: &Receiver<Command>) {
        while self.take(commands) {
            self.end_canceled();
            self.assign();
            self.step();
            self.send();
        }
        self.cancel_all();
        self.outbox.send_step(std::mem::take(&mut self.said));
    }

    /// Takes what came in; waits for something when there is nothing to do. Whether to go on.
    fn take(&mut self, commands: &Receiver<Command>) -> bool {
        if self.is_idle() {
            self.loaded.heartbeat.waits();
            match commands.recv() {
                Ok(Command::Stop) | Err(_) => return false,
                Ok(command) => self.obey(command),
            }
        }
        self.loaded.heartbeat.works(clock::now());
        while self.waiting.len() < WAITING {
            match commands.try_recv() {
                Ok(Command::Stop) | Err(TryRecvError::Disconnected) => return false,
                Ok(command) => self.obey(command),
                Err(TryRecvError::Empty) => break,
            }
        }
        true
    }

    /// Sends what the step had to say, and how far the tasks are.
    fn send(&mut self) {
        let heartbeat = self.loaded.heartbeat;
        self.waiting.lanes().into_iter().flatten().for_each(|job| job.pauses = job.pauses.saturating_add(1));
        heartbeat.report(clock::now(), || {
            let waiting = self.waiting.interactive.iter().chain(&self.waiting.batch).map(Prepared::progress);
            let running = self.slots.iter().filter_map(|slot| slot.task.as_ref()).map(Task::progress);
            waiting.chain(running).collect()
        });
        // The daemon may take its time to read.
        heartbeat.waits();
        self.outbox.send_step(std::mem::take(&mut self.said));
    }

    fn is_idle(&self) -> bool {
        self.waiting.len() == 0 && self.said.is_empty() && self.slots.iter().all(|slot| slot.task.is_none())
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Start(job) => match job.priority {
                Priority::Interactive => {
                    self.loaded.heartbeat.urgent_task_received();
                    self.waiting.interactive.push_back(*job);
                }
                Priority::Batch => self.waiting.batch.push_back(*job),
            },
            Command::OpenStrictLane(context) => self.strict.open(*context),
            Command::Evict(session) => self.evict(session),
            Command::Stop => unreachable!("the caller sees to it"),
        }
    }

    fn evict(&mut self, session: SessionId) {
        let stored = self.store.evict(session);
        let slot = self.slots.iter().position(|slot| slot.session == Some(session));
        if let Some(at) = slot {
            self.slots[at].session = None;
            if self.slots[at].task.is_none() {
                self.forget(at);
            }
        } else if !stored {
            return;
        }
        self.said.sessions.push(SessionUpdate { session, kv: None });
    }

    fn end_canceled(&mut self) {
        for lane in self.waiting.lanes() {
            for job in lane.iter().filter(|job| job.canceled.is_set()) {
                let ended = end_unstarted(job.task, Finish::Canceled, job.arrived);
                self.said.tasks.extend(ended.tasks);
            }
            lane.retain(|job| !job.canceled.is_set());
        }
        for at in 0..self.slots.len() {
            if self.slots[at].task.as_ref().is_some_and(|task| task.canceled.is_set()) {
                self.end(at, Finish::Canceled);
            }
        }
    }

    fn cancel_all(&mut self) {
        for lane in self.waiting.lanes() {
            lane.iter().for_each(|job| job.canceled.set());
        }
        self.slots.iter().filter_map(|slot| slot.task.as_ref()).for_each(|task| task.canceled.set());
        self.end_canceled();
    }

    /// Gives free slots to waiting tasks. One for which the cache has no room holds up those behind it: they would take the
    /// room that it waits for.
    fn assign(&mut self) {
        while self.slots.iter().any(|slot| slot.task.is_none()) {
            let lane_free = self.strict.is_free();
            let may_go = |job: &Prepared| lane_free || job.determinism != Determinism::Strict;
            if !self.waiting.first(may_go).is_some_and(|job| self.has_room_for(job)) {
                return;
            }
            let Some(job) = self.waiting.take(may_go) else { return };
            self.place(job);
        }
    }

    fn place(&mut self, job: Prepared) {
        let Work::Complete(work) = job.work else { unreachable!("prepared for a model that makes text") };
        let Completion {
            prompt,
            written,
            ctx,
            max_tokens,
            settings,
            logit_bias,
            stop,
            seed,
            grammar,
            lazy,
            marks,
            budget,
            repetition,
            logprobs,
            parser,
        } = *work;
        let views: Vec<SlotView<'_>> = self.slots.iter().map(Slot::view).collect();
        let strict = (job.determinism == Determinism::Strict)
            .then(|| prompt.len().saturating_add(max_tokens).min(ctx));
        let (at, found) = if strict.is_some() {
            (slots::any_free(&views).expect("a slot is free"), 0)
        } else if job.kv == KvHint::None {
            let at = slots::any_free(&views).expect("a slot is free");
            self.store(at);
            (at, 0)
        } else {
            let stored = self.store.views();
            let choice = slots::choose(&views, &stored, &prompt, job.session).expect("a slot is free");
            (choice.slot, self.reuse(choice))
        };
        self.waiting.given += 1;
        let text = TextOut::new(stop);
        let written_before = if strict.is_none() { written.len() } else { 0 };
        let sampler = Sampler::new(settings, logit_bias, seed, &prompt[..prompt.len() - written_before]);
        let slot = &mut self.slots[at];
        slot.last_used = self.waiting.given;
        slot.carried = 0;
        let mut task = Task {
            id: job.task,
            priority: job.priority,
            kv: job.kv,
            prompt,
            written_before,
            again: VecDeque::new(),
            read: found,
            found,
            next: None,
            written: 0,
            limits: Limits { ctx, max_tokens },
            paused: job.pauses,
            sampler,
            grammar,
            lazy,
            marks,
            logprobs,
            text,
            budget,
            repetition,
            parser,
            canceled: job.canceled,
            times: Times { arrived: job.arrived, first: None },
        };
        let vocabulary = self.loaded.vocabulary;
        let replayed = if strict.is_none() {
            written.iter().try_for_each(|token| step::replay(&mut task, *token, vocabulary))
        } else {
            task.again = written.into();
            Ok(())
        };
        slot.task = Some(task);
        if let Err(why) = replayed {
            return self.end(at, Finish::Failed(why));
        }
        let lane = strict.map_or(Ok(()), |tokens| {
            let (loaded, cells) = (&self.loaded, self.loaded.strict_cells(tokens));
            self.strict.begin(at, cells, || loaded.strict_context(tokens))
        });
        match lane {
            Err(why) => self.end(at, Finish::Failed(EngineError::Decode(why))),
            Ok(()) if max_tokens == 0 => self.end(at, Finish::Length),
            Ok(()) => {}
        }
    }

    /// Ends the slot's task and says so.
    fn end(&mut self, at: usize, finish: Finish) {
        let Some(task) = self.slots[at].task.take() else { return };
        let strict = self.strict.leave(at);
        if !strict {
            if task.kv == KvHint::None || matches!(finish, Finish::Failed(_)) {
                self.forget(at);
            }
            let slot = &mut self.slots[at];
            slot.at_end = u32::try_from(slot.cached.len()).unwrap_or(u32::MAX);
            if let Some(session) = slot.session {
                let kv =
                    (!slot.cached.is_empty()).then(|| slot.session_kv(self.loaded.facts.kv_bytes_per_token));
                if kv.is_none() {
                    slot.session = None;
                }
                self.said.sessions.push(SessionUpdate { session, kv });
            }
        }
        let report = task.report(finish, clock::now());
        self.said.tasks.push(TaskUpdate { task: task.id, event: TaskEvent::End(report) });
    }
}

/// A slot's number as llama.cpp counts sequences.
fn sequence(slot: usize) -> i32 {
    i32::try_from(slot).expect("slots are counted in 16 bits")
}
