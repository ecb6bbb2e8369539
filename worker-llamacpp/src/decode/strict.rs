//! The lane of tasks whose tokens must not depend on what else runs: a context of its own with one
//! sequence, emptied before each task, fed in calls of a fixed shape. The same calls on the same data give
//! the same logits, so the same seed gives the same tokens. One such task runs at a time.

use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::token::LlamaToken;

use crate::load::Loaded;

/// Prompt tokens read in one call: fixed, and small, for running streams wait for it.
const READ: usize = 8;

/// The lane, and the slot whose task is in it.
#[derive(Debug, Default)]
pub struct StrictLane {
    /// Made for the first such task: most daemons never see one.
    context: Option<LlamaContext<'static>>,
    slot: Option<usize>,
    position: usize,
}

impl StrictLane {
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
    ///
    /// # Errors
    /// When there is no memory for a context.
    pub fn begin(&mut self, slot: usize, loaded: &Loaded) -> Result<(), String> {
        let context = match &mut self.context {
            Some(context) => context,
            none => none.insert(
                loaded
                    .context(1)
                    .map_err(|why| format!("no memory for a context of a `strict` task: {why}"))?,
            ),
        };
        context.clear_kv_cache();
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
        unread.min(READ)
    }

    /// Decodes `tokens` and returns the logits after the last of them.
    ///
    /// # Errors
    /// What llama.cpp refused.
    pub fn decode(&mut self, tokens: &[i32]) -> Result<&[f32], String> {
        let context = self.context.as_mut().expect("a task began");
        let mut batch = LlamaBatch::new(READ, 1);
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
