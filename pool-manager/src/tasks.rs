//! The one place where this crate spawns. Each task has a written policy for cancel and exit.
//!
//! | task | canceled by | when it exits |
//! |---|---|---|
//! | supervisor of a replica | its handle's `stop` or drop, the shutdown token, or the events' receiver going away; it ends its engine first | its state is `Exited`, and `stop` has its outcome |
//! | outlet of a fleet | nothing | the supervisors of its replicas have ended and all their news is out |

use std::future::Future;

use tokio::task::JoinHandle;

/// Spawns `future`, which keeps to the table above.
#[expect(clippy::disallowed_methods, reason = "the place the table of policies belongs to")]
pub(crate) fn spawn(future: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    tokio::spawn(future)
}
