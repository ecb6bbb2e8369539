//! The one place where this crate spawns. Each task has a written policy for cancel and exit.
//!
//! | task | canceled by | when it exits |
//! |---|---|---|
//! | job | `cancel`, `stop`, or the engine's end, each through its own channel | its sink has its `end`, or is dropped because the engine is gone |
//! | probe | never: it exits when the engine is gone or its handle is dropped | nothing else waits for it |
//! | watch | never: it exits when the managed process is reaped | the engine is gone |
//! | keeper | never: it ends the process when told to, or when its `Process` is dropped | the process is reaped and its exit published |
//! | output | the keeper, a bounded time after the process's exit | nothing more is forwarded |

use std::future::Future;

use tokio::task::JoinHandle;

/// Spawns `future`, which keeps to the table above.
#[expect(clippy::disallowed_methods, reason = "the place the table of policies belongs to")]
pub(crate) fn spawn(future: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    tokio::spawn(future)
}
