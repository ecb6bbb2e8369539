//! What is asked of a model.

use std::sync::Arc;

use orchestrator_core::{Priority, SessionId, TaskId, TokenCount};
use serde::{Deserialize, Serialize};

use crate::sampling::{Constraint, Sampling};
use crate::tools::{Tool, ToolCall, Tools};

/// What is asked of the model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Workload {
    /// Text that goes on from the prompt.
    #[default]
    Completion,
    /// One vector for each input.
    Embedding,
    /// A score of each document against a query.
    Rerank,
}

impl Workload {
    /// The name on the wire and in messages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Completion => "completion",
            Self::Embedding => "embedding",
            Self::Rerank => "rerank",
        }
    }
}

/// Whether the same seed must give the same tokens whatever else is running.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Determinism {
    /// The same tokens on one replica, whatever else it decodes.
    Strict,
    /// The same seed, no promise.
    #[default]
    BestEffort,
}

/// What a task has to do with the KV cache that other tasks left, and leave to them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KvHint {
    /// Uses what is there already and leaves its own behind.
    #[default]
    Reuse,
    /// Computes everything anew, is read by no other task and leaves nothing.
    None,
}

/// Who speaks a [`Message`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Instructions that hold for the whole conversation.
    System,
    /// The person or program that asks.
    #[default]
    User,
    /// The model.
    Assistant,
    /// The result of a tool call.
    Tool,
}

impl Role {
    /// The name that chat templates know.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
        }
    }
}

/// One turn of a conversation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub content: String,
    /// What [`Role::Assistant`] reasoned before it.
    pub reasoning: Option<String>,
    /// Pictures that come before it, as `data:` or `https:` URLs.
    pub images: Vec<String>,
    /// Tools that [`Role::Assistant`] called with it.
    pub tool_calls: Vec<ToolCall>,
    /// The call whose result [`Role::Tool`] brings.
    pub tool_call_id: Option<String>,
    /// Who speaks, by name: the function, where it is a result.
    pub name: Option<String>,
}

impl Message {
    /// A turn of text alone.
    #[must_use]
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        Self { role, content: content.into(), ..Self::default() }
    }

    /// Bytes of all texts in it.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let calls = self.tool_calls.iter().map(|call| call.id.len() + call.name.len() + call.arguments.len());
        let names = [&self.tool_call_id, &self.name, &self.reasoning].into_iter().flatten().map(String::len);
        let images = self.images.iter().map(String::len);
        self.content.len() + calls.chain(names).chain(images).sum::<usize>()
    }
}

/// What the model is given to read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Input {
    /// Text, continued as it stands: no chat template.
    Prompt(String),
    /// A conversation, rendered through the model's own chat template with a generation prompt.
    Messages(Vec<Message>),
    /// A gap between two texts, to be filled.
    Infill(Infill),
    /// Texts to embed, or for a rerank the query followed by its documents.
    Inputs(Vec<String>),
}

/// A gap in a text, for models with fill-in-the-middle tokens. What does not fit the context is left out, the farthest from
/// the gap first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Infill {
    /// The text before the gap.
    pub prefix: String,
    /// What stands in the gap already, at its start.
    pub typed: String,
    /// The text behind the gap.
    pub suffix: String,
    /// Other files of the project, the most useful last.
    pub files: Vec<InfillFile>,
}

/// A file that is shown beside a gap.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InfillFile {
    /// Its name.
    pub name: String,
    /// Its text, or a part of it.
    pub text: String,
}

impl Infill {
    /// Bytes of all texts in it.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let files = self.files.iter().map(|file| file.name.len() + file.text.len());
        self.prefix.len() + self.typed.len() + self.suffix.len() + files.sum::<usize>()
    }
}

/// How a model reasons before it answers a chat. What is absent is left to the model's chat template.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReasoningOptions {
    /// Whether it reasons.
    pub enabled: Option<bool>,
    /// How much, in a word that chat templates know (`low`, `medium`, `high`).
    pub effort: Option<String>,
    /// The most tokens of reasoning; after them it is closed and the answer follows.
    pub budget: Option<TokenCount>,
}

impl ReasoningOptions {
    /// What a word for the effort asks for: `none` for no reasoning, `minimal`, `low`, `medium`, `high`, `xhigh`, `max`;
    /// nothing for another word.
    #[must_use]
    pub fn of_effort(effort: &str) -> Option<Self> {
        // Chat templates know three words.
        let word = match effort {
            "none" => return Some(Self { enabled: Some(false), ..Self::default() }),
            "minimal" | "low" => "low",
            "medium" => "medium",
            "high" | "xhigh" | "max" => "high",
            _ => return None,
        };
        Some(Self { enabled: Some(true), effort: Some(word.to_owned()), budget: None })
    }

    /// These with at most so many tokens, where somebody says; no tokens of reasoning are no reasoning.
    #[must_use]
    pub fn with_budget(self, tokens: Option<TokenCount>) -> Self {
        let enabled = if tokens == Some(TokenCount(0)) { Some(false) } else { self.enabled };
        Self { enabled, budget: tokens.or(self.budget), ..self }
    }
}

/// What becomes of a `max_tokens` beyond what the context holds behind the prompt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum MaxTokensMode {
    /// It is refused. So is nothing that was measured before and cut.
    #[default]
    Exact,
    /// It is cut.
    Ceiling,
}

/// Fields of a request that the contract does not know, for an engine with the same API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExtraBody {
    /// The fields, as the text of a JSON object.
    pub fields: String,
    /// The arguments of the chat template, as the text of a JSON object, where there is nothing else among them.
    pub template: Option<String>,
    /// What whoever sends them to an engine that takes none is told: which field it is, and what would be right.
    pub refusal: String,
}

