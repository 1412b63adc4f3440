//! A virtual function: which physical one rules it, under which number, and how its driver starts anew (PLG-SRIOV-1).

use std::fs;
use std::path::{Path, PathBuf};

use manifold_cni::CniError;
use manifold_plugin_conf::PciAddress;

use crate::interface::sysfs::{self, Sysfs};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Function {
    pub(super) path: PathBuf,
    /// The physical function's link in the host.
    pub(super) physical: String,
    pub(super) number: u32,
}

pub(super) fn find(address: &PciAddress, sysfs: Sysfs<'_>) -> Result<Function, CniError> {
    let path = sysfs.pci(address);
    if !path.exists() {
        return Err(CniError::failed(format!("this node has no PCI device `{address}`")));
    }
    let parent = path.join("physfn");
    let number = number(&parent, address.as_str()).ok_or_else(|| {
        CniError::failed(format!("the PCI device `{address}` is not a virtual function of a network card"))
    })?;
    Ok(Function { physical: sysfs::interface(&parent)?, number, path })
}

fn number(parent: &Path, address: &str) -> Option<u32> {
    fs::read_dir(parent).ok()?.flatten().find_map(|entry| {
        let number = entry.file_name().to_str()?.strip_prefix("virtfn")?.parse().ok()?;
        let target = fs::read_link(entry.path()).ok()?;
        (target.file_name()?.to_str()? == address).then_some(number)
    })
}

/// Some drivers take the address that the physical function gives only when they start.
pub(super) fn start_driver_anew(function: &Path, address: &str) -> Result<(), CniError> {
    let driver = function.join("driver");
    let tell = |file: PathBuf| {
        fs::write(&file, address).map_err(|error| {
            let text =
                format!("the driver of `{address}` cannot be started again ({}: {error})", file.display());
            CniError::io(&error, text)
        })
    };
    let real = fs::canonicalize(&driver);
    let real =
        real.map_err(|error| CniError::failed(format!("the device `{address}` has no driver ({error})")))?;
    tell(real.join("unbind"))?;
    tell(real.join("bind"))
}

/// A device that lost its driver half way gets one again.
pub(super) fn ensure_driver(function: &Path, address: &str, sysfs: Sysfs<'_>) {
    if !function.join("driver").exists() {
        // Without a driver there is no interface, which is told where that is missed.
        let _ = fs::write(sysfs.0.join("bus/pci/drivers_probe"), address);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    // Proves: PLG-SRIOV-1
    #[test]
    fn the_physical_function_and_the_number_come_from_sysfs() {
        let root = tempfile::tempdir().unwrap();
        let devices = root.path().join("bus/pci/devices");
        let physical = devices.join("0000:03:00.0");
        fs::create_dir_all(physical.join("net/ens1f0")).unwrap();
        for (n, address) in ["0000:03:02.0", "0000:03:02.1"].iter().enumerate() {
            fs::create_dir_all(devices.join(address)).unwrap();
            symlink("../0000:03:00.0", devices.join(address).join("physfn")).unwrap();
            symlink(format!("../{address}"), physical.join(format!("virtfn{n}"))).unwrap();
        }
        let of = |address: &str| find(&address.parse().unwrap(), Sysfs(root.path()));
        let second = of("0000:03:02.1").unwrap();
        assert_eq!((second.physical.as_str(), second.number), ("ens1f0", 1));
        assert!(of("0000:03:00.0").unwrap_err().msg.contains("not a virtual function"));
        assert!(of("0000:03:02.7").unwrap_err().msg.contains("no PCI device"));
    }
}
