//! What goes over the wire, seen by a server that remembers it.

use dhcproto::v4::{DhcpOption, Message, MessageType, OptionCode};
use serde_json::json;

use crate::bed::{Bed, address, wait_until};
use crate::fake_server::{FakeServer, Terms, said, terms};

// Proves: PLG-DHCP-1, PLG-DHCP-2, PLG-DHCP-5
#[test]
fn the_server_gets_the_client_id_and_the_options_of_the_configuration_and_of_cni_args() {
    let bed = Bed::new();
    let server = FakeServer::start(&bed, |_, _| Some(terms(20)));
    let pod = bed.linked_pod("v1");
    let conf = bed.dhcp(json!({
        "request": [{"option": 121}, {"option": "42"}],
        "provide": [{"option": "host-name", "fromArg": "K8S_POD_NAME"}, {"option": "60", "value": "vendor"},
            {"option": 77, "fromArg": "MISSING"}],
        "priority": 9,
    }));
    let args = "K8S_POD_NAME=cart=7;IgnoreUnknown=1";
    bed.call("ADD", &conf, Some(("c1", pod.path())), args).good();
    let discover = &server.seen()[0];
    let get = |code| discover.opts().get(code).cloned();
    assert_eq!(
        get(OptionCode::ClientIdentifier),
        Some(DhcpOption::ClientIdentifier(b"\0c1/dhcp-net/eth0".to_vec()))
    );
    assert_eq!(get(OptionCode::Hostname), Some(DhcpOption::Hostname("cart=7".into())));
    assert_eq!(get(OptionCode::ClassIdentifier), Some(DhcpOption::ClassIdentifier(b"vendor".to_vec())));
    assert!(discover.opts().get(OptionCode::from(77)).is_none());
    assert_eq!(asked(discover), [3, 1, 121, 42]);
    assert!(!discover.flags().broadcast());
}

fn asked(message: &Message) -> Vec<u8> {
    match message.opts().get(OptionCode::ParameterRequestList) {
        Some(DhcpOption::ParameterRequestList(codes)) => codes.iter().map(|code| u8::from(*code)).collect(),
        _ => Vec::new(),
    }
}

// Proves: PLG-DHCP-2
#[test]
fn skip_default_drops_router_and_mask_from_what_is_asked_for() {
    let bed = Bed::new();
    let server = FakeServer::start(&bed, |_, _| Some(terms(20)));
    let pod = bed.linked_pod("v1");
    let conf = bed.dhcp(json!({"request": [{"option": 121, "skipDefault": true}, {"option": 42}]}));
    bed.add(&conf, "c1", &pod).good();
    assert_eq!(asked(&server.seen()[0]), [121, 42]);
}

// Proves: PLG-DHCP-5
#[test]
fn a_lease_that_there_is_answers_a_second_add() {
    let bed = Bed::new();
    let server = FakeServer::start(&bed, |n, _| Some(terms(20 + u8::try_from(n).unwrap())));
    let pod = bed.linked_pod("v1");
    let conf = bed.dhcp(json!({}));
    let first = address(&bed.add(&conf, "c1", &pod).good());
    let discovers = server.count(MessageType::Discover);
    assert_eq!(address(&bed.add(&conf, "c1", &pod).good()), first);
    assert_eq!(server.count(MessageType::Discover), discovers, "nobody was asked anew");
}

// Proves: PLG-DHCP-7
#[test]
fn a_lease_without_a_mask_is_an_error_and_nothing_is_kept() {
    let bed = Bed::new();
    let _server = FakeServer::start(&bed, |_, _| Some(Terms { mask: false, ..terms(20) }));
    let pod = bed.linked_pod("v1");
    let (_, text) = bed.add(&bed.dhcp(json!({})), "c1", &pod).bad();
    assert!(text.contains("subnet mask"), "{text}");
    assert_eq!(bed.lease_files(), 0);
}

// Proves: PLG-DHCP-6
#[test]
fn a_silent_server_is_asked_again_and_given_up_in_time() {
    let mut bed = Bed::without_daemon();
    bed.start_daemon(&["-resendtimeout", "6s", "-broadcast"]);
    let server = FakeServer::start(&bed, |_, _| None);
    let pod = bed.linked_pod("v1");
    let began = std::time::Instant::now();
    let (code, text) = bed.add(&bed.dhcp(json!({})), "c1", &pod).bad();
    assert!(text.contains("giving up") && code == 11, "{code} {text}");
    assert!(began.elapsed().as_secs() >= 6, "not before its time");
    // Pauses of one to three seconds.
    let tries = server.count(MessageType::Discover);
    assert!((2..=6).contains(&tries), "{tries} tries");
    assert!(server.seen().iter().all(|message| message.flags().broadcast()), "as the flag says");
}

// Shows part of: PLG-DHCP-6
#[test]
fn an_offer_after_some_tries_is_taken() {
    let bed = Bed::new();
    let _server = FakeServer::start(&bed, |n, _| (n > 2).then(|| terms(20)));
    let pod = bed.linked_pod("v1");
    assert_eq!(address(&bed.add(&bed.dhcp(json!({})), "c1", &pod).good()), "10.77.0.20");
}

// Proves: PLG-DHCP-8
#[test]
fn a_lease_that_nobody_renews_is_bound_anew_and_when_it_has_ended_the_link_is_down() {
    let bed = Bed::new();
    // Renewals (they have an address) are not answered, and after two seconds nothing is.
    let server = FakeServer::start(&bed, |_, message| {
        let first = message.ciaddr().is_unspecified()
            && message
                .opts()
                .get(OptionCode::RequestedIpAddress)
                .is_none_or(|_| said(message) == Some(MessageType::Request));
        first.then_some(Terms { lease: 8, renew: 1, rebind: 4, ..terms(20) })
    });
    let pod = bed.linked_pod("v1");
    let conf = bed.conf("dhcp", json!({}));
    // Before the lease, as nobody knows how soon after it this would be done.
    pod.exec(&["ip", "addr", "add", "10.77.0.20/24", "dev", "eth0"]).unwrap();
    bed.add(&conf, "c1", &pod).good();
    let renewals = || server.seen().iter().filter(|m| !m.ciaddr().is_unspecified()).count();
    wait_until("the server is asked to renew", || renewals() >= 1);
    wait_until("everybody is asked", || server.count(MessageType::Discover) >= 2);
    wait_until("the link is down", || {
        !pod.exec(&["ip", "-o", "link", "show", "dev", "eth0"]).unwrap().contains("state UP")
    });
    wait_until("nothing is kept", || bed.lease_files() == 0);
}

// Shows part of: PLG-DHCP-6
#[test]
fn an_address_that_somebody_uses_is_declined() {
    let bed = Bed::new();
    let squatter = bed.linked_pod("v0");
    for words in ["ip link set eth0 up", "ip addr add 10.77.0.20/24 dev eth0"] {
        squatter.exec(&words.split(' ').collect::<Vec<_>>()).unwrap();
    }
    let mut declined = false;
    let server = FakeServer::start(&bed, move |_, message| {
        declined |= said(message) == Some(MessageType::Decline);
        Some(terms(if declined { 21 } else { 20 }))
    });
    let (pod, conf) = (bed.linked_pod("v1"), bed.dhcp(json!({})));
    // Whoever uses it has little time to say so; a busy machine may say it too late, but not every time.
    let leased = |n: usize| address(&bed.add(&conf, &format!("c{n}"), &pod).good());
    assert!((0..20).any(|n| leased(n) == "10.77.0.21"));
    assert_eq!(server.count(MessageType::Decline), 1);
}
