//! The hot path: from the socket of an engine to the sink of a task, without a task, channel or copy
//! between. All that one read brings is parsed and handed over in the same wake-up; the buffer belongs to
//! the thread, so that a waiting stream holds none.

use std::cell::RefCell;
use std::future::poll_fn;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use engine_api::TaskSink;
use generation::{CallEvent, OwnAnswer, Piece, call_text};
use orchestrator_core::TokenCount;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

use crate::dialect::{Answer, DONE, Ending, Event, Last, Reading, UNKNOWN_TOKEN};
use crate::exchange::{Client, Incoming, Opened};
use crate::fault::Fault;
use crate::framing::More;
use crate::progress::EventsRead;
use crate::shape::Shape;
use crate::sse::SseReader;
use crate::{clock, large};

/// The content type of a stream.
const EVENT_STREAM: &str = "text/event-stream";

/// Tokens by which the count of an engine may differ from the one here.
const SLACK_TOKENS: u32 = 16;

/// Bytes taken from a socket at a time: some hundred tokens.
const READ_BYTES: usize = 64 * 1024;

thread_local! {
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BYTES].into_boxed_slice());
}

/// What became of an answer so far.
pub(crate) struct Told {
    pub(crate) sink: Box<dyn TaskSink>,
    /// When the first piece came.
    pub(crate) first: Option<Instant>,
    /// Tokens counted.
    pub(crate) tokens: u32,
    /// Tokens beyond which the answer is cut.
    most: Option<u32>,
    /// What came without text of its own.
    waiting: Piece,
    /// The call that has begun and not ended.
    open: Option<u32>,
    read: EventsRead,
}

impl Told {
    /// Nothing so far; what is read is counted in `read`.
    pub(crate) fn new(sink: Box<dyn TaskSink>, read: EventsRead) -> Self {
        Self { sink, first: None, tokens: 0, most: None, waiting: Piece::default(), open: None, read }
    }

    /// The same of an answer of at most `asked` tokens, of an engine that may not keep to that. What an engine holds
    /// back and tells with its last event may be counted again.
    pub(crate) fn at_most(self, asked: TokenCount) -> Self {
        Self { most: Some(asked.0.saturating_add(SLACK_TOKENS)), ..self }
    }

    /// Hands on a piece; what came before without text goes with it.
    pub(crate) fn piece(&mut self, piece: Piece) {
        self.tokens = self.tokens.saturating_add(u32::try_from(piece.tokens.len()).unwrap_or(u32::MAX));
        if piece.text.is_empty() {
            return self.wait(piece);
        }
        self.close_call();
        let piece = self.with_waiting(piece);
        if self.first.is_none() {
            self.first = Some(clock::now());
        }
        self.sink.tokens(piece);
    }

    /// What the engine said in fields of its own behind the last piece.
    pub(crate) fn take_own(&mut self) -> Option<Arc<OwnAnswer>> {
        self.waiting.own.take()
    }

    fn wait(&mut self, piece: Piece) {
        let Piece { mut tokens, mut logprobs, own, .. } = piece;
        self.waiting.tokens.append(&mut tokens);
        self.waiting.logprobs.append(&mut logprobs);
        self.waiting.own = OwnAnswer::joined(self.waiting.own.take(), own);
    }

    fn with_waiting(&mut self, mut piece: Piece) -> Piece {
        let Piece { tokens, logprobs, own, .. } = &mut self.waiting;
        if !tokens.is_empty() {
            tokens.append(&mut piece.tokens);
            piece.tokens = std::mem::take(tokens);
        }
        if !logprobs.is_empty() {
            logprobs.append(&mut piece.logprobs);
            piece.logprobs = std::mem::take(logprobs);
        }
        if own.is_some() {
            piece.own = OwnAnswer::joined(own.take(), piece.own);
        }
        piece
    }

    /// Hands on a step of a call, in a text that people can read.
    fn call(&mut self, call: CallEvent) {
        let text = match &call {
            CallEvent::Start { index, name, .. } => {
                self.close_call();
                self.open = Some(*index);
                call_text::beginning(name)
            }
            CallEvent::Arguments { text, .. } => text.clone(),
            CallEvent::End { .. } => return self.close_call(),
        };
        self.tokens = self.tokens.saturating_add(1);
        self.first.get_or_insert_with(clock::now);
        let piece = Piece { text, tokens: vec![UNKNOWN_TOKEN], calls: vec![call], ..Piece::default() };
        let piece = self.with_waiting(piece);
        self.sink.tokens(piece);
    }

    /// Ends the call that has begun, if one has.
    fn close_call(&mut self) {
        if let Some(index) = self.open.take() {
            let (text, calls) = (call_text::END.to_owned(), vec![CallEvent::End { index }]);
            self.sink.tokens(Piece { text, calls, ..Piece::default() });
        }
    }
}

