//! The bound on open streams, in paused time.

use std::time::Duration;

use super::*;

/// ORCH-ERR-8
#[tokio::test(start_paused = true)]
async fn whoever_finds_all_streams_open_is_told_when_one_will_be_closed() {
    let streams = Streams::new(Clock::start());
    let retry_after = || streams.try_open(2).err();
    let first = streams.try_open(2).unwrap();
    let _second = streams.try_open(2).unwrap();
    tokio::time::advance(Duration::from_secs(4)).await;
    assert_eq!(retry_after(), Some(Millis(2000)), "they last for 4 s or more, and one of two is next");
    tokio::time::advance(Duration::from_secs(6)).await;
    drop(first);
    let _third = streams.try_open(2).unwrap();
    tokio::time::advance(Duration::from_secs(60)).await;
    assert_eq!(retry_after(), Some(Millis(5000)), "streams last for 10 s");
}
