//! What one task says, read for calls of tools where it may call some.

use adapter_api::{EngineKind, TokenLogprob, Tool};
use orchestrator_core::TaskId;
use tool_calls::{ToolEvent, ToolParser};

use super::refusal::failed;
use super::running::Said;
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
            let chunk = self.reader.next().await?;
            if matches!(self.reading, Reading::Offered(_)) {
                self.learn_format().await;
            }
            if self.waiting.is_some() {
                match self.weighed(chunk) {
                    events if events.is_empty() => continue,
                    events => return Some(Said::Weighed(events)),
                }
            }
            let said = match (chunk, &mut self.reading) {
                (Chunk::Tokens { texts, .. }, Reading::Calls(parser)) => {
                    Said::Events(texts.iter().flat_map(|text| parser.push(text)).collect())
                }
                (Chunk::Tokens { texts, .. }, _) => Said::Texts(texts),
                (Chunk::End(end), reading) => {
                    let last = match reading {
                        Reading::Calls(parser) => parser.finish(),
                        _ => Vec::new(),
                    };
                    *reading = Reading::Ended(Some(end));
                    Said::Events(last)
                }
            };
            match said {
                Said::Events(events) if events.is_empty() => {}
                said => return Some(said),
            }
        }
    }

    /// What a chunk says, each text with the tokens that it is made of. Those of calls are not told: an answer
    /// says how probable its text was.
    fn weighed(&mut self, chunk: Chunk) -> Vec<(ToolEvent, Vec<TokenLogprob>)> {
        let mut said = Vec::new();
        let waiting = self.waiting.get_or_insert_default();
        let mut tell = |events: Vec<ToolEvent>, waiting: &mut Vec<TokenLogprob>| {
            for event in events {
                let of_event = std::mem::take(waiting);
                let of_text = if let ToolEvent::Content(_) = event { of_event } else { Vec::new() };
                said.push((event, of_text));
            }
        };
        match chunk {
            Chunk::Tokens { first, texts } => {
                let after = first + u32::try_from(texts.len()).unwrap_or(u32::MAX);
                let mut logprobs = self.reader.logprobs(first..after).into_iter();
                for text in texts {
                    waiting.extend(logprobs.next().unwrap_or_default());
                    let events = match &mut self.reading {
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
        let format =
            self.driver.subscribe(self.task, 0).await.ok().and_then(|subscription| subscription.tools);
        if let (Reading::Offered(tools), Some(format)) = (&self.reading, format) {
            self.reading = Reading::Calls(ToolParser::new(format, tools));
        }
    }

    fn ended(&self, end: TaskEnd) -> Said {
        match &end.failure {
            Some(failure) => Said::Failed(failed(failure, self.engine)),
            None => Said::End(end),
        }
    }
}
