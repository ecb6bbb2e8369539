use proptest::prelude::*;

use orchestrator_core::TokenCount;

use super::*;

const GIB: u64 = 1 << 30;

fn card(index: u32) -> Device {
    Device::Gpu { uuid: format!("GPU-{index}"), index }
}

fn candidate(index: u32, need: Option<Need>, free_bytes: Option<u64>) -> DeviceCandidate {
    DeviceCandidate { device: card(index), need, free_bytes, usable_bytes: free_bytes }
}

fn need(fixed_bytes: u64, kv_bytes: u64) -> Option<Need> {
    Some(Need { fixed_bytes, bytes_per_token: kv_bytes / 32_768, ctx: TokenCount(32_768) })
}

fn query(candidates: Vec<DeviceCandidate>, ctx: CtxRequest) -> FitQuery {
    FitQuery { candidates, replicas: None, ctx, slots: 1, others: 0 }
}

fn context(fit: &Fit) -> (u32, u32) {
    let context = fit.sites[0].context.expect("known");
    (context.ctx.0, context.kv_cells.0)
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
    let fit = query(candidates, CtxRequest::Exact).answer();
    assert_eq!(devices(&fit), [card(0), card(2)]);
}

/// ORCH-DEV-3
#[test]
fn more_replicas_than_devices_go_round_as_far_as_there_is_room() {
    let candidates =
        vec![candidate(0, need(2 * GIB, 0), Some(7 * GIB)), candidate(1, need(2 * GIB, 0), Some(3 * GIB))];
    let fit = FitQuery { replicas: Some(5), ..query(candidates, CtxRequest::Exact) }.answer();
    assert_eq!(devices(&fit), [card(0), card(1), card(0), card(0)]);
}

/// ORCH-DEV-4
#[test]
fn what_does_not_fit_is_refused_with_the_arithmetic() {
    let candidates = vec![candidate(1, need(7 * GIB + GIB / 2, 4 * GIB + GIB / 4), Some(10 * GIB + GIB / 5))];
    let fit = query(candidates, CtxRequest::Exact).answer();
    assert!(fit.sites.is_empty());
    assert_eq!(
        fit.refusal(),
        "needs 11.7 GiB, 10.2 GiB free on gpu1: 7.5 GiB for weights and buffers, 4.2 GiB for a KV cache of 32768 tokens \
         (136 KiB a token); fits with ctx 20736"
    );
    assert!(fit.never, "no other model could make room for it");
}

/// ORCH-DEV-4
#[test]
fn the_context_is_lowered_where_that_is_allowed_and_nowhere_else() {
    let candidates = vec![candidate(0, need(8 * GIB, 4 * GIB), Some(10 * GIB))];
    let fit = query(candidates, CtxRequest::AtMost).answer();
    assert_eq!(context(&fit), (16_384, 16_384));
    assert_eq!(
        fit.placements[0].why,
        "needs 10.0 GiB, 10.0 GiB free on gpu0: 8.0 GiB for weights and buffers, 2.0 GiB for a KV cache of 16384 tokens \
         (128 KiB a token)\na request may take 16384 of the 32768 tokens of `ctx`; more needs free memory, or a smaller \
         quantisation of the model"
    );
}

#[test]
fn weights_alone_that_do_not_fit_name_no_context() {
    let candidates = vec![candidate(0, need(12 * GIB, 4 * GIB), Some(10 * GIB))];
    let fit = query(candidates, CtxRequest::AtMost).answer();
    assert!(fit.refusal().starts_with("needs 12.0 GiB, 10.0 GiB free on gpu0"), "{}", fit.refusal());
    assert!(!fit.refusal().contains("fits with"), "{}", fit.refusal());
}

#[test]
fn what_is_not_known_refuses_nothing() {
    let candidates = vec![candidate(0, None, Some(0)), candidate(1, need(GIB, 0), None)];
    let fit = FitQuery { replicas: Some(4), ..query(candidates, CtxRequest::Exact) }.answer();
    assert_eq!(fit.sites.len(), 4);
}

#[test]
fn small_sizes_are_told_in_mib() {
    assert_eq!(gib(100 * (1 << 20)), "100 MiB");
    assert_eq!(gib(0), "0 MiB");
}

