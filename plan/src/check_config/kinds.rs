//! What each known plugin type is for: whether it makes an interface, works on one, or gives addresses.

use manifold_cni::PluginConf;
use manifold_cni::spelling::nearest;

use super::finding::Draft;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Makes an interface. `veth`: with a second end on the node, where traffic can be shaped.
    Interface { veth: bool },
    /// Makes one too, and can stand on that of a plugin before it.
    Stacking,
    /// Works on the interface of a plugin before it.
    Meta,
    /// Gives addresses to whoever calls it.
    Ipam,
    /// Brings `lo` up, and passes on what it was given.
    Loopback,
}

const TYPES: &[(&str, Kind)] = &[
    ("bridge", Kind::Interface { veth: true }),
    ("ptp", Kind::Interface { veth: true }),
    ("macvlan", Kind::Interface { veth: false }),
    ("vlan", Kind::Interface { veth: false }),
    ("host-device", Kind::Interface { veth: false }),
    ("sriov", Kind::Interface { veth: false }),
    ("bond", Kind::Interface { veth: false }),
    ("dummy", Kind::Interface { veth: false }),
    ("tap", Kind::Interface { veth: false }),
    ("ipvlan", Kind::Stacking),
    ("loopback", Kind::Loopback),
    ("tuning", Kind::Meta),
    ("portmap", Kind::Meta),
    ("bandwidth", Kind::Meta),
    ("sbr", Kind::Meta),
    ("vrf", Kind::Meta),
    ("firewall", Kind::Meta),
    ("host-local", Kind::Ipam),
    ("cluster-local", Kind::Ipam),
    ("static", Kind::Ipam),
    ("dhcp", Kind::Ipam),
];

/// Plugins of others that many clusters have. They are executed, and only they know their keys.
const OTHERS: &[&str] = &[
    "accelerated-bridge",
    "antrea",
    "aws-cni",
    "azure-vnet",
    "calico",
    "calico-ipam",
    "cilium-cni",
    "cnv-bridge",
    "flannel",
    "ib-sriov",
    "kube-ovn",
    "nv-ipam",
    "ovn-k8s-cni-overlay",
    "ovs",
    "rdma",
    "route-override",
    "userspace",
    "weave-net",
    "whereabouts",
];

const OTHERS_IPAM: &[&str] = &["calico-ipam", "kube-ovn", "nv-ipam", "whereabouts"];

/// The types that are part of `manifold`.
pub fn bundled_types() -> impl Iterator<Item = &'static str> {
    TYPES.iter().map(|(name, _)| *name)
}

pub(crate) fn kind(name: &str) -> Option<Kind> {
    TYPES.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind)
}

/// Whether it is known to do nothing but give addresses.
pub(super) fn is_ipam(name: &str) -> bool {
    kind(name) == Some(Kind::Ipam) || (OTHERS_IPAM.contains(&name) && name != "kube-ovn")
}

/// What an `ipam.type` may have been meant to be.
pub(super) fn nearest_ipam(name: &str) -> Option<&'static str> {
    let ours = TYPES.iter().filter(|(_, kind)| *kind == Kind::Ipam).map(|(name, _)| *name);
    nearest(name, ours.chain(OTHERS_IPAM.iter().copied()))
}

pub(super) fn is_known_ipam(name: &str) -> bool {
    kind(name) == Some(Kind::Ipam) || OTHERS_IPAM.contains(&name)
}

/// A note on a type that nobody here knows. It may well be installed on the nodes, so it is no error.
pub(super) fn stranger(plugin: &PluginConf) -> Option<Draft> {
    let name = plugin.kind.as_str();
    if kind(name).is_some() || OTHERS.contains(&name) {
        return None;
    }
    let sentence = format!("the plugin `{name}` is not a bundled one, so its keys are not checked");
    Some(Draft::warning("/type", sentence).fix(
        match nearest(name, TYPES.iter().map(|(known, _)| *known).chain(OTHERS.iter().copied())) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => "install it on every node that runs pods of this network".to_owned(),
        },
    ))
}
