//! The lane of tasks whose tokens must not depend on what else runs: a context of its own with one
//! sequence, emptied before each task, fed in calls of a fixed shape. The same calls on the same data give
//! the same logits, so the same seed gives the same tokens. One such task runs at a time. The context is made
//! beside the decode loop, when the first such task comes: most workers never see one, and it holds as much
//! as a slot.
//!
//! Rules: ORCH-DET-1

use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::token::LlamaToken;

/// Prompt tokens read in one call. The prompt is cut at every so many tokens from its start on, whatever else runs and
/// however many calls a step makes: the result of a call depends on its shape. One at a time would read a prompt at the
/// speed of writing; more make running streams wait longer for a call.
const READS: usize = 8;

/// The lane, and the slot whose task is in it.
#[derive(Debug, Default)]
pub struct StrictLane {
    /// There before the first such task.
    context: Option<LlamaContext<'static>>,
    slot: Option<usize>,
    position: usize,
}

impl StrictLane {
    /// Takes the context it computes in.
    pub fn open(&mut self, context: LlamaContext<'static>) {
        self.context = Some(context);
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

    /// Takes in the task of `slot`, on an empty cache.
    pub fn begin(&mut self, slot: usize) {
        self.context.as_mut().expect("it comes before the first task").clear_kv_cache();
        self.slot = Some(slot);
        self.position = 0;
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
        let context = self.context.as_mut().expect("a task began");
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
