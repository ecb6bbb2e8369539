//! What a crate for one engine brings: how its server is looked at, asked and read.

use std::borrow::Cow;
use std::sync::Arc;

use engine_api::text::{self, TextAnswer, TextQuery};
use engine_api::{EngineFacts, EngineKind, Measured, ReplicaSpec, SessionKv, StartError};
use futures_core::future::BoxFuture;
use generation::{ExtraFields, GenerateRequest, OutputEvent, TokenLogprob, ToolCallDelta};
use orchestrator_core::{Millis, SessionId, TokenCount};

use crate::config::HttpEngineConfig;
use crate::exchange::Client;
use crate::fault::Fault;

/// A token whose number the engine does not say; that it was one is known.
pub const UNKNOWN_TOKEN: i32 = -1;

/// The one event that is no JSON: what the OpenAI API ends a stream with.
pub const DONE: &[u8] = b"[DONE]";

/// One engine's way of speaking HTTP.
pub trait HttpBackend: Send + Sync + Sized + 'static {
    /// The engine.
    const KIND: EngineKind;

    /// What it is called in messages (`llama-server`).
    const NAME: &'static str;

    /// Reads the stream of one answer.
    type Answer: Answer;

    /// Looks at the server once and says what it is, or that it is not there yet.
    fn discover<'a>(
        client: &'a Client,
        config: &'a HttpEngineConfig,
        spec: &'a ReplicaSpec,
    ) -> BoxFuture<'a, Result<Discovered<Self>, Undiscovered>>;

    /// The path that answers 200 as long as the engine is well.
    fn health_path(&self) -> &str;

    /// Makes the request of a job. May ask the server first. That of a large job is made on a thread of its own.
    ///
    /// The future ends with [`Fault::Refused`] naming the field, where the engine cannot be asked for what
    /// the job asks for.
    fn prepare(
        self: Arc<Self>,
        client: Client,
        job: Arc<GenerateRequest>,
    ) -> BoxFuture<'static, Result<Call<Self::Answer>, Fault>>;

    /// Whether its chats take `chat_template_kwargs`.
    fn takes_template_kwargs(&self) -> bool {
        false
    }

    /// What is known to be in the server's cache of a session; an engine that says nothing of it has nothing.
    fn session_kv(&self, _session: SessionId) -> Option<SessionKv> {
        None
    }

    /// Nobody goes on with a session.
    fn evict_session(&self, _session: SessionId) {}

    /// Counts the tokens of the job's input, as far as the server can, and refuses what [`Self::prepare`]
    /// would.
    fn measure(
        self: Arc<Self>,
        client: Client,
        job: Arc<GenerateRequest>,
    ) -> BoxFuture<'static, Result<Measured, Fault>>;

    /// Answers a question about text, where the server can.
    fn text(
        self: Arc<Self>,
        _client: Client,
        _query: TextQuery,
    ) -> BoxFuture<'static, Result<TextAnswer, Fault>> {
        Box::pin(std::future::ready(Err(Fault::Refused(text::not_answered(Self::NAME)))))
    }
}

/// A server that was looked at.
pub struct Discovered<D> {
    /// What was learned of how to speak to it.
    pub backend: D,
    /// What it is. The time of loading is filled in by the caller.
    pub facts: EngineFacts,
}

/// Why a server could not be looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Undiscovered {
    /// Nobody listens there: of no weight while a managed engine starts, the end for an attached one.
    Absent(String),
    /// It is there and not ready yet, with what it said.
    NotYet(String),
    /// It will not become ready.
    Never(StartError),
}

impl From<Fault> for Undiscovered {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Absent(what) | Fault::Unanswered(what) | Fault::Transport(what) => Self::Absent(what),
            Fault::Unready(what) => Self::NotYet(what),
            Fault::Protocol(what) | Fault::Refused(what) | Fault::Failed(what) => {
                Self::Never(StartError::Engine(what))
            }
        }
    }
}

