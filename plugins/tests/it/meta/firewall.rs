//! `firewall`: who gets through to whom when the host drops what it forwards, and what firewalld is told.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use manifold_cni::{CniResult, Input, Plugin, Verb};
use manifold_plugins::meta::{FIREWALL, Firewall};
use serde_json::{Value, json};

use super::{add_both, chained};
use crate::bed::{Bed, Pod, fail_at, failing, input, same, with, with_result};
use crate::versions::call;

fn bridge(bed: &Bed, n: u8) -> Value {
    let ipam = json!({"type": "host-local", "dataDir": bed.leases.path(), "routes": [{"dst": "0.0.0.0/0"}],
        "ranges": [[{"subnet": format!("10.{n}.0.0/24")}]]});
    json!({"cniVersion": "1.1.0", "name": "blue", "type": "bridge", "bridge": format!("br{n}"), "isGateway": true, "ipam": ipam})
}

fn firewall(further: Value) -> Value {
    chained("firewall", further)
}

fn iptables() -> Value {
    firewall(json!({"backend": "iptables"}))
}

/// Attaches a pod with the address 10.n.0.2 and so on.
fn attach(bed: &Bed, id: &str, n: u8, conf: &Value) -> (Pod, CniResult) {
    let pod = bed.pod(id);
    let (made, result) = add_both(bed, &bridge(bed, n), conf, &pod);
    assert_eq!(made, result);
    (pod, result)
}

fn rules(bed: &Bed) -> String {
    bed.sh("iptables -S; ip6tables -S; nft list table inet cni_firewall 2>/dev/null || true")
}

// Proves: PLG-FW-3, PLG-FW-6
#[test]
fn a_pod_may_talk_and_be_answered_though_the_host_drops_what_it_forwards() {
    let bed = Bed::new();
    bed.sh("iptables -P FORWARD DROP; iptables -N CNI-ADMIN; iptables -A CNI-ADMIN -s 10.9.9.9/32 -j DROP");
    let (first, _) = attach(&bed, "a", 1, &iptables());
    let other = bed.pod("b");
    bed.add(&bridge(&bed, 2), &other).unwrap();
    assert!(first.pings("10.2.0.2"), "it may begin, and hears the answer: {}", rules(&bed));
    assert!(other.pings_not("10.1.0.2"), "nobody else may begin");
    let found = bed.sh("iptables -S");
    let of = |chain: &str| -> Vec<&str> {
        found.lines().filter(|line| line.starts_with(&format!("-A {chain} "))).collect()
    };
    assert!(of("FORWARD")[0].ends_with("-j CNI-FORWARD"), "{found}");
    assert!(of("CNI-FORWARD")[0].ends_with("-j CNI-ADMIN"), "{found}");
    assert!(
        of("CNI-FORWARD")[1]
            .starts_with("-A CNI-FORWARD -d 10.1.0.2/32 -m conntrack --ctstate RELATED,ESTABLISHED"),
        "{found}"
    );
    assert!(of("CNI-FORWARD")[2].starts_with("-A CNI-FORWARD -s 10.1.0.2/32"), "{found}");
    assert_eq!(
        of("CNI-ADMIN"),
        ["-A CNI-ADMIN -s 10.9.9.9/32 -j DROP"],
        "the administrator's chain is not touched"
    );
    assert!(!bed.sh("ip6tables -S").contains("CNI-"), "a pod without IPv6 needs nothing of it");
    // The administrator has the first word.
    bed.sh("iptables -A CNI-ADMIN -s 10.1.0.2/32 -j DROP");
    assert!(first.pings_not("10.2.0.2"));
    bed.del(&iptables(), &first).unwrap();
    assert!(bed.sh("iptables -S").contains("-A CNI-ADMIN -s 10.1.0.2/32 -j DROP"));
}

