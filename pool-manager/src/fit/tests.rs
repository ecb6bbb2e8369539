use proptest::prelude::*;

use super::*;

const GIB: u64 = 1 << 30;

fn card(index: u32) -> Device {
    Device::Gpu { uuid: format!("GPU-{index}"), index }
}

fn site(index: u32, need: Option<Need>, free_bytes: Option<u64>) -> Site {
    Site { device: card(index), need, free_bytes }
}

fn need(fixed_bytes: u64, kv_bytes: u64) -> Option<Need> {
    Some(Need { fixed_bytes, kv_bytes, ctx: TokenCount(32_768) })
}

fn devices(fit: &Fit) -> Vec<Device> {
    fit.seats.iter().map(|seat| seat.device.clone()).collect()
}

/// ORCH-DEV-3
#[test]
fn unless_a_number_is_given_each_device_that_fits_gets_one() {
    let sites = vec![
        site(0, need(4 * GIB, GIB), Some(6 * GIB)),
        site(1, need(4 * GIB, GIB), Some(3 * GIB)),
        site(2, need(4 * GIB, GIB), Some(20 * GIB)),
    ];
    let fit = FitQuery { sites, replicas: None, may_lower_ctx: false }.answer();
    assert_eq!(devices(&fit), [card(0), card(2)]);
}

/// ORCH-DEV-3
#[test]
fn more_replicas_than_devices_go_round_as_far_as_there_is_room() {
    let sites = vec![site(0, need(2 * GIB, 0), Some(7 * GIB)), site(1, need(2 * GIB, 0), Some(3 * GIB))];
    let fit = FitQuery { sites, replicas: Some(5), may_lower_ctx: false }.answer();
    assert_eq!(devices(&fit), [card(0), card(1), card(0), card(0)]);
}

/// ORCH-DEV-4
#[test]
fn what_does_not_fit_is_refused_with_the_arithmetic() {
    let sites = vec![site(1, need(7 * GIB + GIB / 2, 4 * GIB + GIB / 4), Some(10 * GIB + GIB / 5))];
    let fit = FitQuery { sites, replicas: None, may_lower_ctx: false }.answer();
    assert!(fit.seats.is_empty());
    assert_eq!(fit.refusal(), "needs 11.7 GiB, 10.2 GiB free on gpu1; fits with ctx 20736");
}

/// ORCH-DEV-4
#[test]
fn the_context_is_lowered_where_that_is_allowed_and_nowhere_else() {
    let sites = vec![site(0, need(8 * GIB, 4 * GIB), Some(10 * GIB))];
    let fit = FitQuery { sites, replicas: None, may_lower_ctx: true }.answer();
    assert_eq!(fit.seats[0].lowered_ctx, Some(TokenCount(16_384)));
    assert_eq!(
        fit.placements[0].why,
        "needs 10.0 GiB with ctx lowered from 32768 to 16384, 10.0 GiB free on gpu0"
    );
}

#[test]
fn weights_alone_that_do_not_fit_name_no_context() {
    let sites = vec![site(0, need(12 * GIB, 4 * GIB), Some(10 * GIB))];
    let fit = FitQuery { sites, replicas: None, may_lower_ctx: true }.answer();
    assert_eq!(fit.refusal(), "needs 16.0 GiB, 10.0 GiB free on gpu0");
}

#[test]
fn what_is_not_known_refuses_nothing() {
    let sites = vec![site(0, None, Some(0)), site(1, need(GIB, 0), None)];
    let fit = FitQuery { sites, replicas: Some(4), may_lower_ctx: false }.answer();
    assert_eq!(fit.seats.len(), 4);
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
        sites in prop::collection::vec((0_u64..20, 0_u64..20, 0_u64..40), 0..5),
        replicas in prop::option::of(1_u16..9),
        may_lower_ctx: bool,
    ) {
        let sites: Vec<Site> = (0..).zip(sites)
            .map(|(index, (fixed, kv, free))| site(index, need(fixed * GIB, kv * GIB), Some(free * GIB)))
            .collect();
        let fit = FitQuery { sites: sites.clone(), replicas, may_lower_ctx }.answer();
        for site in &sites {
            let taken: u64 = fit.seats.iter()
                .filter(|seat| seat.device == site.device)
                .filter_map(|seat| seat.expected_bytes)
                .sum();
            prop_assert!(taken <= site.free_bytes.unwrap_or(0));
        }
        prop_assert!(fit.seats.len() <= replicas.map_or(sites.len(), usize::from));
    }
}
