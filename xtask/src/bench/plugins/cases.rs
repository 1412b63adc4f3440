//! The rows: a type, a configuration as users write it, and what host and pod must be like beforehand.

use std::path::Path;

use manifold_e2e::netns::TestNetns;
use serde_json::{Map, Value, json};

/// The names under which our executable is measured.
pub(super) const TYPES: &[&str] = &[
    "bridge",
    "ptp",
    "macvlan",
    "ipvlan",
    "vlan",
    "host-device",
    "dummy",
    "tap",
    "loopback",
    "host-local",
    "static",
    "tuning",
    "portmap",
    "bandwidth",
    "sbr",
    "vrf",
    "firewall",
];

#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) kind: &'static str,
    /// Shell, once, on the host.
    pub(super) host: &'static str,
    /// Shell, for each pod, on the host; `POD` is the pod's namespace.
    pub(super) pod: &'static str,
    /// Shell, after each pod, on the host.
    pub(super) afterwards: &'static str,
    pub(super) need: Option<Need>,
    conf: Value,
}

/// A kind of link that kernels have or have not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Need(&'static str);

const LACK: &str = "NOT MEASURED: this kernel has no";

impl Need {
    /// The reason for an empty row, where the kernel cannot make such a link.
    pub(super) fn lack(self) -> Option<String> {
        let Self(words) = self;
        let has = TestNetns::new().and_then(|netns| {
            let make = format!("ip link add up0 type veth peer name up1 && ip link add x0 {words}");
            netns.exec(&["sh", "-ec", &make])
        });
        let kind = words.split_whitespace().skip_while(|word| *word != "type").nth(1).unwrap_or(words);
        has.err().map(|_| format!("{LACK} {kind} links (try `cargo xtask guest`)"))
    }
}

/// Whether a row is empty because of the machine, and not of the plugin.
pub(super) fn is_lack(why: &str) -> bool {
    why.starts_with(LACK)
}

impl Case {
    pub(super) fn configuration(&self, leases: &Path) -> Map<String, Value> {
        let mut conf = self.conf.as_object().cloned().unwrap_or_default();
        for (key, value) in [("cniVersion", "1.0.0"), ("name", "bench"), ("type", self.kind)] {
            conf.insert(key.into(), json!(value));
        }
        let ipam = conf.get_mut("ipam").and_then(Value::as_object_mut);
        if let Some(ipam) = ipam.filter(|ipam| ipam.contains_key("ranges")) {
            ipam.insert("dataDir".into(), json!(leases));
        }
        // Else it would be a folder of the machine.
        if self.kind == "tuning" {
            conf.insert("dataDir".into(), json!(leases.with_file_name("tuning")));
        }
        conf
    }

    /// Chained plugins find a veth in the pod.
    pub(super) fn is_chained(&self) -> bool {
        self.pod == VETH
    }

    pub(super) fn ifname(&self) -> &'static str {
        if self.kind == "loopback" { "lo" } else { "eth0" }
    }

    /// An old reference ignores a key that it does not know, and would do something else.
    pub(super) fn reference_has_it(&self, folder: &Path) -> bool {
        if self.conf.get("backend") != Some(&json!("nftables")) {
            return true;
        }
        let program = std::fs::read(folder.join(self.kind)).unwrap_or_default();
        program.windows(b"cni_hostport".len()).any(|part| part == b"cni_hostport")
    }
}

const VETH: &str = "ip link add host0 type veth peer name eth0 netns POD && ip link set host0 up
    ip addr add 10.9.0.1/24 dev host0 nodad
    ip -n POD link set eth0 up && ip -n POD addr add 10.9.0.2/24 dev eth0
    ip -n POD route add 10.8.0.0/16 via 10.9.0.1 dev eth0";
const UPLINK: &str = "ip link show up0 > /dev/null 2>&1 ||
    { ip link add up0 type veth peer name up1; ip link set up0 up; ip link set up1 up; }";

pub(super) fn all() -> Vec<Case> {
    interfaces().into_iter().chain(alone()).chain(chained()).collect()
}

fn interfaces() -> Vec<Case> {
    let ipam = || json!({"type": "host-local", "ranges": [[{"subnet": "10.1.0.0/16"}]]});
    let up = |mut case: Case| {
        case.host = UPLINK;
        case
    };
    let mut device = case("host-device", json!({"device": "dev0", "ipam": ipam()}));
    device.pod = "ip link add dev0 type veth peer name wire && ip link set wire up";
    device.afterwards = "ip link del dev0";
    vec![
        case("bridge", json!({"bridge": "br0", "isGateway": true, "ipam": ipam()})),
        case("ptp", json!({"ipam": ipam()})),
        up(case("macvlan", json!({"master": "up0", "ipam": ipam()}))),
        up(needing("link up0 type ipvlan", case("ipvlan", json!({"master": "up0", "ipam": ipam()})))),
        up(needing(
            "link up0 type vlan id 5",
            case("vlan", json!({"master": "up0", "vlanId": 5, "ipam": ipam()})),
        )),
        device,
        needing("type dummy", case("dummy", json!({"ipam": ipam()}))),
        case("tap", json!({"ipam": ipam()})),
        case("loopback", json!({})),
    ]
}

/// IPAM types as an interface plugin would execute them.
fn alone() -> Vec<Case> {
    let local = json!({"ipam": {"type": "host-local", "ranges": [[{"subnet": "10.1.0.0/16"}]]}});
    let fixed = json!({"ipam": {"type": "static", "addresses": [{"address": "10.1.0.7/24"}]}});
    vec![case("host-local", local), case("static", fixed)]
}

fn chained() -> Vec<Case> {
    let on_veth = |case: Case| Case { pod: VETH, afterwards: "ip link del host0", ..case };
    let port = json!({"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]});
    let mut nft = case("portmap", json!({"backend": "nftables", "runtimeConfig": port}));
    nft.name = "portmap (nft)";
    let mut ipt = case("portmap", json!({"backend": "iptables", "runtimeConfig": port}));
    ipt.name = "portmap (iptables)";
    let rates = json!({"ingressRate": 1_000_000, "ingressBurst": 1_000_000, "egressRate": 1_000_000,
        "egressBurst": 1_000_000});
    let sysctl = json!({"sysctl": {"net.ipv4.conf.eth0.arp_notify": "1"}, "mtu": 1400});
    let rows = [
        case("tuning", sysctl),
        ipt,
        nft,
        case("bandwidth", rates),
        case("sbr", json!({})),
        needing("type vrf table 7", case("vrf", json!({"vrfname": "blue"}))),
        case("firewall", json!({"backend": "iptables"})),
    ];
    rows.into_iter().map(on_veth).collect()
}

fn case(kind: &'static str, conf: Value) -> Case {
    Case { name: kind, kind, host: "", pod: "", afterwards: "", need: None, conf }
}

fn needing(words: &'static str, case: Case) -> Case {
    Case { need: Some(Need(words)), ..case }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_a_type_of_ours_and_has_a_name_of_its_own() {
        let mut names: Vec<&str> = all().iter().map(|case| case.name).collect();
        assert!(all().iter().all(|case| TYPES.contains(&case.kind)));
        assert!(TYPES.iter().all(|kind| all().iter().any(|case| case.kind == *kind)));
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all().len());
    }

    #[test]
    fn leases_lie_where_they_are_told_to() {
        let conf = all().first().unwrap().configuration(Path::new("/x"));
        assert_eq!(conf["ipam"]["dataDir"], "/x");
    }
}
