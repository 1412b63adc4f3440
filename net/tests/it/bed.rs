//! A host and a pod, each a namespace that ends with the test.

use manifold_net::{IpNet, Link, Net, Netns, VethSpec};

pub(crate) struct Bed {
    pub(crate) host: Net,
    pub(crate) pod: Net,
}

/// Two empty namespaces. The tests are about the kernel, so lacking the right to make one is a failure and not a skip.
pub(crate) fn bed() -> Bed {
    Bed { host: empty(), pod: empty() }
}

pub(crate) fn empty() -> Net {
    let netns = Netns::create().expect("these tests make network namespaces: run them as root");
    Net::inside(&netns).expect("a fresh namespace accepts a netlink socket")
}

/// A pair that is up, with both ends in the same namespace.
pub(crate) fn cable(net: &Net) -> (Link, Link) {
    let spec =
        VethSpec { name: "left", peer_name: Some("right"), up: true, peer_up: true, ..VethSpec::default() };
    net.add_veth(&spec).expect("a veth pair can be made")
}

/// A pair that is up, from the pod's `eth0` to the host's `port`.
pub(crate) fn wire(bed: &Bed) -> (Link, Link) {
    let spec = VethSpec {
        name: "eth0",
        peer_name: Some("port"),
        up: true,
        peer_up: true,
        peer_net: Some(&bed.host),
        ..VethSpec::default()
    };
    bed.pod.add_veth(&spec).expect("a veth pair can be made")
}

pub(crate) fn net(text: &str) -> IpNet {
    text.parse().expect("the test writes valid networks")
}

pub(crate) fn ip(text: &str) -> std::net::IpAddr {
    text.parse().expect("the test writes valid addresses")
}

/// Names of the links of a namespace, without `lo`.
pub(crate) fn names(net: &Net) -> Vec<String> {
    let links = net.links().expect("links can be listed");
    links.into_iter().filter(|link| !link.loopback).map(|link| link.name).collect()
}
