//! What the tests of the adapters need. A server that answers as told, byte for byte, over real sockets; a
//! sink that listens; and an exchange replayed under every split of its bytes, through the same code that
//! reads a socket.

mod recording_sink;
mod replay;
mod server;

pub use recording_sink::{Recording, RecordingSink, SinkCall, job, listen, spec, within};
pub use replay::{Replayed, replay_every_split};
pub use server::{FakeServer, Reply, Request, Then, chunked, json, sse};
