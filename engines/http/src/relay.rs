//! The hot path: from the socket of an engine to the sink of a task, without a task, channel or copy
//! between. All that one read brings is parsed and handed over in the same wake-up; the buffer belongs to
//! the thread, so that a waiting stream holds none.
//!
//! Rules: ORCH-ENG-13, ORCH-ENG-29

use std::cell::RefCell;
use std::future::poll_fn;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::{Instant, Sleep};

use crate::backend::{Answer, DONE, Ending, Last, Reading, UNKNOWN_TOKEN};
use crate::delivery::Delivery;
use crate::exchange::{Client, Incoming, Opened};
use crate::fault::Fault;
use crate::framing::More;
use crate::shape::{Shape, TextKind};
use crate::socket::Socket;
use crate::sse::SseReader;
use crate::{clock, large};

/// The content type of a stream.
const EVENT_STREAM: &str = "text/event-stream";

/// Bytes taken from a socket at a time: some hundred tokens.
const READ_BYTES: usize = 64 * 1024;

thread_local! {
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BYTES].into_boxed_slice());
}

/// Brings the answer that `opened` begins to its end. What of its body is still to come tells nothing more.
pub(crate) async fn relay<A: Answer, S: AsyncRead + Unpin>(
    client: &Client,
    opened: &mut Opened<S>,
    reading: Reading<A>,
    delivery: &mut Delivery,
) -> Result<Last, Fault> {
    if !(200..300).contains(&opened.status) {
        return Err(client.fault_of(&client.whole(opened).await?));
    }
    match reading {
        Reading::Stream(_) if !opened.content_type.starts_with(EVENT_STREAM) => {
            let content_type = &opened.content_type;
            Err(Fault::Protocol(format!(
                "{} answers with `{content_type}` where a stream of events (`{EVENT_STREAM}`) was asked for",
                client.server()
            )))
        }
        Reading::Stream(answer) => {
            if answer.is_reasoning_prefilled() {
                delivery.prefill_reasoning();
            }
            let mut relay = Relay::new(client, &mut opened.incoming, answer);
            let last = poll_fn(|cx| relay.poll(cx, delivery)).await?;
            delivery.finish(relay.events.answer.rest());
            opened.incoming.persists &= !last.is_cut;
            Ok(last)
        }
        Reading::Whole(read) => {
            let answered = client.whole(opened).await?;
            let bytes = answered.body.len();
            let reading = async move { read(&answered.body) };
            let whole = large::run(&large::ANSWERS, bytes, reading).await.map_err(|why| {
                Fault::Protocol(format!("the answer of {} makes no sense: {why}", client.server()))
            })?;
            whole.results.into_iter().for_each(|result| delivery.result(result));
            Ok(Last { tokens_in: whole.tokens_in, ..Last::default() })
        }
    }
}

/// A stream of events on its way into a sink.
pub(crate) struct Relay<'a, A, S = Socket> {
    client: &'a Client,
    incoming: &'a mut Incoming<S>,
    lines: SseReader,
    events: Events<A>,
    silence: Pin<Box<Sleep>>,
    last_read: Instant,
}

/// What reads the lines.
struct Events<A> {
    answer: A,
    shape: Shape,
    last: Option<Last>,
}

impl<'a, A: Answer, S: AsyncRead + Unpin> Relay<'a, A, S> {
    pub(crate) fn new(client: &'a Client, incoming: &'a mut Incoming<S>, answer: A) -> Self {
        let last_read = clock::now();
        let silence = Box::pin(tokio::time::sleep_until(last_read + client.timeouts().silence));
        let events = Events { answer, shape: Shape::default(), last: None };
        Self { client, incoming, lines: SseReader::default(), events, silence, last_read }
    }

