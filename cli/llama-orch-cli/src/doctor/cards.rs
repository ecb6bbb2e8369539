//! The graphics cards that sit in the machine, whether a driver knows them or not, as the kernel's list of PCI
//! devices has them.

use std::path::Path;

/// Where the kernel lists what sits on the PCI bus.
pub const PCI_DIR: &str = "/sys/bus/pci/devices";
/// PCI's class of display controllers.
const DISPLAY_CLASS: &str = "0x03";

/// Who made a card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Maker {
    Nvidia,
    Amd,
    Intel,
}

impl Maker {
    fn of_pci_id(id: &str) -> Option<Self> {
        match id {
            "0x10de" => Some(Self::Nvidia),
            "0x1002" => Some(Self::Amd),
            "0x8086" => Some(Self::Intel),
            _ => None,
        }
    }
}

/// A card and the kernel's driver that has taken it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    pub maker: Maker,
    /// Its place on the bus.
    pub address: String,
    pub driver: Option<String>,
}

/// The cards below `dir`; none where there is no such list.
pub fn cards(dir: &Path) -> Vec<Card> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let mut cards: Vec<Card> = entries.flatten().filter_map(|entry| card(&entry.path())).collect();
    cards.sort_by(|a, b| a.address.cmp(&b.address));
    cards
}

fn card(device: &Path) -> Option<Card> {
    let read =
        |name: &str| std::fs::read_to_string(device.join(name)).ok().map(|text| text.trim().to_owned());
    if !read("class")?.starts_with(DISPLAY_CLASS) {
        return None;
    }
    let driver = std::fs::read_link(device.join("driver")).ok();
    Some(Card {
        maker: Maker::of_pci_id(&read("vendor")?)?,
        address: device.file_name()?.to_string_lossy().into_owned(),
        driver: driver.and_then(|driver| Some(driver.file_name()?.to_string_lossy().into_owned())),
    })
}