// Proves: PLG-FW-6
#[test]
fn del_needs_no_result_and_check_misses_every_rule_without_making_any() {
    let bed = Bed::new();
    let (pod, result) = attach(&bed, "a", 1, &iptables());
    let jumps: Vec<String> = ["FORWARD", "CNI-FORWARD"].map(|chain| format!("iptables -D {chain} 1")).into();
    let own = ["iptables -D CNI-FORWARD 2", "iptables -D CNI-FORWARD 3"].map(str::to_owned);
    for removal in jumps.iter().chain(&own) {
        bed.check(&iptables(), &pod, &result).unwrap();
        bed.sh(removal);
        let before = rules(&bed);
        assert!(bed.check(&iptables(), &pod, &result).is_err(), "after `{removal}`");
        same("rules", &before, &rules(&bed));
        bed.add(&with_result(&iptables(), &result), &pod).unwrap();
    }
    for _ in 0..2 {
        bed.del(&iptables(), &pod).unwrap();
        assert!(!rules(&bed).contains("10.1.0.2"), "{}", rules(&bed));
    }
    bed.del_at(&iptables(), &pod.without_netns(None)).unwrap();
    // What the reference made says nothing of itself; the result tells the addresses.
    bed.sh("iptables -A CNI-FORWARD -d 10.1.0.2/32 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT; iptables -A CNI-FORWARD -s 10.1.0.2/32 -j ACCEPT");
    bed.del(&with_result(&iptables(), &result), &pod).unwrap();
    assert!(!rules(&bed).contains("10.1.0.2"), "{}", rules(&bed));
    // CHECK on a host that has lost everything makes nothing either.
    bed.sh("iptables -F; iptables -X");
    assert!(bed.check(&iptables(), &pod, &result).is_err());
    assert!(!rules(&bed).contains("CNI-"), "{}", rules(&bed));
}

// Proves: PLG-FW-5
#[test]
fn pods_of_different_bridges_are_kept_apart_and_isolated_ones_from_all() {
    let bed = Bed::new();
    let policy = |name: &str| firewall(json!({"backend": "iptables", "ingressPolicy": name}));
    let (a1, result) = attach(&bed, "a1", 1, &policy("same-bridge"));
    let (a2, _) = attach(&bed, "a2", 1, &policy("same-bridge"));
    let (b1, _) = attach(&bed, "b1", 2, &policy("same-bridge"));
    assert!(a1.pings("10.1.0.3") && a2.pings("10.1.0.2"), "{}", rules(&bed));
    assert!(a1.pings_not("10.2.0.2") && b1.pings_not("10.1.0.2"), "{}", rules(&bed));
    assert!(a1.pings("10.1.0.1"), "the host is reached");
    let forward = bed.sh("iptables -S FORWARD");
    let first = forward.lines().find(|line| line.starts_with("-A")).unwrap();
    assert!(first.ends_with("-j CNI-ISOLATION-STAGE-1"), "before CNI-FORWARD: {forward}");
    bed.check(&policy("same-bridge"), &a1, &result).unwrap();
    bed.sh("iptables -F CNI-ISOLATION-STAGE-2");
    assert!(bed.check(&policy("same-bridge"), &a1, &result).is_err());
    bed.add(&with_result(&policy("same-bridge"), &result), &a1).unwrap();
    bed.check(&policy("same-bridge"), &a1, &result).unwrap();
    bed.del(&policy("same-bridge"), &a1).unwrap();
    assert!(bed.sh("iptables -S").contains("-i br1 ! -o br1"), "the other pod relies on it");
    // The jump stays in front also when the other one has to be made again.
    bed.sh("iptables -D FORWARD 2");
    attach(&bed, "a3", 1, &iptables());
    let forward = bed.sh("iptables -S FORWARD");
    assert!(forward.lines().nth(1).unwrap().ends_with("-j CNI-ISOLATION-STAGE-1"), "{forward}");
    let (c1, _) = attach(&bed, "c1", 4, &policy("isolated"));
    let (c2, _) = attach(&bed, "c2", 4, &policy("isolated"));
    assert!(bed.sh("iptables -S").contains("-A CNI-ISOLATION-STAGE-1 -i br4 -o br4"));
    assert!(
        c1.pings_not("10.4.0.3") && c2.pings_not("10.1.0.3"),
        "bridged frames pass the chain on this kernel"
    );
}

