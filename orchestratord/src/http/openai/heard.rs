//! What one task says, read for calls of tools where it may call some.

use adapter_api::{EngineKind, TokenLogprob, Tool, ToolSpeech};
use orchestrator_core::TaskId;
use tool_calls::{ToolEvent, ToolParser};

use super::refusal::failed;
use super::running::{Said, Told};
use crate::handle::{DriverHandle, Subscription};
use crate::task_log::{Chunk, LogReader, TaskEnd};

/// One task's log.
pub(super) struct Heard {
    reader: LogReader,
    engine: EngineKind,
    task: TaskId,
    driver: DriverHandle,
    reading: Reading,
    /// How probable those tokens were whose text waits to be told; nothing where nobody asks.
    waiting: Option<Vec<TokenLogprob>>,
}

enum Reading {
    /// For text.
    Text,
    /// For calls of these, as soon as the model is known that writes them.
    Offered(Vec<Tool>),
    /// For calls.
    Calls(ToolParser),
    /// For nothing: its engine tells calls apart.
    Apart,
    /// It has ended, and this is left to say.
    Ended(Option<TaskEnd>),
}

impl Heard {
    /// Of a task in which the tools `offered` may be called.
    pub(super) fn new(
        subscription: Subscription,
        (task, driver): (TaskId, DriverHandle),
        offered: Option<Vec<Tool>>,
    ) -> Self {
        let reading = offered.map_or(Reading::Text, Reading::Offered);
        let Subscription { engine, reader, .. } = subscription;
        Self { reader, engine, task, driver, reading, waiting: None }
    }

    /// Says how probable tokens were as well.
    pub(super) fn weigh(&mut self) {
        self.waiting = Some(Vec::new());
    }

    /// What is said next. Nothing after the end.
    pub(super) async fn next(&mut self) -> Option<Said> {
        loop {
            if let Reading::Ended(end) = &mut self.reading {
                return end.take().map(|end| self.ended(end));
            }
            let mut chunk = self.reader.next().await?;
            if matches!(self.reading, Reading::Offered(_)) {
                self.learn_format().await;
            }
            let is_read = matches!(self.reading, Reading::Calls(_) | Reading::Apart);
            if let Chunk::Tokens { texts, .. } = &mut chunk
                && !is_read
                && self.waiting.is_none()
            {
                return Some(Said::Texts(std::mem::take(texts)));
            }
            let events = self.told(chunk);
            if !events.is_empty() {
                return Some(Said::Told(events));
            }
        }
    }

    /// What a chunk says, with what its events have beside their texts. How probable the tokens of calls were is
    /// not told: an answer says it of its text.
    fn told(&mut self, chunk: Chunk) -> Vec<Told> {
        let mut said = Vec::new();
        let waiting = &mut self.waiting;
        let mut tell = |events: Vec<ToolEvent>, waiting: &mut Option<Vec<TokenLogprob>>| {
            for event in events {
                let of_event = waiting.as_mut().map(std::mem::take);
                let logprobs = of_event.filter(|_| matches!(event, ToolEvent::Content(_)));
                said.push(Told { event, logprobs });
            }
        };
        match chunk {
            Chunk::Tokens { first, texts } => {
                let after = first + u32::try_from(texts.len()).unwrap_or(u32::MAX);
                let mut besides = self.reader.beside(first..after).into_iter();
                for text in texts {
                    let beside = besides.next().unwrap_or_default();
                    if let Some(waiting) = waiting {
                        waiting.extend(beside.logprobs);
                    }
                    let events = match &mut self.reading {
                        _ if !beside.calls.is_empty() => {
                            beside.calls.into_iter().map(ToolEvent::from).collect()
                        }
                        Reading::Calls(parser) => parser.push(&text),
                        _ => vec![ToolEvent::Content(text)],
                    };
                    tell(events, waiting);
                }
            }
            Chunk::End(end) => {
                if let Reading::Calls(parser) = &mut self.reading {
                    tell(parser.finish(), waiting);
                }
                self.reading = Reading::Ended(Some(end));
            }
        }
        said
    }

    /// The engine has answered, so that its model is known now.
    async fn learn_format(&mut self) {
        let speech =
            self.driver.subscribe(self.task, 0).await.ok().and_then(|subscription| subscription.tools);
        if let (Reading::Offered(tools), Some(speech)) = (&self.reading, speech) {
            self.reading = match speech {
                ToolSpeech::InText(format) => Reading::Calls(ToolParser::new(format, tools)),
                ToolSpeech::Apart => Reading::Apart,
            };
        }
    }

    fn ended(&self, end: TaskEnd) -> Said {
        match &end.failure {
            Some(failure) => Said::Failed(failed(failure, self.engine)),
            None => Said::End(end),
        }
    }
}
