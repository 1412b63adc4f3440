//! Where a delegate leaves what it knows of its device: a path that no other attachment has (NPWG-DI-4.2-1).

use std::path::{Path, PathBuf};

use manifold_cni::{ContainerId, IfName, NetworkName};

use crate::Refusal;

/// What a file name may have.
const NAME_MOST: usize = 255;

/// `<folder>/<network>-<container>:<interface>`. Neither a container id nor an interface name can have the `:`, so two
/// attachments never share a file; the network stands there for people, and is cut where the name gets too long.
///
/// # Errors
/// If a name cannot be part of a path.
pub fn path(
    folder: &Path,
    network: &NetworkName,
    container: &ContainerId,
    ifname: &IfName,
) -> Result<PathBuf, Refusal> {
    let unique = format!("{container}:{ifname}");
    let room = NAME_MOST.checked_sub(unique.len() + 1).ok_or_else(|| {
        Refusal::new(
            format!(
                "the container id has {} bytes, too many for the name of a device-info file",
                container.as_str().len()
            ),
            "the container runtime must use shorter ids",
        )
    })?;
    // A network name is ASCII, so every cut is between characters.
    let network = network.as_str().get(..room).unwrap_or(network.as_str());
    Ok(folder.join(format!("{network}-{unique}")))
}

/// Where a device plugin describes a device (NPWG-DI-4.1-1). `folder` is `…/devinfo/dp`.
pub fn of_device_plugin(
    folder: &Path,
    resource: &manifold_crds::ResourceName,
    device: &manifold_crds::DeviceId,
) -> PathBuf {
    folder.join(format!(
        "{}-{}-device.json",
        resource.as_str().replace('/', "-"),
        device.as_str().replace('/', "-")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(network: &str, container: &str, ifname: &str) -> PathBuf {
        path(
            Path::new("/d"),
            &network.parse().unwrap(),
            &container.parse().unwrap(),
            &ifname.parse().unwrap(),
        )
        .unwrap()
    }

    // Proves: NPWG-DI-4.2-1
    #[test]
    fn every_attachment_has_a_file_of_its_own() {
        assert_eq!(file("net-a", "c1", "net1"), Path::new("/d/net-a-c1:net1"));
        assert_ne!(file("a", "c_x", "y"), file("a", "c", "x_y"));
        assert_ne!(file("a", "b-c", "d"), file("a-b", "c", "e"));
    }

    #[test]
    fn a_long_name_is_cut_and_stays_one_file_name() {
        let long = "n".repeat(255);
        let made = file(&long, &"c".repeat(64), "net1");
        assert_eq!(made.file_name().unwrap().len(), 255);
        assert_ne!(made, file(&long, &"c".repeat(64), "net2"));
        let id: ContainerId = "c".repeat(255).parse().unwrap();
        assert!(path(Path::new("/d"), &"a".parse().unwrap(), &id, &"net1".parse().unwrap()).is_err());
    }

    // Proves: NPWG-DI-4.1-1
    #[test]
    fn slashes_of_a_resource_become_dashes() {
        let made = of_device_plugin(
            Path::new("/var/run/k8s.cni.cncf.io/devinfo/dp"),
            &"a.b/c".parse().unwrap(),
            &"0000:03:02.1".parse().unwrap(),
        );
        assert_eq!(made, Path::new("/var/run/k8s.cni.cncf.io/devinfo/dp/a.b-c-0000:03:02.1-device.json"));
    }
}