/// A bus with firewalld on it, which records what it is told.
struct FakeBus {
    address: &'static str,
    told: Arc<Mutex<Vec<String>>>,
}

fn fake_bus(bed: &Bed, owned: bool) -> FakeBus {
    let path = bed.leases.path().join(format!("bus-{owned}"));
    let told = fake_bus_at(&path, owned);
    FakeBus { address: format!("unix:path={}", path.display()).leak(), told }
}

/// What it is told is in the list that this returns.
pub(crate) fn fake_bus_at(path: &std::path::Path, owned: bool) -> Arc<Mutex<Vec<String>>> {
    let listener = UnixListener::bind(path).unwrap();
    let told: Arc<Mutex<Vec<String>>> = Arc::default();
    let (recorded, sources) = (told.clone(), Arc::new(Mutex::new(Vec::<String>::new())));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (recorded, sources) = (recorded.clone(), sources.clone());
            std::thread::spawn(move || talk(stream.unwrap(), owned, &recorded, &sources));
        }
    });
    told
}

fn texts(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    let words = text.split(|c: char| c.is_control() || c == '\u{fffd}').filter(|word| word.len() > 3);
    words.map(|word| word.trim_matches(|c: char| !c.is_alphanumeric()).to_owned()).collect()
}

fn talk(
    mut stream: UnixStream,
    owned: bool,
    told: &Mutex<Vec<String>>,
    sources: &Mutex<Vec<String>>,
) -> Option<()> {
    let mut byte = [0];
    for end in ["\r\n", "BEGIN\r\n"] {
        let mut said = String::new();
        while !said.ends_with(end) {
            stream.read_exact(&mut byte).ok()?;
            said.push(byte[0].into());
        }
        if said.contains("AUTH EXTERNAL ") {
            stream.write_all(b"OK 1234deadbeef\r\n").ok()?;
        }
    }
    loop {
        let mut head = [0; 16];
        stream.read_exact(&mut head).ok()?;
        let word = |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().unwrap());
        let mut fields = vec![0; (word(12) as usize).next_multiple_of(8)];
        stream.read_exact(&mut fields).ok()?;
        let mut body = vec![0; word(4) as usize];
        stream.read_exact(&mut body).ok()?;
        let (names, arguments) = (texts(&fields), texts(&body));
        let known = ["Hello", "NameHasOwner", "addSource", "removeSource", "querySource"];
        let member = known.into_iter().find(|member| names.iter().any(|name| name == member)).unwrap();
        let mut sources = sources.lock().unwrap();
        let (mut kind, mut value) = (2, 1_u32);
        if let [zone, source] = &arguments[..] {
            told.lock().unwrap().push(format!("{member} {zone} {source}"));
            let had = sources.contains(source);
            match member {
                "addSource" if had => kind = 3,
                "addSource" => sources.push(source.clone()),
                "removeSource" if had => sources.retain(|other| other != source),
                "removeSource" => kind = 3,
                _ => value = u32::from(had),
            }
        } else if member == "NameHasOwner" {
            value = u32::from(owned);
        }
        let body = match kind {
            3 => [&16_u32.to_le_bytes()[..], b"ZONE_ALREADY_SET\0"].concat(),
            _ => value.to_le_bytes().to_vec(),
        };
        let mut answer = vec![b'l', kind, 0, 1];
        answer.extend((body.len() as u32).to_le_bytes());
        answer.extend(1_u32.to_le_bytes());
        answer.extend(8_u32.to_le_bytes());
        answer.extend([5, 1, b'u', 0]);
        answer.extend(word(8).to_le_bytes());
        answer.extend(body);
        stream.write_all(&answer).ok()?;
    }
}