    /// Hands over all that is there; ready when the answer has ended.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        delivery: &mut Delivery,
    ) -> Poll<Result<Last, Fault>> {
        if !self.incoming.rest.is_empty() {
            let rest = std::mem::take(&mut self.incoming.rest);
            if let ControlFlow::Break(end) = self.take(&rest, delivery) {
                return Poll::Ready(end);
            }
        }
        loop {
            let step = BUFFER.with_borrow_mut(|buffer| {
                let mut read = ReadBuf::new(buffer);
                match Pin::new(&mut self.incoming.socket).poll_read(cx, &mut read) {
                    Poll::Pending => None,
                    Poll::Ready(Err(error)) => {
                        Some(ControlFlow::Break(Err(self.client.cut(&error.to_string()))))
                    }
                    Poll::Ready(Ok(())) if read.filled().is_empty() => {
                        Some(ControlFlow::Break(self.at_close(delivery)))
                    }
                    Poll::Ready(Ok(())) => Some(self.take(read.filled(), delivery)),
                }
            });
            match step {
                None => return self.poll_silence(cx),
                Some(ControlFlow::Break(end)) => return Poll::Ready(end),
                Some(ControlFlow::Continue(())) => self.last_read = clock::now(),
            }
        }
    }

    /// The timer is only set anew when it fires: a read costs a look at the clock and no more.
    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<Result<Last, Fault>> {
        while self.silence.as_mut().poll(cx).is_ready() {
            let until = self.last_read + self.client.timeouts().silence;
            if until <= clock::now() {
                return Poll::Ready(Err(self.client.silent()));
            }
            self.silence.as_mut().reset(until);
        }
        Poll::Pending
    }

    fn take(&mut self, bytes: &[u8], delivery: &mut Delivery) -> ControlFlow<Result<Last, Fault>> {
        let Self { incoming, lines, events, .. } = self;
        let pushed =
            incoming.push(bytes, &mut |part| lines.push(part, &mut |event| events.take(event, delivery)));
        match (pushed, self.events.last.take()) {
            // What came before the fault was handed over; a fault behind the last event changes nothing.
            (_, Some(last)) => ControlFlow::Break(Ok(last)),
            (Err(fault), None) => ControlFlow::Break(Err(fault)),
            (Ok(More::Nothing | More::Surplus), None) => ControlFlow::Break(self.at_end(delivery)),
            (Ok(More::Expected), None) => ControlFlow::Continue(()),
        }
    }

    /// The connection was closed.
    fn at_close(&mut self, delivery: &mut Delivery) -> Result<Last, Fault> {
        if self.incoming.framing.may_end() { self.at_end(delivery) } else { Err(self.cut_off()) }
    }

    /// The body is over.
    fn at_end(&mut self, delivery: &mut Delivery) -> Result<Last, Fault> {
        let Self { lines, events, .. } = self;
        lines.finish(&mut |event| events.take(event, delivery))?;
        let last = events.last.take().or_else(|| events.answer.at_end());
        last.ok_or_else(|| self.cut_off())
    }

    fn cut_off(&self) -> Fault {
        self.client.cut("the stream stopped before the end of the answer")
    }
}

impl<A: Answer> Events<A> {
    fn take(&mut self, data: &[u8], delivery: &mut Delivery) -> Result<(), Fault> {
        if self.last.is_some() {
            return Ok(());
        }
        if A::REPEATS
            && let Some(text) = self.shape.text(data)
        {
            if !text.is_empty() {
                delivery.read.add();
            }
            delivery.token(self.shape.kind(), text, self.shape.extra());
            self.cut_beyond(delivery);
            return Ok(());
        }
        if !data.trim_ascii_start().starts_with(b"{") && data.trim_ascii() != DONE {
            return Err(Fault::Protocol("an event of the stream is not a JSON object".to_owned()));
        }
        let mut event = self.answer.read(data)?;
        if event.is_progress() {
            delivery.read.add();
        }
        self.last = event.last.take();
        let is_only_text = self.last.is_none()
            && event.tool_calls.is_empty()
            && event.logprobs.is_empty()
            && event.tokens == [UNKNOWN_TOKEN];
        let text = match (event.text.is_empty(), event.reasoning.is_empty()) {
            (false, true) => Some((&event.text, TextKind::Answer)),
            (true, false) => Some((&event.reasoning, TextKind::Reasoning)),
            _ => None,
        };
        match text.filter(|_| A::REPEATS && is_only_text) {
            Some((text, kind)) => self.shape.learn(data, text, kind, event.extra.as_ref()),
            None => self.shape.forget(),
        }
        delivery.event(event);
        self.cut_beyond(delivery);
        Ok(())
    }

    /// Ends an answer that goes on beyond what was asked for.
    fn cut_beyond(&mut self, delivery: &Delivery) {
        if self.last.is_none() && delivery.is_beyond() {
            self.last = Some(Last { ending: Ending::Length, is_cut: true, ..Last::default() });
        }
    }
}
