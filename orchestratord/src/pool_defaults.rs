//! What holds for requests of a pool that do not say otherwise.
//!
//! Rules: ORCH-CONF-15, ORCH-TASK-10

use std::sync::Arc;

use config_schema::SamplerProfile;
use generation::{
    Input, LoopLimit, MaxTokensMode, Message, ReasoningOptions, Role, SamplingParams, Workload,
};
use orchestrator_core::TokenCount;

use crate::protocol::TaskRequest;

/// The defaults of one pool.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PoolDefaults {
    /// The most tokens of an answer; as many as the context holds when absent.
    pub max_tokens: Option<TokenCount>,
    /// When an answer that goes round in a loop ends.
    pub loop_limit: LoopLimit,
    /// How tokens are chosen.
    pub sampling: SamplingParams,
    /// The system message of conversations that begin without one.
    pub system_prompt: Option<String>,
    /// How the model reasons.
    pub reasoning: ReasoningOptions,
}

/// A conversation, and the same with the pool's system message. The tasks of one request share it.
#[derive(Debug, Default)]
pub struct WithSystemPrompt(Option<(Arc<Input>, Arc<Input>)>);

impl PoolDefaults {
    /// Fills in what `request` does not say. `shared` is what was made for the tasks of the same request before.
    pub fn apply(&self, task: &mut TaskRequest, shared: &mut WithSystemPrompt) {
        if task.workload() != Workload::Completion || *self == Self::default() {
            return;
        }
        let request = Arc::make_mut(&mut task.job);
        if request.max_tokens.is_none() {
            request.max_tokens = self.max_tokens;
            // Nobody asked for so many.
            request.max_tokens_mode = MaxTokensMode::Ceiling;
        }
        request.loop_limit = self.loop_limit;
        request.sampling.params = request.sampling.params.or(&self.sampling);
        let own = &mut request.reasoning;
        // A budget of its own wants reasoning, also where the pool has none.
        if *own == ReasoningOptions::default() {
            own.clone_from(&self.reasoning);
        } else if own.enabled != Some(false) {
            own.effort = own.effort.take().or_else(|| self.reasoning.effort.clone());
            own.budget = own.budget.or(self.reasoning.budget);
        }
        if let Some(system_prompt) = &self.system_prompt {
            request.input = shared.of(&request.input, system_prompt);
        }
    }
}

/// The numbers of a profile of the configuration.
#[must_use]
pub fn sampling_of(profile: &SamplerProfile) -> SamplingParams {
    SamplingParams {
        temperature: profile.temperature,
        top_p: profile.top_p,
        top_k: profile.top_k,
        min_p: profile.min_p,
        repeat_penalty: profile.repeat_penalty,
        repeat_last_n: profile.repeat_last_n,
        presence_penalty: profile.presence_penalty,
        frequency_penalty: profile.frequency_penalty,
        typical_p: profile.typical_p,
        xtc_probability: profile.xtc_probability,
        xtc_threshold: profile.xtc_threshold,
        dry_multiplier: profile.dry_multiplier,
        dry_base: profile.dry_base,
        dry_allowed_length: profile.dry_allowed_length,
        dry_penalty_last_n: profile.dry_penalty_last_n,
        dry_sequence_breakers: profile.dry_sequence_breakers.clone(),
    }
}

