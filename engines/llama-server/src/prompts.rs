//! Prompts of conversations, rendered by the server, and the count of their tokens. A conversation is counted
//! before it is queued and asked for when its turn comes: its prompt is kept meanwhile, within bounds.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use engine_api::TokenPiece;
use engine_http::{ChatMessage, ChatTools, Client, Fault, chat_messages, with_extra_body};
use generation::{ExtraBody, GenerateRequest, Message, Tools};
use orchestrator_core::TokenCount;
use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// Prompts kept.
const MAX_KEPT: usize = 64;

/// Bytes of a prompt that is kept.
const MAX_KEPT_BYTES: usize = 64 * 1024;

/// Prompts that were rendered and not yet asked for.
#[derive(Debug, Default)]
pub(crate) struct Prompts(Mutex<VecDeque<(Vec<Message>, String)>>);

impl Prompts {
    /// Keeps a prompt; the oldest one gives way.
    pub(crate) fn keep(&self, messages: &[Message], prompt: String) {
        if prompt.len() > MAX_KEPT_BYTES {
            return;
        }
        let mut kept = self.lock();
        if kept.len() == MAX_KEPT {
            kept.pop_front();
        }
        kept.push_back((messages.to_owned(), prompt));
    }

    /// The prompt of a conversation, if it is here.
    pub(crate) fn take(&self, messages: &[Message]) -> Option<String> {
        let mut kept = self.lock();
        let at = kept.iter().position(|(of, _)| of == messages)?;
        kept.remove(at).map(|(_, prompt)| prompt)
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(Vec<Message>, String)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A conversation to render.
#[derive(Serialize)]
struct Conversation<'a> {
    messages: Vec<ChatMessage<'a>>,
    #[serde(flatten)]
    tools: ChatTools<'a>,
}

/// What of a job its prompt depends on beside the conversation.
#[derive(Clone, Copy)]
pub(crate) struct Shown<'a> {
    pub(crate) tools: &'a Tools,
    /// Arguments of the template may be among them.
    pub(crate) extra_body: Option<&'a ExtraBody>,
}

impl<'a> Shown<'a> {
    pub(crate) fn of(job: &'a GenerateRequest) -> Self {
        Self { tools: &job.tools, extra_body: job.extra_body.as_ref() }
    }
}

#[derive(Deserialize)]
struct Rendered {
    prompt: String,
}

#[derive(Deserialize)]
struct Tokenized {
    tokens: Count,
}

/// The length of a list whose entries nobody needs.
struct Count(u32);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Counts;
        impl<'de> Visitor<'de> for Counts {
            type Value = Count;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of tokens")
            }

            fn visit_seq<S: SeqAccess<'de>>(self, mut list: S) -> Result<Count, S::Error> {
                let mut count = 0;
                while list.next_element::<IgnoredAny>()?.is_some() {
                    count += 1;
                }
                Ok(Count(count))
            }
        }
        from.deserialize_seq(Counts)
    }
}

/// The prompt of a conversation.
pub(crate) async fn render(client: &Client, messages: &[Message], shown: Shown<'_>) -> Result<String, Fault> {
    let (messages, tools) = (chat_messages(messages), ChatTools::of_words(shown.tools)?);
    let body = serde_json::to_vec(&Conversation { messages, tools })
        .map_err(|error| Fault::Refused(error.to_string()))?;
    let body = with_extra_body(body, shown.extra_body)?;
    let rendered: Rendered = ask(client, "/apply-template", body).await?;
    Ok(rendered.prompt)
}

/// The tokens of a prompt, special ones included, as `/completion` reads it.
pub(crate) async fn count(client: &Client, text: &str) -> Result<TokenCount, Fault> {
    let request =
        TokenizeRequest { content: text, add_special: true, parse_special: true, with_pieces: false };
    let tokenized: Tokenized = ask(client, "/tokenize", request.body()?).await?;
    Ok(TokenCount(tokenized.tokens.0))
}

#[derive(Deserialize)]
struct Pieces {
    tokens: Vec<PieceOf>,
}

#[derive(Deserialize)]
struct PieceOf {
    id: i32,
    piece: Piece,
}

/// The text of a token, or its bytes where it is a part of a character.
#[derive(Deserialize)]
#[serde(untagged)]
enum Piece {
    Text(String),
    Bytes(Vec<u8>),
}

/// The body of `/tokenize`.
#[derive(Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "the fields are those of the server")]
pub(crate) struct TokenizeRequest<'a> {
    pub(crate) content: &'a str,
    pub(crate) add_special: bool,
    pub(crate) parse_special: bool,
    pub(crate) with_pieces: bool,
}

impl TokenizeRequest<'_> {
    fn body(&self) -> Result<Vec<u8>, Fault> {
        serde_json::to_vec(self).map_err(|error| Fault::Refused(error.to_string()))
    }
}

/// The tokens of a text, with their texts: the request asks for them.
pub(crate) async fn tokenize(
    client: &Client,
    request: &TokenizeRequest<'_>,
) -> Result<Vec<TokenPiece>, Fault> {
    let Pieces { tokens } = ask(client, "/tokenize", request.body()?).await?;
    let piece = |PieceOf { id, piece }| TokenPiece {
        id,
        bytes: match piece {
            Piece::Text(text) => text.into_bytes(),
            Piece::Bytes(bytes) => bytes,
        },
    };
    Ok(tokens.into_iter().map(piece).collect())
}

#[derive(Deserialize)]
struct Detokenized {
    content: String,
}

/// The text of tokens.
pub(crate) async fn detokenize(client: &Client, tokens: &[i32]) -> Result<String, Fault> {
    let body = json!({ "tokens": tokens });
    let detokenized: Detokenized = ask(client, "/detokenize", body.to_string().into_bytes()).await?;
    Ok(detokenized.content)
}

async fn ask<T: for<'de> Deserialize<'de>>(client: &Client, path: &str, body: Vec<u8>) -> Result<T, Fault> {
    let answered = client.post(path, &body).await?;
    if !answered.is_ok() {
        return Err(client.fault_of(&answered));
    }
    serde_json::from_slice(&answered.body)
        .map_err(|error| Fault::Protocol(format!("`{path}` of {} makes no sense: {error}", client.server())))
}
