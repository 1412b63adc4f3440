//! DHCP: what anybody on the link can send, and what is said between the plugin and the daemon.

use std::net::Ipv4Addr;
use std::time::Duration;

use manifold_cni::{CniResult, Version};
use manifold_dhcp::lease::Holder;
use manifold_dhcp::message::{Client, Reply, Wishes};
use manifold_dhcp::{Lease, LeaseId, arp, ip, rpc};
use manifold_net::{Mac, NetnsId};

use super::text;
use crate::Answer;

/// Of the conversation that the seeds belong to.
const XID: u32 = 0x3903_f326;
const MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);

/// A packet, a message, or the options alone.
pub(super) fn packet(input: &[u8]) -> Answer {
    let _ = arp::claims(input, Ipv4Addr::new(10, 0, 0, 9));
    if let Some(payload) = ip::unwrap(input) {
        assert!(payload.len() + 28 <= input.len());
    }
    let (message, options) = (client().decode(XID, input), client().decode(XID, &with_header(input)));
    let payload = ip::unwrap(input).and_then(|payload| client().decode(XID, payload));
    [&message, &options, &payload].into_iter().flatten().for_each(becomes_a_lease);
    match message.or(payload).or(options) {
        None => Answer::refused("not for this client"),
        Some(reply) => match lease(&reply) {
            Ok(lease) => Answer::Accepted(format!(
                "{:?} of {} by {} for {} s",
                reply.kind, lease.address, lease.server, lease.life
            )),
            Err(bad) => Answer::refused(bad),
        },
    }
}

fn client() -> Client {
    let wishes = Wishes { parameters: vec![1, 3, 121], provide: Vec::new(), priority: 0 };
    Client { mac: MAC, client_id: b"\0c/n/i".to_vec(), wishes, broadcast: true }
}

/// A reply of this conversation with these options.
fn with_header(options: &[u8]) -> Vec<u8> {
    let mut bytes = vec![2, 1, 6, 0];
    bytes.extend(XID.to_be_bytes());
    bytes.extend([0; 8]);
    bytes.extend([10, 0, 0, 9]);
    bytes.extend([0; 8]);
    bytes.extend(MAC.0);
    bytes.resize(236, 0);
    bytes.extend([99, 130, 83, 99]);
    bytes.extend(options);
    bytes
}

fn holder() -> Holder {
    let id = LeaseId { container: "5c1d2e3f".into(), network: "left".into(), ifname: "net1".into() };
    let netns_id = NetnsId { dev: 4, ino: 7 };
    Holder { id, netns: "/run/netns/a".into(), netns_id, mac: MAC, wishes: Wishes::default() }
}

fn lease(reply: &Reply) -> Result<Lease, manifold_dhcp::lease::BadReply> {
    Lease::new(&holder(), reply, Duration::from_secs(1_000))
}

/// The times are in order, the file comes back, and the answer of ADD is a result.
fn becomes_a_lease(reply: &Reply) {
    let Ok(lease) = lease(reply) else { return };
    assert!(lease.renew <= lease.rebind && lease.rebind <= lease.life, "{lease:?}");
    let stored = serde_json::to_vec(&lease).expect("a lease is JSON");
    assert_eq!(serde_json::from_slice::<Lease>(&stored).ok().as_ref(), Some(&lease));
    for version in [Version::V0_2_0, Version::V0_4_0, Version::V1_1_0] {
        let printed = lease.result().to_json(version).expect("a lease has an address");
        assert!(CniResult::parse(&printed, version).is_ok(), "{}", text(&printed));
    }
    for now in [0, 1_000, u64::MAX] {
        let now = Duration::from_secs(now);
        let _ = (lease.is_over(now), lease.left(lease.renew, now), lease.clone().resumed(now));
    }
}

/// A line of the daemon's socket.
pub(super) fn request(input: &[u8]) -> Answer {
    let again = |line: &[u8]| {
        let read: Option<rpc::Request> = rpc::read(&mut &line[..]).ok();
        read
    };
    let _ = rpc::read::<rpc::Answer>(&mut &input[..]);
    match rpc::read::<rpc::Request>(&mut &input[..]) {
        Err(why) => Answer::refused(manifold_cni::name::one_line(&why.to_string())),
        Ok(request) => {
            let mut line = Vec::new();
            rpc::write(&mut line, &request).expect("a vector can be written to");
            assert_eq!(again(&line).as_ref(), Some(&request), "{}", text(&line));
            Answer::Accepted(text(&line).into_owned())
        }
    }
}
