//! One exchange, fed to the code that reads a socket under every split of its bytes: at each place once, and
//! one byte at a time.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use generation::{ExtraFields, OutputChunk};
use tokio::io::{AsyncRead, ReadBuf};

use super::recording_sink::{SinkCall, listen};
use crate::address::Address;
use crate::backend::{Answer, Last, Reading};
use crate::config::Timeouts;
use crate::delivery::Delivery;
use crate::exchange::Client;
use crate::fault::Fault;
use crate::progress::EventsRead;
use crate::relay;

/// What came of an exchange.
#[derive(Clone, Debug, PartialEq)]
pub struct Replayed {
    /// The pieces, in order.
    pub pieces: Vec<OutputChunk>,
    /// Its end.
    pub end: Result<Last, Fault>,
    /// What came in fields of the engine's own behind the last piece.
    pub extra: Option<Arc<ExtraFields>>,
}

impl Replayed {
    /// The whole text.
    #[must_use]
    pub fn text(&self) -> String {
        self.pieces.iter().map(|piece| piece.text.as_str()).collect()
    }
}

/// A connection that gives one part a read, and then its end.
struct Parts(VecDeque<Vec<u8>>);

impl AsyncRead for Parts {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        to: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        if let Some(part) = self.0.front_mut() {
            let count = part.len().min(to.remaining());
            to.put_slice(&part[..count]);
            if count == part.len() {
                self.0.pop_front();
            } else {
                *part = part.split_off(count);
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// Reads the exchange `bytes`, from the status line to the last byte, under every split, and gives what came
/// of it.
///
/// # Panics
/// When one split gives something else than another.
pub async fn replay_every_split<A: Answer>(bytes: &[u8], reading: impl Fn() -> Reading<A>) -> Replayed {
    let whole = replay(VecDeque::from([bytes.to_vec()]), reading()).await;
    let bytewise = bytes.iter().map(|byte| vec![*byte]).collect();
    assert_eq!(replay(bytewise, reading()).await, whole, "one byte at a time");
    for at in 1..bytes.len() {
        let parts = VecDeque::from([bytes[..at].to_vec(), bytes[at..].to_vec()]);
        let what = String::from_utf8_lossy(&bytes[at.saturating_sub(20)..at]);
        assert_eq!(replay(parts, reading()).await, whole, "split at {at}, behind {what:?}");
    }
    whole
}

async fn replay<A: Answer>(parts: VecDeque<Vec<u8>>, reading: Reading<A>) -> Replayed {
    let client = Client::new("an engine", Address::of_this_machine(1), None, Timeouts::default());
    let (sink, mut heard) = listen();
    let mut delivery = Delivery::new(sink, EventsRead::default());
    let end = match client.read_head(Parts(parts)).await {
        Ok(mut opened) => relay::relay(&client, &mut opened, reading, &mut delivery).await,
        Err(fault) => Err(fault),
    };
    let extra = delivery.take_extra();
    drop(delivery);
    let mut pieces = Vec::new();
    while let Ok(heard) = heard.try_recv() {
        if let SinkCall::Token(piece) = heard {
            pieces.push(piece);
        }
    }
    Replayed { pieces, end, extra }
}
