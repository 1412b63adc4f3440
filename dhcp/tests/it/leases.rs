//! Leases of a real server, over their whole life.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use dhcproto::v4::{Message, MessageType};
use manifold_e2e::netns::TestNetns;
use serde_json::json;

use crate::bed::{Bed, address, wait_until, wait_until_within};
use crate::dnsmasq::Dnsmasq;
use crate::fake_server::{FakeServer, Terms, said, terms};

// Proves: PLG-DHCP-3, PLG-DHCP-9
#[test]
fn bridge_and_macvlan_pods_get_leases_use_them_and_give_them_back() {
    let bed = Bed::new();
    let server = Dnsmasq::start(&bed, &["--dhcp-option=option:router,10.77.0.1"]);
    for kind in ["bridge", "macvlan"] {
        let pod = TestNetns::new().unwrap();
        let conf = bed.conf(kind, json!({}));
        let result = bed.add(&conf, kind, &pod).good();
        let address = address(&result);
        assert!(address.starts_with("10.77.0."), "{result}");
        assert_eq!(result["ips"][0]["gateway"], "10.77.0.1");
        assert_eq!(result["routes"], json!([{"dst": "0.0.0.0/0", "gw": "10.77.0.1"}]));
        assert!(pod.exec(&["ip", "-4", "addr"]).unwrap().contains(&format!("{address}/24")));
        wait_until("the gateway answers", || pod.exec(&["ping", "-c1", "-W5", "10.77.0.1"]).is_ok());
        assert_eq!(bed.lease_files(), 1);
        let mut checked = conf.clone();
        checked["prevResult"] = result;
        assert!(bed.call("CHECK", &checked, Some((kind, pod.path())), "").ok);
        // DEL may come again, and its lease is gone then.
        for _ in 0..3 {
            assert!(bed.del(&conf, kind, &pod).ok);
        }
        wait_until("the server hears of the end", || {
            server.log().lines().any(|line| line.contains("DHCPRELEASE") && line.contains(&address))
        });
        assert_eq!(
            (bed.lease_files(), server.count("DHCPRELEASE(br0) ")),
            (0, if kind == "bridge" { 1 } else { 2 })
        );
    }
    let without = bed.conf("dhcp", json!({}));
    assert!(bed.call("DEL", &without, Some(("never-seen", std::path::Path::new(""))), "").ok);
}

// Proves: PLG-DHCP-8
#[test]
fn a_lease_is_renewed_at_the_t1_of_the_server_that_gave_it_and_not_before() {
    let bed = Bed::new();
    // Two minutes is the least that dnsmasq leases for; left to itself it would name the half of them.
    let server = Dnsmasq::lease_for(&bed, "2m", &["--dhcp-option=option:T1,24"]);
    let pod = TestNetns::new().unwrap();
    let conf = bed.conf("bridge", json!({}));
    let lease = address(&bed.add(&conf, "c1", &pod).good());
    let acks = || server.log().lines().filter(|l| l.contains("DHCPACK") && l.contains(&lease)).count();
    let (asked, mut before) = (Instant::now(), acks());
    let discovers = server.count("DHCPDISCOVER(br0) ");
    wait_until_within("the lease is renewed", Duration::from_secs(100), || {
        // A server that took its time was asked twice, and answers twice.
        if asked.elapsed() < Duration::from_secs(8) {
            before = acks();
        }
        acks() > before
    });
    assert!(asked.elapsed() >= Duration::from_secs(15), "not before T1");
    assert_eq!(server.count("DHCPDISCOVER(br0) "), discovers, "asked for once only");
    assert!(bed.del(&conf, "c1", &pod).ok);
}

// Proves: PLG-DHCP-8
#[test]
fn a_lease_is_renewed_at_every_t1() {
    let bed = Bed::new();
    let server = FakeServer::start(&bed, |_, _| Some(Terms { renew: 1, ..terms(20) }));
    let pod = TestNetns::new().unwrap();
    let conf = bed.conf("bridge", json!({}));
    bed.add(&conf, "c1", &pod).good();
    let discovers = server.count(MessageType::Discover);
    wait_until("the lease is renewed three times", || renewals(&server, [10, 77, 0, 20]) >= 3);
    assert_eq!(server.count(MessageType::Discover), discovers, "asked for once only");
    assert!(bed.del(&conf, "c1", &pod).ok);
}

/// How often the holder of `address` asked to keep it.
fn renewals(server: &FakeServer, address: [u8; 4]) -> usize {
    let keeps = |m: &&Message| said(m) == Some(MessageType::Request) && m.ciaddr().octets() == address;
    server.seen().iter().filter(keeps).count()
}