/// ORCH-DEV-10
#[test]
fn a_card_gives_what_is_free_divided_by_the_pools_that_are_to_come() {
    let on_card = |free: u64, others: usize, slots: u16| {
        let candidates = vec![candidate(0, need(4 * GIB, 4 * GIB), Some(free))];
        context(&FitQuery { others, slots, ..query(candidates, CtxRequest::Auto) }.answer())
    };
    assert_eq!(on_card(30 * GIB, 0, 4), (32_768, 4 * 32_768), "each slot could hold the longest request");
    assert_eq!(on_card(10 * GIB, 0, 4), (32_768, 49_152), "the slots share what there is");
    assert_eq!(on_card(7 * GIB, 0, 4), (24_576, 24_576), "less than the model could have");
    assert_eq!(on_card(10 * GIB, 1, 4), (8192, 8192), "another model gets as much");
    assert_eq!(on_card(7 * GIB, 1, 4), (4096, 4096), "but what a short conversation needs is taken");
}

/// ORCH-DEV-10
#[test]
fn the_processor_keeps_three_quarters_of_the_free_memory_for_the_machine() {
    let on_cpu = |free: u64, request: CtxRequest, ctx: u32| {
        let need = Need { fixed_bytes: GIB, bytes_per_token: 128 * 1024, ctx: TokenCount(ctx) };
        let cpu = DeviceCandidate { device: Device::Cpu, ..candidate(0, Some(need), Some(free)) };
        FitQuery { slots: 4, ..query(vec![cpu], request) }.answer()
    };
    assert_eq!(context(&on_cpu(9 * GIB, CtxRequest::Auto, 131_072)), (16_384, 16_384), "2 of 8 GiB");
    assert_eq!(
        context(&on_cpu(90 * GIB, CtxRequest::Auto, 131_072)),
        (32_768, 32_768),
        "and no more than a bound"
    );
    assert_eq!(
        context(&on_cpu(90 * GIB, CtxRequest::Exact, 131_072)),
        (131_072, 131_072),
        "which a number lifts"
    );
    assert_eq!(
        context(&on_cpu(90 * GIB, CtxRequest::Auto, 8192)),
        (8192, 16_384),
        "two of the longest requests"
    );
    assert_eq!(context(&on_cpu(2 * GIB, CtxRequest::Auto, 8192)), (4096, 4096));
    let fit = on_cpu(9 * GIB, CtxRequest::Auto, 131_072);
    let why = &fit.placements[0].why;
    assert_eq!(fit.placements[0].ctx, fit.sites[0].context.map(|context| context.ctx));
    assert!(fit.placements[0].ctx.is_some());
    assert!(
        why.ends_with(
            "a request may take 16384 of the 131072 tokens that the model was trained with; `ctx: 65536` would fit, too"
        ),
        "{why}"
    );
}

/// ORCH-DEV-4
#[test]
fn what_another_model_could_make_room_for_is_not_given_up_for_good() {
    let loaded =
        DeviceCandidate { usable_bytes: Some(20 * GIB), ..candidate(0, need(8 * GIB, 4 * GIB), Some(GIB)) };
    let fit = query(vec![loaded], CtxRequest::Exact).answer();
    assert!(fit.sites.is_empty() && !fit.never);
}

proptest! {
    /// ORCH-DEV-4
    #[test]
    fn no_device_is_ever_given_more_than_it_has(
        candidates in prop::collection::vec((0_u64..20, 0_u64..20, 0_u64..40), 0..5),
        replicas in prop::option::of(1_u16..9),
        request in prop_oneof![Just(CtxRequest::Auto), Just(CtxRequest::Exact), Just(CtxRequest::AtMost)],
        slots in 1_u16..9,
        others in 0_usize..3,
    ) {
        let candidates: Vec<DeviceCandidate> = (0..).zip(candidates)
            .map(|(index, (fixed, kv, free))| candidate(index, need(fixed * GIB, kv * GIB), Some(free * GIB)))
            .collect();
        let fit = FitQuery { candidates: candidates.clone(), replicas, ctx: request, slots, others }.answer();
        for candidate in &candidates {
            let taken: u64 = fit.sites.iter()
                .filter(|site| site.device == candidate.device)
                .filter_map(|site| site.expected_bytes)
                .sum();
            prop_assert!(taken <= candidate.free_bytes.unwrap_or(0));
        }
        for site in &fit.sites {
            let context = site.context.expect("known");
            prop_assert!(context.ctx <= context.kv_cells, "one request fits the cache");
            prop_assert!(context.kv_cells.0 <= context.ctx.0 * u32::from(slots), "no more than the slots can use");
            prop_assert!(request != CtxRequest::Exact || context.ctx == TokenCount(32_768), "what is asked for is kept");
        }
        prop_assert!(fit.sites.len() <= replicas.map_or(candidates.len(), usize::from));
    }
}
