//! Whether what a plugin declares to take from pods (`capabilities`) is something that anybody hands over, and that
//! this plugin does something with. A request that goes to the wrong plugin is lost without a word (P-COR-6).

use manifold_cni::PluginConf;
use manifold_cni::name::printable;
use manifold_cni::spelling::nearest;

use super::finding::Draft;
use super::kinds::{self, Kind};
use crate::by_args::READ_MAC;

/// What pods, runtimes and Manifold hand over.
const KNOWN: &[&str] = &[
    "portMappings",
    "bandwidth",
    "ips",
    "mac",
    "ipRanges",
    "infinibandGUID",
    "deviceID",
    "CNIDeviceInfoFile",
    "dns",
    "aliases",
    "cgroupPath",
    "io.kubernetes.cri.pod-annotations",
    // Nobody hands these over: they let pods ask for them in `cni-args`.
    "sysctl",
    "promisc",
    "mtu",
    "allmulti",
    "txQLen",
];

pub(super) fn capabilities(plugin: &PluginConf) -> Vec<Draft> {
    let declared = plugin.capabilities.iter().filter(|(_, on)| **on).map(|(name, _)| name.as_str());
    declared.filter_map(|name| odd(plugin, name)).collect()
}

fn odd(plugin: &PluginConf, name: &str) -> Option<Draft> {
    let pointer = format!("/capabilities/{}", printable(&name.replace('~', "~0").replace('/', "~1")));
    let shown = printable(name);
    let kind = plugin.kind.as_str();
    if !KNOWN.contains(&name) {
        let meant = nearest(name, KNOWN.iter().copied())?;
        let sentence = format!("the capability `{shown}` is unknown, so no pod can use it");
        return Some(Draft::warning(&pointer, sentence).fix(format!("did you mean `{meant}`?")));
    }
    let right = takers(name)?;
    if kinds::kind(kind).is_none() || right.takes(kind) {
        return None;
    }
    let sentence =
        format!("plugin `{kind}` ignores the capability `{shown}`, so a pod's request would be lost");
    Some(Draft::warning(&pointer, sentence).fix(format!("move it to {}", right.words())))
}

/// Who does something with a capability.
enum Takers {
    Types(&'static [&'static str]),
    /// Whatever makes the interface: it passes the value on to its IPAM.
    Interfaces,
}

impl Takers {
    fn takes(&self, kind: &str) -> bool {
        match self {
            Self::Types(types) => types.contains(&kind),
            Self::Interfaces => {
                matches!(kinds::kind(kind), Some(Kind::Interface { .. } | Kind::Stacking | Kind::Ipam))
            }
        }
    }

    fn words(&self) -> String {
        match self {
            Self::Interfaces => "the plugin that creates the interface".to_owned(),
            Self::Types([one]) => format!("a plugin of type `{one}`"),
            Self::Types(types) => {
                let all: Vec<String> = types.iter().map(|t| format!("`{t}`")).collect();
                format!("a plugin that can do it: {}", all.join(", "))
            }
        }
    }
}

fn takers(capability: &str) -> Option<Takers> {
    match capability {
        "portMappings" => Some(Takers::Types(&["portmap"])),
        "bandwidth" => Some(Takers::Types(&["bandwidth"])),
        "ips" | "ipRanges" => Some(Takers::Interfaces),
        "mac" => Some(Takers::Types(READ_MAC)),
        "sysctl" | "promisc" | "mtu" | "allmulti" | "txQLen" => Some(Takers::Types(&["tuning"])),
        _ => None,
    }
}