impl WithSystemPrompt {
    fn of(&mut self, input: &Arc<Input>, system_prompt: &str) -> Arc<Input> {
        let Input::Messages(messages) = &**input else { return Arc::clone(input) };
        if messages.first().is_some_and(|first| first.role == Role::System) {
            return Arc::clone(input);
        }
        match &self.0 {
            Some((before, with)) if Arc::ptr_eq(before, input) => Arc::clone(with),
            _ => {
                let system = Message::new(Role::System, system_prompt);
                let with = Input::Messages(std::iter::once(system).chain(messages.iter().cloned()).collect());
                let with = Arc::new(with);
                self.0 = Some((Arc::clone(input), Arc::clone(&with)));
                with
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use generation::GenerateRequest;
    use orchestrator_core::TaskId;
    use uuid::Uuid;

    use super::*;

    fn request(input: Input) -> TaskRequest {
        let sampling = generation::Sampling::default();
        TaskRequest::new(GenerateRequest { sampling, ..GenerateRequest::new(TaskId(Uuid::nil()), input) })
    }

    fn chat(messages: &[(Role, &str)]) -> Input {
        Input::Messages(messages.iter().map(|(role, text)| Message::new(*role, *text)).collect())
    }

    fn defaults() -> PoolDefaults {
        PoolDefaults {
            max_tokens: Some(TokenCount(2048)),
            loop_limit: LoopLimit::ByModel,
            sampling: SamplingParams { temperature: Some(0.2), top_k: Some(7), ..SamplingParams::default() },
            system_prompt: Some("Be brief.".to_owned()),
            reasoning: ReasoningOptions {
                enabled: Some(true),
                effort: Some("low".to_owned()),
                budget: Some(TokenCount(100)),
            },
        }
    }

    /// ORCH-CONF-15
    #[test]
    fn what_a_request_leaves_out_is_the_pools_and_what_it_says_is_its_own() {
        let mut silent = request(chat(&[(Role::User, "Hi")]));
        defaults().apply(&mut silent, &mut WithSystemPrompt::default());
        assert_eq!(
            (silent.job.max_tokens, silent.job.max_tokens_mode),
            (Some(TokenCount(2048)), MaxTokensMode::Ceiling)
        );
        assert_eq!(silent.job.loop_limit, LoopLimit::ByModel);
        assert_eq!(silent.job.sampling.params, defaults().sampling);
        assert_eq!(silent.job.reasoning, defaults().reasoning);
        assert_eq!(*silent.job.input, chat(&[(Role::System, "Be brief."), (Role::User, "Hi")]));

        let own = [(Role::System, "Be long."), (Role::User, "Hi")];
        let mut said = request(chat(&own));
        let with = Arc::make_mut(&mut said.job);
        with.max_tokens = Some(TokenCount(9));
        with.sampling.params.temperature = Some(1.0);
        with.reasoning = ReasoningOptions { enabled: Some(false), ..ReasoningOptions::default() };
        defaults().apply(&mut said, &mut WithSystemPrompt::default());
        assert_eq!(
            (said.job.max_tokens, said.job.max_tokens_mode),
            (Some(TokenCount(9)), MaxTokensMode::Exact)
        );
        let params = &said.job.sampling.params;
        assert_eq!((params.temperature, params.top_k), (Some(1.0), Some(7)));
        assert_eq!(
            said.job.reasoning,
            ReasoningOptions { enabled: Some(false), ..ReasoningOptions::default() }
        );
        assert_eq!(*said.job.input, chat(&own));
    }

    #[test]
    fn the_tasks_of_one_request_share_the_conversation_they_read() {
        let mut shared = WithSystemPrompt::default();
        let first = request(chat(&[(Role::User, "Hi")]));
        let mut both = [first.clone(), first];
        both.iter_mut().for_each(|request| defaults().apply(request, &mut shared));
        assert!(Arc::ptr_eq(&both[0].job.input, &both[1].job.input));
    }

    #[test]
    fn prompts_are_continued_as_they_stand_and_texts_to_embed_are_left_alone() {
        let mut prompt = request(Input::Prompt("One, two,".to_owned()));
        defaults().apply(&mut prompt, &mut WithSystemPrompt::default());
        assert_eq!(*prompt.job.input, Input::Prompt("One, two,".to_owned()));
        let mut embedded = request(Input::Inputs(vec!["a".to_owned()]));
        Arc::make_mut(&mut embedded.job).workload = Workload::Embedding;
        let before = Arc::clone(&embedded.job);
        defaults().apply(&mut embedded, &mut WithSystemPrompt::default());
        assert_eq!(embedded.job, before);
    }
}
