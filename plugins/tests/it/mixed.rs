//! Made by our plugins and removed by the reference, and the reverse, as when a node changes from one to the other under
//! running pods. What stays is what `docs/differences.md` says.

use std::time::{Duration, Instant};

use manifold_cni::CniResult;
use serde_json::{Value, json};

use crate::bed::{Bed, PATIENCE, Pod, same, with};
use crate::differential::reference;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Ours,
    Reference,
}

/// One chain of plugins on a host: the first makes the interface.
struct Chain {
    bed: Bed,
    pod: Pod,
    confs: Vec<Value>,
    result: Option<Value>,
}

impl Chain {
    fn new(prepare: &str, confs: impl Fn(&Bed) -> Vec<Value>) -> Self {
        let bed = Bed::new();
        bed.sh(prepare);
        let pod = bed.pod("c1");
        let confs =
            confs(&bed).into_iter().map(|conf| with(&conf, json!({"cniVersion": "1.0.0", "name": "blue"})));
        let confs = confs.collect();
        Self { bed, pod, confs, result: None }
    }

    fn with_result(&self, conf: &Value) -> Value {
        self.result.as_ref().map_or(conf.clone(), |result| with(conf, json!({"prevResult": result})))
    }

    fn add(&mut self, by: By) {
        self.result = None;
        for conf in self.confs.clone() {
            let conf = self.with_result(&conf);
            self.result = Some(match by {
                By::Reference => reference(&self.bed, "ADD", &conf, &self.pod).unwrap(),
                By::Ours => {
                    let made: CniResult = self.bed.add(&conf, &self.pod).unwrap();
                    serde_json::from_slice(&made.to_json("1.0.0".parse().unwrap()).unwrap()).unwrap()
                }
            });
        }
    }

    /// What DEL of each plugin answered, the last one first.
    fn del(&mut self, by: By) -> Vec<Result<(), String>> {
        let call = |conf: &Value| match by {
            By::Reference => reference(&self.bed, "DEL", &self.with_result(conf), &self.pod)
                .map(drop)
                .map_err(|error| error["msg"].to_string()),
            By::Ours => self.bed.del(&self.with_result(conf), &self.pod).map_err(|error| error.to_string()),
        };
        self.confs.iter().rev().map(call).collect()
    }

    fn check(&self, by: By) -> Vec<Result<(), String>> {
        let call = |conf: &Value| {
            let conf = self.with_result(conf);
            match by {
                By::Reference => reference(&self.bed, "CHECK", &conf, &self.pod)
                    .map(drop)
                    .map_err(|error| error["msg"].to_string()),
                By::Ours => {
                    let result = serde_json::from_value(self.result.clone().unwrap()).unwrap();
                    self.bed.check(&conf, &self.pod, &result).map_err(|error| error.to_string())
                }
            }
        };
        self.confs.iter().map(call).collect()
    }

    fn state(&self) -> String {
        let rules = self.bed.sh(
            "iptables -S; ip6tables -S; iptables -t nat -S; ip6tables -t nat -S; tc qdisc show | sed 's/refcnt.*//'",
        );
        let text = format!("{}{rules}\n{}", self.bed.state(), self.pod.state());
        // Counters, the alias of a device that came back, and empty tables that a look by the tool makes.
        let lines =
            text.lines().filter(|line| !line.contains("counter packets") && !line.starts_with("table "));
        let lines =
            lines.map(|line| line.split("    alias ").next().unwrap().trim_end_matches('\\').trim_end());
        let mut lines: Vec<&str> = lines.filter(|line| *line != "}").collect();
        lines.sort_unstable();
        lines.join("\n") + "\n"
    }
}

fn bridge(bed: &Bed, further: Value) -> Value {
    let conf = json!({"type": "bridge", "bridge": "br0", "isGateway": true, "ipam":
        with(&bed.host_local("10.1.0.0/24"), json!({"routes": [{"dst": "0.0.0.0/0"}]}))});
    with(&conf, further)
}

