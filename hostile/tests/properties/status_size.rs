//! The size of the status that a plan predicts is never less than that of the real one.

use std::collections::BTreeMap;

use manifold_cni::{CniArgs, CniResult, Dns, Interface, IpConfig, Route, Version};
use manifold_crds::status::{Described, Entries, to_json};
use manifold_crds::{Nad, NadRef, NetworkStatus};
use manifold_plan::{DefaultNetwork, Definitions, Planned, Pod, Policy, RuntimeInput, plan};
use proptest::prelude::*;
use serde_json::{Value, json};

const LONG_ADDRESS: &str = "2001:1111:2222:3333:4444:5555:6666:";
const DEFAULTS: [&str; 2] = ["0.0.0.0/0", "::/0"];

/// One network of the pod: its interface, how many addresses it asks for, how many are configured, and its DNS.
#[derive(Clone, Debug)]
struct Network {
    interface: String,
    asked: u16,
    configured: u16,
    dns: String,
}

fn network() -> impl Strategy<Value = Network> {
    ("[a-z0-9\"\\\\]{1,12}", 0_u16..6, 0_u16..6, "\\PC{0,40}")
        .prop_map(|(interface, asked, configured, dns)| Network { interface, asked, configured, dns })
}

fn addresses(from: u16, count: u16) -> Vec<String> {
    (0..count).map(|n| format!("{LONG_ADDRESS}{:x}", 0x8000 + from + n)).collect()
}

impl Network {
    fn config(&self) -> Value {
        let configured: Vec<Value> =
            addresses(100, self.configured).iter().map(|a| json!({"address": format!("{a}/64")})).collect();
        json!({
            "cniVersion": "1.0.0", "type": "fake", "capabilities": {"ips": true},
            "dns": {"domain": self.dns, "search": [self.dns]}, "ipam": {"type": "other", "addresses": configured},
        })
    }

    fn selection(&self, number: usize) -> Value {
        let ips: Vec<String> = addresses(0, self.asked).iter().map(|a| format!("{a}/64")).collect();
        json!({"name": format!("n{number}"), "interface": format!("{}{number}", self.interface), "ips": ips})
    }

    /// The longest that a plugin answers: every address asked for or configured, else two; a gateway of each family.
    fn result(&self, planned: &Planned) -> CniResult {
        let mut ips = [addresses(0, self.asked), addresses(100, self.configured)].concat();
        if ips.is_empty() {
            ips = addresses(200, 2);
        }
        let gateway: std::net::IpAddr = format!("{LONG_ADDRESS}ffff").parse().unwrap();
        let ip = |text: &String| IpConfig {
            interface: Some(0),
            ..IpConfig::new(format!("{text}/64").parse().unwrap(), None)
        };
        let default = |dst: &str| Route::new(dst.parse().unwrap(), Some(gateway));
        CniResult {
            interfaces: vec![Interface {
                name: planned.ifname.to_string(),
                mac: "02:00:00:00:00:01".into(),
                mtu: Some(u32::MAX),
                sandbox: "/run/netns/a".into(),
                ..Interface::default()
            }],
            ips: ips.iter().map(ip).collect(),
            routes: DEFAULTS.map(default).to_vec(),
            dns: Dns { domain: self.dns.clone(), search: vec![self.dns.clone()], ..Dns::default() },
            ..CniResult::default()
        }
    }
}

fn found(networks: &[Network]) -> Definitions {
    let mut found = Definitions::default();
    let mut define = |namespace: &str, name: &str, config: &str| {
        let reference = NadRef::new(namespace, name).unwrap();
        found.nads.insert(reference.clone(), Nad::new(reference, Some(config)));
    };
    define("kube-system", "cluster-wide-network", r#"{"cniVersion":"1.0.0","type":"fake"}"#);
    for (number, network) in networks.iter().enumerate() {
        define("shop", &format!("n{number}"), &network.config().to_string());
    }
    found
}

fn entries(networks: &[Network], planned: &[Planned]) -> Vec<NetworkStatus> {
    let nothing = Network { interface: String::new(), asked: 0, configured: 0, dns: String::new() };
    let networks = std::iter::once(&nothing).chain(networks);
    let entry = |(network, planned): (&Network, &Planned)| {
        let described = Described {
            name: &planned.display,
            default: planned.default,
            ifname: &planned.ifname,
            result: &network.result(planned),
            version: Version::V1_0_0,
            asked_default_route: true,
            device_info: None,
        };
        NetworkStatus::of(&described, Entries::FirstSandboxInterface)
    };
    networks.zip(planned).flat_map(entry).collect()
}

proptest! {
    #![proptest_config(super::cases())]

    // Proves: F-INP-1
    #[test]
    fn the_predicted_size_is_enough(networks in proptest::collection::vec(network(), 0..4)) {
        let selections: Vec<Value> = networks.iter().enumerate().map(|(n, network)| network.selection(n)).collect();
        let pod = Pod::new("shop", "cart-7", None).unwrap().with_annotations(Some(&json!(selections).to_string()), None);
        let policy = Policy::new(DefaultNetwork::Cluster("cluster-wide-network".parse().unwrap()));
        let runtime = RuntimeInput {
            version: Version::V1_1_0,
            container: "c1".parse().unwrap(),
            ifname: "eth0".parse().unwrap(),
            args: CniArgs::default(),
            runtime_config: BTreeMap::new(),
            allocation: None,
        };
        let plan = plan(&pod, &policy, &found(&networks), &runtime).unwrap();
        let status = to_json(&entries(&networks, &plan.attachments));
        prop_assert!(status.len() <= plan.status_bytes, "{} bytes of {}: {status}", status.len(), plan.status_bytes);
    }
}
