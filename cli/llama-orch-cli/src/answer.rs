//! One task from submission to its end: prints the answer as it comes, says where the task stands, measures,
//! and cancels the task when the caller no longer wants it.
//!
//! Rules: ORCH-CLI-8, ORCH-CLI-23

use std::pin::pin;
use std::time::{Duration, Instant};

use api_types::{
    EndEvent, FinishReason, OutputPart, StartedEvent, TaskAccepted, TaskRequest, TaskSummary, TokenEvent,
};
use futures_util::{Stream, StreamExt};
use serde::Serialize;

use crate::clock;
use crate::context::{Context, Stop};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::follow::{Follower, Step};
use crate::place::{self, Place};
use crate::submit::{self, Submitted};
use crate::text;
use crate::ui::{OutputClosed, Ui};

/// How long a canceled task's `end` is waited for.
const END_GRACE: Duration = Duration::from_secs(2);

/// What standard output gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The text of the answer.
    Text,
    /// One JSON object an event.
    Json,
}

/// Whether figures are said on standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stats {
    /// Where somebody looks.
    Auto,
    /// Always.
    Asked,
}

/// What to ask, and how to show it.
pub struct Ask {
    /// The task, with its `task_id`.
    pub request: TaskRequest,
    pub patience: Duration,
    pub form: Form,
    pub stats: Stats,
}

/// How the answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It is whole, or as long as it may be.
    Complete,
    /// A signal cut it short, and the task was canceled.
    Interrupted(Exit),
}

/// What came of it.
pub struct Answer {
    /// The answer, without reasoning and markup.
    pub text: String,
    pub ending: Ending,
}

/// Submits a task and prints its answer.
///
/// # Errors
/// The task was refused or failed, nobody reads, or a signal came before there was a task.
pub async fn answer(cx: &mut Context, ask: &Ask) -> Result<Answer, Stop> {
    let submitted = submit::submit(cx, &ask.request, ask.patience).await?;
    let id = submitted.accepted.task_id;
    let Context { api, ui, interrupts } = cx;
    let mut progress = Progress::new(ui, ask, submitted);
    let mut steps = pin!(Follower::new(api, &ask.request, id).steps());
    let mut ticks = pin!(place::ticks(api, id));
    if let Err(closed) = progress.accepted() {
        api.cancel_quietly(id).await;
        return Err(closed.into());
    }
    loop {
        let taken = tokio::select! {
            biased;
            exit = interrupts.next() => {
                api.cancel_quietly(id).await;
                let last_words = tokio::time::timeout(END_GRACE, progress.last_words(steps)).await;
                if let Ok(Err(closed)) = last_words {
                    return Err(closed.into());
                }
                return Ok(progress.over(Ending::Interrupted(exit))?);
            }
            step = steps.next() => progress.take(step.unwrap_or_else(|| Err(without_end()))),
            Some(heard) = ticks.next(), if progress.waits() => {
                progress.tick(heard);
                continue;
            }
        };
        match taken {
            Ok(Taken::Part) => {}
            Ok(Taken::End) => return Ok(progress.over(Ending::Complete)?),
            Err(stop) => {
                if matches!(stop, Stop::OutputClosed) {
                    api.cancel_quietly(id).await;
                }
                return Err(progress.stopped(stop));
            }
        }
    }
}

fn without_end() -> Failure {
    Failure::new(Exit::Failed, "the stream ended without `end`")
}

enum Taken {
    Part,
    End,
}

/// What has come so far, and where it goes.
struct Progress<'a> {
    ui: &'a mut Ui,
    ask: &'a Ask,
    accepted: TaskAccepted,
    sent: Instant,
    place: Place,
    first_token: Option<Duration>,
    text: String,
}

impl<'a> Progress<'a> {
    fn new(ui: &'a mut Ui, ask: &'a Ask, submitted: Submitted) -> Self {
        let Submitted { accepted, sent } = submitted;
        let place = Place::heard_now(accepted.queue_position, accepted.predicted_start_ms);
        Self { ui, ask, accepted, sent, place, first_token: None, text: String::new() }
    }

    const fn waits(&self) -> bool {
        self.first_token.is_none()
    }

    fn accepted(&mut self) -> Result<(), OutputClosed> {
        let accepted = self.accepted.clone();
        self.line(&Line::Accepted(&accepted))?;
        if self.ui.is_verbose() {
            self.ui.note(&format!("task {}", self.accepted.task_id));
        }
        if self.ask.stats == Stats::Asked || self.ui.is_verbose() {
            let predicted = text::span(self.place.predicted);
            self.ui.say(&format!("queue position {}, predicted start in {predicted}", self.place.position));
        }
        self.show_place();
        Ok(())
    }

    /// Where live lines are cheap they change every second; in a log only with the place.
    fn tick(&mut self, heard: Option<TaskSummary>) {
        let before = self.place;
        if let Some(task) = heard {
            self.place = Place::of(&task);
        }
        if self.ui.live_is_cheap() || before.is_news(&self.place) {
            self.show_place();
        }
    }

    fn show_place(&mut self) {
        self.ui.live(&self.place.describe(clock::now()));
    }

    fn take(&mut self, step: Result<Step, Failure>) -> Result<Taken, Stop> {
        match step? {
            Step::Started(started) => self.started(&started)?,
            Step::Token(token) => self.token(&token)?,
            Step::Lost(error) => {
                self.ui.note(&format!("the connection was lost, trying to go on: {error}"));
            }
            Step::End(end) => return self.end(&end).map(|()| Taken::End),
        }
        Ok(Taken::Part)
    }

