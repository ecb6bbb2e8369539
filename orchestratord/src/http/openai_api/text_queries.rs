//! `POST /tokenize`, `/detokenize` and `/apply-template`, in the forms of `llama-server`: what the vocabulary and the chat
//! template of a model make of text, for programs that count.
//!
//! Rules: ORCH-OAI-27

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use engine_api::{TextAnswer, TextQuery, TokenPiece};
use generation::{GenerateRequest, Input};
use orchestrator_core::TaskId;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::chat::ChatRequest;
use super::not_admitted;
use crate::backpressure::Refusal;
use crate::handle::TaskRequest;
use crate::http::answer::Refused;
use crate::http::{Api, body};

/// The body of `POST /tokenize`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenizeRequest {
    content: String,
    model: Option<String>,
    add_special: Option<bool>,
    parse_special: Option<bool>,
    with_pieces: Option<bool>,
}

/// The body of `POST /detokenize`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DetokenizeRequest {
    tokens: Vec<i32>,
    model: Option<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct Tokens {
    tokens: Vec<Token>,
}

#[derive(Debug, PartialEq, Serialize)]
#[serde(untagged)]
enum Token {
    Id(i32),
    WithPiece { id: i32, piece: Piece },
}

/// The text of a token, or its bytes where it is a part of a character.
#[derive(Debug, PartialEq, Serialize)]
#[serde(untagged)]
enum Piece {
    Text(String),
    Bytes(Vec<u8>),
}

#[derive(Debug, Serialize)]
pub(super) struct Content {
    content: String,
}

#[derive(Debug, Serialize)]
pub(super) struct Prompt {
    prompt: String,
}

impl Token {
    fn new(TokenPiece { id, bytes }: TokenPiece, with_piece: bool) -> Self {
        if !with_piece {
            return Self::Id(id);
        }
        let piece =
            String::from_utf8(bytes).map_or_else(|error| Piece::Bytes(error.into_bytes()), Piece::Text);
        Self::WithPiece { id, piece }
    }
}

/// The tokens of a text.
pub(super) async fn tokenize(State(api): State<Arc<Api>>, request: Request) -> Result<Json<Tokens>, Refused> {
    let request: TokenizeRequest = body::read_json(request, api.settings().body_bytes).await?;
    let query = TextQuery::Tokenize {
        text: request.content,
        add_special: request.add_special.unwrap_or_default(),
        parse_special: request.parse_special.unwrap_or(true),
    };
    match ask(&api, request.model, query).await? {
        TextAnswer::Tokens(tokens) => {
            let with_pieces = request.with_pieces.unwrap_or_default();
            let tokens = tokens.into_iter().map(|token| Token::new(token, with_pieces)).collect();
            Ok(Json(Tokens { tokens }))
        }
        TextAnswer::Text(_) => Err(Refusal::Internal.into()),
    }
}

/// The text of tokens.
pub(super) async fn detokenize(
    State(api): State<Arc<Api>>,
    request: Request,
) -> Result<Json<Content>, Refused> {
    let request: DetokenizeRequest = body::read_json(request, api.settings().body_bytes).await?;
    match ask(&api, request.model, TextQuery::Detokenize(request.tokens)).await? {
        TextAnswer::Text(content) => Ok(Json(Content { content })),
        TextAnswer::Tokens(_) => Err(Refusal::Internal.into()),
    }
}

/// The prompt that the model's chat template makes of a conversation.
pub(super) async fn apply_template(
    State(api): State<Arc<Api>>,
    request: Request,
) -> Result<Json<Prompt>, Refused> {
    let headers = request.headers().clone();
    let work = {
        let api = Arc::clone(&api);
        move |mut request: ChatRequest| {
            let conversation = request.check(&api.settings().image_urls)?;
            let plan = request.take_options()?.plan_on_any_model(&headers)?;
            let mut tasks = conversation.tasks(&plan).map_err(|refusal| not_admitted(&api, refusal))?;
            tasks.pop().ok_or_else(|| Refused::from(Refusal::Internal))
        }
    };
    let task: TaskRequest = body::read_as(request, api.settings().body_bytes, work).await?;
    let query = |task: &TaskRequest| TextQuery::ApplyTemplate(Arc::clone(&task.job));
    match api.driver.text(task, query).await.map_err(|refusal| not_admitted(&api, refusal))? {
        TextAnswer::Text(prompt) => Ok(Json(Prompt { prompt })),
        TextAnswer::Tokens(_) => Err(Refusal::Internal.into()),
    }
}

async fn ask(api: &Api, model: Option<String>, query: TextQuery) -> Result<TextAnswer, Refused> {
    let id = TaskId(Uuid::new_v4());
    let task = TaskRequest {
        model_ref: model.filter(|model| !model.is_empty()),
        ..TaskRequest::new(GenerateRequest::new(id, Input::Prompt(String::new())))
    };
    api.driver.text(task, |_| query).await.map_err(|refusal| not_admitted(api, refusal))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ORCH-OAI-27
    #[test]
    fn a_piece_that_is_no_whole_character_is_told_in_bytes() {
        let token = |bytes: &[u8]| Token::new(TokenPiece { id: 7, bytes: bytes.to_vec() }, true);
        let json = |token| serde_json::to_string(&token).unwrap();
        assert_eq!(json(token(b" sky")), r#"{"id":7,"piece":" sky"}"#);
        assert_eq!(json(token(&[0xE2, 0x82])), r#"{"id":7,"piece":[226,130]}"#);
        assert_eq!(json(Token::new(TokenPiece { id: 7, bytes: Vec::new() }, false)), "7");
    }
}
