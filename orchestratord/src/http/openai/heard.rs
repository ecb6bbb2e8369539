//! What one task says, read for calls of tools where it may call some.

use adapter_api::{EngineKind, Tool};
use orchestrator_core::TaskId;
use tool_calls::ToolParser;

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
        Self { reader, engine, task, driver, reading }
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
