use pool_manager::DeviceReading;
use pool_manager::devices::MemoryReading;

use super::*;

fn card(index: u32, free_bytes: Option<u64>) -> DeviceReading {
    let memory =
        free_bytes.map(|free| MemoryReading { total_bytes: 100, used_bytes: 100 - free, free_bytes: free });
    let device = Device::Gpu { uuid: format!("GPU-{index}"), index };
    DeviceReading { device, name: "a card".into(), memory, utilization: None }
}

fn two_cards() -> Snapshot {
    Snapshot { devices: vec![card(0, Some(10)), card(1, Some(90))], ..Snapshot::default() }
}

fn names(devices: &[Device]) -> Vec<String> {
    devices.iter().map(ToString::to_string).collect()
}

#[test]
fn a_build_without_a_back_end_computes_on_the_processor_though_there_are_cards() {
    assert_eq!(names(&devices(&DevicesChoice::Auto, &two_cards(), Offload::None)), ["cpu"]);
}

/// ORCH-DEV-3
#[test]
fn the_emptiest_card_comes_first() {
    let chosen = devices(&DevicesChoice::Auto, &two_cards(), Offload::Nvidia);
    assert_eq!(names(&chosen), ["gpu1", "gpu0"]);
    assert_eq!(names(&devices(&DevicesChoice::Auto, &Snapshot::default(), Offload::Nvidia)), ["cpu"]);
}

/// ORCH-DEV-3
#[test]
fn auto_takes_the_card_with_most_free_memory_else_the_processor() {
    let cases = [
        (vec![], None),
        (vec![card(0, None)], None),
        (vec![card(0, Some(4)), card(1, Some(11)), card(2, Some(7))], Some(1)),
        (vec![card(0, Some(7)), card(1, Some(7))], Some(0)),
        (vec![card(0, None), card(1, Some(0))], Some(1)),
    ];
    for (mut cards, expected) in cases {
        // The machine's own memory is larger than any card's, and no card's.
        cards.insert(0, DeviceReading { device: Device::Cpu, ..card(0, Some(24)) });
        let found = Snapshot { devices: cards, ..Snapshot::default() };
        let chosen = match &devices(&DevicesChoice::Auto, &found, Offload::Nvidia)[0] {
            Device::Cpu => None,
            Device::Gpu { index, .. } => Some(*index),
        };
        assert_eq!(chosen, expected, "{found:?}");
    }
}

#[test]
fn a_back_end_that_finds_its_own_device_is_given_none_by_name() {
    let chosen = devices(&DevicesChoice::Auto, &Snapshot::default(), Offload::Own);
    assert_eq!(chosen, [Device::Gpu { uuid: String::new(), index: 0 }]);
}

/// ORCH-DEV-1
#[test]
fn a_card_is_found_by_its_place_and_by_its_name() {
    let of = |choice| devices(&DevicesChoice::Listed(vec![choice]), &two_cards(), Offload::Nvidia);
    assert_eq!(names(&of(DeviceChoice::GpuIndex(0))), ["gpu0"]);
    assert_eq!(names(&of(DeviceChoice::GpuUuid("GPU-1".into()))), ["gpu1"]);
    assert_eq!(of(DeviceChoice::GpuUuid("GPU-9".into())), [Device::Gpu { uuid: "GPU-9".into(), index: 0 }]);
}