/// Brings the answer that `opened` begins to its end. What of its body is still to come tells nothing more.
pub(crate) async fn relay<A: Answer, S: AsyncRead + Unpin>(
    client: &Client,
    opened: &mut Opened<S>,
    reading: Reading<A>,
    told: &mut Told,
) -> Result<Last, Fault> {
    if !(200..300).contains(&opened.status) {
        return Err(client.fault_of(&client.whole(opened).await?));
    }
    match reading {
        Reading::Stream(_) if !opened.content_type.starts_with(EVENT_STREAM) => {
            let content_type = &opened.content_type;
            Err(Fault::Nonsense(format!(
                "{} answers with `{content_type}` where a stream of events (`{EVENT_STREAM}`) was asked for",
                client.server()
            )))
        }
        Reading::Stream(answer) => {
            let mut relay = Relay::new(client, &mut opened.incoming, answer);
            let last = poll_fn(|cx| relay.poll(cx, told)).await?;
            told.close_call();
            opened.incoming.persists &= !last.is_cut;
            Ok(last)
        }
        Reading::Whole(read) => {
            let answered = client.whole(opened).await?;
            let bytes = answered.body.len();
            let reading = async move { read(&answered.body) };
            let whole = large::run(&large::ANSWERS, bytes, reading).await.map_err(|why| {
                Fault::Nonsense(format!("the answer of {} makes no sense: {why}", client.server()))
            })?;
            told.first = Some(clock::now());
            for text in whole.pieces {
                told.sink.tokens(Piece { text, ..Piece::default() });
            }
            Ok(Last { tokens_in: whole.tokens_in, ..Last::default() })
        }
    }
}

/// A stream of events on its way into a sink.
pub(crate) struct Relay<'a, A, S = TcpStream> {
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
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, told: &mut Told) -> Poll<Result<Last, Fault>> {
        if !self.incoming.rest.is_empty() {
            let rest = std::mem::take(&mut self.incoming.rest);
            if let ControlFlow::Break(end) = self.take(&rest, told) {
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
                        Some(ControlFlow::Break(self.at_close(told)))
                    }
                    Poll::Ready(Ok(())) => Some(self.take(read.filled(), told)),
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

    fn take(&mut self, bytes: &[u8], told: &mut Told) -> ControlFlow<Result<Last, Fault>> {
        let Self { incoming, lines, events, .. } = self;
        let pushed =
            incoming.push(bytes, &mut |part| lines.push(part, &mut |event| events.take(event, told)));
        match (pushed, self.events.last) {
            // What came before the fault was handed over; a fault behind the last event changes nothing.
            (_, Some(last)) => ControlFlow::Break(Ok(last)),
            (Err(fault), None) => ControlFlow::Break(Err(fault)),
            (Ok(More::Nothing | More::Surplus), None) => ControlFlow::Break(self.at_end(told)),
            (Ok(More::Expected), None) => ControlFlow::Continue(()),
        }
    }

    /// The connection was closed.
    fn at_close(&mut self, told: &mut Told) -> Result<Last, Fault> {
        if self.incoming.framing.may_end() { self.at_end(told) } else { Err(self.cut_off()) }
    }

    /// The body is over.
    fn at_end(&mut self, told: &mut Told) -> Result<Last, Fault> {
        let Self { lines, events, .. } = self;
        lines.finish(&mut |event| events.take(event, told))?;
        let last = events.last.or_else(|| events.answer.at_end());
        if last.is_some() {
            told.piece(Piece { text: events.answer.rest(), ..Piece::default() });
        }
        last.ok_or_else(|| self.cut_off())
    }

    fn cut_off(&self) -> Fault {
        self.client.cut("the stream stopped before the end of the answer")
    }
}

impl<A: Answer> Events<A> {
    fn take(&mut self, data: &[u8], told: &mut Told) -> Result<(), Fault> {
        if self.last.is_some() {
            return Ok(());
        }
        if A::REPEATS
            && let Some(text) = self.shape.text(data)
        {
            if !text.is_empty() {
                told.read.add();
            }
            let own = self.shape.own();
            told.piece(Piece { text: text.to_owned(), tokens: vec![UNKNOWN_TOKEN], own, ..Piece::default() });
            self.cut_beyond(told);
            return Ok(());
        }
        if !data.trim_ascii_start().starts_with(b"{") && data.trim_ascii() != DONE {
            return Err(Fault::Nonsense("an event of the stream is not a JSON object".to_owned()));
        }
        let event = self.answer.read(data)?;
        if event.is_progress() {
            told.read.add();
        }
        self.last = event.last;
        let Event { text, tokens, logprobs, own, calls, last, .. } = event;
        let only_text =
            last.is_none() && calls.is_empty() && logprobs.is_empty() && tokens == [UNKNOWN_TOKEN];
        if A::REPEATS && !text.is_empty() && only_text {
            self.shape.learn(data, &text, own.as_ref());
        } else {
            self.shape.forget();
        }
        told.piece(Piece { text: text.into_owned(), tokens, logprobs, own, ..Piece::default() });
        calls.into_iter().for_each(|call| told.call(call));
        self.cut_beyond(told);
        Ok(())
    }

    /// Ends an answer that goes on beyond what was asked for.
    fn cut_beyond(&mut self, told: &Told) {
        if self.last.is_none() && told.most.is_some_and(|most| told.tokens > most) {
            self.last = Some(Last { ending: Ending::Length, is_cut: true, ..Last::default() });
        }
    }
}
