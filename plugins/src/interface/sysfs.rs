//! What sysfs tells of a device: its driver, its network interface, and how virtual functions hang together.
//!
//! Every device is named by a type that was checked, so nothing a user wrote becomes a path.

use std::fs;
use std::path::{Path, PathBuf};

use manifold_cni::CniError;
use manifold_net::Link;
use manifold_plugin_conf::PciAddress;

/// Drivers that give a device to a program instead of the kernel's network.
const USERSPACE_DRIVERS: [&str; 3] = ["vfio-pci", "uio_pci_generic", "igb_uio"];

/// The tree; another one in tests.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sysfs<'a>(pub(crate) &'a Path);

impl Sysfs<'static> {
    pub(crate) fn real() -> Self {
        Self(Path::new("/sys"))
    }
}

impl Sysfs<'_> {
    pub(crate) fn pci(self, address: &PciAddress) -> PathBuf {
        self.0.join("bus/pci/devices").join(address.as_str())
    }

    /// The device behind an interface of the host.
    pub(crate) fn class_device(self, interface: &str) -> PathBuf {
        self.0.join("class/net").join(interface).join("device")
    }

    /// Whether an interface of the host is the one of that PCI device.
    pub(crate) fn is_at(self, interface: &str, address: &PciAddress) -> bool {
        let device = fs::read_link(self.class_device(interface));
        device.is_ok_and(|path| path.file_name().is_some_and(|name| name == address.as_str()))
    }

    /// Whether somebody has set the link's MAC address, so that the kernel never changes it by itself. `None` where this
    /// sysfs shows another network namespace than the link's.
    pub(crate) fn has_fixed_mac(self, link: &Link) -> Option<bool> {
        const SET: &str = "3";
        let folder = self.0.join("class/net").join(&link.name);
        let value =
            |file: &str| fs::read_to_string(folder.join(file)).ok().map(|text| text.trim_end().to_owned());
        let is_it = value("ifindex")? == link.index.to_string() && value("address")? == link.mac?.to_string();
        is_it.then(|| value("addr_assign_type")).flatten().map(|kind| kind == SET)
    }

    pub(crate) fn auxiliary(self, name: &str) -> PathBuf {
        self.0.join("bus/auxiliary/devices").join(name)
    }
}

/// Whether a program in the pod drives the device by itself. One without a driver is of use to nobody.
pub(crate) fn is_userspace(device: &Path) -> Result<bool, CniError> {
    let driver = fs::read_link(device.join("driver")).map_err(|error| {
        CniError::failed(format!(
            "the device `{}` has no driver ({error}); bind it to one",
            device.file_name().unwrap_or_default().display()
        ))
    })?;
    let name = driver.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(USERSPACE_DRIVERS.contains(&name.as_str()))
}

/// The name of the device's interface in this sysfs: straight below it, or below its virtio part.
pub(crate) fn interface(device: &Path) -> Result<String, CniError> {
    let found = first_entry(&device.join("net"), "").or_else(|| {
        let virtio = first_entry(device, "virtio")?;
        first_entry(&device.join(virtio).join("net"), "")
    });
    found.ok_or_else(|| {
        CniError::failed(format!(
            "the device `{}` has no network interface in the host; bind it to a network driver, or free it from the \
             pod that has it",
            device.file_name().unwrap_or_default().display()
        ))
    })
}

/// In the order of names, so that it is the same one every time.
fn first_entry(folder: &Path, prefix: &str) -> Option<String> {
    let entries = fs::read_dir(folder).ok()?.filter_map(Result::ok);
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| name.starts_with(prefix)).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[&str], links: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for folder in files {
            fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        for (at, to) in links {
            fs::create_dir_all(root.path().join(at).parent().unwrap()).unwrap();
            std::os::unix::fs::symlink(to, root.path().join(at)).unwrap();
        }
        root
    }

    // Proves: PLG-HOSTDEV-3
    #[test]
    fn an_interface_is_below_the_device_or_below_its_virtio_part() {
        let devices = "bus/pci/devices";
        let plain = format!("{devices}/0000:00:03.0/net/eth3");
        let virtio = format!("{devices}/0000:00:04.0/virtio2/net/eth4");
        let none = format!("{devices}/0000:00:05.0");
        let root = tree(&[&plain, &virtio, &none], &[]);
        let of = |address: &str| interface(&Sysfs(root.path()).pci(&address.parse().unwrap()));
        assert_eq!(
            (of("0000:00:03.0").unwrap(), of("0000:00:04.0").unwrap()),
            ("eth3".into(), "eth4".into())
        );
        for missing in ["0000:00:05.0", "0000:00:06.0"] {
            assert!(of(missing).unwrap_err().msg.contains("no network interface"));
        }
    }

    // Shows part of: COMPAT-18
    #[test]
    fn whether_a_mac_address_is_fixed_is_told_of_this_very_link_only() {
        let root = tree(&["class/net/br0"], &[]);
        let mac = "fe:00:00:00:00:01";
        let link = Link { name: "br0".into(), index: 7, mac: mac.parse().ok(), ..Link::default() };
        let told = |ifindex: &str, kind: &str| {
            for (file, content) in [("ifindex", ifindex), ("address", mac), ("addr_assign_type", kind)] {
                fs::write(root.path().join("class/net/br0").join(file), format!("{content}\n")).unwrap();
            }
            Sysfs(root.path()).has_fixed_mac(&link)
        };
        assert_eq!([told("7", "3"), told("7", "1"), told("8", "3")], [Some(true), Some(false), None]);
        assert_eq!(Sysfs(root.path()).has_fixed_mac(&Link { name: "br1".into(), ..link.clone() }), None);
    }

    // Proves: PLG-HOSTDEV-4
    #[test]
    fn three_drivers_give_a_device_to_a_program_and_none_is_an_error() {
        let at = |name: &str| format!("bus/pci/devices/{name}/driver");
        let drivers = [
            ("0000:00:01.0", "../../drivers/vfio-pci", true),
            ("0000:00:02.0", "../../drivers/uio_pci_generic", true),
            ("0000:00:03.0", "../../drivers/igb_uio", true),
            ("0000:00:04.0", "../../drivers/virtio-pci", false),
        ];
        for (name, driver, expected) in drivers {
            let root = tree(&[], &[(&at(name), driver)]);
            assert_eq!(
                is_userspace(&Sysfs(root.path()).pci(&name.parse().unwrap())).unwrap(),
                expected,
                "{driver}"
            );
        }
        let root = tree(&["bus/pci/devices/0000:00:05.0"], &[]);
        let error = is_userspace(&Sysfs(root.path()).pci(&"0000:00:05.0".parse().unwrap())).unwrap_err();
        assert!(error.msg.contains("has no driver"), "{error}");
    }
}
