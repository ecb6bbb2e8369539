//! The one place where this crate spawns. Each task has a written policy for cancel and exit.
//!
//! | task | canceled by | when it exits |
//! |---|---|---|
//! | keeper | never: it kills the worker when it is told to, or when its `Process` is dropped | the worker is reaped and its exit published |
//! | stderr | the keeper, a bounded time after the worker's exit | nothing more is forwarded |
//! | reader | never: it exits at the end of the channel, which the worker's death brings | the engine is gone: measures are answered, sinks dropped, the writer aborted |
//! | probe | itself, when the engine is gone | a worker that hangs is no longer found |
//! | writer | the reader, at the end of the channel | nothing more is sent |

use std::future::Future;

use tokio::task::JoinHandle;

/// Spawns `future`, which keeps to the table above.
#[expect(clippy::disallowed_methods, reason = "the place the table of policies belongs to")]
pub(crate) fn spawn(future: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    tokio::spawn(future)
}
