//! What was leased, until when, and what the plugin answers with.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use manifold_cni::{CniResult, IpConfig, Route};
use manifold_net::{IpNet, Ipv4Net, Mac, NetnsId};
use serde::{Deserialize, Serialize};

use crate::identity::LeaseId;
use crate::message::{Reply, Wishes};

/// Where the server says nothing (PLG-DHCP-8).
const DEFAULT_LIFE: u32 = 3600;
/// The scope of a network on the link itself.
const LINK: u8 = 253;

/// One lease, as it is kept and as it lies on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    pub id: LeaseId,
    pub netns: PathBuf,
    /// Device and inode: the same path may name another namespace later.
    pub netns_id: (u64, u64),
    pub mac: String,
    pub wishes: Wishes,
    pub address: Ipv4Net,
    pub server: Ipv4Addr,
    pub routers: Vec<Ipv4Addr>,
    pub classless: Option<Vec<(Ipv4Net, Ipv4Addr)>>,
    pub classful: Vec<(Ipv4Addr, Ipv4Addr)>,
    /// When it was given, in seconds since the machine started: the clock that survives a restart of the daemon.
    pub taken: u64,
    /// Seconds after `taken`: renew (T1), rebind (T2), end.
    pub renew: u64,
    pub rebind: u64,
    pub life: u64,
}

/// A reply that cannot become a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadReply {
    #[error("the DHCP server gave an address without a subnet mask; configure it to send option 1")]
    NoMask,
    #[error("the DHCP server gave an invalid subnet mask")]
    BadMask,
    #[error("the DHCP server does not identify itself; configure it to send option 54")]
    NoServer,
}

/// Where a lease belongs.
#[derive(Clone, Debug)]
pub struct Holder {
    pub id: LeaseId,
    pub netns: PathBuf,
    pub netns_id: NetnsId,
    pub mac: Mac,
    pub wishes: Wishes,
}

impl Lease {
    pub fn new(holder: &Holder, reply: &Reply, now: Duration) -> Result<Self, BadReply> {
        let mask = reply.mask.ok_or(BadReply::NoMask)?;
        let address = Ipv4Net::with_netmask(reply.address, mask).map_err(|_| BadReply::BadMask)?;
        let life = u64::from(reply.lease.unwrap_or(DEFAULT_LIFE));
        // Times that contradict each other are put in order: a half and seven eighths are the standard's own.
        let renew = reply.renew.map_or(life / 2, u64::from).min(life);
        let rebind = reply.rebind.map_or(life * 85 / 100, u64::from).clamp(renew, life);
        let NetnsId { dev, ino } = holder.netns_id;
        Ok(Self {
            id: holder.id.clone(),
            netns: holder.netns.clone(),
            netns_id: (dev, ino),
            mac: holder.mac.to_string(),
            wishes: holder.wishes.clone(),
            address,
            server: reply.server.ok_or(BadReply::NoServer)?,
            routers: reply.routers.clone(),
            classless: reply.classless.clone(),
            classful: reply.classful.clone(),
            taken: now.as_secs(),
            renew,
            rebind,
            life,
        })
    }

    /// What is left until so many seconds after it was taken.
    pub fn left(&self, until: u64, now: Duration) -> Duration {
        Duration::from_secs(self.taken.saturating_add(until).saturating_sub(now.as_secs()))
    }

    /// As an earlier daemon wrote it. A time that has not come yet is of another clock: how old the lease is nobody
    /// knows, so it is to be renewed now.
    #[must_use]
    pub fn resumed(self, now: Duration) -> Self {
        let due = now.as_secs().saturating_sub(self.renew.min(self.life / 2));
        Self { taken: if self.taken > now.as_secs() { due } else { self.taken }, ..self }
    }

    pub fn is_over(&self, now: Duration) -> bool {
        self.left(self.life, now).is_zero()
    }

    pub fn netns_id(&self) -> NetnsId {
        NetnsId { dev: self.netns_id.0, ino: self.netns_id.1 }
    }

    /// The answer of ADD (PLG-DHCP-7): the gateway is the first router.
    pub fn result(&self) -> CniResult {
        let gateway = self.routers.first().copied();
        let ip = IpConfig::new(self.address.into(), gateway.map(IpAddr::V4));
        let priority = Some(self.wishes.priority).filter(|metric| *metric > 0);
        let routes = self.routes().into_iter().map(|route| Route { priority, ..route }).collect();
        CniResult { ips: vec![ip], routes, ..CniResult::default() }
    }

    /// Classless routes stand alone: they say what the default route is too (RFC 3442).
    fn routes(&self) -> Vec<Route> {
        if let Some(classless) = self.classless.as_ref().filter(|routes| !routes.is_empty()) {
            return classless.iter().map(|(network, router)| route(*network, *router)).collect();
        }
        let classful = self.classful.iter().map(|(network, router)| route(classful(*network), *router));
        let default = self.routers.first().map(|router| route(Ipv4Net::default(), *router));
        classful.chain(default).collect()
    }
}