fn ports(further: Value) -> Value {
    let ports = json!([{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]);
    with(&json!({"type": "portmap", "runtimeConfig": {"portMappings": ports}}), further)
}

const TWO_LINKS: &str = "ip link add m0 type veth peer name m1; ip link set m0 up; ip link set m1 up";

type Confs = fn(&Bed) -> Vec<Value>;

/// Every type that this machine's kernel has links for and the reference has too.
const CHAINS: &[Row] = &[
    ("bridge", "", |bed| vec![bridge(bed, json!({}))]),
    ("masquerading by nftables", "", |bed| {
        vec![bridge(bed, json!({"ipMasq": true, "ipMasqBackend": "nftables"}))]
    }),
    ("masquerading by iptables", "", |bed| {
        vec![bridge(bed, json!({"ipMasq": true, "ipMasqBackend": "iptables"}))]
    }),
    ("MAC address check", "", |bed| vec![bridge(bed, json!({"macspoofchk": true}))]),
    ("ptp", "", |bed| vec![bridge(bed, json!({"type": "ptp", "ipMasq": true, "ipMasqBackend": "iptables"}))]),
    ("macvlan", TWO_LINKS, |bed| vec![bridge(bed, json!({"type": "macvlan", "master": "m0"}))]),
    ("host-device", TWO_LINKS, |bed| vec![bridge(bed, json!({"type": "host-device", "device": "m1"}))]),
    ("static", "", |bed| {
        vec![bridge(bed, json!({"ipam": {"type": "static", "addresses": [{"address": "10.1.0.9/24"}]}}))]
    }),
    ("tuning", "", |bed| {
        let folder = bed.leases.path().join("tuning");
        vec![
            bridge(bed, json!({})),
            json!({"type": "tuning", "dataDir": folder, "mtu": 1400, "promisc": true}),
        ]
    }),
    ("portmap by nftables", "", |bed| vec![bridge(bed, json!({})), ports(json!({"backend": "nftables"}))]),
    ("portmap by iptables", "", |bed| vec![bridge(bed, json!({})), ports(json!({"backend": "iptables"}))]),
    ("bandwidth to the pod", "", |bed| {
        vec![
            bridge(bed, json!({})),
            json!({"type": "bandwidth", "ingressRate": 1_000_000, "ingressBurst": 1_000_000}),
        ]
    }),
    ("bandwidth from the pod", "", |bed| {
        vec![
            bridge(bed, json!({})),
            json!({"type": "bandwidth", "egressRate": 1_000_000, "egressBurst": 1_000_000}),
        ]
    }),
    ("sbr", "", |bed| vec![bridge(bed, json!({})), json!({"type": "sbr"})]),
    ("firewall by iptables", "", |bed| {
        vec![bridge(bed, json!({})), json!({"type": "firewall", "backend": "iptables"})]
    }),
    ("firewall by nftables", "", |bed| {
        vec![bridge(bed, json!({})), json!({"type": "firewall", "backend": "nftables"})]
    }),
    ("firewall that keeps apart", "", |bed| {
        vec![
            bridge(bed, json!({})),
            json!({"type": "firewall", "backend": "iptables", "ingressPolicy": "same-bridge"}),
        ]
    }),
];

/// Types whose links not every kernel has.
const CHAINS_OF_THE_GUEST: &[Row] = &[
    ("ipvlan", TWO_LINKS, |bed| vec![bridge(bed, json!({"type": "ipvlan", "master": "m0"}))]),
    ("vlan", TWO_LINKS, |bed| vec![bridge(bed, json!({"type": "vlan", "master": "m0", "vlanId": 5}))]),
    ("bridge with a VLAN", "", |bed| vec![bridge(bed, json!({"vlan": 5, "isGateway": false}))]),
    // The reference of this age loses the routes of the interface.
    ("vrf", "", |bed| {
        let ipam = bed.host_local("10.1.0.0/24");
        vec![bridge(bed, json!({"ipam": ipam})), json!({"type": "vrf", "vrfname": "red"})]
    }),
];

type Row = (&'static str, &'static str, Confs);

/// What the reference of this age leaves of ours, as `docs/differences.md` says: in lines of the host's state, and
/// whether one of its DELs fails.
fn stays(name: &str) -> (&'static [&'static str], bool) {
    match name {
        "masquerading by nftables" => (&["masquerade comment"], true),
        "portmap by nftables" => (&["dnat to", "masquerade comment"], false),
        "portmap by iptables" => (&["CNI-DN-"], false),
        "bandwidth from the pod" => (&["bwp"], false),
        "firewall by iptables" | "firewall that keeps apart" => (&["CNI-FORWARD -"], false),
        "firewall by nftables" => (&["accept comment"], false),
        _ => (&[], false),
    }
}

fn lines_only_in(after: &str, before: &str) -> Vec<String> {
    after.lines().filter(|line| !before.lines().any(|other| other == *line)).map(str::to_owned).collect()
}

// Proves: COMPAT-28
#[test]
fn what_the_reference_made_passes_our_check_and_goes_with_our_del() {
    reference_then_ours(CHAINS);
}