/// A request that is ready to be sent.
pub struct Call<A> {
    /// Its path, without the address's own.
    pub path: Cow<'static, str>,
    /// Its JSON.
    pub body: Vec<u8>,
    /// How its answer is read.
    pub reading: Reading<A>,
}

/// How an answer is read.
pub enum Reading<A> {
    /// As a stream of events.
    Stream(A),
    /// As one JSON, at its end.
    Whole(fn(&[u8]) -> Result<Whole, String>),
}

/// An answer that came in one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Whole {
    /// The results, one for each input.
    pub results: Vec<OutputEvent>,
    /// Tokens of all inputs, where the engine said so.
    pub tokens_in: Option<TokenCount>,
}

/// Reads the events of one stream.
pub trait Answer: Send + 'static {
    /// Whether two events that differ in nothing but their text mean the same but for that text, so that
    /// the second need not be parsed.
    const REPEATS: bool;

    /// Reads one event: what stands behind `data:`.
    ///
    /// # Errors
    /// [`Fault::Protocol`] for what is not an event of this engine, [`Fault::Failed`] or
    /// [`Fault::Refused`] for an error that the engine itself reports.
    fn read<'a>(&mut self, event: &'a [u8]) -> Result<Event<'a>, Fault>;

    /// The end of the body, where no event was the last one: what it means, or nothing when the stream was
    /// cut off.
    fn at_end(&mut self) -> Option<Last>;

    /// Whether the output begins within reasoning: the server's chat template wrote the tag.
    fn is_reasoning_prefilled(&self) -> bool {
        false
    }

    /// Text that waited for more, sent behind the last event.
    fn rest(&mut self) -> String {
        String::new()
    }
}

/// What one event says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Event<'a> {
    /// More reasoning, before the text, of an engine that sends it apart.
    pub reasoning: Cow<'a, str>,
    /// More of the answer; may be empty.
    pub text: Cow<'a, str>,
    /// More of tool calls, behind the text.
    pub tool_calls: Vec<ToolCallDelta>,
    /// The tokens of all of it.
    pub tokens: Vec<i32>,
    /// Probabilities of the text's tokens, where the request asks for them.
    pub logprobs: Vec<TokenLogprob>,
    /// Fields of the engine's own, where the request asks for them.
    pub extra: Option<Arc<ExtraFields>>,
    /// Whether it reports on the reading of the prompt.
    pub reads_prompt: bool,
    /// Nothing comes after it.
    pub last: Option<Last>,
}

impl Event<'_> {
    /// Whether the engine has got on with the answer since the event before.
    pub(crate) fn is_progress(&self) -> bool {
        let has_output = !(self.text.is_empty() && self.tokens.is_empty() && self.tool_calls.is_empty());
        has_output || self.reads_prompt || self.last.is_some()
    }
}

/// How an answer ended, and what the engine said of it. What it did not say is counted here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Last {
    /// Why it ended.
    pub ending: Ending,
    /// The stop text that ended it, where one did and that is known.
    pub stop_text: Option<String>,
    /// Prompt tokens.
    pub tokens_in: Option<TokenCount>,
    /// Of these, how many were cached.
    pub tokens_cached: Option<TokenCount>,
    /// Tokens of the output, reasoning included.
    pub tokens_out: Option<TokenCount>,
    /// Of these, tokens of reasoning.
    pub tokens_reasoning: Option<TokenCount>,
    /// The engine's own time from its start on the job to the first token.
    pub prefill: Option<Millis>,
    /// The engine's own time from the first token to the end.
    pub decode: Option<Millis>,
    /// Whether the engine would go on: closing its connection is what ends it.
    pub is_cut: bool,
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ending {
    /// The model ended its turn, or a stop string was met.
    #[default]
    Stop,
    /// A limit was reached.
    Length,
    /// The engine does not say: a limit, where as many tokens came as were asked for.
    Unsaid,
}