    fn started(&mut self, started: &StartedEvent) -> Result<(), OutputClosed> {
        self.line(&Line::Started(started))?;
        if self.waits() {
            let known = self.place;
            self.place = Place::heard_now(started.queue_position, started.predicted_start_ms);
            if self.ui.live_is_cheap() || self.place.position != known.position {
                self.show_place();
            }
        }
        Ok(())
    }

    fn token(&mut self, token: &TokenEvent) -> Result<(), OutputClosed> {
        if self.first_token.is_none() {
            self.first_token = Some(clock::now().saturating_duration_since(self.sent));
            self.ui.clear_live();
        }
        self.line(&Line::Token(token))?;
        match &token.output {
            None => self.answer(&token.t),
            Some(parts) => parts.iter().try_for_each(|part| self.part(part)),
        }
    }

    /// The answer goes to standard output; reasoning is shown where somebody looks.
    fn part(&mut self, part: &OutputPart) -> Result<(), OutputClosed> {
        if let Some(reasoning) = part.reasoning.as_deref().filter(|_| self.ask.form == Form::Text) {
            self.ui.reasoning(reasoning);
        }
        part.text.as_deref().map_or(Ok(()), |text| self.answer(text))
    }

    fn answer(&mut self, text: &str) -> Result<(), OutputClosed> {
        self.text.push_str(text);
        if self.ask.form == Form::Text { self.ui.answer(text) } else { Ok(()) }
    }

    fn end(&mut self, end: &EndEvent) -> Result<(), Stop> {
        let figures = Figures { first_token: self.first_token, tokens_per_s: tokens_per_s(end) };
        self.line(&Line::End {
            end,
            first_token_ms: figures.first_token.map(millis),
            tokens_per_s: figures.tokens_per_s,
        })?;
        self.ui.end_answer()?;
        if self.text.is_empty() && end.finish_reason == FinishReason::Length {
            self.ui.say("no answer: all tokens went into reasoning; raise --max-tokens");
        }
        let summary = figures.summary(end);
        match self.ask.stats {
            Stats::Asked => self.ui.say(&summary),
            Stats::Auto => self.ui.note(&summary),
        }
        match (end.finish_reason, &end.error) {
            (FinishReason::Stop | FinishReason::Length, _) => Ok(()),
            (FinishReason::Canceled, _) => {
                let who = "the task was canceled, and not by this command";
                Err(Failure::new(Exit::Canceled, who).into())
            }
            (FinishReason::Error, Some(envelope)) => Err(Failure::of_envelope(Exit::Failed, envelope).into()),
            (FinishReason::Error, None) => {
                Err(Failure::new(Exit::Failed, "the task failed, and the daemon did not say why").into())
            }
        }
    }

    /// What still comes of a task that was canceled here, up to its end.
    async fn last_words(
        &mut self,
        mut steps: impl Stream<Item = Result<Step, Failure>> + Unpin,
    ) -> Result<(), OutputClosed> {
        while let Some(step) = steps.next().await {
            match self.take(step) {
                Ok(Taken::Part) => {}
                // That it was canceled is no news here.
                Ok(Taken::End) | Err(Stop::Failure(_) | Stop::Signal(_)) => return Ok(()),
                Err(Stop::OutputClosed) => return Err(OutputClosed),
            }
        }
        Ok(())
    }

    fn over(mut self, ending: Ending) -> Result<Answer, OutputClosed> {
        self.ui.clear_live();
        self.ui.end_answer()?;
        Ok(Answer { text: std::mem::take(&mut self.text), ending })
    }

    fn stopped(self, stop: Stop) -> Stop {
        self.ui.clear_live();
        match self.ui.end_answer() {
            Ok(()) => stop,
            Err(closed) => closed.into(),
        }
    }

    fn line(&mut self, line: &Line<'_>) -> Result<(), OutputClosed> {
        match self.ask.form {
            Form::Text => Ok(()),
            Form::Json => self.ui.print(&serde_json::to_string(line).expect("strings and numbers make JSON")),
        }
    }
}

/// One line of `--json`.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Line<'a> {
    Accepted(&'a TaskAccepted),
    Started(&'a StartedEvent),
    Token(&'a TokenEvent),
    End {
        #[serde(flatten)]
        end: &'a EndEvent,
        first_token_ms: Option<u64>,
        tokens_per_s: Option<f64>,
    },
}

struct Figures {
    first_token: Option<Duration>,
    tokens_per_s: Option<f64>,
}

impl Figures {
    fn summary(&self, end: &EndEvent) -> String {
        let mut parts = vec![text::count(end.tokens_out.into(), "token")];
        parts.extend(self.first_token.map(|first| format!("first token after {}", text::span(first))));
        parts.extend(self.tokens_per_s.map(|speed| format!("{speed:.1} tokens/s")));
        parts.push(format!("queued {}", text::span(Duration::from_millis(end.queue_ms))));
        parts.push(text::count(end.tokens_in.into(), "prompt token"));
        parts.push(match end.finish_reason {
            FinishReason::Length => "length: cut off at --max-tokens or the end of the context".to_owned(),
            reason => reason.to_string(),
        });
        parts.join(" · ")
    }
}

/// Tokens a second from the first token on: the first one came at the start of that time, so that it is not
/// among those made in it.
fn tokens_per_s(end: &EndEvent) -> Option<f64> {
    let made = end.tokens_out.checked_sub(1).filter(|made| *made > 0)?;
    (end.decode_ms > 0).then(|| f64::from(made) * 1000.0 / end.decode_ms as f64)
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