// Shows part of: COMPAT-28, COMPAT-28.2, COMPAT-28.3
#[test]
#[ignore = "needs a kernel with VLAN, ipvlan and VRF links: run it in the guest kernel"]
fn links_of_the_guest_are_removed_by_the_other_plugin_too() {
    reference_then_ours(CHAINS_OF_THE_GUEST);
    ours_then_reference(CHAINS_OF_THE_GUEST);
    reference_then_gc(CHAINS_OF_THE_GUEST);
}

fn reference_then_ours(chains: &[Row]) {
    for (name, prepare, confs) in chains {
        let mut chain = Chain::new(prepare, confs);
        // The first round leaves what all pods share.
        chain.add(By::Reference);
        chain.del(By::Ours).into_iter().for_each(|done| done.unwrap());
        let before = chain.state();
        chain.add(By::Reference);
        for (n, checked) in chain.check(By::Ours).into_iter().enumerate() {
            checked.unwrap_or_else(|error| panic!("{name}, plugin {n}: {error}"));
        }
        for deleted in chain.del(By::Ours) {
            deleted.unwrap_or_else(|error| panic!("{name}: {error}"));
        }
        same(name, &before, &chain.state());
    }
}

// Proves: COMPAT-28.2
#[test]
fn what_ours_made_goes_with_the_references_del_but_for_what_the_documentation_names() {
    ours_then_reference(CHAINS);
}

fn ours_then_reference(chains: &[Row]) {
    for (name, prepare, confs) in chains {
        let mut chain = Chain::new(prepare, confs);
        chain.add(By::Ours);
        chain.del(By::Ours).into_iter().for_each(|done| done.unwrap());
        let _ = chain.bed.sh("for t in filter nat; do iptables -t $t -S; ip6tables -t $t -S; done");
        let before = chain.state();
        chain.add(By::Ours);
        let failed = chain.del(By::Reference).iter().any(Result::is_err);
        let (expected, fails) = stays(name);
        assert_eq!(failed, fails, "{name}");
        let left = lines_only_in(&chain.state(), &before);
        // The firewall of this age makes its chains at DEL, where ours used nftables.
        let left: Vec<&String> = left
            .iter()
            .filter(|line| !line.starts_with("-N CNI-") && !line.starts_with("chain CNI-"))
            .collect();
        for part in expected {
            assert!(left.iter().any(|line| line.contains(part)), "{name}: `{part}` does not stay: {left:#?}");
        }
        assert!(!expected.is_empty() || left.is_empty(), "{name}: {left:#?}");
        // Ours still finds it, whoever called before.
        for deleted in chain.del(By::Ours) {
            deleted.unwrap_or_else(|error| panic!("{name}: {error}"));
        }
        let left = lines_only_in(&chain.state(), &before);
        assert!(
            left.iter().all(|line| line.contains("CNI-FORWARD") || line.contains("CNI-ADMIN")),
            "{name}: {left:#?}"
        );
    }
}

// Proves: COMPAT-28.3
#[test]
fn gc_removes_what_the_reference_made_where_it_says_which_network_it_is_of() {
    reference_then_gc(CHAINS);
}

fn reference_then_gc(chains: &[Row]) {
    for (name, prepare, confs) in chains {
        let mut chain = Chain::new(prepare, confs);
        chain.add(By::Reference);
        chain.del(By::Ours).into_iter().for_each(|done| done.unwrap());
        let before = chain.bed.state();
        chain.add(By::Reference);
        // The pod is gone, and nobody called DEL.
        chain.pod = chain.bed.pod("c1");
        for conf in &chain.confs {
            chain.bed.gc(&with(conf, json!({"cniVersion": "1.1.0"})), &[]).unwrap();
        }
        let allowed = match *name {
            "MAC address check" => "macspoofchk|cni-br-iface",
            "bandwidth from the pod" => "bwp",
            _ => "counter packets",
        };
        let left = || -> Vec<String> {
            let left = lines_only_in(&chain.bed.state(), &before).into_iter();
            let left = left.filter(|line| !line.starts_with("table ") && line != "}");
            left.filter(|line| !allowed.split('|').any(|part| line.contains(part))).collect()
        };
        // The kernel ends the pod's links a moment after its namespace.
        let deadline = Instant::now() + PATIENCE;
        while !left().is_empty() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(50));
        }
        assert!(left().is_empty(), "{name}: {:#?}", left());
        let rules = chain.bed.sh("iptables -t nat -S");
        assert!(!rules.contains("10.1.0."), "{name}: {rules}");
        assert!(chain.bed.lease_files().is_empty(), "{name}");
    }
}
