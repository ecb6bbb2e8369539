//! Reads a task's stream to its end over any number of connections: each goes on after the last token that
//! was read, and no token is handed out twice.
//!
//! ```text
//!            open ok                 end
//! Closed ──────────────► Open ──────────────► (done)
//!    ▲   └─ lost, wait ─┐  │
//!    └──────────────────┴──┘ lost
//! ```
//!
//! Rules: ORCH-CLI-1

use std::time::{Duration, Instant};

use api_types::{EndEvent, StartedEvent, TaskRequest, TokenEvent};
use futures_util::{Stream, stream};
use uuid::Uuid;

use crate::api::{Api, ApiError, Event, Events};
use crate::clock;
use crate::exit::Exit;
use crate::failure::Failure;

/// How often in a row a stream may be lost without a token in between.
const MAX_LOSSES: u32 = 6;
/// The wait after the first loss; it doubles with each further one.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// The longest wait after a loss.
const MAX_WAIT: Duration = Duration::from_secs(5);
/// A connection that held so long was a good one: losing it is a first loss.
const GOOD_AFTER: Duration = Duration::from_secs(10);

/// What the stream brought.
pub enum Step {
    Started(StartedEvent),
    Token(TokenEvent),
    End(EndEvent),
    /// The connection was lost; another is tried.
    Lost(ApiError),
}

/// Reads one task.
pub struct Follower<'a> {
    api: &'a Api,
    request: &'a TaskRequest,
    id: Uuid,
    /// The index of the token that comes next.
    next: u64,
    losses: u32,
    wait: Duration,
    events: Option<(Events, Instant)>,
}

impl<'a> Follower<'a> {
    /// Reads task `id`, which was submitted with `request`.
    pub const fn new(api: &'a Api, request: &'a TaskRequest, id: Uuid) -> Self {
        Self { api, request, id, next: 0, losses: 0, wait: Duration::ZERO, events: None }
    }

    /// The steps up to the end or the first failure.
    pub fn steps(self) -> impl Stream<Item = Result<Step, Failure>> + use<'a> {
        stream::unfold(Some(self), |state| async {
            let mut follower = state?;
            let step = follower.step().await;
            let over = matches!(step, Ok(Step::End(_)) | Err(_));
            Some((step, (!over).then_some(follower)))
        })
    }

    async fn step(&mut self) -> Result<Step, Failure> {
        loop {
            let Some((events, since)) = &mut self.events else {
                if let Err(error) = self.open().await {
                    return self.lost(error);
                }
                continue;
            };
            let error = match events.next().await {
                Some(Ok(Event::Started(started))) => return Ok(Step::Started(started)),
                Some(Ok(Event::End(end))) => return Ok(Step::End(end)),
                Some(Ok(Event::Token(token))) if token.i < self.next => continue,
                Some(Ok(Event::Token(token))) if token.i == self.next => {
                    self.next += 1;
                    self.losses = 0;
                    return Ok(Step::Token(token));
                }
                Some(Ok(Event::Token(token))) => return Err(self.gap(token.i)),
                Some(Err(error)) => error,
                None => ApiError::Broken("the stream ended before the task did".to_owned()),
            };
            if clock::left(*since, GOOD_AFTER).is_zero() {
                self.losses = 0;
            }
            self.events = None;
            return self.lost(error);
        }
    }

    async fn open(&mut self) -> Result<(), ApiError> {
        if !self.wait.is_zero() {
            tokio::time::sleep(self.wait).await;
        }
        let after = self.next.checked_sub(1);
        let opened = match self.api.stream(self.id, after).await {
            // The daemon was started anew and does not know the task; nothing of it was read yet, so that
            // the same task can begin again unseen.
            Err(error) if error.is_not_found() && self.next == 0 && self.losses > 0 => {
                self.api.submit(self.request).await?;
                self.api.stream(self.id, None).await
            }
            opened => opened,
        };
        self.events = Some((opened?, clock::now()));
        Ok(())
    }

    /// Goes on after a loss, where that makes sense.
    fn lost(&mut self, error: ApiError) -> Result<Step, Failure> {
        let wait = match (&error, error.room_in()) {
            (_, Some(wait)) => wait.max(FIRST_WAIT),
            (ApiError::Broken(_), None) => self.backoff(),
            (ApiError::Unreachable(_), None) if self.losses > 0 => self.backoff(),
            (_, None) => return Err(self.api.failure(error)),
        };
        if self.losses >= MAX_LOSSES {
            let failure = self.api.failure(error);
            return Err(
                failure.hint(format!("the task may still be running: `llama-orch cancel {}`", self.id))
            );
        }
        self.wait = wait;
        self.losses += 1;
        Ok(Step::Lost(error))
    }

    fn backoff(&self) -> Duration {
        FIRST_WAIT.saturating_mul(2_u32.saturating_pow(self.losses)).min(MAX_WAIT)
    }

    fn gap(&self, got: u64) -> Failure {
        Failure::new(
            Exit::Failed,
            format!("token {got} came where token {} was due: part of the answer is lost", self.next),
        )
        .hint("this is a fault of the daemon's, or of a proxy between: please report it")
    }
}
