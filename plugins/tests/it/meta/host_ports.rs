//! Two pods and one port of the host: who has it, and until when.

use std::sync::Barrier;

use manifold_cni::CniError;
use manifold_plugins::meta::{PORTMAP, Portmap};
use manifold_plugins::sandboxes::{PodName, Sandboxes, State};
use serde_json::{Value, json};

use super::{chained, ptp};
use crate::bed::{Bed, Pod, with, with_result};

/// Sandboxes whose id begins with `dead` are gone, and of `mute` nobody can tell; all others are alive, the pod's name being the
/// id up to the dash.
#[derive(Debug)]
struct ById;

impl Sandboxes for ById {
    fn state(&self, id: &str) -> std::io::Result<State> {
        let name = id.split('-').next().unwrap_or_default().to_owned();
        match name.as_str() {
            "dead" => Ok(State::Gone),
            "mute" => Err(nix::errno::Errno::EMFILE.into()),
            _ => Ok(State::Alive(Some(PodName { namespace: "shop".into(), name }))),
        }
    }
}

const BACKENDS: [&str; 2] = ["nftables", "iptables"];

fn mapping(port: u16, protocol: &str, address: &str) -> Value {
    json!({"hostPort": port, "containerPort": 80, "protocol": protocol, "hostIP": address})
}

/// ADD of a pod with this mapping; its id is the pod's name and a number.
fn map(
    bed: &Bed,
    pod: &Pod,
    id: &str,
    backend: &str,
    mapping: Value,
    further: &Value,
) -> Result<(), CniError> {
    let made = bed.add(&ptp(bed), pod).unwrap();
    let portmap = json!({"backend": backend, "runtimeConfig": {"portMappings": [mapping]}});
    let conf = with(&chained("portmap", portmap), further.clone());
    let name = id.split('-').next().unwrap();
    let args = format!("K8S_POD_NAMESPACE=shop;K8S_POD_NAME={name}");
    let plugin = Portmap { sandboxes: &ById, ..PORTMAP };
    bed.add_with(&plugin, &with_result(&conf, &made), pod, "eth0", &args).map(drop)
}

