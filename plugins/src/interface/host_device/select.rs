//! Which device is meant: a selector becomes a link of the host, or a device that a program drives (PLG-HOSTDEV-1 to -4).

use manifold_cni::{CniError, IfName};
use manifold_net::{Link, Mac, Net};
use manifold_plugin_conf::host_device::Selector;

use crate::interface::failure::Told;
use crate::interface::lent::unrecorded;
use crate::interface::sysfs::{self, Sysfs};

#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one for each call, and nothing copies it")]
pub(super) enum Chosen {
    Link(Link),
    /// A program in the pod drives it; the kernel has no link for it.
    Userspace,
}

/// `ifname` is what the device is called in pods: one that came back from there by itself is found too.
pub(super) fn find(
    host: &Net,
    selector: &Selector,
    ifname: &IfName,
    sysfs: Sysfs<'_>,
) -> Result<Chosen, CniError> {
    let named = |name: &str| host.link(name).told();
    let found = match selector {
        Selector::Name(name) => match named(name.as_str())? {
            None => stranded(host, name.as_str(), ifname)?,
            found => found,
        },
        Selector::Mac(mac) => {
            let mac = Mac(mac.octets());
            host.links().told()?.into_iter().find(|link| link.mac == Some(mac))
        }
        Selector::KernelPath(path) => match sysfs::interface(path) {
            Ok(name) => named(&name)?,
            // The path may be that of the interface itself.
            Err(error) => {
                let name = path.file_name().and_then(|name| name.to_str()).filter(|_| path.exists());
                name.map_or(Ok(None), |name| if name.len() < 16 { named(name) } else { Ok(None) })?
                    .map_or(Err(error), |link| Ok(Some(link)))?
            }
        },
        Selector::Pci(address) => return of_pci(host, &sysfs.pci(address)),
        Selector::DeviceId(id) => {
            let pci = id.parse().ok().map(|address| sysfs.pci(&address)).filter(|path| path.exists());
            match pci {
                Some(path) => return of_pci(host, &path),
                None => named(&sysfs::interface(&auxiliary(sysfs, id)?)?)?,
            }
        }
    };
    found.map(Chosen::Link).ok_or_else(|| missing(selector))
}

fn auxiliary(sysfs: Sysfs<'_>, id: &str) -> Result<std::path::PathBuf, CniError> {
    let path = sysfs.auxiliary(id);
    if path.exists() {
        return Ok(path);
    }
    Err(CniError::failed(format!("the device `{id}` is neither a PCI nor an auxiliary device of this node")))
}

fn of_pci(host: &Net, device: &std::path::Path) -> Result<Chosen, CniError> {
    if sysfs::is_userspace(device)? {
        return Ok(Chosen::Userspace);
    }
    let name = sysfs::interface(device)?;
    let link = host.link(&name).told()?;
    link.map(Chosen::Link)
        .ok_or_else(|| CniError::failed(format!("the link `{name}` has just disappeared; try again")))
}

/// A device that an older version lent, that its pod took along, and that came back under its name there.
fn stranded(host: &Net, name: &str, ifname: &IfName) -> Result<Option<Link>, CniError> {
    let links = host.links().told()?;
    Ok(links.into_iter().find(|link| unrecorded::stranded_as(link, ifname) == Some(name)))
}

fn missing(selector: &Selector) -> CniError {
    let what = match selector {
        Selector::Name(name) => format!("`{name}`"),
        Selector::Mac(mac) => format!("with MAC address `{mac}`"),
        Selector::KernelPath(path) => format!("at `{}`", path.display()),
        Selector::Pci(address) => format!("of PCI device `{address}`"),
        Selector::DeviceId(id) => format!("of device `{id}`"),
    };
    CniError::failed(format!(
        "the host has no link {what}; look whether another pod has it, or choose another"
    ))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    // Proves: PLG-HOSTDEV-2
    #[test]
    fn a_device_id_is_a_pci_device_else_an_auxiliary_one_else_an_error() {
        let root = tempfile::tempdir().unwrap();
        let net = |path: &str| fs::create_dir_all(root.path().join(path)).unwrap();
        net("bus/pci/devices/0000:00:03.0/net/lo");
        net("bus/auxiliary/devices/mlx5_core.sf.4/net/lo");
        let driver = root.path().join("bus/pci/devices/0000:00:03.0/driver");
        std::os::unix::fs::symlink("../../drivers/e1000", driver).unwrap();
        let host = Net::here().unwrap();
        let ifname: IfName = "net1".parse().unwrap();
        let of = |id: &str| find(&host, &Selector::DeviceId(id.into()), &ifname, Sysfs(root.path()));
        for id in ["0000:00:03.0", "mlx5_core.sf.4"] {
            assert!(matches!(of(id).unwrap(), Chosen::Link(link) if link.name == "lo"), "{id}");
        }
        for id in ["0000:00:04.0", "mlx5_core.sf.5"] {
            assert!(of(id).unwrap_err().msg.contains("neither a PCI nor an auxiliary device"), "{id}");
        }
    }
}