// Proves: PLG-DHCP-10, P-DEL-11
#[test]
fn a_daemon_that_was_killed_goes_on_with_its_leases() {
    let mut bed = Bed::new();
    let mut clients = Vec::new();
    let server = FakeServer::start(&bed, move |_, message| {
        let client = message.chaddr().to_vec();
        if !clients.contains(&client) {
            clients.push(client.clone());
        }
        let place = clients.iter().position(|known| *known == client)?;
        Some(Terms { renew: 3, ..terms(20 + u8::try_from(place).ok()?) })
    });
    let pods = [TestNetns::new().unwrap(), TestNetns::new().unwrap()];
    let conf = bed.conf("bridge", json!({}));
    let lease: Ipv4Addr = address(&bed.add(&conf, "c0", &pods[0]).good()).parse().unwrap();
    bed.add(&conf, "c1", &pods[1]).good();
    let discovers = server.count(MessageType::Discover);
    bed.kill_daemon();
    // The other pod goes while nobody looks.
    pods[1].delete();
    let before = renewals(&server, lease.octets());
    bed.start_daemon(&[]);
    wait_until("nothing is kept of a pod that is gone", || bed.lease_files() == 1);
    wait_until("the lease is renewed by the new daemon", || renewals(&server, lease.octets()) > before);
    assert_eq!(server.count(MessageType::Discover), discovers, "no lease was asked for anew");
    assert!(bed.del(&conf, "c0", &pods[0]).ok);
    wait_until("it is given back", || {
        server.seen().iter().any(|m| said(m) == Some(MessageType::Release) && m.ciaddr() == lease)
    });
    assert_eq!(bed.lease_files(), 0);
}

// Proves: PLG-DHCP-9
#[test]
fn check_asks_again_for_a_lease_that_the_daemon_has_lost() {
    let mut bed = Bed::new();
    let _server = Dnsmasq::start(&bed, &[]);
    let pod = TestNetns::new().unwrap();
    let conf = bed.conf("bridge", json!({}));
    let result = bed.add(&conf, "c1", &pod).good();
    bed.kill_daemon();
    std::fs::remove_dir_all(bed.path("leases")).unwrap();
    let mut checked = conf.clone();
    checked["prevResult"] = result;
    assert!(!bed.call("CHECK", &checked, Some(("c1", pod.path())), "").ok, "no daemon");
    bed.start_daemon(&[]);
    assert!(bed.call("CHECK", &checked, Some(("c1", pod.path())), "").ok);
    assert_eq!(bed.lease_files(), 1);
    // A server that knows the client gives the same address, which is what CHECK asks for.
    assert!(bed.del(&conf, "c1", &pod).ok);
}

// Proves: PLG-DHCP-10
#[test]
fn gc_ends_leases_that_no_pod_has_and_keeps_those_of_other_networks() {
    let bed = Bed::new();
    let _server = Dnsmasq::start(&bed, &[]);
    let conf = bed.conf("bridge", json!({}));
    let mut other = conf.clone();
    other["name"] = json!("other-net");
    let pods: Vec<TestNetns> = (0..3).map(|_| TestNetns::new().unwrap()).collect();
    for (n, conf) in [(0, &conf), (1, &conf), (2, &other)] {
        bed.add(conf, &format!("c{n}"), &pods[n]).good();
    }
    assert_eq!(bed.lease_files(), 3);
    let mut gc = conf.clone();
    gc["cni.dev/valid-attachments"] = json!([{"containerID": "c0", "ifname": "eth0"}]);
    assert!(bed.call("GC", &gc, None, "").ok);
    assert_eq!(bed.lease_files(), 2);
    gc["cni.dev/valid-attachments"] = json!([]);
    assert!(bed.call("GC", &gc, None, "").ok);
    assert_eq!(bed.lease_files(), 1, "the other network's");
}

// Proves: PLG-DHCP-10
#[test]
fn a_namespace_ends_with_the_pod_whatever_the_daemon_knows() {
    let bed = Bed::new();
    let _server = Dnsmasq::start(&bed, &[]);
    let conf = bed.conf("bridge", json!({}));
    let pod = TestNetns::new().unwrap();
    let result = bed.add(&conf, "c1", &pod).good();
    let veth = result["interfaces"]
        .as_array()
        .unwrap()
        .iter()
        .find(|i| i["sandbox"].is_null() && i["name"] != "br0");
    let veth = veth.unwrap()["name"].as_str().unwrap().to_owned();
    let is_there = || bed.host.exec(&["ip", "link", "show", "dev", &veth]).is_ok();
    assert!(is_there());
    pod.delete();
    wait_until("the pod's link ends with its namespace", || !is_there());
    assert!(bed.call("DEL", &conf, Some(("c1", std::path::Path::new(""))), "").ok);
    assert_eq!(bed.lease_files(), 0);
}
