use std::os::unix::fs::symlink;

use pool_manager::devices::MemoryReading;

use super::*;
use crate::doctor::Verdict;

fn pci(dir: &Path, address: &str, class: &str, vendor: &str, driver: Option<&str>) {
    let device = dir.join(address);
    std::fs::create_dir_all(&device).unwrap();
    std::fs::write(device.join("class"), format!("{class}\n")).unwrap();
    std::fs::write(device.join("vendor"), format!("{vendor}\n")).unwrap();
    if let Some(driver) = driver {
        symlink(format!("../../drivers/{driver}"), device.join("driver")).unwrap();
    }
}

fn reading(device: Device, free_bytes: u64) -> DeviceReading {
    let memory = MemoryReading { total_bytes: 24 << 30, used_bytes: (24 << 30) - free_bytes, free_bytes };
    DeviceReading { device, name: "a card".to_owned(), memory: Some(memory), utilization: None }
}

/// ORCH-CLI-12
#[test]
fn a_card_without_its_driver_is_named_with_what_to_install() {
    let dir = tempfile::tempdir().unwrap();
    pci(dir.path(), "0000:01:00.0", "0x030000", "0x10de", Some("nouveau"));
    pci(dir.path(), "0000:02:00.0", "0x030200", "0x10de", Some("nvidia"));
    pci(dir.path(), "0000:00:1f.3", "0x040300", "0x8086", Some("snd_hda_intel"));
    let found = cards::cards(dir.path());
    assert_eq!(found.len(), 2, "{found:?}");
    let known = [reading(Device::Gpu { uuid: "GPU-1".to_owned(), index: 0 }, 8 << 30)];
    let findings = unknown_cards(&known, &found);
    assert_eq!(findings.len(), 1);
    assert_eq!(
        findings[0].message,
        "Nvidia: 2 in the machine, 1 can be used: 0000:01:00.0 (driver: nouveau), 0000:02:00.0 (driver: nvidia)"
    );
    assert!(findings[0].hint.as_ref().unwrap().contains("nvidia-smi"));
    assert_eq!(unknown_cards(&known, &found[1..]), []);
}

#[test]
fn a_device_says_its_driver_and_what_is_free_and_warns_when_little_is() {
    let card = || Device::Gpu { uuid: "GPU-1".to_owned(), index: 0 };
    let fine = device(&reading(card(), 20 << 30), Some("570.86.15"));
    assert_eq!(fine, Finding::ok("device", "gpu0: a card, driver 570.86.15, 20.0 GiB of 24.0 GiB free"));
    assert_eq!(device(&reading(card(), 1 << 30), None).status, Verdict::Warn);
    assert_eq!(
        device(&DeviceReading { memory: None, ..reading(Device::Cpu, 0) }, None).status,
        Verdict::Warn
    );
}
