//! The lane of tasks whose tokens must not depend on what else runs: a context of its own with one
//! sequence, emptied before each task, fed in calls of a fixed shape. The same calls on the same data give
//! the same logits, so the same seed gives the same tokens. One such task runs at a time. The context is made
//! beside the decode loop, when a task comes that needs one of its size: most workers never see one.
//!
//! Rules: ORCH-DET-1

use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::token::LlamaToken;

/// Prompt tokens read in one call. The prompt is cut at every so many tokens from its start on, whatever else runs and
/// however many calls a step makes: the result of a call depends on its shape. One at a time would read a prompt at the
/// speed of writing; more make running streams wait longer for a call.
const READS: usize = 8;

/// A context for `strict` tasks of one size.
#[derive(Debug)]
pub struct LaneContext {
    /// Tokens that it holds.
    pub cells: u32,
    /// The context.
    pub context: LlamaContext<'static>,
}

/// The lane, and the slot whose task is in it.
#[derive(Debug, Default)]
pub struct StrictLane {
    /// There before the first such task.
    current: Option<LaneContext>,
    /// One of another size, for a task that comes.
    next: Option<LaneContext>,
    slot: Option<usize>,
    position: usize,
}

impl StrictLane {
    /// Takes a context that a task which comes will need.
    pub fn open(&mut self, context: LaneContext) {
        if self.slot.is_none() {
            // Its memory may be needed for the next one.
            self.current = None;
        }
        self.next = Some(context);
    }

    /// Whether a task may begin.
    #[must_use]
    pub fn is_free(&self) -> bool {
        self.slot.is_none()
    }

    /// The slot whose task is in the lane.
    #[must_use]
    pub fn slot(&self) -> Option<usize> {
        self.slot
    }

    /// Takes in the task of `slot`, which needs `cells` tokens, on an empty cache. `make` makes the context where tasks
    /// of several sizes have overtaken each other and there is none of this size.
    ///
    /// # Errors
    /// Why there is no context for it.
    pub fn begin(
        &mut self,
        slot: usize,
        cells: u32,
        make: impl FnOnce() -> Result<LlamaContext<'static>, String>,
    ) -> Result<(), String> {
        let fits = |context: &LaneContext| context.cells == cells;
        if !self.current.as_ref().is_some_and(fits) {
            self.current = None;
            let next = self.next.take_if(|next| fits(next));
            self.current = Some(match next {
                Some(next) => next,
                None => LaneContext { cells, context: make()? },
            });
        }
        let current = self.current.as_mut().expect("it has just been put there");
        current.context.clear_kv_cache();
        self.slot = Some(slot);
        self.position = 0;
        Ok(())
    }

    /// Takes the task of `slot` out; whether it was in.
    pub fn leave(&mut self, slot: usize) -> bool {
        let was_in = self.slot == Some(slot);
        if was_in {
            self.slot = None;
        }
        was_in
    }

    /// Tokens of the unread part of a prompt that the next call takes.
    #[must_use]
    pub fn reads(unread: usize) -> usize {
        unread.min(READS)
    }

    /// Decodes `tokens` and returns the logits after the last of them.
    ///
    /// # Errors
    /// What llama.cpp refused.
    pub fn decode(&mut self, tokens: &[i32]) -> Result<&[f32], String> {
        let context = &mut self.current.as_mut().expect("a task began").context;
        let mut batch = LlamaBatch::new(READS, 1);
        for (at, token) in tokens.iter().enumerate() {
            let position = i32::try_from(self.position + at).expect("a context is smaller than 2^31");
            batch
                .add(LlamaToken(*token), position, &[0], at + 1 == tokens.len())
                .map_err(|error| error.to_string())?;
        }
        context.decode(&mut batch).map_err(|error| error.to_string())?;
        self.position += tokens.len();
        Ok(context.get_logits_ith(batch.n_tokens() - 1))
    }
}
