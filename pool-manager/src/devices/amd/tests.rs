use super::super::numbered;
use super::*;

/// A folder as the kernel makes it.
struct Sysfs(tempfile::TempDir);

impl Sysfs {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn entry(self, name: &str, files: &[(&str, &str)]) -> Self {
        let device = self.0.path().join(name).join("device");
        fs::create_dir_all(&device).unwrap();
        for (file, text) in files {
            fs::write(device.join(file), format!("{text}\n")).unwrap();
        }
        self
    }

    fn read(&self) -> Vec<(PciAddress, DeviceReading)> {
        AmdCards::below(self.0.path()).read()
    }
}

const RADEON: [(&str, &str); 8] = [
    ("vendor", "0x1002"),
    ("device", "0x744c"),
    ("uevent", "DRIVER=amdgpu\nPCI_ID=1002:744C\nPCI_SLOT_NAME=0000:0b:00.0"),
    ("mem_info_vram_total", "25753026560"),
    ("mem_info_vram_used", "1073741824"),
    ("gpu_busy_percent", "37"),
    ("unique_id", "9246a3c1f0be2d55"),
    ("product_name", "Radeon RX 7900 XTX"),
];

fn but(change: &[(&'static str, &'static str)]) -> Vec<(&'static str, &'static str)> {
    let mut files = RADEON.to_vec();
    files.retain(|(name, _)| !change.iter().any(|(changed, _)| changed == name));
    files.extend(change.iter().filter(|(_, text)| *text != "-"));
    files
}

#[test]
fn a_card_tells_its_name_memory_and_load() {
    let [(address, reading)] = Sysfs::new().entry("card1", &RADEON).read().try_into().unwrap();
    assert_eq!(address, (0, 11, 0, 0));
    let device = Device::Gpu { uuid: "GPU-9246a3c1f0be2d55".into(), index: 0 };
    let memory = MemoryReading {
        total_bytes: 25_753_026_560,
        used_bytes: 1_073_741_824,
        free_bytes: 25_753_026_560 - 1_073_741_824,
    };
    let name = "Radeon RX 7900 XTX".to_owned();
    assert_eq!(reading, DeviceReading { device, name, memory: Some(memory), utilization: Some(0.37) });
}

#[test]
fn what_a_card_does_not_tell_is_absent() {
    let silent = but(&[
        ("mem_info_vram_used", "-"),
        ("gpu_busy_percent", "-"),
        ("unique_id", "-"),
        ("product_name", ""),
    ]);
    let [(_, reading)] = Sysfs::new().entry("card0", &silent).read().try_into().unwrap();
    assert_eq!((reading.memory, reading.utilization), (None, None));
    assert_eq!(reading.name, "AMD card 744c");
    assert_eq!(reading.device, Device::Gpu { uuid: "GPU-pci-0000-0b-00-0".into(), index: 0 });
}

#[test]
fn only_cards_of_this_maker_with_memory_of_their_own_are_taken() {
    let found = Sysfs::new()
        .entry("card0", &but(&[("vendor", "0x10de")]))
        .entry("card1", &but(&[("vendor", "0x8086")]))
        .entry("card2", &but(&[("mem_info_vram_total", "-")]))
        .entry("card3", &but(&[("uevent", "DRIVER=amdgpu")]))
        .entry("card4", &but(&[("mem_info_vram_total", "lots")]))
        .entry("card5-DP-1", &RADEON)
        .entry("renderD128", &RADEON)
        .entry("version", &[])
        .read();
    assert_eq!(found, []);
    assert_eq!(AmdCards::below(Path::new("/nowhere/at/all")).read(), []);
}

#[test]
fn more_in_use_than_there_is_leaves_nothing_free() {
    let [(_, reading)] = Sysfs::new()
        .entry("card0", &but(&[("mem_info_vram_used", "99999999999")]))
        .read()
        .try_into()
        .unwrap();
    let memory = reading.memory.unwrap();
    assert_eq!((memory.used_bytes, memory.free_bytes), (25_753_026_560, 0));
}

#[test]
fn cards_of_all_makers_are_numbered_by_their_place_on_the_bus() {
    let mut cards = Sysfs::new()
        .entry("card0", &but(&[("uevent", "PCI_SLOT_NAME=0000:0b:00.0"), ("product_name", "second")]))
        .entry("card1", &but(&[("uevent", "PCI_SLOT_NAME=0001:01:00.0"), ("product_name", "third")]))
        .read();
    let first = DeviceReading {
        device: Device::Gpu { uuid: "GPU-of-another-maker".into(), index: 0 },
        name: "first".into(),
        memory: None,
        utilization: None,
    };
    cards.push(((0, 1, 0, 0), first));
    let numbered: Vec<(String, String)> =
        numbered(cards).into_iter().map(|reading| (reading.device.to_string(), reading.name)).collect();
    let expected = [("gpu0", "first"), ("gpu1", "second"), ("gpu2", "third")];
    assert_eq!(numbered, expected.map(|(id, name)| (id.to_owned(), name.to_owned())));
}