fn route(network: Ipv4Net, router: Ipv4Addr) -> Route {
    let network = IpNet::V4(network.trunc());
    match router.is_unspecified() {
        true => Route { scope: Some(LINK), ..Route::new(network, None) },
        false => Route::new(network, Some(router.into())),
    }
}

/// The network of an address by its class (RFC 791): option 33 has no masks.
fn classful(address: Ipv4Addr) -> Ipv4Net {
    let [first, ..] = address.octets();
    let prefix = match first {
        0..128 => 8,
        128..192 => 16,
        _ => 24,
    };
    Ipv4Net::new(address, prefix).map(|net| net.trunc()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Kind;

    fn reply() -> Reply {
        Reply {
            kind: Kind::Ack,
            address: [10, 1, 0, 9].into(),
            server: Some([10, 1, 0, 1].into()),
            mask: Some([255, 255, 0, 0].into()),
            routers: vec![[10, 1, 0, 1].into(), [10, 1, 0, 2].into()],
            classless: None,
            classful: Vec::new(),
            lease: Some(100),
            renew: None,
            rebind: None,
        }
    }

    fn lease(reply: &Reply, priority: u32) -> Result<Lease, BadReply> {
        let id = LeaseId { container: "c".into(), network: "n".into(), ifname: "i".into() };
        let wishes = Wishes { priority, ..Wishes::default() };
        let netns_id = NetnsId { dev: 4, ino: 5 };
        let holder = Holder { id, netns: "/run/netns/x".into(), netns_id, mac: Mac([2; 6]), wishes };
        Lease::new(&holder, reply, Duration::from_secs(1000))
    }

    fn routes(reply: &Reply, priority: u32) -> serde_json::Value {
        serde_json::to_value(lease(reply, priority).unwrap().result().routes).unwrap()
    }

    // Proves: PLG-DHCP-7
    #[test]
    fn the_result_has_the_servers_mask_the_first_router_and_its_routes() {
        let result = lease(&reply(), 0).unwrap().result();
        assert_eq!(result.ips[0].address.to_string(), "10.1.0.9/16");
        assert_eq!(result.ips[0].gateway.unwrap().to_string(), "10.1.0.1");
        assert_eq!(routes(&reply(), 0), serde_json::json!([{"dst": "0.0.0.0/0", "gw": "10.1.0.1"}]));
        let classful = Reply { classful: vec![([172, 16, 9, 9].into(), [10, 1, 0, 3].into())], ..reply() };
        assert_eq!(
            routes(&classful, 7),
            serde_json::json!([{"dst": "172.16.0.0/16", "gw": "10.1.0.3", "priority": 7},
                {"dst": "0.0.0.0/0", "gw": "10.1.0.1", "priority": 7}])
        );
        let networks = vec![
            ("192.168.7.0/24".parse().unwrap(), Ipv4Addr::UNSPECIFIED),
            ("0.0.0.0/0".parse().unwrap(), [10, 1, 0, 4].into()),
        ];
        let classless = Reply { classless: Some(networks), ..classful };
        assert_eq!(
            routes(&classless, 0),
            serde_json::json!([{"dst": "192.168.7.0/24", "scope": 253}, {"dst": "0.0.0.0/0", "gw": "10.1.0.4"}])
        );
        assert_eq!(lease(&Reply { mask: None, ..reply() }, 0), Err(BadReply::NoMask));
    }

    #[test]
    fn times_have_their_defaults_and_an_order() {
        let of = |reply: &Reply| {
            let lease = lease(reply, 0).unwrap();
            (lease.renew, lease.rebind, lease.life)
        };
        assert_eq!(of(&reply()), (50, 85, 100));
        assert_eq!(of(&Reply { lease: None, ..reply() }), (1800, 3060, 3600));
        assert_eq!(of(&Reply { renew: Some(500), rebind: Some(3), ..reply() }), (100, 100, 100));
        let lease = lease(&reply(), 0).unwrap();
        let at = Duration::from_secs;
        assert_eq!(lease.left(lease.renew, at(1020)), Duration::from_secs(30));
        assert!(!lease.is_over(at(1099)) && lease.is_over(at(1100)));
    }

    // Shows part of: F-NOD-7
    #[test]
    fn a_lease_of_a_later_time_is_renewed_at_once_and_every_other_goes_on() {
        let lease = lease(&reply(), 0).unwrap();
        let at = Duration::from_secs;
        assert_eq!(lease.clone().resumed(at(1000)), lease);
        assert_eq!(lease.clone().resumed(at(1020)).left(lease.renew, at(1020)), at(30));
        let of_another_clock = lease.resumed(at(999));
        assert_eq!(of_another_clock.left(of_another_clock.renew, at(999)), Duration::ZERO);
        assert!(!of_another_clock.is_over(at(999)));
    }
}