// Proves: PLG-FW-1, PLG-FW-4
#[test]
fn firewalld_is_told_where_it_runs_and_iptables_is_used_where_it_does_not() {
    let bed = Bed::new();
    let bus = fake_bus(&bed, true);
    let plugin = Firewall { bus: Some(bus.address), ..FIREWALL };
    let pod = bed.pod("a");
    let made = bed.add(&bridge(&bed, 1), &pod).unwrap();
    let conf = with_result(&firewall(json!({"backend": "no-such", "firewalldZone": "pods"})), &made);
    let told = || std::mem::take(&mut *bus.told.lock().unwrap());
    for _ in 0..2 {
        // The second time the zone has it already.
        assert_eq!(bed.add_with(&plugin, &conf, &pod, "eth0", "").unwrap(), made);
        assert_eq!(told(), ["addSource pods 10.1.0.2/32"]);
    }
    assert!(!rules(&bed).contains("CNI-"), "{}", rules(&bed));
    let at = pod.at("eth0", "");
    bed.host.run(|| plugin.check(&input(&conf), &at)).unwrap().unwrap();
    assert_eq!(told(), ["querySource pods 10.1.0.2/32"]);
    for _ in 0..2 {
        // The second time there is nothing to remove.
        bed.host.run(|| plugin.del(&input(&conf), &at.detach())).unwrap().unwrap();
        assert_eq!(told(), ["removeSource pods 10.1.0.2/32"]);
    }
    assert!(bed.host.run(|| plugin.check(&input(&conf), &at)).unwrap().is_err());
    let trusted = with_result(&firewall(json!({"backend": "firewalld"})), &made);
    told();
    bed.add_with(&plugin, &trusted, &pod, "eth0", "").unwrap();
    assert_eq!(told(), ["addSource trusted 10.1.0.2/32"]);
    // A bus without firewalld, and no bus at all.
    let empty = fake_bus(&bed, false);
    for address in [empty.address, "unix:path=/nowhere/bus"] {
        let plugin = Firewall { bus: Some(address), ..FIREWALL };
        bed.add_with(&plugin, &conf, &pod, "eth0", "").unwrap();
        assert!(rules(&bed).contains("-A CNI-FORWARD -s 10.1.0.2/32"), "{}", rules(&bed));
        bed.host.run(|| plugin.del(&input(&conf), &at.detach())).unwrap().unwrap();
        assert!(!rules(&bed).contains("10.1.0.2"));
        assert!(bed.add_with(&plugin, &trusted, &pod, "eth0", "").is_err() || address == empty.address);
    }
    let admin = firewall(json!({"backend": "iptables", "iptablesAdminChainName": "MINE"}));
    bed.add(&with_result(&admin, &made), &pod).unwrap();
    assert!(bed.sh("iptables -S CNI-FORWARD").contains("-j MINE"));
}

// Proves: F-PLG-8
#[test]
fn del_is_no_success_while_the_bus_keeps_its_answer_back() {
    let bed = Bed::new();
    let bus = fake_bus(&bed, true);
    let pod = bed.pod("a");
    let made = bed.add(&bridge(&bed, 1), &pod).unwrap();
    let conf = with_result(&firewall(json!({"backend": "firewalld"})), &made);
    let at = pod.at("eth0", "");
    bed.add_with(&Firewall { bus: Some(bus.address), ..FIREWALL }, &conf, &pod, "eth0", "").unwrap();
    // It takes the connection, and that is all.
    let path = bed.leases.path().join("mute");
    let _mute = UnixListener::bind(&path).unwrap();
    let mute = Firewall { bus: Some(format!("unix:path={}", path.display()).leak()), ..FIREWALL };
    let input = |soon| Input { deadline: Instant::now() + Duration::from_millis(soon), ..input(&conf) };
    let error = bed.host.run(|| mute.del(&input(100), &at.detach())).unwrap().unwrap_err();
    assert!(error.msg.contains("the system bus did not answer in time"), "{error}");
    let working = Firewall { bus: Some(bus.address), ..FIREWALL };
    bed.host.run(|| working.del(&input(60_000), &at.detach())).unwrap().unwrap();
    assert_eq!(bus.told.lock().unwrap().last().unwrap(), "removeSource trusted 10.1.0.2/32");
}

