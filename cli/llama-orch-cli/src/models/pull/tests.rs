use super::*;

fn seen(done: u64, total: Option<u64>) -> Seen {
    Seen { phase: Phase::Fetching, source: "huggingface.co".into(), done, total }
}

#[test]
fn a_line_says_how_far_it_is_how_fast_and_how_long_it_will_take() {
    const MIB: u64 = 1 << 20;
    let second = Duration::from_secs(1);
    let cases = [
        (seen(0, None), 0, Duration::ZERO, "fetching from huggingface.co: 0 B"),
        (seen(10 * MIB, Some(0)), 0, second, "fetching from huggingface.co: 10.0 MiB"),
        (
            seen(30 * MIB, Some(40 * MIB)),
            10 * MIB,
            second * 5,
            "fetching from huggingface.co: 30.0 MiB of 40.0 MiB (75 %), 2.0 MiB/s, 5 s left",
        ),
        (
            seen(40 * MIB, Some(40 * MIB)),
            10 * MIB,
            second * 5,
            "fetching from huggingface.co: 40.0 MiB of 40.0 MiB (100 %), 2.0 MiB/s",
        ),
        (
            seen(41 * MIB, Some(40 * MIB)),
            41 * MIB,
            second / 2,
            "fetching from huggingface.co: 41.0 MiB of 40.0 MiB (100 %)",
        ),
    ];
    for (seen, gained, elapsed, line) in cases {
        assert_eq!(describe(&seen, gained, elapsed), line);
    }
}
