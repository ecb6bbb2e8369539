//! Work on large jobs and answers. The runtime has one thread, which every stream shares: what is large is serialized,
//! counted and parsed on another one, of which there is a bounded number.
//!
//! Rules: ORCH-SHAPE-6

use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot};
use tracing::Instrument as _;

/// Up to so many bytes are worked on at once: it takes well under a millisecond, and a thread of its own would make
/// small jobs slower.
const AT_ONCE_BYTES: usize = 64 * 1024;

/// Threads for one kind of work at a time. More would take the cores from the engines, and memory for more bodies.
pub(crate) const THREADS: usize = 2;

/// Places for answers that come in one piece, of all engines together.
pub(crate) static ANSWERS: Semaphore = Semaphore::const_new(THREADS);

/// Does `work` on about so many bytes; where they are many, on a thread for which there is one of `places`. Dropping the
/// future ends the work at its next wait, and a panic in it goes on here.
pub(crate) async fn run<T: Send + 'static>(
    places: &Semaphore,
    bytes: usize,
    work: impl Future<Output = T> + Send + 'static,
) -> T {
    if bytes <= AT_ONCE_BYTES {
        return work.await;
    }
    let _place = places.acquire().await.expect("never closed");
    let (_wanted, unwanted) = oneshot::channel::<()>();
    let runtime = Handle::current();
    let work = work.in_current_span();
    let working = tokio::task::spawn_blocking(move || {
        runtime.block_on(async move {
            tokio::select! {
                done = work => Some(done),
                _ = unwanted => None,
            }
        })
    });
    match working.await {
        Ok(Some(done)) => done,
        Ok(None) => unreachable!("it is wanted until this returns"),
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime ends, and polls nothing any more.
            Err(_) => std::future::pending().await,
        },
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    /// ORCH-SHAPE-6
    #[tokio::test]
    async fn large_work_leaves_the_runtimes_thread_and_small_work_does_not() {
        let (places, here) = (Semaphore::new(1), thread::current().id());
        let large = run(&places, AT_ONCE_BYTES + 1, async { thread::current().id() }).await;
        let small = run(&places, AT_ONCE_BYTES, async { thread::current().id() }).await;
        assert!(large != here && small == here);
    }

    /// ORCH-SHAPE-6
    #[tokio::test]
    async fn large_work_that_nobody_waits_for_ends_at_its_next_wait() {
        let places = Semaphore::new(1);
        let (began, begins) = oneshot::channel();
        let (dropped, drops) = oneshot::channel::<()>();
        let endless = run(&places, AT_ONCE_BYTES + 1, async {
            let _dropped = dropped;
            began.send(()).expect("somebody waits");
            std::future::pending::<()>().await;
        });
        tokio::select! {
            () = endless => panic!("it has no end"),
            begun = begins => begun.expect("it begins"),
        }
        assert!(drops.await.is_err());
    }
}
