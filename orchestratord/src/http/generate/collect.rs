//! Whole outputs, for responses that are not streamed.

use std::sync::Arc;

use generation::{ExtraFields, TokenLogprob, Transcript};

use super::generation_tasks::{Generation, tool_call_id};
use super::output::{OutputSegment, Update};
use crate::backpressure::Refusal;
use crate::http::answer::Refused;
use crate::task_log::TaskEnd;

/// About what a token takes in a response with its probability.
const LOGPROB_BYTES: usize = 64;

/// About what a number of a vector takes in a response.
const NUMBER_BYTES: usize = 12;

/// One whole output.
#[derive(Debug)]
pub(in crate::http) struct CollectedOutput {
    pub(in crate::http) transcript: Transcript,
    /// Probabilities of the answer's tokens, where the request asked for them.
    pub(in crate::http) logprobs: Vec<TokenLogprob>,
    /// Fields of the engine's own.
    pub(in crate::http) extra: ExtraFields,
    pub(in crate::http) end: TaskEnd,
}

impl CollectedOutput {
    /// About how many bytes it takes in a response.
    pub(in crate::http) fn bytes(&self) -> usize {
        let Transcript { text, reasoning, tool_calls, vectors, scores } = &self.transcript;
        let calls = tool_calls.iter().map(|call| call.arguments.len()).sum::<usize>();
        let logprobs = self.logprobs.iter().map(|token| LOGPROB_BYTES * (1 + token.top.len())).sum::<usize>();
        let numbers = vectors.iter().map(Vec::len).sum::<usize>() + scores.len();
        text.len() + reasoning.len() + calls + logprobs + NUMBER_BYTES * numbers
    }
}

impl Generation {
    /// All outputs, whole.
    ///
    /// # Errors
    /// The first failure; what still runs is canceled.
    pub(in crate::http) async fn collect(mut self) -> Result<Vec<CollectedOutput>, Refused> {
        let mut outputs = Vec::new();
        outputs.resize_with(self.len(), Partial::default);
        while let Some((choice, update)) = self.next().await {
            let output = &mut outputs[choice];
            match update {
                Update::Texts(texts) => output.transcript.text.extend(texts),
                Update::Segments(segments) => segments.into_iter().for_each(|segment| output.add(segment)),
                Update::End(end) => output.end = Some(end),
                Update::Failed(refused) => return Err(refused),
            }
        }
        let outputs: Option<Vec<_>> = outputs.into_iter().map(Partial::whole).collect();
        outputs.ok_or_else(|| Refusal::Internal.into())
    }
}

/// An output that grows.
#[derive(Default)]
struct Partial {
    transcript: Transcript,
    logprobs: Vec<TokenLogprob>,
    extra: Option<Arc<ExtraFields>>,
    end: Option<TaskEnd>,
}

impl Partial {
    fn add(&mut self, OutputSegment { event, metadata }: OutputSegment) {
        self.transcript.add(event);
        self.logprobs.extend(metadata.logprobs.into_iter().flatten());
        self.extra = ExtraFields::joined(self.extra.take(), metadata.extra);
    }

    fn whole(self) -> Option<CollectedOutput> {
        let Self { mut transcript, logprobs, extra, end } = self;
        let mut end = end?;
        for call in &mut transcript.tool_calls {
            call.id = tool_call_id(std::mem::take(&mut call.id));
        }
        let extra =
            ExtraFields::joined(extra, end.extra.take()).map(Arc::unwrap_or_clone).unwrap_or_default();
        Some(CollectedOutput { transcript, logprobs, extra, end })
    }
}
