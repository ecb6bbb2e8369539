use proptest::prelude::*;

use super::*;

const GIB: u64 = 1 << 30;

fn card(index: u32) -> Device {
    Device::Gpu { uuid: format!("GPU-{index}"), index }
}

fn candidate(index: u32, need: Option<Need>, free_bytes: Option<u64>) -> DeviceCandidate {
    DeviceCandidate { device: card(index), need, free_bytes }
}

fn need(fixed_bytes: u64, kv_bytes: u64) -> Option<Need> {
    Some(Need { fixed_bytes, kv_bytes, ctx: TokenCount(32_768) })
}

fn devices(fit: &Fit) -> Vec<Device> {
    fit.sites.iter().map(|site| site.device.clone()).collect()
}

/// ORCH-DEV-3
#[test]
fn unless_a_number_is_given_each_device_that_fits_gets_one() {
    let candidates = vec![
        candidate(0, need(4 * GIB, GIB), Some(6 * GIB)),
        candidate(1, need(4 * GIB, GIB), Some(3 * GIB)),
        candidate(2, need(4 * GIB, GIB), Some(20 * GIB)),
    ];
    let fit = FitQuery { candidates, replicas: None, may_lower_ctx: false }.answer();
    assert_eq!(devices(&fit), [card(0), card(2)]);
}

/// ORCH-DEV-3
#[test]
fn more_replicas_than_devices_go_round_as_far_as_there_is_room() {
    let candidates =
        vec![candidate(0, need(2 * GIB, 0), Some(7 * GIB)), candidate(1, need(2 * GIB, 0), Some(3 * GIB))];
    let fit = FitQuery { candidates, replicas: Some(5), may_lower_ctx: false }.answer();
    assert_eq!(devices(&fit), [card(0), card(1), card(0), card(0)]);
}

/// ORCH-DEV-4
#[test]
fn what_does_not_fit_is_refused_with_the_arithmetic() {
    let candidates = vec![candidate(1, need(7 * GIB + GIB / 2, 4 * GIB + GIB / 4), Some(10 * GIB + GIB / 5))];
    let fit = FitQuery { candidates, replicas: None, may_lower_ctx: false }.answer();
    assert!(fit.sites.is_empty());
    assert_eq!(fit.refusal(), "needs 11.7 GiB, 10.2 GiB free on gpu1; fits with ctx 20736");
}

/// ORCH-DEV-4
#[test]
fn the_context_is_lowered_where_that_is_allowed_and_nowhere_else() {
    let candidates = vec![candidate(0, need(8 * GIB, 4 * GIB), Some(10 * GIB))];
    let fit = FitQuery { candidates, replicas: None, may_lower_ctx: true }.answer();
    assert_eq!(fit.sites[0].lowered_ctx, Some(TokenCount(16_384)));
    assert_eq!(
        fit.placements[0].why,
        "needs 10.0 GiB with ctx lowered from 32768 to 16384, 10.0 GiB free on gpu0"
    );
}

#[test]
fn weights_alone_that_do_not_fit_name_no_context() {
    let candidates = vec![candidate(0, need(12 * GIB, 4 * GIB), Some(10 * GIB))];
    let fit = FitQuery { candidates, replicas: None, may_lower_ctx: true }.answer();
    assert_eq!(fit.refusal(), "needs 16.0 GiB, 10.0 GiB free on gpu0");
}

#[test]
fn what_is_not_known_refuses_nothing() {
    let candidates = vec![candidate(0, None, Some(0)), candidate(1, need(GIB, 0), None)];
    let fit = FitQuery { candidates, replicas: Some(4), may_lower_ctx: false }.answer();
    assert_eq!(fit.sites.len(), 4);
}

#[test]
fn small_sizes_are_told_in_mib() {
    assert_eq!(gib(100 * (1 << 20)), "100 MiB");
    assert_eq!(gib(0), "0 MiB");
}

proptest! {
    /// ORCH-DEV-4
    #[test]
    fn no_device_is_ever_given_more_than_it_has(
        candidates in prop::collection::vec((0_u64..20, 0_u64..20, 0_u64..40), 0..5),
        replicas in prop::option::of(1_u16..9),
        may_lower_ctx: bool,
    ) {
        let candidates: Vec<DeviceCandidate> = (0..).zip(candidates)
            .map(|(index, (fixed, kv, free))| candidate(index, need(fixed * GIB, kv * GIB), Some(free * GIB)))
            .collect();
        let fit = FitQuery { candidates: candidates.clone(), replicas, may_lower_ctx }.answer();
        for candidate in &candidates {
            let taken: u64 = fit.sites.iter()
                .filter(|site| site.device == candidate.device)
                .filter_map(|site| site.expected_bytes)
                .sum();
            prop_assert!(taken <= candidate.free_bytes.unwrap_or(0));
        }
        prop_assert!(fit.sites.len() <= replicas.map_or(candidates.len(), usize::from));
    }
}
