//! Work whose time grows with what a caller sends or gets. The runtime has one thread, which every stream shares: what
//! is large is parsed, checked, hashed and serialized on another one, of which there is a bounded number.
//!
//! Rules: ORCH-SHAPE-6

use tokio::sync::Semaphore;

use crate::backpressure::Refusal;

/// Work on up to so many bytes is done at once: it takes well under a millisecond, and a thread of its own would make
/// small requests slower.
pub(super) const AT_ONCE_BYTES: usize = 64 * 1024;

/// Threads that such work has at a time. More would take the cores from the engines, and memory for more bodies.
const THREADS: usize = 2;

static PLACES: Semaphore = Semaphore::const_new(THREADS);

/// Does `work` on about so many bytes. A panic in it goes on here.
///
/// # Errors
/// [`Refusal::Internal`] when the runtime ends first.
pub(super) async fn run<T: Send + 'static>(
    bytes: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Refusal> {
    if bytes <= AT_ONCE_BYTES {
        return Ok(work());
    }
    let place = PLACES.acquire().await.map_err(|_| Refusal::Internal)?;
    // The place goes back when the work is done, also where nobody waits for it any more.
    let working = tokio::task::spawn_blocking(move || {
        let done = work();
        drop(place);
        done
    });
    match working.await {
        Ok(done) => Ok(done),
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(Refusal::Internal),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ORCH-SHAPE-6
    #[tokio::test]
    async fn large_work_waits_for_a_place_and_small_work_does_not() {
        let _all = PLACES.acquire_many(u32::try_from(THREADS).unwrap()).await.unwrap();
        let large = run(AT_ONCE_BYTES + 1, || "large");
        tokio::pin!(large);
        tokio::select! {
            biased;
            _ = &mut large => panic!("there is no place"),
            small = run(AT_ONCE_BYTES, || "small") => assert_eq!(small, Ok("small")),
        }
        drop(_all);
        assert_eq!(large.await, Ok("large"));
    }

    /// ORCH-SHAPE-6
    #[tokio::test]
    async fn large_work_leaves_the_runtimes_thread() {
        let here = std::thread::current().id();
        let large = run(AT_ONCE_BYTES + 1, || std::thread::current().id()).await.unwrap();
        let small = run(AT_ONCE_BYTES, || std::thread::current().id()).await.unwrap();
        assert!(large != here && small == here);
    }

    /// ORCH-SHAPE-6
    #[tokio::test]
    #[should_panic(expected = "on purpose")]
    async fn a_panic_of_large_work_is_one_of_its_request() {
        let _ = run(AT_ONCE_BYTES + 1, || panic!("on purpose")).await;
    }
}
