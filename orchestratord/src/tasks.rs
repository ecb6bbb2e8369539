//! Where the daemon spawns. Each task has a written policy for cancel and exit.
//!
//! | task | canceled by | when it exits |
//! |---|---|---|
//! | driver | the last [`crate::handle::DriverHandle`] going away | nobody can ask for anything any more |
//! | pool controller, one a pool | the daemon's shutdown token, or the end of its orders when the pool was removed; a fetch that is under way is told | its replicas are gone |
//! | a fleet that leaves, one a reload | the daemon's shutdown token: its tasks are not waited for then | its replicas are gone |
//! | end of an engine that hangs, one an engine | nobody: it has the grace of a stop, and is killed then | the engine is gone |
//! | count of refused requests without a line, one a status | the end of the runtime | the count is logged |
//! | cancel of what a client left behind | the driver going away | the driver has answered |
//! | word to the service manager | the end of the daemon's stop | the driver has ended, or nobody listens |
//!
//! The server has a table of its own, and so has the supervisor of replicas.

use std::future::Future;

use tokio::task::JoinHandle;

/// Spawns `future`, which keeps to the table above.
#[expect(clippy::disallowed_methods, reason = "the place the table of policies belongs to")]
pub fn spawn<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    tokio::spawn(future)
}