/// Whether a second pod gets its mapping beside the first one's.
#[track_caller]
fn check(first: (&str, Value), second: (&str, Value), served: bool) {
    for [of_first, of_second] in
        [["nftables"; 2], ["iptables"; 2], ["iptables", "nftables"], ["nftables", "iptables"]]
    {
        let bed = Bed::new();
        let (one, two) = (bed.pod(first.0), bed.pod(second.0));
        map(&bed, &one, first.0, of_first, first.1.clone(), &json!({})).unwrap();
        let before = bed.sh("nft list ruleset; iptables -t nat -S; ip6tables -t nat -S");
        let outcome = map(&bed, &two, second.0, of_second, second.1.clone(), &json!({}));
        assert_eq!(outcome.is_ok(), served, "{of_first} {of_second} {outcome:?}\n{before}");
        let Err(error) = outcome else { continue };
        assert_eq!(error.code, 11, "{error}");
        assert!(error.msg.contains("already leads to another pod") && error.msg.contains(first.0), "{error}");
        let left = bed.sh("nft list ruleset; iptables -t nat -S");
        assert!(
            !left.contains(&format!("id: {}", second.0)) && !left.contains(&format!(r#"id: \"{}"#, second.0)),
            "{left}"
        );
    }
}

// Proves: S-24
#[test]
fn a_port_of_a_living_pod_is_refused_in_either_backend() {
    check(("a-1", mapping(443, "tcp", "")), ("b-1", mapping(443, "tcp", "")), false);
    check(("a-1", mapping(443, "tcp", "")), ("b-1", mapping(443, "tcp", "192.0.2.9")), false);
    check(("a-1", mapping(443, "tcp", "192.0.2.9")), ("b-1", mapping(443, "tcp", "")), false);
    check(("a-1", mapping(53, "udp", "192.0.2.9")), ("b-1", mapping(53, "udp", "192.0.2.9")), false);
}

// Proves: S-24, PLG-PORTMAP-10
#[test]
fn another_port_protocol_or_address_a_dead_pods_and_its_own_are_served() {
    check(("a-1", mapping(443, "tcp", "")), ("b-1", mapping(444, "tcp", "")), true);
    check(("a-1", mapping(53, "tcp", "")), ("b-1", mapping(53, "udp", "")), true);
    check(("a-1", mapping(443, "tcp", "192.0.2.8")), ("b-1", mapping(443, "tcp", "192.0.2.9")), true);
    check(("dead-1", mapping(443, "tcp", "")), ("b-1", mapping(443, "tcp", "")), true);
    check(("a-1", mapping(443, "tcp", "")), ("a-2", mapping(443, "tcp", "")), true);
}

// Proves: S-24
#[test]
fn a_port_of_whom_nobody_can_tell_now_is_refused_for_now() {
    for backend in BACKENDS {
        let bed = Bed::new();
        let (one, two) = (bed.pod("mute-1"), bed.pod("b-1"));
        map(&bed, &one, "mute-1", backend, mapping(443, "tcp", ""), &json!({})).unwrap();
        let error = map(&bed, &two, "b-1", backend, mapping(443, "tcp", ""), &json!({})).unwrap_err();
        assert_eq!(error.code, 11, "{error}");
        assert!(error.msg.contains("`mute-1`") && error.msg.contains("cannot be read now"), "{error}");
    }
}

// Proves: S-24
#[test]
fn an_add_of_the_same_sandbox_that_comes_again_is_served() {
    for backend in BACKENDS {
        let bed = Bed::new();
        let pod = bed.pod("a-1");
        let made = bed.add(&ptp(&bed), &pod).unwrap();
        let conf = json!({"backend": backend, "runtimeConfig": {"portMappings": [mapping(443, "tcp", "")]}});
        let plugin = Portmap { sandboxes: &ById, ..PORTMAP };
        for _ in 0..2 {
            let conf = with_result(&chained("portmap", conf.clone()), &made);
            bed.add_with(&plugin, &conf, &pod, "eth0", "").unwrap();
        }
    }
}

// Proves: S-24
#[test]
fn what_the_reference_mapped_for_a_living_pod_is_refused_too() {
    let nftables = "nft add table ip cni_hostport; nft add chain ip cni_hostport hostports
        nft add rule ip cni_hostport hostports tcp dport 443 dnat to 10.9.0.2:80 comment a-1";
    let iptables = r#"iptables -t nat -N CNI-HOSTPORT-DNAT; iptables -t nat -N CNI-DN-0123456789abcdef01234
        iptables -t nat -A CNI-DN-0123456789abcdef01234 -p tcp --dport 443 -j DNAT --to-destination 10.9.0.2:80
        iptables -t nat -A CNI-HOSTPORT-DNAT -p tcp -m comment --comment 'dnat name: "n" id: "a-1"' -m multiport --dports 80,443 -j CNI-DN-0123456789abcdef01234"#;
    for theirs in [nftables, iptables] {
        for backend in BACKENDS {
            for (whose, served) in [("a-1", false), ("dead-1", true)] {
                let bed = Bed::new();
                let pod = bed.pod("b-1");
                bed.sh(&theirs.replace("a-1", whose));
                let outcome = map(&bed, &pod, "b-1", backend, mapping(443, "tcp", ""), &json!({}));
                assert_eq!(outcome.is_ok(), served, "{backend} {whose} {theirs}: {outcome:?}");
            }
        }
    }
}

// Proves: S-24
#[test]
fn conditions_of_two_networks_are_for_their_authors_to_keep_apart() {
    for (backend, conditions) in
        [("nftables", json!(["ip", "saddr", "192.0.2.0/24"])), ("iptables", json!(["-s", "192.0.2.0/24"]))]
    {
        let narrow = json!({"conditionsV4": conditions});
        for (first, second, served) in
            [(&narrow, &narrow, true), (&narrow, &json!({}), false), (&json!({}), &narrow, false)]
        {
            let bed = Bed::new();
            let (one, two) = (bed.pod("a-1"), bed.pod("b-1"));
            map(&bed, &one, "a-1", backend, mapping(443, "tcp", ""), first).unwrap();
            let outcome = map(&bed, &two, "b-1", backend, mapping(443, "tcp", ""), second);
            assert_eq!(outcome.is_ok(), served, "{backend} {first} {second}: {outcome:?}");
        }
    }
}

// Proves: S-24
#[test]
fn of_pods_that_ask_at_the_same_time_one_gets_the_port() {
    for backend in BACKENDS {
        let bed = Bed::new();
        let ids = ["a-1", "b-1", "c-1", "d-1", "e-1", "f-1"];
        let pods: Vec<Pod> = ids.iter().map(|id| bed.pod(id)).collect();
        let start = Barrier::new(ids.len());
        let served = std::thread::scope(|scope| {
            let asked: Vec<_> = ids
                .iter()
                .zip(&pods)
                .map(|(id, pod)| {
                    let (bed, start) = (&bed, &start);
                    scope.spawn(move || {
                        start.wait();
                        map(bed, pod, id, backend, mapping(443, "tcp", ""), &json!({})).is_ok()
                    })
                })
                .collect();
            asked.into_iter().map(|one| one.join().unwrap()).filter(|served| *served).count()
        });
        assert_eq!(served, 1, "{backend}");
    }
}
