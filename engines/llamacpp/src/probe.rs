//! Finds a worker that hangs, idle or busy: pings it once a second and ends it when no answer comes within a bound, or
//! when the answer says that the thread that computes has been silent for too long. The bound follows the longest
//! answer so far: a machine that is busy is slow to answer.
//!
//! Rules: ORCH-WORKER-3

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};
use worker_protocol::{Pong, ToWorker};

use crate::shared::Shared;

/// Between an answer and the next ping.
const PING_EVERY: Duration = Duration::from_secs(1);

/// The bound while answers come at once.
const LEAST_BOUND: Duration = Duration::from_secs(4);

/// The bound is so many times the longest answer.
const BOUND_TIMES: u32 = 8;

/// The largest bound.
const MOST_BOUND: Duration = Duration::from_secs(20);

/// An answer is looked for so many times more when the bound is over. The daemon may have stood still itself, and the
/// answer waits to be read.
const LAST_LOOKS: u32 = 5;

/// Between two of these looks.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The steps in which the time of an answer is counted.
const TICK: Duration = Duration::from_millis(50);

/// Pings until the engine is gone.
pub(crate) async fn run(shared: Arc<Shared>) {
    let mut gone = shared.gone.subscribe();
    let mut longest = Duration::ZERO;
    for ping in 1.. {
        tokio::select! {
            _ = gone.wait_for(Option::is_some) => return,
            () = sleep(PING_EVERY) => {}
        }
        let bound = (longest * BOUND_TIMES).clamp(LEAST_BOUND, MOST_BOUND);
        // A full queue is one that the worker does not read: there is no answer then either.
        let _ = shared.outgoing.try_send(ToWorker::Ping(ping));
        let answer = tokio::select! {
            _ = gone.wait_for(Option::is_some) => return,
            answer = answer_to(&shared, ping, bound) => answer,
        };
        let what = match answer {
            None => format!("no answer to a ping within {} ms", bound.as_millis()),
            Some((pong, _)) if pong.silent_ms > pong.limit_ms => {
                format!(
                    "the decode thread was silent for {} ms, over its limit of {} ms",
                    pong.silent_ms, pong.limit_ms
                )
            }
            Some((_, took)) => {
                longest = longest.max(took);
                continue;
            }
        };
        tracing::error!(reason = %what, "a worker hangs: it is ended");
        let _ = shared.hung.set(what);
        shared.process.kill();
        return;
    }
}

/// The answer, and about how long it took.
async fn answer_to(shared: &Shared, ping: u64, bound: Duration) -> Option<(Pong, Duration)> {
    let mut pongs = shared.pong.subscribe();
    let mut waited = Duration::ZERO;
    let mut looks = 0;
    loop {
        let step = if waited < bound { TICK } else { LOOK_EVERY };
        let answered = pongs.wait_for(|pong| pong.is_some_and(|pong| pong.ping >= ping));
        if let Ok(Ok(pong)) = timeout(step, answered).await {
            return pong.map(|pong| (pong, waited));
        }
        if waited >= bound {
            looks += 1;
            if looks > LAST_LOOKS {
                return None;
            }
        }
        waited += step;
    }
}
