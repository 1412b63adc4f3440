//! A host port that leads to another pod is refused, never overtaken (S-24).
//!
//! Ports are looked up in both backends, as another release or another plugin may have mapped them. Between the look and our
//! own rules nobody else maps any, by a lock. What a pod that is gone left behind is in nobody's way: rules of ours come
//! before it. So is a port on which the node itself listens, as with the reference and as Kubernetes has it: whether a pod
//! may have it is for those to say who grant `hostPort` and `portMappings`.

use std::fs::OpenOptions;
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::time::{Duration, Instant};

use manifold_cni::name::printable;
use manifold_cni::{Attachment, CniError, code};
use manifold_plugin_conf::PortmapConf;
use manifold_plugin_conf::portmap::{PortMapping, Protocol};
use nix::fcntl::OFlag;

use super::wish::{Wish, host_address};
use super::{iptables, nftables};
use crate::file_lock::{self, Lock};
use crate::sandboxes::{PodName, Sandboxes, State};

/// Ends with the uptime, as the rules do.
const LOCK: &str = "/run/manifold-host-ports.lock";
/// Whoever holds it works with tools of the host, which may hang.
const LOCK_WAIT_SECONDS: u64 = 10;
/// As people call containers.
const ID_SHOWN: usize = 12;

/// A port of the host that leads to a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) port: u16,
    pub(super) protocol: Protocol,
    /// `None`: every address of the host.
    pub(super) host: Option<IpAddr>,
    /// Only some of the traffic, by the conditions of the network's author.
    pub(super) conditional: bool,
    /// Of the sandbox, cut where a comment was too long.
    pub(super) id: String,
}

/// Until our rules are in.
pub(super) fn lock(deadline: Instant) -> Result<Lock, CniError> {
    let mut open = OpenOptions::new();
    open.write(true).create(true).truncate(false).mode(0o600).custom_flags(OFlag::O_NOFOLLOW.bits());
    let patience = deadline.min(Instant::now() + Duration::from_secs(LOCK_WAIT_SECONDS));
    let locked = open.open(LOCK).map_err(Into::into).and_then(|file| file_lock::take(file, patience));
    locked.map_err(|error| {
        let text = format!("host ports cannot be mapped, because `{LOCK}` cannot be locked ({error})");
        CniError::new(code::TRY_AGAIN, text)
    })
}

/// The first mapping whose port another pod has is the error. The caller holds the lock.
pub(super) fn refuse(
    conf: &PortmapConf,
    wishes: &[Wish],
    at: &Attachment,
    sandboxes: &dyn Sandboxes,
    deadline: Instant,
) -> Result<(), CniError> {
    let pod = PodName::of(|key| at.args.get(key));
    for wish in wishes {
        let mut held = nftables::held(wish.family(), deadline)?;
        held.extend(iptables::held(wish, deadline)?);
        held.retain(|held| !at.container.as_str().starts_with(&held.id));
        let conditional = !conf.conditions(wish.address.addr()).is_empty();
        for mapping in &wish.mappings {
            for holder in held.iter().filter(|held| held.meets(mapping, conditional)) {
                if is_anothers(holder, pod.as_ref(), sandboxes)? {
                    return Err(taken(mapping, holder));
                }
            }
        }
    }
    Ok(())
}

impl Held {
    fn shown(&self) -> String {
        printable(&self.id.chars().take(ID_SHOWN).collect::<String>())
    }

    /// Whether traffic to the mapping's port would go to its pod so far. Two mappings with conditions are for their authors
    /// to keep apart.
    fn meets(&self, mapping: &PortMapping, conditional: bool) -> bool {
        let host = host_address(mapping);
        self.port == mapping.host_port
            && self.protocol == mapping.protocol
            && (self.host.is_none() || host.is_none() || self.host == host)
            && !(self.conditional && conditional)
    }
}

/// The kubelet starts a pod's next sandbox while the last one still goes.
fn is_anothers(held: &Held, pod: Option<&PodName>, sandboxes: &dyn Sandboxes) -> Result<bool, CniError> {
    match sandboxes.state(&held.id) {
        Ok(State::Gone) => Ok(false),
        Ok(State::Alive(holder)) => Ok(holder.is_none() || holder.as_ref() != pod),
        Err(error) => Err(unknown(held, &error)),
    }
}

/// Nobody's port is overtaken on a guess.
fn unknown(held: &Held, error: &io::Error) -> CniError {
    let text = format!(
        "the host port {}/{} leads to sandbox `{}`, and whether that is alive cannot be read now: {error}",
        held.port,
        held.protocol.as_str(),
        held.shown()
    );
    CniError::new(code::TRY_AGAIN, text).details("fix: none needed, the runtime tries again")
}

fn taken(mapping: &PortMapping, holder: &Held) -> CniError {
    let address = host_address(mapping).map(|ip| format!(" of `{ip}`")).unwrap_or_default();
    let text = format!(
        "the host port {}/{}{address} already leads to another pod, in sandbox `{}`",
        mapping.host_port,
        mapping.protocol.as_str(),
        holder.shown()
    );
    CniError::new(code::TRY_AGAIN, text).details(
        "fix: ask for another host port, or for another node; this one is free when that pod has ended",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(held: (&str, bool), asked: (&str, bool), expected: bool) {
        let ip = |raw: &str| (!raw.is_empty()).then(|| raw.parse().unwrap());
        let held = Held {
            port: 443,
            protocol: Protocol::Tcp,
            host: ip(held.0),
            conditional: held.1,
            id: String::new(),
        };
        let mapping =
            PortMapping { host_port: 443, container_port: 80, protocol: Protocol::Tcp, host_ip: ip(asked.0) };
        assert_eq!(held.meets(&mapping, asked.1), expected, "{held:?} {mapping:?}");
        let other_port = PortMapping { host_port: 444, ..mapping };
        let other_protocol = PortMapping { protocol: Protocol::Udp, ..mapping };
        assert!(!held.meets(&other_port, asked.1) && !held.meets(&other_protocol, asked.1));
    }

    // Shows part of: S-24
    #[test]
    fn two_mappings_meet_where_the_same_packet_could_go_to_both() {
        check(("", false), ("", false), true);
        check(("", false), ("192.0.2.1", false), true);
        check(("192.0.2.1", false), ("", false), true);
        check(("192.0.2.1", false), ("0.0.0.0", false), true);
        check(("192.0.2.1", false), ("192.0.2.1", false), true);
        check(("192.0.2.1", false), ("192.0.2.2", false), false);
        check(("", true), ("", false), true);
        check(("", false), ("", true), true);
        check(("", true), ("", true), false);
    }
}