/// When an answer ends that is the same few tokens over and over. Only the built-in engine looks for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum LoopLimit {
    /// It goes on.
    #[default]
    Off,
    /// As the engine finds right for the size of its model.
    ByModel,
    /// When the repetitions are so many tokens.
    Tokens(TokenCount),
}

/// One task as an engine gets it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GenerateRequest {
    /// The task.
    pub task: TaskId,
    /// The conversation it belongs to, whose KV cache it may find and leaves behind.
    pub session: Option<SessionId>,
    /// Whose prompt is read first, where the engine can choose.
    pub priority: Priority,
    /// What is asked.
    pub workload: Workload,
    /// What to read. The tasks of one request share it.
    #[serde(with = "crate::shared")]
    pub input: Arc<Input>,
    /// The most tokens the prompt and the answer may take together; the slot's own size when absent.
    pub ctx: Option<TokenCount>,
    /// The most tokens of the answer; until the context is full when absent.
    pub max_tokens: Option<TokenCount>,
    /// What becomes of a `max_tokens` beyond what the context holds behind the prompt.
    pub max_tokens_mode: MaxTokensMode,
    /// When an answer that goes round in a loop ends.
    pub loop_limit: LoopLimit,
    /// How to choose tokens.
    pub sampling: Sampling,
    /// The start of the random numbers.
    pub seed: u64,
    /// Whether the seed is a promise.
    pub determinism: Determinism,
    /// What it uses of the KV cache and leaves there.
    pub kv: KvHint,
    /// How the model reasons before it answers a chat.
    pub reasoning: ReasoningOptions,
    /// Tokens of the answer that another engine wrote before it was lost. The output goes on behind them, as if this
    /// engine had written them.
    pub written: Vec<i32>,
    /// Whether the output continues the chat's last message, which is the assistant's, instead of a new one.
    pub continue_final_message: bool,
    /// What the model may call. The tasks of one request share it.
    #[serde(with = "crate::shared")]
    pub tools: Arc<Tools>,
    /// Wanted beside each token: its probability, and so many of the most probable ones in its place.
    pub logprobs: Option<u8>,
    /// Fields that only the engine may know.
    pub extra_body: Option<ExtraBody>,
    /// Whether the output comes with fields of the engine's own.
    pub include_extra: bool,
}

/// What is said of a prompt that leaves no room for an answer. Client libraries look for these words.
#[must_use]
pub fn prompt_too_long(prompt: TokenCount, ctx: TokenCount) -> String {
    let most = ctx.0.saturating_sub(1);
    format!(
        "{PROMPT_TOO_LONG}: {prompt} tokens > {most} maximum; this model's maximum context length is {ctx} tokens, one of \
         them for the answer: shorten the messages by at least {} tokens",
        prompt.0.saturating_sub(most)
    )
}

/// What [`prompt_too_long`] begins with.
pub const PROMPT_TOO_LONG: &str = "prompt is too long";

/// What one entry of a list takes at most when it is encoded, beside its texts.
const ENTRY_BYTES: usize = 16;

impl GenerateRequest {
    /// Greedy text of `task` that goes on from `input`, with nothing else asked for.
    #[must_use]
    pub fn new(task: TaskId, input: Input) -> Self {
        Self {
            task,
            session: None,
            priority: Priority::Interactive,
            workload: Workload::Completion,
            input: input.into(),
            ctx: None,
            max_tokens: None,
            max_tokens_mode: MaxTokensMode::Exact,
            loop_limit: LoopLimit::Off,
            sampling: Sampling::greedy(),
            seed: 0,
            determinism: Determinism::BestEffort,
            kv: KvHint::Reuse,
            reasoning: ReasoningOptions::default(),
            written: Vec::new(),
            continue_final_message: false,
            tools: Tools::default().into(),
            logprobs: None,
            extra_body: None,
            include_extra: false,
        }
    }

    /// About how many bytes it takes when it is encoded: its texts, and what each entry of a list takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let stop: usize = self.sampling.stop.iter().map(|text| text.len() + ENTRY_BYTES).sum();
        let constraint = match &self.sampling.constraint {
            Some(Constraint::Grammar(text) | Constraint::JsonSchema(text)) => text.len(),
            None => 0,
        };
        let tool = |tool: &Tool| {
            let optional = [&tool.description, &tool.parameters].into_iter().flatten().map(String::len);
            tool.name.len() + optional.sum::<usize>() + 3 * ENTRY_BYTES
        };
        let tools: usize = self.tools.offered.iter().map(tool).sum();
        let own = self.extra_body.as_ref().map_or(0, |own| {
            own.fields.len() + own.template.as_ref().map_or(0, String::len) + own.refusal.len()
        });
        let texts: usize = self.sampling.text_bias.iter().map(|bias| bias.text.len() + ENTRY_BYTES).sum();
        let biases = self.sampling.logit_bias.len() * ENTRY_BYTES + texts;
        self.input.bytes() + stop + constraint + tools + own + biases
    }
}

impl Input {
    fn bytes(&self) -> usize {
        let message = |message: &Message| {
            message.bytes() + ENTRY_BYTES * (4 + 3 * message.tool_calls.len() + message.images.len())
        };
        match self {
            Self::Prompt(text) => text.len(),
            Self::Messages(messages) => messages.iter().map(message).sum(),
            Self::Infill(gap) => gap.bytes() + ENTRY_BYTES * (4 + 2 * gap.files.len()),
            Self::Inputs(texts) => texts.iter().map(|text| text.len() + ENTRY_BYTES).sum(),
        }
    }
}