// Proves: PLG-FW-1, PLG-FW-2, PLG-COM-1
#[test]
fn odd_policies_old_versions_and_calls_alone_are_refused() {
    let bed = Bed::new();
    let pod = bed.pod("a");
    let before = rules(&bed);
    let error = bed.add(&iptables(), &pod).unwrap_err();
    assert!(error.code == 7 && error.msg.contains("chained plugin"), "{error}");
    let error =
        bed.host.run(|| FIREWALL.check(&input(&iptables()), &pod.at("eth0", ""))).unwrap().unwrap_err();
    assert!(error.msg.contains("chained plugin"), "{error}");
    let made = bed.add(&bridge(&bed, 1), &pod).unwrap();
    let error = bed.add(&with_result(&firewall(json!({"ingressPolicy": "shut"})), &made), &pod).unwrap_err();
    assert!(error.msg.contains("`shut` is not an ingress policy"), "{error}");
    let mut inside = made.clone();
    inside.interfaces.remove(0);
    inside.interfaces.remove(0);
    inside.ips.clear();
    let error =
        bed.add(&with_result(&firewall(json!({"ingressPolicy": "isolated"})), &inside), &pod).unwrap_err();
    assert!(error.msg.contains("first interface"), "{error}");
    for version in ["0.1.0", "0.2.0", "0.3.0", "0.3.1"] {
        let conf = with(&iptables(), json!({"cniVersion": version, "prevResult": {"cniVersion": version}}));
        assert_eq!(call(&bed, Verb::Add, &conf, &pod).unwrap_err().code, 1, "{version}");
    }
    same("rules", &before, &rules(&bed));
}

// Proves: PLG-COM-19
#[test]
fn gc_keeps_the_living_and_other_networks_in_either_backend() {
    for backend in ["iptables", "nftables"] {
        let bed = Bed::new();
        let conf = firewall(json!({"backend": backend}));
        let (alive, result) = attach(&bed, "alive", 1, &conf);
        let (_dead, _) = attach(&bed, "dead", 1, &conf);
        let (_other, _) = attach(&bed, "other", 2, &with(&conf, json!({"name": "red"})));
        bed.check(&conf, &alive, &result).unwrap();
        bed.gc(&conf, &[&alive]).unwrap();
        let left = rules(&bed);
        assert!(
            left.contains("10.1.0.2") && !left.contains("10.1.0.3") && left.contains("10.2.0.2"),
            "{backend}: {left}"
        );
        bed.del(&conf, &alive).unwrap();
        assert!(!rules(&bed).contains("10.1.0.2"));
        assert!(bed.check(&conf, &alive, &result).is_err());
    }
}

// Proves: PLG-COM-16
#[test]
fn a_failed_add_leaves_no_rule_of_the_pod() {
    let bed = Bed::new();
    let pod = bed.pod("a");
    let made = bed.add(&bridge(&bed, 1), &pod).unwrap();
    for backend in ["iptables", "nftables"] {
        fail_at(0);
        let conf = with_result(&firewall(json!({"backend": backend})), &made);
        let outcome = bed.add_with(&Firewall { after_step: failing, ..FIREWALL }, &conf, &pod, "eth0", "");
        fail_at(usize::MAX);
        assert!(outcome.is_err());
        assert!(!rules(&bed).contains("10.1.0.2"), "{}", rules(&bed));
    }
}
